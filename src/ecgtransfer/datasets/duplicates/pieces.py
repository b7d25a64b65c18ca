"""Pieces: a few beats of an ECG as a vector that is the same however the ECG was exported.

Anchors are the peaks of the energy in the band, which neither gain, polarity, rate, crop nor the usual
filters move. A piece begins at an anchor and is scaled to unit length: the shape of the beats, and the time
between them.
"""

from __future__ import annotations

import numpy as np

from ecgtransfer.datasets.duplicates.recordings import RATE, Doubles, Floats, Ints, Mask, running

HIGH_HZ = 14.0
"""Upper edge of the band that pieces are cut from."""
LENGTH_S = 2.6
"""At 50 beats per minute these are two beats and more."""
EDGE_S = 0.2
"""A piece may come as near to an end of the recording."""

_GRID_HZ = 32
_BEFORE_S, _APART_S, _SMOOTH_S = 0.3, 0.25, 0.08
# A peak has this share at least of the largest within so many seconds: local, so that a crop changes nothing.
_SHARE, _NEARBY_S = 0.1, 1.5
_DOUBTFUL_SKEW = 0.25


def cut(signal: Floats, whole: Mask) -> tuple[Ints, Doubles, Floats]:
    """Return row, time in s and vector of the pieces of recordings.

    Parameters
    ----------
    signal : float32 array [rows, leads, samples at `RATE`]
        Band-passed; see `HIGH_HZ`.
    whole : bool array [rows, samples]
        What a piece may be cut from.
    """
    before, length = round(_BEFORE_S * RATE), round(LENGTH_S * RATE)
    if signal.shape[2] < length + 4:
        return np.empty(0, np.int64), np.empty(0), np.empty((0, _width(signal)), np.float32)
    energy = _energy(signal)
    apart, nearby = 2 * round(_APART_S * RATE) + 1, 2 * round(_NEARBY_S * RATE) + 1
    peak = energy >= running(np.maximum, _padded(energy, apart), apart)
    peak &= energy > _SHARE * running(np.maximum, _padded(energy, nearby), nearby)
    peak[:, : before + 1] = False
    peak[:, signal.shape[2] - (length - before) - 2 :] = False
    row, at = np.nonzero(peak)
    counted = np.cumsum(np.pad(whole, ((0, 0), (1, 0))), axis=1)
    complete: Mask = counted[row, at - before + length] - counted[row, at - before] == length
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


def _interpolated(signal: Floats, row: Ints, start: Doubles) -> Floats:
    """Return pieces [pieces, leads, grid] that start between samples, on a line between the two."""
    position = start[:, None] + np.arange(round(LENGTH_S * _GRID_HZ)) * (RATE / _GRID_HZ)
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
    return int(signal.shape[1]) * round(LENGTH_S * _GRID_HZ)


def _padded(values: Floats, width: int) -> Floats:
    return np.pad(values, ((0, 0), (width // 2, width // 2)))
