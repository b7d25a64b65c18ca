"""Who is learnt from, who chooses and who is tested in a run: record positions and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ecgtransfer.datasets.splits import split, subset
from ecgtransfer.datasets.store import Store
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.training import Feed

Positions = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Parts:
    """Record positions of the three parts, the labels of the whole store [records, targets], and how."""

    train: Positions
    validation: Positions
    test: Positions
    labels: Floats
    how: str
    unlabelled: int

    def feed(self, store: Store, records: Positions, device: torch.device) -> Feed:
        """Return these records with their labels, ready for a network on the device."""
        return Feed(store, records, self.labels[records], device=device)


def sound_parts(spec: RunSpec, store: Store) -> Parts:
    """Divide by patient, draw n records at random, and set a fifth of them apart to choose on.

    Of a run that is to make a model of every label nothing is tested.

    Raises
    ------
    ConfigError
        The pool cannot serve the run's size.
    """
    if spec.final:
        return _everything(spec, store)
    task = store.task(spec.task)
    division = split(store, task, study_seed=spec.study_seed, seed=spec.seed, excluded=spec.excluded)
    chosen = subset(store, task, division.pool, spec.n, study_seed=spec.study_seed, seed=spec.seed)
    return Parts(
        train=chosen.train,
        validation=chosen.validation,
        test=division.test,
        labels=store.labels(task),
        how=division.how,
        unlabelled=division.unlabelled,
    )


def _everything(spec: RunSpec, store: Store) -> Parts:
    task = store.task(spec.task)
    labels = store.labels(task)
    known = ~np.isnan(labels).all(axis=1)
    unlabelled = int((~known).sum())
    known &= ~store.records["record_id"].isin(spec.excluded).to_numpy(dtype=bool)
    chosen = subset(store, task, np.flatnonzero(known), spec.n, study_seed=spec.study_seed, seed=spec.seed)
    return Parts(
        train=chosen.train,
        validation=chosen.validation,
        test=np.empty(0, dtype=np.int64),
        labels=labels,
        how="every labelled record is learnt from, and none is left to test",
        unlabelled=unlabelled,
    )
