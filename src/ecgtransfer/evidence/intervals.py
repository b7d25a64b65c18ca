"""How sure the runs make us: intervals over patients and seeds, for a difference of arms or for one arm.

**What is estimated.** For every seed, macro AUROC of arm a minus that of arm b on the test part of that
seed's fold (positives are compared with negatives of the same fold only), averaged over seeds.

**What varies.** Patients and seeds are crossed: the same patients are scored by every seed, so seeds are not
independent replicates, and resampling either alone is too narrow. Each patient gets one random weight per
resample, shared by both arms, all targets, seeds and folds (exponential weights, the Bayesian bootstrap, so
that no resample loses a rare class). This gives the covariance C [seeds, seeds] of the per-seed differences
due to patients. Crossing that with resampled seeds (the pigeonhole bootstrap) has a closed form once seeds
enter only through their mean; it is used here because the resampled version covers about 84 % at 5 seeds:
its seed variance is too small by (S-1)/S and its tails are normal. With

- c, the mean of C off the diagonal: what patients common to the seeds contribute, whatever their number,
- s²/S, the variance of the mean over S seeds: training noise and patients that the seeds do not share,
- V, the mean of all of C: the patients' variance for these seeds,

the half-width h of the interval is ::

    h² = max(t(v)² V,  t(v)² c + t(S-1)² s²/S)

that is, each part gets the Student quantile of its own degrees of freedom and the parts add in squares (the
method of variance estimates recovery, which errs to the wide side); the first term keeps a lucky agreement
of few seeds from hiding the patients. v follows from the rarer class: with m_k distinct patients in the
rarer class of target k, 1/v is the mean of 1/(m_k - 1) weighted by 1/m_k. In each fold the deviations of a
target are scaled by sqrt((m + 1)/(m - 1)), m the patients in the fold's rarer class, because exponential
weights over m units have that much less variance than a new sample.

**What it is conditional on.** This pool of training recordings, these settings and, unless runs with several
pre-training seeds are given, this one pre-trained network. Several pre-training seeds add t(U-1)² s_u²/U,
s_u² the variance of the means per pre-training seed (their interaction is then counted twice, to the wide
side).

References
----------
Owen (2007), The pigeonhole bootstrap, Annals of Applied Statistics 1(2); Rubin (1981), The Bayesian
bootstrap, Annals of Statistics 9(1); Zou and Donner (2008), Construction of confidence limits about effect
measures, Statistics in Medicine 27(10); Bouthillier et al. (2021), Accounting for variance in machine
learning benchmarks, MLSys; Obuchowski (1997), Nonparametric analysis of clustered ROC data, Biometrics 53(2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.auroc import RankedScores, blocks, weighted_auroc

__all__ = ["MINIMUM_POSITIVES", "Interval", "PairedRun", "SingleRun", "paired_difference"]
__all__ += ["weighted_auroc"]

# Below this many test patients in the rarer class of a target no interval is given.
MINIMUM_POSITIVES = 10


@dataclass(frozen=True, eq=False)
class SingleRun:
    """The test predictions of one arm at one seed.

    Parameters
    ----------
    seed : int
        The seed of the run; it fixes fold, subset, initial weights and order.
    pretraining_seed : int or None
        The seed of the pre-trained network it started from.
    patient : array [records]
        Patient ids, comparable between runs.
    labels : array [records, targets]
        1 present, 0 absent, NaN unknown; the macro targets only, in one order in all runs.
    scores : array [records, targets]
        Logits or any monotone score.
    """

    seed: int
    pretraining_seed: int | None
    patient: NDArray[Any]
    labels: NDArray[np.floating[Any]]
    scores: NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class PairedRun:
    """The test predictions of two arms at one seed, for the same records.

    Parameters
    ----------
    seed, pretraining_seed, patient, labels
        As in :class:`SingleRun`.
    scores_a, scores_b : array [records, targets]
        Logits or any monotone score of the arm and of the one it is compared with.
    """

    seed: int
    pretraining_seed: int | None
    patient: NDArray[Any]
    labels: NDArray[np.floating[Any]]
    scores_a: NDArray[np.floating[Any]]
    scores_b: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Spread:
    """What an interval's width is made of, so that it can be had at any level and number of seeds.

    Attributes
    ----------
    patients : float
        V, the variance of the estimate due to the choice of test patients, for these seeds.
    shared : float
        c, the part of it that is common to the seeds and that no number of seeds lowers.
    own : float
        The patients' variance of one seed beyond what is shared.
    between : float
        s², the variance of one seed's value, training noise and patients' own part together; 0 with one seed.
    n_seeds : int
    freedom : float
        Degrees of freedom of the patients' variances.
    between_pretrainings : float
        Variance of the means per pre-training seed; 0 with fewer than two.
    n_pretrainings : int
    """

    patients: float
    shared: float
    own: float
    between: float
    n_seeds: int
    freedom: float
    between_pretrainings: float = 0.0
    n_pretrainings: int = 0

    def half_width(self, level: float, *, n_seeds: int | None = None, patients_times: float = 1.0) -> float:
        """Return the half-width at a level, as the top of this file says.

        Parameters
        ----------
        level : float
        n_seeds : int, optional
            What it would be expected to be with so many seeds.
        patients_times : float
            What it would be expected to be with so many times the test patients.
        """
        # scipy is slow to import and not among the core dependencies.
        from scipy.special import stdtrit

        seeds, tail = self.n_seeds if n_seeds is None else n_seeds, (1.0 + level) / 2.0
        freedom = self.freedom * patients_times
        patient = float(stdtrit(freedom, tail)) ** 2 / patients_times
        changed = seeds != self.n_seeds
        square = patient * (self.shared + self.own / seeds if changed else self.patients)
        if self.n_seeds > 1 and seeds > 1:
            noise = self.between
            if patients_times != 1:
                noise = max(0.0, self.between - self.own) + self.own / patients_times
            spread = float(stdtrit(seeds - 1, tail)) ** 2 * noise / seeds
            square = max(square, patient * self.shared + spread)
        if self.n_pretrainings > 1:
            tail_quantile = float(stdtrit(self.n_pretrainings - 1, tail))
            square += tail_quantile**2 * self.between_pretrainings / self.n_pretrainings
        return float(square**0.5)

    @property
    def standard_error(self) -> float:
        """Standard deviation of the estimate: patients common to the seeds, seeds, pre-trainings."""
        if self.n_seeds == 1:
            return float(self.patients**0.5)
        square = max(self.patients, self.shared + self.between / self.n_seeds)
        if self.n_pretrainings > 1:
            square += self.between_pretrainings / self.n_pretrainings
        return float(square**0.5)


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


def _interval(
    runs: Sequence[SingleRun],
    arms: Sequence[Sequence[NDArray[np.floating[Any]]]],
    signs: tuple[float, ...],
    resamples: int,
    level: float,
    seed: int,
    bounds: tuple[float, float],
) -> Interval:
    _check(runs, arms, resamples, level)
    ids, units = _patients(runs)
    rarer, positives, negatives = _support(runs, units)
    weights = blocks(np.random.default_rng(seed).exponential(size=(len(ids), resamples)))
    values = [
        _run_values(run, arm, signs, rows, weights) for run, arm, rows in zip(runs, arms, units, strict=True)
    ]
    point = np.array([value for value, _, _ in values])
    notes = _unmeasured(runs, [lost for _, _, lost in values])

    seeds = tuple(sorted({run.seed for run in runs}))
    pretrainings = sorted({run.pretraining_seed for run in runs if run.pretraining_seed is not None})
    low = high = patient_sd = seed_sd = difference = spread = None
    per_seed: tuple[float, ...] = ()
    if np.isfinite(point).all():
        by_seed = np.array([[run.seed == s for run in runs] for s in seeds], np.float64)
        by_seed /= by_seed.sum(axis=1, keepdims=True)
        means = by_seed @ point
        per_seed, difference = tuple(means.tolist()), float(means.mean())
        if min(positives, negatives) < MINIMUM_POSITIVES:
            notes.append(
                f"no interval: of the test patients only {min(positives, negatives)} are "
                f"{'with' if positives <= negatives else 'without'} the scarcest target, {MINIMUM_POSITIVES} "
                "needed"
            )
        else:
            cover = np.atleast_2d(np.cov(by_seed @ np.array([resampled for _, resampled, _ in values])))
            freedom = 1.0 / np.average(1.0 / (rarer - 1.0), weights=1.0 / rarer)
            spread = _spread(means, cover, float(freedom), _pretraining_means(runs, point, len(seeds)))
            patient_sd = spread.patients**0.5
            if len(seeds) > 1:
                seed_sd = max(0.0, spread.between - spread.own) ** 0.5
            half = spread.half_width(level)
            low, high = max(bounds[0], difference - half), min(bounds[1], difference + half)
            if len(seeds) == 1:
                notes.append("one seed: the interval is over patients only and does not know training noise")
            elif len(seeds) < 5:
                notes.append(
                    f"{len(seeds)} seeds: the interval is wide because so few say little about training noise"
                )
            if len(pretrainings) == 1:
                notes.append("one pre-training: the interval holds for this pre-trained network")
    return Interval(
        difference, low, high, level, len(seeds), len(pretrainings), len(ids), patient_sd, seed_sd,
        per_seed, seeds, positives, negatives, "; ".join(notes), spread,
    )  # fmt: skip


def _spread(
    means: NDArray[np.float64],
    cover: NDArray[np.float64],
    freedom: float,
    pretraining_means: NDArray[np.float64],
) -> Spread:
    """Take the variances apart, as the top of the file says."""
    n, patients, u = len(means), float(cover.mean()), len(pretraining_means)
    between_pretrainings = float(pretraining_means.var(ddof=1)) if u > 1 else 0.0
    if n == 1:
        return Spread(patients, patients, 0.0, 0.0, 1, freedom, between_pretrainings, u)
    shared = max(0.0, float(cover.sum() - np.trace(cover)) / (n * (n - 1)))
    own = float(np.trace(cover)) / n - shared
    between = float(means.var(ddof=1))
    return Spread(patients, shared, own, between, n, freedom, between_pretrainings, u)


def _run_values(
    run: SingleRun,
    arms: Sequence[NDArray[np.floating[Any]]],
    signs: tuple[float, ...],
    units: NDArray[np.intp],
    weights: Sequence[NDArray[np.float64]],
) -> tuple[float, NDArray[np.float64], list[int]]:
    """Return a run's value, its values under each weighting, and the targets it cannot measure.

    The spread is recentred on the value, each target's scaled for its few patients.
    """
    labels = np.asarray(run.labels, np.float64)
    ones, resamples = [np.ones((len(weights[0]), 1))], sum(block.shape[1] for block in weights)
    points: list[float] = []
    spreads: list[NDArray[np.float64]] = []
    lost: list[int] = []
    for target in range(labels.shape[1]):
        column = labels[:, target]
        few = min(len(np.unique(units[column == value])) for value in (0.0, 1.0))
        if few == 0:
            lost.append(target)
            continue
        point, spread = 0.0, np.zeros(resamples)
        for scores, sign in zip(arms, signs, strict=True):
            ranked = RankedScores(column, np.asarray(scores, np.float64)[:, target], units)
            point += sign * float(ranked.aurocs(ones)[0])
            spread += sign * ranked.aurocs(weights)
        # One patient has no spread of its own to scale; two are taken, and the seeds' spread says the rest.
        few = max(few, 2)
        points.append(point)
        spreads.append((spread - point) * ((few + 1.0) / (few - 1.0)) ** 0.5)
    if not points:
        return float("nan"), np.zeros(resamples), lost
    value = float(np.mean(points))
    return value, value + np.mean(spreads, axis=0), lost


def _patients(runs: Sequence[SingleRun]) -> tuple[NDArray[Any], list[NDArray[np.intp]]]:
    """Return the distinct patients of all runs, and for each run its records' positions among them."""
    ids, inverse = np.unique(np.concatenate([np.asarray(run.patient) for run in runs]), return_inverse=True)
    ends = np.cumsum([len(run.patient) for run in runs])[:-1]
    return ids, [part.astype(np.intp) for part in np.split(inverse, ends)]


def _support(
    runs: Sequence[SingleRun], units: Sequence[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], int, int]:
    """Return per target the distinct patients in its rarer class, and the scarcest of each class."""
    rows, labels = np.concatenate(units), np.concatenate([np.asarray(run.labels, np.float64) for run in runs])
    counts = np.array(
        [
            [len(np.unique(rows[labels[:, k] == value])) for value in (0.0, 1.0)]
            for k in range(labels.shape[1])
        ]
    )
    return counts.min(axis=1).astype(np.float64), int(counts[:, 1].min()), int(counts[:, 0].min())


def _pretraining_means(
    runs: Sequence[SingleRun], point: NDArray[np.float64], n_seeds: int
) -> NDArray[np.float64]:
    """Return the mean per pre-training seed, or nothing where the seeds' own spread already holds it."""
    names = sorted({run.pretraining_seed for run in runs if run.pretraining_seed is not None})
    if len(names) < 2 or (len(names) == n_seeds and len(runs) == n_seeds):
        return np.empty(0)
    return np.array([point[[run.pretraining_seed == name for run in runs]].mean() for name in names])


def _unmeasured(runs: Sequence[SingleRun], lost: Sequence[list[int]]) -> list[str]:
    places = [
        f"target {target} at seed {run.seed}"
        for run, targets in zip(runs, lost, strict=True)
        for target in targets
    ]
    if not places:
        return []
    shown = ", ".join(places[:5]) + (f" and {len(places) - 5} more" if len(places) > 5 else "")
    return [f"left out of the macro mean, for want of a positive or a negative in the fold: {shown}"]


def _check(
    runs: Sequence[SingleRun],
    arms: Sequence[Sequence[NDArray[np.floating[Any]]]],
    resamples: int,
    level: float,
) -> None:
    if not runs:
        raise DataError("no runs to compare")
    if not 0.0 < level < 1.0 or resamples < 2:
        raise DataError(f"level {level} must lie within (0, 1) and resamples {resamples} be at least 2")
    targets = np.shape(runs[0].labels)[1:]
    for run, scores in zip(runs, arms, strict=True):
        expected = (len(run.patient), *targets)
        shapes = [np.shape(run.labels), *map(np.shape, scores)]
        if len(expected) != 2 or targets == (0,) or any(shape != expected for shape in shapes):
            raise DataError(
                f"labels and scores have shapes {shapes}, {len(run.patient)} patients and {targets} targets",
                where=f"seed {run.seed}",
                remedy="Each needs [records, targets], with the same targets in every run",
            )
    names = [(run.seed, run.pretraining_seed) for run in runs]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"(seed, pre-training seed) given more than once: {', '.join(twice)}")
