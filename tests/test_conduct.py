"""The main job end to end on small stores: nothing is done twice, and what is said is what the runs hold."""

from __future__ import annotations

import dataclasses
import html
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecgtransfer.conduct import conduct, redraw
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import EcgTransferError, StudyError
from ecgtransfer.report import summary
from ecgtransfer.study.baselines import BASELINES
from ecgtransfer.study.plans.plan import DownstreamPlan, StudyPlan, UpstreamPlan
from ecgtransfer.study.spec import RunSpec
from tests.small import BUDGET, NETWORK, contents, make_plan, make_upstream, train_model, write_store

RATES, SEEDS = (1e-3, 1e-2), 2
ARMS = ("scratch", "full", "linear-probe")
SECTIONS = {
    "title", "answer", "sentence", "study", "margin", "level", "downstreams", "upstreams", "protocol",
    "cells", "contrasts", "baselines", "against_baselines", "per_target", "subgroups", "operating", "gains",
    "curves", "convergence", "calibration", "negative_transfer", "noise_ceiling", "tuning", "cost", "audit",
    "disagreements", "paper", "notes", "recommendation",
}  # fmt: skip

Found = dict[str, Any]


class Heard:
    """A listener that remembers; told to, it interrupts after so many runs as Ctrl-C would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.ran: list[RunSpec] = []
        self.stop_after = stop_after

    def started(self, spec: RunSpec) -> None:
        if len(self.ran) == self.stop_after:
            raise KeyboardInterrupt
        self.ran.append(spec)

    def finished(self, spec: RunSpec, content: dict[str, Any]) -> None:
        assert content["id"] == spec.id

    def elsewhere(self, specs: Sequence[RunSpec]) -> None:
        assert not specs


@pytest.fixture(autouse=True, scope="module")
def _few_resamples() -> Iterator[None]:
    """Intervals are the evidence's matter; here some are enough."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(summary, "RESAMPLES", 100)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conduct")


@pytest.fixture(scope="module")
def down(folder: Path) -> Store:
    return write_store(folder / "stores" / "down.ecgs", twins=3)


@pytest.fixture(scope="module")
def up(folder: Path) -> Store:
    return write_store(folder / "stores" / "up.ecgs", seed=5)


@pytest.fixture(scope="module")
def plan(down: Store, up: Store) -> StudyPlan:
    return make_plan(
        down.path,
        None,
        arms=ARMS,
        upstreams=(make_upstream(up.path, seeds=2),),
        seeds=SEEDS,
        rates=RATES,
        tuning_seeds=1,
        convergence=(20,),
    )


@pytest.fixture(scope="module")
def out(plan: StudyPlan, folder: Path) -> Path:
    """Return the folder of a finished study."""
    conduct(plan, folder / "study", quiet=True)
    return folder / "study"


@pytest.fixture(scope="module")
def found(out: Path) -> Found:
    evidence: Found = json.loads((out / "evidence.json").read_text(encoding="utf-8"))
    return evidence


@pytest.fixture(scope="module")
def runs(out: Path) -> dict[str, Found]:
    """Return by id the result.json of each run, with what it was for and the folder it lies in."""
    return {
        each["id"]: json.loads((out / "runs" / each["id"] / "result.json").read_text(encoding="utf-8"))
        | {"purpose": each["purpose"], "pretraining": each["pretraining_seed"]}
        | {"folder": out / "runs" / each["id"]}
        for each in json.loads((out / "runs.json").read_text(encoding="utf-8"))
    }


@pytest.fixture
def copy(out: Path, tmp_path: Path) -> Path:
    """Return a copy of the study to be damaged."""
    return Path(shutil.copytree(out, tmp_path / "study"))


def of(runs: dict[str, Found], **wanted: Any) -> list[Found]:
    """Return runs by their purpose and by fields of their specs."""
    return [run for run in runs.values() if all(({**run["spec"], **run})[k] == v for k, v in wanted.items())]


def macro_auroc(run: Found, targets: Sequence[str]) -> float:
    names = [name for name, _ in run["spec"]["targets"]]
    with np.load(run["folder"] / "predictions.npz", allow_pickle=False) as arrays:
        labels, logits = arrays["test_labels"], arrays["test_logits"]
    values = []
    for column in map(names.index, targets):
        known = ~np.isnan(labels[:, column])
        values.append(roc_auc_score(labels[known, column], logits[known, column]))
    return float(np.mean(values))


class TestFiles:
    def test_the_files_of_a_study(self, out: Path, runs: dict[str, Found]) -> None:
        assert {path.name for path in out.iterdir()} == {
            "plan.json", "runs.json", "records", "runs", "leases", "audit.json", "disagreements.json",
            "evidence.json", "report.html", "report.md", "tables",
        }  # fmt: skip
        # Every run of the plan, nothing beside them, and nobody at work any more.
        assert {path.name for path in (out / "runs").iterdir()} == set(runs)
        assert list((out / "leases").glob("*.json")) == []
        counts = {
            purpose: len(of(runs, purpose=purpose))
            for purpose in ("pretraining", "tuning", "evidence", "convergence")
        }
        arms = 1 + 2 + 1  # scratch, full from both pre-trainings, linear-probe
        assert counts == {
            "pretraining": 2,
            "tuning": 2 * 2,
            "evidence": (arms + len(BASELINES)) * 2 * SEEDS,
            "convergence": 2 * 2 * SEEDS,  # of 4 updates: 1 and 2
        }

    def test_the_answer_is_in_every_form_of_it(self, out: Path, found: Found) -> None:
        page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
        assert "<html" in page
        for text in (page, (out / "report.md").read_text(encoding="utf-8")):
            for sentence in found["answer"]:
                assert sentence in text
        assert any((out / "tables").glob("*.csv"))

    def test_only_the_pretrained_models_are_kept(self, runs: dict[str, Found], up: Store) -> None:
        kept = [run for run in runs.values() if (run["folder"] / "model.safetensors").exists()]
        assert kept == of(runs, purpose="pretraining")
        assert {run["spec"]["store"] for run in kept} == {up.fingerprint}
        started = {run["spec"]["upstream"] for run in runs.values()}
        assert started == {None, *(f"run:{run['id']}" for run in kept)}

    def test_runs_that_chose_a_rate_kept_nothing_of_their_test_part(self, runs: dict[str, Found]) -> None:
        for run in of(runs, purpose="tuning"):
            assert "test" not in run["result"]
            with np.load(run["folder"] / "predictions.npz", allow_pickle=False) as arrays:
                assert not [name for name in arrays if name.startswith("test")]

    def test_no_file_knows_where_it_lies(self, out: Path, folder: Path) -> None:
        for name, content in contents(out).items():
            assert str(folder).encode() not in content, name


class TestFindings:
    def test_every_section_is_there(self, found: Found) -> None:
        assert set(found) == SECTIONS
        for name in sorted(SECTIONS - {"paper", "disagreements", "negative_transfer"}):
            assert found[name], name
        assert {cell["arm"] for cell in found["cells"]} == set(ARMS)
        assert len(found["audit"]["stores"]) == 1
        told = found["recommendation"]
        assert (told["network"], told["arm"]) in {(NETWORK, "scratch"), (NETWORK, "full")}

    def test_differences_are_those_of_the_predictions(self, found: Found, runs: dict[str, Found]) -> None:
        [downstream] = found["downstreams"]
        targets = downstream["macro_targets"]
        assert targets == ["slow", "fast"]

        def values(arm: str, n: int | None, network: str = NETWORK) -> list[float]:
            """Return macro AUROCs by seed, averaged over pre-trainings."""
            own = of(runs, purpose="evidence", arm=arm, n=n, network=network)
            return [
                float(np.mean([macro_auroc(run, targets) for run in own if run["spec"]["seed"] == seed]))
                for seed in range(SEEDS)
            ]

        assert len(found["contrasts"]) == 2 * 2
        for row in found["contrasts"]:
            n = None if row["n_is_all"] else row["n"]
            expected = np.subtract(values(row["arm"], n), values("scratch", n))
            assert row["per_seed"] == pytest.approx(expected.tolist(), abs=1e-12)
            assert row["difference"] == pytest.approx(expected.mean(), abs=1e-12)
            assert row["low"] <= row["difference"] <= row["high"]
        assert len(found["against_baselines"]) == len(ARMS) * len(BASELINES) * 2
        for row in found["against_baselines"]:
            n = None if row["n_is_all"] else row["n"]
            expected = np.subtract(values(row["arm"], n), values("baseline", n, row["reference"]))
            assert row["per_seed"] == pytest.approx(expected.tolist(), abs=1e-12)

    def test_verdicts_on_what_the_plan_named_and_on_nothing_else(self, found: Found, out: Path) -> None:
        planned = json.loads((out / "plan.json").read_text(encoding="utf-8"))["primary"]
        assert [(each["arm"], each["n"]) for each in planned] == [("full", 20), ("full", None)]
        for row in found["contrasts"]:
            assert (row["verdict"] is not None) == row["primary"] == (row["arm"] == "full")

    def test_the_rate_of_a_cell_is_the_one_with_the_lowest_loss_of_its_tuning_runs(
        self, runs: dict[str, Found], found: Found
    ) -> None:
        for arm in ("scratch", "full"):
            for n in (20, None):
                [tuning] = of(runs, purpose="tuning", arm=arm, n=n)
                losses = {each["rate"]: each["validation_loss"] for each in tuning["result"]["search"]}
                chosen = min(losses, key=lambda rate: losses[rate])
                for run in of(runs, purpose="evidence", arm=arm, n=n):
                    assert run["spec"]["tuned_by"] == [tuning["id"]]
                    assert run["result"]["learning_rate"] == chosen
                    assert len(run["result"]["search"]) == 1
                [cell] = [c for c in found["cells"] if c["arm"] == arm and c["n_is_all"] == (n is None)]
                assert cell["learning_rate"] == chosen

    def test_what_was_run_is_what_is_counted(self, found: Found, runs: dict[str, Found]) -> None:
        assert found["cost"]["runs"] == found["study"]["runs"] == len(runs)
        seconds = sum(run["measured"]["seconds"] for run in runs.values())
        assert found["cost"]["total_seconds"] == pytest.approx(seconds, abs=0.1)
        [upstream] = found["upstreams"]
        assert (upstream["name"], upstream["seeds"], upstream["downloaded"]) == ("up", 2, False)
        assert upstream["left_out"] == "No recording of up was found downstream."


class TestAgain:
    def test_it_does_nothing_and_says_the_same(self, plan: StudyPlan, out: Path, found: Found) -> None:
        before, heard = contents(out), Heard()
        times = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}
        assert conduct(plan, out, listener=heard) == found
        assert heard.ran == []
        assert contents(out) == before
        assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")} == times

    @pytest.mark.parametrize("purpose", ["evidence", "tuning", "pretraining"])
    def test_a_run_that_is_missing_is_repeated_and_nothing_else(
        self, plan: StudyPlan, copy: Path, runs: dict[str, Found], found: Found, purpose: str
    ) -> None:
        arm = "pretrain" if purpose == "pretraining" else "full"
        lost = of(runs, purpose=purpose, arm=arm)[0]["id"]
        shutil.rmtree(copy / "runs" / lost)
        with pytest.raises(StudyError, match=f"the run {lost} .* is missing"):
            redraw(copy)
        heard = Heard()
        again = conduct(plan, copy, listener=heard)
        assert [spec.id for spec in heard.ran] == [lost]
        for name, content in contents(copy / "runs" / lost).items():
            if name != "result.json":  # which tells the seconds
                assert content == (runs[lost]["folder"] / name).read_bytes()
        assert again["contrasts"] == found["contrasts"]
        assert again["answer"] == found["answer"]

    def test_interrupted_and_started_again_it_ends_as_if_it_had_not_been(
        self, plan: StudyPlan, runs: dict[str, Found], found: Found, tmp_path: Path
    ) -> None:
        for stop_after in (1, 4, 10):
            with pytest.raises(KeyboardInterrupt):
                conduct(plan, tmp_path / "study", listener=Heard(stop_after))
            assert not (tmp_path / "study" / "evidence.json").exists()
        heard = Heard()
        again = conduct(plan, tmp_path / "study", listener=heard)
        assert len(heard.ran) == len(runs) - (1 + 4 + 10)
        for name, run in runs.items():
            result = json.loads((tmp_path / "study" / "runs" / name / "result.json").read_text())["result"]
            assert result == run["result"]
        assert again["contrasts"] == found["contrasts"]
        assert again["disagreements"] == found["disagreements"]

    def test_progress_names_what_is_done(
        self, plan: StudyPlan, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        conduct(plan, out)
        said = capsys.readouterr()
        assert said.out == ""
        for label in ("pre-training", "choosing rates", "runs", "shorter budgets"):
            assert f"{label}: 0 runs done" in said.err
        conduct(plan, out, quiet=True)
        assert capsys.readouterr() == ("", "")


class TestRedraw:
    def test_it_needs_no_store_and_the_folder_may_move(
        self, out: Path, copy: Path, folder: Path, found: Found
    ) -> None:
        before = contents(out)
        for name in ("evidence.json", "report.html", "report.md"):
            (copy / name).unlink()
        shutil.rmtree(copy / "tables")
        hidden = (folder / "stores").rename(folder / "hidden")
        try:
            assert redraw(copy) == found
        finally:
            hidden.rename(folder / "stores")
        assert contents(copy) == before

    def test_a_folder_that_is_no_study_or_was_changed(self, copy: Path, tmp_path: Path) -> None:
        with pytest.raises(StudyError, match="the folder does not exist"):
            redraw(tmp_path / "no")
        plan = json.loads((copy / "plan.json").read_text(encoding="utf-8"))
        plan["primary"] = plan["primary"][:1]
        (copy / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        with pytest.raises(StudyError, match="the plan was changed after it was frozen"):
            redraw(copy)


class TestRefused:
    @pytest.mark.parametrize(
        "change",
        [
            {"seeds": 3},
            {"rates": (1e-3,)},
            {"margin": 0.02},
            {"budget": dataclasses.replace(BUDGET, updates=5)},
        ],
    )
    def test_other_settings_in_the_same_folder(
        self, plan: StudyPlan, out: Path, change: dict[str, Any]
    ) -> None:
        before, heard = contents(out), Heard()
        with pytest.raises(StudyError, match=r"the folder holds a study with other settings \(plan\."):
            conduct(dataclasses.replace(plan, **change), out, listener=heard)
        assert heard.ran == []
        assert contents(out) == before

    def test_a_store_that_was_prepared_anew(self, plan: StudyPlan, out: Path, tmp_path: Path) -> None:
        other = write_store(tmp_path / "down.ecgs", seed=8)
        [downstream] = plan.downstreams
        asked = (dataclasses.replace(downstream, store=other.path),)
        with pytest.raises(StudyError, match="the recordings of 'down' changed since"):
            conduct(dataclasses.replace(plan, downstreams=asked), out, quiet=True)

    def test_what_could_not_work_leaves_no_folder(
        self, plan: StudyPlan, down: Store, up: Store, tmp_path: Path
    ) -> None:
        downstream = DownstreamPlan("down", down.path, "waves", (95,))
        for changes in (
            {"downstreams": (downstream,)},
            {"upstreams": ()},
            {"upstreams": (make_upstream(down.path),)},
            {"upstreams": (make_upstream(up.path, task="wave"),)},
        ):
            with pytest.raises(EcgTransferError):
                conduct(dataclasses.replace(plan, **changes), tmp_path / "study", quiet=True)  # type: ignore[arg-type]
            assert not (tmp_path / "study").exists()


def test_two_upstreams_onto_two_downstreams(down: Store, up: Store, folder: Path, tmp_path: Path) -> None:
    others = {
        "far": write_store(tmp_path / "far.ecgs", seed=6),
        "here": write_store(tmp_path / "here.ecgs", seed=1),
    }
    plan = make_plan(
        down.path,
        None,
        arms=("scratch", "full"),
        upstreams=(make_upstream(up.path), make_upstream(others["far"].path, "far")),
        downstreams=(
            DownstreamPlan("down", down.path, "waves", (20,)),
            DownstreamPlan("here", others["here"].path, "waves", (30,), upstreams=("far",)),
        ),
        seeds=1,
        rates=(1e-3,),
        baselines=(),
    )
    found = conduct(plan, tmp_path / "study", quiet=True)
    assert [(c["downstream"], c["upstream"], c["arm"], c["n"]) for c in found["cells"]] == [
        ("down", None, "scratch", 20), ("down", "up", "full", 20), ("down", "far", "full", 20),
        ("here", None, "scratch", 30), ("here", "far", "full", 30),
    ]  # fmt: skip
    assert len(list((tmp_path / "study" / "runs").iterdir())) == 2 + 5
    assert [(u["name"], u["downstream"]) for u in found["upstreams"]] == [
        ("up", "down"), ("far", "down"), ("far", "here"),
    ]  # fmt: skip
    assert len(found["audit"]["stores"]) == 2
    assert {row["downstream"] for row in found["disagreements"]} <= {"down", "here"}
    assert sum(row["verdict"] is not None for row in found["contrasts"]) == 3


def test_a_model_folder_does_as_well_as_a_store(down: Store, up: Store, tmp_path: Path) -> None:
    train_model(tmp_path / "model", up)
    plan = make_plan(
        down.path,
        None,
        arms=("full",),
        upstreams=(UpstreamPlan("up", models=(tmp_path / "model",)),),
        downstreams=(DownstreamPlan("down", down.path, "waves", (20,)),),
        seeds=1,
        rates=(1e-3,),
        baselines=(),
    )
    found = conduct(plan, tmp_path / "study", quiet=True)
    [upstream] = found["upstreams"]
    assert (upstream["name"], upstream["task"], upstream["downloaded"]) == ("up", "waves", False)
    assert upstream["seconds"] is None
    assert 0 <= upstream["auroc"] <= 1
    assert found["cost"]["pretraining"] == []
    [paid] = found["cost"]["break_even"]
    # Its own run folder says what it took: it was not for nothing.
    assert paid["state"] != "zero"
    assert paid["pretraining"] > 0
    assert [cell["learning_rate"] for cell in found["cells"]] == [1e-3, 1e-3]
    assert found["tuning"] == []
    # Drawn again without the model, and carried on without training anything.
    shutil.rmtree(tmp_path / "model")
    assert redraw(tmp_path / "study") == found
