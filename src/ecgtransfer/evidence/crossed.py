"""The interval over patients × seeds for any statistic that is known per run: AUROC is one of them.

`intervals` says why patients and seeds are crossed, and measures AUROC; `spread` says how wide the interval
has to be. A statistic brings its value for each run and the covariance of the runs due to the choice of
patients: from resampled values (Bayesian bootstrap) or from influences. A statistic's influence of patient p
is what it would change by, to first order, if p got more weight; the sum over patients of products of
influences is the covariance that the Bayesian bootstrap tends to (the infinitesimal jackknife), without any
resampling.

References
----------
Efron (1982), The jackknife, the bootstrap and other resampling plans, chapter 6; Liang and Zeger (1986),
Longitudinal data analysis using generalized linear models, Biometrika 73(1), for sums per cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.spread import Spread

# Below this many test patients in the rarer class of a target no interval is given.
MINIMUM_POSITIVES = 10
# Where runs share hardly a patient, correcting their covariance further would blow up its noise.
LEAST_KEPT = 0.25


class Run(Protocol):
    """What every run has: who was tested, from which seed and pre-training."""

    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def pretraining_seed(self) -> int | None: ...  # noqa: D102
    @property
    def patient(self) -> NDArray[Any]: ...  # noqa: D102


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


def average_by_seed(runs: Sequence[Run]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the seeds, and the matrix [seeds, runs] that averages runs of a seed (its pre-trainings)."""
    seeds = tuple(sorted({run.seed for run in runs}))
    return seeds, _averages([run.seed for run in runs], seeds)


def crossed_interval(
    runs: Sequence[Run],
    point: NDArray[np.float64],
    cover: NDArray[np.float64] | None,
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
        As for :func:`spread_of`; a value that is not finite leaves no estimate, and nothing covers it (None).
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
        if not refusal and cover is not None:
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


def spread_of(
    runs: Sequence[Run], point: NDArray[np.float64], cover: NDArray[np.float64], freedom: float
) -> Spread:
    """Return what the width of the interval for the mean over seeds is made of.

    Parameters
    ----------
    runs : sequence of Run
    point : array [runs]
        The statistic of each run.
    cover : array [runs, runs]
        The runs' covariance due to the choice of patients.
    freedom : float
        Degrees of freedom of that covariance.
    """
    seeds, by_seed = average_by_seed(runs)
    pretrainings = sorted({run.pretraining_seed for run in runs if run.pretraining_seed is not None})
    n, u = len(seeds), len(pretrainings)
    means, of_seeds = by_seed @ point, by_seed @ cover @ by_seed.T
    # Estimated covariances may be negative, what patients have in common cannot be.
    shared = max(0.0, _off_diagonal(of_seeds))
    own = max(0.0, float(np.trace(of_seeds)) / n - shared) if n > 1 else 0.0
    patients = shared + own / n
    between = float(means.var(ddof=1)) if n > 1 else 0.0
    # With one pre-training per seed the spread of the seeds holds that of the pre-trainings.
    if u < 2 or (u == n and len(runs) == n):
        lasting, once = _lasting(runs, seeds, shared, own)
        return Spread(patients, shared, own, between, n, freedom, lasting=lasting, tested_once=once)
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
    lasting, once = _lasting(runs, seeds, shared, own)
    return Spread(patients, shared, own, between, n, freedom, between_trained, u, interaction, lasting, once)


def _lasting(runs: Sequence[Run], seeds: Sequence[int], shared: float, own: float) -> tuple[float, bool]:
    """Return the patients' variance that any number of seeds leaves, and whether nothing tells it.

    The covariance of two seeds is taken as proportional to the patients that their test parts have in common.
    Further seeds would have as many in common with these as two random draws of that size from all patients
    that were tested; these may have fewer, because no two folds of one repeat have any.
    """
    n = len(seeds)
    at_most = max(shared, shared + own / n)
    ids, place = np.unique(np.concatenate([np.asarray(run.patient) for run in runs]), return_inverse=True)
    tested = np.zeros((n, len(ids)))
    seed_of = np.concatenate([np.full(len(run.patient), seeds.index(run.seed)) for run in runs])
    tested[seed_of, place] = 1.0
    sizes = tested.sum(axis=1)
    if n < 2 or not len(ids):
        return shared, False
    # Whole numbers, so that no common patient is exactly none.
    both = (tested @ tested.T)[~np.eye(n, dtype=bool)]
    common = float(np.mean(both / np.sqrt(np.outer(sizes, sizes))[~np.eye(n, dtype=bool)]))
    if common == 0.0:
        return at_most, True
    return min(at_most, max(shared, shared * float(sizes.mean()) / len(ids) / common)), False


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


def too_few(patients: int, what: str) -> str:
    """Return why there is no interval where fewer patients than needed have ``what``; else nothing."""
    if patients >= MINIMUM_POSITIVES:
        return ""
    return f"no interval: only {patients} test patients {what}, {MINIMUM_POSITIVES} needed"


def _averages(names: Sequence[int | None], order: Sequence[int]) -> NDArray[np.float64]:
    """Return the matrix [names in order, runs] that averages the runs of each name."""
    matrix = np.array([[name == each for name in names] for each in order], np.float64)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def _off_diagonal(matrix: NDArray[np.float64]) -> float:
    n = len(matrix)
    return float(matrix.sum() - np.trace(matrix)) / (n * (n - 1)) if n > 1 else float(matrix[0, 0])
