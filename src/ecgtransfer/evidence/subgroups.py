"""Subgroups of the test patients: whether what pre-training changes depends on sex, age or source.

A subgroup's difference rests on the test patients of the group alone (both arms were trained on everybody),
and its interval is the paired one of `intervals`, adjusted for nothing: exploratory. That it excludes zero in
one group and not in another is no difference between the groups (Gelman and Stern 2006), so each group is
compared with all others as well: the interaction, with the same weights for the patients and the same seeds
on both sides.

References
----------
Gelman and Stern (2006), The difference between "significant" and "not significant" is not itself
statistically significant, The American Statistician 60(4); Wang et al. (2007), Statistics in medicine:
reporting of subgroup analyses in clinical trials, NEJM 357.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.crossed import MINIMUM_POSITIVES, Interval, crossed_interval
from ecgtransfer.evidence.exploratory import check_targets, only
from ecgtransfer.evidence.intervals import (
    check_pairs,
    paired_difference,
    resampled_aurocs,
    run_covariance,
    support,
)
from ecgtransfer.evidence.runs import PairedRun
from ecgtransfer.evidence.verdict import MARGIN, Word, word

# Fixed limits, so that studies can be compared and no limit follows from the data at hand. 65 is where
# guidelines begin to screen for atrial fibrillation and where most trials begin to say "older"; 80 keeps the
# very old apart, whose ages some sources hide (PTB-XL calls everybody above 89 the same age).
AGE_LIMITS = (50.0, 65.0, 80.0)
AGE_GROUPS = ("<50", "50–64", "65–79", "≥80")
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Subgroup:
    """The difference between arms among some of the test patients.

    Attributes
    ----------
    group, value : str
        Such as ``sex`` and ``female``; ``unknown`` where the record does not say.
    records, patients : int
        Their records in one test part (the most in any run), and distinct test patients over all.
    difference, low, high : float or None
        In macro AUROC over ``targets``, adjusted for nothing.
    word : str or None
    note : str
        What limits this; empty when nothing does.
    against_rest, against_rest_low, against_rest_high : float or None
        This difference less that among all other known groups, over the targets that both can measure.
    targets : tuple of str
        Those with enough patients in the group.
    targets_against_rest : tuple of str
        Those of them with enough patients in the rest too.
    """

    group: str
    value: str
    records: int
    patients: int
    difference: float | None
    low: float | None
    high: float | None
    word: Word | None
    note: str
    against_rest: float | None
    against_rest_low: float | None
    against_rest_high: float | None
    targets: tuple[str, ...]
    targets_against_rest: tuple[str, ...] = ()


def age_groups(ages: ArrayLike) -> NDArray[np.str_]:
    """Return the age group of each record, empty where the age is unknown.

    Parameters
    ----------
    ages : array [records]
        Years; NaN or negative where unknown.
    """
    years = np.asarray(ages, np.float64)
    known = np.isfinite(years) & (years >= 0)
    names = np.array(AGE_GROUPS)[np.searchsorted(AGE_LIMITS, np.where(known, years, 0.0), side="right")]
    return np.where(known, names, "")


def subgroups(
    runs: Sequence[PairedRun],
    group: str,
    values: Sequence[NDArray[Any]],
    targets: Sequence[str],
    *,
    margin: float = MARGIN,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int,
) -> tuple[Subgroup, ...]:
    """Return the paired difference within each subgroup, and against all others.

    Parameters
    ----------
    runs : sequence of PairedRun
    group : str
        What divides them: sex, age, source.
    values : sequence of array [records]
        For each run the value of each record, a string; empty or None where unknown.
    targets : sequence of str
        Names of the columns. In a group only those are used that have 10 patients in each class, and both
        classes in every run; the others are named in the note.
    margin, level, resamples, seed
        As for :func:`verdicts` and :func:`paired_difference`.

    Raises
    ------
    DataError
        Values, names and runs do not fit.
    """
    check_pairs(runs, resamples, level)
    check_targets(runs, targets)
    if len(values) != len(runs) or any(len(v) != len(r.patient) for v, r in zip(values, runs, strict=False)):
        raise DataError(f"the values of {group} do not fit the records of the runs")
    named = [
        np.array([str(v) if v is not None and v == v and str(v) else _UNKNOWN for v in each], object)
        for each in values
    ]
    order = {name: i for i, name in enumerate(AGE_GROUPS)}
    every = sorted({v for each in named for v in each}, key=lambda v: (v == _UNKNOWN, order.get(v, 0), v))
    settings = {"level": level, "resamples": resamples, "seed": seed}
    return tuple(
        _subgroup(runs, group, value, named, targets, margin=margin, settings=settings) for value in every
    )


def _subgroup(
    runs: Sequence[PairedRun],
    group: str,
    value: str,
    named: Sequence[NDArray[Any]],
    targets: Sequence[str],
    *,
    margin: float,
    settings: dict[str, Any],
) -> Subgroup:
    inside = [only(run, np.flatnonzero(each == value)) for run, each in zip(runs, named, strict=True)]
    rest = [
        only(run, np.flatnonzero((each != value) & (each != _UNKNOWN)))
        for run, each in zip(runs, named, strict=True)
    ]
    kept = _measurable(inside)
    both = [k for k in kept if k in _measurable(rest)] if value != _UNKNOWN else []
    left = [name for k, name in enumerate(targets) if k not in kept]
    notes = []
    if left:
        few = "fewer than 10 patients with it or without it, or none of them in some run"
        notes.append(f"left out of the mean ({few}): {', '.join(left)}")
    found: Interval | None = None
    if kept:
        found = paired_difference([only(run, slice(None), kept) for run in inside], **settings)
        notes += [found.note] if found.note else []
    else:
        notes.append(f"no estimate: no target has {MINIMUM_POSITIVES} patients in each class")
    against = _against(runs, inside, rest, both, **settings) if both else None
    patients = np.concatenate([np.asarray(run.patient) for run in inside])
    return Subgroup(
        group=group,
        value=value,
        records=max(len(run.patient) for run in inside),
        patients=len(np.unique(patients)),
        difference=None if found is None else found.difference,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        word=None if found is None else word(found, margin),
        note="; ".join(notes),
        against_rest=None if against is None else against.difference,
        against_rest_low=None if against is None else against.low,
        against_rest_high=None if against is None else against.high,
        targets=tuple(targets[k] for k in kept),
        targets_against_rest=tuple(targets[k] for k in both),
    )


def _against(
    runs: Sequence[PairedRun],
    inside: Sequence[PairedRun],
    rest: Sequence[PairedRun],
    columns: Sequence[int],
    *,
    level: float,
    resamples: int,
    seed: int,
) -> Interval:
    """Return the difference between arms inside less that in the rest."""
    own = [only(run, slice(None), columns) for run in (*inside, *rest)]
    found = resampled_aurocs(own, resamples=resamples, seed=seed)
    point, drawn = found.point[0] - found.point[1], found.drawn[0] - found.drawn[1]
    half = len(inside)
    within, without = support(own[:half]), support(own[half:])
    # A patient may be on both sides, with records at two ages.
    both = np.cov(drawn)[:half, half:]
    cover = run_covariance(drawn[:half], within) + run_covariance(drawn[half:], without) - both - both.T
    return crossed_interval(
        runs,
        point[:half] - point[half:],
        cover,
        freedom=min(within.freedom, without.freedom),
        level=level,
        positives=min(within.positives, without.positives),
        negatives=min(within.negatives, without.negatives),
        bounds=(-2.0, 2.0),
    )


def _measurable(runs: Sequence[PairedRun]) -> list[int]:
    """Return the columns with 10 patients in each class over all runs, and both classes in every run."""
    enough = support(runs).rarer >= MINIMUM_POSITIVES
    for run in runs:
        labels = np.asarray(run.labels)
        enough &= (labels == 0).any(axis=0) & (labels == 1).any(axis=0)
    return [int(k) for k in np.flatnonzero(enough)]
