"""Learning curves: performance over labels with and without pre-training, bootstrapped as whole curves.

A seed has one curve per arm, over all sizes; the same patients test every point of it. One bootstrapped
curve is therefore drawn by weighting the seeds (whole seed-curves, both arms with the same weight) and the
patients (one weight per patient, shared by arms, seeds and sizes); all weights are exponential (the Bayesian
bootstrap). This keeps what the points of a curve have in common, on which the size of catch-up and the labels
saved depend.

Drawn like this the curves are too much alike where seeds are few: the plain percentile covers about 84 % at
five seeds, as `intervals` says. The deviations of the bootstrapped curves from the mean curve are therefore
stretched, at each size once for the difference and once for scratch, by the factor that takes their central
interval to the one that `intervals` gives there, whose parts have Student quantiles. The band of the
difference is thus the interval of the contrast at that size, and every derived figure rests on curves that
vary as much. With five seeds the factor is about 1.5.

References
----------
Owen (2007), The pigeonhole bootstrap, Annals of Applied Statistics 1(2); Rubin (1981), The Bayesian
bootstrap, Annals of Statistics 9(1); `catchup` and `saved` name those of what is read off the curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, starmap

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.catchup import CatchUp, catch_up
from ecgtransfer.evidence.crossed import average_by_seed, spread_of, too_few
from ecgtransfer.evidence.intervals import check_pairs, resampled_aurocs, run_covariance, support
from ecgtransfer.evidence.runs import PairedRun
from ecgtransfer.evidence.saved import LabelsSaved, Transferred, labels_saved
from ecgtransfer.evidence.verdict import MARGIN


@dataclass(frozen=True, eq=False)
class SizeRuns:
    """All runs at one size.

    Parameters
    ----------
    n : int
        Labels used, training and validation together.
    runs : tuple of PairedRun
        Arm a is the one with pre-training, arm b is scratch at this size; the macro targets only.
    """

    n: int
    runs: tuple[PairedRun, ...]


@dataclass(frozen=True)
class Band:
    """A curve at one size: the mean over seeds and its interval, None where it could not be had."""

    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class LearningCurves:
    """Both learning curves and what is read off them.

    Attributes
    ----------
    sizes : tuple of int
        Labels, ascending.
    arm_band, reference_band, difference_band : tuple of Band
        Per size: macro AUROC with pre-training, of scratch, and the first less the second.
    catch_up : CatchUp
    labels_saved : tuple of LabelsSaved
        Per size.
    transferred : tuple of Transferred
        Per size.
    n_seeds : int
        Seeds that are there at every size.
    margin, level : float
    note : str
        What limits all this, in plain words; empty when nothing does.
    """

    sizes: tuple[int, ...]
    arm_band: tuple[Band, ...]
    reference_band: tuple[Band, ...]
    difference_band: tuple[Band, ...]
    catch_up: CatchUp
    labels_saved: tuple[LabelsSaved, ...]
    transferred: tuple[Transferred, ...]
    n_seeds: int
    margin: float
    level: float
    note: str


def learning_curves(
    sizes: Sequence[SizeRuns],
    *,
    margin: float = MARGIN,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int,
) -> LearningCurves:
    """Return the learning curves of an arm and of scratch, where scratch catches up, and the labels saved.

    Parameters
    ----------
    sizes : sequence of SizeRuns
        In any order; seeds that are not there at every size are left out, as ``note`` says.
    margin : float
        A smaller difference is none, in units of AUROC.
    level : float
        Nominal coverage of every interval.
    resamples : int
        Bootstrapped curves.
    seed : int
        Of the bootstrap alone; with that of :func:`paired_difference` the weights of the patients are the
        same, where the same patients were tested at every size.

    Raises
    ------
    DataError
        No size, a size without runs or given twice, no seed common to all sizes, or what
        :func:`paired_difference` refuses.
    """
    if not margin > 0:
        raise DataError(f"margin {margin} must be positive")
    for size in sizes:
        check_pairs(size.runs, resamples, level)
    common, notes = _common_seeds(sizes)
    curves, more = _bootstrapped(common, level, resamples, seed)
    notes += more
    bands = tuple(
        tuple(Band(*values) for values in zip(curves.mean[c], curves.low[c], curves.high[c], strict=True))
        for c in range(3)
    )
    measured = np.array([mean is not None for mean in curves.mean[_DIFFERENCE]])
    n = np.array([size.n for size in common], np.float64)[measured]
    saved: tuple[LabelsSaved, ...] = ()
    transferred: tuple[Transferred, ...] = ()
    if len(n):
        difference, scratch, arm = (
            np.array([mean for mean in means if mean is not None]) for means in curves.mean
        )
        draws = None if curves.draws is None else curves.draws[:, :, measured]
        precision = curves.precision[:, measured]
        worse = curves.high[_DIFFERENCE][int(np.flatnonzero(measured)[-1])]
        caught = catch_up(
            n,
            difference,
            None if draws is None else draws[_DIFFERENCE],
            precision[_DIFFERENCE],
            margin=margin,
            level=level,
            worse=worse is not None and worse < 0,
        )
        pair = None if draws is None else (draws[_DIFFERENCE] + draws[_SCRATCH], draws[_SCRATCH])
        saved, transferred = labels_saved(n, arm, scratch, precision[_SCRATCH], pair, level=level)
    else:
        caught = CatchUp("unclear", None, None, None, False, False, "No size could be measured.")
    return LearningCurves(
        sizes=tuple(size.n for size in common),
        arm_band=bands[_ARM],
        reference_band=bands[_SCRATCH],
        difference_band=bands[_DIFFERENCE],
        catch_up=caught,
        labels_saved=saved,
        transferred=transferred,
        n_seeds=len({run.seed for run in common[0].runs}),
        margin=margin,
        level=level,
        note="; ".join(notes),
    )


# The curves that are kept, in this order; bootstrapped are the first two, and their sum is the third.
_DIFFERENCE, _SCRATCH, _ARM = 0, 1, 2
_LEAST, _MOST = (-1.0, 0.0, 0.0), 1.0


@dataclass(frozen=True, eq=False)
class _Curves:
    """Means and ends of intervals [3 curves][sizes]; draws [2, resamples, sizes], precision [2, sizes]."""

    mean: list[list[float | None]]
    low: list[list[float | None]]
    high: list[list[float | None]]
    draws: NDArray[np.float64] | None
    precision: NDArray[np.float64]


def _bootstrapped(
    sizes: Sequence[SizeRuns], level: float, resamples: int, seed: int
) -> tuple[_Curves, list[str]]:
    """Return the three curves with their bands and bootstrapped curves, and what limits them."""
    runs = [run for size in sizes for run in size.runs]
    ends = np.cumsum([0, *(len(size.runs) for size in sizes)])
    found = resampled_aurocs(runs, resamples=resamples, seed=seed)
    # From (arm, scratch) to (difference, scratch, arm).
    change = np.array([[1.0, -1.0], [0.0, 1.0], [1.0, 0.0]])
    points, drawn = change @ found.point, np.tensordot(change, found.drawn, axes=1)
    n_seeds = len({run.seed for run in runs})
    seeds = np.random.default_rng([seed, n_seeds]).exponential(size=(n_seeds, resamples))
    seeds /= seeds.sum(axis=0)

    notes: list[str] = []
    mean, half = np.full((3, len(sizes)), np.nan), np.full((3, len(sizes)), np.nan)
    draws = np.full((2, resamples, len(sizes)), np.nan)
    for k, (size, part) in enumerate(zip(sizes, starmap(slice, pairwise(ends)), strict=True)):
        notes += _unmeasured(size, found.lost[part])
        point, own = points[:, part], drawn[:, part]
        _, by_seed = average_by_seed(size.runs)
        mean[:, k] = (point @ by_seed.T).mean(axis=1)
        patients = support(size.runs)
        few = too_few(min(patients.positives, patients.negatives), "are in the scarcest target's rarer class")
        if few or not np.isfinite(point).all():
            notes += [few] if few and few not in notes else []
            continue
        for c in (_DIFFERENCE, _SCRATCH, _ARM):
            cover = run_covariance(own[c], patients)
            half[c, k] = spread_of(size.runs, point[c], cover, patients.freedom).half_width(level)
        for c in (_DIFFERENCE, _SCRATCH):
            deviation = np.einsum("sr,sr->r", seeds, by_seed @ own[c]) - mean[c, k]
            reach = float(np.quantile(np.abs(deviation), level))
            draws[c, :, k] = mean[c, k] + deviation * (half[c, k] / reach if reach > 0 else 1.0)
    if 1 < n_seeds < 5:
        notes.append(f"{n_seeds} seeds: intervals are wide because so few say little about training noise")
    elif n_seeds == 1:
        notes.append("one seed: the intervals are over patients only and do not know training noise")
    least = np.array(_LEAST)[:, None]
    complete = np.isfinite(half[:, np.isfinite(mean[0])]).all()
    return _Curves(
        mean=_or_none(mean),
        low=_or_none(np.maximum(least, mean - half)),
        high=_or_none(np.minimum(_MOST, mean + half)),
        draws=draws if complete else None,
        precision=_precision(half[:2]),
    ), notes


def _unmeasured(size: SizeRuns, lost: Sequence[list[int]]) -> list[str]:
    """Say which targets are not part of a run's mean, for want of a positive or a negative."""
    seeds = sorted({run.seed for run, targets in zip(size.runs, lost, strict=True) if targets})
    shown = ", ".join(map(str, seeds))
    return [f"{size.n} labels: at seed {shown} not every target could be measured"] if seeds else []


def _common_seeds(sizes: Sequence[SizeRuns]) -> tuple[list[SizeRuns], list[str]]:
    """Return the sizes in order with the seeds that all of them have, and which seeds were left out."""
    counts = [size.n for size in sizes]
    if not sizes or len(set(counts)) < len(counts) or min(counts) < 1:
        raise DataError(f"learning curves need sizes of one label or more, each once, not {counts}")
    seeds = [{run.seed for run in size.runs} for size in sizes]
    common = set.intersection(*seeds)
    if not common:
        raise DataError("no seed was run at every size", remedy="Finish the study first")
    extra = sorted(set.union(*seeds) - common)
    ordered = sorted(sizes, key=lambda size: size.n)
    kept = [SizeRuns(size.n, tuple(run for run in size.runs if run.seed in common)) for size in ordered]
    shown = ", ".join(map(str, extra))
    return kept, [f"seeds that are not there at every size are left out: {shown}"] if extra else []


def _precision(half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of the sizes: one over the square of the half-width, equal where that is unknown."""
    known = np.isfinite(half).all(axis=1) & (half > 0).all(axis=1)
    weights = np.ones_like(half)
    weights[known] = (half[known].min(axis=1, keepdims=True) / half[known]) ** 2
    return weights


def _or_none(values: NDArray[np.float64]) -> list[list[float | None]]:
    return [[float(value) if np.isfinite(value) else None for value in row] for row in values]
