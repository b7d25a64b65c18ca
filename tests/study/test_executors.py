"""Who carries out the runs makes no difference to what they say, and an error costs no finished run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import StudyError
from ecgtransfer.study.executors import describe, execute
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.run import Locations
from ecgtransfer.study.spec import RunSpec
from tests.small import BUDGET, contents, make_spec, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("executors") / "down.ecgs")


@pytest.fixture(scope="module")
def locations(store: Store) -> Locations:
    return Locations({store.fingerprint: store.path})


@pytest.fixture(scope="module")
def specs(store: Store) -> list[RunSpec]:
    brief = dataclasses.replace(BUDGET, updates=2)
    return [make_spec(store, seed=seed, budget=brief) for seed in range(3)]


@pytest.fixture(scope="module")
def bad(store: Store) -> RunSpec:
    return make_spec(store, arm="full", upstream="model:abc")


def test_serial_and_in_processes_say_the_same_and_an_error_costs_nothing(
    specs: list[RunSpec], bad: RunSpec, locations: Locations, tmp_path: Path
) -> None:
    one, several = Ledger(tmp_path / "one"), Ledger(tmp_path / "several")
    assert execute(specs, one, locations, label="x", keep_models=True, quiet=True) == 3
    with pytest.raises(StudyError, match="the pre-trained model model:abc was not given"):
        execute(
            [specs[0], bad, *specs[1:]],
            several,
            locations,
            label="x",
            workers=2,
            keep_models=True,
            quiet=True,
        )
    # What had begun was finished; what had not may have been called off.
    assert several.has(specs[0])
    left = sum(not several.has(spec) for spec in specs)
    assert execute(specs, several, locations, label="x", keep_models=True, quiet=True) == left
    for spec in specs:
        assert one.result(spec) == several.result(spec)
        mine, theirs = (contents(ledger.folder(spec.id)) for ledger in (one, several))
        assert mine.keys() == theirs.keys()
        assert {name for name in mine if mine[name] != theirs[name]} <= {"result.json"}
    assert sorted(path.name for path in several.runs.iterdir()) == sorted(spec.id for spec in specs)


def test_a_second_call_does_nothing(
    specs: list[RunSpec], locations: Locations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(tmp_path)
    # The same run twice in a list is one run.
    assert execute([*specs[:2], specs[0]], ledger, locations, label="x") == 2
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    assert execute(specs[:2], ledger, Locations({}), label="choosing", workers=2) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "choosing: 0 runs done, 2 were there\n"
    assert not list(tmp_path.rglob("*.safetensors"))  # models are kept only where asked for


def test_an_error_in_one_keeps_those_that_had_finished(
    specs: list[RunSpec], bad: RunSpec, locations: Locations, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path)
    with pytest.raises(StudyError, match="was not given"):
        execute([specs[0], bad, specs[1]], ledger, locations, label="x", quiet=True)
    assert [ledger.has(spec) for spec in (specs[0], bad, specs[1])] == [True, False, False]
    assert execute(specs[:2], ledger, locations, label="x", quiet=True) == 1


def test_a_run_in_a_few_words(store: Store) -> None:
    assert describe(make_spec(store)) == "resnet1d18-w16 scratch n=30 seed 0"
    assert describe(make_spec(store, arm="frozen-random", n=None)) == (
        "resnet1d18-w16 frozen-random all seed 0"
    )
