"""Sketches: whole recordings in few bytes, to weed out most candidates before the recordings are read again.

A sketch is the band of a fingerprint at 50 Hz in 8 bits: 500 bytes for ten seconds of a lead. All sketches
stay in memory, and thousands of candidates are correlated at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.duplicates.recordings import RATE, Doubles, Floats, Ints, Mask

EVERY = 2
"""A sketch keeps every second sample of the common rate."""

_GAP = -128
_REACH = 3
_HIGHEST_HZ = 16.0
_VALUES = 1 << 22


@dataclass(frozen=True)
class Sketches:
    """The sketches of some recordings.

    Parameters
    ----------
    record : int array [recordings]
        Position of each.
    length : int array [recordings]
        Samples per lead.
    values : int8 array
        One after the other, each [leads, samples]; -128 where there is nothing to compare.
    leads : int
        Leads of each.
    """

    record: Ints
    length: Ints
    values: NDArray[np.int8]
    leads: int


def sketch(signal: Floats, whole: Mask, records: Ints) -> Sketches:
    """Sketch recordings of one length.

    Parameters
    ----------
    signal : float32 array [records, leads, samples at `RATE`]
    whole : bool array [records, samples]
        What may be compared.
    records : int array [records]
    """
    signal, whole = signal[:, :, ::EVERY], whole[:, None, ::EVERY]
    size = np.sqrt(
        (signal**2 * whole).sum(axis=2, keepdims=True) / np.maximum(whole.sum(axis=2)[..., None], 1)
    )
    scaled = np.clip(np.rint(signal * (24 / np.maximum(size, 1e-6))), -127, 127).astype(np.int8)
    scaled = np.where(whole, scaled, np.int8(_GAP))
    length = np.full(len(records), signal.shape[2])
    return Sketches(records, length, scaled.reshape(-1), signal.shape[1])


def empty(leads: int) -> Sketches:
    """Return no sketches."""
    none = np.empty(0, np.int64)
    return Sketches(none, none, np.empty(0, np.int8), leads)


def joined(parts: Sequence[Sketches], leads: int) -> Sketches:
    """Return several as one."""
    parts = [empty(leads), *parts]
    return Sketches(
        np.concatenate([part.record for part in parts]),
        np.concatenate([part.length for part in parts]),
        np.concatenate([part.values for part in parts]),
        leads,
    )


def correlations(sketches: Sketches, a: Ints, b: Ints, shift: Doubles) -> Doubles:
    """Return how much recordings look alike: the mean correlation over leads, whatever its sign.

    Parameters
    ----------
    sketches : Sketches
    a, b : int arrays [pairs]
        Recordings, as ``sketches.record`` names them.
    shift : float array [pairs]
        Where ``b`` begins in the time of ``a``, to within 0.03 s.

    Returns
    -------
    float64 array [pairs]
        1 where one of the two is too long for a sketch.
    """
    found = np.ones(len(a))
    if not len(sketches.record):
        return found
    begins = np.concatenate([[0], np.cumsum(sketches.length * sketches.leads)[:-1]])
    place = np.full(int(max(a.max(initial=0), b.max(initial=0), sketches.record.max())) + 1, -1)
    place[sketches.record] = np.arange(len(sketches.record))
    one, other = place[a], place[b]
    steps = np.rint(shift * (RATE / EVERY)).astype(np.int64)
    first = np.maximum(0, steps)
    overlap = np.minimum(sketches.length[one], steps + sketches.length[other]) - first
    known = np.flatnonzero((one >= 0) & (other >= 0))
    known = known[np.argsort(overlap[known], kind="stable")]
    between, at = _between(), 0
    while at < len(known):
        # As many as fit: the longest overlap of the chunk is its last.
        size = max(1, _VALUES // max(1, int(overlap[known[-1]]) * sketches.leads))
        chosen = known[at : at + size]
        at += size
        longest = max(int(overlap[chosen[-1]]), 1)
        x, y = (
            _window(sketches, begins, which[chosen], start, longest + 2 * _REACH)
            for which, start in ((one, first[chosen] - _REACH), (other, (first - steps)[chosen] - _REACH))
        )
        here = x[:, :, _REACH:-_REACH]
        there = [y[:, :, step : step + longest] for step in range(2 * _REACH + 1)]
        at_steps = np.stack([_correlation(here, part) for part in there])
        found[chosen] = np.abs(between @ at_steps).max(axis=0).clip(max=1)
    return found


def _window(sketches: Sketches, begins: Ints, which: Ints, start: Ints, width: int) -> NDArray[np.int8]:
    """Return [recordings, leads, width] from ``start``, `_GAP` outside."""
    at = start[:, None] + np.arange(width)
    length = sketches.length[which][:, None]
    outside = (at < 0) | (at >= length)
    at = np.where(outside, 0, at) + begins[which][:, None]
    found = np.empty((len(which), sketches.leads, width), dtype=np.int8)
    for lead in range(sketches.leads):
        found[:, lead] = sketches.values[at + lead * length]
    found.transpose(0, 2, 1)[outside] = _GAP
    return found


def _correlation(x: NDArray[np.int8], y: NDArray[np.int8]) -> Doubles:
    both = (x != _GAP) & (y != _GAP)
    one, other = np.where(both, x, 0).astype(np.float32), np.where(both, y, 0).astype(np.float32)
    product, of_one, of_other = (
        np.einsum("rlt,rlt->rl", p, q) for p, q in ((one, other), (one, one), (other, other))
    )
    found: Doubles = np.mean(
        product / np.sqrt(np.maximum(of_one * of_other, 1e-30)), axis=1, dtype=np.float64
    )
    return found


def _between() -> Doubles:
    """Return the weights of correlations at whole steps for those at quarter steps.

    A correlation of two signals has no faster part than they have: it is determined between its samples.
    """
    steps = np.arange(-_REACH, _REACH + 1)
    fine = np.arange(-_REACH + 1, _REACH - 0.9, 0.25)
    share = 2 * _HIGHEST_HZ * EVERY / RATE
    known = np.sinc(share * (steps[:, None] - steps)) + 1e-3 * np.eye(len(steps))
    return np.linalg.solve(known, np.sinc(share * (steps[:, None] - fine))).T
