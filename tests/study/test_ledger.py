"""Results on disk: whole or not there, and what is broken is said with what to do."""

from __future__ import annotations

import dataclasses
import json
import os
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
from ecgtransfer.study.spec import RUNNER_VERSION, RunSpec
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


@pytest.mark.parametrize("version", [1, 99])
def test_a_run_of_another_version_of_the_recipe_is_not_mixed_in(
    ledger: Ledger, spec: RunSpec, version: int
) -> None:
    path = ledger.folder(spec.id) / "result.json"
    content = json.loads(path.read_text())
    del content["spec"]["targets"]  # its fields may be others
    content["spec"]["version"] = version
    path.write_text(json.dumps(content))
    with pytest.raises(StudyError) as refused:
        ledger.result(spec)
    assert str(refused.value) == (
        f"{path.parent}: the run was made by version {version} of the recipe, and this is version "
        f"{RUNNER_VERSION}. Start anew in another folder, or go on with the ecgtransfer that made it"
    )
    # Planned by this version, the same run has another id.
    assert dataclasses.replace(spec, version=version).id != spec.id


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
    with pytest.raises(StudyError, match=r"a run without its predictions\. Remove .*is repeated"):
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


class TestWorkingFolders:
    """A run that is leased is worked on in a folder with a name of its own."""

    def left(self, folder: Path, name: str, age: float, content: str) -> Path:
        """Leave a folder as a process does that is killed, ``age`` seconds ago."""
        path = folder.parent / f".{folder.name}{name}.partial"
        path.mkdir(parents=True)
        for file in ("checkpoint-0.safetensors", "lock"):
            (path / file).write_text(content)
        then = path.stat().st_mtime - age
        os.utime(path, (then, then))
        return path

    def test_each_attempt_has_its_own(self, tmp_path: Path) -> None:
        first = working_folder(tmp_path / "runs" / "a", adopt=True)
        assert first.parent == tmp_path / "runs"
        assert first.name.startswith(".a.")
        assert first.name.endswith(".partial")
        assert list(first.iterdir()) == []

    def test_what_the_last_one_left_is_gone_on_with(self, tmp_path: Path) -> None:
        folder = tmp_path / "a"
        old = self.left(folder, ".0badcafe", 20, "old")
        new = self.left(folder, ".1badcafe", 10, "new")
        plain = self.left(folder, "", 30, "plain")
        other = self.left(tmp_path / "ab", ".2badcafe", 0, "of another run")
        working = working_folder(folder, adopt=True)
        assert (working / "checkpoint-0.safetensors").read_text() == "new"
        # A process that still holds the lock holds one that nobody asks for any more.
        assert [path.name for path in working.iterdir()] == ["checkpoint-0.safetensors"]
        assert [path.exists() for path in (old, new, plain, other)] == [False, False, False, True]

    def test_a_process_that_still_lives_cannot_disturb(self, tmp_path: Path) -> None:
        folder = tmp_path / "a"
        theirs = working_folder(folder, adopt=True)
        (theirs / "result.json").write_text("half")
        ours = working_folder(folder, adopt=True)
        with pytest.raises(FileNotFoundError):
            write_predictions(theirs, {"test": SAID})
        with pytest.raises(FileNotFoundError):
            commit(theirs, folder)
        (ours / "result.json").write_text("whole")
        commit(ours, folder)
        assert (folder / "result.json").read_text() == "whole"
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def test_only_what_belongs_to_complete_runs_is_swept(self, ledger: Ledger, spec: RunSpec) -> None:
        done = self.left(ledger.folder(spec.id), ".0badcafe", 0, "x")
        plain = self.left(ledger.folder(spec.id), "", 0, "x")
        going_on = self.left(ledger.runs / "0123456789abcdef", ".0badcafe", 0, "x")
        ledger.sweep()
        assert [path.exists() for path in (done, plain, going_on)] == [False, False, True]
        assert ledger.has(spec)
        Ledger(ledger.path / "nothing").sweep()
