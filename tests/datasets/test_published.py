"""The published study's division: scikit-learn's own, by record, the first rows, its numbers of records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from ecgtransfer.datasets.published import first_rows, published_split
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, DataError
from tests.datasets.test_splits import make_store, twins


def labels_of(n: int, targets: int = 3, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, targets)) < np.linspace(0.2, 0.6, targets)).astype(float)


def one_each(n: int) -> list[str | None]:
    return [f"p{i}" for i in range(n)]


@pytest.mark.parametrize(
    ("records", "train", "test"),
    # What the study had of CPSC2018, Georgia, PTB and the CODE test set.
    [(6871, 4603, 2268), (10292, 6895, 3397), (522, 349, 173), (827, 554, 273)],
)
def test_the_parts_have_the_studys_sizes(records: int, train: int, test: int, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.ecgs", one_each(records), labels_of(records, 1))
    found = published_split(store, store.task("t"))
    assert (len(found.train), len(found.test)) == (train, test)
    expected = train_test_split(np.arange(records), test_size=0.33, random_state=1)
    np.testing.assert_array_equal(found.train, expected[0])
    np.testing.assert_array_equal(found.test, expected[1])


def test_one_source_is_stratified_by_label_rows_as_scikit_learn_does(tmp_path: Path) -> None:
    labels = labels_of(300)
    store = make_store(tmp_path / "s.ecgs", one_each(300), labels, source="cpsc2018")
    found = published_split(store, store.task("t"))
    expected = train_test_split(np.arange(300), test_size=0.33, random_state=1, stratify=labels)
    np.testing.assert_array_equal(found.train, expected[0])
    np.testing.assert_array_equal(found.test, expected[1])
    assert "stratified by label row" in found.how
    plain = make_store(tmp_path / "g.ecgs", one_each(300), labels, source="georgia")
    other = published_split(plain, plain.task("t"))
    assert "stratified" not in other.how
    assert set(other.test) != set(found.test)


@pytest.mark.parametrize("alone", [1, 2, 3])
def test_label_rows_that_one_record_has_do_not_stop_it(alone: int, tmp_path: Path) -> None:
    labels = np.zeros((60, 4))
    labels[:30, 0] = 1
    for row in range(alone):
        labels[row, 1 + row] = 1
    with pytest.raises(ValueError, match="least populated"):
        train_test_split(np.arange(60), test_size=0.33, random_state=1, stratify=labels)
    store = make_store(tmp_path / "s.ecgs", one_each(60), labels, source="cpsc2018")
    found = published_split(store, store.task("t"))
    assert sorted([*found.train, *found.test]) == list(range(60))
    assert len(found.test) == 20
    # Stratified all the same: half of the test part has the first label.
    assert abs(labels[found.test, 0].sum() - 10) <= 1


def test_official_folds_and_their_order(tmp_path: Path) -> None:
    fold = [1 + i % 10 for i in range(50)]
    store = make_store(tmp_path / "s.ecgs", one_each(50), labels_of(50), fold=fold, official_folds=True)
    found = published_split(store, store.task("t"))
    assert found.test.tolist() == [i for i in range(50) if fold[i] == 10]
    assert found.train.tolist() == [i for i in range(50) if fold[i] != 10]
    assert first_rows(store, found.train, 12).tolist() == found.train[:12].tolist()


def test_unlabelled_records_take_no_part_and_unknown_ones_do(tmp_path: Path) -> None:
    labels = labels_of(40)
    labels[:4] = np.nan  # as PTB's 27 records without a reason for admission: 549 become 522
    labels[4:8, 0] = np.nan
    store = make_store(tmp_path / "s.ecgs", one_each(40), labels)
    found = published_split(store, store.task("t"))
    assert sorted([*found.train, *found.test]) == list(range(4, 40))
    assert found.unlabelled == 4


def test_patients_and_duplicates_are_divided_and_counted(tmp_path: Path) -> None:
    patients = [f"p{i // 2}" for i in range(60)]
    store = make_store(tmp_path / "s.ecgs", patients, labels_of(60), hashes=twins(60, [(0, 40), (7, 50)]))
    found = published_split(store, store.task("t"))
    groups = store.groups
    shared = np.isin(groups[found.test], groups[found.train]).sum()
    assert shared > 5
    assert f"{shared} of 20 test records have their patient or a duplicate in training" in found.how


def test_first_rows_and_sizes_that_are_not_there(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.ecgs", one_each(60), labels_of(60))
    train = published_split(store, store.task("t")).train
    assert first_rows(store, train, None).tolist() == train.tolist()
    assert first_rows(store, train, 10).tolist() == train[:10].tolist()
    for n in (9, 41):
        with pytest.raises(ConfigError, match=f"no first {n} of 40 training records.*from 10 to 40"):
            first_rows(store, train, n)


def test_too_few_records(tmp_path: Path) -> None:
    def refuse(store: Store) -> None:
        with pytest.raises(DataError, match=r"cannot be divided as the study did.*protocol 'sound'"):
            published_split(store, store.task("t"))

    refuse(make_store(tmp_path / "one.ecgs", ["p"], np.ones((1, 1))))
    # Four label rows cannot all be among two test records.
    labels = np.repeat(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float), 2, axis=0)
    refuse(make_store(tmp_path / "few.ecgs", one_each(8), labels, source="cpsc2018"))
