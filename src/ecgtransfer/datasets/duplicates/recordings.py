"""Recordings as they are compared: joined from their windows, band-passed, at one rate, gaps known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.steps import MISSING

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

RATE = 100
"""Common sampling rate at which ECGs are compared, Hz."""
LOW_HZ, HIGH_HZ = 3.0, 25.0
"""What is compared. Below lie wander and the phase of high-pass filters, above mains and muscle."""
EDGE_S = 0.4
"""Not compared next to an end or a gap: filters ring, and PTB-XL's 500 Hz files hold their last 0.1 s."""
SEGMENT_S = 64.0
"""Longer recordings are fingerprinted in segments."""

_OVERLAP_S = 4.0
_FLAT_STEPS = 2
_BYTES = 64 << 20


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

    def read(
        self, records: Ints, leads: Sequence[str], start: int = 0, end: int | None = None
    ) -> NDArray[np.int16]:
        """Return recordings of one length, from sample to sample, as stored: [records, leads, samples]."""
        columns = [self.leads.index(lead) for lead in leads]
        end = int(self.length[records[0]]) if end is None else end
        if self.length[records[0]] == self.n_samples:
            return self.store.read(self.first[records])[:, columns, start:end]
        steps = np.full((len(records), len(columns), end - start), MISSING, dtype=np.int16)
        for row, record in enumerate(records):
            windows = np.arange(self.first[record], self.first[record] + self.count[record])
            begins = self.starts[windows]
            windows = windows[(begins < end) & (begins + self.n_samples > start)]
            for begin, window in zip(self.starts[windows] - start, self.store.read(windows), strict=True):
                low, high = max(0, begin), min(end - start, begin + self.n_samples)
                steps[row, :, low:high] = window[columns, low - begin : high - begin]
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
        longest, overlap = round(SEGMENT_S * self.rate), round(_OVERLAP_S * self.rate)
        at = 0
        while at < len(records):
            size = max(1, int(_BYTES // (16 * n_leads * min(length[at], longest))))
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
    if valid.all():
        whole = np.zeros((*valid.shape[:-1], _samples(n, rate)), dtype=bool)
        edge = round(edge_s * RATE)
        whole[..., edge : max(edge, whole.shape[-1] - edge)] = True
        return whole
    nearest = np.minimum((np.arange(_samples(n, rate)) * (rate / RATE)).round().astype(np.int64), n - 1)
    reach = round(edge_s * RATE)
    bad = np.pad(~valid[..., nearest], [(0, 0)] * (valid.ndim - 1) + [(reach, reach)], constant_values=True)
    return ~running(np.logical_or, bad, 2 * reach + 1)


def upper_edge(rates: Sequence[float]) -> float:
    """Return the upper edge of the band, in Hz, that recordings of all these rates have."""
    return min(HIGH_HZ, 0.4 * min(rates))


def running(combine: Any, values: NDArray[Any], width: int) -> NDArray[Any]:
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
