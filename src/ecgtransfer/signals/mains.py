"""Lines of the mains in the spectrum of an ECG."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LINES = (50.0, 60.0, 100.0, 120.0)
_LEAST_MV, _RATIO = 0.02, 5.0


def mains_lines(signal: NDArray[np.float32], rate: float) -> list[tuple[float, NDArray[np.floating[Any]]]]:
    """Return the mains lines that stand out, with their amplitude in each lead.

    A line stands out in a lead where its amplitude is 20 µV or more (0.4 mm from crest to trough on paper)
    and five times that of its neighbourhood; in real recordings weaker ones were hard to see.

    Parameters
    ----------
    signal : float32 array [leads, samples]
        In mV, without gaps.
    rate : float
        In Hz. Lines above 0.4 of it cannot be told and are not looked for.

    Returns
    -------
    list of (float, float array [leads])
        The line in Hz, and its amplitude in mV in the leads where it stands out, 0 in the others.
    """
    samples = round(2 * rate)
    n = signal.shape[1] // max(1, samples)
    basis, lines = _basis(rate)
    if n == 0 or not lines:
        return []
    # A few stretches of 2 s, spread over the recording, are enough to see a line that is always there.
    chosen = np.unique(np.linspace(0, n - 1, min(n, 3)).round().astype(int))
    whole = signal[:, : n * samples].reshape(len(signal), n, samples)[:, chosen]
    waves = (whole.reshape(-1, samples) @ basis).reshape(len(signal), len(chosen), 2, len(lines), 5)
    # [leads, lines, line and its four neighbours]; sorting three values is faster than numpy.median.
    power = np.sort(np.square(waves).sum(axis=2), axis=1)[:, len(chosen) // 2]
    line, around = power[:, :, 0], power[:, :, 1:].mean(axis=2)
    out = (line >= _LEAST_MV**2) & (line >= _RATIO**2 * around)
    if not out.any():
        return []
    heights = np.where(out, np.sqrt(line), 0)
    return [(lines[number], heights[:, number]) for number in np.flatnonzero(out.any(axis=0))]


@lru_cache(maxsize=16)
def _basis(rate: float) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """Return windowed waves [samples of 2 s, cosine and sine × lines × (line, four neighbours)].

    The windowed resolution is 1 Hz, coarser than the comb of a regular heart beat, so that the spectrum of
    the ECG itself is smooth and only a line stands out.
    """
    lines = tuple(f for f in _LINES if f <= 0.4 * rate)
    time = np.arange(round(2 * rate)) / rate
    window = np.hanning(len(time) + 1)[:-1]
    waves = np.array([[f, f - 4, f - 2.5, f + 2.5, f + 4] for f in lines]).reshape(-1)
    angle = 2 * np.pi * np.outer(time, waves)
    basis = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) * window[:, None]
    return (basis / (max(1.0, window.sum()) / 2)).astype(np.float32), lines
