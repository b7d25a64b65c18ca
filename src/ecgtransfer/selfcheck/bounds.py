"""Whether verdicts keep what they promise: their rates on cases with a known truth, against bounds.

Every case is judged by what it must not do and by what it must do, so that a verdict that always says
*undecided* fails as surely as one that always says *helps*. Rates carry their Clopper-Pearson interval.

With fewer than 2,000 outcomes a rate says too little for the bounds, and only what its interval contradicts
counts as broken.

References
----------
Clopper and Pearson (1934), Biometrika 26(4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ecgtransfer.evidence.elementary import clopper_pearson
from ecgtransfer.evidence.verdict import Word

WORDS: tuple[Word, ...] = ("helps", "harms", "equivalent", "undecided")

# From so many outcomes on the bounds are taken at their word.
ENOUGH = 2000

Kind = Literal["none", "small", "planned", "detectable", "margin"]


@dataclass(frozen=True)
class Case:
    """A case with a known truth, and what is asked of the verdicts on it.

    Attributes
    ----------
    name, about : str
    kind : str
        ``none``: no difference, so no claim may be made of one. ``small``: one below the margin, so none may
        be made in the wrong direction. ``planned``: one that the plan expects to find, so it must be found.
        ``detectable``: one as large as the reported minimum detectable effect. ``margin``: one as large as
        the margin, so it must not be called equivalent.
    truth : float
        The true difference.
    power : float or None
        The probability with which the plan expects it to be called, before any table is drawn.
    """

    name: str
    about: str
    kind: Kind
    truth: float
    power: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of one table.

    Attributes
    ----------
    word : str
        The verdict.
    covered : bool or None
        Whether the interval holds the truth; None without an interval.
    half_width, minimum_detectable : float or None
    wilcoxon : float or None
        p of the test over seeds, which decides nothing.
    """

    word: Word
    covered: bool | None
    half_width: float | None
    minimum_detectable: float | None
    wilcoxon: float | None


@dataclass(frozen=True)
class Check:
    """One bound.

    Attributes
    ----------
    what : str
        What was counted.
    count, of : int
    rate, low, high : float
        The rate and its 95 % Clopper-Pearson interval.
    bound : str
        What is asked, in words.
    passed : bool
    """

    what: str
    count: int
    of: int
    rate: float
    low: float
    high: float
    bound: str
    passed: bool


@dataclass(frozen=True)
class Finding:
    """A case with what came of it.

    Attributes
    ----------
    case : Case
    outcomes : int
    words : dict
        Word → share of the outcomes.
    coverage : float or None
        Share of the intervals that hold the truth.
    half_width, minimum_detectable : float or None
        Means.
    wilcoxon : float or None
        Share with p < 0.05 over seeds.
    checks : tuple of Check
    """

    case: Case
    outcomes: int
    words: dict[str, float]
    coverage: float | None
    half_width: float | None
    minimum_detectable: float | None
    wilcoxon: float | None
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no bound is broken."""
        return all(check.passed for check in self.checks)


def assess(case: Case, outcomes: Sequence[Outcome]) -> Finding:
    """Count what came of a case and hold it against the bounds of its kind.

    Parameters
    ----------
    case : Case
    outcomes : sequence of Outcome
        One per table, at least one.
    """
    said = [outcome.word for outcome in outcomes]
    right: Word = "helps" if case.truth >= 0 else "harms"
    wrong: Word = "harms" if right == "helps" else "helps"
    checks: tuple[Check, ...]
    if case.kind == "none":
        false = sum(word in (right, wrong) for word in said)
        checks = (_at_most("false helps + harms", false, len(said), 0.05, 0.065),)
    elif case.kind == "margin":
        checks = (_at_most("false equivalent", said.count("equivalent"), len(said), 0.05, 0.065),)
    elif case.kind == "detectable":
        checks = (_between(f"{right} at the minimum detectable effect", said.count(right), len(said)),)
    else:
        checks = (_at_most(f"{wrong}, the wrong direction", said.count(wrong), len(said), 0.025, 0.04),)
        if case.kind == "planned" and case.power is not None and case.power >= 0.8:
            checks += (_at_least(f"{right}, as the plan expects", said.count(right), len(said), 0.8),)
    return Finding(
        case=case,
        outcomes=len(outcomes),
        words={word: said.count(word) / len(said) for word in WORDS},
        coverage=_mean(outcome.covered for outcome in outcomes),
        half_width=_mean(outcome.half_width for outcome in outcomes),
        minimum_detectable=_mean(outcome.minimum_detectable for outcome in outcomes),
        wilcoxon=_mean(None if o.wilcoxon is None else o.wilcoxon < 0.05 for o in outcomes),
        checks=checks,
    )


def covers(what: str, covered: Sequence[bool], least: float) -> Check:
    """Hold a number of intervals with brute-force truths against the least coverage.

    Parameters
    ----------
    what : str
    covered : sequence of bool
        Whether each interval holds its truth.
    least : float
        Broken where the Clopper-Pearson interval of the coverage lies below this: there are few of them.
    """
    count, of = sum(covered), len(covered)
    low, high = clopper_pearson(count, of)
    bound = f"not below {100 * least:g} %"
    return Check(what, count, of, count / of, low, high, bound, high >= least)


def _at_most(what: str, count: int, of: int, most: float, most_high: float) -> Check:
    low, high = clopper_pearson(count, of)
    strict = count / of <= most and high <= most_high
    bound = f"at most {100 * most:g} %, upper end at most {100 * most_high:g} %"
    return Check(what, count, of, count / of, low, high, bound, strict if of >= ENOUGH else low <= most)


def _at_least(what: str, count: int, of: int, least: float) -> Check:
    low, high = clopper_pearson(count, of)
    passed = count / of >= least if of >= ENOUGH else high >= least
    return Check(what, count, of, count / of, low, high, f"at least {100 * least:g} %", passed)


def _between(what: str, count: int, of: int, least: float = 0.77, most: float = 0.83) -> Check:
    low, high = clopper_pearson(count, of)
    passed = least <= count / of <= most if of >= ENOUGH else high >= least and low <= most
    return Check(what, count, of, count / of, low, high, f"{100 * least:g} to {100 * most:g} %", passed)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None
