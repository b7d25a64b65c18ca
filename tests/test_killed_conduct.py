"""A whole study killed at random moments of its life: started again it ends as if nobody had touched it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.small import contents, result_of, write_store

HELPER = Path(__file__).with_name("killed_conduct.py")
# In the order of a study's life; so often killed in each.
KILLS = {"freeze": 1, "pre-training": 2, "choosing rates": 1, "runs": 2, "audit": 1, "report": 1}
MEASURED = {"seconds", "total_seconds", "energy_wh"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")

Order = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed-conduct")


@pytest.fixture(scope="module")
def order(base: Path) -> Iterator[Order]:
    """Return what conducts the study in a fork of a process, and returns how that ended."""
    stores = [write_store(base / "down.ecgs", twins=3), write_store(base / "up.ecgs", seed=5)]
    with subprocess.Popen(
        [sys.executable, str(HELPER), *(str(store.path) for store in stores)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HELPER.parent.parent)},
    ) as helper:
        assert helper.stdin is not None
        assert helper.stdout is not None

        def give(*words: object) -> dict[str, Any]:
            print(*words, sep="\t", file=helper.stdin, flush=True)
            answer: dict[str, Any] = json.loads(helper.stdout.readline())
            return answer

        try:
            yield give
        finally:
            helper.kill()


def unmeasured(found: Any) -> Any:
    """Return findings without what was measured by the clock."""
    if isinstance(found, dict):
        return {name: unmeasured(value) for name, value in found.items() if name not in MEASURED}
    return [unmeasured(value) for value in found] if isinstance(found, list) else found


def complete(out: Path) -> dict[str, tuple[int, int]]:
    """Return what tells a finished run that was left alone from one that was made again."""
    found = {path.parent.name: path.stat() for path in (out / "runs").glob("[!.]*/result.json")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def shown(out: Path) -> dict[str, bytes]:
    """Return the files of a folder but for the hidden ones, which nobody reads."""
    found = contents(out)
    return {name: found[name] for name in found if not any(part[0] == "." for part in Path(name).parts)}


@pytest.fixture(scope="module")
def alone(order: Order, base: Path) -> tuple[Path, dict[str, int]]:
    """Return the folder of a study that nobody killed, and how often each stage changed something there."""
    ended = order(base / "alone")
    assert (ended["ended"], ended["before"]) == (0, None)
    assert list(ended["changes"]) == list(KILLS)
    return base / "alone", ended["changes"]


def test_a_study_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    order: Order, alone: tuple[Path, dict[str, int]], base: Path
) -> None:
    reference, changes = alone
    out = base / "killed"
    chance = random.Random(21)
    for stage, kills in KILLS.items():
        made = 0
        for _ in range(kills):
            there = complete(out)
            # What was done before the last kill is not done again, so that about the rest is left.
            number = chance.randint(1, (changes[stage] - made) * 3 // 4)
            made += number
            killed = order(out, stage, number)
            print(f"killed in {stage} before change {number}: {killed['before']}")
            assert killed["ended"] == -signal.SIGKILL
            assert list(killed["changes"])[-1] == stage
            assert not (out / "report.html").exists()
            # What was finished is not begun again.
            assert complete(out).items() >= there.items()
    there = complete(out)
    assert len(there) > 20
    assert order(out)["ended"] == 0
    assert complete(out) == there

    assert there.keys() == complete(reference).keys()
    for name in there:
        assert result_of(out / "runs" / name) == result_of(reference / "runs" / name)
    mine, theirs = shown(out), shown(reference)
    assert mine["plan.json"] == theirs["plan.json"]
    found, expected = json.loads(mine["evidence.json"]), json.loads(theirs["evidence.json"])
    assert unmeasured(found) == unmeasured(expected)
    # What does not tell the time is the same to the byte.
    assert mine.keys() == theirs.keys()
    differing = {Path(name).parts[0] for name in mine if mine[name] != theirs[name]}
    assert differing <= {"runs", "evidence.json", "report.html", "report.md", "tables"}
    other = {Path(name).name for name in mine if name.startswith("runs/") and mine[name] != theirs[name]}
    assert other <= {"result.json"}
    # Nothing is left of the runs that were killed, and nobody is at work on any.
    assert {path.name for path in (out / "runs").iterdir()} == there.keys()
    assert [path.name for path in (out / "leases").iterdir()] == [".lock"]


def test_a_plan_is_frozen_whole_or_not_at_all(
    order: Order, alone: tuple[Path, dict[str, int]], base: Path
) -> None:
    """Each start is killed one change later than the one before: none finds a folder that it refuses."""
    out, number = base / "frozen", 0
    while True:
        number += 1
        killed = order(out, "freeze", number)
        assert killed["ended"] == -signal.SIGKILL
        if list(killed["changes"])[-1] != "freeze":
            break
        assert not (out / "plan.json").exists()
    assert number > 10
    for name in ("plan.json", "runs.json"):
        assert (out / name).read_bytes() == (alone[0] / name).read_bytes()
    assert complete(out) == {}
