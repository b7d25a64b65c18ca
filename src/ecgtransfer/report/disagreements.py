"""The ECGs on which two models disagree most: chosen from the runs, kept with their signals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.store import Store
from ecgtransfer.report.gather import Cell, Done, gather
from ecgtransfer.study.folder import Study

# In favour of each arm, per downstream: more would not be looked at.
SHOWN = 2


def find_disagreements(study: Study, stores: Mapping[str, Store]) -> list[dict[str, Any]]:
    """Return, per downstream, the test recordings that one arm has right and the other wrong, by most.

    The probabilities are means over seeds (and pre-trainings) that tested the recording. Compared are the
    arms of the first primary contrast of each downstream with the most labels. Each recording is shown once.

    Parameters
    ----------
    study : Study
        All its runs are in the ledger.
    stores : mapping
        Downstream → its store.

    Returns
    -------
    list of dict
        As ``disagreements`` of the findings; ``signal`` is [leads, samples] in whole µV.
    """
    runs = gather(study)
    rows = []
    for told in study.description["downstreams"]:
        own = [contrast for contrast in study.primary if contrast.downstream == told["name"]]
        if not own:
            continue
        first = own[0]
        pair = [
            c for c in own if (c.network, c.upstream, c.arm) == (first.network, first.upstream, first.arm)
        ]
        largest = max(pair, key=lambda c: float("inf") if c.n is None else c.n)
        cell = Cell(largest.downstream, largest.network, largest.upstream, largest.arm, largest.n)
        rows += _of_cell(cell, runs.cells[cell], runs.reference(cell), told, stores[told["name"]])
    return rows


def _of_cell(
    cell: Cell, runs: list[Done], others: list[Done], told: Mapping[str, Any], store: Store
) -> list[dict[str, Any]]:
    targets = told["macro_targets"]
    ids, labels, ours = _mean_probabilities(runs, targets)
    theirs_ids, _, theirs = _mean_probabilities(others, targets)
    assert np.array_equal(ids, theirs_ids)
    # How much nearer to the label the arm is than its reference: positive in favour of the arm.
    nearer = np.where(np.isnan(labels), 0.0, np.abs(labels - theirs) - np.abs(labels - ours))
    opposed = (ours > 0.5) != (theirs > 0.5)
    nearer = np.where(opposed, nearer, 0.0)
    position = {name: row for row, name in enumerate(store.records["record_id"].to_numpy(dtype=str))}
    rows: list[dict[str, Any]] = []
    shown: set[str] = set()
    for sign in (1.0, -1.0):
        wanted = len(shown) + SHOWN
        for flat in np.argsort(-sign * nearer, axis=None):
            record, column = np.unravel_index(flat, nearer.shape)
            if sign * nearer[record, column] <= 0 or len(shown) == wanted:
                break
            name = str(ids[record])
            if name in shown:
                continue
            shown.add(name)
            window = store.rows_of(np.array([position[name]]))[:1]
            signal = store.millivolts(window)[0]
            rows.append(
                {
                    "downstream": cell.downstream,
                    "network": cell.network,
                    "upstream": cell.upstream,
                    "arm": cell.arm,
                    "n": int(np.median([run.labels_used for run in runs])),
                    "n_is_all": cell.n is None,
                    "target": targets[column],
                    "record_id": name,
                    "label": int(labels[record, column]),
                    "arm_probability": round(float(ours[record, column]), 4),
                    "reference_probability": round(float(theirs[record, column]), 4),
                    "leads": list(store.info.leads),
                    "sampling_rate": store.info.sampling_rate,
                    "signal": np.rint(1000 * signal).astype(int).tolist(),
                }
            )
    return rows


def _mean_probabilities(
    runs: list[Done], targets: list[str]
) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
    """Return record ids, labels and mean probabilities [records, targets] over the runs that tested each."""
    ids = np.concatenate([run.test.record_id for run in runs])
    labels = np.concatenate([run.test.labels[:, run.columns(targets)] for run in runs]).astype(np.float64)
    logits = np.concatenate([run.test.logits[:, run.columns(targets)] for run in runs]).astype(np.float64)
    probability = 1.0 / (1.0 + np.exp(-np.clip(logits, -50, 50)))
    names, first, place = np.unique(ids, return_index=True, return_inverse=True)
    total = np.zeros((len(names), len(targets)))
    np.add.at(total, place, probability)
    return names, labels[first], total / np.bincount(place)[:, None]
