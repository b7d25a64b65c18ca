"""How soon each arm converges: separate trainings with small budgets, and the time to a validation target.

Every budget (B/8, B/4, B/2, B) is a training of its own with its own schedule: a point on the way of one long
run was reached with a learning rate that still was high, and would flatter whoever starts near its goal. The
time to the target is interval-censored: it lies above the largest budget that failed before the first one
whose training ended with a validation loss at or below the target, and not above that one. Where the smallest
budget already succeeds it may be anything above zero. The target is named before any of these trainings, from
runs that are no evidence. A seed that never gets there is censored at its largest budget, not left out: the
mean over those that arrive would be a mean over the lucky ones.

The median time is that of Kaplan and Meier over the budgets that succeeded, with the budget before it as its
lower edge. All seeds are followed to the same largest budget, so its interval is the exact one of order
statistics: a median lies between the r-th time and the r-th from the end with the probability that 2r of S
fair coins decide, whatever the distribution (Brookmeyer and Crowley 1982 treat the general case); the lower
limit is moved to the budget before it. It needs six seeds at 95 %.

The ratio of two arms' medians is known up to the edges as well: with budgets that double, 2 may mean anything
from above 1 to below 4, and where the arm's median is the smallest budget nothing bounds it from above. Its
interval is the bootstrap over seeds, both arms of a seed drawn together, of the smallest ratio that the edges
of each draw allow and of the largest: what is only known to lie in a range is given with the range (Manski
2003). It is therefore wide on a coarse grid; the differences at each budget do not depend on the grid.

References
----------
Kaplan and Meier (1958), JASA 53; Brookmeyer and Crowley (1982), A confidence interval for the median survival
time, Biometrics 38(1); David and Nagaraja (2003), Order statistics, section 7.1; Manski (2003), Partial
identification of probability distributions; Dodge et al. (2019), Show your work: improved reporting of
experimental results, EMNLP, for performance as a function of budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.intervals import arm_auroc
from ecgtransfer.evidence.runs import SingleRun

# Fewer pairs of seeds are too few to resample: five of them often show no spread at all on a grid.
_SEEDS_FOR_A_RATIO = 6


@dataclass(frozen=True, eq=False)
class BudgetRun:
    """One training with a budget of its own.

    Parameters
    ----------
    seed : int
    updates : int
        The budget.
    validation_loss : float or None
        What it ended with; None where it diverged.
    test : SingleRun, optional
        Its test predictions, for an interval of the AUROC.
    auroc : float, optional
        Its macro AUROC, where there are no predictions.
    """

    seed: int
    updates: int
    validation_loss: float | None
    test: SingleRun | None = None
    auroc: float | None = None


@dataclass(frozen=True)
class TimeRatio:
    """How many times as long the reference needs.

    Attributes
    ----------
    value : float or None
        Median time of the reference over that of the arm, both as budgets that succeeded; a bound where one
        of the medians has no upper or no lower edge. None where nothing bounds it.
    low, high : float or None
        Its interval, edges of the grid included; None at an open end, both where no interval could be given.
    bound : str
        ``at least`` where the reference's median is beyond the largest budget or the arm's not above the
        smallest, ``at most`` the other way round, else empty.
    text : str
    """

    value: float | None
    low: float | None
    high: float | None
    bound: Literal["at least", "at most", ""]
    text: str


@dataclass(frozen=True)
class ArmConvergence:
    """One arm over all budgets.

    Attributes
    ----------
    auroc, auroc_low, auroc_high : tuple of float or None
        Per budget: mean over seeds, and its interval over patients × seeds.
    validation_loss : tuple of float or None
        Per budget, mean over seeds; None where one diverged.
    reached : tuple of float
        Per budget, the share of seeds whose training ends at or below the target.
    median_updates : int or None
        Kaplan-Meier median of the budgets that reach the target; None where it lies beyond the largest.
    median_after : int
        The budget before it, which is not enough; 0 below the smallest.
    low, high : int or None
        Interval of the time, ``low`` exclusive; None lies beyond the largest budget, or where seeds are too
        few, as ``text`` says.
    censored, runs : int
        Seeds that never reach the target, and seeds.
    seeds : tuple of int
    times : tuple of int or None
        Per seed, the first budget that reaches the target; None where none does.
    ratio : TimeRatio or None
        None for the reference.
    text : str
    """

    auroc: tuple[float | None, ...]
    auroc_low: tuple[float | None, ...]
    auroc_high: tuple[float | None, ...]
    validation_loss: tuple[float | None, ...]
    reached: tuple[float, ...]
    median_updates: int | None
    median_after: int
    low: int | None
    high: int | None
    censored: int
    runs: int
    seeds: tuple[int, ...]
    times: tuple[int | None, ...]
    ratio: TimeRatio | None
    text: str


@dataclass(frozen=True)
class Convergence:
    """Both arms over all budgets.

    Attributes
    ----------
    target : float
        The validation loss to reach.
    budgets : tuple of int
        Updates, ascending.
    arms : dict
        Name → :class:`ArmConvergence`.
    """

    target: float
    budgets: tuple[int, ...]
    arms: dict[str, ArmConvergence]


def convergence(
    arms: Mapping[str, Sequence[BudgetRun]],
    *,
    target: float,
    reference: str = "scratch",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int,
) -> Convergence:
    """Return how soon each arm reaches a validation loss, and how good it is at each budget.

    Parameters
    ----------
    arms : mapping
        Name → its runs, one per seed and budget, the same of both for all arms.
    target : float
        Validation loss, named before these runs were made.
    reference : str
        The arm whose times are divided by those of the others.
    level : float
    resamples : int
        Of patients, and of seeds for the ratio.
    seed : int
        Of the resampling alone.

    Raises
    ------
    DataError
        No reference, a seed without one of the budgets, or arms with different seeds or budgets.
    """
    if not np.isfinite(target) or not 0.0 < level < 1.0:
        raise DataError(f"target {target} must be finite and level {level} within (0, 1)")
    if reference not in arms or not arms[reference]:
        raise DataError(f"no runs of {reference}", remedy=f"Arms given: {', '.join(arms) or 'none'}")
    budgets = tuple(sorted({run.updates for run in arms[reference]}))
    seeds = tuple(sorted({run.seed for run in arms[reference]}))
    grid = {name: _grid(name, runs, seeds, budgets) for name, runs in arms.items()}
    times = {name: _times(rows, target) for name, rows in grid.items()}
    draws = np.random.default_rng(seed).integers(len(seeds), size=(resamples, len(seeds)))
    found = {}
    for name, rows in grid.items():
        aurocs = [_auroc([row[k] for row in rows], level, resamples, seed) for k in range(len(budgets))]
        reached = [[_reaches(row[k], target) for row in rows] for k in range(len(budgets))]
        median, (low, high) = median_time(times[name], level)
        ratio = None
        if name != reference:
            ratio = _ratio(name, reference, times[name], times[reference], budgets, draws, level)
        found[name] = ArmConvergence(
            auroc=tuple(mean for mean, _, _ in aurocs),
            auroc_low=tuple(least for _, least, _ in aurocs),
            auroc_high=tuple(most for _, _, most in aurocs),
            validation_loss=tuple(
                _mean([row[k].validation_loss for row in rows]) for k in range(len(budgets))
            ),
            reached=tuple(float(np.mean(column)) for column in reached),
            median_updates=_updates(median),
            median_after=int(_before(median, budgets)),
            low=None if low is None else int(_before(low, budgets)),
            high=None if high is None else _updates(high),
            censored=int(np.isinf(times[name]).sum()),
            runs=len(seeds),
            seeds=seeds,
            times=tuple(_updates(time) for time in times[name]),
            ratio=ratio,
            text=_text(name, times[name], median, low, high, target, budgets, level),
        )
    return Convergence(target=target, budgets=budgets, arms=found)


def kaplan_meier(times: ArrayLike, observed: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times of events, and the Kaplan-Meier survival from each of them on.

    Parameters
    ----------
    times : array [subjects]
        Of the event, or of censoring.
    observed : bool array [subjects]
        Whether the event was seen; at a tie censoring comes after events.
    """
    at, seen = np.asarray(times, np.float64), np.asarray(observed, bool)
    events = np.unique(at[seen])
    risk = (at[None, :] >= events[:, None]).sum(axis=1)
    deaths = ((at[None, :] == events[:, None]) & seen[None, :]).sum(axis=1)
    return events, np.cumprod(1.0 - deaths / risk)


def median_time(times: NDArray[np.float64], level: float) -> tuple[float, tuple[float | None, float | None]]:
    """Return the Kaplan-Meier median and its exact interval.

    Parameters
    ----------
    times : array [seeds]
        +inf where censored at the common end of observation.
    level : float

    Returns
    -------
    float, (float or None, float or None)
        +inf for what lies beyond the end; None, None where there are too few seeds for an interval.
    """
    from scipy.stats import binom  # slow to import, and not among the core dependencies

    end = np.isfinite(times)
    events, survival = kaplan_meier(np.where(end, times, np.finfo(float).max), end)
    # A product of ratios may miss one half by its last bit.
    below = events[survival <= 0.5 + 1e-12]
    median = float(below[0]) if len(below) else float("inf")
    # The least count at which the tail reaches its share: that many times from an end leave less beyond.
    rank = int(binom.ppf((1.0 - level) / 2.0, len(times), 0.5))
    if rank < 1:
        return median, (None, None)
    ordered = np.sort(times)
    return median, (float(ordered[rank - 1]), float(ordered[-rank]))


def _grid(
    name: str, runs: Sequence[BudgetRun], seeds: Sequence[int], budgets: Sequence[int]
) -> list[list[BudgetRun]]:
    """Return the runs of an arm as [seeds][budgets]."""
    by_place = {(run.seed, run.updates): run for run in runs}
    wanted = [(s, b) for s in seeds for b in budgets]
    if len(by_place) < len(runs) or set(by_place) != set(wanted):
        odd = sorted(set(by_place) ^ set(wanted))
        what = f"seed {odd[0][0]} with {odd[0][1]} updates" if odd else "a run twice"
        raise DataError(
            f"the runs do not fill the grid of seeds and budgets: {what}",
            where=name,
            remedy="Each seed needs one run at each budget, in every arm",
        )
    return [[by_place[s, b] for b in budgets] for s in seeds]


def _reaches(run: BudgetRun, target: float) -> bool:
    return run.validation_loss is not None and run.validation_loss <= target


def _times(rows: Sequence[Sequence[BudgetRun]], target: float) -> NDArray[np.float64]:
    """Return per seed the smallest budget that reaches the target, +inf where none does."""
    return np.array(
        [next((run.updates for run in row if _reaches(run, target)), np.inf) for row in rows], np.float64
    )


def _auroc(
    runs: Sequence[BudgetRun], level: float, resamples: int, seed: int
) -> tuple[float | None, float | None, float | None]:
    tests = [run.test for run in runs if run.test is not None]
    if len(tests) < len(runs):
        return _mean([run.auroc for run in runs]), None, None
    found = arm_auroc(tests, resamples=resamples, level=level, seed=seed)
    return found.difference, found.low, found.high


def _ratio(
    name: str,
    reference: str,
    mine: NDArray[np.float64],
    theirs: NDArray[np.float64],
    budgets: Sequence[int],
    draws: NDArray[np.intp],
    level: float,
) -> TimeRatio:
    """Return the ratio of medians; seeds are drawn for both arms together."""
    median, other = _middle(mine[None]), _middle(theirs[None])
    least, most = (float(edge[0]) for edge in _edges(median, other, budgets))
    if least == 0.0 and np.isinf(most):
        if np.isinf(median[0]):
            what = f"neither {name} nor {reference} reaches the target within {budgets[-1]:,} updates"
        else:
            what = f"both {name} and {reference} reach the target within {budgets[0]:,} updates"
        return TimeRatio(
            None, None, None, "", f"In the median run {what}, so which needs fewer is not known."
        )
    bound: Literal["at least", "at most", ""] = ""
    value = float(other[0] / median[0]) if np.isfinite(median[0]) else 0.0
    if np.isinf(most):
        bound, value = "at least", least
    elif least == 0.0:
        bound, value = "at most", most
    if len(mine) >= _SEEDS_FOR_A_RATIO:
        lows, highs = _edges(_middle(mine[draws]), _middle(theirs[draws]), budgets)
        tail = (1.0 - level) / 2.0
        least = min(least, float(np.quantile(lows, tail, method="lower")))
        most = max(most, float(np.quantile(highs, 1.0 - tail, method="higher")))
        low, high = least if least > 0 else None, most if np.isfinite(most) else None
        ends = f"{low:.3g}" if low is not None else "open", f"{high:.3g}" if high is not None else "open"
        sure = f" ({100 * level:g} % interval {ends[0]} to {ends[1]})"
    else:
        low = high = None
        sure = f"; {len(mine)} seeds are too few for an interval"
    said = (
        f"{reference} needs {f'{bound} ' if bound else ''}{value:.3g} times as many updates as {name}{sure}"
    )
    return TimeRatio(value, low, high, bound, f"{said[0].upper()}{said[1:]}.")


def _edges(
    mine: NDArray[np.float64], theirs: NDArray[np.float64], budgets: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the largest ratio that two medians on the grid allow; 0 and inf are open."""
    early, soon = _before(mine, budgets), _before(theirs, budgets)
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(np.isinf(mine), 0.0, soon / mine)
        most = np.where(np.isinf(theirs) | (early == 0.0), np.inf, theirs / early)
    return least, most


def _before(times: ArrayLike, budgets: Sequence[int]) -> NDArray[np.float64]:
    """Return the budget before each time, the last one before what lies beyond, 0 before the first."""
    grid = np.array([0, *budgets], np.float64)
    return np.asarray(grid[np.searchsorted(grid, np.asarray(times, np.float64)) - 1])


def _middle(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Kaplan-Meier median of each row, all censored at the common end."""
    rank = (times.shape[1] - 1) // 2
    return np.asarray(np.partition(times, rank, axis=1)[:, rank])


def _text(
    name: str,
    times: NDArray[np.float64],
    median: float,
    low: float | None,
    high: float | None,
    target: float,
    budgets: Sequence[int],
    level: float,
) -> str:
    censored, runs, last = int(np.isinf(times).sum()), len(times), budgets[-1]
    if censored == runs:
        return (
            f"{name}: none of {runs} seeds reaches a validation loss of {target:.3g} within {last:,} updates."
        )
    goal = f"a validation loss of {target:.3g}"
    after = float(_before(median, budgets))
    if np.isinf(median):
        when = f"does not reach {goal} within {last:,} updates"
    elif after == 0.0:
        when = f"reaches {goal} in {median:,.0f} updates or fewer"
    else:
        when = f"reaches {goal} in more than {after:,.0f} and at most {median:,.0f} updates"
    if low is None or high is None:
        sure = f"{runs} seeds are too few for a {100 * level:g} % interval"
    elif np.isinf(low):
        sure = f"at either end of the {100 * level:g} % interval"
    else:
        to = f"to {high:,.0f}" if np.isfinite(high) else f"to more than {last:,}"
        sure = f"{100 * level:g} % interval {_before(low, budgets):,.0f} {to}"
    left = f"; {censored} of {runs} seeds never do" if censored else ""
    return f"{name}: the median run {when} ({sure}){left}."


def _updates(time: float) -> int | None:
    return int(time) if np.isfinite(time) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    # A mean over the runs that happen to have a value would be a mean over the easy ones.
    return float(np.mean(known)) if known and len(known) == len(values) else None
