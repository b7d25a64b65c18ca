"""What a difference with its interval supports: helps, harms, equivalent or undecided, and what settles it.

The verdict comes from the interval over patients x seeds alone (`intervals`). A contrast is

- *equivalent* where the 90 % interval lies within ±margin, even if it excludes zero (two one-sided tests at
  5 %, Schuirmann 1987; the region of practical equivalence of Corani & Benavoli 2017),
- else *helps* or *harms* where the interval that Holm's step-down procedure allows it (Holm 1979), at 95 %
  over the family, excludes zero,
- else *undecided*.

Whatever the word, the *minimum detectable effect* is told beside it: the true difference that this design
would call with a probability of 80 % at the level of the contrast. `selfcheck` draws tables with just that
difference and counts.

The family is what was named before any test part was opened. Equivalence is not adjusted for the family: each
is a statement of its own, and a family of equivalences asks for all of them at once (intersection-union).

References
----------
Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15(6); Holm (1979), Scandinavian Journal
of Statistics 6(2); Corani et al. (2017), Statistical comparison of classifiers through Bayesian hierarchical
modelling, Machine Learning 106(11).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.crossed import Interval
from ecgtransfer.evidence.spread import Spread

Word = Literal["equivalent", "helps", "harms", "undecided"]
Number = TypeVar("Number", int, float)

MARGIN = 0.01
LEVEL, EQUIVALENCE_LEVEL, POWER = 0.95, 0.90, 0.80
# Beyond this nobody would go to settle a question.
_MOST_SEEDS = 200
_MOST_PRETRAININGS = 30
# So many leave nothing of their variance.
_ENDLESS = 10**6


@dataclass(frozen=True)
class Verdict:
    """What a contrast supports.

    Attributes
    ----------
    word : str
        ``equivalent``, ``helps``, ``harms`` or ``undecided``.
    level : float
        The level of ``low`` and ``high`` that Holm's procedure leaves to this contrast.
    low, high : float or None
        The adjusted interval; None where no interval could be given.
    equivalence_low, equivalence_high : float or None
        The 90 % interval that is compared with the margin.
    margin : float
    p : float or None
        Two-sided, unadjusted: the level at which the interval begins to include zero, from one.
    minimum_detectable : float or None
        The true difference that this design would call with a probability of 80 %, at the adjusted level.
    settles : str
        What would settle an undecided contrast, in words; empty otherwise.
    """

    word: Word
    level: float
    low: float | None
    high: float | None
    equivalence_low: float | None
    equivalence_high: float | None
    margin: float
    p: float | None
    minimum_detectable: float | None
    settles: str


def verdicts(
    intervals: Sequence[Interval], *, margin: float = MARGIN, level: float = LEVEL
) -> tuple[Verdict, ...]:
    """Judge a family of contrasts.

    Parameters
    ----------
    intervals : sequence of Interval
        The whole family, named before any test part was opened.
    margin : float
        Differences smaller than this make no difference, in units of the estimate (AUROC).
    level : float
        Coverage of the family.

    Returns
    -------
    tuple of Verdict
        In the order given.

    Raises
    ------
    DataError
        The margin is not positive or the level not within (0, 1).
    """
    if not margin > 0 or not 0 < level < 1:
        raise DataError(f"margin {margin} must be positive and level {level} within (0, 1)")
    values = [two_sided_p(interval) for interval in intervals]
    told = [i for i, p in enumerate(values) if p is not None]
    order = sorted(told, key=lambda i: values[i] or 0.0)
    levels: dict[int, float] = {}
    open_ = True
    for rank, i in enumerate(order):
        # The family is what was named, whether an interval could be given or not.
        allowed = (1 - level) / (len(intervals) - rank)
        # From the first that is not rejected on, none is, and the stopping level is that of all others.
        levels[i] = 1 - allowed if open_ else levels[order[rank - 1]]
        open_ = open_ and (values[i] or 0.0) <= allowed
    return tuple(
        _verdict(interval, values[i], levels.get(i, level), margin) for i, interval in enumerate(intervals)
    )


def word(interval: Interval, margin: float = MARGIN) -> Word | None:
    """Return the word for one difference by itself, adjusted for nothing; None without an interval.

    Statements, subgroups and operating points are looked at by the dozen; this says what each would support
    if it were the only one. What would settle an undecided one is not looked for: that takes longer than all
    the rest.

    Parameters
    ----------
    interval : Interval
    margin : float
        Differences smaller than this make no difference, in units of the estimate.
    """
    if interval.spread is None or interval.difference is None:
        return None
    return _word(interval.spread, interval.difference, interval.level, margin)


def two_sided_p(interval: Interval) -> float | None:
    """Return one minus the level at which the interval begins to include zero; None without an interval."""
    if interval.spread is None or interval.difference is None:
        return None
    size = abs(interval.difference)
    low, high = 0.0, 1.0  # p, by bisection: the half-width falls as p rises
    for _ in range(60):
        middle = (low + high) / 2
        if interval.spread.half_width(1 - middle) > size:
            low = middle
        else:
            high = middle
    return high


def minimum_detectable(spread: Spread, level: float, power: float = POWER) -> float:
    """Return the true difference whose interval at ``level`` excludes zero with probability ``power``."""
    return spread.minimum_detectable(level, power)


def _verdict(interval: Interval, p: float | None, level: float, margin: float) -> Verdict:
    spread, d = interval.spread, interval.difference
    if spread is None or d is None:
        return Verdict("undecided", level, None, None, None, None, margin, None, None, interval.note)
    narrow, wide = spread.half_width(EQUIVALENCE_LEVEL), spread.half_width(level)
    said = _word(spread, d, level, margin)
    return Verdict(
        word=said,
        level=level,
        low=d - wide,
        high=d + wide,
        equivalence_low=d - narrow,
        equivalence_high=d + narrow,
        margin=margin,
        p=p,
        minimum_detectable=minimum_detectable(spread, level),
        settles=_settles(spread, d, level, margin, interval.n_patients) if said == "undecided" else "",
    )


def _word(spread: Spread, d: float, level: float, margin: float) -> Word:
    if abs(d) + spread.half_width(EQUIVALENCE_LEVEL) <= margin:
        return "equivalent"
    if abs(d) <= spread.half_width(level):
        return "undecided"
    return "helps" if d > 0 else "harms"


def _settles(spread: Spread, d: float, level: float, margin: float, n_patients: int) -> str:
    """Say what would settle an undecided contrast if the estimate stayed where it is."""

    def decided(design: Spread) -> bool:
        equivalent = abs(d) + design.half_width(EQUIVALENCE_LEVEL) <= margin
        return equivalent or design.half_width(level) < abs(d)

    more_seeds = list(range(spread.n_seeds + 1, _MOST_SEEDS + 1)) if spread.n_seeds > 1 else []
    seeds = _first(more_seeds, lambda n: decided(spread.with_design(n_seeds=n)))
    growth = [1.05**step for step in range(1, 95)]
    times = _first(growth, lambda x: decided(spread.with_design(patients_times=x)))
    crossed = spread.n_pretrainings > 1
    more_trainings = list(range(spread.n_pretrainings + 1, _MOST_PRETRAININGS + 1)) if crossed else []
    trainings = _first(more_trainings, lambda u: decided(spread.with_design(n_pretrainings=u)))
    endless = spread.with_design(n_seeds=_ENDLESS) if spread.n_seeds > 1 else spread
    by_trainings = spread.with_design(n_pretrainings=_ENDLESS) if crossed else spread
    limited = True
    if spread.n_seeds == 1:
        first = "one seed says nothing about training noise: run at least five"
    elif seeds is not None:
        first = f"about {seeds} seeds instead of {spread.n_seeds} would settle it if the estimate stayed"
    elif trainings is not None:
        others = f"more than {_MOST_SEEDS} seeds would too" if decided(endless) else "no number of seeds does"
        first = (
            f"about {trainings} pre-trainings instead of {spread.n_pretrainings} would settle it if the "
            f"estimate stayed; {others}"
        )
    elif decided(endless):
        first = f"it would take more than {_MOST_SEEDS} seeds if the estimate stayed"
    elif crossed and decided(by_trainings):
        first = f"it would take more than {_MOST_PRETRAININGS} pre-trainings if the estimate stayed"
    elif crossed and decided(endless.with_design(n_pretrainings=_ENDLESS)):
        first = (
            f"it would take more seeds and more pre-trainings: with any number of seeds alone "
            f"±{endless.half_width(level):.3f} is left, with any number of pre-trainings alone "
            f"±{by_trainings.half_width(level):.3f}"
        )
    elif spread.tested_once:
        first = (
            "no patient was tested at two seeds, so these runs do not tell whether more seeds would settle it"
        )
    else:
        limited, floor = False, spread.patients_alone(level)
        kinds = "seeds or pre-trainings" if crossed else "seeds"
        first = f"the patients alone leave ±{floor:.3f}, so no number of {kinds} settles it"
    if times is not None:
        more = f", {round(n_patients * (times - 1)):,} more," if n_patients else ""
        return f"{first}; about {times:.1f} times as many test patients{more} would"
    nor = "a hundred times as many test patients alone would not"
    return f"{first}; {nor if limited else 'nor does a hundred times as many test patients'}"


def _first(amounts: Sequence[Number], enough: Callable[[Number], bool]) -> Number | None:
    """Return the least of ascending amounts that is enough; forecasts narrow with each of them."""
    found = bisect_left(amounts, True, key=enough)
    return amounts[found] if found < len(amounts) else None
