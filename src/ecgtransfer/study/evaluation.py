"""A finished model on a store: its own test part where it was trained there, all records elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.published import published_split
from ecgtransfer.datasets.splits import split
from ecgtransfer.datasets.store import Store
from ecgtransfer.datasets.tasks import Target, Task
from ecgtransfer.errors import DataError, ModelError
from ecgtransfer.networks import build, load_encoder, load_model
from ecgtransfer.study.judge import check_recipe, left_out, metrics
from ecgtransfer.training import Feed, predict_logits


def evaluate_model(folder: Path, path: Path) -> dict[str, Any]:
    """Evaluate a model with the thresholds on its card, over the macro targets that were fixed before it was.

    Parameters
    ----------
    folder : Path
        A model folder.
    path : Path
        A store with the model's leads, rate and length.

    Returns
    -------
    dict
        ``records``, ``split`` (how the records were chosen), ``test`` (metrics), as in ``result.json``.

    Raises
    ------
    ModelError
        When leads, rate or length differ, or the encoder was pre-trained on this very store.
    DataError
        When the store says nothing about the model's targets.
    """
    trained, card = load_model(folder)
    store = Store.open(path)
    # Built for the store's signals and filled from the folder: loading refuses what does not fit.
    network = build(
        card["network"],
        n_leads=len(store.info.leads),
        n_outputs=trained.n_outputs,
        n_samples=store.info.n_samples,
        sampling_rate=store.info.sampling_rate,
    )
    load_encoder(network, folder, leads=store.info.leads)
    check_recipe(card, store, folder)
    network.head.load_state_dict(trained.head.state_dict())
    network.eval()
    task = Task(card["task"], tuple(Target(t["name"], tuple(t["any_of"])) for t in card["targets"]))
    labels = store.labels(task)
    records, how = _records(card, folder, store, task, labels)
    test = metrics(
        labels[records],
        predict_logits(network, Feed(store, records, labels[records])),
        task.target_names,
        points=card["operating_points"],
        macro_targets=card["spec"]["macro_targets"],
    )
    counts = {"test": len(records), "without_any_label": int(np.isnan(labels).all(axis=1).sum())}
    return {"model": card["run"], "store": store.fingerprint, "records": counts, "split": how, "test": test}


def _records(
    card: dict[str, Any], folder: Path, store: Store, task: Task, labels: NDArray[np.float32]
) -> tuple[NDArray[np.int64], str]:
    """Return the records to test on, and how they were chosen."""
    labelled = np.flatnonzero(~np.isnan(labels).all(axis=1))
    if not len(labelled):
        missing = ", ".join(task.target_names)
        raise DataError(
            f"the store says nothing about the model's targets ({missing})",
            where=store.path,
            remedy="Evaluate on a store whose statements include them",
        )
    own, *ancestors = [data["fingerprint"] for data in card["data"]]
    if store.fingerprint in ancestors:
        raise ModelError(
            "the model's encoder was pre-trained on this very store",
            where=folder,
            remedy="Evaluate it on another store: here it would be tested on what it has learnt from",
        )
    if store.fingerprint != own:
        how = "every labelled record of a store that the model was not trained on by that name"
        return labelled, f"{how}. {left_out(card, store).rstrip('.')}"
    spec = card["spec"]
    if spec.get("final"):
        raise ModelError(
            "the model has learnt from every label of this store",
            where=folder,
            remedy="Evaluate it on another store; what to expect of it is on its card",
        )
    if spec.get("protocol") == "paper":
        published = published_split(store, task)
        chosen = "the test part of the store that the model was trained on, which also chose its epoch"
        return published.test, f"{chosen}; {published.how}"
    division = split(store, task, study_seed=spec["study_seed"], seed=spec["seed"], excluded=spec["excluded"])
    return division.test, f"the test part of the store that the model was trained on; {division.how}"
