"""Verification: whether two recordings are one ECG, from everything that they have in common."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ecgtransfer.datasets.duplicates.recordings import (
    RATE,
    Floats,
    Ints,
    Mask,
    Recordings,
    band,
    centred,
    comparable,
    upper_edge,
)

OVERLAP_S = 4.0
"""Least length of what two recordings have in common, s, their ends left out."""
BEAT_S = (0.25, 1.7)
"""One of these shifts away a recording may resemble itself, where its rhythm is regular."""
CLEARER = 0.5
"""The unlikeness of duplicates is at most this share of their unlikeness a beat away."""

_LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
_LONGEST_S = 60.0
_KEPT = 2048
# Above this no rhythm is a better explanation than that the two are one.
_EQUAL = 0.998


@dataclass(frozen=True)
class Alignment:
    """How two recordings lie: correlation, where the second begins in the first (s), relative amplitude."""

    similarity: float
    shift: float
    gain: float

    def turned(self) -> Alignment:
        """Return the same with the two exchanged."""
        return Alignment(self.similarity, -self.shift, 1 / self.gain)


def required(overlap_s: float, leads: int) -> float:
    """Return the least correlation of duplicates.

    The longer the overlap, and the more independent leads, the less likely is a high correlation by chance.
    The highest that were seen of different ECGs are, on one lead (36 million pairs of CinC 2017), 0.982 over
    6 s, 0.971 over 10 s, 0.936 over 15 s and 0.861 over 20 s; on 12 leads 0.938 over 9 s (one patient within
    minutes). The lowest of 242 true pairs with 12 leads is 0.998; after a strong causal filter it is 0.987.
    """
    told = overlap_s * (1 + 0.1 * (leads - 1))
    return float(np.clip(0.99 - 0.0024 * (told - 5), 0.93, 0.99))


def independent(leads: Sequence[str]) -> int:
    """Return how many leads say something of their own: of the six limb leads, two do."""
    limb = sum(lead in _LIMB for lead in leads)
    return len(leads) - limb + min(limb, 2)


class Verifier:
    """Compares recordings; keeps for a while those that it has prepared.

    Parameters
    ----------
    recordings : sequence of Recordings
    usable : sequence of bool arrays [records, leads]
        Which leads have a signal, per store.
    offset : int array
        Where the numbers of a store's records begin.
    """

    def __init__(self, recordings: Sequence[Recordings], usable: Sequence[Mask], offset: Ints) -> None:
        self.recordings, self.usable, self.offset = recordings, usable, offset
        self.high = upper_edge([own.rate for own in recordings])
        self.prepared: OrderedDict[tuple[int, int, int], tuple[Floats, Mask]] = OrderedDict()
        self.scale = [own.store.records["scale_uv"].to_numpy(dtype=np.float64) for own in recordings]

    def verify(self, a: int, b: int, shifts: Sequence[float]) -> Alignment | None:
        """Return how two records lie to each other, or None where they are not the same ECG.

        Parameters
        ----------
        a, b : int
            Their numbers.
        shifts : sequence of float
            Where ``b`` may begin in the time of ``a``, s, to within 0.04 s.
        """
        found = [alignment for shift in shifts if (alignment := self._at(a, b, shift)) is not None]
        return max(found, key=lambda alignment: alignment.similarity, default=None)

    def equal(self, a: int, b: int, alignment: Alignment) -> bool:
        """Say whether two records have the same samples on the same leads at the same rate."""
        if alignment.similarity < _EQUAL or abs(alignment.shift) > 0.5 / RATE:
            return False
        (s, i), (t, j) = self._find(a), self._find(b)
        one, other = self.recordings[s], self.recordings[t]
        if one.rate != other.rate or set(one.leads) != set(other.leads) or one.length[i] != other.length[j]:
            return False
        x, y = one.read(np.array([i]), one.leads), other.read(np.array([j]), one.leads)
        return bool(self.scale[s][i] == self.scale[t][j] and np.array_equal(x, y))

    def _find(self, record: int) -> tuple[int, int]:
        store = int(np.searchsorted(self.offset, record, side="right")) - 1
        return store, record - int(self.offset[store])

    def _at(self, a: int, b: int, shift: float) -> Alignment | None:
        (s, i), (t, j) = self._find(a), self._find(b)
        one, other = self.recordings[s], self.recordings[t]
        leads = [
            (row, other.leads.index(lead), lead)
            for row, lead in enumerate(one.leads)
            if lead in other.leads and self.usable[s][i, row] and self.usable[t][j, other.leads.index(lead)]
        ]
        length = float(one.length[i]) / one.rate, float(other.length[j]) / other.rate
        begin, end = max(0.0, shift), min(length[0], shift + length[1])
        if end - begin < OVERLAP_S or not leads:
            return None
        bounds = [(0.0, np.inf), (0.0, np.inf)]
        if max(length) > _LONGEST_S:  # of long recordings, the middle of what they share
            begin = max(begin, (begin + end - _LONGEST_S) / 2)
            end = min(end, begin + _LONGEST_S)
            bounds = [(begin, end), (begin - shift, end - shift)]
        (x, whole_x, from_x), (y, whole_y, from_y) = (
            self._prepare(record, *bound) for record, bound in zip((a, b), bounds, strict=True)
        )
        if len(leads) < max(len(x), len(y)) or any(row != column for row, column, _ in leads):
            x, y = x[[row for row, _, _ in leads]], y[[column for _, column, _ in leads]]
        told = independent([lead for _, _, lead in leads])
        found = _align(x, y, whole_x, whole_y, shift - from_x + from_y, told)
        if found is None:
            return None
        gain = found.gain * self.scale[t][j] / self.scale[s][i]
        return Alignment(found.similarity, found.shift + from_x - from_y, float(gain))

    def _prepare(self, record: int, begin: float, end: float) -> tuple[Floats, Mask, float]:
        """Return leads [leads, samples at `RATE`], what of them may be compared, and where they begin, s."""
        store, position = self._find(record)
        own = self.recordings[store]
        start, stop = int(begin * own.rate), int(min(float(own.length[position]), end * own.rate))
        key = (record, start, stop)
        if key in self.prepared:
            self.prepared.move_to_end(key)
        else:
            signal, valid = centred(own.read(np.array([position]), own.leads, start, stop)[0])
            whole = comparable(valid[self.usable[store][position]].all(axis=0), own.rate)
            self.prepared[key] = band(signal, own.rate, high=self.high), whole
            if len(self.prepared) > _KEPT:
                self.prepared.popitem(last=False)
        return *self.prepared[key], start / own.rate


def _align(x: Floats, y: Floats, whole_x: Mask, whole_y: Mask, shift: float, leads: int) -> Alignment | None:
    """Correlate leads [leads, samples at `RATE`] near a shift (s) and place the maximum between samples.

    None where there is too little overlap, the correlation is not `required`, or a regular rhythm explains
    it: then the two lie nearly as well a beat away.
    """
    measured: dict[int, float] = {}

    def at(step: int) -> float:
        if step not in measured:
            found = _overlap(x, y, whole_x, whole_y, step)
            measured[step] = np.nan if found is None else _correlation(*found)
        return measured[step]

    def size(step: int) -> float:
        return -1.0 if np.isnan(at(step)) else abs(at(step))

    def peak(steps: Iterable[int]) -> tuple[float, float]:
        """Return the highest correlation near these steps, and where it is, both between samples."""
        best = max(steps, key=size)
        if size(best) < 0:
            return -1.0, best
        best = max((best, best - 1, best + 1), key=size)
        left, here, right = (at(best + step) * np.sign(at(best)) for step in (-1, 0, 1))
        bend = left - 2 * here + right
        if bend < 0 and here >= max(left, right):  # not so where a neighbour has too little overlap: NaN
            offset = float(0.5 * (left - right) / bend)
            return float(here - 0.25 * (left - right) * offset), best + offset
        return float(here), best

    centre = round(shift * RATE)
    similarity, place = peak(range(centre - 4, centre + 5, 2))
    step = round(place)
    found = _overlap(x, y, whole_x, whole_y, step)
    if found is None or similarity < required(found[0].shape[1] / RATE, leads):
        return None
    if similarity < _EQUAL:
        low, high = (round(seconds * RATE) for seconds in BEAT_S)
        beat_away = max(peak(range(step + side * low, step + side * high, 2 * side))[0] for side in (-1, 1))
        if 1 - similarity > CLEARER * (1 - beat_away):
            return None
    of_one, of_other = (np.sqrt(np.einsum("lt,lt->l", part, part)) for part in found)
    gain = float(np.median(of_other[of_one > 0] / of_one[of_one > 0]) * np.sign(at(step)))
    return Alignment(min(similarity, 1.0), place / RATE, gain)


def _overlap(x: Floats, y: Floats, whole_x: Mask, whole_y: Mask, shift: int) -> tuple[Floats, Floats] | None:
    """Return what both have of each lead where the second begins ``shift`` samples into the first."""
    first, second = max(0, shift), max(0, -shift)
    n = min(x.shape[1] - first, y.shape[1] - second)
    if n <= 0:
        return None
    both = whole_x[first : first + n] & whole_y[second : second + n]
    count = int(np.count_nonzero(both))
    if count < OVERLAP_S * RATE:
        return None
    begin = int(both.argmax())
    if both[begin : begin + count].all():
        rest = slice(begin, begin + count)
        return x[:, first:][:, rest], y[:, second:][:, rest]
    return x[:, first : first + n][:, both], y[:, second : second + n][:, both]


def _correlation(one: Floats, other: Floats) -> float:
    """Return the mean correlation over the leads."""
    product = np.einsum("lt,lt->l", one, other)
    size = np.einsum("lt,lt->l", one, one) * np.einsum("lt,lt->l", other, other)
    return float((product / np.sqrt(np.maximum(size, 1e-30))).mean())
