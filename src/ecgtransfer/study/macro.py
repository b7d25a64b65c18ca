"""Which targets macro averages run over: fixed before the first run, by what every test part holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgtransfer.datasets.splits import N_FOLDS, support_in_tests
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.evidence.crossed import MINIMUM_POSITIVES

# What a target needs to count in macro averages: of both classes, in the whole store and in each test part.
MINIMUM_RECORDS = 10
MINIMUM_PER_TEST_PART = 2
# Of the targets that do not count, so many are named where none counts.
NAMED = 3


@dataclass(frozen=True)
class MacroSet:
    """The targets that macro averages run over, and why the others do not count."""

    targets: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def macro_set(
    store: Store, task: str, *, study_seed: int, seeds: Sequence[int], excluded: Sequence[str] = ()
) -> MacroSet:
    """Fix the macro's targets before the first run: those with enough of both classes in every test part.

    A target that is tested on too few patients for an interval would take the interval of the whole macro
    with it: it is left out where another one has enough.

    Parameters
    ----------
    store : Store
    task : str
    study_seed : int
    seeds : sequence of int
        All folds of every partition that one of them tests are looked at, so that the set does not hang on
        which folds a study happens to use.
    excluded : sequence of str
        Ids of records that take no part.

    Raises
    ------
    ConfigError
        When no target has enough: nothing could be compared.
    """
    names = store.task(task).target_names
    labels = store.labels(store.task(task))
    labels = labels[~store.records["record_id"].isin(excluded).to_numpy(dtype=bool)]
    labelled = int((~np.isnan(labels)).any(axis=1).sum())
    total = np.stack([(labels == 1).sum(axis=0), (labels == 0).sum(axis=0)], axis=1)  # [targets, 2]
    partitions = sorted({seed // N_FOLDS for seed in seeds})
    every = [partition * N_FOLDS + fold for partition in partitions for fold in range(N_FOLDS)]
    tested = support_in_tests(store, store.task(task), study_seed=study_seed, seeds=every, excluded=excluded)
    lowest, patients = tested.records.min(axis=0), tested.patients
    kept, left_out = [], []
    sure: list[str] = []
    scarce: list[tuple[str, str]] = []
    for i, name in enumerate(names):
        if total[i].min() < MINIMUM_RECORDS:
            found = f"{total[i, 0]} positives and {total[i, 1]} negatives"
            left_out.append((name, f"{found}, {MINIMUM_RECORDS} needed"))
        elif lowest[i].min() < MINIMUM_PER_TEST_PART:
            found = f"a test part holds {lowest[i, 0]} positives and {lowest[i, 1]} negatives"
            left_out.append((name, f"{found}, {MINIMUM_PER_TEST_PART} needed"))
        else:
            kept.append(name)
            if patients[i].min() >= MINIMUM_POSITIVES:
                sure.append(name)
            else:
                found = f"of the patients tested {patients[i, 0]} are positive and {patients[i, 1]} negative"
                scarce.append((name, f"{found}, {MINIMUM_POSITIVES} needed for an interval"))
    if sure:
        kept, left_out = sure, sorted([*left_out, *scarce], key=lambda each: names.index(each[0]))
    if not kept:
        nearest = sorted(range(len(names)), key=lambda i: -int(total[i].min()))[:NAMED]
        reasons = "; ".join(f"{names[i]}: {dict(left_out)[names[i]]}" for i in nearest)
        more = f"; and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise ConfigError(
            f"of the {labelled:,} labelled records no target of task '{task}' has enough to compare on "
            f"({reasons}{more})",
            where=store.path,
            remedy="Add labelled records, or choose another task",
        )
    return MacroSet(tuple(kept), tuple(left_out))
