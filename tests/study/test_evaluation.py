"""A finished model on a store: its own test part where it was trained, every labelled record elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError, ModelError
from ecgtransfer.files import hash_file
from ecgtransfer.networks import load_model
from ecgtransfer.study.evaluation import evaluate_model
from ecgtransfer.study.ledger import read_predictions
from ecgtransfer.study.run import Locations, run
from tests.small import NETWORK, make_spec, result_of, train_model, write_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return write_store(folder / "own.ecgs")


@pytest.fixture(scope="module", params=[NETWORK, "lstm-pooled"])
def model(request: pytest.FixtureRequest, folder: Path, store: Store) -> Path:
    place = folder / str(request.param)
    train_model(place, store, network=request.param, seed=3, study_seed=2, n=50)
    return place


def test_on_its_own_store_the_numbers_of_the_run_come_back(model: Path, store: Store) -> None:
    found = evaluate_model(model, store.path)
    result = result_of(model)
    assert found["test"] == result["test"]
    # "rare" has too few records to count, also where this test part happens to have both classes.
    assert found["test"]["macro"]["targets"] == ["slow", "fast"]
    assert found["records"]["test"] == result["records"]["test"] < store.n_records / 4
    assert found["split"].startswith("the test part of the store that the model was trained on; fold 3 of")
    assert found["store"] == store.fingerprint
    json.dumps(found, allow_nan=False)


def test_the_store_is_known_by_content_not_by_path(model: Path, store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.path, tmp_path / "copy.ecgs")
    assert evaluate_model(model, tmp_path / "copy.ecgs")["test"] == result_of(model)["test"]


def test_elsewhere_every_labelled_record_counts(model: Path, tmp_path: Path) -> None:
    other = write_store(tmp_path / "other.ecgs", n=60, seed=11)
    found = evaluate_model(model, other.path)
    assert found["records"] == {"test": 59, "without_any_label": 1}
    assert found["split"].startswith("every labelled record of a store that the model was not trained on")
    assert "Whether own shares recordings with other was not checked" in found["split"]
    assert found["test"]["records"] == 59
    labels = other.labels(other.task("waves"))
    for column, name in enumerate(("slow", "fast", "rare")):
        row = found["test"]["targets"][name]
        assert row["positives"] == (labels[:, column] == 1).sum()
        assert row["negatives"] == (labels[:, column] == 0).sum()
    # The thresholds are those of the card: nothing is chosen on what is tested.
    points = load_model(model)[1]["operating_points"]
    assert [row["threshold"] for row in found["test"]["targets"].values()] == points["thresholds"]


def test_the_auroc_is_that_of_the_kept_predictions(model: Path, store: Store) -> None:
    kept = read_predictions(model, "test")
    judged: dict[str, Any] = evaluate_model(model, store.path)["test"]["targets"]
    for column, name in enumerate(("slow", "fast")):
        known = ~np.isnan(kept.labels[:, column])
        assert judged[name]["auroc"] == pytest.approx(
            roc_auc_score(kept.labels[known, column], kept.logits[known, column])
        )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"leads": ("II", "I")}, ["2 (I, II)", "2 (II, I)", "--leads I,II"]),
        ({"leads": ("I", "II", "V1")}, ["2 (I, II)", "3 (I, II, V1)"]),
        ({"rate": 50.0}, ["100 Hz", "50 Hz", "--rate 100"]),
    ],
)
def test_signals_of_another_kind_are_refused_in_words_that_name_both(
    model: Path, tmp_path: Path, change: dict[str, Any], says: list[str]
) -> None:
    other = write_store(tmp_path / "other.ecgs", **change)
    with pytest.raises(ModelError) as refused:
        evaluate_model(model, other.path)
    for words in (*says, str(model)):
        assert words in str(refused.value)


def test_a_store_that_knows_none_of_the_targets(model: Path, tmp_path: Path) -> None:
    trained = load_model(model)[1]
    assert [target["name"] for target in trained["targets"]] == ["slow", "fast", "rare"]
    shutil.copytree(model, tmp_path / "model")
    card = json.loads((model / "card.json").read_text())
    card["targets"] = [{"name": name, "any_of": [f"X{name}"]} for name in ("a", "b", "c")]
    (tmp_path / "model" / "card.json").write_text(json.dumps(card))
    other = write_store(tmp_path / "other.ecgs", seed=4)
    with pytest.raises(DataError, match=r"the store says nothing about the model's targets \(a, b, c\)"):
        evaluate_model(tmp_path / "model", other.path)


def test_a_store_that_the_encoder_has_learnt_from_is_refused(store: Store, tmp_path: Path) -> None:
    up = write_store(tmp_path / "up.ecgs", seed=5)
    train_model(tmp_path / "model", up)
    name = f"model:{hash_file(tmp_path / 'model' / 'model.safetensors')}"
    tuned = tmp_path / "tuned"
    given = Locations({store.fingerprint: store.path}, {name: tmp_path / "model"})
    run(make_spec(store, arm="full", upstream=name), tuned, given)
    with pytest.raises(ModelError, match="the model's encoder was pre-trained on this very store"):
        evaluate_model(tuned, up.path)
    assert evaluate_model(tuned, store.path)["test"] == result_of(tuned)["test"]


def test_signals_of_another_recipe_are_refused(model: Path, tmp_path: Path) -> None:
    """A range from -1 to 1 is no mV, and no weight would notice."""
    other = write_store(tmp_path / "other.ecgs", seed=11, recipe="paper")
    with pytest.raises(ModelError, match="of the recipe 'small', the store was prepared by 'paper'"):
        evaluate_model(model, other.path)
