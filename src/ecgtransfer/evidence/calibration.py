"""Whether a predicted probability means what it says: reliability, Brier score, calibration slope.

Probabilities are the sigmoid of the logits, of all columns given together; one column gives one statement.

- The reliability bins hold equally many predictions of all seeds together, ordered by probability. Their
  observed share has Wilson's interval, with the distinct patients of the bin as the number of observations:
  the same patient scored by ten seeds is one.
- The ECE is the mean distance between predicted and observed share over such bins of one seed, weighted by
  predictions and averaged over seeds; it is never zero for finitely many records, and depends on the number
  of bins.
- Brier score, slope and intercept are computed for each seed and averaged, for it is one trained model that
  is used. Slope b and intercept a are the maximum likelihood of logit P(present) = a + b logit(p) (Cox 1958):
  b below 1 says that probabilities are too extreme, a below 0 (with b at 1) that they are too high. Their
  intervals are over patients × seeds, as in `intervals`, from influences.

References
----------
Brier (1950), Monthly Weather Review 78(1); Cox (1958), Two further applications of a model for binary
regression, Biometrika 45; Van Calster et al. (2019), Calibration: the Achilles heel of predictive analytics,
BMC Medicine 17; Nixon et al. (2019), Measuring calibration in deep learning, CVPR workshops, for bins of
equal count; Wilson (1927), JASA 22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.crossed import check_runs, crossed_interval, influence_cover, too_few
from ecgtransfer.evidence.runs import SingleRun

_BRIER, _SLOPE, _INTERCEPT = 0, 1, 2


@dataclass(frozen=True)
class ReliabilityBin:
    """One reliability bin: mean predicted probability, observed share with its interval, predictions."""

    predicted: float
    observed: float
    count: int
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """How well an arm is calibrated.

    Attributes
    ----------
    bins : tuple of ReliabilityBin
        Ascending; empty where no label is known.
    brier, ece, slope, intercept : float or None
        Slope and intercept are None where a seed's labels are separated by its logits or all alike.
    brier_low, brier_high, slope_low, slope_high, intercept_low, intercept_high : float or None
        Intervals over patients × seeds.
    note : str
        What limits this; empty when nothing does.
    """

    bins: tuple[ReliabilityBin, ...]
    brier: float | None
    ece: float | None
    slope: float | None
    intercept: float | None
    brier_low: float | None
    brier_high: float | None
    slope_low: float | None
    slope_high: float | None
    intercept_low: float | None
    intercept_high: float | None
    note: str


def reliability(runs: Sequence[SingleRun], *, bins: int = 10, level: float = 0.95) -> Reliability:
    """Return how well the probabilities of an arm fit what is there.

    Parameters
    ----------
    runs : sequence of SingleRun
        One per seed (and pre-training seed); scores are logits.
    bins : int
        Reliability bins; fewer where there are fewer predictions.
    level : float

    Raises
    ------
    DataError
        No run, a run given twice, arrays that do not fit, or a logit that is not finite.
    """
    check_runs(runs, level)
    if bins < 1:
        raise DataError(f"{bins} bins: at least one is needed")
    ids = np.unique(np.concatenate([np.asarray(run.patient) for run in runs]))
    point = np.full((3, len(runs)), np.nan)
    influences = np.zeros((3, len(runs), len(ids)))
    members = np.zeros((len(runs), len(ids)), bool)
    parts = [_known(run, ids) for run in runs]
    unfit: list[str] = []
    for k, (run, (labels, logits, rows)) in enumerate(zip(runs, parts, strict=True)):
        if not len(labels):
            continue
        members[k, rows] = True
        loss = (_sigmoid(logits) - labels) ** 2
        point[_BRIER, k] = loss.mean()
        np.add.at(influences[_BRIER, k], rows, (loss - loss.mean()) / len(loss))
        if not _overlap(labels, logits):
            unfit.append(str(run.seed))
            continue
        point[_INTERCEPT, k], point[_SLOPE, k], moved = recalibration(labels, logits)
        np.add.at(influences[_INTERCEPT, k], rows, moved[0])
        np.add.at(influences[_SLOPE, k], rows, moved[1])

    y, z, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    with_one, without = (len(np.unique(rows[y == value])) for value in (1.0, 0.0))
    rarer = min(with_one, without)
    found = [
        crossed_interval(
            runs,
            point[what],
            influence_cover(influences[what], members),
            freedom=max(1.0, rarer - 1.0),
            level=level,
            positives=with_one,
            negatives=without,
            bounds=(0.0, 1.0) if what == _BRIER else (-np.inf, np.inf),
            refusal=too_few(rarer, "are in the rarer class"),
        )
        for what in (_BRIER, _SLOPE, _INTERCEPT)
    ]
    brier, slope, intercept = found
    notes = [brier.note] if brier.note else []
    if unfit:
        notes.append(f"no slope and intercept: logits separate the labels at seed {', '.join(unfit)}")
    table = _bins(y, _sigmoid(z), rows, bins, level)
    # One trained model is used, so the error is that of each by itself: pooled, their errors cancel.
    own = [
        _error(_bins(labels, _sigmoid(logits), at, bins, level))
        for labels, logits, at in parts
        if len(labels)
    ]
    return Reliability(
        bins=table,
        brier=brier.difference,
        ece=float(np.mean(own)) if own else None,
        slope=slope.difference,
        intercept=intercept.difference,
        brier_low=brier.low,
        brier_high=brier.high,
        slope_low=slope.low,
        slope_high=slope.high,
        intercept_low=intercept.low,
        intercept_high=intercept.high,
        note="; ".join(notes),
    )


def _error(table: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error of one model's bins."""
    total = sum(each.count for each in table)
    return sum(each.count * abs(each.predicted - each.observed) for each in table) / total


def recalibration(
    labels: NDArray[np.float64], logits: NDArray[np.float64]
) -> tuple[float, float, NDArray[np.float64]]:
    """Return intercept and slope of the logistic regression of labels on logits, and their influences.

    Newton's method with halved steps; the likelihood is concave, and has a maximum where the classes overlap.

    Parameters
    ----------
    labels : array [predictions]
        1 or 0.
    logits : array [predictions]
        Neither separating the labels nor all alike.

    Returns
    -------
    float, float, array [2, predictions]
        What each prediction contributes, to first order, to intercept and slope.
    """
    # Logits of a network can be large: in units of their spread the steps are well scaled.
    centre, scale = float(logits.mean()), float(logits.std())
    X = np.stack([np.ones_like(logits), (logits - centre) / scale], axis=1)
    beta = np.zeros(2)
    likelihood = _likelihood(labels, X @ beta)
    for _ in range(100):
        mean = _sigmoid(X @ beta)
        step = np.linalg.solve(_information(X, mean), X.T @ (labels - mean))
        share = 1.0
        while (better := _likelihood(labels, X @ (beta + share * step))) < likelihood and share > 1e-8:
            share /= 2.0
        beta, likelihood = beta + share * step, max(better, likelihood)
        if np.abs(step).max() < 1e-10:
            break
    mean = _sigmoid(X @ beta)
    moved = np.linalg.solve(_information(X, mean), (X * (labels - mean)[:, None]).T)
    back = np.array([[1.0, -centre / scale], [0.0, 1.0 / scale]])
    intercept, slope = back @ beta
    return float(intercept), float(slope), back @ moved


def _known(
    run: SingleRun, ids: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Return labels, logits and rows of the patients of all known entries, columns together."""
    labels, logits = np.asarray(run.labels, np.float64), np.asarray(run.scores, np.float64)
    if labels.ndim != 2 or labels.shape != logits.shape or len(labels) != len(run.patient):
        raise DataError(
            f"labels {labels.shape}, logits {logits.shape} and {len(run.patient)} patients do not fit",
            where=f"seed {run.seed}",
            remedy="Labels and logits need [records, targets] both",
        )
    known = ~np.isnan(labels)
    if not np.isin(labels[known], (0.0, 1.0)).all() or not np.isfinite(logits[known]).all():
        raise DataError("a label is not 1, 0 or NaN, or a logit is not finite", where=f"seed {run.seed}")
    rows = np.repeat(np.searchsorted(ids, np.asarray(run.patient))[:, None], labels.shape[1], axis=1)
    return labels[known], logits[known], rows[known]


def _overlap(labels: NDArray[np.float64], logits: NDArray[np.float64]) -> bool:
    """Whether the likelihood has a maximum: each class has a logit strictly within reach of the other."""
    present, absent = logits[labels == 1], logits[labels == 0]
    if not len(present) or not len(absent):
        return False
    return bool(present.min() < absent.max() and absent.min() < present.max())


def _bins(
    labels: NDArray[np.float64],
    probability: NDArray[np.float64],
    rows: NDArray[np.intp],
    bins: int,
    level: float,
) -> tuple[ReliabilityBin, ...]:
    from scipy.special import ndtri  # slow to import, and not among the core dependencies

    z = float(ndtri((1.0 + level) / 2.0))
    order = np.argsort(probability, kind="stable")
    table = []
    for part in np.array_split(order, min(bins, len(order))) if len(order) else []:
        observed, patients = float(labels[part].mean()), len(np.unique(rows[part]))
        centre = (observed + z**2 / (2 * patients)) / (1 + z**2 / patients)
        spread = observed * (1 - observed) / patients + z**2 / (4 * patients**2)
        half = z / (1 + z**2 / patients) * spread**0.5
        low, high = max(0.0, centre - half), min(1.0, centre + half)
        table.append(ReliabilityBin(float(probability[part].mean()), observed, len(part), low, high))
    return tuple(table)


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


def _likelihood(labels: NDArray[np.float64], logits: NDArray[np.float64]) -> float:
    return float((labels * logits - np.logaddexp(0.0, logits)).sum())


def _information(X: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((X * (mean * (1.0 - mean))[:, None]).T @ X)
