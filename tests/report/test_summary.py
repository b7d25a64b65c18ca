"""A study's findings: every figure is that of the predictions, every row says what it is about."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import wilcoxon
from sklearn.metrics import roc_auc_score

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import StudyError
from ecgtransfer.files import write_json
from ecgtransfer.report import costs, summary
from ecgtransfer.report.costs import WATTS
from ecgtransfer.report.gather import Cell, Done, Gathered, gather
from ecgtransfer.report.summary import summarise
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import Study, freeze, read_study
from ecgtransfer.study.plans.plan import Contrast, DownstreamPlan, StudyPlan
from tests.report.invented import MULTIPLY_ADDS, SECONDS, fill, write_run
from tests.small import BUDGET, NETWORK, make_plan, make_upstream, write_store

ARMS = ("scratch", "full", "linear-probe", "frozen-random")
SEEDS, UPDATES, BATCH, RATES = 5, 16, 8, (1e-3, 1e-2)
ROW = {"downstream", "network", "upstream", "arm", "n", "n_is_all"}
# What each section's rows have to tell, beside where they stand.
KEYS: dict[str, set[str]] = {
    "cells": {
        "seeds", "pretraining_seeds", "learning_rate", "auroc", "auprc", "f1", "brier", "ece", "sensitivity",
        "auroc_sd", "auroc_per_seed", "seconds", "updates", "best_update", "diverged",
    },
    "contrasts": {
        "reference", "difference", "low", "high", "level", "n_seeds", "n_pretraining_seeds", "n_patients",
        "patient_sd", "seed_sd", "per_seed", "seeds", "positives", "negatives", "note", "spread", "primary",
        "verdict",
    },
    "against_baselines": {"reference", "difference", "low", "high", "level", "per_seed", "seeds", "note"},
    "per_target": {"target", "auroc", "positives", "difference", "low", "high", "word", "note"},
    "subgroups": {"group", "value", "records", "patients", "difference", "low", "high", "word", "note"},
    "operating": {
        "target", "specificity", "sensitivity", "reference_sensitivity", "achieved_specificity", "difference",
        "low", "high", "word", "note",
    },
    "convergence": {"target", "budgets", "arms"},
    "calibration": {"bins", "brier", "ece", "slope", "intercept"},
    "tuning": {"rate", "validation_loss", "diverged", "chosen", "runs", "by"},
}  # fmt: skip
VERDICT = {
    "word", "level", "low", "high", "equivalence_low", "equivalence_high", "margin", "p",
    "minimum_detectable", "settles",
}  # fmt: skip

Found = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("summary")


@pytest.fixture(scope="module")
def stores(folder: Path) -> dict[str, Store]:
    return {
        "a": write_store(folder / "a.ecgs", twins=4),
        "b": write_store(folder / "b.ecgs", seed=1, second=60),
        "up-a": write_store(folder / "up-a.ecgs", seed=5),
        "up-b": write_store(folder / "up-b.ecgs", seed=6),
    }


@pytest.fixture(scope="module")
def plan(stores: dict[str, Store]) -> StudyPlan:
    """Return two upstreams onto two downstreams; the headline pair from two pre-trainings."""
    return make_plan(
        stores["a"].path,
        None,
        arms=ARMS,
        upstreams=(
            make_upstream(stores["up-a"].path, "up-a", seeds=2),
            make_upstream(stores["up-b"].path, "up-b"),
        ),
        downstreams=tuple(DownstreamPlan(name, stores[name].path, "waves", (20, None)) for name in "ab"),
        seeds=SEEDS,
        tuning_seeds=2,
        convergence=(20,),
        budget=dataclasses.replace(BUDGET, updates=UPDATES),
        margin=0.02,
    )


def finished(plan: StudyPlan, out: Path, stores: dict[str, Store]) -> Study:
    """Return a study whose runs are all there, though none was trained."""
    study = freeze(expand(plan), out)
    fill(study, {store.fingerprint: store for store in stores.values()})
    return read_study(out)


@pytest.fixture(autouse=True, scope="module")
def _few_resamples() -> Any:
    """Intervals are the evidence's matter; here some are enough."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(summary, "RESAMPLES", 200)
        yield


@pytest.fixture(scope="module")
def study(plan: StudyPlan, folder: Path, stores: dict[str, Store]) -> Study:
    return finished(plan, folder / "study", stores)


@pytest.fixture(scope="module")
def runs(study: Study) -> Gathered:
    return gather(study)


@pytest.fixture(scope="module")
def found(study: Study) -> Found:
    return summarise(study)


def cell_of(row: Found) -> Cell:
    return Cell(
        row["downstream"], row["network"], row["upstream"], row["arm"], None if row["n_is_all"] else row["n"]
    )


def macro_auroc(run: Done) -> float:
    labels, logits = run.test.labels, run.test.logits
    values = []
    for column in (0, 1):  # slow and fast; rare is too rare
        known = ~np.isnan(labels[:, column])
        values.append(roc_auc_score(labels[known, column], logits[known, column]))
    return float(np.mean(values))


def by_seed(runs: list[Done]) -> dict[int, float]:
    """Return macro AUROCs by seed, averaged over pre-trainings."""
    values: dict[int, list[float]] = {}
    for run in runs:
        values.setdefault(run.spec.seed, []).append(macro_auroc(run))
    return {seed: float(np.mean(own)) for seed, own in values.items()}


class TestShape:
    def test_every_row_says_what_it_is_about_and_what_it_found(self, found: Found) -> None:
        for section, keys in KEYS.items():
            assert found[section], section
            for row in found[section]:
                assert set(row) >= ROW | keys, section
                assert row["downstream"] in ("a", "b")
                assert (row["upstream"] is None) == (row["arm"] in ("scratch", "frozen-random"))

    def test_it_is_json_without_nan(self, found: Found) -> None:
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_the_same_again(self, study: Study, found: Found) -> None:
        assert json.dumps(summarise(study)) == json.dumps(found)

    def test_who_was_asked(self, found: Found, study: Study, stores: dict[str, Store]) -> None:
        assert found["study"] == {
            "name": "small", "protocol": "sound", "hash": study.description["hash"], "seeds": SEEDS,
            "pretraining_seeds": 2, "updates": UPDATES, "runs": len(study.planned),
        }  # fmt: skip
        assert (found["margin"], found["level"]) == (0.02, 0.95)
        assert [(each["name"], each["fingerprint"]) for each in found["downstreams"]] == [
            (name, stores[name].fingerprint) for name in "ab"
        ]
        assert found["protocol"]["frozen as"] == study.description["hash"]
        assert found["protocol"]["learning rates"] == list(RATES)

    def test_the_answer_is_two_sentences_and_the_headline_s(self, found: Found) -> None:
        first, second = found["answer"]
        assert found["sentence"] == f"{first} {second}"
        everything = max(row["n"] for row in found["cells"] if row["downstream"] == "a")
        assert first.startswith(
            f"With {everything} labelled ECGs of a, fine-tuning {NETWORK} from up-a gains"
        )
        assert "of the 8 contrasts named beforehand: " in second.lower()

    def test_where_it_helps_the_arm_with_the_lower_validation_loss_is_recommended(self, found: Found) -> None:
        judged = [
            row
            for row in found["contrasts"]
            if row["downstream"] == "a" and row["n_is_all"] and row["arm"] == "full"
        ]
        assert {row["verdict"]["word"] for row in judged} == {"helps"}
        cells = [
            cell
            for cell in found["cells"]
            if (cell["downstream"], cell["arm"], cell["n_is_all"]) == ("a", "full", True)
        ]
        best = min(cells, key=lambda cell: cell["validation_loss"])
        told = found["recommendation"]
        assert (told["arm"], told["upstream"], told["decided"]) == ("full", best["upstream"], True)
        assert told["auroc"] == best["auroc"]


class TestCells:
    def test_each_arm_from_each_upstream_at_each_size(self, found: Found) -> None:
        sizes = {row["n"] for row in found["cells"] if row["n_is_all"]}
        assert all(70 < n < 85 for n in sizes)
        assert {cell_of(row) for row in found["cells"]} == {
            Cell(down, NETWORK, up, arm, n)
            for down in "ab"
            for n in (20, None)
            for arm in ARMS
            for up in ((None,) if arm in ("scratch", "frozen-random") else ("up-a", "up-b"))
        }
        assert len(found["cells"]) == 2 * 2 * 6

    def test_figures_are_those_of_the_runs(self, found: Found, runs: Gathered) -> None:
        for row in found["cells"]:
            own = runs.cells[cell_of(row)]
            values = [macro_auroc(run) for run in own]
            assert row["auroc_per_seed"] == pytest.approx(values, abs=1e-9)
            assert row["auroc"] == pytest.approx(np.mean(values))
            assert row["auroc_sd"] == pytest.approx(np.std(values, ddof=1))
            assert row["f1"] == pytest.approx(np.mean([run.result["test"]["macro"]["f1"] for run in own]))
            assert row["seeds"] == SEEDS
            assert row["seconds"] == SECONDS
            trained = row["arm"] in ("scratch", "full")
            assert row["learning_rate"] == (RATES[-1] if trained else None)
            assert row["updates"] == (UPDATES if trained else 0)

    def test_only_the_headline_pair_has_several_pretrainings(self, found: Found) -> None:
        for row in found["cells"]:
            headline = (row["downstream"], row["upstream"], row["arm"]) == ("a", "up-a", "full")
            assert row["pretraining_seeds"] == (0 if row["upstream"] is None else 2 if headline else 1)

    def test_baselines_stand_beside_them(self, found: Found, runs: Gathered) -> None:
        assert len(found["baselines"]) == 2 * 2 * 2
        for row in found["baselines"]:
            n = None if row["n_is_all"] else row["n"]
            own = runs.baselines[Cell(row["downstream"], row["name"], None, "baseline", n)]
            assert row["auroc"] == pytest.approx(np.mean([macro_auroc(run) for run in own]))


class TestContrasts:
    def test_each_is_against_scratch_and_that_of_the_predictions(self, found: Found, runs: Gathered) -> None:
        assert len(found["contrasts"]) == 2 * 2 * 5
        for row in found["contrasts"]:
            ours = by_seed(runs.cells[cell_of(row)])
            theirs = by_seed(runs.cells[Cell(row["downstream"], NETWORK, None, "scratch", cell_of(row).n)])
            assert row["reference"] == "scratch"
            assert row["seeds"] == list(range(SEEDS))
            assert row["per_seed"] == pytest.approx([ours[s] - theirs[s] for s in range(SEEDS)], abs=1e-9)
            assert row["difference"] == pytest.approx(np.mean(row["per_seed"]))
            assert row["low"] < row["difference"] < row["high"]

    def test_the_headline_pair_is_crossed_with_its_pretrainings(self, found: Found) -> None:
        for row in found["contrasts"]:
            headline = (row["downstream"], row["upstream"], row["arm"]) == ("a", "up-a", "full")
            assert row["n_pretraining_seeds"] == (0 if row["upstream"] is None else 2 if headline else 1)

    def test_how_many_patients_there_were(self, found: Found, runs: Gathered) -> None:
        row = found["contrasts"][0]
        own = runs.cells[cell_of(row)]
        patients = np.concatenate([run.test.patient_id for run in own])
        assert row["n_patients"] == len(set(patients))
        positive = [
            {p for run in own for p in run.test.patient_id[run.test.labels[:, column] == 1]}
            for column in (0, 1)
        ]
        assert row["positives"] == min(map(len, positive))
        assert row["negatives"] > 10

    def test_a_verdict_on_the_family_and_on_nothing_else(self, found: Found, study: Study) -> None:
        judged = {cell_of(row) for row in found["contrasts"] if row["verdict"] is not None}
        assert judged == {Cell(c.downstream, c.network, c.upstream, c.arm, c.n) for c in study.primary}
        assert len(judged) == 8
        for row in found["contrasts"]:
            assert row["primary"] == (row["verdict"] is not None) == (row["arm"] == "full")
            if row["verdict"]:
                assert set(row["verdict"]) == VERDICT
                assert row["verdict"]["margin"] == 0.02
        # Holm: the intervals of the verdicts are wider than each contrast's own.
        levels = [row["verdict"]["level"] for row in found["contrasts"] if row["verdict"]]
        assert min(levels) >= 0.95
        assert max(levels) == pytest.approx(1 - 0.05 / 8)

    def test_what_the_plan_names_is_what_is_judged(
        self, plan: StudyPlan, stores: dict[str, Store], tmp_path: Path
    ) -> None:
        named = Contrast("b", NETWORK, "up-b", "linear-probe", 20)
        small = dataclasses.replace(
            plan,
            primary=(named,),
            upstreams=plan.upstreams[1:],
            downstreams=plan.downstreams[1:],
            convergence=(),
            baselines=(),
            seeds=2,
        )
        found = summarise(finished(small, tmp_path / "study", stores))
        [judged] = [row for row in found["contrasts"] if row["verdict"] is not None]
        assert cell_of(judged) == Cell("b", NETWORK, "up-b", "linear-probe", 20)
        assert "the arm linear-probe" in found["answer"][0]
        assert {cell_of(row) for row in found["operating"]} == {cell_of(judged)}
        assert {row["arm"] for row in found["calibration"]} == {"scratch", "linear-probe"}
        # And with nothing to weigh them against there are neither baselines nor shorter budgets.
        assert found["baselines"] == found["against_baselines"] == found["convergence"] == []

    def test_against_the_baselines(self, found: Found, runs: Gathered) -> None:
        assert len(found["against_baselines"]) == 2 * 2 * 6 * 2
        for row in found["against_baselines"]:
            ours = by_seed(runs.cells[cell_of(row)])
            n = cell_of(row).n
            theirs = by_seed(runs.baselines[Cell(row["downstream"], row["reference"], None, "baseline", n)])
            assert row["difference"] == pytest.approx(np.mean([ours[s] - theirs[s] for s in range(SEEDS)]))
        weak = [
            row["reference"]
            for row in found["against_baselines"]
            if row["arm"] in ("scratch", "full") and row["low"] <= 0
        ]
        told = [note for note in found["notes"] if note.startswith("Not shown to beat a baseline")]
        assert len(told) == bool(weak)


class TestBeside:
    def test_every_target_of_every_cell(self, found: Found, runs: Gathered) -> None:
        assert len(found["per_target"]) == len(found["cells"]) * 3
        for row in found["per_target"]:
            own = runs.cells[cell_of(row)]
            assert row["positives"] > 0
            if row["arm"] == "scratch":
                assert (row["difference"], row["low"], row["word"]) == (None, None, None)
                values = [run.result["test"]["targets"][row["target"]]["auroc"] for run in own]
                if row["target"] == "slow":
                    assert row["auroc"] == pytest.approx(np.mean(values))
            elif row["target"] == "rare":
                assert row["low"] is None
                assert row["note"]
            else:
                assert row["low"] < row["difference"] < row["high"]
                assert row["word"] in ("helps", "harms", "equivalent", "undecided")

    def test_subgroups_of_the_family(self, found: Found) -> None:
        assert {row["arm"] for row in found["subgroups"]} == {"full"}
        groups = {row["group"] for row in found["subgroups"]}
        assert groups == {"sex", "age"}  # of one source there is nothing to compare
        sexes = {row["value"] for row in found["subgroups"] if row["group"] == "sex"}
        assert {"male", "female"} <= sexes

    def test_operating_points_come_from_the_validation_part(self, found: Found, runs: Gathered) -> None:
        assert len(found["operating"]) == 8 * 2  # macro targets
        for row in found["operating"]:
            column = ("slow", "fast").index(row["target"])
            sensitivities: dict[int, list[float]] = {}
            for run in runs.cells[cell_of(row)]:
                threshold = run.result["operating_points"]["specificity_thresholds"][column]
                positive = run.test.labels[:, column] == 1
                called = run.test.logits[positive, column] >= threshold
                sensitivities.setdefault(run.spec.seed, []).append(float(called.mean()))
            expected = np.mean([np.mean(own) for own in sensitivities.values()])
            assert row["sensitivity"] == pytest.approx(expected, abs=0.05)
            assert row["difference"] == pytest.approx(row["sensitivity"] - row["reference_sensitivity"])

    def test_a_curve_for_each_arm_and_upstream(self, found: Found) -> None:
        lines = [(row["downstream"], row["upstream"], row["arm"]) for row in found["curves"]]
        assert len(lines) == len(set(lines)) == 2 * 5
        for row in found["curves"]:
            assert row["sizes"] == sorted(row["sizes"])
            assert len(row["sizes"]) == 2
            for at, size in enumerate(row["sizes"]):
                cells = [c for c in found["cells"] if c["n"] == size and c["downstream"] == row["downstream"]]
                [ours] = [c for c in cells if (c["arm"], c["upstream"]) == (row["arm"], row["upstream"])]
                [theirs] = [c for c in cells if c["arm"] == "scratch"]
                assert row["arm_band"][at]["mean"] == pytest.approx(ours["auroc"])
                assert row["reference_band"][at]["mean"] == pytest.approx(theirs["auroc"])
            assert row["catch_up"]["text"].endswith(".")
            assert [each["n"] for each in row["labels_saved"]] == row["sizes"]
            assert [each["n"] for each in row["transferred"]] == row["sizes"]

    def test_convergence_to_what_tuning_runs_of_scratch_reached(self, found: Found, runs: Gathered) -> None:
        assert len(found["convergence"]) == 2 * 2  # downstreams × upstreams, at one size
        for row in found["convergence"]:
            assert (row["n"], row["budgets"]) == (20, [2, 4, 8, 16])
            scratch = Cell(row["downstream"], NETWORK, None, "scratch", 20)
            rate = runs.cells[scratch][0].result["learning_rate"]
            tried = [item for run in runs.tunings[scratch] for item in run.result["search"]]
            losses = [item["validation_loss"] for item in tried if item["rate"] == rate]
            assert len(losses) == len(runs.tunings[scratch])
            assert row["target"] == pytest.approx(np.mean(losses))
            assert set(row["arms"]) == {"full", "scratch"}
            for arm, told in row["arms"].items():
                cell = cell_of(row) if arm == "full" else scratch
                whole = [run for run in runs.cells[cell] if run.pretraining_seed in (None, 0)]
                assert told["runs"] == SEEDS
                reached = np.mean([run.result["validation_loss"] <= row["target"] for run in whole])
                assert told["reached"][-1] >= reached - 1e-9
                assert told["auroc"][-1] == pytest.approx(np.mean([macro_auroc(run) for run in whole]))
            apart = row["arms"]["full"]["differences"]
            assert [each["updates"] for each in apart] == row["budgets"]
            for at, each in enumerate(apart):
                gain = row["arms"]["full"]["auroc"][at] - row["arms"]["scratch"]["auroc"][at]
                assert each["difference"] == pytest.approx(gain)
                assert each["low"] < each["difference"] < each["high"]

    def test_both_arms_calibration(self, found: Found) -> None:
        cells = [cell_of(row) for row in found["calibration"]]
        assert len(cells) == len(set(cells)) == 2 * 2 * 3  # scratch once, full from both
        assert {cell.arm for cell in cells} == {"scratch", "full"}
        for row in found["calibration"]:
            assert sum(each["count"] for each in row["bins"]) > 100

    def test_what_seems_to_harm_is_below_zero(self, found: Found) -> None:
        by_place = {(cell_of(row), row["target"]): row for row in found["per_target"]}
        for row in found["negative_transfer"]:
            told = by_place[cell_of(row), row["target"]]
            assert (row["difference"], row["low"], row["high"]) == (
                told["difference"], told["low"], told["high"],
            )  # fmt: skip
            assert row["difference"] < 0
        # A frozen random encoder was not pre-trained: what it loses is no transfer.
        assert {row["arm"] for row in found["negative_transfer"]} <= {"full", "linear-probe"}
        assert any(
            row["arm"] == "frozen-random" and row["high"] < 0 for row in by_place.values() if row["high"]
        )

    def test_tests_over_seeds_are_there_and_decide_nothing(self, found: Found, runs: Gathered) -> None:
        for row in found["contrasts"]:
            told = row["seed_tests"]
            assert told["wilcoxon"] == pytest.approx(wilcoxon(row["per_seed"]).pvalue)
            # The correction is for training sets that overlap because they are all of the same data.
            assert (told["nadeau_bengio"] is None) == (not row["n_is_all"])

    def test_gains_with_few_labels_are_held_against_those_with_most(self, found: Found) -> None:
        rows = found["gains"]
        assert len(rows) == 2 * 2 * 2  # downstreams × upstreams × arms that start somewhere
        assert all(row["n"] == 20 and row["against"].startswith("itself with ") for row in rows)
        gains = {cell_of(row): row["difference"] for row in found["contrasts"]}
        for row in rows:
            few = cell_of(row)
            expected = gains[few] - gains[few._replace(n=None)]
            assert row["difference"] == pytest.approx(expected)
            assert row["low"] < row["difference"] < row["high"]
            assert row["word"] in {"gains more", "gains less", "gains the same", "cannot be told"}

    def test_gains_are_compared_between_networks_over_the_pre_trainings_of_both(
        self, plan: StudyPlan, stores: dict[str, Store], tmp_path: Path
    ) -> None:
        one = dataclasses.replace(
            plan,
            networks=(plan.networks[0], "gru-pooled"),
            arms=("scratch", "full"),
            upstreams=plan.upstreams[:1],
            downstreams=(dataclasses.replace(plan.downstreams[1], sizes=(20,)),),
            convergence=(),
            tuning_seeds=0,
        )
        study = finished(one, tmp_path / "study", stores)
        found = summarise(study)
        (row,) = found["gains"]
        assert (row["network"], row["against"]) == one.networks
        assert (row["n_seeds"], row["n_pretraining_seeds"]) == (SEEDS, 1)
        cells = gather(study).cells
        told = []
        for network in one.networks:
            cell = Cell("b", network, "up-a", "full", 20)
            lots = [run for run in cells[cell] if run.pretraining_seed in (0, None)]
            scratch = cells[cell._replace(upstream=None, arm="scratch")]
            told.append(
                np.mean([run.macro("auroc") for run in lots]) - np.mean([r.macro("auroc") for r in scratch])
            )
        assert row["difference"] == pytest.approx(told[0] - told[1])

    def test_the_ceiling_of_what_has_duplicates(self, found: Found, stores: dict[str, Store]) -> None:
        assert [(row["downstream"], row["target"]) for row in found["noise_ceiling"]] == [
            ("a", "slow"), ("a", "fast"), ("b", "slow"),
        ]  # fmt: skip
        labels = stores["a"].labels(stores["a"].task("waves"))
        pairs = stores["a"].duplicates
        for column, row in enumerate(found["noise_ceiling"][:2]):
            both = labels[pairs["a"].to_numpy(), column], labels[pairs["b"].to_numpy(), column]
            known = ~(np.isnan(both[0]) | np.isnan(both[1]))
            assert row["pairs"] == known.sum()
            assert row["agreement"] == pytest.approx(np.mean(both[0][known] == both[1][known]))
            assert "duplicates within a" in row["basis"]

    def test_the_ceiling_that_second_opinions_tell(
        self, found: Found, runs: Gathered, stores: dict[str, Store]
    ) -> None:
        row = found["noise_ceiling"][2]
        known = ~np.isnan(stores["b"].labels(stores["b"].task("waves"))[:60, 0])
        assert row["basis"] == "second opinions within b"
        assert row["pairs"] == known.sum()
        assert row["agreement"] == pytest.approx(1 - known[::10].sum() / known.sum())
        assert row["ceiling_low"] < row["ceiling_auroc"] < row["ceiling_high"] <= 1
        # The readers saw a choice of the records: the ceiling is for those that are tested.
        tested = [run.test for cell, cells in runs.cells.items() if cell.downstream == "b" for run in cells]
        slow = np.concatenate([test.labels[:, 0] for test in tested])
        assert row["prevalence"] == pytest.approx(np.nanmean(slow))

    def test_what_each_rate_was_worth_and_who_chose(self, found: Found) -> None:
        assert len(found["tuning"]) == 2 * 2 * 3 * 2  # downstreams × sizes × trained arms × rates
        for row in found["tuning"]:
            number = RATES.index(row["rate"])
            assert row["validation_loss"] == pytest.approx(0.5 - 0.1 * number)
            assert row["chosen"] == (row["runs"] if number == 1 else 0)
            assert row["by"] == "2 tuning seeds"
            assert row["diverged"] == 0


class TestCost:
    def test_every_run_is_counted_once(self, found: Found, study: Study) -> None:
        cost = found["cost"]
        assert cost["runs"] == len(study.planned)
        assert cost["total_seconds"] == pytest.approx(SECONDS * len(study.planned))
        trained = sum(1 if run.spec.tuned_by else len(run.spec.rates) for run in study.planned)
        assert cost["trainings"] == trained

    def test_operations_of_a_training_and_of_a_frozen_encoder(self, found: Found, runs: Gathered) -> None:
        for row in found["cost"]["rows"]:
            run = runs.cells[cell_of(row)][0]
            records = run.result["records"]
            if row["arm"] in ("scratch", "full"):
                passes = 3 * UPDATES * BATCH + records["validation"] * BUDGET.validations
                assert row["trainings"] == len(runs.cells[cell_of(row)])
            else:
                passes = records["train"] + records["validation"]
                # A random encoder looks at the signals once more, for its statistics.
                passes += records["train"] if row["arm"] == "frozen-random" else 0
                assert row["trainings"] == 0
            assert row["flops_per_training"] == pytest.approx(2 * MULTIPLY_ADDS * passes, rel=0.05)
            assert row["energy_wh"] == pytest.approx(WATTS * SECONDS / 3600)

    def test_energy_says_that_it_leaves_a_gpu_out(self, found: Found, study: Study) -> None:
        assert "GPU" not in found["cost"]["power_note"]
        runs = gather(study)
        next(iter(runs.all)).measured["device"] = "NVIDIA H200"
        told = costs.cost(runs, summary._sizes(runs), study.description["upstreams"])
        assert told["power_note"].endswith("What a GPU took is not in it.")

    def test_pretrainings_once_per_upstream_and_network(self, found: Found) -> None:
        rows = {row["upstream"]: row for row in found["cost"]["pretraining"]}
        assert {name: row["runs"] for name, row in rows.items()} == {"up-a": 2, "up-b": 1}
        assert all(row["seconds"] == SECONDS for row in rows.values())

    def test_a_break_even_for_each_fine_tuned_cell(self, found: Found) -> None:
        rows = found["cost"]["break_even"]
        assert {cell_of(row) for row in rows} == {
            cell_of(row) for row in found["cells"] if row["arm"] == "full"
        }
        for row in rows:
            assert row["text"].endswith(".")
            if row["n"] == 20:
                assert "to the same validation loss" in row["text"]
                assert "was not measured" not in row["text"]
            else:  # no smaller budgets were run: both arms cost the same by design, which says nothing
                assert row["state"] == "unclear"
                assert row["saving"] is None
                assert "was not measured: both arms had the same budget" in row["text"]


class TestUpstreams:
    def test_a_row_for_each_downstream_that_it_serves(self, found: Found, runs: Gathered) -> None:
        rows = [(row["name"], row["downstream"], row["seeds"]) for row in found["upstreams"]]
        assert rows == [("up-a", "a", 2), ("up-a", "b", 2), ("up-b", "a", 1), ("up-b", "b", 1)]
        for row in found["upstreams"]:
            own = runs.pretrainings[row["name"], NETWORK]
            assert row["auroc_per_seed"] == pytest.approx([macro_auroc(run) for run in own])
            assert row["auroc"] == pytest.approx(np.mean(row["auroc_per_seed"]))
            assert row["seconds"] == pytest.approx(SECONDS * len(own))
            assert row["records"] == own[0].labels_used
            assert row["downloaded"] is False
            budget = own[0].spec.budget
            assert row["training"] == {
                "updates": budget.updates,
                "batch_size": budget.batch_size,
                "learning_rate": own[0].spec.rates[0],
                "flip": budget.augment.polarity_flip,
            }
            assert row["left_out"] in found["notes"]


class TestNotes:
    def test_what_limits_the_study(self, found: Found) -> None:
        notes = " ".join(found["notes"])
        assert "4 pairs of duplicates within a" in notes
        assert "No duplicates were found within b." in notes
        assert "Where a row names one pre-training" in notes
        assert "(Holm)" in notes
        assert "Learning rates were chosen on 2 other draws of n labels" in notes
        assert "Seeds are few" not in notes

    def test_few_seeds_are_said(self, plan: StudyPlan, stores: dict[str, Store], tmp_path: Path) -> None:
        few = dataclasses.replace(
            plan,
            seeds=1,
            tuning_seeds=0,
            convergence=(),
            baselines=(),
            upstreams=plan.upstreams[:1],
            downstreams=(dataclasses.replace(plan.downstreams[1], sizes=(20,)),),
        )
        found = summarise(finished(few, tmp_path / "study", stores))
        assert "Seeds are few (1): seed variance is estimated poorly." in found["notes"]
        assert not any("Learning rates were chosen on" in note for note in found["notes"])
        assert found["curves"] == found["convergence"] == []
        # Each run tried all rates itself.
        assert {(row["by"], row["runs"]) for row in found["tuning"]} == {("each run", 1), ("each run", 2)}
        assert found["cells"][0]["auroc_sd"] is None
        assert json.dumps(found, allow_nan=False)

    def test_scratch_alone_has_findings_too(
        self, plan: StudyPlan, stores: dict[str, Store], tmp_path: Path
    ) -> None:
        alone = dataclasses.replace(
            plan,
            arms=("scratch",),
            upstreams=(),
            convergence=(),
            baselines=(),
            downstreams=plan.downstreams[:1],
            seeds=2,
        )
        found = summarise(finished(alone, tmp_path / "study", stores))
        assert found["sentence"].endswith("there is nothing to compare it with.")
        assert found["contrasts"] == found["upstreams"] == found["operating"] == []
        assert len(found["cells"]) == 2
        assert found["recommendation"]["arm"] == "scratch"


class TestKept:
    def test_what_was_kept_beside_the_runs_is_shown(
        self, plan: StudyPlan, stores: dict[str, Store], tmp_path: Path
    ) -> None:
        small = dataclasses.replace(
            plan,
            arms=("scratch", "frozen-random"),
            upstreams=(),
            convergence=(),
            baselines=(),
            downstreams=(dataclasses.replace(plan.downstreams[1], sizes=(20,)),),
            seeds=2,
        )
        study = finished(small, tmp_path / "study", stores)
        found = summarise(study)
        assert (found["audit"], found["disagreements"], found["paper"]) == (None, [], None)
        write_json(study.path / "audit.json", {"summary": ["One thing."]})
        write_json(study.path / "disagreements.json", [{"record_id": "r001"}])
        found = summarise(study)
        assert found["audit"] == {"summary": ["One thing."]}
        assert found["disagreements"] == [{"record_id": "r001"}]

    def test_without_one_of_its_runs_there_are_no_findings(
        self, plan: StudyPlan, stores: dict[str, Store], tmp_path: Path
    ) -> None:
        study = freeze(expand(plan), tmp_path / "study")
        write_run(study, study.planned[0], stores["up-a"])
        with pytest.raises(StudyError, match=f"the run {study.planned[1].spec.id} .* is missing"):
            summarise(study)
