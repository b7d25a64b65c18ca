"""Advice on one's own recordings: what it leaves, how it goes on, and that a refusal changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.advise import advise
from ecgtransfer.conduct import redraw
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, StudyError
from ecgtransfer.networks import load_model, read_card
from ecgtransfer.study.plans.effort import Effort
from tests.small import NETWORK, contents, train_model, write_store

TINY = (Effort(2, 2, 2, 0, 1, (3e-3,), (1.0,), False),)


# Kills itself where advise takes the step that is named, if one is.
KILLED = """
import importlib, os, signal, sys
from pathlib import Path
from tests.test_advise import ask

def kill(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

module = importlib.import_module("ecgtransfer.advise")
mine, other, out, *steps = sys.argv[1:]
for step in steps:
    setattr(module.shutil if step == "copyfile" else module, step, kill)
ask(Path(out), Path(mine), Path(other))
"""
STEPS = ("write_audit_page", "conduct", "run", "annotate_card", "copyfile")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("advise")


@pytest.fixture(scope="module")
def mine(folder: Path) -> Store:
    return write_store(folder / "mine.ecgs")


@pytest.fixture(scope="module")
def other(folder: Path) -> Store:
    return write_store(folder / "other.ecgs", seed=5)


@pytest.fixture(scope="module")
def out(folder: Path, mine: Store, other: Store) -> Path:
    ask(folder / "advice", mine.path, other.path)
    return folder / "advice"


def ask(out: Path, store: Path, *upstreams: Path, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"task": "waves", "upstream_task": "waves", "efforts": TINY, "quiet": True}
    return advise(store, upstreams, out, **settings | changes)


def test_what_it_leaves(out: Path) -> None:
    assert {path.name for path in out.iterdir()} == {
        "audit.json", "audit.html", "study", "model", "advice.json", "report.html",
    }  # fmt: skip
    advice = json.loads((out / "advice.json").read_text())
    assert advice["answer"] == [each for each in advice["answer"] if each] != []
    assert (out / "report.html").read_bytes() == (out / "study" / "report.html").read_bytes()
    network, card = load_model(out / advice["model"])
    assert card["spec"]["final"]
    assert card["network"] == advice["recommendation"]["network"] == NETWORK
    assert card["expected"]["macro_auroc"] == advice["recommendation"]["auroc"]
    assert not network.training


def test_asked_again_it_runs_nothing_again_and_says_the_same(out: Path, mine: Store, other: Store) -> None:
    before = {p: p.stat().st_mtime_ns for p in [*(out / "study" / "runs").rglob("*"), out / "audit.html"]}
    told = json.loads((out / "advice.json").read_text())
    # What a process was about to write when it was killed is not somebody else's.
    (out / ".audit.json.x1").write_text("half")
    again = ask(out, mine.path, other.path)
    assert (again["answer"], again["recommendation"]) == (told["answer"], told["recommendation"])
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_killed_at_every_step_it_ends_as_if_it_had_not_been(
    out: Path, folder: Path, mine: Store, other: Store
) -> None:
    again = folder / "killed"
    for step in (*STEPS, None):
        words = [sys.executable, "-c", KILLED, mine.path, other.path, again, *([step] if step else [])]
        ended = subprocess.run(words, cwd=Path(__file__).parent.parent, capture_output=True, check=False)
        assert ended.returncode == (-signal.SIGKILL if step else 0), ended.stderr.decode()
        assert (again / "advice.json").exists() == (step in ("copyfile", None))
    ours, theirs = (json.loads((each / "advice.json").read_text()) for each in (again, out))
    assert {**ours, "expected_minutes": None} == {**theirs, "expected_minutes": None}
    assert (again / "report.html").read_bytes() == (again / "study" / "report.html").read_bytes()
    weights = [(each / "model" / "model.safetensors").read_bytes() for each in (again, out)]
    assert weights[0] == weights[1]
    assert read_card(again / "model")["expected"] == read_card(out / "model")["expected"]


def test_its_report_is_drawn_again_in_both_places(out: Path) -> None:
    before = (out / "report.html").read_bytes()
    for folder in (out, out / "study"):
        for page in (out / "report.html", out / "study" / "report.html"):
            page.write_text("stale")
        redraw(folder)
        assert (out / "report.html").read_bytes() == (out / "study" / "report.html").read_bytes() == before


def test_another_question_in_the_same_folder_changes_nothing_there(
    out: Path, mine: Store, other: Store, folder: Path
) -> None:
    before = contents(out)
    changed = write_store(folder / "changed" / "mine.ecgs", n=90)
    with pytest.raises(StudyError, match=r"recordings of 'mine' changed since \(100 records then, 90 now\)"):
        ask(out, changed.path, other.path)
    elsewhere = write_store(folder / "elsewhere" / "other.ecgs", seed=6)
    with pytest.raises(StudyError, match=f"the pre-trained {NETWORK} of 'other' would be another"):
        ask(out, mine.path, elsewhere.path)
    assert contents(out) == before


def test_a_folder_of_somebody_else_is_refused(folder: Path, mine: Store, other: Store) -> None:
    theirs = folder / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("chapter 1")
    with pytest.raises(StudyError, match="holds something else than advice"):
        ask(theirs, mine.path, other.path)
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]


def test_what_does_not_fit_is_refused_before_anything_is_written(
    folder: Path, mine: Store, other: Store
) -> None:
    nowhere = folder / "nowhere"
    with pytest.raises(
        ConfigError, match=r"other\.ecgs: the store has 2 tasks\. Choose one with --upstream-task"
    ):
        ask(nowhere, mine.path, other.path, upstream_task=None)
    with pytest.raises(ConfigError, match=r"mine\.ecgs: the store has 2 tasks\. Choose one with --task"):
        ask(nowhere, mine.path, other.path, task=None)
    with pytest.raises(ConfigError, match="same store"):
        ask(nowhere, mine.path, mine.path)
    slow = write_store(folder / "slow.ecgs", seed=7, rate=50.0)
    with pytest.raises(ConfigError, match="same --rate"):
        ask(nowhere, mine.path, slow.path)
    assert not nowhere.exists()


def test_where_nothing_can_be_compared_nothing_is_begun(folder: Path, mine: Store, other: Store) -> None:
    with pytest.raises(ConfigError) as refused:
        ask(folder / "none", mine.path, other.path, task="few")
    assert "of the 99 labelled records no target of task 'few' has enough" in str(refused.value)
    assert "rare: 4 positives and 95 negatives, 10 needed" in str(refused.value)
    assert not (folder / "none").exists()


def test_that_there_will_be_no_interval_is_said_before_anything_runs(
    folder: Path, other: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = write_store(folder / "few-people.ecgs", clique=True)

    class BegunError(Exception):
        pass

    def begin(*_: Any, **__: Any) -> None:
        raise BegunError

    monkeypatch.setattr(sys.modules["ecgtransfer.advise"], "conduct", begin)
    with pytest.raises(BegunError):
        ask(folder / "few", few.path, other.path, task="few")
    assert "On few-people no interval will be given: rare has only " in capsys.readouterr().err


def test_from_a_model_that_was_given(folder: Path, mine: Store, other: Store) -> None:
    model = folder / "given"
    train_model(model, other)
    ask(folder / "from-model", mine.path, model, upstream_task=None)
    description = json.loads((folder / "from-model" / "study" / "plan.json").read_text())
    assert [start["starts"] for start in description["upstreams"]] == [
        [f"model:{read_card(model)['weights_sha256']}"]
    ]
    evidence = json.loads((folder / "from-model" / "study" / "evidence.json").read_text())
    assert all(row["state"] == "unclear" for row in evidence["cost"]["break_even"])
    # Moved, it is the same question.
    moved = folder / "moved"
    os.rename(model, moved)
    ask(folder / "from-model", mine.path, moved, upstream_task=None)
    shutil.rmtree(moved)
