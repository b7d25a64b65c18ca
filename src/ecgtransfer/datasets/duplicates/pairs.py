"""The search for duplicates, from stores to pairs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecgtransfer.datasets.duplicates.candidates import candidates
from ecgtransfer.datasets.duplicates.fingerprint import fingerprint
from ecgtransfer.datasets.duplicates.pieces import EDGE_S, LENGTH_S
from ecgtransfer.datasets.duplicates.plans import plans
from ecgtransfer.datasets.duplicates.recordings import Ints, Mask, Recordings
from ecgtransfer.datasets.duplicates.verification import Alignment, Verifier
from ecgtransfer.progress import Progress

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store

Place = tuple[int, int]
Kind = Literal["exact", "near"]

CLIQUE = 64
"""Of so many copies of one ECG each pair is listed; of more, each copy's pair with the first one."""

_WORTH_PROCESSES = 5_000


@dataclass(frozen=True)
class Pair:
    """Two records that hold the same ECG.

    Parameters
    ----------
    a, b : (int, int)
        Index of the store in the sequence and position of the record in it; ``a < b``.
    kind : {'exact', 'near'}
        ``exact``: the samples are equal. ``near``: the ECG is, up to rate, gain, crop, filter or noise.
    similarity : float
        Correlation of what the two have in common, mean over common leads; 1 where exact.
    shift : float
        Where ``b`` begins in the time of ``a``, s.
    gain : float
        Amplitude of ``b`` relative to ``a``; negative where one of them is upside down.
    """

    a: Place
    b: Place
    kind: Kind
    similarity: float
    shift: float
    gain: float


@dataclass(frozen=True)
class Found:
    """Pairs of a search, and sentences about what could not be compared: none where all was."""

    pairs: list[Pair]
    notes: tuple[str, ...] = ()


def find(
    stores: Sequence[Store], *, across_only: bool = False, quiet: bool = True, workers: int | None = None
) -> list[Pair]:
    """Return the pairs of records that hold the same ECG, within and across stores.

    Parameters
    ----------
    stores : sequence of Store
        Their leads, rates and windows may differ.
    across_only : bool
        Only pairs of records of two different stores.
    quiet : bool
        No progress on stderr.
    workers : int, optional
        Processes; by default one per core where there are many windows. The result does not depend on it.

    Returns
    -------
    list of Pair
        Sorted. An inverted copy is one: the same ECG with its electrodes exchanged.

    See Also
    --------
    search : says too what could not be compared.
    """
    return search(stores, across_only=across_only, quiet=quiet, workers=workers).pairs


def search(
    stores: Sequence[Store], *, across_only: bool = False, quiet: bool = True, workers: int | None = None
) -> Found:
    """Find duplicates as `find` does, and say what could not be compared."""
    from threadpoolctl import threadpool_limits

    # One thread per matrix product: its last bit, and so the result, must not depend on the machine's cores.
    with threadpool_limits(limits=1):
        return _Search(stores, across_only, quiet, workers).run()


class _Search:
    """One search; records are numbered through all stores."""

    def __init__(self, stores: Sequence[Store], across_only: bool, quiet: bool, workers: int | None) -> None:
        self.stores, self.across_only, self.quiet = stores, across_only, quiet
        self.offset: Ints = np.cumsum([0, *(store.n_records for store in stores)], dtype=np.int64)
        large = sum(store.n_windows for store in stores) > _WORTH_PROCESSES
        self.workers = workers or (_cores() if large else 1)
        self.recordings = [Recordings(store) for store in stores]
        self.notes: list[str] = []

    def run(self) -> Found:
        copies = self._copies()
        chosen = self._first_of(copies)
        usable = [own.usable(own.leads) for own in self.recordings]
        verifier = Verifier(self.recordings, usable, self.offset)
        near = self._near(chosen, usable, verifier)
        _complete(near, verifier)
        return Found(self._pairs(copies, near, verifier), tuple(dict.fromkeys(self.notes)))

    def _copies(self) -> list[list[int]]:
        """Return the records of each hash: they are equal."""
        by_hash: dict[str, list[int]] = {}
        for start, store in zip(self.offset.tolist(), self.stores, strict=False):
            for position, value in enumerate(store.records["hash"].tolist()):
                by_hash.setdefault(value, []).append(start + position)
        return list(by_hash.values())

    def _first_of(self, copies: list[list[int]]) -> Mask:
        """Choose one of equal records in each store: the others need no fingerprint."""
        chosen = np.zeros(int(self.offset[-1]), dtype=bool)
        for group in copies:
            if len(group) == 1:
                chosen[group[0]] = True
            else:
                chosen[[group[i] for i in np.unique(self._store_of(group), return_index=True)[1]]] = True
        return chosen

    def _near(self, chosen: Mask, usable: list[Mask], verifier: Verifier) -> dict[tuple[int, int], Alignment]:
        """Return how the records of each near pair lie to each other."""
        bounds = self.offset[1:-1]
        todo, apart = plans(self.recordings, usable, np.split(chosen, bounds), self.across_only)
        for i, j in apart:
            one, other = self.stores[i].info.name, self.stores[j].info.name
            self.notes.append(
                f"{one} and {other} have no lead in common: only equal recordings were looked for"
            )
        length_s = np.concatenate([own.length / own.rate for own in self.recordings])
        seen = np.zeros(len(chosen), dtype=bool)
        near: dict[tuple[int, int], Alignment] = {}
        for plan in todo:
            progress = Progress("duplicates: fingerprints", quiet=self.quiet)
            prints = fingerprint(
                self.stores, plan.members, plan.leads, self.offset, processes=self.workers, progress=progress
            )
            progress.finish()
            seen[prints.record] = True
            pairs, notes = candidates(plan, prints, self.offset, length_s, self.workers)
            self.notes += notes
            progress = Progress("duplicates: comparing candidates", quiet=self.quiet)
            for count, (a, b, shifts) in enumerate(pairs):
                if (a, b) not in near and (alignment := verifier.verify(a, b, shifts)) is not None:
                    near[a, b] = alignment
                progress.update(count, len(pairs))
            progress.finish()
        if todo and (blind := int((chosen & ~seen).sum())):
            self.notes.append(
                f"{blind:,} records have no {LENGTH_S + 2 * EDGE_S:g} s with beats on the leads that are "
                "compared: only equal recordings were looked for among them"
            )
        return near

    def _pairs(
        self, copies: list[list[int]], near: dict[tuple[int, int], Alignment], verifier: Verifier
    ) -> list[Pair]:
        """List the pairs; what holds for one of equal records holds for all of them."""
        found: dict[tuple[int, int], tuple[Kind, Alignment]] = {}
        group_of: dict[int, list[int]] = {}
        for group in copies:
            group_of |= dict.fromkeys(group, group)
            found |= dict.fromkeys(self._listed(group), ("exact", Alignment(1.0, 0.0, 1.0)))
        for (a, b), alignment in sorted(near.items()):
            kind: Kind = "exact" if verifier.equal(a, b, alignment) else "near"
            for one in group_of[a]:
                for other in group_of[b]:
                    if one != other:
                        turned = alignment if one < other else alignment.turned()
                        found.setdefault((min(one, other), max(one, other)), (kind, turned))
        return [
            Pair(self._place(a), self._place(b), kind, value.similarity, value.shift, value.gain)
            for (a, b), (kind, value) in sorted(found.items())
            if not self.across_only or self._place(a)[0] != self._place(b)[0]
        ]

    def _listed(self, group: list[int]) -> list[tuple[int, int]]:
        if len(group) <= CLIQUE:
            return [(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]
        self.notes.append(f"{len(group):,} records are equal: only each one's pair with the first is listed")
        return [(group[0], other) for other in group[1:]]

    def _store_of(self, records: list[int]) -> Ints:
        return np.searchsorted(self.offset, records, side="right") - 1

    def _place(self, record: int) -> Place:
        store = int(self._store_of([record])[0])
        return store, record - int(self.offset[store])


def _complete(near: dict[tuple[int, int], Alignment], verifier: Verifier) -> None:
    """Verify, in place, pairs that were no candidates although both are duplicates of a third."""
    partners: dict[int, dict[int, float]] = {}
    for (a, b), alignment in near.items():
        partners.setdefault(a, {})[b] = alignment.shift
        partners.setdefault(b, {})[a] = -alignment.shift
    reached: set[int] = set()
    for start in sorted(partners):
        if start in reached:
            continue
        begin, waiting = {start: 0.0}, [start]
        while waiting:
            here = waiting.pop()
            for other, shift in sorted(partners[here].items()):
                if other not in begin:
                    begin[other] = begin[here] + shift
                    waiting.append(other)
        reached |= set(begin)
        group = sorted(begin)
        if not 2 < len(group) <= CLIQUE:
            continue
        for i, a in enumerate(group):
            for b in group[i + 1 :]:
                if (a, b) not in near and (found := verifier.verify(a, b, [begin[b] - begin[a]])) is not None:
                    near[a, b] = found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
