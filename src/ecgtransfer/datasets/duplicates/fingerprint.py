"""Fingerprints of many recordings, in this process or in several; the result is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgtransfer import workers
from ecgtransfer.datasets.duplicates import pieces, recordings, sketches
from ecgtransfer.datasets.duplicates.recordings import Doubles, Floats, Ints, Recordings
from ecgtransfer.datasets.duplicates.sketches import Sketches
from ecgtransfer.progress import Progress

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store
    from ecgtransfer.datasets.store_info import StoreInfo

DIMENSIONS = 48
"""Numbers that are left of a piece: the directions in which pieces differ most."""

_FEW, _SAMPLE = 500, 2000
_JOB = 2048


@dataclass(frozen=True)
class Fingerprints:
    """Pieces and sketches of recordings.

    Parameters
    ----------
    record : int array [pieces]
        The recording that a piece is of.
    time : float64 array [pieces]
        Of the piece's anchor, s from the start of the recording.
    vector : float32 array [pieces, numbers]
    sketches : Sketches
        None of recordings that are longer than `recordings.SEGMENT_S`.
    """

    record: Ints
    time: Doubles
    vector: Floats
    sketches: Sketches


@dataclass(frozen=True)
class _Job:
    store: int
    path: Path
    info: StoreInfo
    records: Ints
    leads: tuple[str, ...]
    high: float
    basis: Floats | None


def fingerprint(
    stores: Sequence[Store],
    members: Sequence[Ints],
    leads: tuple[str, ...],
    offset: Ints,
    *,
    processes: int,
    progress: Progress,
) -> Fingerprints:
    """Fingerprint records of several stores.

    Parameters
    ----------
    stores : sequence of Store
    members : sequence of int arrays
        Positions, per store.
    leads : tuple of str
        What fingerprints are made of; each member has a signal on all of them.
    offset : int array
        Where the numbers of a store's records begin.
    processes : int
        At work at once.
    progress : Progress
        Where to tell how far it is.
    """
    high = min(pieces.HIGH_HZ, recordings.upper_edge([store.info.sampling_rate for store in stores]))
    basis = _basis(stores, members, leads, high)
    jobs = [
        _Job(index, store.path, store.info, own[start : start + _JOB], leads, high, basis)
        for index, (store, own) in enumerate(zip(stores, members, strict=True))
        for start in range(0, len(own), _JOB)
    ]
    done: dict[tuple[int, int], Fingerprints] = {}
    total, count = sum(map(len, members)), 0
    if processes > 1:
        results = workers.each(_run, jobs, processes)
    else:
        opened = [Recordings(store) for store in stores]
        results = (
            (job, _fingerprint(opened[job.store], job.records, job.leads, job.high, job.basis))
            for job in jobs
        )
    for job, found in results:
        done[job.store, int(job.records[0])] = _numbered(found, int(offset[job.store]))
        count += len(job.records)
        progress.update(count, total)
    return _joined([done[key] for key in sorted(done)], len(leads))


def _basis(
    stores: Sequence[Store], members: Sequence[Ints], leads: tuple[str, ...], high: float
) -> Floats | None:
    """Return the directions in which pieces differ most [numbers, DIMENSIONS]; None for a few records."""
    total = sum(map(len, members))
    if total <= _FEW:
        return None
    step = max(1, total // _SAMPLE)
    sample = [
        _fingerprint(Recordings(store), own[::step], leads, high, None).vector
        for store, own in zip(stores, members, strict=True)
        if len(own)
    ]
    vectors = np.concatenate(sample).astype(np.float64)
    directions = np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1]
    return np.ascontiguousarray(directions[:, :DIMENSIONS], dtype=np.float32)


def _run(job: _Job) -> Fingerprints:
    """Fingerprint in a process of its own."""
    from threadpoolctl import threadpool_limits

    from ecgtransfer.datasets.store import Store

    with threadpool_limits(limits=1):
        own = Recordings(Store(job.path, job.info))
        return _fingerprint(own, job.records, job.leads, job.high, job.basis)


def _fingerprint(
    own: Recordings, records: Ints, leads: tuple[str, ...], high: float, basis: Floats | None
) -> Fingerprints:
    found = []
    for batch, start, end in own.batches(records, len(leads)):
        signal, valid = recordings.centred(own.read(batch, leads, start, end))
        banded = recordings.band(signal, own.rate, high=high)
        everywhere = np.asarray(valid.all(axis=1))
        row, time, vector = pieces.cut(banded, recordings.comparable(everywhere, own.rate, pieces.EDGE_S))
        sketched = sketches.empty(len(leads))
        if end == own.length[batch[0]] and start == 0:
            sketched = sketches.sketch(banded, recordings.comparable(everywhere, own.rate), batch)
        vector = vector if basis is None else vector @ basis
        found.append(Fingerprints(batch[row], start / own.rate + time, vector, sketched))
    return _joined(found, len(leads))


def _numbered(found: Fingerprints, offset: int) -> Fingerprints:
    sketched = found.sketches
    return Fingerprints(
        found.record + offset,
        found.time,
        found.vector,
        Sketches(sketched.record + offset, sketched.length, sketched.values, sketched.leads),
    )


def _joined(parts: Sequence[Fingerprints], leads: int) -> Fingerprints:
    if not parts:
        return Fingerprints(
            np.empty(0, np.int64), np.empty(0), np.empty((0, 1), np.float32), sketches.empty(leads)
        )
    return Fingerprints(
        np.concatenate([part.record for part in parts]),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.vector for part in parts]),
        sketches.joined([part.sketches for part in parts], leads),
    )
