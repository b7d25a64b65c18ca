"""Who carries out the runs makes no difference to what they say, and an error costs no finished run."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, StudyError
from ecgtransfer.study import run as runner
from ecgtransfer.study.execution import executors
from ecgtransfer.study.execution.crews import describe
from ecgtransfer.study.execution.executors import execute
from ecgtransfer.study.leases import Leases, holders
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.run import Locations
from ecgtransfer.study.spec import RunSpec
from tests.small import BUDGET, contents, make_spec, write_store

INTERRUPTED = Path(__file__).with_name("interrupted_study.py")


class Noting:
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def started(self, spec: RunSpec) -> None:
        self.events.append(("started", spec.id))

    def finished(self, spec: RunSpec, content: dict[str, Any]) -> None:
        assert content["id"] == spec.id
        assert content["result"]
        self.events.append(("finished", spec.id))

    def elsewhere(self, specs: Sequence[RunSpec]) -> None:
        self.events.append(("elsewhere", " ".join(spec.id for spec in specs)))


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


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "study")


def nothing_but(ledger: Ledger, specs: Sequence[RunSpec]) -> bool:
    """Say whether a ledger holds these runs, and nothing is left of how they came about."""
    runs = sorted(path.name for path in ledger.runs.iterdir())
    return runs == sorted(spec.id for spec in specs) and holders(ledger.path / "leases") == []


def test_serial_and_in_processes_say_the_same_and_an_error_costs_nothing(
    specs: list[RunSpec], bad: RunSpec, locations: Locations, tmp_path: Path
) -> None:
    one, several = Ledger(tmp_path / "one"), Ledger(tmp_path / "several")
    assert execute(specs, one, locations, keep_models=True, quiet=True) == 3
    with pytest.raises(StudyError, match="the pre-trained model model:abc was not given"):
        execute([specs[0], bad, *specs[1:]], several, locations, workers=2, keep_models=True, quiet=True)
    # What had begun was finished; what had not may have been called off.
    assert several.has(specs[0])
    left = sum(not several.has(spec) for spec in specs)
    assert execute(specs, several, locations, keep_models=True, quiet=True) == left
    for spec in specs:
        assert one.result(spec) == several.result(spec)
        mine, theirs = (contents(ledger.folder(spec.id)) for ledger in (one, several))
        assert mine.keys() == theirs.keys()
        assert {name for name in mine if mine[name] != theirs[name]} <= {"result.json"}
    assert nothing_but(several, specs)


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
    specs: list[RunSpec], bad: RunSpec, locations: Locations, ledger: Ledger
) -> None:
    with pytest.raises(StudyError, match="was not given"):
        execute([specs[0], bad, specs[1]], ledger, locations, quiet=True)
    assert [ledger.has(spec) for spec in (specs[0], bad, specs[1])] == [True, False, False]
    assert execute(specs[:2], ledger, locations, quiet=True) == 1
    assert nothing_but(ledger, specs[:2])


def test_models_are_kept_of_the_runs_that_are_named(
    specs: list[RunSpec], locations: Locations, ledger: Ledger
) -> None:
    execute(specs[:2], ledger, locations, keep_models={specs[1].id}, quiet=True)
    kept = [(ledger.folder(spec.id) / "model.safetensors").exists() for spec in specs[:2]]
    assert kept == [False, True]


def test_a_listener_is_told_and_nothing_is_printed(
    specs: list[RunSpec], locations: Locations, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Noting()
    assert execute(specs[:2], ledger, locations, listener=told) == 2
    first, second = (spec.id for spec in specs[:2])
    assert told.events == [
        ("started", first), ("finished", first), ("started", second), ("finished", second),
    ]  # fmt: skip
    assert capsys.readouterr() == ("", "")


def test_a_run_in_a_few_words(store: Store) -> None:
    assert describe(make_spec(store)) == "resnet1d18-w16 scratch n=30 seed 0"
    assert describe(make_spec(store, arm="frozen-random", n=None)) == (
        "resnet1d18-w16 frozen-random all seed 0"
    )


class TestWithOthersAtWork:
    def test_others_runs_are_left_to_the_end_and_waited_for(
        self, specs: list[RunSpec], locations: Locations, ledger: Ledger, tmp_path: Path
    ) -> None:
        first, second, third = specs
        ready = Ledger(tmp_path / "ready")
        execute([first], ready, locations, quiet=True)
        told = Noting()
        with Leases(ledger.path / "leases") as others:
            lease = others.claim(first.id)
            assert lease is not None

            def finish() -> None:
                while ("finished", third.id) not in told.events:
                    time.sleep(0.01)
                time.sleep(2 * executors.LOOK)
                shutil.copytree(ready.folder(first.id), ledger.folder(first.id))
                others.release(lease)

            other = threading.Thread(target=finish)
            other.start()
            assert execute(specs, ledger, locations, listener=told) == 2
            other.join()
        assert told.events == [
            ("started", second.id), ("elsewhere", first.id), ("finished", second.id),
            ("started", third.id), ("finished", third.id), ("finished", first.id), ("elsewhere", ""),
        ]  # fmt: skip
        assert nothing_but(ledger, specs)

    def test_what_they_give_up_is_done(
        self, specs: list[RunSpec], locations: Locations, ledger: Ledger
    ) -> None:
        with Leases(ledger.path / "leases") as others:
            released, stale = others.claim(specs[0].id), others.claim(specs[1].id)
            assert released is not None
            assert stale is not None
            others._stopped.set()  # they are cut off, on another machine
            content = json.loads(stale.path.read_text())
            stale.path.write_text(json.dumps({**content, "host": "elsewhere"}))
            timer = threading.Timer(1.0, others.release, [released])
            timer.start()
            since = time.monotonic()
            assert execute(specs, ledger, locations, quiet=True, stale=2.0) == 3
            assert time.monotonic() - since > 1.5
            timer.join()
        assert nothing_but(ledger, specs)

    def test_a_run_that_was_taken_over_meanwhile_is_given_up(
        self, specs: list[RunSpec], locations: Locations, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others = Leases(ledger.path / "leases")
        others.watch = 0.0
        learnt: list[Path] = []
        real = runner.learn

        def learn(*args: Any, **options: Any) -> Any:
            """Learn, while this process is cut off for so long that another takes the run over."""
            working = next(each for each in args if isinstance(each, Path) and each.name.endswith(".partial"))
            if not learnt:
                lease = ledger.path / "leases" / f"{specs[0].id}.json"
                os.utime(lease, (0, 0))
                assert others.claim(specs[0].id) is not None
            learnt.append(working)
            return real(*args, **options)

        class Told(Noting):
            def elsewhere(self, runs: Sequence[RunSpec]) -> None:
                super().elsewhere(runs)
                if runs:
                    assert not ledger.is_complete(specs[0].id)
                    assert not learnt[0].exists()
                    others.__exit__(None, None, None)

        monkeypatch.setattr(runner, "learn", learn)
        told = Told()
        assert execute(specs[:1], ledger, locations, listener=told) == 1
        assert [event for event, _ in told.events] == [
            "started", "elsewhere", "started", "elsewhere", "finished",
        ]  # fmt: skip
        assert len(set(learnt)) == 2
        assert nothing_but(ledger, specs[:1])

    def test_what_a_killed_process_left_of_complete_runs_goes(
        self, specs: list[RunSpec], locations: Locations, ledger: Ledger
    ) -> None:
        execute(specs[:1], ledger, locations, quiet=True)
        partial = ledger.runs / f".{specs[0].id}.0badcafe.partial"
        partial.mkdir()
        (partial / "checkpoint-0.safetensors").touch()
        (ledger.path / "leases" / f"{specs[0].id}.json").write_text("{}")
        of_another_plan = ledger.runs / f".{specs[2].id}.0badcafe.partial"
        of_another_plan.mkdir()
        assert execute(specs[:2], ledger, locations, quiet=True) == 1
        assert not partial.exists()
        assert of_another_plan.exists()
        of_another_plan.rmdir()
        assert nothing_but(ledger, specs[:2])


class TestRefusals:
    def test_a_store_that_changes_during_a_study(self, specs: list[RunSpec], tmp_path: Path) -> None:
        store = write_store(tmp_path / "changing.ecgs")
        ledger, locations = Ledger(tmp_path / "study"), Locations({store.fingerprint: store.path})

        class Changing(Noting):
            def finished(self, spec: RunSpec, content: dict[str, Any]) -> None:
                shutil.rmtree(store.path)
                write_store(store.path, seed=9)

        with pytest.raises(StudyError, match="the store has changed since the run was planned"):
            execute(specs, ledger, locations, listener=Changing())
        assert nothing_but(ledger, specs[:1])

    @pytest.mark.parametrize("workers", [1, 2])
    def test_runs_that_another_version_planned(
        self, specs: list[RunSpec], locations: Locations, ledger: Ledger, workers: int
    ) -> None:
        old = dataclasses.replace(specs[0], version=specs[0].version - 1)
        with pytest.raises(StudyError, match=f"planned by version {old.version} of the recipe, and here is"):
            execute([specs[1], old], ledger, locations, workers=workers)
        assert not ledger.path.exists()

    def test_an_executor_that_is_not_there(
        self, specs: list[RunSpec], locations: Locations, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ConfigError, match=r"there is no executor 'slurm'\. Known: local, ray"):
            execute(specs, ledger, locations, executor="slurm")  # type: ignore[arg-type]
        monkeypatch.delitem(sys.modules, "ecgtransfer.study.execution.ray_executor", raising=False)
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(ConfigError) as refused:
            execute(specs, ledger, locations, executor="ray")
        assert str(refused.value) == (
            "the executor 'ray' needs the package ray, which is not installed. "
            "Install it with: pip install 'ecgtransfer[cluster]'"
        )
        assert not ledger.path.exists()


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize(
    ("workers", "at_work"),
    [pytest.param(1, True, id="serial"), (2, False), (2, True)],
)
def test_interrupted_it_stops_at_once_and_can_go_on(
    workers: int, at_work: bool, specs: list[RunSpec], store: Store, locations: Locations, tmp_path: Path
) -> None:
    endless = [make_spec(store, budget=dataclasses.replace(BUDGET, updates=10**7), seed=s) for s in (0, 1)]
    setup = {
        "specs": [spec.as_dict() for spec in [specs[0], *endless]],
        "stores": {store.fingerprint: str(store.path)},
    }
    (tmp_path / "setup.json").write_text(json.dumps(setup))
    ledger = Ledger(tmp_path / "study")
    command = [sys.executable, str(INTERRUPTED), str(tmp_path / "setup.json"), str(ledger.path)]
    with subprocess.Popen(
        [*command, json.dumps({"workers": workers})],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            # Without at_work, the workers are still importing.
            awaited = f"started {endless[workers - 1].id}" if at_work else f"started {endless[0].id}"
            for line in process.stdout:
                if line.strip() == awaited:
                    break
            while at_work and len(list(ledger.runs.glob(".*.partial/spec.json"))) < workers:
                time.sleep(0.05)
            since = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
            out, err = process.communicate(timeout=60)
            took = time.monotonic() - since
        finally:
            process.kill()
    assert process.returncode == 130
    assert (out, err) == ("", "")
    assert took < 10
    assert holders(ledger.path / "leases") == []
    if at_work:
        assert ledger.has(specs[0])
        assert len(list(ledger.runs.glob(".*.partial"))) == workers
    # It goes on: with what is brief, in place of what is endless.
    assert execute(specs, ledger, locations, quiet=True) == (2 if at_work else 3)
