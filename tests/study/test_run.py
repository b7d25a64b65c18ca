"""One RunSpec, start to result: the same bits again, nothing mixed up, and only the arm differs."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ecgtransfer.datasets.splits import split, subset
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, EcgTransferError, ModelError, StudyError
from ecgtransfer.files import hash_file
from ecgtransfer.networks import build, load_model
from ecgtransfer.seeds import entropy
from ecgtransfer.study import learn, parts
from ecgtransfer.study import run as runner
from ecgtransfer.study.learn import choose_rate
from ecgtransfer.study.ledger import PREDICTION_FIELDS, read_predictions
from ecgtransfer.study.run import Locations, run
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.workers import only_here
from tests.small import BUDGET, NETWORK, contents, make_spec, result_of, train_model, write_store

KILLED = Path(__file__).with_name("killed_run.py")
SAME = ("predictions.npz", "model.safetensors", "card.json", "history.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return write_store(folder / "down.ecgs")


@pytest.fixture(scope="module")
def locations(store: Store) -> Locations:
    return Locations({store.fingerprint: store.path})


@pytest.fixture(scope="module")
def spec(store: Store) -> RunSpec:
    return make_spec(store)


@pytest.fixture(scope="module")
def done(spec: RunSpec, locations: Locations, folder: Path) -> Path:
    """Return the folder of a finished run."""
    run(spec, folder / "done", locations)
    return folder / "done"


@pytest.fixture(scope="module")
def upstream(folder: Path) -> tuple[str, Path]:
    """Return a pre-trained model: its name in a spec, and its folder."""
    model = folder / "upstream"
    train_model(model, write_store(folder / "up.ecgs", seed=5))
    return f"model:{hash_file(model / 'model.safetensors')}", model


def test_what_a_run_leaves_behind(done: Path, spec: RunSpec) -> None:
    assert set(contents(done)) == {"result.json", *SAME}
    content = json.loads((done / "result.json").read_text())
    assert set(content) == {"id", "spec", "result", "measured"}
    assert content["id"] == spec.id
    assert RunSpec.from_dict(content["spec"]) == spec
    assert set(content["measured"]["host"]) == {"machine", "threads", "python", "torch"}
    # No hidden leftovers beside it.
    assert not [path.name for path in done.parent.iterdir() if path.name.startswith(".done")]


def test_the_same_spec_gives_the_same_bytes(
    done: Path, spec: RunSpec, locations: Locations, tmp_path: Path
) -> None:
    again = run(spec, tmp_path / "again", locations)
    assert again["result"] == result_of(done)
    assert {name: contents(tmp_path / "again")[name] for name in SAME} == {
        name: contents(done)[name] for name in SAME
    }


def test_another_seed_gives_other_bytes(
    done: Path, store: Store, locations: Locations, tmp_path: Path
) -> None:
    run(make_spec(store, seed=1), tmp_path / "other", locations)
    assert result_of(tmp_path / "other") != result_of(done)
    for name in SAME:
        assert (tmp_path / "other" / name).read_bytes() != (done / name).read_bytes()


def test_the_threads_are_those_of_the_spec_and_the_callers_come_back(
    spec: RunSpec, locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    real = learn.fit

    def watching(*args: Any, **options: Any) -> Any:
        used.append(torch.get_num_threads())
        return real(*args, **options)

    monkeypatch.setattr(learn, "fit", watching)
    torch.set_num_threads(2)
    run(spec, tmp_path / "run", locations)
    assert used == [1]
    assert torch.get_num_threads() == 2


def test_what_is_there_is_returned_and_not_repeated(done: Path, spec: RunSpec, locations: Locations) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.iterdir()}
    # Without any store at all: nothing is computed.
    content = run(spec, done, Locations({}))
    assert content == json.loads((done / "result.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in done.iterdir()} == before


def test_killed_in_the_middle_and_started_again_gives_the_same_bytes(
    store: Store, locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two rates of six updates each: it is killed in the second.
    budget = dataclasses.replace(BUDGET, updates=6, validations=3)
    spec = make_spec(store, budget=budget, rates=(1e-3, 1e-2))
    (tmp_path / "spec.json").write_text(json.dumps(spec.as_dict()))
    run(spec, tmp_path / "straight", locations)

    command = [
        sys.executable,
        str(KILLED),
        str(store.path),
        str(tmp_path / "spec.json"),
        str(tmp_path / "cut"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for count, _ in enumerate(process.stdout, start=1):
            if count == 9:
                process.kill()
                break
        assert process.wait() == -signal.SIGKILL, "it was finished before it could be killed"
    assert not (tmp_path / "cut").exists()
    assert len(list((tmp_path / ".cut.partial").glob("checkpoint-*.safetensors"))) == 2

    updates: list[int] = []

    def watching(*args: Any, progress: Any, **options: Any) -> Any:
        return real(*args, progress=lambda done, *_: updates.append(done), **options)

    real = learn.fit
    monkeypatch.setattr(learn, "fit", watching)
    run(spec, tmp_path / "cut", locations)
    # It went on, and began neither training again.
    assert updates in ([4, 5, 6], [5, 6])
    assert result_of(tmp_path / "cut") == result_of(tmp_path / "straight")
    cut, straight = contents(tmp_path / "cut"), contents(tmp_path / "straight")
    assert cut.keys() == straight.keys()
    assert {name: cut[name] for name in SAME} == {name: straight[name] for name in SAME}
    assert not (tmp_path / ".cut.partial").exists()


def test_a_checkpoint_of_another_spec_is_not_continued(
    store: Store,
    spec: RunSpec,
    done: Path,
    locations: Locations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(learn, "CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(runner, "judge", stop)
        with pytest.raises(KeyboardInterrupt):
            run(make_spec(store, rates=(1e-2,)), tmp_path / "same-name", locations)
    assert list((tmp_path / ".same-name.partial").glob("checkpoint*"))
    run(spec, tmp_path / "same-name", locations)
    assert result_of(tmp_path / "same-name") == result_of(done)


class TestRefusals:
    def test_a_folder_with_another_run(self, done: Path, store: Store, locations: Locations) -> None:
        before = contents(done)
        with pytest.raises(StudyError, match=r"the folder holds another run.*Choose another folder"):
            run(make_spec(store, seed=3), done, locations)
        assert contents(done) == before

    def test_a_folder_that_is_no_run(self, spec: RunSpec, locations: Locations, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
        with pytest.raises(StudyError, match="photos: the folder exists and is not a run"):
            run(spec, tmp_path / "photos", locations)
        assert contents(tmp_path / "photos") == {"cat.jpg": b"cat"}

    def test_a_store_that_has_changed(self, spec: RunSpec, tmp_path: Path) -> None:
        other = write_store(tmp_path / "changed.ecgs", seed=9)
        with pytest.raises(
            StudyError, match=r"changed\.ecgs: the store has changed since the run was planned"
        ):
            run(spec, tmp_path / "out", Locations({spec.store: other.path}))
        assert not (tmp_path / "out").exists()

    def test_a_store_that_was_not_given(self, spec: RunSpec, tmp_path: Path) -> None:
        with pytest.raises(StudyError, match=f"no store with the fingerprint {spec.store}"):
            run(spec, tmp_path / "out", Locations({}))

    def test_a_pretrained_model_that_has_changed(
        self, store: Store, upstream: tuple[str, Path], tmp_path: Path
    ) -> None:
        name, model = upstream
        spec = make_spec(store, arm="full", upstream=name)
        train_model(tmp_path / "model", write_store(tmp_path / "up.ecgs", seed=5), seed=1)
        with pytest.raises(StudyError, match="the pre-trained model has changed since the run was planned"):
            run(
                spec, tmp_path / "out", Locations({store.fingerprint: store.path}, {name: tmp_path / "model"})
            )
        shutil.copytree(model, tmp_path / "damaged")
        weights = tmp_path / "damaged" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
        with pytest.raises(ModelError, match="damaged, or not the weights of this card"):
            run(
                spec,
                tmp_path / "out",
                Locations({store.fingerprint: store.path}, {name: tmp_path / "damaged"}),
            )
        assert not (tmp_path / "out").exists()

    def test_a_pretraining_run_that_is_another(
        self, store: Store, upstream: tuple[str, Path], tmp_path: Path
    ) -> None:
        spec = make_spec(store, arm="full", upstream="run:0123456789abcdef")
        given = Locations({store.fingerprint: store.path}, {"run:0123456789abcdef": upstream[1]})
        with pytest.raises(StudyError, match="the pre-trained model has changed"):
            run(spec, tmp_path / "out", given)

    def test_a_pretrained_arm_without_a_model(
        self, store: Store, locations: Locations, tmp_path: Path
    ) -> None:
        with pytest.raises(StudyError, match="arm 'full' needs a pre-trained model and the run names none"):
            run(make_spec(store, arm="full"), tmp_path / "out", locations)
        with pytest.raises(StudyError, match="the pre-trained model model:abc was not given"):
            run(make_spec(store, arm="full", upstream="model:abc"), tmp_path / "out", locations)

    def test_a_model_that_saw_this_very_store(
        self, store: Store, locations: Locations, done: Path, tmp_path: Path
    ) -> None:
        name = f"model:{hash_file(done / 'model.safetensors')}"
        given = Locations(locations.stores, {name: done})
        with pytest.raises(StudyError, match="the model was trained on this very store"):
            run(make_spec(store, arm="full", upstream=name, seed=1), tmp_path / "out", given)

    def test_a_model_whose_own_upstream_saw_this_store(
        self, store: Store, locations: Locations, done: Path, folder: Path, tmp_path: Path
    ) -> None:
        other = write_store(tmp_path / "other.ecgs", seed=8)
        stores = {**locations.stores, other.fingerprint: other.path}
        first = f"model:{hash_file(done / 'model.safetensors')}"
        run(
            make_spec(other, arm="full", upstream=first),
            tmp_path / "second",
            Locations(stores, {first: done}),
        )
        second = f"model:{hash_file(tmp_path / 'second' / 'model.safetensors')}"
        given = Locations(stores, {second: tmp_path / "second"})
        with pytest.raises(StudyError, match="the model was trained on this very store"):
            run(make_spec(store, arm="full", upstream=second, seed=1), tmp_path / "out", given)

    def test_two_processes_at_one_run(self, spec: RunSpec, locations: Locations, tmp_path: Path) -> None:
        working = tmp_path / ".out.partial"
        working.mkdir()
        with only_here(working / "lock"), pytest.raises(EcgTransferError, match="another process is at work"):
            run(spec, tmp_path / "out", locations)
        assert not (tmp_path / "out").exists()
        run(spec, tmp_path / "out", locations)
        assert set(contents(tmp_path / "out")) == {"result.json", *SAME}

    def test_more_labels_than_there_are(self, store: Store, locations: Locations, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="n = 1000 records cannot be drawn from a pool of"):
            run(make_spec(store, n=1000), tmp_path / "out", locations)
        assert list(tmp_path.iterdir()) == []


class TestPredictions:
    def test_exactly_the_four_fields_of_both_parts_and_nothing_pickled(self, done: Path) -> None:
        with np.load(done / "predictions.npz", allow_pickle=False) as arrays:
            assert set(arrays) == {f"{p}_{f}" for p in ("validation", "test") for f in PREDICTION_FIELDS}
            found = {name: arrays[name] for name in arrays}
        assert all(array.dtype.kind in "Uf" for array in found.values())
        assert found["test_logits"].dtype == found["test_labels"].dtype == np.float32
        assert not [name for name in contents(done) if name.endswith((".pt", ".pth", ".pkl", ".bin"))]
        with zipfile.ZipFile(done / "predictions.npz") as archive:
            assert all(name.endswith(".npy") for name in archive.namelist())

    def test_they_are_of_the_records_that_the_split_names(
        self, done: Path, store: Store, spec: RunSpec
    ) -> None:
        task = store.task("waves")
        division = split(store, task, study_seed=0, seed=0)
        chosen = subset(store, task, division.pool, spec.n, study_seed=0, seed=0)
        labels, table = store.labels(task), store.records
        for part, records in (("validation", chosen.validation), ("test", division.test)):
            found = read_predictions(done, part)
            assert found.record_id.tolist() == table["record_id"].iloc[records].tolist()
            assert found.patient_id.tolist() == table["patient_id"].iloc[records].tolist()
            np.testing.assert_array_equal(found.labels, labels[records])
            assert found.logits.shape == (len(records), 3)
            assert np.isfinite(found.logits).all()
        counts = result_of(done)["records"]
        assert counts == {
            "train": len(chosen.train),
            "validation": len(chosen.validation),
            "test": len(division.test),
            "without_any_label": 1,
        }
        assert counts["train"] + counts["validation"] == spec.n

    def test_no_patient_is_on_two_sides(self, done: Path, store: Store, spec: RunSpec) -> None:
        validation, test = (read_predictions(done, part) for part in ("validation", "test"))
        task = store.task("waves")
        pool = split(store, task, study_seed=0, seed=0).pool
        train = subset(store, task, pool, spec.n, study_seed=0, seed=0).train
        sides = [
            set(validation.patient_id),
            set(test.patient_id),
            set(store.records["patient_id"].iloc[train]),
        ]
        assert len(set.union(*sides)) == sum(map(len, sides))
        assert len(test.patient_id) > len(set(test.patient_id))  # there are patients with two records

    def test_what_is_unknown_stays_unknown(self, done: Path) -> None:
        test = read_predictions(done, "test")
        unknown = np.isnan(test.labels)
        assert unknown.any()
        assert not unknown.all(axis=1).any()
        judged = result_of(done)["test"]["targets"]
        for column, name in enumerate(("slow", "fast", "rare")):
            assert judged[name]["unknown"] == unknown[:, column].sum()
            assert judged[name]["positives"] == (test.labels[:, column] == 1).sum()

    def test_the_kept_model_says_what_was_written(self, done: Path, store: Store, spec: RunSpec) -> None:
        network, card = load_model(done)
        test = read_predictions(done, "test")
        position = {name: i for i, name in enumerate(store.records["record_id"])}
        with torch.inference_mode():
            for record, logits in zip(test.record_id, test.logits, strict=True):
                rows = store.rows_of(np.array([position[record]]))
                said = network(torch.from_numpy(store.millivolts(rows))).mean(dim=0).numpy()
                # Another batch size sums in another order.
                np.testing.assert_allclose(said, logits, rtol=1e-4, atol=1e-5)
        assert card["run"] == spec.id
        assert card["leads"] == ["I", "II"]
        assert card["score"] == result_of(done)["test"]["macro"]

    def test_the_history_has_a_line_per_validation(self, done: Path) -> None:
        rows = list(csv.DictReader((done / "history.csv").open()))
        assert [int(row["update"]) for row in rows] == [2, 4]
        result = result_of(done)
        best = min(rows, key=lambda row: float(row["validation_loss"]))
        assert int(best["update"]) == result["best_update"]
        assert float(best["validation_loss"]) == result["search"][0]["validation_loss"]
        # Judged in float32, whatever the precision of the training.
        assert float(best["validation_loss"]) == pytest.approx(result["validation_loss"], abs=0.01)


class TestSearch:
    def test_the_rate_with_the_lowest_validation_loss_is_the_runs(
        self, store: Store, locations: Locations, tmp_path: Path
    ) -> None:
        rates = (1e-4, 1e-2, 1e-3)
        both = run(make_spec(store, rates=rates), tmp_path / "both", locations)["result"]
        assert [row["rate"] for row in both["search"]] == list(rates)
        losses = {row["rate"]: row["validation_loss"] for row in both["search"]}
        assert both["learning_rate"] == choose_rate(losses)
        assert losses[both["learning_rate"]] == min(losses.values())
        # Every candidate had the same start, split and batches: alone it gives the same to the bit.
        for rate in rates:
            alone = run(make_spec(store, rates=(rate,)), tmp_path / f"{rate}", locations)["result"]
            assert alone["search"][0]["validation_loss"] == losses[rate]
        for name in ("predictions.npz", "model.safetensors", "history.csv"):
            chosen = tmp_path / f"{both['learning_rate']}"
            assert (chosen / name).read_bytes() == (tmp_path / "both" / name).read_bytes()

    def test_a_rate_at_which_training_diverges_is_not_chosen(
        self, store: Store, locations: Locations, tmp_path: Path
    ) -> None:
        result = run(make_spec(store, rates=(1e30, 1e-3)), tmp_path / "one", locations)["result"]
        assert result["learning_rate"] == 1e-3
        assert result["diverged_at"] is None
        assert result["search"][0]["diverged_at"] == 2
        assert result["search"][0]["validation_loss"] is None

    def test_where_every_rate_diverges_the_run_says_so(
        self, store: Store, locations: Locations, tmp_path: Path
    ) -> None:
        result = run(make_spec(store, rates=(1e31, 1e30)), tmp_path / "all", locations)["result"]
        assert result["learning_rate"] == 1e30
        assert result["diverged_at"] == 2
        assert result["best_update"] == 0
        assert np.isfinite(read_predictions(tmp_path / "all", "test").logits).all()

    @pytest.mark.parametrize(
        ("losses", "chosen"),
        [
            ({1e-3: 0.5, 3e-3: 0.4, 1e-2: 0.6}, 3e-3),
            ({1e-2: 0.5, 1e-3: 0.5, 3e-3: 0.5}, 3e-3),
            ({1e-4: 0.9, 1e-2: 0.5, 1e-3: 0.5, 3e-3: 0.5}, 3e-3),
            ({1e-3: 0.6, 1e-2: None}, 1e-3),
            ({1e-2: None, 1e-3: None, 3e-3: None}, 1e-3),
        ],
    )
    def test_ties_take_the_middle_and_where_all_diverged_the_lowest(
        self, losses: dict[float, float | None], chosen: float
    ) -> None:
        assert choose_rate(losses) == chosen


class TestTuning:
    """Runs that choose a rate for others, and those that take what was chosen."""

    RATES = (1e-4, 1e-3, 1e-2)

    @pytest.fixture(scope="class")
    @staticmethod
    def tunings(store: Store, locations: Locations, folder: Path) -> dict[str, Path]:
        """Return the folders of two tuning runs by their ids."""
        found = {}
        for seed in (10_000, 10_001):
            spec = dataclasses.replace(make_spec(store, rates=TestTuning.RATES, seed=seed), tuning=True)
            found[spec.id] = folder / f"tuning-{seed}"
            run(spec, found[spec.id], locations, keep_model=False)
        return found

    def tuned(self, store: Store, tunings: dict[str, Path]) -> RunSpec:
        return dataclasses.replace(make_spec(store, rates=self.RATES), tuned_by=tuple(tunings))

    def rewritten(
        self, tunings: dict[str, Path], to: Path, losses: list[tuple[float | None, ...]]
    ) -> dict[str, Path]:
        """Return copies of the tuning runs that found these losses."""
        copies = {}
        for (name, original), found in zip(tunings.items(), losses, strict=True):
            copies[name] = to / original.name
            shutil.copytree(original, copies[name])
            content = json.loads((original / "result.json").read_text(encoding="utf-8"))
            for item, loss in zip(content["result"]["search"], found, strict=True):
                item["validation_loss"] = loss
            (copies[name] / "result.json").write_text(json.dumps(content), encoding="utf-8")
        return copies

    def test_a_tuning_run_keeps_nothing_of_its_test_part(self, tunings: dict[str, Path]) -> None:
        for folder in tunings.values():
            assert set(contents(folder)) == {"result.json", "predictions.npz"}
            assert "test" not in result_of(folder)
            assert [item["rate"] for item in result_of(folder)["search"]] == list(self.RATES)
            assert np.isfinite(read_predictions(folder, "validation").logits).all()
            with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
                assert {name.partition("_")[0] for name in arrays} == {"validation"}
            with pytest.raises(StudyError, match="this run has no predictions for its test part"):
                read_predictions(folder, "test")

    def test_nor_does_it_read_the_signals_there(
        self, store: Store, locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: set[int] = set()

        def watching(store: Store, records: Any, labels: Any, *more: Any, **options: Any) -> Any:
            read.update(np.asarray(records).tolist())
            return real(store, records, labels, *more, **options)

        real = parts.Feed
        monkeypatch.setattr(parts, "Feed", watching)
        spec = make_spec(store, seed=10_000)
        division = split(store, store.task("waves"), study_seed=0, seed=10_000)
        run(dataclasses.replace(spec, tuning=True), tmp_path / "tuning", locations)
        assert len(read) == spec.n
        assert not read & set(division.test.tolist())
        run(spec, tmp_path / "evidence", locations)
        assert set(division.test.tolist()) <= read

    def test_what_it_chose_is_what_an_ordinary_run_would_have_chosen(
        self, store: Store, locations: Locations, tunings: dict[str, Path], tmp_path: Path
    ) -> None:
        content = run(make_spec(store, rates=self.RATES, seed=10_000), tmp_path / "open", locations)
        kept = result_of(next(iter(tunings.values())))
        assert {name: content["result"][name] for name in kept} == kept

    def test_a_tuned_run_trains_once_at_the_rate_with_the_lowest_mean(
        self,
        store: Store,
        locations: Locations,
        tunings: dict[str, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        rates = []
        real = learn.fit

        def watching(network: Any, train: Any, validation: Any, settings: Any, **options: Any) -> Any:
            rates.append(settings.learning_rate)
            return real(network, train, validation, settings, **options)

        # Each run by itself would choose one of the outer rates.
        given = self.rewritten(tunings, tmp_path, [(0.1, 0.2, 0.9), (0.9, 0.3, 0.1)])
        spec = self.tuned(store, tunings)
        monkeypatch.setattr(learn, "fit", watching)
        content = run(spec, tmp_path / "run", dataclasses.replace(locations, tunings=given))
        assert rates == [1e-3]
        result = content["result"]
        assert result["learning_rate"] == 1e-3
        assert [item["rate"] for item in result["search"]] == [1e-3]
        assert [(item["rate"], item["runs"]) for item in result["tuning"]] == [(r, 2) for r in self.RATES]
        assert [item["validation_loss"] for item in result["tuning"]] == pytest.approx([0.5, 0.25, 0.5])
        # And it is the run that this rate alone makes, to the bit.
        alone = run(make_spec(store, rates=(1e-3,)), tmp_path / "alone", locations)
        assert result["test"] == alone["result"]["test"]
        assert (
            contents(tmp_path / "run")["predictions.npz"] == contents(tmp_path / "alone")["predictions.npz"]
        )

    @pytest.mark.parametrize(
        ("losses", "chosen"),
        [
            # A rate at which one of them diverged is not chosen for its luck in the other.
            ([(0.5, 0.01, 0.6), (0.5, None, 0.6)], 1e-4),
            ([(0.5, 0.5, 0.5), (0.5, 0.5, 0.5)], 1e-3),
            ([(None, None, None), (None, None, None)], 1e-4),
        ],
    )
    def test_ties_and_trainings_that_diverged(
        self,
        store: Store,
        locations: Locations,
        tunings: dict[str, Path],
        tmp_path: Path,
        losses: Any,
        chosen: float,
    ) -> None:
        given = self.rewritten(tunings, tmp_path, losses)
        spec = self.tuned(store, tunings)
        content = run(spec, tmp_path / "run", dataclasses.replace(locations, tunings=given))
        assert content["result"]["learning_rate"] == chosen

    def test_without_one_of_its_tuning_runs_it_is_refused(
        self, store: Store, locations: Locations, tunings: dict[str, Path], tmp_path: Path
    ) -> None:
        spec = self.tuned(store, tunings)
        first, second = tunings
        with pytest.raises(StudyError, match=f"the tuning run {first} was not given"):
            run(spec, tmp_path / "run", locations)
        given = dataclasses.replace(locations, tunings={first: tunings[first]})
        with pytest.raises(StudyError, match=f"the tuning run {second} was not given"):
            run(spec, tmp_path / "run", given)
        given = dataclasses.replace(locations, tunings={**tunings, second: tmp_path / "gone"})
        with pytest.raises(StudyError, match="gone: a run without its result"):
            run(spec, tmp_path / "run", given)
        assert list(tmp_path.iterdir()) == []

    def test_what_is_no_tuning_run_or_another_one_chooses_nothing(
        self, store: Store, locations: Locations, tunings: dict[str, Path], tmp_path: Path
    ) -> None:
        first, second = tunings
        swapped = {first: tunings[second], second: tunings[first]}
        with pytest.raises(StudyError, match="tuning-10001: the folder is not the tuning run"):
            run(
                self.tuned(store, tunings),
                tmp_path / "run",
                dataclasses.replace(locations, tunings=swapped),
            )
        # An ordinary run has opened its test part: it must not choose for others.
        ordinary = make_spec(store, rates=self.RATES, seed=10_000)
        run(ordinary, tmp_path / "ordinary", locations, keep_model=False)
        spec = dataclasses.replace(make_spec(store, rates=self.RATES), tuned_by=(ordinary.id,))
        given = dataclasses.replace(locations, tunings={ordinary.id: tmp_path / "ordinary"})
        with pytest.raises(StudyError, match="ordinary: the folder is not the tuning run"):
            run(spec, tmp_path / "run", given)
        assert not (tmp_path / "run").exists()


def test_the_budget_s_schedule_and_optimizer_are_those_of_the_training(
    store: Store, locations: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = learn.fit

    def watching(network: Any, train: Any, validation: Any, settings: Any, **options: Any) -> Any:
        seen.append(settings)
        return real(network, train, validation, settings, **options)

    monkeypatch.setattr(learn, "fit", watching)
    plain = dataclasses.replace(BUDGET, schedule="constant", optimizer="adam", warmup_fraction=0.0)
    for name, budget in (("usual", BUDGET), ("plain", plain)):
        run(make_spec(store, budget=budget), tmp_path / name, locations)
    assert [(s.schedule, s.optimizer) for s in seen] == [("cosine", "adamw"), ("constant", "adam")]
    rates = [
        [float(row["learning_rate"]) for row in csv.DictReader((tmp_path / name / "history.csv").open())]
        for name in ("usual", "plain")
    ]
    assert rates[1] == [3e-3, 3e-3]
    assert rates[0][-1] < 3e-3


@pytest.mark.parametrize("name", ["age-sex", "rr"])
def test_baselines_run_like_everything_else(
    name: str, store: Store, locations: Locations, done: Path, spec: RunSpec, tmp_path: Path
) -> None:
    plain = dataclasses.replace(spec, network=name, arm="baseline", rates=(), precision="float32")
    content = run(plain, tmp_path / name, locations)
    assert set(contents(tmp_path / name)) == {"result.json", "predictions.npz"}
    assert set(content["result"]["baseline"]) >= {"strengths", "constant_targets", "imputed"}
    ours, theirs = read_predictions(tmp_path / name, "test"), read_predictions(done, "test")
    assert ours.record_id.tolist() == theirs.record_id.tolist()


class TestArms:
    def ran(
        self, arm: str, store: Store, upstream: tuple[str, Path], folder: Path, network: str = NETWORK
    ) -> tuple[Path, dict[str, Any]]:
        """Return a run's folder and what its training was given: the head and every batch."""
        name, model = upstream
        seen: dict[str, Any] = {"batches": []}
        real = learn.fit

        def watching(network: Any, train: Any, validation: Any, settings: Any, **options: Any) -> Any:
            seen["head"] = {key: tensor.clone() for key, tensor in network.head.state_dict().items()}
            seen["encoder"] = {key: tensor.clone() for key, tensor in network.encoder.state_dict().items()}
            seen["records"] = train.records.tolist()

            def keep(module: Any, given: Any) -> None:
                if module.training:
                    seen["batches"].append(given[0].clone())

            hook = network.register_forward_pre_hook(keep)
            try:
                return real(network, train, validation, settings, **options)
            finally:
                hook.remove()

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(learn, "fit", watching)
            start = name if arm in ("full", "linear-probe") else None
            spec = make_spec(store, network=network, arm=arm, upstream=start)
            run(spec, folder, Locations({store.fingerprint: store.path}, {name: model}))
        return folder, seen

    def test_loading_weights_changes_neither_split_nor_batches_nor_head(
        self, store: Store, upstream: tuple[str, Path], tmp_path: Path
    ) -> None:
        scratch, random = self.ran("scratch", store, upstream, tmp_path / "scratch")
        full, loaded = self.ran("full", store, upstream, tmp_path / "full")
        for part in ("validation", "test"):
            one, other = read_predictions(scratch, part), read_predictions(full, part)
            assert one.record_id.tolist() == other.record_id.tolist()
            assert not np.array_equal(one.logits, other.logits)
        assert random["records"] == loaded["records"]
        assert len(random["batches"]) == len(loaded["batches"]) == BUDGET.updates
        assert all(map(torch.equal, random["batches"], loaded["batches"]))
        assert all(torch.equal(random["head"][name], loaded["head"][name]) for name in random["head"])
        given = load_file(upstream[1] / "model.safetensors")
        for name, tensor in loaded["encoder"].items():
            assert torch.equal(tensor, given[f"encoder.{name}"])
        assert not torch.equal(*(seen["encoder"][next(iter(random["encoder"]))] for seen in (random, loaded)))

    @pytest.mark.parametrize("arm", ["full", "linear-probe"])
    def test_a_load_says_what_became_of_each_tensor(
        self, arm: str, store: Store, upstream: tuple[str, Path], tmp_path: Path
    ) -> None:
        folder, _ = self.ran(arm, store, upstream, tmp_path / arm)
        names = load_file(folder / "model.safetensors").keys()
        load = result_of(folder)["load"]
        assert load["matched"] == sum(name.startswith("encoder.") for name in names)
        assert load["reinitialised"] == [name for name in ("head.weight", "head.bias") if name in names]
        assert load["unexpected"] == []

    def test_a_linear_probe_leaves_the_encoder_as_it_was(
        self, store: Store, upstream: tuple[str, Path], tmp_path: Path
    ) -> None:
        folder, seen = self.ran("linear-probe", store, upstream, tmp_path / "probe")
        before, after = (load_file(path / "model.safetensors") for path in (upstream[1], folder))
        assert before.keys() == after.keys()
        for name, tensor in before.items():
            assert torch.equal(tensor, after[name]) == (not name.startswith("head.")), name
        assert not seen["batches"]  # nothing was trained by gradient
        assert result_of(folder)["head"]["penalty"] in (0.03, 0.3, 3.0)
        assert (folder / "history.csv").read_bytes() == b""

    def test_a_frozen_random_encoder_is_the_one_that_scratch_starts_from(
        self, store: Store, upstream: tuple[str, Path], tmp_path: Path
    ) -> None:
        folder, _ = self.ran("frozen-random", store, upstream, tmp_path / "frozen")
        _, scratch = self.ran("scratch", store, upstream, tmp_path / "scratch")
        after = load_file(folder / "model.safetensors")
        moved = set()
        for name, tensor in scratch["encoder"].items():
            if not torch.equal(after[f"encoder.{name}"], tensor):
                moved.add(name.rpartition(".")[2])
        assert moved == {"running_mean", "running_var", "num_batches_tracked"}

    @pytest.mark.parametrize("network", ["lstm-pooled", NETWORK])
    def test_the_random_start_follows_from_the_seed(
        self, network: str, store: Store, upstream: tuple[str, Path], tmp_path: Path
    ) -> None:
        _, seen = self.ran("scratch", store, upstream, tmp_path / "scratch", network)
        fresh = build(
            network, n_leads=2, n_outputs=3, n_samples=200, sampling_rate=100.0,
            encoder_seed=entropy(0, 0, "encoder"), head_seed=entropy(0, 0, "head"),
        )  # fmt: skip
        for part in ("encoder", "head"):
            for name, tensor in getattr(fresh, part).state_dict().items():
                assert torch.equal(seen[part][name], tensor)

    def test_a_pretraining_has_an_encoder_of_its_own(
        self, store: Store, upstream: tuple[str, Path], tmp_path: Path
    ) -> None:
        _, scratch = self.ran("scratch", store, upstream, tmp_path / "scratch")
        _, before = self.ran("pretrain", store, upstream, tmp_path / "pretrain")
        name = next(name for name, tensor in scratch["encoder"].items() if tensor.ndim > 1)
        assert not torch.equal(scratch["encoder"][name], before["encoder"][name])
        assert torch.equal(scratch["head"]["weight"], before["head"]["weight"])
