"""The published protocol to the letter, what the two protocols differ in, and a kill in the middle."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, DataError, ModelError
from ecgtransfer.networks import load_model, read_card
from ecgtransfer.study import learn
from ecgtransfer.study.evaluation import evaluate_model
from ecgtransfer.study.expand import expand
from ecgtransfer.study.ledger import read_predictions
from ecgtransfer.study.plans.toml import read_plan
from ecgtransfer.study.protocols import (
    PAPER,
    PROTOCOLS,
    SOUND,
    paper_budget,
    paper_macro,
    paper_parts,
    paper_spec,
    paper_train_size,
    protocol,
)
from ecgtransfer.study.run import Locations, run
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.transfer import ARMS
from tests.small import NETWORK, TASKS, UNLABELLED, contents, make_spec, result_of, write_store

KILLED = Path(__file__).with_name("killed_run.py")
PLANS = Path(__file__).parents[2] / "plans"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("protocols")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return write_store(folder / "down.ecgs", recipe="paper")


@pytest.fixture(scope="module")
def upstream(folder: Path) -> Store:
    return write_store(folder / "up.ecgs", recipe="paper", seed=5)


def spec_of(store: Store, **changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "network": NETWORK, "arm": "scratch", "task": "waves", "n": None, "seed": 0, "study_seed": 0,
        "threads": 1, "epochs": 5,
    }  # fmt: skip
    return paper_spec(store, **{**values, **changes})


@pytest.fixture(scope="module")
def done(store: Store, upstream: Store, folder: Path) -> dict[str, Path]:
    """Return the folders of a pre-training and of both arms."""
    before = spec_of(upstream, arm="pretrain")
    name = f"run:{before.id}"
    stores = {each.fingerprint: each.path for each in (store, upstream)}
    specs = {"pretrain": before, "scratch": spec_of(store), "full": spec_of(store, arm="full", upstream=name)}
    for arm, spec in specs.items():
        run(spec, folder / arm, Locations(stores, {name: folder / "pretrain"}))
    return {arm: folder / arm for arm in specs}


class TestTheLetter:
    def test_the_settings_of_the_study(self, store: Store) -> None:
        spec = spec_of(store, epochs=100)
        assert spec.rates == (0.01,)
        assert spec.precision == "float64"
        assert (spec.budget.optimizer, spec.budget.schedule) == ("adam", "constant")
        assert (spec.budget.weight_decay, spec.budget.warmup_fraction, spec.budget.clip_norm) == (0, 0, None)
        assert not spec.budget.augment.active
        assert spec.budget.batch_size == 256
        assert (spec.protocol, spec.tuned_by, spec.tuning, spec.upstream) == ("paper", (), False, None)
        assert RunSpec.from_dict(json.loads(json.dumps(spec.as_dict(), allow_nan=False))) == spec
        assert spec.id != dataclasses.replace(spec, protocol="sound").id

    @pytest.mark.parametrize(
        ("records", "updates"),
        # PTB, the CODE test set, CPSC2018, Georgia, and the sizes of the size experiment.
        [
            (349, 200),
            (554, 300),
            (4603, 1800),
            (6895, 2700),
            (2000, 800),
            (12000, 4700),
            (256, 100),
            (100, 100),
        ],
    )
    def test_a_hundred_epochs_in_updates(self, records: int, updates: int) -> None:
        budget = paper_budget(records)
        assert budget.updates == updates
        assert budget.updates // budget.validations == math.ceil(records / 256), "looked at after every epoch"

    def test_the_parts_are_the_studys(self, store: Store) -> None:
        parts = PAPER.divide(spec_of(store), store)
        labels = store.labels(store.task("waves"))
        labelled = np.flatnonzero(~np.isnan(labels).all(axis=1))
        train, test = train_test_split(labelled, test_size=0.33, random_state=1)
        np.testing.assert_array_equal(parts.train, train)
        np.testing.assert_array_equal(parts.test, test)
        assert len(parts.validation) == 0
        assert (parts.unlabelled, UNLABELLED in {*train, *test}) == (1, False)
        # Whoever the patient is, and the same for every seed.
        assert np.isin(store.groups[test], store.groups[train]).any()
        other = PAPER.divide(spec_of(store, seed=3, study_seed=8), store)
        np.testing.assert_array_equal(other.test, test)
        first = PAPER.divide(spec_of(store, n=20), store)
        np.testing.assert_array_equal(first.train, train[:20])
        np.testing.assert_array_equal(first.test, test)
        assert paper_train_size(store, "waves", None) == len(train)
        assert paper_train_size(store, "waves", 20) == 20

    def test_unknown_counts_as_absent_and_is_told(self, store: Store) -> None:
        labels = store.labels(store.task("waves"))
        parts = paper_parts(spec_of(store), store)
        unknown = np.isnan(labels)
        used = unknown[np.concatenate([parts.train, parts.test])].sum()
        assert used > 0
        assert f"{used} of 297 labels are unknown and count as absent" in parts.how
        assert (parts.labels[unknown] == 0).all()
        np.testing.assert_array_equal(parts.labels[~unknown], labels[~unknown])

    def test_macro_targets_are_those_of_its_own_test_part(self, store: Store) -> None:
        test = paper_parts(spec_of(store), store).test
        positives = np.nansum(store.labels(store.task("waves"))[test], axis=0)
        found = paper_macro(store, "waves")
        assert positives[2] < 2
        assert found.targets == ("slow", "fast") == spec_of(store).macro_targets
        assert found.left_out[0][0] == "rare"
        assert f"{positives[2]:.0f} positives" in found.left_out[0][1]


class TestARun:
    def test_trained_and_looked_at_as_published(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: dict[str, Any] = {}
        real = learn.fit

        def watching(network: Any, train: Any, held_out: Any, settings: Any, **options: Any) -> Any:
            seen.update(train=train, held_out=held_out, settings=settings, **options)
            return real(network, train, held_out, settings, **options)

        monkeypatch.setattr(learn, "fit", watching)
        spec = spec_of(store)
        run(spec, tmp_path / "run", Locations({store.fingerprint: store.path}))
        parts = paper_parts(spec, store)
        np.testing.assert_array_equal(seen["train"].records, parts.train)
        np.testing.assert_array_equal(seen["held_out"].records, parts.test)
        assert seen["selection"].name == "test-optimistic"
        settings = seen["settings"]
        assert (settings.clip_norm, settings.whole_epochs, settings.precision) == (math.inf, True, "float64")
        assert (settings.optimizer, settings.schedule, settings.learning_rate) == ("adam", "constant", 0.01)
        assert (settings.updates, settings.validate_every) == (5, 1)

    def test_what_it_says(self, done: dict[str, Path], store: Store) -> None:
        for arm in ("scratch", "full"):
            result = result_of(done[arm])
            paper = result["paper"]
            assert result["records"] == {"train": 66, "validation": 0, "test": 33, "without_any_label": 1}
            assert (paper["epochs"], len(paper["scores"]), paper["average"]) == (5, 5, "weighted")
            assert paper["reported"] == max(paper["scores"])
            assert paper["last"] == paper["scores"][-1]
            assert result["best_update"] == paper["best_epoch"], "one update is an epoch here"
            assert paper["inflation"] == paper["reported"] - paper["crossfitted"]
            assert paper["halvings"] >= 100
            rows = list(csv.DictReader((done[arm] / "history.csv").open()))
            assert [float(row["test_f1"]) for row in rows] == pytest.approx(paper["scores"])
            assert result["search"] == [{"rate": 0.01, "validation_loss": None, "diverged_at": None}]
            assert result["validation_loss"] is None
            # The model that is kept is the one whose score is reported.
            test = read_predictions(done[arm], "test")
            expected = f1_score(test.labels, test.logits >= 0, average="weighted", zero_division=0)
            assert paper["reported"] == pytest.approx(expected)
            assert not np.isnan(test.labels).any()
            assert len(read_predictions(done[arm], "validation").record_id) == 0

    def test_the_usual_metrics_stand_beside_it_at_a_threshold_of_a_half(self, done: dict[str, Path]) -> None:
        result = result_of(done["scratch"])
        assert result["operating_points"] == {"thresholds": [0.0] * 3, "specificity_thresholds": [None] * 3}
        test = read_predictions(done["scratch"], "test")
        for column, name in enumerate(("slow", "fast")):
            judged = result["test"]["targets"][name]
            assert judged["f1"] == pytest.approx(
                f1_score(test.labels[:, column], test.logits[:, column] >= 0)
            )
            assert 0 <= judged["auroc"] <= 1
        assert result["test"]["macro"]["auroc"] is not None

    def test_the_pretrained_network_is_the_one_with_the_best_plain_mean(self, done: dict[str, Path]) -> None:
        paper = result_of(done["pretrain"])["paper"]
        test = read_predictions(done["pretrain"], "test")
        expected = f1_score(test.labels, test.logits >= 0, average="macro", zero_division=0)
        assert paper["average"] == "mean"
        assert paper["reported"] == pytest.approx(expected)
        weighted = f1_score(test.labels, test.logits >= 0, average="weighted", zero_division=0)
        assert weighted != pytest.approx(expected)

    def test_weights_are_kept_in_float32(self, done: dict[str, Path]) -> None:
        network, card = load_model(done["full"])
        assert {str(p.dtype) for p in network.parameters()} == {"torch.float32"}
        assert card["spec"]["protocol"] == "paper"
        assert "count as absent" in read_card(done["full"])["data"][0]["split"]

    def test_evaluate_finds_its_own_test_part(self, done: dict[str, Path], store: Store) -> None:
        found = evaluate_model(done["scratch"], store.path)
        assert found["records"]["test"] == len(read_predictions(done["scratch"], "test").record_id)
        assert "which also chose its epoch" in found["split"]

    def test_a_training_that_diverges_at_once_has_nothing_to_report(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def diverging(network: Any, *args: Any, **options: Any) -> Any:
            network.head.weight.data.fill_(math.nan)
            return real(network, *args, **options)

        real = learn.fit
        monkeypatch.setattr(learn, "fit", diverging)
        monkeypatch.setattr(
            learn, "predict_logits", lambda network, feed: np.zeros((feed.n_records, 3), "f4")
        )
        result = run(
            spec_of(store), tmp_path / "run", Locations({store.fingerprint: store.path}), keep_model=False
        )["result"]
        assert result["paper"] is None
        assert result["diverged_at"] == 1

    def test_the_same_spec_gives_the_same_bytes(
        self, done: dict[str, Path], store: Store, tmp_path: Path
    ) -> None:
        run(spec_of(store), tmp_path / "again", Locations({store.fingerprint: store.path}))
        assert result_of(tmp_path / "again") == result_of(done["scratch"])
        for name in ("predictions.npz", "model.safetensors", "history.csv"):
            assert (tmp_path / "again" / name).read_bytes() == (done["scratch"] / name).read_bytes()


def test_killed_in_the_middle_and_started_again_gives_the_same_bytes(store: Store, tmp_path: Path) -> None:
    spec = spec_of(store, n=40, epochs=6)
    locations = Locations({store.fingerprint: store.path})
    run(spec, tmp_path / "straight", locations)
    (tmp_path / "spec.json").write_text(json.dumps(spec.as_dict()))
    files = [str(store.path), str(tmp_path / "spec.json"), str(tmp_path / "cut")]
    with subprocess.Popen(
        [sys.executable, str(KILLED), *files], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 3:
                process.kill()
                break
        assert process.wait() == -signal.SIGKILL, "it was finished before it could be killed"
    assert list((tmp_path / ".cut.partial").glob("checkpoint-*.safetensors"))
    run(spec, tmp_path / "cut", locations)
    assert result_of(tmp_path / "cut") == result_of(tmp_path / "straight")
    assert result_of(tmp_path / "cut")["paper"]["epochs"] == 6, "the epochs before the kill are counted too"
    cut, straight = contents(tmp_path / "cut"), contents(tmp_path / "straight")
    for name in ("predictions.npz", "model.safetensors", "history.csv"):
        assert cut[name] == straight[name]


class TestRefusals:
    def test_a_store_of_another_recipe(self, tmp_path: Path) -> None:
        other = write_store(tmp_path / "mv.ecgs")
        with pytest.raises(ConfigError, match=r"recipe 'small'.*--recipe paper"):
            spec_of(other)
        forged = dataclasses.replace(make_spec(other), protocol="paper", rates=(0.01,))
        with pytest.raises(ConfigError, match=r"recipe 'small'"):
            run(forged, tmp_path / "run", Locations({other.fingerprint: other.path}))
        assert [path.name for path in tmp_path.iterdir()] == ["mv.ecgs"]

    def test_what_the_study_did_not_do(self, store: Store) -> None:
        for arm in ("linear-probe", "frozen-random"):
            with pytest.raises(ConfigError, match=f"no arm '{arm}'.*pretrain, scratch, full"):
                spec_of(store, arm=arm)
        with pytest.raises(ConfigError, match="no first 67 of 66"):
            spec_of(store, n=67)
        with pytest.raises(ModelError, match="Did you mean resnet1d18"):
            spec_of(store, network="resnet18")
        for changes, match in (
            ({"rates": (0.01, 0.1)}, "searches no learning rate"),
            ({"tuning": True}, "searches no learning rate"),
            ({"excluded": ("r001",)}, "leaves no recording out"),
            ({"final": True}, "tests every model"),
        ):
            with pytest.raises(ConfigError, match=match):
                PAPER.divide(dataclasses.replace(spec_of(store), **changes), store)  # type: ignore[arg-type]

    def test_an_unknown_protocol(self) -> None:
        with pytest.raises(ConfigError, match=r"unknown protocol 'papers'\. Did you mean paper"):
            protocol("papers")


class TestBeside:
    def test_everything_that_differs_is_said_for_both(self) -> None:
        assert protocol("sound") is SOUND
        assert protocol("paper") is PAPER
        assert set(PROTOCOLS) == {"sound", "paper"}
        assert [what for what, _ in SOUND.rules] == [what for what, _ in PAPER.rules]
        assert all(ours != theirs for ours, theirs in zip(SOUND.rules, PAPER.rules, strict=True))
        assert set(SOUND.arms) == {*ARMS, "pretrain"}

    def test_the_names_of_the_selections_show_what_they_do(self) -> None:
        for arm in PAPER.arms:
            assert PAPER.selection_of(arm).name.startswith("test-optimistic")
            assert SOUND.selection_of(arm).name == "validation-loss"
        assert PAPER.selection_of("full").name == "test-optimistic"
        assert PAPER.selection_of("pretrain").name == "test-optimistic-mean"

    def test_the_sound_protocol_never_looks_at_the_test_part(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fed = []
        real = learn.fit

        def watching(network: Any, train: Any, held_out: Any, settings: Any, **options: Any) -> Any:
            fed.extend([*train.records, *held_out.records])
            assert not options["keep_logits"]
            return real(network, train, held_out, settings, **options)

        monkeypatch.setattr(learn, "fit", watching)
        spec = make_spec(store)
        run(spec, tmp_path / "run", Locations({store.fingerprint: store.path}))
        test = SOUND.divide(spec, store).test
        assert not np.isin(store.groups[test], store.groups[np.array(fed)]).any()
        assert "paper" not in result_of(tmp_path / "run")

    def test_a_model_of_every_label_is_tested_on_none(self, store: Store) -> None:
        spec = dataclasses.replace(make_spec(store, n=None), final=True)
        parts = SOUND.divide(spec, store)
        assert len(parts.test) == 0
        assert len(parts.train) + len(parts.validation) == store.n_records - 1
        assert not np.isin(store.groups[parts.train], store.groups[parts.validation]).any()
        without = SOUND.divide(dataclasses.replace(spec, excluded=("r001", "r002")), store)
        assert len(without.train) + len(without.validation) == store.n_records - 3


class TestPlans:
    """The ready plans are the study: so many runs, and none onto itself."""

    @pytest.fixture
    def plans(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Return a folder with the plans and small stores under the names that they give."""
        monkeypatch.setattr("tests.small.TASKS", {"paper": TASKS["waves"], "all": TASKS["few"]})
        for seed, name in enumerate(("ptbxl", "cpsc2018", "georgia", "ptb", "code-test")):
            write_store(tmp_path / f"{name}-paper.ecgs", recipe="paper", seed=seed, n=40, n_samples=20)
        for name in ("paper.toml", "paper-size.toml"):
            shutil.copy(PLANS / name, tmp_path)
        return tmp_path

    def test_the_study_as_published(self, plans: Path) -> None:
        expanded = expand(read_plan(plans / "paper.toml"))
        specs = [run.spec for run in expanded.planned]
        assert Counter(spec.arm for spec in specs) == {"full": 72, "scratch": 30, "pretrain": 18}
        assert len({spec.id for spec in specs}) == 120
        fine_tuned = [run for run in expanded.planned if run.spec.arm == "full"]
        pairs = Counter((run.upstream, run.downstream) for run in fine_tuned)
        assert len(pairs) == 12
        assert set(pairs.values()) == {6}
        assert all(origin != target for origin, target in pairs)
        assert {spec.network for spec in specs} == {
            "resnet1d18", "resnet1d50", "resnet1d101", "gru", "lstm", "bilstm"
        }  # fmt: skip
        for spec in specs:
            assert (spec.protocol, spec.precision, spec.rates) == ("paper", "float64", (0.01,))
            assert (spec.budget.validations, spec.budget.batch_size) == (100, 256)
            assert (spec.n, spec.seed, spec.task, spec.apart_from) == (None, 0, "paper", ())
        # Every start is a pre-training of this study, of the same network.
        made = {f"run:{spec.id}": spec for spec in specs if spec.arm == "pretrain"}
        assert all(made[str(run.spec.upstream)].network == run.spec.network for run in fine_tuned)

    def test_stores_that_do_not_fit_are_refused_before_anything_is_trained(self, plans: Path) -> None:
        shutil.rmtree(plans / "ptb-paper.ecgs")
        write_store(plans / "ptb-paper.ecgs", recipe="paper", seed=3, n=40, n_samples=40)
        with pytest.raises(ConfigError, match=r"windows of .* samples.*same --rate and --seconds"):
            expand(read_plan(plans / "paper.toml"))

    def test_unread_stores_can_be_left_unverified(self, plans: Path) -> None:
        """A dry run need not read every byte; a run does."""
        signals = next((plans / "ptb-paper.ecgs").glob("signals-*.npy"))
        content = bytearray(signals.read_bytes())
        content[-1] ^= 1
        signals.write_bytes(content)
        assert len(expand(read_plan(plans / "paper.toml"), verify=False).planned) == 120
        with pytest.raises(DataError, match="signals"):
            expand(read_plan(plans / "paper.toml"))

    def test_the_size_experiment(self, plans: Path) -> None:
        plan = read_plan(plans / "paper-size.toml")
        (downstream,) = plan.downstreams
        assert (plan.networks, plan.arms, plan.seeds) == (("resnet1d18",), ("scratch", "full"), 1)
        assert [each.name for each in plan.starts(downstream)] == ["georgia"]
        assert downstream.name == "ptbxl"
        assert downstream.sizes == (2000, 4000, 6000, 8000, 10000, 12000)
        assert plan.protocol == "paper"
