"""How the published study divided a dataset (Nguyen & Do 2024, arXiv 2402.02021), to repeat it as it was.

By record, whoever the patient is, and with every duplicate: `splits` is how it should be done.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.splits import OFFICIAL_TEST_FOLD, SMALLEST_SUBSET
from ecgtransfer.datasets.store import Store
from ecgtransfer.datasets.tasks import Task
from ecgtransfer.errors import ConfigError, DataError

TEST_SHARE = 0.33
RANDOM_STATE = 1
# Those that the study stratified by their labels; the others it divided at random.
STRATIFIED = ("cpsc2018",)

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class PublishedSplit:
    """Training and test records in the order in which the study had them: the first n are its subsets.

    Parameters
    ----------
    train, test : int array
        Positions of records in the store.
    how : str
        What was done, and what is wrong with it here.
    unlabelled : int
        Records in neither part, because every target of the task is unknown for them.
    """

    train: Positions
    test: Positions
    how: str
    unlabelled: int


def published_split(store: Store, task: Task) -> PublishedSplit:
    """Divide a store as the study did: official folds where there are, else a third of the records at random.

    Where the store is a complete source with official folds, fold 10 is tested and all others are learnt
    from, in the order of the dataset (that the study used these folds is assumed). Otherwise it is
    scikit-learn's ``train_test_split`` with ``test_size=0.33, random_state=1`` over the records in the order
    of the store, stratified by their label rows where the study did so; rows that only one record has make
    one stratum, because a stratum needs two.

    Raises
    ------
    DataError
        There are too few records to be divided so.
    """
    labels = store.labels(task)
    known = ~np.isnan(labels).all(axis=1)
    labelled = np.flatnonzero(known)
    if store.info.official_folds:
        fold = store.records["fold"].to_numpy(dtype=np.float64, na_value=np.nan)[labelled]
        train, test = labelled[fold != OFFICIAL_TEST_FOLD], labelled[fold == OFFICIAL_TEST_FOLD]
        how = f"official fold {OFFICIAL_TEST_FOLD} is tested, all others are learnt from"
    else:
        strata = _strata(labels[labelled]) if store.info.source in STRATIFIED else None
        train, test = _third(labelled, strata, store)
        how = f"{TEST_SHARE:.0%} of the records are tested, drawn by record (random_state {RANDOM_STATE}"
        how += ", stratified by label row)" if strata is not None else ")"
    if not (train.size and test.size):
        raise DataError("the official folds leave a part empty", where=store.path)
    return PublishedSplit(train, test, how + _shared(store, train, test), int((~known).sum()))


def first_rows(store: Store, train: Positions, n: int | None) -> Positions:
    """Return the study's subset: the first n training rows, which for PTB-XL are its oldest recordings.

    Raises
    ------
    ConfigError
        ``n`` is below 10 or more than there are.
    """
    if n is None:
        return train
    if not SMALLEST_SUBSET <= n <= len(train):
        raise ConfigError(
            f"there are no first {n} of {len(train)} training records",
            where=store.path,
            remedy=f"Choose n from {SMALLEST_SUBSET} to {len(train)}",
        )
    return train[:n]


def _third(labelled: Positions, strata: Positions | None, store: Store) -> tuple[Positions, Positions]:
    from sklearn.model_selection import train_test_split

    try:
        train, test = train_test_split(
            labelled, test_size=TEST_SHARE, random_state=RANDOM_STATE, stratify=strata
        )
    except ValueError as error:
        raise DataError(
            f"{len(labelled)} labelled records cannot be divided as the study did ({error})",
            where=store.path,
            remedy="Use the complete dataset, or the protocol 'sound'",
        ) from None
    return np.asarray(train, dtype=np.int64), np.asarray(test, dtype=np.int64)


def _strata(labels: NDArray[np.float32]) -> Positions:
    """Return a number per label row, in the order that scikit-learn gives them; unknown counts as absent."""
    _, stratum, sizes = np.unique(np.nan_to_num(labels), axis=0, return_inverse=True, return_counts=True)
    stratum = stratum.reshape(-1)
    alone = np.flatnonzero(sizes == 1)
    if len(alone) == 1:
        # One record with a row of its own goes with the most frequent row.
        stratum[stratum == alone[0]] = int(np.argmax(sizes))
    elif len(alone):
        stratum[np.isin(stratum, alone)] = alone[0]
    return stratum.astype(np.int64)


def _shared(store: Store, train: Positions, test: Positions) -> str:
    """Say how many tested records have their patient, or themselves, among those learnt from."""
    both = int(np.isin(store.groups[test], store.groups[train]).sum())
    text = f"; {both:,} of {len(test):,} test records have their patient or a duplicate in training"
    if not store.info.patients_known:
        text += ", as far as the patients are known"
    return text
