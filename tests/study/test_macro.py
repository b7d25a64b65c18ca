"""Which targets a macro average runs over: fixed beforehand by counts, and the others with their reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgtransfer.datasets.splits import support_in_tests
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.evidence.crossed import MINIMUM_POSITIVES
from ecgtransfer.study.macro import MINIMUM_PER_TEST_PART, macro_set
from tests.small import write_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("macro")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return write_store(folder / "here.ecgs")


@pytest.fixture(scope="module")
def crowded(folder: Path) -> Store:
    """Return a store with enough of "rare" in all, nearly all of one patient, who is tested in one fold."""
    return write_store(folder / "crowded.ecgs", crowd=True)


def test_targets_with_too_few_are_left_out_with_the_reason(store: Store) -> None:
    found = macro_set(store, "waves", study_seed=0, seeds=range(5))
    assert found.targets == ("slow", "fast")
    assert found.left_out == (("rare", "4 positives and 95 negatives, 10 needed"),)


def test_every_test_part_needs_some(crowded: Store) -> None:
    found = macro_set(crowded, "waves", study_seed=0, seeds=range(5))
    [(name, why)] = found.left_out
    assert name == "rare"
    assert why.startswith(("a test part holds 0 positives and ", "a test part holds 1 positives and "))
    assert why.endswith(" negatives, 2 needed")


def test_those_that_count_have_enough_in_each_of_the_study_s_test_parts(store: Store) -> None:
    task = store.task("waves")
    counted = support_in_tests(store, task, study_seed=0, seeds=range(20)).records
    found = macro_set(store, "waves", study_seed=0, seeds=range(20))
    columns = [task.target_names.index(name) for name in found.targets]
    assert np.asarray(counted)[:, columns].min() >= MINIMUM_PER_TEST_PART


def test_a_target_without_an_interval_is_left_out_where_another_has_one(folder: Path) -> None:
    """Fifteen recordings of "rare" in every fold alike, but of five patients: enough records, no interval."""
    store = write_store(folder / "few-people.ecgs", clique=True)
    task = store.task("waves")
    support = support_in_tests(store, task, study_seed=0, seeds=range(5))
    column = task.target_names.index("rare")
    assert support.records[:, column].min() >= MINIMUM_PER_TEST_PART
    assert support.patients[column, 0] < MINIMUM_POSITIVES <= support.records[:, column, 0].sum()
    found = macro_set(store, "waves", study_seed=0, seeds=range(5))
    assert found.targets == ("slow", "fast")
    [(name, why)] = found.left_out
    few, rest = support.patients[column]
    assert (name, why) == (
        "rare",
        f"of the patients tested {few} are positive and {rest} negative, 10 needed for an interval",
    )
    alone = macro_set(store, "few", study_seed=0, seeds=range(5))
    assert alone.targets == ("rare",), "with nothing else to compare on, it is compared without an interval"


def test_it_does_not_hang_on_which_folds_are_used(crowded: Store) -> None:
    sets = [macro_set(crowded, "waves", study_seed=0, seeds=[seed]) for seed in range(5)]
    assert sets == [macro_set(crowded, "waves", study_seed=0, seeds=range(5))] * 5


def test_records_that_take_no_part_do_not_count(crowded: Store) -> None:
    labels = crowded.labels(crowded.task("waves"))
    ids = crowded.records["record_id"].to_numpy(dtype=str)
    rare = tuple(ids[labels[:, 2] == 1][:-3])
    found = macro_set(crowded, "waves", study_seed=0, seeds=range(5), excluded=rare)
    assert dict(found.left_out)["rare"].startswith("3 positives and ")


def test_none_left_is_refused_with_what_to_do(store: Store) -> None:
    with pytest.raises(ConfigError) as refused:
        macro_set(store, "few", study_seed=0, seeds=[0])
    said = str(refused.value)
    assert str(store.path) in said
    assert "rare: 4 positives and 95 negatives, 10 needed" in said
    assert "Add labelled records, or choose another task" in said
