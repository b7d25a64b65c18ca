"""How sure the runs make us: intervals over patients and seeds, for a difference of arms or for one arm.

**What is estimated.** For every seed, macro AUROC of arm a minus that of arm b on the test part of that
seed's fold (positives are compared with negatives of the same fold only), averaged over seeds.

**What varies.** Patients and seeds are crossed: the same patients are scored by every seed, so seeds are not
independent replicates, and resampling either alone is too narrow. Each patient gets one random weight per
resample, shared by both arms, all targets, seeds and folds (exponential weights, the Bayesian bootstrap, so
that no resample loses a rare class). This gives the covariance C [runs, runs] of the runs' differences due to
patients: its mean V, and c, the mean over pairs of runs that differ in seed and pre-training. Crossing that
with resampled seeds (the pigeonhole bootstrap) has a closed form once seeds enter only through their mean; it
is used here because the resampled version covers about 84 % at 5 seeds: its seed variance is too small by
(S-1)/S and its tails are normal. How a width is made of the parts stands at the top of `spread`.

**Few patients.** In each run the deviations of a target are scaled by sqrt((m + 1)/(m - 1)), m the patients
in the rarer class of its test part, because exponential weights over m units have that much less variance
than a new sample. Two runs whose folds share only some patients have too small a covariance as well: the
weights are relative to each fold's own sum. For m and m' patients of the rarer class, o of them in both,
E C = c (1 - 1/m - 1/m' + o/(m m')) where it should be c, and C is divided by that. The patients' degrees of
freedom v follow from the rarer class over all folds: with m_k distinct patients of target k, 1/v is the mean
of 1/(m_k - 1) weighted by 1/m_k.

**What it is conditional on.** This pool of training recordings, these settings and, unless runs with several
pre-training seeds are given, this one pre-trained network. Where every seed ran from every pre-training their
variances are those of a crossed design, the interaction counted once; where runs are missing it is counted
twice, to the wide side.

References
----------
Owen (2007), The pigeonhole bootstrap, Annals of Applied Statistics 1(2); Rubin (1981), The Bayesian
bootstrap, Annals of Statistics 9(1); Bouthillier et al. (2021), Accounting for variance in machine learning
benchmarks, MLSys; Obuchowski (1997), Nonparametric analysis of clustered ROC data, Biometrics 53(2); Searle,
Casella and McCulloch (1992), Variance components, chapter 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.auroc import patient_weights
from ecgtransfer.evidence.crossed import LEAST_KEPT, MINIMUM_POSITIVES, Interval, crossed_interval
from ecgtransfer.evidence.runs import (
    PairedRun,
    RankedRun,
    SingleRun,
    Support,
    check_predictions,
    patients_of,
    support_of,
    unmeasured,
)


def paired_difference(
    runs: Sequence[PairedRun], *, resamples: int = 2000, level: float = 0.95, seed: int
) -> Interval:
    """Return the mean difference in macro AUROC, arm a minus arm b, with its interval.

    Method, conditionality and sources stand at the top of this file.

    Parameters
    ----------
    runs : sequence of PairedRun
        One per seed (and pre-training seed).
    resamples : int
        Weightings of the patients; at 2,000 the half-width is known to about 2 %.
    level : float
        Nominal coverage, within (0, 1).
    seed : int
        Of the patients' weights alone.

    Raises
    ------
    DataError
        When there is no run, shapes disagree, a run is given twice or a score is not finite.
    """
    arms = [[run.scores_a, run.scores_b] for run in runs]
    return _interval(as_singles(runs), arms, (1.0, -1.0), resamples, level, seed, bounds=(-1.0, 1.0))


def difference_of_gains(
    runs: Sequence[PairedRun],
    others: Sequence[PairedRun],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int,
) -> Interval:
    """Return by how much more arm a gains over arm b in ``runs`` than in ``others``; else as above.

    Others are of another network, or another size, and were tested on the same records at each seed (and
    pre-training seed): what a patient does to both gains at once cancels, so the interval is narrower than
    two intervals held against each other would suggest.

    Raises
    ------
    DataError
        Also where the two lists are not of the same seeds, patients and labels.
    """
    theirs = {(other.seed, other.pretraining_seed): other for other in others}
    keys = [(run.seed, run.pretraining_seed) for run in runs]
    if len(theirs) != len(others) or set(theirs) != set(keys):
        raise DataError("gains are compared seed by seed: both need the same seeds and pre-training seeds")
    pairs = [(run, theirs[key]) for run, key in zip(runs, keys, strict=True)]
    for run, other in pairs:
        same = np.array_equal(run.patient, other.patient)
        if not same or not np.array_equal(run.labels, other.labels, equal_nan=True):
            raise DataError(f"gains are compared on the same records: seed {run.seed} tested others")
    arms = [[run.scores_a, run.scores_b, other.scores_a, other.scores_b] for run, other in pairs]
    signs = (1.0, -1.0, -1.0, 1.0)
    return _interval(as_singles(runs), arms, signs, resamples, level, seed, bounds=(-2.0, 2.0))


def arm_auroc(
    runs: Sequence[SingleRun], *, resamples: int = 2000, level: float = 0.95, seed: int
) -> Interval:
    """Return the mean macro AUROC of one arm with its interval; all else as :func:`paired_difference`."""
    return _interval(runs, [[run.scores] for run in runs], (1.0,), resamples, level, seed, bounds=(0.0, 1.0))


def run_covariance(resampled: NDArray[np.float64], support: Support) -> NDArray[np.float64]:
    """Return the covariance of the runs' values due to the choice of patients.

    Where the folds of two runs share some patients only, it is corrected as the top of this file says.

    Parameters
    ----------
    resampled : array [runs, resamples]
        Each run's values under the same weightings of the patients.
    support : Support

    Returns
    -------
    array [runs, runs]
    """
    cover = np.atleast_2d(np.cov(resampled))
    share, kept = np.zeros_like(cover), np.zeros_like(cover)
    for members in support.members.astype(np.float32):
        common = (members @ members.T).astype(np.float64)
        m = np.maximum(np.diag(common), 2.0)
        pairs = np.outer(m, m)
        expected = 1.0 - 1.0 / m[:, None] - 1.0 / m[None, :] + common / pairs
        scale = np.sqrt(pairs / np.outer(m - 1.0, m - 1.0))
        # A target's part in the covariance is proportional to the patients in common over those of each fold.
        share += common / pairs
        kept += common / pairs * np.maximum(expected * scale, LEAST_KEPT)
    correction = np.divide(kept, share, out=np.ones_like(kept), where=share > 0)
    np.fill_diagonal(correction, 1.0)
    return np.asarray(cover / correction)


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


def _interval(
    runs: Sequence[SingleRun],
    arms: Sequence[Sequence[NDArray[np.floating[Any]]]],
    signs: tuple[float, ...],
    resamples: int,
    level: float,
    seed: int,
    bounds: tuple[float, float],
) -> Interval:
    check_predictions(runs, arms, resamples, level)
    ids, units = patients_of(runs)
    support = support_of(runs, units)
    ranked = [RankedRun(run, arm, signs, rows) for run, arm, rows in zip(runs, arms, units, strict=True)]
    point = np.array([run.value for run in ranked])
    refusal, cover = "", None
    if np.isfinite(point).all():
        scarce = min(support.positives, support.negatives)
        if scarce < MINIMUM_POSITIVES:
            refusal = (
                f"no interval: of the test patients only {scarce} are "
                f"{'with' if support.positives <= support.negatives else 'without'} the scarcest target, "
                f"{MINIMUM_POSITIVES} needed"
            )
        else:
            # All runs under one block before the next is drawn: memory does not grow with resamples.
            weights = patient_weights(len(ids), resamples, seed)
            resampled = np.concatenate([[run.under(block) for run in ranked] for block in weights], axis=1)
            cover = run_covariance(resampled, support)
    return crossed_interval(
        runs,
        point,
        cover,
        freedom=support.freedom,
        level=level,
        positives=support.positives,
        negatives=support.negatives,
        bounds=bounds,
        refusal=refusal,
        notes=unmeasured(runs, [run.lost for run in ranked]),
    )
