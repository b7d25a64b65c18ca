"""A finished model on a store: its own test part where it was trained there, all records elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer.datasets.splits import split
from ecgtransfer.datasets.store import Store
from ecgtransfer.datasets.tasks import Target, Task
from ecgtransfer.errors import DataError
from ecgtransfer.networks import build, load_encoder, load_model
from ecgtransfer.training import Feed, evaluate, predict_logits


def evaluate_model(folder: Path, path: Path) -> dict[str, Any]:
    """Evaluate a model with the thresholds on its card.

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
        When leads, rate or length differ.
    DataError
        When the store annotates none of the model's targets.
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
    network.head.load_state_dict(trained.head.state_dict())
    network.eval()
    task = Task(card["task"], tuple(Target(t["name"], tuple(t["any_of"])) for t in card["targets"]))
    labels = store.labels(task)
    records, how = _records(card, store, task, labels)
    feed = Feed(store, records, labels[records])
    logits = predict_logits(network, feed, precision=card["spec"]["precision"])
    names = [target.name for target in task.targets]
    test = evaluate(
        labels[records],
        logits,
        names,
        **card["operating_points"],
        macro_targets=[name for name, column in zip(names, labels[records].T, strict=True) if _both(column)],
    )
    counts = {"test": len(records), "without_any_label": int(np.isnan(labels).all(axis=1).sum())}
    return {"model": card["run"], "store": store.fingerprint, "records": counts, "split": how, "test": test}


def _records(card: dict[str, Any], store: Store, task: Task, labels: np.ndarray) -> tuple[np.ndarray, str]:
    labelled = np.flatnonzero(~np.isnan(labels).all(axis=1))
    if not len(labelled):
        missing = ", ".join(target.name for target in task.targets)
        raise DataError(
            f"the store says nothing about the model's targets ({missing})",
            where=store.path,
            remedy="Evaluate on a store whose statements include them",
        )
    if card["data"]["fingerprint"] != store.fingerprint:
        return labelled, "every labelled record of a store that the model was not trained on"
    spec = card["spec"]
    own = split(store, task, study_seed=spec["study_seed"], seed=spec["seed"])
    return own.test, f"the test part of the store that the model was trained on; {own.how}"


def _both(column: np.ndarray) -> bool:
    return bool((column == 1).any() and (column == 0).any())
