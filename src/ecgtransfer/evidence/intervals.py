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
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.auroc import patient_weights, weighted_auroc
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
from ecgtransfer.evidence.spread import Spread

__all__ = ["MINIMUM_POSITIVES", "Interval", "PairedRun", "SingleRun", "Spread", "arm_auroc"]
__all__ += ["difference_of_gains", "paired_difference", "run_covariance", "spread_of", "weighted_auroc"]

# Below this many test patients in the rarer class of a target no interval is given.
MINIMUM_POSITIVES = 10
# Where runs share hardly a patient, correcting their covariance further would blow up its noise.
LEAST_KEPT = 0.25


class Seeded(Protocol):
    """What a run has to tell of itself here."""

    @property
    def seed(self) -> int: ...
    @property
    def pretraining_seed(self) -> int | None: ...


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval and where its uncertainty comes from.

    Attributes
    ----------
    difference : float or None
        The estimate, a difference of macro AUROCs; None where
        no target can be measured in some run.
    low, high : float or None
        The interval; None where there is too little to give one, as ``note`` says.
    level : float
        Its nominal coverage.
    n_seeds, n_pretraining_seeds, n_patients : int
        Distinct seeds, pre-training seeds (0 when none is given) and test patients.
    patient_sd : float or None
        Standard deviation of the estimate due to the choice of test patients: more seeds do not lower it
        below what they share.
    seed_sd : float or None
        Standard deviation of one seed's value beyond what its patients explain; None with a single seed.
    per_seed : tuple of float
        The value at each seed (averaged over its pre-training seeds), in the order of ``seeds``.
    seeds : tuple of int
        The seeds, ascending.
    minimum_positives, minimum_negatives : int
        Distinct test patients of the scarcest target, over all folds.
    note : str
        What limits the interval, in plain words; empty when nothing does.
    spread : Spread or None
        What the width is made of; None where there is no interval.
    """

    difference: float | None
    low: float | None
    high: float | None
    level: float
    n_seeds: int
    n_pretraining_seeds: int
    n_patients: int
    patient_sd: float | None
    seed_sd: float | None
    per_seed: tuple[float, ...]
    seeds: tuple[int, ...]
    minimum_positives: int
    minimum_negatives: int
    note: str
    spread: Spread | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON-able values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


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
    singles = [SingleRun(r.seed, r.pretraining_seed, r.patient, r.labels, r.scores_a) for r in runs]
    arms = [[run.scores_a, run.scores_b] for run in runs]
    return _interval(singles, arms, (1.0, -1.0), resamples, level, seed, bounds=(-1.0, 1.0))


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
    singles = [SingleRun(r.seed, r.pretraining_seed, r.patient, r.labels, r.scores_a) for r in runs]
    arms = [[run.scores_a, run.scores_b, other.scores_a, other.scores_b] for run, other in pairs]
    signs = (1.0, -1.0, -1.0, 1.0)
    return _interval(singles, arms, signs, resamples, level, seed, bounds=(-2.0, 2.0))


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


def spread_of(
    runs: Sequence[Seeded], point: NDArray[np.float64], cover: NDArray[np.float64], freedom: float
) -> Spread:
    """Return what the width of the interval for the mean over seeds is made of.

    Parameters
    ----------
    runs : sequence
        Anything with ``seed`` and ``pretraining_seed``.
    point : array [runs]
        The statistic of each run.
    cover : array [runs, runs]
        The runs' covariance due to the choice of patients.
    freedom : float
        Degrees of freedom of that covariance.
    """
    seeds = sorted({run.seed for run in runs})
    pretrainings = sorted({run.pretraining_seed for run in runs if run.pretraining_seed is not None})
    n, u = len(seeds), len(pretrainings)
    by_seed = _averages([run.seed for run in runs], seeds)
    means, of_seeds = by_seed @ point, by_seed @ cover @ by_seed.T
    # Estimated covariances may be negative, what patients have in common cannot be.
    shared = max(0.0, _off_diagonal(of_seeds))
    own = max(0.0, float(np.trace(of_seeds)) / n - shared) if n > 1 else 0.0
    patients = shared + own / n
    between = float(means.var(ddof=1)) if n > 1 else 0.0
    # With one pre-training per seed the spread of the seeds holds that of the pre-trainings.
    if u < 2 or (u == n and len(runs) == n):
        return Spread(patients, shared, own, between, n, freedom)
    by_pretraining = _averages([run.pretraining_seed for run in runs], pretrainings)
    trained = by_pretraining @ point
    interaction = 0.0
    if len(runs) == n * u:
        apart = np.array([[a.pretraining_seed != b.pretraining_seed for b in runs] for a in runs])
        if n > 1:
            apart &= np.array([[a.seed != b.seed for b in runs] for a in runs])
            rest = point - by_seed.T @ means * u - by_pretraining.T @ trained * n + point.mean()
            interaction = float((rest**2).sum()) / ((n - 1) * (u - 1))
        shared = max(0.0, float(cover[apart].mean()))
    between_trained = float(trained.var(ddof=1))
    return Spread(patients, shared, own, between, n, freedom, between_trained, u, interaction)


def _averages(names: Sequence[int | None], order: Sequence[int]) -> NDArray[np.float64]:
    """Return the matrix [names in order, runs] that averages the runs of each name."""
    matrix = np.array([[name == each for name in names] for each in order], np.float64)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def _off_diagonal(matrix: NDArray[np.float64]) -> float:
    n = len(matrix)
    return float(matrix.sum() - np.trace(matrix)) / (n * (n - 1)) if n > 1 else float(matrix[0, 0])


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
    notes = unmeasured(runs, [run.lost for run in ranked])
    seeds = tuple(sorted({run.seed for run in runs}))
    pretrainings = {run.pretraining_seed for run in runs if run.pretraining_seed is not None}
    low = high = patient_sd = seed_sd = difference = spread = None
    per_seed: tuple[float, ...] = ()
    if np.isfinite(point).all():
        means = _averages([run.seed for run in runs], seeds) @ point
        per_seed, difference = tuple(means.tolist()), float(means.mean())
        scarce = min(support.positives, support.negatives)
        if scarce < MINIMUM_POSITIVES:
            notes.append(
                f"no interval: of the test patients only {scarce} are "
                f"{'with' if support.positives <= support.negatives else 'without'} the scarcest target, "
                f"{MINIMUM_POSITIVES} needed"
            )
        else:
            # All runs under one block before the next is drawn: memory does not grow with resamples.
            weights = patient_weights(len(ids), resamples, seed)
            resampled = np.concatenate([[run.under(block) for run in ranked] for block in weights], axis=1)
            spread = spread_of(runs, point, run_covariance(resampled, support), support.freedom)
            patient_sd = spread.patients**0.5
            if len(seeds) > 1:
                seed_sd = max(0.0, spread.between - spread.own) ** 0.5
            half = spread.half_width(level)
            low, high = max(bounds[0], difference - half), min(bounds[1], difference + half)
            notes += limits(spread, len(pretrainings))
    return Interval(
        difference, low, high, level, len(seeds), len(pretrainings), len(ids), patient_sd, seed_sd,
        per_seed, seeds, support.positives, support.negatives, "; ".join(notes), spread,
    )  # fmt: skip


def limits(spread: Spread, pretrainings: int) -> list[str]:
    """Return what a small number of seeds or pre-trainings limits."""
    seeds, crossed = spread.n_seeds, spread.n_pretrainings
    notes = []
    if seeds == 1:
        over = "patients and pre-trainings" if crossed > 1 else "patients"
        notes.append(f"one seed: the interval is over {over} only and does not know training noise")
    elif seeds < 5:
        notes.append(f"{seeds} seeds: the interval is wide because so few say little about training noise")
    if pretrainings == 1:
        notes.append("one pre-training: the interval holds for this pre-trained network")
    elif 1 < crossed < 5:
        notes.append(
            f"{crossed} pre-trainings: the interval is wide because so few say little about their noise"
        )
    return notes
