"""Candidates: pairs of records with close pieces that agree on how the two lie, and with sketches alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.duplicates import sketches
from ecgtransfer.datasets.duplicates.fingerprint import Fingerprints
from ecgtransfer.datasets.duplicates.neighbours import close_pairs
from ecgtransfer.datasets.duplicates.pieces import LENGTH_S
from ecgtransfer.datasets.duplicates.plans import Plan
from ecgtransfer.datasets.duplicates.recordings import Doubles, Ints, Mask

RADIUS = 0.25
"""Greatest distance of two pieces of one ECG: 0.02 is usual at another rate, 0.2 after a strong filter."""
NEAR = 0.1
"""Within this, no neighbour is passed over without a word."""
ALIKE = 0.93
"""Least correlation of two sketches of one ECG."""
PARTNERS = 64
"""Candidates whose sketches are compared, for a record; the best first."""

# Pieces agree where their shifts differ by no more than this; at least this share of them must.
_AGREE_S, _AGREEING = 0.01, 0.3
_SHIFTS = 3
_CERTAIN, _CLEARER, _BEATS_S = 0.99, 0.7, 3.5


def candidates(
    plan: Plan, found: Fingerprints, offset: Ints, length_s: Doubles, threads: int
) -> tuple[list[tuple[int, int, list[float]]], list[str]]:
    """Return pairs of records that may be duplicates, and sentences about what was passed over.

    Parameters
    ----------
    plan : Plan
    found : Fingerprints
        Of its members.
    offset : int array
        Where the numbers of a store's records begin.
    length_s : float64 array [records of all stores]
        Length of each record, s.
    threads : int
        At work at once; the result does not depend on it.

    Returns
    -------
    pairs : list of (int, int, list of float)
        Two records, ascending, and where the second may begin in the time of the first, s.
    notes : list of str
    """
    owner = found.record
    store = np.searchsorted(offset, owner, side="right") - 1
    needy = None if plan.needy is None else np.concatenate(plan.needy)[owner]
    everywhere = bool(plan.allowed.all())

    def may_pair(one: Ints, other: Ints) -> Mask:
        fine: Mask = owner[one] != owner[other]
        if not everywhere:
            fine &= plan.allowed[store[one], store[other]]
        return fine if needy is None else fine & (needy[one] | needy[other])

    first, second, distance, crowded = close_pairs(found.vector, RADIUS, may_pair, near=NEAR, threads=threads)
    swap = owner[first] > owner[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    a, b, shift, nearest, votes = _agreeing(
        owner[first], owner[second], found.time[first] - found.time[second], distance
    )
    fine = votes >= _AGREEING * _possible(found, length_s, a, b, shift)
    a, b, shift, nearest, votes = a[fine], b[fine], shift[fine], nearest[fine], votes[fine]
    kept = _best(a, b, np.lexsort((-votes, nearest)))
    passed_over = int((~kept).sum())
    a, b, shift, nearest, votes = a[kept], b[kept], shift[kept], nearest[kept], votes[kept]
    alike = sketches.correlations(found.sketches, a, b, shift)
    chosen = np.flatnonzero(alike >= ALIKE)
    chosen = chosen[np.lexsort([x[chosen] for x in (nearest, -votes, -alike, b, a)])]
    a, b, shift, alike = a[chosen], b[chosen], shift[chosen], alike[chosen]
    begins = _changes(a, b)
    ends = np.append(begins[1:], len(a))[: len(begins)]  # none where there is no candidate
    pairs = []
    for at, end in zip(begins.tolist(), ends.tolist(), strict=True):
        beats_away = np.abs(shift[at:end] - shift[at]) <= _BEATS_S
        next_best = float(alike[at:end][beats_away][1]) if beats_away.sum() > 1 else 0.0
        # A regular rhythm is as much alike a beat away; `verification` says the same with more care.
        if alike[at] >= _CERTAIN or 1 - alike[at] <= _CLEARER * (1 - next_best):
            pairs.append((int(a[at]), int(b[at]), shift[at : min(end, at + _SHIFTS)].tolist()))
    notes = []
    if len(crowded):
        notes.append(
            f"{len(np.unique(owner[crowded])):,} records resemble so many others on {', '.join(plan.leads)} "
            "that only the nearest of these were looked at"
        )
    if passed_over:
        notes.append(f"{passed_over:,} less likely pairs of records with many candidates were not looked at")
    return pairs, notes


def _agreeing(
    a: Ints, b: Ints, shift: Doubles, distance: NDArray[np.float32]
) -> tuple[Ints, Ints, Doubles, NDArray[np.float32], Ints]:
    """Gather close pieces of two records that agree: records, median shift, least distance, their number."""
    order = np.lexsort((shift, b, a))
    a, b, shift, distance = a[order], b[order], shift[order], distance[order]
    begins = _changes(a, b, np.cumsum(np.diff(shift, prepend=shift[:1]) > _AGREE_S))
    ends = np.append(begins[1:], len(a))
    nearest = np.minimum.reduceat(distance, begins) if len(begins) else distance
    return a[begins], b[begins], shift[(begins + ends) // 2], nearest, ends - begins


def _possible(found: Fingerprints, length_s: Doubles, a: Ints, b: Ints, shift: Doubles) -> Ints:
    """Return how many pieces could agree: the fewer of those that either has where the two overlap."""
    longest = 1 + float(length_s.max(initial=0))
    place = np.sort(found.record * longest + found.time)
    begin, end = np.maximum(0, shift), np.minimum(length_s[a], shift + length_s[b])
    counts = []
    for record, own in ((a, 0.0), (b, shift)):
        low = record * longest + np.maximum(begin - own, 0)
        high = record * longest + np.maximum(end - own - LENGTH_S, 0)
        counts.append(np.searchsorted(place, high) - np.searchsorted(place, low))
    possible: Ints = np.minimum(*counts)
    return possible


def _changes(*columns: NDArray[Any]) -> Ints:
    """Return where rows of sorted columns differ from the row before, the first included."""
    new = np.ones(len(columns[0]), dtype=bool)
    new[1:] = False
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(new)


def _best(a: Ints, b: Ints, order: Ints) -> Mask:
    """Keep each pair that is among the first `PARTNERS`, in this order, of one of its two records."""
    kept = np.zeros(len(a), dtype=bool)
    for side in (a, b):
        grouped = order[np.argsort(side[order], kind="stable")]
        begins = _changes(side[grouped])
        place = np.arange(len(grouped)) - np.repeat(begins, np.diff(np.append(begins, len(grouped))))
        kept[grouped[place < PARTNERS]] = True
    return kept
