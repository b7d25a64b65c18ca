"""Fingerprints: short pieces of an ECG, anchored at its beats, that look the same however it was exported.

A recording is joined from its windows, band-passed and brought to one common rate. Its anchors are the peaks of
the energy in the band, which neither gain, polarity, rate, crop nor the usual filters move. From each anchor a
piece of a few beats, scaled to unit length, becomes a vector: the shape of the beats and the time between them.
Equal recordings have nearly equal vectors; `neighbours` finds these and `duplicates` verifies them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.store_files import MISSING

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

RATE = 100
"""Common sampling rate at which ECGs are compared, Hz."""
LOW_HZ, HIGH_HZ = 3.0, 25.0
"""What is compared. Below lie wander and the phase of high-pass filters, above mains and muscle."""
PIECE_S = 2.6
"""Length of a piece: at 50 beats per minute it holds two beats and more."""
EDGE_S = 0.4
"""Not compared next to an end or a gap: filters ring there, and PTB-XL's 500 Hz files hold their last 0.1 s."""

_PIECE_HIGH_HZ, _GRID_HZ = 14.0, 32
_BEFORE_S, _APART_S, _SMOOTH_S, _PIECE_EDGE_S = 0.3, 0.25, 0.08, 0.2
# A peak has this share at least of the largest within so many seconds: local, so that a crop changes nothing.
_SHARE, _NEARBY_S = 0.1, 1.5
_FLAT_STEPS = 2
_DOUBTFUL_SKEW = 0.25
_BYTES = 64 << 20
_SEGMENT_S = 64.0


@dataclass(frozen=True)
class Pieces:
    """Fingerprints of recordings.

    Parameters
    ----------
    record : int array [pieces]
        Position of the recording in its store.
    time : float64 array [pieces]
        Of the anchor, in s from the start of the recording.
    vector : float32 array [pieces, numbers]
        Of unit length before it was projected; the larger deflections are positive.
    """

    record: Ints
    time: NDArray[np.float64]
    vector: Floats


class Recordings:
    """The recordings of a store, joined from their windows."""

    def __init__(self, store: Store) -> None:
        self.store, self.leads = store, list(store.info.leads)
        self.rate, self.n_samples = float(store.info.sampling_rate), int(store.info.n_samples)
        self.starts: Ints = store.windows["start"].to_numpy(dtype=np.int64)
        every = np.arange(store.n_records)
        self.first = np.searchsorted(store.record_of_row, every)
        self.count = np.searchsorted(store.record_of_row, every, side="right") - self.first
        self.length = self.starts[self.first + self.count - 1] + self.n_samples

    def read(self, records: Ints, leads: Sequence[str]) -> NDArray[np.int16]:
        """Return recordings of one length as they are stored: [records, leads, samples]."""
        columns = [self.leads.index(lead) for lead in leads]
        length = int(self.length[records[0]])
        if length == self.n_samples:
            return self.store.read(self.first[records])[:, columns]
        steps = np.full((len(records), len(columns), length), MISSING, dtype=np.int16)
        for row, record in enumerate(records):
            windows = np.arange(self.first[record], self.first[record] + self.count[record])
            for start, window in zip(self.starts[windows], self.store.read(windows), strict=True):
                steps[row, :, start : start + self.n_samples] = window[columns]
        return steps

    def usable(self, leads: Sequence[str]) -> Mask:
        """Return which of the leads have a signal [records, leads]: samples, and not all of them the same."""
        found = np.zeros((self.store.n_records, len(leads)), dtype=bool)
        columns = [self.leads.index(lead) for lead in leads]
        size = max(1, _BYTES // (2 * len(self.leads) * self.n_samples))
        for start in range(0, self.store.n_windows, size):
            rows = np.arange(start, min(start + size, self.store.n_windows))
            steps = self.store.read(rows)[:, columns]
            high, low = steps.max(axis=2).astype(np.int32), steps.min(axis=2).astype(np.int32)
            if (gaps := low == MISSING).any():
                window, lead = np.nonzero(gaps)
                some = steps[window, lead]
                low[gaps] = np.where(some == MISSING, 32767, some).min(axis=1)
            np.logical_or.at(found, self.store.record_of_row[rows], high - low > _FLAT_STEPS)
        return found

    def batches(self, records: Ints, n_leads: int) -> Iterator[tuple[Ints, int, int]]:
        """Cut records into batches of one length that fit in memory; long ones into overlapping segments.

        Yields
        ------
        records, start, end : int array, int, int
            Samples from ``start`` to ``end`` of these records.
        """
        length = self.length[records]
        order = np.argsort(length, kind="stable")
        records, length = records[order], length[order]
        longest, overlap = round(_SEGMENT_S * self.rate), round((PIECE_S + 2 * EDGE_S + 0.2) * self.rate)
        at = 0
        while at < len(records):
            size = max(1, int(_BYTES // (16 * n_leads * length[at])))
            end = min(at + size, int(np.searchsorted(length, length[at], side="right")))
            for start in range(0, max(1, int(length[at]) - overlap), longest - overlap):
                yield records[at:end], start, min(start + longest, int(length[at]))
            at = end


def centred(steps: NDArray[np.int16]) -> tuple[Floats, Mask]:
    """Return steps less their mean, 0 where there is no sample, and where there is one; axes as they came."""
    valid = steps != MISSING
    signal = steps.astype(np.float32)
    if valid.all():
        return signal - signal.mean(axis=-1, keepdims=True), valid
    signal[~valid] = 0
    signal -= signal.sum(axis=-1, keepdims=True) / np.maximum(valid.sum(axis=-1, keepdims=True), 1)
    signal[~valid] = 0
    return signal, valid


def band(signal: Floats, rate: float, low: float = LOW_HZ, high: float = HIGH_HZ) -> Floats:
    """Band-pass without phase and bring to `RATE`, at once, in the frequency domain.

    Parameters
    ----------
    signal : float32 array [..., samples]
    rate : float
        In Hz.
    low, high : float
        Edges in Hz; the upper one at most 0.4 of the lowest rate that is compared.

    Returns
    -------
    float32 array [..., samples at `RATE`]
    """
    n = signal.shape[-1]
    seconds = _whole_seconds(n, rate)
    spectrum = np.fft.rfft(signal, n=round(seconds * rate), axis=-1)[..., : seconds * RATE // 2]
    frequency = np.arange(spectrum.shape[-1]) / seconds
    gain = 1 / ((1 + (low / np.maximum(frequency, 1e-3)) ** 4) * (1 + (frequency / high) ** 12))
    spectrum *= (gain * (RATE / rate)).astype(np.float32)
    found = np.fft.irfft(spectrum, n=seconds * RATE, axis=-1)[..., : _samples(n, rate)]
    return np.ascontiguousarray(found, dtype=np.float32)


def comparable(valid: Mask, rate: float, edge_s: float = EDGE_S) -> Mask:
    """Return at `RATE` what is ``edge_s`` or more away from ends and gaps: bool [..., samples at `RATE`]."""
    n = valid.shape[-1]
    nearest = np.minimum((np.arange(_samples(n, rate)) * (rate / RATE)).round().astype(np.int64), n - 1)
    reach = round(edge_s * RATE)
    bad = np.pad(~valid[..., nearest], [(0, 0)] * (valid.ndim - 1) + [(reach, reach)], constant_values=True)
    return ~_running(np.logical_or, bad, 2 * reach + 1)


def pieces(
    recordings: Recordings, records: Ints, leads: Sequence[str], high: float, basis: Floats | None = None
) -> Pieces:
    """Fingerprint recordings.

    Parameters
    ----------
    recordings : Recordings
    records : int array [records]
        Positions in the store; each of the leads must be `Recordings.usable`.
    leads : sequence of str
        What a piece is made of.
    high : float
        Upper edge of the band in Hz; `upper_edge` of the rates that are compared.
    basis : float32 array [numbers, fewer], optional
        Onto which vectors are projected.
    """
    found = []
    for batch, start, end in recordings.batches(records, len(leads)):
        signal, valid = centred(recordings.read(batch, leads)[:, :, start:end])
        row, time, vector = _cut_pieces(
            band(signal, recordings.rate, high=min(high, _PIECE_HIGH_HZ)),
            comparable(valid.all(axis=1), recordings.rate, _PIECE_EDGE_S),
        )
        vector = vector if basis is None else vector @ basis
        found.append(Pieces(batch[row], start / recordings.rate + time, vector))
    width = len(leads) * round(PIECE_S * _GRID_HZ) if basis is None else basis.shape[1]
    return joined(found, width)


def joined(parts: Sequence[Pieces], width: int = 0) -> Pieces:
    """Return several as one."""
    if not parts:
        return Pieces(np.empty(0, np.int64), np.empty(0), np.empty((0, width), np.float32))
    return Pieces(
        np.concatenate([part.record for part in parts]),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.vector for part in parts]),
    )


def upper_edge(rates: Sequence[float]) -> float:
    """Return the upper edge of the band, in Hz, that recordings of all these rates have."""
    return min(HIGH_HZ, 0.4 * min(rates))


def _cut_pieces(signal: Floats, whole: Mask) -> tuple[Ints, NDArray[np.float64], Floats]:
    """Return row, time in s and vector of the pieces of signals [rows, leads, samples at `RATE`]."""
    before, length = round(_BEFORE_S * RATE), round(PIECE_S * RATE)
    if signal.shape[2] < length + 4:
        return np.empty(0, np.int64), np.empty(0), np.empty((0, _width(signal)), np.float32)
    energy = _energy(signal)
    apart, nearby = 2 * round(_APART_S * RATE) + 1, 2 * round(_NEARBY_S * RATE) + 1
    peak = energy >= _running(np.maximum, _padded(energy, apart), apart)
    peak &= energy > _SHARE * _running(np.maximum, _padded(energy, nearby), nearby)
    peak[:, : before + 1] = False
    peak[:, signal.shape[2] - (length - before) - 2 :] = False
    row, at = np.nonzero(peak)
    counted = np.cumsum(np.pad(whole, ((0, 0), (1, 0))), axis=1)
    complete = counted[row, at - before + length] - counted[row, at - before] == length
    row, at = row[complete], at[complete]
    # Between samples: on a parabola through the peak.
    left, here, right = energy[row, at - 1], energy[row, at], energy[row, at + 1]
    bend = np.minimum(left - 2 * here + right, -1e-9 * np.abs(here) - 1e-30)
    anchor = at + np.clip(0.5 * (left - right) / bend, -0.5, 0.5)
    vector = _interpolated(signal, row, anchor - before)
    vector /= np.maximum(np.linalg.norm(vector, axis=2, keepdims=True), 1e-6)
    vector = vector.reshape(len(row), _width(signal)) / np.float32(np.sqrt(signal.shape[1]))
    skew = np.einsum("ij,ij,ij->i", vector, vector, vector) * np.sqrt(vector.shape[1])
    vector *= np.where(skew < 0, -1, 1).astype(np.float32)[:, None]
    # Where neither direction is clearly the larger one, a piece is there both ways up.
    both = np.flatnonzero(np.abs(skew) < _DOUBTFUL_SKEW)
    row, anchor = np.concatenate([row, row[both]]), np.concatenate([anchor, anchor[both]])
    return row.astype(np.int64), anchor / RATE, np.concatenate([vector, -vector[both]])


def _energy(signal: Floats) -> Floats:
    """Return the smoothed energy of all leads [rows, samples], each lead counting the same."""
    squared = signal**2
    # The usual size of a lead: what an artefact adds is limited.
    mean = squared.mean(axis=2, keepdims=True)
    mean = np.minimum(squared, 9 * mean).mean(axis=2, keepdims=True)
    energy: Floats = (squared / np.maximum(mean, 1e-9)).sum(axis=1)
    width = round(_SMOOTH_S * RATE) | 1
    for _ in range(2):
        counted = np.cumsum(np.pad(energy, ((0, 0), (width // 2 + 1, width // 2))), axis=1, dtype=np.float64)
        energy = ((counted[:, width:] - counted[:, :-width]) / width).astype(np.float32)
    return energy


def _interpolated(signal: Floats, row: Ints, start: NDArray[np.float64]) -> Floats:
    """Return pieces [pieces, leads, grid] that start between samples, on a line between the two."""
    position = start[:, None] + np.arange(round(PIECE_S * _GRID_HZ)) * (RATE / _GRID_HZ)
    low = position.astype(np.int64)
    share = (position - low).astype(np.float32)
    n_leads, n = signal.shape[1:]
    flat = signal.reshape(-1)
    found = np.empty((len(row), n_leads, position.shape[1]), dtype=np.float32)
    for lead in range(n_leads):
        index = low + ((row * n_leads + lead) * n)[:, None]
        one = flat[index]
        found[:, lead] = one + share * (flat[index + 1] - one)
    return found


def _width(signal: Floats) -> int:
    return signal.shape[1] * round(PIECE_S * _GRID_HZ)


def _padded(values: Floats, width: int) -> Floats:
    return np.pad(values, ((0, 0), (width // 2, width // 2)))


def _running(combine: Any, values: NDArray[Any], width: int) -> NDArray[Any]:
    """Return ``combine`` over each ``width`` neighbours of the last axis, in steps that double."""
    have = 1
    while have < width:
        step = min(have, width - have)
        values = combine(values[..., : values.shape[-1] - step], values[..., step:])
        have += step
    return values


def _samples(n: int, rate: float) -> int:
    return int(np.ceil(n * RATE / rate - 1e-9))


def _whole_seconds(n: int, rate: float) -> int:
    """Return whole seconds, one at least beyond the signal, that are whole samples and quick to transform."""
    least = int(np.ceil(n / rate)) + 1
    # Rates like 128.205 Hz have no whole samples in whole seconds nearby: then the best there is.
    quick = [seconds for seconds in range(least, 2 * least + 24) if _smooth(seconds)][:12]
    off = [abs(seconds * rate - round(seconds * rate)) / seconds for seconds in quick]
    return next((s for s, error in zip(quick, off, strict=True) if error < 1e-6), quick[int(np.argmin(off))])


def _smooth(number: int) -> bool:
    for factor in (2, 3, 5):
        while number % factor == 0:
            number //= factor
    return number == 1
