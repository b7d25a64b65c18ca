"""At the user's operating point: what pre-training changes in sensitivity at a fixed specificity.

The threshold of each run and arm was chosen on its validation part so that the specificity there is the one
asked for, and is applied to the test part as it is: what the specificity turns out to be there is told
beside the sensitivities, for a gain in one may be paid for by the other. How well thresholds hit is part of
what varies between seeds.

The interval over patients × seeds is that of `intervals`, with the patients' covariance from influences (a
sensitivity is a mean over patients with the target; the resampling has a closed form). Sensitivities are
counts: where both arms call the same patients, a variance from the data alone would be zero. The patients'
part is therefore raised by what half a patient in each of the four cells adds, about 1/(m + 2)² with m
patients (Agresti and Min 2005).

References
----------
Pepe (2003), The statistical evaluation of medical tests for classification and prediction, chapters 2 and 3;
Agresti and Min (2005), Simple improved confidence intervals for comparing matched proportions, Statistics in
Medicine 24(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.crossed import (
    average_by_seed,
    check_runs,
    crossed_interval,
    influence_cover,
    too_few,
)
from ecgtransfer.evidence.verdict import Word, word

# A difference in sensitivity below this makes none: one patient in twenty.
OPERATING_MARGIN = 0.05


@dataclass(frozen=True, eq=False)
class OperatingRun:
    """The test predictions of two arms for one target at one seed, with their thresholds.

    Parameters
    ----------
    seed : int
    pretraining_seed : int or None
    patient : array [records]
        Patient ids, comparable between runs.
    labels : array [records]
        1 present, 0 absent, NaN unknown.
    scores_a, scores_b : array [records]
        Logits of the arm and of the one it is compared with.
    threshold_a, threshold_b : float or None
        From the validation part; a record is called where its logit is at least this. None where there
        was too little to choose one.
    """

    seed: int
    pretraining_seed: int | None
    patient: NDArray[Any]
    labels: NDArray[np.floating[Any]]
    scores_a: NDArray[np.floating[Any]]
    scores_b: NDArray[np.floating[Any]]
    threshold_a: float | None
    threshold_b: float | None


@dataclass(frozen=True)
class OperatingDifference:
    """Two arms at one operating point.

    Attributes
    ----------
    target : str
    specificity : float
        The one asked for in choosing the thresholds.
    sensitivity, reference_sensitivity : float or None
        Of the arm and of the one it is compared with, mean over seeds.
    achieved_specificity, reference_specificity : float or None
        What the thresholds reach on the test part, mean over seeds.
    difference, low, high : float or None
        Of the sensitivities, with its interval over patients × seeds, adjusted for nothing.
    word : str or None
        What this contrast alone supports; exploratory.
    positives : int
        Distinct test patients with the target.
    note : str
        What limits this; empty when nothing does.
    """

    target: str
    specificity: float
    sensitivity: float | None
    reference_sensitivity: float | None
    achieved_specificity: float | None
    reference_specificity: float | None
    difference: float | None
    low: float | None
    high: float | None
    word: Word | None
    positives: int
    note: str


def sensitivity_difference(
    runs: Sequence[OperatingRun],
    *,
    target: str,
    specificity: float,
    margin: float = OPERATING_MARGIN,
    level: float = 0.95,
) -> OperatingDifference:
    """Return the paired difference in sensitivity at thresholds chosen for one specificity.

    Parameters
    ----------
    runs : sequence of OperatingRun
        One per seed (and pre-training seed), all of one target.
    target : str
        Its name, for the row.
    specificity : float
        The one the thresholds were chosen for.
    margin : float
        A smaller difference in sensitivity is none.
    level : float

    Raises
    ------
    DataError
        No run, a run given twice, arrays that do not fit, or a score that is not finite.
    """
    check_runs(runs, level)
    ids = np.unique(np.concatenate([np.asarray(run.patient) for run in runs]))
    called = [_called(run) for run in runs]
    notes = _left(runs, called)
    rates = np.full((4, len(runs)), np.nan)
    influences, members = np.zeros((len(runs), len(ids))), np.zeros((len(runs), len(ids)), bool)
    with_target: list[NDArray[Any]] = []
    without: list[NDArray[Any]] = []
    for k, (run, calls) in enumerate(zip(runs, called, strict=True)):
        labels = np.asarray(run.labels, np.float64)
        present, absent = labels == 1, labels == 0
        with_target.append(np.asarray(run.patient)[present])
        without.append(np.asarray(run.patient)[absent])
        if calls is None or not present.any() or not absent.any():
            continue
        rates[:, k] = [*calls[:, present].mean(axis=1), *(1.0 - calls[:, absent].mean(axis=1))]
        gain = calls[0, present] - calls[1, present]
        rows = np.searchsorted(ids, with_target[-1])
        np.add.at(influences[k], rows, (gain - gain.mean()) / present.sum())
        members[k, rows] = True
    positives = len(np.unique(np.concatenate(with_target)))
    found = crossed_interval(
        runs,
        rates[0] - rates[1],
        influence_cover(influences, members) + 1.0 / (positives + 2.0) ** 2,
        freedom=max(1.0, positives - 1.0),
        level=level,
        positives=positives,
        negatives=len(np.unique(np.concatenate(without))),
        bounds=(-1.0, 1.0),
        refusal=too_few(positives, f"have {target}"),
        notes=notes,
    )
    _, by_seed = average_by_seed(runs)
    means = [float(value) if np.isfinite(value) else None for value in (rates @ by_seed.T).mean(axis=1)]
    return OperatingDifference(
        target=target,
        specificity=specificity,
        sensitivity=means[0],
        reference_sensitivity=means[1],
        achieved_specificity=means[2],
        reference_specificity=means[3],
        difference=found.difference,
        low=found.low,
        high=found.high,
        word=word(found, margin),
        positives=positives,
        note=found.note,
    )


def _called(run: OperatingRun) -> NDArray[np.float64] | None:
    """Return [2, records], 1 where an arm calls the record; None without both thresholds."""
    scores = np.array([run.scores_a, run.scores_b], np.float64)
    labels = np.asarray(run.labels, np.float64)
    known = ~np.isnan(labels)
    if labels.shape != (len(run.patient),) or scores.shape != (2, *labels.shape):
        raise DataError(
            f"labels {labels.shape} and scores {scores.shape[1:]} do not fit {len(run.patient)} patients",
            where=f"seed {run.seed}",
            remedy="Each needs [records], of one target",
        )
    if not np.isin(labels[known], (0.0, 1.0)).all() or not np.isfinite(scores[:, known]).all():
        raise DataError("a label is not 1, 0 or NaN, or a score is not finite", where=f"seed {run.seed}")
    if run.threshold_a is None or run.threshold_b is None:
        return None
    return (scores >= np.array([[run.threshold_a], [run.threshold_b]])).astype(np.float64)


def _left(runs: Sequence[OperatingRun], called: Sequence[NDArray[np.float64] | None]) -> list[str]:
    """Return why there is no estimate, where there is none: seeds left out would leave the easy ones."""
    lost = [str(run.seed) for run, calls in zip(runs, called, strict=True) if calls is None]
    empty = [
        str(run.seed)
        for run in runs
        if not {0.0, 1.0} <= set(np.unique(np.asarray(run.labels, np.float64)).tolist())
    ]
    notes = []
    if lost:
        notes.append(f"no threshold: too few in the validation part at seed {', '.join(lost)}")
    if empty:
        notes.append(f"no positive or no negative in the test part at seed {', '.join(empty)}")
    return notes
