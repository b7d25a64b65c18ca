"""Where a lead does not behave: flat, at a limit, jumping, noise. Numbers only; `quality` judges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

FLAT_MV, FLAT_SECONDS, CONSTANT_SECONDS = 0.01, 2.0, 1.0
_PIECE_SECONDS, _PIECES_PER_SPAN = 0.25, 8
_EDGE_MV = 0.03


@dataclass(frozen=True)
class Extremes:
    """Highest and lowest values, which most of the checks are made of.

    ``high`` and ``low`` are of every quarter of a second, ``high2`` and ``low2`` of every 2 s,
    [leads, pieces].
    """

    high: Array
    low: Array
    high2: Array
    low2: Array
    samples: int  # per quarter of a second

    @property
    def spans(self) -> Array:
        """Each lead's median span within 2 s, in mV: a beat is in it, a single spike is not."""
        # The upper median by sorting: for a few values far faster than numpy.median.
        spans = np.sort(self.high2 - self.low2, axis=1)
        return spans[:, spans.shape[1] // 2]


def extremes(signal: Array, rate: float) -> Extremes:
    """Return the extremes of a signal [leads, samples] of at least one sample, ``rate`` in Hz."""
    samples = max(1, min(signal.shape[1], round(rate * _PIECE_SECONDS)))
    n, rest = divmod(signal.shape[1], samples)
    pieces = signal[:, : n * samples].reshape(len(signal), n, samples)
    high, low = pieces.max(axis=2), pieces.min(axis=2)
    per_span = min(n, _PIECES_PER_SPAN)
    shape = (len(signal), n // per_span, per_span)
    used = shape[1] * per_span
    high2 = high[:, :used].reshape(shape).max(axis=2)
    low2 = low[:, :used].reshape(shape).min(axis=2)
    if rest:
        # What remains at the end gets a piece of its own, so that no extreme is overlooked.
        end = signal[:, -samples:]
        high = np.concatenate([high, end.max(axis=1, keepdims=True)], axis=1)
        low = np.concatenate([low, end.min(axis=1, keepdims=True)], axis=1)
    return Extremes(high, low, high2, low2, samples)


def flat_stretches(
    signal: Array, rate: float, known: Extremes, present: Mask | None
) -> dict[int, list[tuple[int, int]]]:
    """Return the flat stretches of each lead that has any, as (first sample, one past the last).

    Flat is a span of at most 10 µV for 2 s, or the same value for 1 s. Where samples are missing
    (``present`` [leads, samples], None where all are there) there is nothing that could be flat.
    """
    still = known.high - known.low <= FLAT_MV
    found: dict[int, list[tuple[int, int]]] = {}
    # Any stretch of 1 s covers three whole quarters of a second; few leads have three that are quiet.
    for row in np.flatnonzero(still.sum(axis=1) >= 3).tolist():
        parts = _flat(signal[row], still[row], known.samples, rate)
        if present is not None:
            parts = [(start, end) for start, end in parts if present[row, start:end].mean() > 0.5]
        if parts:
            found[row] = parts
    return found


def limit_stretches(signal: Array, rate: float, known: Extremes) -> dict[int, list[tuple[int, int]]]:
    """Return where a lead stays at its largest or smallest value as at a limit, for 20 ms or more in all.

    The top of a wave is left gently; a limit is run into and left again within 10 ms. A file's ends are often
    filled by repeating a sample, which is no limit.
    """
    least, near = max(3, round(0.008 * rate)), max(1, round(0.01 * rate))
    found: dict[int, list[tuple[int, int]]] = {}
    for limits in (known.high.max(axis=1), known.low.min(axis=1)):
        at_limit = signal == limits[:, None]
        for row in range(len(signal)):
            if np.count_nonzero(at_limit[row]) < 2 * least:
                continue
            lead, limit = signal[row], limits[row]
            runs = [
                (start, end)
                for start, end in _runs(at_limit[row])
                if end - start >= least
                and start > 0
                and end < len(lead)
                and abs(lead[max(0, start - near)] - limit) >= _EDGE_MV
                and abs(lead[min(len(lead), end + near) - 1] - limit) >= _EDGE_MV
            ]
            if sum(end - start for start, end in runs) >= 0.02 * rate:
                found[row] = [*found.get(row, []), *runs]
    return dict(sorted(found.items()))


def leaps(known: Extremes) -> NDArray[np.float64]:
    """Return by how much each lead's baseline moves within 10 s beyond the span of its ECG, in mV.

    Two stretches of 2 s whose values do not overlap are apart by the gap between them.
    """
    high, low = known.high2, known.low2
    most = np.zeros(len(high))
    for apart in range(1, min(5, high.shape[1])):
        up, down = low[:, apart:] - high[:, :-apart], low[:, :-apart] - high[:, apart:]
        most = np.maximum(most, np.maximum(up, down).max(axis=1))
    return most


def restless(known: Extremes, least: float) -> Mask:
    """Return which leads move by more than ``least`` mV in nearly every quarter of a second."""
    return np.asarray(np.mean(known.high - known.low > least, axis=1) > 0.9)


def turns(lead: Array, known: Extremes) -> float:
    """Return how often a lead runs through its span in a quarter of a second: its path's length in spans.

    Two or three for the waves of an ECG however fast or wide, four and more for noise.
    """
    n = len(lead) // known.samples
    pieces = lead[: n * known.samples].reshape(n, known.samples)
    path = np.abs(np.diff(pieces, axis=1)).sum(axis=1)
    spans = pieces.max(axis=1) - pieces.min(axis=1)
    return float(np.median(path / spans.clip(min=1e-6)))


def _flat(lead: Array, still: Mask, size: int, rate: float) -> list[tuple[int, int]]:
    found = []
    for first, last in _runs(still):
        start, end = first * size, min(last * size, len(lead))
        part = lead[start:end]
        # Quiet pieces may drift; a baseline that wanders is not flat.
        if len(part) >= FLAT_SECONDS * rate and part.max() - part.min() <= 5 * FLAT_MV:
            found.append((start, end))
    for start, end in _runs(lead[1:] == lead[:-1]):
        if end - start >= CONSTANT_SECONDS * rate and not any(a <= start < b for a, b in found):
            found.append((start, end + 1))
    return found


def _runs(mask: Mask) -> list[tuple[int, int]]:
    """Return the runs of True as (first, one past the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
