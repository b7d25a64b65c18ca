"""Killed at any moment and started again, or done by two processes at once: the ledger is the same."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecgtransfer.study.execution.executors import execute
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.run import Locations
from ecgtransfer.study.spec import Budget, RunSpec
from tests.small import contents, make_spec, result_of, write_store

KILLS = 50
HELPER = Path(__file__).with_name("killed_study.py")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def given(base: Path) -> tuple[list[RunSpec], Locations]:
    """Return eight runs of several kinds."""
    store = write_store(base / "down.ecgs", n_samples=100)
    brief = Budget(updates=4, batch_size=8, validations=2)
    specs = [make_spec(store, seed=seed, budget=brief) for seed in range(4)]
    specs += [
        make_spec(store, network="lstm-pooled", budget=brief, rates=(1e-3, 1e-2)),
        make_spec(store, arm="frozen-random", rates=(), budget=brief),
        make_spec(store, network="age-sex", arm="baseline", rates=(), budget=brief),
        dataclasses.replace(make_spec(store, seed=10_000, budget=brief), tuning=True),
    ]
    return specs, Locations({store.fingerprint: store.path})


@pytest.fixture(scope="module")
def specs(given: tuple[list[RunSpec], Locations]) -> list[RunSpec]:
    return given[0]


@pytest.fixture(scope="module")
def uninterrupted(given: tuple[list[RunSpec], Locations], base: Path) -> Ledger:
    specs, locations = given
    ledger = Ledger(base / "uninterrupted")
    execute(specs, ledger, locations, keep_models=True, quiet=True)
    return ledger


@pytest.fixture(scope="module")
def order(given: tuple[list[RunSpec], Locations], base: Path) -> Iterator[Callable[..., int]]:
    """Return what gives an order to the process whose forks are the studies, and returns its answer."""
    specs, locations = given
    setup = {
        "specs": [spec.as_dict() for spec in specs],
        "stores": {name: str(path) for name, path in locations.stores.items()},
    }
    (base / "setup.json").write_text(json.dumps(setup))
    with subprocess.Popen(
        [sys.executable, str(HELPER), str(base / "setup.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as helper:
        assert helper.stdin is not None
        assert helper.stdout is not None

        def give(*words: object) -> int:
            print(*words, file=helper.stdin, flush=True)
            return int(helper.stdout.readline())

        try:
            yield give
        finally:
            helper.kill()


def log_of(ledger: Ledger) -> list[list[str]]:
    """Return the events that the processes of a study have noted, in their order."""
    log = ledger.path / "log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def wait_for(ledger: Ledger, events: int) -> None:
    """Wait until so many events have been noted, or the study has ended."""
    end = time.monotonic() + 60
    while len(found := log_of(ledger)) < events and not (found and found[-1][0] == "end"):
        assert time.monotonic() < end, (ledger.path / "errors").read_text()
        time.sleep(0.005)


def complete(ledger: Ledger, specs: list[RunSpec]) -> set[str]:
    return {spec.id for spec in specs if ledger.is_complete(spec.id)}


def check(ledger: Ledger, uninterrupted: Ledger, specs: list[RunSpec]) -> None:
    """Check that a ledger is the one of a study that nobody interrupted, with nothing else beside it."""
    for spec in specs:
        mine, theirs = ledger.folder(spec.id), uninterrupted.folder(spec.id)
        assert result_of(mine) == result_of(theirs)
        ours, reference = contents(mine), contents(theirs)
        assert ours.keys() == reference.keys()
        assert {name for name in ours if ours[name] != reference[name]} <= {"result.json"}
    assert sorted(path.name for path in ledger.runs.iterdir()) == sorted(spec.id for spec in specs)
    assert [path.name for path in (ledger.path / "leases").iterdir()] == [".lock"]
    assert (ledger.path / "errors").read_text() == ""
    # What had been committed was never begun again.
    committed: set[str] = set()
    for event, *rest in log_of(ledger):
        if event == "learning":
            assert rest[0] not in committed
        elif event == "commit-done":
            assert rest[0] not in committed
            committed.add(rest[0])


def wait_for_the_end_of(groups: list[int]) -> None:
    """Wait until no process of these groups is left: workers end with their parent."""
    end = time.monotonic() + 10
    while left := [group for group in processes() if group in groups]:
        assert time.monotonic() < end, f"workers of {left} have outlived the study that was killed"
        time.sleep(0.01)


def processes() -> Iterator[int]:
    """Yield the group of every process that has not ended."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group, *_ = path.read_text().rpartition(")")[2].split()
            if state not in "ZX":
                yield int(group)


def test_killed_at_random_moments(
    order: Callable[..., int], specs: list[RunSpec], uninterrupted: Ledger, base: Path
) -> None:
    chance = random.Random(20)
    moments: Counter[str] = Counter()
    kills = studies = 0
    while kills < KILLS:
        ledger = Ledger(base / f"killed-{studies}")
        studies += 1
        groups: list[int] = []
        while True:
            before = len(log_of(ledger))
            there = complete(ledger, specs)
            study = order("start", ledger.path, 2)
            groups.append(study)
            # The last one is left in peace.
            if kills < KILLS:
                wait_for(ledger, before + chance.randrange(16))
                time.sleep(chance.uniform(0, 0.1))
                with contextlib.suppress(ProcessLookupError):
                    (os.killpg if chance.random() < 0.5 else os.kill)(study, signal.SIGKILL)
            status = order("wait", study)
            events = log_of(ledger)[before:]
            assert not {rest[0] for event, *rest in events if event == "learning"} & there
            if status == 0:
                break
            assert status == -signal.SIGKILL
            kills += 1
            moments[events[-1][0] if events else "nothing"] += 1
        wait_for_the_end_of(groups)
        check(ledger, uninterrupted, specs)
    assert kills == KILLS
    print(f"{kills} kills in {studies} studies: {dict(moments)}")
    # They were spread over what a study does.
    assert len(moments) >= 6
    assert max(moments.values()) < KILLS / 2


def test_two_at_once_do_every_run_once(
    order: Callable[..., int], specs: list[RunSpec], uninterrupted: Ledger, base: Path
) -> None:
    ledger = Ledger(base / "shared")
    two = [order("start", ledger.path, 1), order("start", ledger.path, 2)]
    assert [order("wait", study) for study in two] == [0, 0]
    check(ledger, uninterrupted, specs)
    begun = [rest for event, *rest in log_of(ledger) if event == "learning"]
    assert sorted(run_id for run_id, _ in begun) == sorted(spec.id for spec in specs)
    assert len({process for _, process in begun}) == 3


def test_what_one_of_two_has_begun_is_taken_over_when_it_is_killed(
    order: Callable[..., int], specs: list[RunSpec], uninterrupted: Ledger, base: Path
) -> None:
    ledger = Ledger(base / "left-behind")
    killed, other = order("start", ledger.path, 2), order("start", ledger.path, 2)
    wait_for(ledger, 12)
    os.kill(killed, signal.SIGKILL)
    assert [order("wait", study) for study in (killed, other)] == [-signal.SIGKILL, 0]
    wait_for_the_end_of([killed])
    check(ledger, uninterrupted, specs)
