"""Verification: whether two recordings are one, from everything that they have in common."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgtransfer.datasets import fingerprints as prints
from ecgtransfer.datasets.fingerprints import RATE, Floats, Ints, Mask, Recordings

SAME = 0.98
"""Least correlation of duplicates, mean over common leads."""
OVERLAP_S = 4.0
"""Least length of what two recordings have in common, s, their ends left out."""

_SEARCH = 4
_LONGEST_S = 60.0
_KEPT = 1024


@dataclass(frozen=True)
class Alignment:
    """How two recordings lie: correlation, where the second begins in the first (s), its relative amplitude."""

    similarity: float
    shift: float
    gain: float

    def turned(self) -> Alignment:
        """Return the same with the two exchanged."""
        return Alignment(self.similarity, -self.shift, 1 / self.gain)


@dataclass(frozen=True)
class _Prepared:
    signal: Floats
    whole: Mask


class Verifier:
    """Compares recordings; keeps those it has prepared for a while.

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
        self.high = prints.upper_edge([own.rate for own in recordings])
        self.prepared: OrderedDict[tuple[int, int, int], _Prepared] = OrderedDict()

    def verify(self, a: int, b: int, shifts: Sequence[float]) -> Alignment | None:
        """Return how two records lie to each other, or None where they are not the same ECG.

        Parameters
        ----------
        a, b : int
            Their numbers.
        shifts : sequence of float
            Where ``b`` may begin in the time of ``a``, s, to within 0.04 s.
        """
        best: Alignment | None = None
        for shift in shifts:
            found = self._at(a, b, shift)
            if found is not None and (best is None or found.similarity > best.similarity):
                best = found
        return best if best is not None and best.similarity >= SAME else None

    def equal(self, a: int, b: int, alignment: Alignment) -> bool:
        """Say whether two records have the same samples at the same rate on the same leads."""
        if alignment.similarity < 0.9999 or abs(alignment.shift) > 0.002 or abs(alignment.gain - 1) > 1e-3:
            return False
        (one, i), (other, j) = self._own(a), self._own(b)
        if one.rate != other.rate or set(one.leads) != set(other.leads) or one.length[i] != other.length[j]:
            return False
        scale = [float(own.store.records["scale_uv"].iloc[k]) for own, k in ((one, i), (other, j))]
        x, y = one.read(np.array([i]), one.leads), other.read(np.array([j]), one.leads)
        return scale[0] == scale[1] and bool(np.array_equal(x, y))

    def _own(self, record: int) -> tuple[Recordings, int]:
        store = int(np.searchsorted(self.offset, record, side="right")) - 1
        return self.recordings[store], record - int(self.offset[store])

    def _at(self, a: int, b: int, shift: float) -> Alignment | None:
        (one, i), (other, j) = self._own(a), self._own(b)
        length = [float(own.length[k]) / own.rate for own, k in ((one, i), (other, j))]
        begin, end = max(0.0, shift), min(length[0], shift + length[1])
        if end - begin < OVERLAP_S:
            return None
        if max(length) <= _LONGEST_S:
            starts, x, y = (0.0, 0.0), self._prepare(a), self._prepare(b)
        else:
            # Of long recordings, the middle of what they share.
            begin = max(begin, (begin + end - _LONGEST_S) / 2)
            end = min(end, begin + _LONGEST_S)
            x, y = self._prepare(a, begin, end), self._prepare(b, begin - shift, end - shift)
            starts = (int(begin * one.rate) / one.rate, int((begin - shift) * other.rate) / other.rate)
        leads = [lead for lead in one.leads if lead in other.leads]
        rows = [own.leads.index(lead) for lead in leads for own in (one, other)]
        pairs = [
            (r, s)
            for r, s in zip(rows[::2], rows[1::2], strict=True)
            if self.usable[self._store(a)][i, r] and self.usable[self._store(b)][j, s]
        ]
        if not pairs:
            return None
        first, second = [r for r, _ in pairs], [s for _, s in pairs]
        scale = float(other.store.records["scale_uv"].iloc[j]) / float(one.store.records["scale_uv"].iloc[i])
        offset = starts[0] - starts[1]
        found = _align(x.signal[first], y.signal[second], x.whole, y.whole, shift - offset)
        if found is None:
            return None
        return Alignment(found.similarity, found.shift + offset, found.gain * scale)

    def _store(self, record: int) -> int:
        return int(np.searchsorted(self.offset, record, side="right")) - 1

    def _prepare(self, record: int, begin: float = 0.0, end: float = np.inf) -> _Prepared:
        own, position = self._own(record)
        start = int(max(0.0, begin) * own.rate)
        stop = int(min(float(own.length[position]), end * own.rate))
        key = (record, start, stop)
        if key in self.prepared:
            self.prepared.move_to_end(key)
            return self.prepared[key]
        signal, valid = prints.centred(own.read(np.array([position]), own.leads)[0, :, start:stop])
        has = self.usable[self._store(record)][position]
        whole = prints.comparable(valid[has].all(axis=0)[None], own.rate)[0]
        self.prepared[key] = found = _Prepared(prints.band(signal, own.rate, high=self.high), whole)
        if len(self.prepared) > _KEPT:
            self.prepared.popitem(last=False)
        return found


def _align(x: Floats, y: Floats, whole_x: Mask, whole_y: Mask, shift: float) -> Alignment | None:
    """Correlate leads [leads, samples at `RATE`] near a shift (s) and place the maximum between samples."""
    centre = round(shift * RATE)
    measured: dict[int, tuple[float, float] | None] = {}

    def at(step: int) -> tuple[float, float] | None:
        if step not in measured:
            measured[step] = _correlate(x, y, whole_x, whole_y, step)
        return measured[step]

    steps = range(centre - _SEARCH, centre + _SEARCH + 1)
    values = [(abs(value[0]), step) for step in steps if (value := at(step)) is not None]
    if not values:
        return None
    _, best = max(values)
    middle, before, after = at(best), at(best - 1), at(best + 1)
    assert middle is not None
    similarity, gain = middle
    sign = 1 if similarity >= 0 else -1
    offset = 0.0
    if before is not None and after is not None:
        left, here, right = sign * before[0], sign * similarity, sign * after[0]
        bend = left - 2 * here + right
        if bend < 0 and here >= max(left, right):
            offset = 0.5 * (left - right) / bend
            similarity = sign * (here - 0.25 * (left - right) * offset)
    return Alignment(min(abs(similarity), 1.0), (best + offset) / RATE, sign * gain)


def _correlate(x: Floats, y: Floats, whole_x: Mask, whole_y: Mask, shift: int) -> tuple[float, float] | None:
    """Return the mean correlation over leads, and the relative amplitude, of the overlap at a shift."""
    first, second = max(0, shift), max(0, -shift)
    n = min(x.shape[1] - first, y.shape[1] - second)
    if n <= 0:
        return None
    both = whole_x[first : first + n] & whole_y[second : second + n]
    if both.sum() < OVERLAP_S * RATE:
        return None
    where = np.flatnonzero(both)
    begin, end = int(where[0]), int(where[-1]) + 1
    one, other = x[:, first + begin : first + end], y[:, second + begin : second + end]
    if len(where) < end - begin:
        one, other = one * both[begin:end], other * both[begin:end]
    product = np.einsum("lt,lt->l", one, other)
    of_one, of_other = np.einsum("lt,lt->l", one, one), np.einsum("lt,lt->l", other, other)
    alive = (of_one > 0) & (of_other > 0)
    if not alive.any():
        return None
    correlation = product[alive] / np.sqrt(of_one[alive] * of_other[alive])
    return float(correlation.mean()), float(np.median(np.sqrt(of_other[alive] / of_one[alive])))
