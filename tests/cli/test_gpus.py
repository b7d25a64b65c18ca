"""`ecgtransfer study run --gpus-per-run` and `--device`: what is asked for reaches the executor."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.conduct import conduct
from ecgtransfer.errors import StudyError
from tests.small import NETWORK, make_plan, write_store

PLAN = f"""\
networks = ["{NETWORK}"]
arms = ["frozen-random"]
seeds = 1
baselines = []
[budget]
updates = 4
batch_size = 8
validations = 2
[search]
rates = [0.001]
tuning_seeds = 0
[[downstream]]
store = "down.ecgs"
task = "waves"
sizes = [20]
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what the executor was asked for; it ends the study at its first call, as an error would."""
    calls: list[dict[str, Any]] = []

    def execute(*_: object, **options: Any) -> int:
        calls.append(options)
        raise StudyError("asked")

    monkeypatch.setattr(importlib.import_module("ecgtransfer.conduct"), "execute", execute)
    return calls


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> object:
    from ecgtransfer.cli.main import main

    monkeypatch.setattr(sys, "argv", ["ecgtransfer", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code


def test_conduct_hands_it_on_and_asks_for_none_by_itself(tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    down = write_store(tmp_path / "down.ecgs")
    plan = make_plan(down.path, None, arms=("frozen-random",), baselines=())
    wanted: tuple[dict[str, Any], ...] = ({}, {"gpus_per_run": 0.25}, {"device": "cuda"})
    for number, options in enumerate(wanted):
        with pytest.raises(StudyError, match="asked"):
            conduct(plan, tmp_path / str(number), quiet=True, **options)
    assert [options["gpus_per_run"] for options in asked] == [0.0, 0.25, 0.0]
    assert [options["device"] for options in asked] == ["cpu", "cpu", "cuda"]


def test_the_option_arrives(
    tmp_path: Path, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(tmp_path / "down.ecgs")
    (tmp_path / "plan.toml").write_text(PLAN)
    words = ("study", "run", tmp_path / "plan.toml", "-o", tmp_path / "out", "--quiet", "--executor", "ray")
    assert call(monkeypatch, *words, "--gpus-per-run", "0.25") == 2
    [options] = asked
    assert (options["executor"], options["gpus_per_run"]) == ("ray", 0.25)


@pytest.mark.parametrize(
    ("words", "device", "workers"),
    [
        ((), "cpu", 7),
        (("--device", "cuda"), "cuda", 1),
        (("--device", "cuda", "--workers", "3"), "cuda", 3),
    ],
)
def test_processes_share_a_gpu_only_where_they_are_asked_to(
    tmp_path: Path,
    asked: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    device: str,
    workers: int,
) -> None:
    monkeypatch.setattr("ecgtransfer.cli.options.cores", lambda: 7)
    write_store(tmp_path / "down.ecgs")
    (tmp_path / "plan.toml").write_text(PLAN)
    given = ("study", "run", tmp_path / "plan.toml", "-o", tmp_path / "out", "--quiet", *words)
    assert call(monkeypatch, *given) == 2
    [options] = asked
    assert (options["executor"], options["device"], options["workers"]) == ("local", device, workers)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--gpus-per-run", "0.25"), "--gpus-per-run: belongs to --executor ray"),
        (("--gpus-per-run", "-1", "--executor", "ray"), "Invalid value for '--gpus-per-run'"),
        (("--device", "gpu"), "unknown device 'gpu'. Known: cpu, and cuda, which is a GPU"),
        (("--device", "cuda", "--executor", "ray"), "--device: belongs to --executor local"),
        (("--device", "cuda", "--dry-run"), "--device: goes without --dry-run"),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    asked: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    says: str,
) -> None:
    assert call(monkeypatch, "study", "run", tmp_path / "plan.toml", "-o", tmp_path / "out", *words) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert asked == []
