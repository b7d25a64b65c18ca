"""Who is tested and who is learnt from: patient-grouped, stratified partitions and nested random subsets.

What is never divided is a `Store.groups`: the records of a patient, and duplicates whoever they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer import seeds
from ecgtransfer.datasets.store import Store
from ecgtransfer.datasets.tasks import Task
from ecgtransfer.errors import ConfigError, DataError

N_FOLDS = 5
FIXED_TEST_FROM = 5000
OFFICIAL_TEST_FOLD = 10
SMALLEST_SUBSET = 10
VALIDATION_FRACTION = 0.2

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """What may be learnt from and what is tested.

    Parameters
    ----------
    pool, test : int array
        Positions of records in the store, ascending; no patient and no ECG is in both.
    how : str
        One sentence that says how the test part was chosen.
    unlabelled : int
        Records in neither part, because every target of the task is unknown for them.
    """

    pool: Positions
    test: Positions
    how: str
    unlabelled: int


@dataclass(frozen=True)
class Subset:
    """The records an arm may use, ``n`` in all: positions in the store, ascending; patients kept apart."""

    train: Positions
    validation: Positions


def split(store: Store, task: Task, *, study_seed: int, seed: int, excluded: Sequence[str] = ()) -> Split:
    """Divide the records of a store into a pool and a test part.

    Where the store is a complete source with official folds, fold 10 is the test part. Otherwise patients are
    divided into five folds. Below 5,000 records, seed ``s`` tests fold ``s mod 5`` of a partition that is
    drawn afresh every five seeds, so that five seeds test every record once; from 5,000 on, all seeds test
    fold 0 of the first partition.

    Parameters
    ----------
    store : Store
    task : Task
        Its targets are what the folds are stratified by.
    study_seed, seed : int
    excluded : sequence of str
        Ids of records that take no part, as if they had no label.

    Returns
    -------
    Split

    Raises
    ------
    DataError
        There are fewer than five patients with a label, or the official folds contradict themselves.
    """
    labels = store.labels(task)
    known = ~np.isnan(labels).all(axis=1)
    unlabelled = int((~known).sum())
    if excluded:
        known &= ~store.records["record_id"].isin(excluded).to_numpy(dtype=bool)
    labelled = np.flatnonzero(known)
    groups = store.groups
    if store.info.official_folds:
        fold = _official_folds(store)[labelled]
        test_fold, how = OFFICIAL_TEST_FOLD, f"official fold {OFFICIAL_TEST_FOLD} is tested, for every seed"
    else:
        changing = store.n_records < FIXED_TEST_FROM
        partition, test_fold = (seed // N_FOLDS, seed % N_FOLDS) if changing else (0, 0)
        fold = folds(
            labels[labelled],
            groups[labelled],
            N_FOLDS,
            seeds.stream(study_seed, partition, "split"),
        )
        how = (
            f"fold {test_fold} of partition {partition} into {N_FOLDS} stratified folds by patient is tested"
            + ("" if changing else ", for every seed")
        )
    if not store.info.patients_known:
        how += "; not every record names its patient, so patient separation cannot be verified"
    pool, test = labelled[fold != test_fold], labelled[fold == test_fold]
    patients = store.records["patient_id"].to_numpy(dtype=str)
    both = np.intersect1d(patients[pool], patients[test])
    twins = np.isin(groups[pool], groups[test])
    if twins.any() and not both.size:
        # Only official folds divide duplicates; the tested one stays, as the dataset's authors meant it.
        how += f"; {twins.sum()} records were left out of the pool: they, or others of their patient, are "
        how += "duplicates of tested ones"
        pool = pool[~twins]
    elif len(store.duplicates):
        pairs = len(store.duplicates)
        how += f"; {pairs} pair{'s' * (pairs != 1)} of duplicates, each on one side"
    if both.size or not (pool.size and test.size):
        raise DataError(
            f"the official folds have {both.size} patients on both sides, {len(test)} labelled records to "
            f"test and {len(pool)} to learn from",
            where=store.path,
            remedy="Prepare the complete source again, from its unchanged tables",
        )
    if excluded:
        how += f"; {len(excluded)} records excluded"
    return Split(pool, test, how, unlabelled)


def subset(
    store: Store, task: Task, pool: NDArray[Any], n: int | None, *, study_seed: int, seed: int
) -> Subset:
    """Draw ``n`` records at random, patient by patient, and divide them 80/20 for training and validation.

    For the same seeds the records of a smaller subset are all in every larger one. The last patient drawn may
    be there with some records only, so that ``n`` is exact; that patient's others are used nowhere.

    Parameters
    ----------
    store : Store
    task : Task
        Its targets are what training and validation are stratified by.
    pool : int array
        Positions of the records to draw from (`Split.pool`).
    n : int or None
        How many records; None takes the whole pool.
    study_seed, seed : int

    Returns
    -------
    Subset
        Validation has about ``n / 5`` records, and at least two unless a single patient has all others.

    Raises
    ------
    ConfigError
        ``n`` is below 10 or beyond the pool.
    DataError
        All the records drawn are of one patient.
    """
    pool = np.unique(np.asarray(pool, dtype=np.int64))
    n = len(pool) if n is None else n
    if not SMALLEST_SUBSET <= n <= len(pool):
        raise ConfigError(
            f"a subset of n = {n} records cannot be drawn from a pool of {len(pool)}",
            where=store.path,
            remedy=f"Choose n from {SMALLEST_SUBSET} to {len(pool)}",
        )
    patients = store.groups[pool]
    rng = seeds.stream(study_seed, seed, "subset")
    rank = rng.permutation(patients.max() + 1)[patients]
    drawn = np.sort(pool[np.lexsort((rng.random(len(pool)), rank))[:n]])
    # Keyed by size: a larger subset is stratified anew, not bound to the smaller one's validation part.
    rng = seeds.stream(study_seed, seed, "subset", "validation", n)
    counts, sizes, group = _by_group(store.labels(task)[drawn], store.groups[drawn])
    if len(sizes) < 2:
        raise DataError(
            f"all {n} records drawn are of one patient, so none can be set apart for validation",
            where=store.path,
            remedy="Choose a larger n, or check the patient column of the dataset",
        )
    part = _assign(counts, sizes, np.array([1 - VALIDATION_FRACTION, VALIDATION_FRACTION]), rng)
    _ensure_both(part, sizes)
    validates = part[group] == 1
    return Subset(drawn[~validates], drawn[validates])


def folds(labels: NDArray[Any], groups: NDArray[Any], k: int, rng: np.random.Generator) -> Positions:
    """Divide records into ``k`` folds of like size and like label counts, groups kept together.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011, 10.1007/978-3-642-23808-6_10) over groups
    instead of single records: the rarest label first, its largest groups first, each to the fold that lacks
    it most. Absences count as labels of their own, because a target without negatives cannot be scored
    either. Afterwards groups move from too large folds to too small ones where labels suffer least.

    Parameters
    ----------
    labels : float array [records, targets]
        1, 0 or NaN (unknown).
    groups : array [records]
        What must not be divided, such as the patient.
    k : int
        Number of folds.
    rng : numpy Generator
        Decides between equals; the result depends on nothing else.

    Returns
    -------
    int array [records]
        The fold of each record, 0 to k − 1; none is empty.

    Raises
    ------
    DataError
        There are fewer groups than folds.
    """
    counts, sizes, group = _by_group(labels, groups)
    if len(sizes) < k:
        raise DataError(
            f"{len(sizes)} patients with a label cannot be divided into {k} folds",
            remedy="Use a larger dataset or a task that more of its records are annotated for",
        )
    return _assign(counts, sizes, np.full(k, 1 / k), rng)[group]


@dataclass(frozen=True)
class Support:
    """What test parts hold of both classes.

    Parameters
    ----------
    records : int array [seeds, targets, 2]
        Positive and negative records in each test part.
    patients : int array [targets, 2]
        Patients with a positive and with a negative record in any of them; two names of an ECG are one.
    """

    records: NDArray[np.int64]
    patients: NDArray[np.int64]


def support_in_tests(
    store: Store, task: Task, study_seed: int, seeds: Sequence[int], excluded: Sequence[str] = ()
) -> Support:
    """Count what test parts hold, so that the targets worth a macro average are fixed beforehand."""
    labels = store.labels(task)
    records = np.zeros((len(seeds), len(task.targets), 2), dtype=np.int64)
    tested = np.zeros(len(labels), dtype=bool)
    for row, seed in enumerate(seeds):
        division = split(store, task, study_seed=study_seed, seed=seed, excluded=excluded)
        for column, value in enumerate((1, 0)):
            records[row, :, column] = (labels[division.test] == value).sum(axis=0)
        tested[division.test] = True
    patients = [
        [len(np.unique(store.groups[tested & (labels[:, k] == value)])) for value in (1, 0)]
        for k in range(len(task.targets))
    ]
    return Support(records, np.array(patients, dtype=np.int64))


def _official_folds(store: Store) -> Positions:
    fold = store.records["fold"]
    if fold.isna().any():
        raise DataError(f"{int(fold.isna().sum())} records have no official fold", where=store.path)
    return fold.to_numpy(dtype=np.int64)


def _by_group(
    labels: NDArray[Any], groups: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], Positions]:
    """Return label counts [groups, labels], sizes [groups] and the group of each record."""
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group).astype(np.float64)
    indicators = np.concatenate([labels == 1, labels == 0], axis=1)
    counts = np.zeros((len(sizes), indicators.shape[1]))
    np.add.at(counts, group, indicators)
    return counts[:, counts.any(axis=0)], sizes, group


def _assign(
    counts: NDArray[np.float64],
    sizes: NDArray[np.float64],
    ratios: NDArray[np.float64],
    rng: np.random.Generator,
) -> Positions:
    """Assign each group to a part, the parts having these shares of all records and of each label."""
    part = np.full(len(sizes), -1, dtype=np.int64)
    order = rng.permutation(len(sizes))
    chance = rng.random((len(sizes), len(ratios)))
    wanted_size = sizes.sum() * ratios
    wanted = counts.sum(axis=0)[:, None] * ratios
    left = counts.sum(axis=0)
    while (part < 0).any():
        if (left > 0).any():
            label = int(np.argmin(np.where(left > 0, left, np.inf)))
            amount = counts[:, label]
        else:
            label, amount = -1, sizes
        waiting = order[(part[order] < 0) & (amount[order] > 0)]
        for member in waiting[np.argsort(-amount[waiting], kind="stable")]:
            lack = wanted[label] if label >= 0 else wanted_size
            # Compared after rounding: sums of fractions that should be equal differ in their last digits.
            chosen = np.lexsort((chance[member], np.round(wanted_size, 6), np.round(lack, 6)))[-1]
            part[member] = chosen
            wanted_size[chosen] -= sizes[member]
            wanted[:, chosen] -= counts[member]
        left -= counts[waiting].sum(axis=0)
    _even_out(part, counts, sizes, -wanted_size, -wanted, order)
    return part


def _even_out(
    part: Positions,
    counts: NDArray[np.float64],
    sizes: NDArray[np.float64],
    excess: NDArray[np.float64],
    excess_labels: NDArray[np.float64],
    order: Positions,
) -> None:
    """Move groups between parts, in place, as long as that brings the sizes nearer to what was wanted.

    Few records with many rare labels would otherwise all go to the larger of two unequal parts.
    """
    weight = 1 / counts.sum(axis=0)
    moved = True
    while moved:
        moved = False
        to = int(np.argmin(excess))
        for source in np.argsort(-excess, kind="stable"):
            gap = excess[source] - excess[to]
            movable = order[(part[order] == source) & (sizes[order] < gap - 1e-6)]
            if not movable.size:
                continue
            own = counts[movable]
            harm = own**2 - own * (excess_labels[:, source] - excess_labels[:, to])
            member = movable[np.argmin(np.round(harm @ weight, 9))]
            part[member] = to
            for where, sign in ((source, -1), (to, 1)):
                excess[where] += sign * sizes[member]
                excess_labels[:, where] += sign * counts[member]
            moved = True
            break


def _ensure_both(part: Positions, sizes: NDArray[np.float64]) -> None:
    """Give validation (1) two records and training (0) one, in place, where large groups left none."""
    for needy, least in ((1, 2), (0, 1)):
        while sizes[part == needy].sum() < least and (part != needy).sum() > 1:
            others = np.flatnonzero(part != needy)
            part[others[np.argmin(sizes[others])]] = needy
