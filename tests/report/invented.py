"""Runs that nobody trained: a study's ledger filled with predictions whose truth is known, in a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.store import Store
from ecgtransfer.files import write_json
from ecgtransfer.study.folder import Study
from ecgtransfer.study.judge import judge, predictions
from ecgtransfer.study.ledger import write_predictions
from ecgtransfer.study.planned import Planned
from ecgtransfer.study.protocols import protocol

Floats = NDArray[np.float64]
# How far apart the logits of positives and negatives lie, in standard deviations of their noise.
STRENGTH = {"scratch": 0.8, "full": 2.0, "linear-probe": 1.2, "frozen-random": 0.2, "baseline": 0.6}
SECONDS, MULTIPLY_ADDS = 2.0, 1000

Said = Callable[[Planned, NDArray[np.str_], Floats], Floats]


def by_arm(planned: Planned, records: NDArray[np.str_], labels: Floats) -> Floats:
    """Return logits [records, targets]: the arm's strength, and noise of the run's own and of each record."""
    spec = planned.spec
    own = np.random.default_rng([spec.seed, planned.pretraining_seed or 0, len(spec.arm)])
    # What makes a recording hard does so for every arm.
    shared = np.random.default_rng(7).normal(0, 1, (1000, labels.shape[1]))
    hard = shared[[int(name[1:]) for name in records]]
    size = 1.0 if spec.n is None else 0.5
    signs = np.where(labels == 1, 1.0, -1.0)
    noise = 0.7 * hard + 0.7 * own.normal(0, 1, labels.shape)
    logits: Floats = 0.5 * (STRENGTH.get(spec.arm, 1.5) + size) * signs + noise
    return logits


def fill(study: Study, stores: dict[str, Store], said: Said = by_arm) -> None:
    """Write a result and predictions for each run of the study.

    Parameters
    ----------
    stores : mapping
        Fingerprint → store.
    said : callable
        Planned run, record ids and labels [records, targets] → logits.
    """
    for planned in study.planned:
        write_run(study, planned, stores[planned.spec.store], said)


def write_run(study: Study, planned: Planned, store: Store, said: Said = by_arm) -> Path:
    """Write one run and return its folder."""
    spec, folder = planned.spec, study.ledger.folder(planned.spec.id)
    parts = protocol(spec.protocol).divide(spec, store)
    records = {"validation": parts.validation} | ({} if spec.tuning else {"test": parts.test})
    ids = store.records["record_id"].to_numpy(dtype=str)
    logits = {
        part: said(planned, ids[positions], parts.labels[positions].astype(float)).astype(np.float32)
        for part, positions in records.items()
    }
    result: dict[str, Any] = {
        "records": {name: len(getattr(parts, name)) for name in ("train", "validation", "test")},
        "multiply_adds": MULTIPLY_ADDS,
        **judge(spec, parts.labels, records, logits),
    }
    trained = 1 if spec.tuned_by else len(spec.rates)
    if spec.rates:
        result |= {
            "learning_rate": spec.rates[-1],
            "best_update": spec.budget.updates,
            "diverged_at": None,
            "search": [
                {"rate": rate, "validation_loss": 0.5 - 0.1 * number, "diverged_at": None}
                for number, rate in enumerate(spec.rates)
            ],
        }
        if spec.tuned_by:
            result["tuning"] = [
                {"rate": rate, "validation_loss": 0.5 - 0.1 * number, "runs": len(spec.tuned_by)}
                for number, rate in enumerate(spec.rates)
            ]
            result["search"] = result["search"][-1:]
    folder.mkdir(parents=True)
    measured = {"seconds": SECONDS, "records_seen": trained * spec.budget.updates * spec.budget.batch_size}
    content = {"id": spec.id, "spec": dataclasses.asdict(spec), "result": result, "measured": measured}
    write_json(folder / "result.json", content)
    write_predictions(folder, predictions(store, records, logits, parts.labels))
    return folder
