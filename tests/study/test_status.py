"""How far a study is, by its folder alone: counts, time left, who is at work, and no test value."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from ecgtransfer.conduct import locate
from ecgtransfer.errors import StudyError
from ecgtransfer.study.execution.executors import execute
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import Study, freeze
from ecgtransfer.study.forecasts.pace import Pace
from ecgtransfer.study.leases import Leases
from ecgtransfer.study.planned import Expanded
from ecgtransfer.study.spec import Budget
from ecgtransfer.study.status import StudyFolder
from tests.small import contents, make_plan, make_spec, write_store


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("status")
    write_store(folder / "down.ecgs")
    write_store(folder / "up.ecgs", seed=5)
    return folder


@pytest.fixture(scope="module")
def expanded(place: Path) -> Expanded:
    plan = make_plan(place / "down.ecgs", place / "up.ecgs", arms=("scratch", "linear-probe"))
    return expand(plan)


@pytest.fixture
def study(expanded: Expanded, tmp_path: Path) -> Study:
    """Return a frozen study of which nothing has been run."""
    return freeze(expanded, tmp_path / "study")


@pytest.fixture(scope="module")
def begun(expanded: Expanded, place: Path) -> Study:
    """Return a study of which the pre-training, the smaller size and the baselines have been run."""
    study = freeze(expanded, place / "begun")
    ready = [run.spec for run in expanded.planned if run.purpose == "pretraining"]
    execute(ready, study.ledger, locate(expanded, study), keep_models=True, quiet=True)
    some = [run.spec for run in expanded.planned if run.purpose == "evidence" and run.spec.n == 20]
    execute(some, study.ledger, locate(expanded, study), quiet=True)
    return study


def test_a_study_of_which_nothing_has_been_run(study: Study, expanded: Expanded) -> None:
    standing = StudyFolder(study.path).look()
    # 2 sizes x 2 seeds x (2 arms and 2 baselines)
    phases = [(phase.purpose, phase.runs, phase.done, phase.running, phase.left) for phase in standing.phases]
    assert phases == [("pretraining", 1, 0, 0, 1), ("evidence", 16, 0, 0, 16)]
    assert (standing.runs, standing.done, standing.complete) == (17, 0, False)
    assert (standing.at_work, standing.recent, standing.best, standing.broken) == ((), (), (), ())
    assert (standing.seconds_of_work, standing.seconds_left) == (None, None)
    assert not standing.reported


def test_what_is_finished_is_counted_and_its_validation_loss_is_told(begun: Study) -> None:
    standing = StudyFolder(begun.path).look()
    assert [(phase.done, phase.left) for phase in standing.phases] == [(1, 0), (8, 8)]
    assert len(standing.recent) == 5
    arms: dict[str, list[float]] = {}
    for run in begun.planned:
        if run.purpose == "evidence" and run.spec.n == 20 and run.spec.arm != "baseline":
            loss = begun.ledger.result(run.spec)["validation_loss"]
            arms.setdefault(run.spec.arm, []).append(loss)
    means = {arm: statistics.fmean(losses) for arm, losses in arms.items()}
    (best,) = standing.best
    assert best.validation_loss == pytest.approx(min(means.values()))
    assert means[best.arm] == min(means.values())
    assert (best.downstream, best.n, best.n_is_all, best.seeds) == ("down", 20, False, 2)
    assert best.upstream == ("up" if best.arm == "linear-probe" else None)


def test_losses_of_two_sizes_are_not_compared(study: Study, expanded: Expanded) -> None:
    """Each size has a validation part of its own."""
    scratch = [run.spec for run in expanded.planned if run.spec.arm == "scratch"]
    execute(scratch, study.ledger, locate(expanded, study), quiet=True)
    found = [(best.n, best.n_is_all, best.validation_loss) for best in StudyFolder(study.path).look().best]
    means = [
        statistics.fmean(study.ledger.result(spec)["validation_loss"] for spec in scratch if spec.n == n)
        for n in (20, None)
    ]
    assert found == [(20, False, pytest.approx(means[0])), (None, True, pytest.approx(means[1]))]


def test_no_test_value_is_told(begun: Study) -> None:
    told = json.dumps(StudyFolder(begun.path).look().as_dict(), allow_nan=False)
    assert "validation_loss" in told
    assert "auroc" not in told
    for run in begun.planned:
        if begun.ledger.is_complete(run.spec.id):
            value = begun.ledger.result(run.spec)["test"]["macro"]["auroc"]
            assert repr(value) not in told


def test_looking_leaves_no_trace(begun: Study) -> None:
    before = contents(begun.path)
    times = {path: path.stat().st_mtime_ns for path in begun.path.rglob("*")}
    folder = StudyFolder(begun.path)
    folder.look()
    folder.look()
    assert contents(begun.path) == before
    assert {path: path.stat().st_mtime_ns for path in begun.path.rglob("*")} == times


def test_who_is_at_work_and_for_how_long(study: Study) -> None:
    names = [run.spec.id for run in study.planned if run.purpose == "evidence"][:2]
    folder = StudyFolder(study.path)
    with Leases(study.path / "leases") as leases:
        for name in names:
            assert leases.claim(name)
        working = study.ledger.runs / f".{names[0]}.0123abcd.partial"
        working.mkdir(parents=True)
        (working / "spec.json").write_text("{}")
        standing = folder.look()
        assert [phase.running for phase in standing.phases] == [0, 2]
        assert [phase.left for phase in standing.phases] == [1, 14]
        seconds = {run.run: run.seconds for run in standing.at_work}
        known = next(run for run in standing.at_work if run.seconds is not None)
        assert len(seconds) == 2
        assert 0 <= known.seconds < 60  # type: ignore[operator]
    assert folder.look().at_work == ()


def test_a_process_that_was_killed_is_not_at_work(study: Study) -> None:
    name = study.planned[0].spec.id
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom ecgtransfer.study.leases import Leases\n"
        "assert Leases(Path(sys.argv[1])).claim(sys.argv[2])\nos._exit(9)"
    )
    words = [sys.executable, "-c", script, str(study.path / "leases"), name]
    assert subprocess.run(words, check=False, timeout=120).returncode == 9
    assert (study.path / "leases" / f"{name}.json").exists()
    standing = StudyFolder(study.path).look()
    assert standing.at_work == ()
    assert standing.phases[0].left == 1


def test_time_left_is_the_work_left_over_those_at_work(begun: Study) -> None:
    folder = StudyFolder(begun.path)
    alone = folder.look()
    assert alone.seconds_of_work is not None
    assert alone.seconds_of_work > 0
    assert alone.seconds_left is None
    left = [run.spec.id for run in begun.planned if not begun.ledger.is_complete(run.spec.id)]
    with Leases(begun.path / "leases") as leases:
        for name in left[:2]:
            assert leases.claim(name)
        two = folder.look()
        assert two.seconds_left == pytest.approx(alone.seconds_of_work / 2)


def test_a_result_that_cannot_be_read_is_said_and_read_when_mended(begun: Study, tmp_path: Path) -> None:
    run = next(run for run in begun.planned if run.purpose == "pretraining")
    path = begun.ledger.folder(run.spec.id) / "result.json"
    whole = path.read_bytes()
    folder = StudyFolder(begun.path)
    path.write_bytes(whole[:100])
    try:
        standing = folder.look()
        assert standing.done == 8
        assert len(standing.broken) == 1
        assert str(path) in standing.broken[0]
    finally:
        path.write_bytes(whole)
    mended = folder.look()
    assert (mended.done, mended.broken) == (9, ())


def test_a_study_within_the_folder_of_an_advice(begun: Study, tmp_path: Path) -> None:
    (tmp_path / "study").symlink_to(begun.path)
    assert StudyFolder(tmp_path).look().done == 9


def test_a_folder_that_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not exist"):
        StudyFolder(tmp_path / "none")


class TestPace:
    def test_the_median_of_its_kind(self, place: Path) -> None:
        spec = make_spec(write_store(place / "pace.ecgs", seed=3))
        pace = Pace()
        assert pace.seconds(spec) is None
        for seed, seconds in enumerate((10.0, 12.0, 500.0)):
            pace.add(dataclasses.replace(spec, seed=seed), seconds)
        assert pace.knows(spec)
        assert pace.seconds(dataclasses.replace(spec, seed=9)) == 12.0

    def test_a_longer_training_is_scaled_by_the_records_it_visits(self, place: Path) -> None:
        spec = make_spec(write_store(place / "pace2.ecgs", seed=3))
        pace = Pace()
        pace.add(spec, 10.0)
        longer = dataclasses.replace(spec, budget=Budget(updates=12, batch_size=8), arm="full")
        assert not pace.knows(longer)
        assert pace.seconds(longer) == pytest.approx(30.0)
        searched = dataclasses.replace(spec, rates=(1e-3, 3e-3))
        assert pace.seconds(searched) == pytest.approx(20.0)
        assert pace.seconds(dataclasses.replace(searched, tuned_by=("0" * 16,))) == 10.0
        assert pace.seconds(dataclasses.replace(spec, network="gru")) is None

    def test_heads_do_not_keep_the_total_unknown_and_trainings_do(self, place: Path) -> None:
        spec = make_spec(write_store(place / "pace3.ecgs", seed=3))
        head = dataclasses.replace(spec, arm="frozen-random", rates=())
        pace = Pace()
        pace.add(spec, 10.0)
        assert pace.total([spec, head]) == 10.0
        pace.add(head, 2.0)
        assert pace.total([spec, head, dataclasses.replace(head, n=40)]) == 14.0
        assert pace.total([spec, dataclasses.replace(spec, network="gru")]) is None
