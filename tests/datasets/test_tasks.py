"""Tasks: three-valued "any of these", and a table whose every row can be looked up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.tasks import Target, Task
from ecgtransfer.errors import ConfigError, DataError


@given(
    st.lists(st.tuples(*[st.sampled_from([0, 1, None])] * 3), max_size=8),
    st.sets(st.integers(0, 2), min_size=1),
)
def test_any_present_is_present_and_only_all_absent_is_absent(
    rows: list[tuple[int | None, ...]], any_of: set[int]
) -> None:
    codes = ("A", "B", "C")
    columns = {code: pd.array([row[i] for row in rows], dtype="Int8") for i, code in enumerate(codes)}
    task = Task("t", (Target("x", tuple(codes[i] for i in any_of)),))
    labels = task.labels(pd.DataFrame(columns))
    assert labels.dtype == np.float32
    assert labels.shape == (len(rows), 1)
    for row, label in zip(rows, labels[:, 0], strict=True):
        values = [row[i] for i in any_of]
        if 1 in values:
            assert label == 1
        elif None in values:
            assert np.isnan(label)
        else:
            assert label == 0


def test_a_statement_without_a_column_is_unknown() -> None:
    statements = pd.DataFrame({"A": pd.array([1, 0, None], dtype="Int8")})
    task = Task("t", (Target("A or B", ("A", "B")), Target("B", ("B",)), Target("A", ("A",))))
    np.testing.assert_array_equal(
        task.labels(statements), [[1, np.nan, 1], [np.nan, np.nan, 0], [np.nan, np.nan, np.nan]]
    )


def test_tasks_survive_the_form_they_are_stored_in() -> None:
    task = Task("t", (Target("x", ("A", "B")), Target("y", ("C",))))
    assert Task.from_list("t", task.to_list()) == task
    assert task.target_names == ("x", "y")


def test_empty_and_ambiguous_tasks_are_refused() -> None:
    with pytest.raises(DataError, match="names no statement"):
        Target("x", ())
    with pytest.raises(DataError, match="no target"):
        Task("t", ())
    with pytest.raises(DataError, match="target twice"):
        Task("t", (Target("x", ("A",)), Target("x", ("B",))))


@pytest.mark.parametrize("source", ["ludb", "cinc2017", "ptbxl"])
def test_the_table_lists_tasks_of_every_labelled_source(source: str) -> None:
    names = tasks.names(source)
    assert names
    for name in names:
        task = tasks.get(source, name)
        assert tasks.of_source(source)[name] == task.to_list()
    with pytest.raises(ConfigError, match=f"Did you mean {names[0]}"):
        tasks.get(source, names[0] + "x")


def test_the_order_of_the_superclasses_is_that_of_the_study() -> None:
    assert tasks.get("ptbxl", "superclass").target_names == ("NORM", "MI", "STTC", "HYP", "CD")


def test_a_source_without_tasks_has_none() -> None:
    assert tasks.names("folder") == ()
    with pytest.raises(ConfigError, match="Known: none"):
        tasks.get("folder", "all")
