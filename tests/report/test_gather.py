"""A study's runs, put where they belong."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import StudyError
from ecgtransfer.report.gather import Cell, Gathered, gather, paired, scratch, singles
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import Study, freeze, read_study
from tests.report.invented import fill, write_run
from tests.small import BUDGET, NETWORK, make_plan, make_upstream, write_store

UPDATES = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gather")


@pytest.fixture(scope="module")
def down(folder: Path) -> Store:
    return write_store(folder / "down.ecgs", twins=2)


@pytest.fixture(scope="module")
def study(folder: Path, down: Store) -> Study:
    up = write_store(folder / "up.ecgs", seed=5)
    plan = make_plan(
        down.path,
        None,
        arms=("scratch", "full", "frozen-random"),
        upstreams=(make_upstream(up.path, seeds=3),),
        tuning_seeds=2,
        convergence=(20,),
        budget=dataclasses.replace(BUDGET, updates=UPDATES),
    )
    frozen = freeze(expand(plan), folder / "study")
    fill(frozen, {store.fingerprint: store for store in (down, up)})
    return read_study(folder / "study")


@pytest.fixture
def runs(study: Study) -> Gathered:
    return gather(study)


def cell(arm: str, n: int | None = 20) -> Cell:
    return Cell("down", NETWORK, "up" if arm == "full" else None, arm, n)


def test_every_run_is_in_one_place(runs: Gathered, study: Study) -> None:
    assert set(runs.cells) == {
        cell(arm, n) for arm in ("scratch", "full", "frozen-random") for n in (20, None)
    }
    assert set(runs.tunings) == {cell(arm, n) for arm in ("scratch", "full") for n in (20, None)}
    assert set(runs.shorter) == {cell(arm, 20) for arm in ("scratch", "full")}
    assert {(key.network, key.arm, key.n) for key in runs.baselines} == {
        (name, "baseline", n) for name in ("age-sex", "rr") for n in (20, None)
    }
    assert set(runs.pretrainings) == {("up", NETWORK)}
    found = [run.spec.id for run in runs.all]
    assert len(found) == len(set(found))
    assert set(found) == {run.spec.id for run in study.planned}


def test_within_a_cell_by_pretraining_then_by_seed(runs: Gathered) -> None:
    order = [(run.pretraining_seed, run.spec.seed) for run in runs.cells[cell("full")]]
    assert order == [(number, seed) for number in range(3) for seed in range(2)]
    assert [run.spec.seed for run in runs.cells[cell("scratch")]] == [0, 1]
    assert [run.spec.seed for run in runs.tunings[cell("full")]] == [10_000, 10_001]
    assert [run.spec.seed for run in runs.pretrainings["up", NETWORK]] == [0, 1, 2]
    shorter = runs.shorter[cell("full")]
    assert {updates: len(own) for updates, own in shorter.items()} == {2: 2, 4: 2, 8: 2}
    assert all(run.spec.budget.updates == updates for updates, own in shorter.items() for run in own)


def test_the_reference_is_scratch_with_as_many_labels(runs: Gathered) -> None:
    for arm in ("full", "frozen-random"):
        assert scratch(cell(arm)) == cell("scratch")
        assert runs.reference(cell(arm, None)) is runs.cells[cell("scratch", None)]


def test_what_a_run_says_of_itself(runs: Gathered, down: Store) -> None:
    run = runs.cells[cell("scratch")][0]
    assert run.labels_used == 20
    assert run.macro("auroc") == run.result["test"]["macro"]["auroc"]
    assert run.columns(["rare", "slow"]) == [2, 0]
    assert run.test is run.test  # read once
    assert set(run.test.record_id) < set(down.records["record_id"])


def test_pairs_are_of_the_same_seed_and_the_same_records(runs: Gathered) -> None:
    ours, theirs = runs.cells[cell("full")], runs.cells[cell("scratch")]
    pairs = paired(ours, theirs, ["fast", "slow"])
    assert [(pair.pretraining_seed, pair.seed) for pair in pairs] == [
        (run.pretraining_seed, run.spec.seed) for run in ours
    ]
    for pair, run in zip(pairs, ours, strict=True):
        other = theirs[run.spec.seed]
        np.testing.assert_array_equal(run.test.record_id, other.test.record_id)
        np.testing.assert_array_equal(pair.patient, run.test.patient_id)
        np.testing.assert_array_equal(pair.labels, run.test.labels[:, [1, 0]])
        np.testing.assert_array_equal(pair.scores_a, run.test.logits[:, [1, 0]])
        np.testing.assert_array_equal(pair.scores_b, other.test.logits[:, [1, 0]])
    for single, run in zip(singles(ours, ["slow"]), ours, strict=True):
        assert (single.seed, single.pretraining_seed) == (run.spec.seed, run.pretraining_seed)
        np.testing.assert_array_equal(single.scores, run.test.logits[:, :1])


def test_runs_that_tested_different_records_are_no_pair(runs: Gathered) -> None:
    ours, theirs = runs.cells[cell("full")][:1], runs.cells[cell("scratch")]
    swapped = theirs[1]
    assert len(swapped.test.record_id)  # read under its own name
    swapped.spec = dataclasses.replace(swapped.spec, seed=0)
    with pytest.raises(StudyError, match=f"runs {ours[0].spec.id} and .* tested different records"):
        paired(ours, [swapped], ["slow"])


class TestBroken:
    @pytest.fixture
    def copy(self, study: Study, tmp_path: Path) -> Study:
        shutil.copytree(study.path, tmp_path / "study")
        return read_study(tmp_path / "study")

    def said(self, study: Study) -> str:
        with pytest.raises(StudyError) as refused:
            gather(study)
        return str(refused.value)

    def test_a_run_that_is_missing(self, copy: Study) -> None:
        lost = next(run for run in copy.planned if run.purpose == "convergence")
        shutil.rmtree(copy.ledger.folder(lost.spec.id))
        said = self.said(copy)
        assert f"{copy.path}: the run {lost.spec.id} ({NETWORK} {lost.spec.arm} " in said
        assert "is missing" in said
        assert "the same command goes on where it stopped" in said

    def test_a_run_in_another_s_place(self, copy: Study) -> None:
        first, second = (copy.ledger.folder(run.spec.id) for run in copy.planned[:2])
        shutil.rmtree(first)
        shutil.copytree(second, first)
        assert "the folder holds another run" in self.said(copy)

    def test_a_result_that_is_broken(self, copy: Study) -> None:
        folder = copy.ledger.folder(copy.planned[-1].spec.id)
        (folder / "result.json").write_text("{", encoding="utf-8")
        assert f"{folder / 'result.json'}: the result cannot be read" in self.said(copy)

    def test_predictions_that_are_gone(self, copy: Study) -> None:
        """They are read when they are asked for, and then it is said."""
        cells: dict[Any, Any] = gather(copy).cells
        run = cells[cell("full")][0]
        (copy.ledger.folder(run.spec.id) / "predictions.npz").unlink()
        with pytest.raises(StudyError, match="a run without its predictions"):
            _ = run.test

    def test_a_run_that_came_back(self, copy: Study, down: Store) -> None:
        lost = next(run for run in copy.planned if run.purpose == "evidence")
        shutil.rmtree(copy.ledger.folder(lost.spec.id))
        write_run(copy, lost, down)
        assert len(list(gather(copy).all)) == len(copy.planned)
