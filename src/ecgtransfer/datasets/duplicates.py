"""Duplicates: the same ECG twice, in a store or in two: also at another rate, gain, crop, filter or upside down.

Nobody compares all pairs. Recordings with equal hashes are equal. For the others, pieces anchored at the beats
(`fingerprints`) that lie close together (`neighbours`) name candidates, and a candidate is a duplicate where
everything the two have in common, on all common leads, correlates (`verification`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecgtransfer import workers as processes
from ecgtransfer.datasets import fingerprints as prints
from ecgtransfer.datasets.fingerprints import Floats, Ints, Mask, Pieces, Recordings
from ecgtransfer.datasets.neighbours import close_pairs
from ecgtransfer.datasets.verification import Alignment, Verifier
from ecgtransfer.progress import Progress

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store

Place = tuple[int, int]

RADIUS = 0.25
"""Greatest distance of two pieces, of unit length, of one ECG; 0.02 is usual, 0.2 after a strong filter."""
PARTNERS = 12
"""Candidates that are verified for a record, the best first."""
CLIQUE = 64
"""Up to so many copies of one ECG, each pair is listed; of more, each copy's pair with the first one."""

_DIMENSIONS, _BASIS_FROM = 48, 20_000
_SHIFTS = 3
_JOB = 2048
_WORTH_WORKERS = 20_000
# Independent leads first: three of them tell people apart, and limb leads differ by swapped electrodes.
_PREFERRED = ("II", "I", "V2", "V5", "V1", "V3", "V4", "V6")


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
    kind: Literal["exact", "near"]
    similarity: float
    shift: float
    gain: float


@dataclass(frozen=True)
class Found:
    """What a search found, and what it could not look at: ``notes`` are sentences, none where all is well."""

    pairs: list[Pair]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """Which records are compared on which leads.

    ``members`` per store, ``allowed`` [stores, stores]; with ``needy`` (per store, a mask of its records),
    one of a pair must be needy: it lacks a lead of the plan that the others are compared on.
    """

    leads: tuple[str, ...]
    members: list[Ints]
    allowed: Mask
    needy: list[Mask] | None = None


def find(
    stores: Sequence[Store],
    *,
    across_only: bool = False,
    quiet: bool = True,
    workers: int | None = None,
) -> list[Pair]:
    """Return the pairs of records that hold the same ECG, within and across stores.

    Parameters
    ----------
    stores : sequence of Store
        Their windows, leads, rates and lengths may differ.
    across_only : bool
        Only pairs of records of two different stores.
    quiet : bool
        No progress on stderr.
    workers : int, optional
        Processes; by default one per core for large stores. The result does not depend on it.

    Returns
    -------
    list of Pair
        Sorted. An inverted copy counts: it is the same ECG with its electrodes swapped.

    See Also
    --------
    search : says too which records could not be compared.
    """
    return search(stores, across_only=across_only, quiet=quiet, workers=workers).pairs


def search(
    stores: Sequence[Store],
    *,
    across_only: bool = False,
    quiet: bool = True,
    workers: int | None = None,
) -> Found:
    """Find duplicates as `find` does, and say what could not be compared.

    The time is linear in records: 100,000 12-lead recordings of 10 s take about a minute on two cores. The
    recordings, the pieces and the candidates are each looked at a bounded number of times.
    """
    from threadpoolctl import threadpool_limits

    # One thread per product: its last bit, and so the result, must not depend on the machine's cores.
    with threadpool_limits(limits=1):
        return _Search(stores, across_only, quiet, workers).run()


class _Search:
    """One search: records are numbered through all stores."""

    def __init__(self, stores: Sequence[Store], across_only: bool, quiet: bool, workers: int | None) -> None:
        self.stores, self.across_only, self.quiet = stores, across_only, quiet
        sizes = [store.n_records for store in stores]
        self.offset = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        large = sum(store.n_windows for store in stores) > _WORTH_WORKERS
        self.workers = workers or (_cores() if large else 1)
        self.recordings = [Recordings(store) for store in stores]
        self.notes: list[str] = []

    def run(self) -> Found:
        copies = self._copies()
        first = self._first_of(copies)
        usable = [own.usable(own.leads) for own in self.recordings]
        verifier = Verifier(self.recordings, usable, self.offset)
        known: dict[tuple[int, int], Alignment] = {}
        seen = np.zeros(int(self.offset[-1]), dtype=bool)
        plans = self._plans(first, usable)
        for plan in plans:
            pieces, owner = self._pieces(plan)
            seen[owner] = True
            for a, b, shifts in self._candidates(plan, pieces, owner):
                if (a, b) not in known and (alignment := verifier.verify(a, b, shifts)) is not None:
                    known[a, b] = alignment
        _complete(known, verifier)
        if blind := int((first & ~seen).sum()):
            self.notes.append(
                f"{blind:,} records have no {prints.PIECE_S + 0.4:g} s of signal on the leads that are compared: "
                "only equal recordings were looked for among them"
            )
        return Found(self._pairs(copies, known, verifier), tuple(self.notes))

    def _copies(self) -> list[list[int]]:
        """Return the records that have the same hash, and are equal therefore."""
        by_hash: dict[str, list[int]] = {}
        for start, store in zip(self.offset, self.stores, strict=False):
            for position, value in enumerate(store.records["hash"].tolist()):
                by_hash.setdefault(value, []).append(int(start) + position)
        return list(by_hash.values())

    def _first_of(self, copies: list[list[int]]) -> Mask:
        """Choose one of equal records, of each store: the others need no fingerprint."""
        chosen = np.zeros(int(self.offset[-1]), dtype=bool)
        for group in copies:
            stores = self._store_of(np.array(group))
            chosen[[group[i] for i in np.unique(stores, return_index=True)[1]]] = True
        return chosen

    def _store_of(self, records: Ints) -> Ints:
        return np.searchsorted(self.offset, records, side="right") - 1

    def _plans(self, first: Mask, usable: list[Mask]) -> list[_Plan]:
        """Decide which records are compared on which leads: three that both stores have, where they can be."""
        n = len(self.stores)
        joint: dict[tuple[str, ...], Mask] = {}
        for i in range(n):
            for j in range(i + self.across_only, n):
                common = _common(self.recordings[i].leads, self.recordings[j].leads)
                if not common:
                    names = [self.stores[k].info.name for k in (i, j)]
                    self.notes.append(
                        f"{names[0]} and {names[1]} have no lead in common: only equal recordings were looked for"
                    )
                    continue
                allowed = joint.setdefault(common[:3], np.zeros((n, n), dtype=bool))
                allowed[i, j] = allowed[j, i] = True
        plans = []
        lacking: dict[str, tuple[list[Mask], Mask]] = {}
        for leads, allowed in joint.items():
            members = []
            for i, own in enumerate(self.recordings):
                chosen = first[self.offset[i] : self.offset[i + 1]].copy()
                if not allowed[i].any():
                    members.append(np.empty(0, np.int64))
                    continue
                has = usable[i][:, [own.leads.index(lead) for lead in leads]].all(axis=1)
                members.append(np.flatnonzero(chosen & has))
                for record in np.flatnonzero(chosen & ~has):
                    lead = next(
                        (x for x in _common(own.leads, own.leads) if usable[i][record, own.leads.index(x)]),
                        None,
                    )
                    if lead is None:
                        continue
                    needy, pairs = lacking.setdefault(
                        lead,
                        (
                            [np.zeros(s.n_records, dtype=bool) for s in self.stores],
                            np.zeros((n, n), dtype=bool),
                        ),
                    )
                    needy[i][record] = True
                    pairs |= allowed
            plans.append(_Plan(leads, members, allowed))
        for lead, (needy, allowed) in lacking.items():
            members = []
            for i, own in enumerate(self.recordings):
                chosen = first[self.offset[i] : self.offset[i + 1]]
                if lead in own.leads:
                    members.append(np.flatnonzero(chosen & usable[i][:, own.leads.index(lead)]))
                else:
                    members.append(np.empty(0, np.int64))
            plans.append(_Plan((lead,), members, allowed, needy))
        return plans

    def _pieces(self, plan: _Plan) -> tuple[Pieces, Ints]:
        """Fingerprint the members of a plan; return the pieces and the record that each is of."""
        high = prints.upper_edge([own.rate for own in self.recordings])
        basis = self._basis(plan, high)
        jobs = [
            _Job(store.path, store.info, members[start : start + _JOB], plan.leads, high, basis, index)
            for index, (store, members) in enumerate(zip(self.stores, plan.members, strict=True))
            for start in range(0, len(members), _JOB)
        ]
        progress = Progress("fingerprints", quiet=self.quiet)
        done: dict[tuple[int, int], Pieces] = {}
        total, count = sum(len(job.records) for job in jobs), 0
        if self.workers > 1:
            results: Iterable[Any] = processes.each(_run, jobs, self.workers)
        else:
            results = (
                (job, prints.pieces(self.recordings[job.index], job.records, job.leads, job.high, job.basis))
                for job in jobs
            )
        for job, found in results:
            done[job.index, int(job.records[0])] = found
            count += len(job.records)
            progress.update(count, total)
        progress.finish()
        keys = sorted(done)
        pieces = prints.joined([done[key] for key in keys])
        store = np.repeat([index for index, _ in keys], [len(done[key].record) for key in keys]).astype(
            np.int64
        )
        return pieces, pieces.record + self.offset[store]

    def _basis(self, plan: _Plan, high: float) -> Floats | None:
        """Return the directions in which pieces differ most; None where there are few of them."""
        total = sum(len(members) for members in plan.members)
        if total <= 500:
            return None
        step = max(1, total // 2000)
        sample = [
            prints.pieces(own, members[::step], plan.leads, high).vector
            for own, members in zip(self.recordings, plan.members, strict=True)
            if len(members)
        ]
        vectors = np.concatenate(sample)[:_BASIS_FROM]
        order = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)[1]
        return np.ascontiguousarray(order[:, ::-1][:, :_DIMENSIONS], dtype=np.float32)

    def _candidates(self, plan: _Plan, pieces: Pieces, owner: Ints) -> list[tuple[int, int, list[float]]]:
        """Return pairs of records with close pieces, and where the second may begin in the first's time."""
        store = self._store_of(owner)
        needy = None if plan.needy is None else np.concatenate(plan.needy)[owner]
        everywhere = bool(plan.allowed.all())

        def may_pair(one: Ints, other: Ints) -> Mask:
            fine = owner[one] != owner[other]
            if not everywhere:
                fine &= plan.allowed[store[one], store[other]]
            return fine if needy is None else fine & (needy[one] | needy[other])

        first, second, distance, crowded = close_pairs(pieces.vector, RADIUS, may_pair, threads=self.workers)
        swap = owner[first] > owner[second]
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        shift = pieces.time[first] - pieces.time[second]
        total = int(self.offset[-1])
        key = owner[first] * total + owner[second]
        # Pieces that agree on the shift are one hypothesis.
        step = np.rint(shift / 0.03).astype(np.int64)
        order = np.lexsort((distance, step, key))
        key, step, shift, distance = key[order], step[order], shift[order], distance[order]
        begins = (
            np.flatnonzero(np.r_[True, (np.diff(key) != 0) | (np.diff(step) != 0)])
            if len(key)
            else np.empty(0, int)
        )
        votes = np.diff(np.r_[begins, len(key)])
        key, shift, distance = key[begins], shift[begins], distance[begins]
        order = np.lexsort((distance, -votes, key))
        key, shift, distance, votes = key[order], shift[order], distance[order], votes[order]
        begins = np.flatnonzero(np.r_[True, np.diff(key) != 0]) if len(key) else np.empty(0, int)
        ends = np.r_[begins[1:], len(key)]
        a, b = key[begins] // total, key[begins] % total
        kept = _best(a, b, np.lexsort((distance[begins], -votes[begins])))
        if (n := int(np.unique(owner[crowded]).size)) or not kept.all():
            self.notes.append(
                f"{n:,} records resemble so many others that only the nearest were looked at"
                + (f"; {int((~kept).sum()):,} less likely pairs were not" if not kept.all() else "")
            )
        return [
            (int(a[i]), int(b[i]), shift[begins[i] : min(ends[i], begins[i] + _SHIFTS)].tolist())
            for i in np.flatnonzero(kept)
        ]

    def _pairs(
        self, copies: list[list[int]], known: dict[tuple[int, int], Alignment], verifier: Verifier
    ) -> list[Pair]:
        """List the pairs, those of equal copies included."""
        found: dict[tuple[int, int], tuple[str, Alignment]] = {}
        equal = Alignment(1.0, 0.0, 1.0)
        own: dict[int, list[int]] = {}
        for group in copies:
            for record in group:
                own[record] = group
            for a, b in self._listed(group):
                found[a, b] = ("exact", equal)
        for (a, b), alignment in sorted(known.items()):
            if b in own[a]:
                continue
            kind = "exact" if verifier.equal(a, b, alignment) else "near"
            for one in own[a]:
                for other in own[b]:
                    turned = alignment if one < other else alignment.turned()
                    found.setdefault((min(one, other), max(one, other)), (kind, turned))
        return [
            Pair(self._place(a), self._place(b), kind, value.similarity, value.shift, value.gain)  # type: ignore[arg-type]
            for (a, b), (kind, value) in sorted(found.items())
            if not self.across_only or self._place(a)[0] != self._place(b)[0]
        ]

    def _listed(self, group: list[int]) -> list[tuple[int, int]]:
        if len(group) <= CLIQUE:
            return [(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]
        self.notes.append(
            f"{len(group):,} records are equal: of their pairs only those with the first are listed"
        )
        return [(group[0], other) for other in group[1:]]

    def _place(self, record: int) -> Place:
        store = int(self._store_of(np.array([record]))[0])
        return store, record - int(self.offset[store])


@dataclass(frozen=True)
class _Job:
    path: Any
    info: Any
    records: Ints
    leads: tuple[str, ...]
    high: float
    basis: Floats | None
    index: int


def _run(job: _Job) -> Pieces:
    """Fingerprint in a process of its own."""
    from threadpoolctl import threadpool_limits

    from ecgtransfer.datasets.store import Store

    with threadpool_limits(limits=1):
        return prints.pieces(
            Recordings(Store(job.path, job.info)), job.records, job.leads, job.high, job.basis
        )


def _common(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """Return the leads that both have, the most telling first."""
    common = [lead for lead in one if lead in other]
    rank = {lead: place for place, lead in enumerate(_PREFERRED)}
    return tuple(sorted(common, key=lambda lead: (rank.get(lead, len(rank)), common.index(lead))))


def _best(a: Ints, b: Ints, order: Ints) -> Mask:
    """Keep each pair that is among the first `PARTNERS`, in this order, of one of its two records."""
    kept = np.zeros(len(a), dtype=bool)
    for side in (a, b):
        owner = side[order]
        grouped = np.argsort(owner, kind="stable")
        sorted_owner = owner[grouped]
        starts = np.flatnonzero(np.r_[True, np.diff(sorted_owner) != 0]) if len(owner) else np.empty(0, int)
        counts = np.diff(np.r_[starts, len(owner)])
        place = np.arange(len(owner)) - np.repeat(starts, counts)
        kept[order[grouped[place < PARTNERS]]] = True
    return kept


def _complete(known: dict[tuple[int, int], Alignment], verifier: Verifier) -> None:
    """Verify, in place, pairs that were no candidates although both are duplicates of a third."""
    partners: dict[int, dict[int, float]] = {}
    for (a, b), alignment in known.items():
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
        if 2 < len(group) <= CLIQUE:
            for i, a in enumerate(group):
                for b in group[i + 1 :]:
                    if (a, b) not in known:
                        alignment = verifier.verify(a, b, [begin[b] - begin[a]])
                        if alignment is not None:
                            known[a, b] = alignment


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
