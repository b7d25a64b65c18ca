"""What of an upstream store must not be learnt from, because a downstream store tests it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgtransfer.datasets import duplicates
from ecgtransfer.datasets.store import Store


@dataclass(frozen=True)
class Overlap:
    """Records of an upstream store that are also downstream, in whatever form.

    Parameters
    ----------
    record_ids : tuple of str
        All of them, sorted.
    duplicates : int
        Those that are the same ECG as a downstream record.
    patients : int
        Others of the same patients: of a duplicate's, or named alike in another part of the same source.
    """

    record_ids: tuple[str, ...]
    duplicates: int
    patients: int

    def sentence(self, upstream: str) -> str:
        """Return what is left out, and why."""
        if not self.record_ids:
            return f"No recording of {upstream} was found downstream."
        return (
            f"{len(self.record_ids):,} recordings of {upstream} take no part in pre-training: "
            f"{self.duplicates:,} are duplicates of downstream recordings, {self.patients:,} others are of "
            "the same patients."
        )


def overlap(upstream: Store, downstream: Sequence[Store]) -> Overlap:
    """Return the records of ``upstream`` that a network must not see before it is tested on ``downstream``.

    These are duplicates of downstream records (exact or near, see `duplicates.find`), all other records of
    the patients those belong to, and the records of patients that a downstream store of the same public
    source names too. Patient ids of two users' folders are not compared: each hospital counts from 1.
    """
    # One command asks several times, and what two contents share does not change.
    key = tuple(store.fingerprint for store in (upstream, *downstream))
    if key not in _FOUND:
        _FOUND[key] = _overlap(upstream, downstream)
    return _FOUND[key]


_FOUND: dict[tuple[str, ...], Overlap] = {}


def _overlap(upstream: Store, downstream: Sequence[Store]) -> Overlap:
    pairs = duplicates.find([upstream, *downstream], across_only=True)
    # A pair of two downstream stores is nobody's upstream.
    twins = {pair.a[1] for pair in pairs if pair.a[0] == 0}
    same = np.zeros(upstream.n_records, dtype=bool)
    same[list(twins)] = True
    excluded = np.isin(upstream.groups, upstream.groups[same])
    ours = _patients(upstream)
    for store in downstream:
        theirs = set(_patients(store)) - {None}
        excluded |= np.array([patient in theirs for patient in ours], dtype=bool)
    ids = upstream.records["record_id"].to_numpy(dtype=str)[excluded]
    return Overlap(tuple(sorted(ids.tolist())), int(same.sum()), int(excluded.sum() - same.sum()))


def _patients(store: Store) -> list[tuple[str, str] | None]:
    """Return (source, patient) of each record, None where that says nothing outside its own store."""
    records = store.records
    return [
        None if source == "folder" or patient.startswith("record:") else (source, patient)
        for source, patient in zip(records["source"].tolist(), records["patient_id"].tolist(), strict=True)
    ]
