"""The interval over patients × seeds for any statistic that is known per run, not for AUROC alone.

`intervals` says why patients and seeds are crossed and how wide the interval has to be. Here is the same rule
for a statistic that brings, for each run, its value and how much each patient contributes to its variance:
either as resampled values (Bayesian bootstrap) or as influences. A statistic's influence of patient p is what
it would change by, to first order, if p got more weight; the sum over patients of products of influences is
the covariance that the Bayesian bootstrap tends to (the infinitesimal jackknife), without any resampling.

References
----------
Efron (1982), The jackknife, the bootstrap and other resampling plans, chapter 6; Liang and Zeger (1986),
Longitudinal data analysis using generalized linear models, Biometrika 73(1), for sums per cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.auroc import patient_weights
from ecgtransfer.evidence.intervals import LEAST_KEPT, MINIMUM_POSITIVES, Interval, Seeded, limits, spread_of
from ecgtransfer.evidence.runs import (
    PairedRun,
    RankedRun,
    SingleRun,
    Support,
    check_predictions,
    patients_of,
    support_of,
)


class Run(Seeded, Protocol):
    """What every run has: who was tested, from which seed and pre-training."""

    @property
    def patient(self) -> NDArray[Any]: ...  # noqa: D102


def check_runs(runs: Sequence[Run], level: float) -> None:
    """Refuse no runs, a run that is given twice and a level outside (0, 1).

    Raises
    ------
    DataError
    """
    if not runs:
        raise DataError("no runs to compare")
    if not 0.0 < level < 1.0:
        raise DataError(f"level {level} must lie within (0, 1)")
    names = [(run.seed, run.pretraining_seed) for run in runs]
    if twice := sorted({str(name) for name in names if names.count(name) > 1}):
        raise DataError(f"(seed, pre-training seed) given more than once: {', '.join(twice)}")


def average_by_seed(runs: Sequence[Seeded]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the seeds, and the matrix [seeds, runs] that averages runs of a seed (its pre-trainings)."""
    seeds = tuple(sorted({run.seed for run in runs}))
    matrix = np.array([[run.seed == s for run in runs] for s in seeds], np.float64)
    return seeds, matrix / matrix.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Resampled:
    """Macro AUROCs of both arms, as they are and under many weightings of the patients.

    Attributes
    ----------
    point : array [2, runs]
        Arm a, arm b; NaN where no target has a positive and a negative.
    drawn : array [2, runs, resamples]
        Recentred on the value, each target's deviations scaled for its few patients.
    lost : list of list of int
        For each run the targets that it cannot measure, left out of its mean.
    """

    point: NDArray[np.float64]
    drawn: NDArray[np.float64]
    lost: list[list[int]]


def resampled_aurocs(runs: Sequence[PairedRun], *, resamples: int, seed: int) -> Resampled:
    """Return the macro AUROC of both arms in each run, all under the same weights of the patients.

    Parameters
    ----------
    runs : sequence of PairedRun
        Shapes were checked.
    resamples, seed : int
        Of the weights.
    """
    singles = as_singles(runs)
    ids, units = patients_of(singles)
    ranked = [
        RankedRun(single, [scores], (1.0,), rows)
        for arm in ([run.scores_a for run in runs], [run.scores_b for run in runs])
        for single, scores, rows in zip(singles, arm, units, strict=True)
    ]
    # All under one block of weights before the next is drawn: no more than one block is in memory.
    weights = patient_weights(len(ids), resamples, seed)
    drawn = np.concatenate([[run.under(block) for run in ranked] for block in weights], axis=1)
    point = np.array([run.value for run in ranked])
    half = len(runs)
    lost = [run.lost for run in ranked[:half]]
    return Resampled(point.reshape(2, half), drawn.reshape(2, half, -1), lost)


def as_singles(runs: Sequence[PairedRun]) -> list[SingleRun]:
    """Return the runs of arm a."""
    return [SingleRun(r.seed, r.pretraining_seed, r.patient, r.labels, r.scores_a) for r in runs]


def support(runs: Sequence[PairedRun]) -> Support:
    """Return how many test patients there are, with and without each target."""
    singles = as_singles(runs)
    return support_of(singles, patients_of(singles)[1])


def check_pairs(runs: Sequence[PairedRun], resamples: int, level: float) -> None:
    """Refuse what :func:`paired_difference` refuses."""
    check_predictions(as_singles(runs), [[run.scores_a, run.scores_b] for run in runs], resamples, level)


def influence_cover(influences: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the covariance of runs that influences make, scaled for few patients.

    Influences are relative to each run's own mean, which takes away some of the variance: of m patients
    1/m, and of the covariance of two runs with m and m' patients, o of them in common, as `intervals` says.

    Parameters
    ----------
    influences : array [runs, patients]
    members : bool array [runs, patients]
        The patients that a run's statistic rests on.
    """
    common = members.astype(np.float64) @ members.T.astype(np.float64)
    m = np.maximum(np.diag(common), 2.0)
    kept = 1.0 - 1.0 / m[:, None] - 1.0 / m[None, :] + common / np.outer(m, m)
    np.fill_diagonal(kept, 1.0 - 1.0 / m)
    return np.asarray(influences @ influences.T / np.maximum(kept, LEAST_KEPT))


def crossed_interval(
    runs: Sequence[Run],
    point: NDArray[np.float64],
    cover: NDArray[np.float64],
    *,
    freedom: float,
    level: float,
    positives: int,
    negatives: int,
    bounds: tuple[float, float],
    refusal: str = "",
    notes: Sequence[str] = (),
) -> Interval:
    """Return the mean over seeds with its interval over patients × seeds.

    Parameters
    ----------
    runs, point, cover, freedom
        As for :func:`spread_of`; a value that is not finite leaves no estimate.
    positives, negatives : int
        Distinct patients with and without the target, as they are reported.
    bounds : (float, float)
        What the statistic can be at all.
    refusal : str
        Why no interval is to be given; empty when one is.
    notes : sequence of str
        What else limits the interval.
    """
    seeds, mean = average_by_seed(runs)
    patients = len(np.unique(np.concatenate([np.asarray(run.patient) for run in runs])))
    pretrainings = {run.pretraining_seed for run in runs if run.pretraining_seed is not None}
    said = [*notes, refusal] if refusal else list(notes)
    low = high = value = patient_sd = seed_sd = spread = None
    per_seed: tuple[float, ...] = ()
    if np.isfinite(point).all():
        means = mean @ point
        value, per_seed = float(means.mean()), tuple(means.tolist())
        if not refusal:
            spread = spread_of(runs, point, cover, freedom)
            patient_sd = spread.patients**0.5
            if len(seeds) > 1:
                seed_sd = max(0.0, spread.between - spread.own) ** 0.5
            said += limits(spread, len(pretrainings))
            half = spread.half_width(level)
            low, high = max(bounds[0], value - half), min(bounds[1], value + half)
    return Interval(
        value, low, high, level, len(seeds), len(pretrainings), patients, patient_sd, seed_sd,
        per_seed, seeds, positives, negatives, "; ".join(said), spread,
    )  # fmt: skip


def too_few(patients: int, what: str) -> str:
    """Return why there is no interval where fewer patients than needed have ``what``; else nothing."""
    if patients >= MINIMUM_POSITIVES:
        return ""
    return f"no interval: only {patients} test patients {what}, {MINIMUM_POSITIVES} needed"
