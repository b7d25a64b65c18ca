"""The main job end to end on two small stores, and what is refused before anything is trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecgtransfer.comparison import Pretraining, compare
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, EcgTransferError, StudyError
from ecgtransfer.study.baselines import BASELINES
from ecgtransfer.study.plan import Comparison
from tests.small import BUDGET, NETWORK, contents, train_model, write_store

ASKED = Comparison(
    networks=(NETWORK,),
    arms=("scratch", "full", "linear-probe"),
    task="waves",
    sizes=(20, None),
    seeds=2,
    rates=(1e-3, 1e-2),
    budget=BUDGET,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def down(folder: Path) -> Store:
    return write_store(folder / "down.ecgs")


@pytest.fixture(scope="module")
def up(folder: Path) -> Store:
    return write_store(folder / "up.ecgs", seed=5)


@pytest.fixture(scope="module")
def pretraining(up: Store) -> Pretraining:
    return Pretraining(up.path, "waves", dataclasses.replace(BUDGET, updates=6), learning_rate=3e-3)


@pytest.fixture(scope="module")
def study(folder: Path, down: Store, pretraining: Pretraining) -> tuple[Path, dict[str, Any]]:
    """Return a finished study's folder and its findings."""
    found = compare(ASKED, down.path, folder / "study", pretraining=pretraining, quiet=True)
    return folder / "study", found


@pytest.fixture(scope="module")
def runs(study: tuple[Path, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the result.json of every run, with the folder it lies in."""
    places = sorted((study[0] / "runs").iterdir())
    return [{**json.loads((place / "result.json").read_text()), "folder": place} for place in places]


def test_the_files_of_a_study(study: tuple[Path, dict[str, Any]], runs: list[dict[str, Any]]) -> None:
    out, found = study
    assert {path.name for path in out.iterdir()} == {
        "plan.json", "runs", "evidence.json", "report.html", "report.md",
    }  # fmt: skip
    assert json.loads((out / "evidence.json").read_text()) == json.loads(json.dumps(found))
    assert "<html" in (out / "report.html").read_text()
    for name in ("report.html", "report.md"):
        assert found["sentence"].split(" – ")[0] in (out / name).read_text()
    assert len(runs) == 1 + 3 * 2 * 2 + len(BASELINES) * 2 * 2  # arms or baselines × sizes × seeds
    assert all(one["folder"].name == one["id"] for one in runs)


def test_only_the_pretrained_model_is_kept(runs: list[dict[str, Any]], up: Store) -> None:
    kept = [one for one in runs if (one["folder"] / "model.safetensors").exists()]
    assert [one["spec"]["store"] for one in kept] == [up.fingerprint]
    started = {one["spec"]["upstream"] for one in runs}
    assert started == {None, f"run:{kept[0]['id']}"}


def test_the_plan_says_what_was_asked(study: tuple[Path, dict[str, Any]], down: Store) -> None:
    plan = json.loads((study[0] / "plan.json").read_text())
    assert plan["comparison"] == json.loads(json.dumps(dataclasses.asdict(ASKED)))
    assert plan["downstream"] == {"name": "down", "fingerprint": down.fingerprint}
    assert plan["macro_targets"] == ["slow", "fast"]
    assert plan["left_out"][0][0] == "rare"
    assert list(plan["upstreams"]) == [NETWORK]


def test_the_keys_of_the_evidence(study: tuple[Path, dict[str, Any]]) -> None:
    found = study[1]
    assert set(found) == {
        "title", "sentence", "downstream", "upstreams", "protocol", "macro_targets", "left_out", "cells",
        "contrasts", "baselines", "against_baselines", "per_target", "tuning", "cost", "notes", "margin",
    }  # fmt: skip
    cells = {(cell["arm"], cell["n"], cell["n_is_all"]) for cell in found["cells"]}
    sizes = {cell["n"] for cell in found["cells"] if cell["n_is_all"]}
    [everything] = sizes
    assert 70 < everything < 90
    assert cells == {(arm, *n) for arm in ASKED.arms for n in ((20, False), (everything, True))}
    for cell in found["cells"]:
        assert set(cell) >= {
            "network", "upstream", "arm", "n", "n_is_all", "seeds", "learning_rate", "auroc", "auroc_sd",
            "auroc_per_seed", "auprc", "f1", "brier", "ece", "sensitivity", "seconds", "updates",
        }  # fmt: skip
        assert cell["upstream"] == (None if cell["arm"] == "scratch" else "up")
    for contrast in found["contrasts"]:
        assert set(contrast) >= {
            "network", "upstream", "arm", "reference", "n", "n_is_all", "difference", "low", "high", "level",
            "n_seeds", "n_patients", "patient_sd", "seed_sd", "per_seed", "seeds", "note",
        }  # fmt: skip
        assert contrast["reference"] == "scratch"
        # A verdict on what the plan named, and on nothing else.
        assert (contrast["verdict"] is not None) == (contrast["arm"] == "full")
    planned = json.loads((study[0] / "plan.json").read_text(encoding="utf-8"))["primary"]
    assert planned == [[NETWORK, "full", 20], [NETWORK, "full", None]]
    assert {(b["name"], b["n"]) for b in found["baselines"]} == {
        (name, n) for name in BASELINES for n in (20, everything)
    }
    [upstream] = found["upstreams"]
    assert upstream["name"] == "up"
    assert upstream["left_out"] == "No recording of up was found downstream."
    assert upstream["left_out"] in found["notes"]
    assert 0 <= upstream["auroc"] <= 1
    assert found["cost"]["runs"] == 20
    assert found["cost"]["trainings"] == 2 * 2 * 2 * 2  # arms that train everything × sizes × seeds × rates
    assert found["cost"]["pretraining_seconds"] > 0


def macro_auroc(run: dict[str, Any], targets: list[str]) -> float:
    names = [name for name, _ in run["spec"]["targets"]]
    with np.load(run["folder"] / "predictions.npz", allow_pickle=False) as arrays:
        labels, logits = arrays["test_labels"], arrays["test_logits"]
    values = []
    for column in map(names.index, targets):
        known = ~np.isnan(labels[:, column])
        values.append(roc_auc_score(labels[known, column], logits[known, column]))
    return float(np.mean(values))


def test_differences_are_those_of_the_predictions(
    study: tuple[Path, dict[str, Any]], runs: list[dict[str, Any]], down: Store
) -> None:
    targets = study[1]["macro_targets"]
    by_hand: dict[tuple[str, int | None, int], float] = {
        (
            one["spec"]["arm"] if one["spec"]["network"] == NETWORK else one["spec"]["network"],
            one["spec"]["n"],
            one["spec"]["seed"],
        ): macro_auroc(one, targets)
        for one in runs
        if one["spec"]["store"] == down.fingerprint and one["spec"]["network"] in (NETWORK, *BASELINES)
    }
    assert len(by_hand) == (3 + len(BASELINES)) * 2 * 2
    assert len(study[1]["contrasts"]) == 2 * 2
    assert len(study[1]["against_baselines"]) == 3 * len(BASELINES) * 2
    for contrast in (*study[1]["contrasts"], *study[1]["against_baselines"]):
        n = None if contrast["n_is_all"] else contrast["n"]
        arm, other = contrast["arm"], contrast["reference"]
        per_seed = [by_hand[arm, n, seed] - by_hand[other, n, seed] for seed in range(2)]
        assert contrast["per_seed"] == pytest.approx(per_seed, abs=1e-12)
        assert contrast["difference"] == pytest.approx(np.mean(per_seed), abs=1e-12)
        assert contrast["low"] <= contrast["difference"] <= contrast["high"]
    for cell in study[1]["cells"]:
        n = None if cell["n_is_all"] else cell["n"]
        values = [by_hand[cell["arm"], n, seed] for seed in range(2)]
        assert cell["auroc"] == pytest.approx(np.mean(values))
        assert cell["auroc_sd"] == pytest.approx(np.std(values, ddof=1))


def test_each_run_chose_its_rate_on_its_own_labels(
    study: tuple[Path, dict[str, Any]], runs: list[dict[str, Any]], down: Store
) -> None:
    for row in study[1]["tuning"]:
        n = next(
            None if cell["n_is_all"] else cell["n"] for cell in study[1]["cells"] if cell["n"] == row["n"]
        )
        own = [
            one["result"]
            for one in runs
            if (one["spec"]["arm"], one["spec"]["n"], one["spec"]["store"])
            == (row["arm"], n, down.fingerprint)
        ]
        assert row["runs"] == len(own) == ASKED.seeds
        assert row["chosen"] == sum(result["learning_rate"] == row["rate"] for result in own)
        losses = [item["validation_loss"] for r in own for item in r["search"] if item["rate"] == row["rate"]]
        assert row["validation_loss"] == pytest.approx(np.mean(losses))
    assert len(study[1]["tuning"]) == 2 * 2 * 2  # arms that train everything × sizes × rates
    assert sum(row["chosen"] for row in study[1]["tuning"]) == 2 * 2 * ASKED.seeds


def test_started_again_it_does_nothing_and_says_the_same(
    study: tuple[Path, dict[str, Any]], down: Store, pretraining: Pretraining
) -> None:
    out, found = study
    before = contents(out)
    times = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}
    assert compare(ASKED, down.path, out, pretraining=pretraining, quiet=True) == found
    assert contents(out) == before
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")} == times


def test_a_run_that_is_missing_is_repeated_and_nothing_else(
    study: tuple[Path, dict[str, Any]],
    runs: list[dict[str, Any]],
    down: Store,
    pretraining: Pretraining,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, found = study
    lost = next(one for one in runs if one["spec"]["arm"] == "full")
    kept = contents(lost["folder"])
    for path in lost["folder"].iterdir():
        path.unlink()
    lost["folder"].rmdir()
    again = compare(ASKED, down.path, out, pretraining=pretraining)
    said = capsys.readouterr().err
    assert "pre-training on up: 0 runs done, 1 were there" in said
    assert "runs: 1 runs done, 19 were there" in said
    assert contents(lost["folder"])["predictions.npz"] == kept["predictions.npz"]
    assert again["contrasts"] == found["contrasts"]


@pytest.mark.parametrize(
    "change",
    [{"seeds": 3}, {"rates": (1e-3,)}, {"sizes": (20,)}, {"budget": dataclasses.replace(BUDGET, updates=5)}],
)
def test_other_settings_in_the_same_folder_are_refused(
    study: tuple[Path, dict[str, Any]], down: Store, pretraining: Pretraining, change: dict[str, Any]
) -> None:
    before = sorted((study[0] / "runs").iterdir())
    plan = (study[0] / "plan.json").read_bytes()
    with pytest.raises(StudyError, match=r"the folder holds a study with other settings.*another folder"):
        compare(
            dataclasses.replace(ASKED, **change), down.path, study[0], pretraining=pretraining, quiet=True
        )
    assert sorted((study[0] / "runs").iterdir()) == before
    assert (study[0] / "plan.json").read_bytes() == plan


class TestRefusedBeforeTraining:
    @pytest.fixture
    def out(self, tmp_path: Path) -> Path:
        return tmp_path / "study"

    def refused(self, down: Store, out: Path, asked: Comparison = ASKED, **given: Any) -> str:
        """Return what the error says; nothing may have been trained or written."""
        with pytest.raises(EcgTransferError) as error:
            compare(asked, down.path, out, quiet=True, **given)
        assert not out.exists()
        return str(error.value)

    def test_upstream_and_downstream_are_the_same(
        self, down: Store, out: Path, pretraining: Pretraining, folder: Path
    ) -> None:
        same = dataclasses.replace(pretraining, store=down.path)
        assert "upstream and downstream are the same store" in self.refused(down, out, pretraining=same)
        copied = write_store(folder / "same-content.ecgs")
        same = dataclasses.replace(pretraining, store=copied.path)
        assert "upstream and downstream are the same store" in self.refused(down, out, pretraining=same)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"leads": ("I", "V1")}, ["leads I V1", "I II", "--leads"]),
            ({"leads": ("I",)}, ["leads I and", "I II", "--leads"]),
            ({"rate": 50.0}, ["200 samples at 50 Hz", "200 at 100 Hz", "--rate"]),
            ({"n_samples": 150}, ["150 samples at 100 Hz", "200 at 100 Hz", "--seconds"]),
        ],
    )
    def test_an_upstream_store_of_other_signals(
        self, down: Store, out: Path, pretraining: Pretraining, tmp_path: Path, change: Any, says: list[str]
    ) -> None:
        other = write_store(tmp_path / "other.ecgs", seed=6, **change)
        said = self.refused(down, out, pretraining=dataclasses.replace(pretraining, store=other.path))
        for words in (*says, str(other.path)):
            assert words in said

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"leads": ("I", "V1")}, ["2 (I, V1)", "2 (I, II)"]),
            ({"rate": 50.0}, ["50 Hz", "100 Hz", "--rate 50"]),
        ],
    )
    def test_a_model_of_other_signals(
        self, down: Store, out: Path, tmp_path: Path, change: Any, says: list[str]
    ) -> None:
        train_model(tmp_path / "model", write_store(tmp_path / "other.ecgs", seed=6, **change))
        said = self.refused(down, out, models=[tmp_path / "model"])
        for words in (*says, str(tmp_path / "model")):
            assert words in said

    def test_a_model_that_saw_this_store(self, down: Store, out: Path, tmp_path: Path) -> None:
        train_model(tmp_path / "model", down)
        said = self.refused(down, out, models=[tmp_path / "model"])
        assert "the model was pre-trained on this very store" in said

    def test_models_that_do_not_fit_the_networks(
        self, down: Store, up: Store, out: Path, tmp_path: Path
    ) -> None:
        model = tmp_path / "model"
        train_model(model, up)
        asked = dataclasses.replace(ASKED, networks=("lstm-pooled",))
        assert f"the model is a {NETWORK}" in self.refused(down, out, asked, models=[model])
        assert f"two models of {NETWORK}" in self.refused(down, out, models=[model, model])
        asked = dataclasses.replace(ASKED, networks=(NETWORK, "lstm-pooled"))
        said = self.refused(down, out, asked, models=[model])
        assert "arm 'full' needs a pre-trained lstm-pooled and none was given" in said

    def test_nothing_to_start_from(self, down: Store, out: Path) -> None:
        assert "Give --from a model folder or an upstream store" in self.refused(down, out)

    def test_sizes_and_tasks_that_are_not_there(
        self, down: Store, out: Path, pretraining: Pretraining
    ) -> None:
        asked = dataclasses.replace(ASKED, sizes=(20, 95))
        assert "size 95 is more than the" in self.refused(down, out, asked, pretraining=pretraining)
        asked = dataclasses.replace(ASKED, task="wave")
        assert "Did you mean waves" in self.refused(down, out, asked, pretraining=pretraining)
        wrong = dataclasses.replace(pretraining, task="wave")
        assert "Did you mean waves" in self.refused(down, out, pretraining=wrong)

    @pytest.mark.parametrize("rate", [0.0, -1e-3, float("nan"), float("inf")])
    def test_a_pretraining_rate_that_is_none(
        self, down: Store, out: Path, pretraining: Pretraining, rate: float
    ) -> None:
        wrong = dataclasses.replace(pretraining, learning_rate=rate)
        assert "is not a learning rate" in self.refused(down, out, pretraining=wrong)


def test_a_model_folder_does_as_well_as_a_store(down: Store, up: Store, tmp_path: Path) -> None:
    train_model(tmp_path / "model", up)
    asked = dataclasses.replace(ASKED, arms=("full",), sizes=(20,), seeds=1, rates=(1e-3,))
    found = compare(asked, down.path, tmp_path / "study", models=[tmp_path / "model"], quiet=True)
    [upstream] = found["upstreams"]
    assert (upstream["name"], upstream["task"]) == ("up", "waves")
    assert found["cost"]["pretraining_seconds"] is None
    assert [row["rate"] for row in found["tuning"]] == [1e-3, 1e-3]
    assert [cell["learning_rate"] for cell in found["cells"]] == [1e-3, 1e-3]
    with pytest.raises(ConfigError):
        compare(dataclasses.replace(asked, task="x"), down.path, tmp_path / "y", models=[tmp_path / "model"])
