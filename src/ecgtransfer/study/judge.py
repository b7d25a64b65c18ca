"""What a run's predictions are worth: thresholds chosen elsewhere, then the test part once."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer import __version__
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ModelError
from ecgtransfer.study.ledger import Predictions
from ecgtransfer.study.plans.plan import SPECIFICITY
from ecgtransfer.study.protocols import protocol
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.training import evaluate, known_bce, specificity_thresholds, thresholds

# Fewer positives or negatives in a test part are no basis for a metric: one alone makes an AUROC of 0 or 1.
MINIMUM_TO_JUDGE = 2


def judge(
    spec: RunSpec,
    labels: NDArray[np.float32],
    records: Mapping[str, NDArray[np.int64]],
    logits: Mapping[str, NDArray[np.float32]],
) -> dict[str, Any]:
    """Return ``validation_loss``, ``operating_points`` and ``test`` of a run, as JSON-able values.

    Parameters
    ----------
    labels : float32 [records of the store, targets]
        1 present, 0 absent, NaN unknown.
    records, logits : mapping
        ``validation`` and ``test`` → positions in the store, and logits [positions, targets]. Without
        ``test`` (a tuning run) nothing is said of it.
    """
    known = labels[records["validation"]]
    loss = known_bce(known, logits["validation"])
    fixed = protocol(spec.protocol).threshold
    if fixed is None:
        points = {
            "thresholds": thresholds(known, logits["validation"]),
            "specificity_thresholds": specificity_thresholds(
                known, logits["validation"], specificity=SPECIFICITY
            ),
        }
    else:
        everywhere = math.log(fixed / (1 - fixed))
        points = {
            "thresholds": [everywhere] * len(spec.targets),
            "specificity_thresholds": [None] * len(spec.targets),
        }
    judged = {"validation_loss": loss if np.isfinite(loss) else None, "operating_points": points}
    if "test" not in logits:
        return judged
    return {
        **judged,
        "test": metrics(
            labels[records["test"]],
            logits["test"],
            [name for name, _ in spec.targets],
            points=points,
            macro_targets=spec.macro_targets,
        ),
    }


def metrics(
    labels: NDArray[np.float32],
    logits: NDArray[np.float32],
    names: Sequence[str],
    *,
    points: Mapping[str, Any],
    macro_targets: Sequence[str],
) -> dict[str, Any]:
    """Evaluate logits [records, targets] at operating points that were chosen elsewhere."""
    return evaluate(
        labels,
        logits,
        names,
        thresholds=points["thresholds"],
        specificity_thresholds=points["specificity_thresholds"],
        specificity=SPECIFICITY,
        macro_targets=macro_targets,
        minimum_positives=MINIMUM_TO_JUDGE,
        minimum_negatives=MINIMUM_TO_JUDGE,
    )


def predictions(
    store: Store,
    records: Mapping[str, NDArray[np.int64]],
    logits: Mapping[str, NDArray[np.float32]],
    labels: NDArray[np.float32],
) -> dict[str, Predictions]:
    """Return what is kept of each part: who, what was said, and what is known."""
    ids = store.records["record_id"].to_numpy(dtype=str)
    # Duplicates under two names are one patient for the evidence too: they must not count twice.
    first = np.unique(store.groups, return_index=True)[1]
    patients = store.records["patient_id"].to_numpy(dtype=str)[first][store.groups]
    return {
        part: Predictions(
            record_id=ids[positions],
            patient_id=patients[positions],
            logits=logits[part].astype(np.float32),
            labels=labels[positions].astype(np.float32),
        )
        for part, positions in records.items()
    }


def describe_model(
    spec: RunSpec, store: Store, result: Mapping[str, Any], upstream: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the model's card: what a person or program that finds the model alone needs to know.

    ``data`` lists every store that the weights come from, the last one first.
    """
    data = {
        "name": store.info.name,
        "source": store.info.source,
        "fingerprint": store.fingerprint,
        "task": spec.task,
        "licence": store.info.licence,
        "citation": store.info.citation,
        "recipe": store.info.recipe,
        "records": result["records"],
        "split": result["split"],
        "apart_from": list(spec.apart_from),
        "excluded": list(spec.excluded),
    }
    return {
        "task": spec.task,
        "targets": [{"name": name, "any_of": list(codes)} for name, codes in spec.targets],
        "leads": list(store.info.leads),
        "run": spec.id,
        "spec": spec.as_dict(),
        "data": [data, *(upstream["data"] if upstream is not None else [])],
        "operating_points": result["operating_points"],
        # A model that learnt from every label has none of its own.
        "score": result["test"]["macro"] if "test" in result else None,
        "made_with": f"ecgtransfer {__version__}",
    }


def check_recipe(card: Mapping[str, Any], store: Store, folder: Path) -> None:
    """Refuse a model that has learnt from signals prepared in another way than the store's.

    Raises
    ------
    ModelError
        When the recipes differ: one holds mV and the other a range, and no weight would notice.
    """
    learnt, here = card["data"][0]["recipe"]["name"], store.info.recipe["name"]
    if learnt != here:
        raise ModelError(
            f"the model has learnt from signals of the recipe '{learnt}', the store was prepared by '{here}'",
            where=folder,
            remedy=f"Prepare the store with --recipe {learnt}",
        )


def unchecked(card: Mapping[str, Any], store: Store) -> list[str]:
    """Return the datasets a model learnt from that were never compared with ``store``."""
    return [data["name"] for data in card["data"] if store.fingerprint not in data["apart_from"]]


def left_out(card: Mapping[str, Any], store: Store) -> str:
    """Return in a sentence what a model's card says about recordings that ``store`` has too."""
    if names := unchecked(card, store):
        return (
            f"Whether {' and '.join(names)} shares recordings with {store.info.name} was not checked "
            "when the model was made: `audit` finds them, `pretrain --apart-from` leaves them out."
        )
    count = sum(len(data["excluded"]) for data in card["data"])
    return (
        f"{count:,} upstream recordings that are also in {store.info.name}, or of the same patients, took no "
        "part in pre-training."
    )


def history_csv(history: Sequence[Mapping[str, float]]) -> str:
    """Return the course of a training as CSV, one line per validation; empty where nothing was trained."""
    stream = io.StringIO()
    if history:
        writer = csv.DictWriter(stream, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    return stream.getvalue()
