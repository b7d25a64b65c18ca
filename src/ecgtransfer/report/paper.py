"""The published protocol beside the sound one: what it reports, what that is worth, and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecgtransfer.errors import StudyError
from ecgtransfer.evidence.inflation import KEYS, inflation_rows, inflation_sentence, prevalence_weighted
from ecgtransfer.report.gather import Cell, Done, Gathered, gather
from ecgtransfer.study.folder import Study


def beside_sound(study: Study, beside: Sequence[Study], runs: Gathered) -> dict[str, Any] | None:
    """Return the block of the published protocol, or None where no study follows it.

    Parameters
    ----------
    study : Study
        The one that is reported; by either protocol.
    beside : sequence of Study
        Studies by the published protocol. Their cells are laid beside those of ``study`` that have the same
        names and size, with the same score: F1 weighted by the positives.
    runs : Gathered
        Of ``study``.

    Raises
    ------
    StudyError
        A study that is to be laid beside follows the sound protocol itself.
    """
    published: list[dict[str, Any]] = []
    sound: dict[tuple[Any, ...], float] = {}
    if study.description["plan"]["protocol"] == "paper":
        published += _published(runs)
    else:
        sound = {
            _key(cell): score for cell, done in runs.cells.items() if (score := _sound(done)) is not None
        }
    for other in beside:
        if other.description["plan"]["protocol"] != "paper":
            raise StudyError(
                "the study to be shown beside follows the sound protocol too",
                where=other.path,
                remedy='Give one whose plan says protocol = "paper"',
            )
        published += _published(gather(other))
    if not published:
        return None
    rows = inflation_rows(published, sound=sound)
    used = {tuple(run[key] for key in KEYS): run["labels"] for run in published}
    return {
        "rows": [
            {**row, "n": used[tuple(row[key] for key in KEYS)], "n_is_all": row["n"] is None} for row in rows
        ],
        "text": inflation_sentence(rows),
    }


def _published(runs: Gathered) -> list[dict[str, Any]]:
    return [
        {**cell._asdict(), "paper": run.result["paper"], "labels": run.labels_used}
        for cell, done in runs.cells.items()
        for run in done
    ]


def _key(cell: Cell) -> tuple[Any, ...]:
    return cell.downstream, cell.network, cell.upstream, cell.arm, cell.n


def _sound(runs: Sequence[Done]) -> float | None:
    """Return the study's score of a cell of the sound protocol, at the thresholds of its validation parts."""
    scores = []
    for run in runs:
        targets = run.result["test"]["targets"].values()
        scores.append(
            prevalence_weighted([row["f1"] for row in targets], [row["positives"] for row in targets])
        )
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if len(known) == len(scores) else None
