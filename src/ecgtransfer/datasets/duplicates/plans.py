"""Plans: which records are compared with which, and on which leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgtransfer.datasets.duplicates.recordings import Ints, Mask, Recordings

# Independent leads first: three of them tell people apart. One of these is in nearly every store.
_PREFERRED = ("II", "I", "V2", "V5", "V1", "V3", "V4", "V6")
_JOINTLY = 3


@dataclass(frozen=True)
class Plan:
    """Records that are compared on the same leads.

    Parameters
    ----------
    leads : tuple of str
    members : list of int arrays
        Positions of the records, per store; each has a signal on all of the leads.
    allowed : bool array [stores, stores]
        Whether records of two stores are compared.
    needy : list of bool arrays [records], optional
        Where given, one of a pair must be needy: it lacks a lead on which the others are compared.
    """

    leads: tuple[str, ...]
    members: list[Ints]
    allowed: Mask
    needy: list[Mask] | None = None


def plans(
    recordings: Sequence[Recordings], usable: Sequence[Mask], chosen: Sequence[Mask], across_only: bool
) -> tuple[list[Plan], list[tuple[int, int]]]:
    """Return the plans, and the pairs of stores that have no lead in common.

    Parameters
    ----------
    recordings : sequence of Recordings
    usable : sequence of bool arrays [records, leads]
        Which leads have a signal.
    chosen : sequence of bool arrays [records]
        Which records take part.
    across_only : bool
        Whether records of one store are left uncompared.
    """
    n = len(recordings)
    joint: dict[tuple[str, ...], Mask] = {}
    apart = []
    for i in range(n):
        for j in range(i + across_only, n):
            leads = common(recordings[i].leads, recordings[j].leads)[:_JOINTLY]
            if leads:
                allowed = joint.setdefault(leads, np.zeros((n, n), dtype=bool))
                allowed[i, j] = allowed[j, i] = True
            else:
                apart.append((i, j))
    found = []
    # Lead → who lacks another lead and is compared on this one, and with which stores.
    lacking: dict[str, tuple[list[Mask], Mask]] = {}
    for leads, allowed in joint.items():
        has = [_has(own, ready, leads) for own, ready in zip(recordings, usable, strict=True)]
        part = [take & full & row.any() for take, full, row in zip(chosen, has, allowed, strict=True)]
        found.append(Plan(leads, [np.flatnonzero(one) for one in part], allowed))
        for i in np.flatnonzero(allowed.any(axis=1)).tolist():
            for record in np.flatnonzero(chosen[i] & ~has[i]):
                own = recordings[i]
                left = [x for x in common(own.leads, own.leads) if usable[i][record, own.leads.index(x)]]
                if left:
                    none = (
                        [np.zeros(len(take), dtype=bool) for take in chosen],
                        np.zeros((n, n), dtype=bool),
                    )
                    needy, pairs = lacking.setdefault(left[0], none)
                    needy[i][record] = True
                    pairs |= allowed
    for lead, (needy, pairs) in lacking.items():
        has = [_has(own, ready, (lead,)) for own, ready in zip(recordings, usable, strict=True)]
        part = [take & full & row.any() for take, full, row in zip(chosen, has, pairs, strict=True)]
        found.append(Plan((lead,), [np.flatnonzero(one) for one in part], pairs, needy))
    return found, apart


def common(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """Return the leads that both have, the most telling first."""
    shared = [lead for lead in one if lead in other]
    rank = {lead: place for place, lead in enumerate(_PREFERRED)}
    return tuple(sorted(shared, key=lambda lead: (rank.get(lead, len(rank)), shared.index(lead))))


def _has(own: Recordings, usable: Mask, leads: tuple[str, ...]) -> Mask:
    """Return which records of a store have a signal on all of the leads."""
    if not set(leads) <= set(own.leads):
        return np.zeros(len(usable), dtype=bool)
    return np.asarray(usable[:, [own.leads.index(lead) for lead in leads]].all(axis=1))
