"""Results on disk: whole or not there, and what is broken is said with what to do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import StudyError
from ecgtransfer.study.ledger import (
    Ledger,
    Predictions,
    commit,
    read_predictions,
    read_result,
    working_folder,
    write_predictions,
)
from ecgtransfer.study.spec import RunSpec
from tests.small import make_spec, write_store

SAID = Predictions(
    np.array(["a", "bb"]),
    np.array(["P1", "P2"]),
    np.array([[0.5, -1.0], [2.0, 0.0]], dtype=np.float32),
    np.array([[1, np.nan], [0, 1]], dtype=np.float32),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("ledger") / "down.ecgs")


@pytest.fixture(scope="module")
def spec(store: Store) -> RunSpec:
    return make_spec(store)


@pytest.fixture
def ledger(tmp_path: Path, spec: RunSpec) -> Ledger:
    """Return a ledger that holds one run."""
    ledger = Ledger(tmp_path / "study")
    working = working_folder(ledger.folder(spec.id))
    content = {"id": spec.id, "spec": spec.as_dict(), "result": {"a": 1}, "measured": {"seconds": 2.0}}
    (working / "result.json").write_text(json.dumps(content))
    write_predictions(working, {"validation": SAID})
    commit(working, ledger.folder(spec.id))
    return ledger


def test_what_was_written_is_read(ledger: Ledger, spec: RunSpec) -> None:
    assert ledger.has(spec)
    assert not ledger.has(dataclasses.replace(spec, seed=1))
    assert ledger.result(spec) == {"a": 1}
    assert ledger.measured(spec) == {"seconds": 2.0}
    found = ledger.predictions(spec, "validation")
    for field in dataclasses.fields(Predictions):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(SAID, field.name))
    assert [path.name for path in ledger.runs.iterdir()] == [spec.id]


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"id": "x"}', "[]", "null", '{"spec": {"network": "lstm"}}', '{"spec": 3}', "\udcff"],
)
def test_a_broken_result_is_said_with_what_to_do(ledger: Ledger, spec: RunSpec, text: str) -> None:
    path = ledger.folder(spec.id) / "result.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    for look in (ledger.has, ledger.result, ledger.measured):
        with pytest.raises(StudyError) as refused:
            look(spec)
        said = str(refused.value)
        assert said.startswith(f"{path}: the result cannot be read")
        assert said.endswith("Remove this run's folder and start again: the run is repeated")


def test_an_unknown_key_in_a_spec_is_refused(ledger: Ledger, spec: RunSpec) -> None:
    path = ledger.folder(spec.id) / "result.json"
    content = json.loads(path.read_text())
    content["spec"]["colour"] = "red"
    path.write_text(json.dumps(content))
    with pytest.raises(StudyError, match=r"cannot be read.*colour"):
        ledger.has(spec)


def test_a_run_without_its_result(ledger: Ledger, spec: RunSpec) -> None:
    (ledger.folder(spec.id) / "result.json").unlink()
    with pytest.raises(StudyError, match=r"a run without its result.*Remove this folder and start again"):
        ledger.has(spec)


def test_a_folder_whose_content_contradicts_its_name(ledger: Ledger, spec: RunSpec) -> None:
    other = dataclasses.replace(spec, seed=1)
    ledger.folder(spec.id).rename(ledger.folder(other.id))
    with pytest.raises(StudyError, match=f"{other.id}: the folder holds another run"):
        ledger.has(other)
    assert not ledger.has(spec)
    assert read_result(ledger.folder(other.id))["id"] == spec.id  # without an expectation it is only read


def test_predictions_that_are_not_there(ledger: Ledger, spec: RunSpec) -> None:
    with pytest.raises(StudyError, match="this run has no predictions for its test part"):
        ledger.predictions(spec, "test")
    (ledger.folder(spec.id) / "predictions.npz").unlink()
    with pytest.raises(StudyError, match="a run without its predictions"):
        ledger.predictions(spec, "validation")


@pytest.mark.parametrize("keep", [0, 100])
def test_truncated_predictions_are_said(ledger: Ledger, spec: RunSpec, keep: int) -> None:
    path = ledger.folder(spec.id) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StudyError, match=r"predictions\.npz: the predictions cannot be read.*is repeated"):
        ledger.predictions(spec, "validation")


def test_equal_predictions_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_predictions(tmp_path / name, {"validation": SAID, "test": SAID})
    one, two = ((tmp_path / name / "predictions.npz").read_bytes() for name in ("one", "two"))
    assert one == two
    assert read_predictions(tmp_path / "one", "test").record_id.tolist() == ["a", "bb"]


def test_the_first_of_two_equal_runs_stays(ledger: Ledger, spec: RunSpec) -> None:
    folder = ledger.folder(spec.id)
    before = (folder / "result.json").read_bytes()
    working = working_folder(folder)
    (working / "result.json").write_text("late")
    commit(working, folder)
    assert (folder / "result.json").read_bytes() == before
    assert not working.exists()


def test_a_run_does_not_take_the_place_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").write_text("years")
    working = working_folder(tmp_path / "x")
    (working / "result.json").write_text("{}")
    with pytest.raises(OSError):
        commit(working, tmp_path / "x")
    assert (tmp_path / "x" / "thesis.txt").read_text() == "years"
    assert (working / "result.json").exists()
