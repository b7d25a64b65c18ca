"""Each statement by itself, and where pre-training seems to harm: beside the verdicts, and exploratory.

All intervals here are the paired ones of `intervals`, adjusted for nothing: among many of them some exclude
zero by chance. They say where to look, not what is so.

References
----------
Wang et al. (2019), Characterizing and avoiding negative transfer, CVPR; Altman and Bland (1995), Statistics
notes: absence of evidence is not evidence of absence, BMJ 311.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.auroc import RankedScores
from ecgtransfer.evidence.crossed import average_by_seed
from ecgtransfer.evidence.intervals import paired_difference
from ecgtransfer.evidence.runs import PairedRun
from ecgtransfer.evidence.verdict import MARGIN, Word, word


@dataclass(frozen=True)
class StatementDifference:
    """One statement: AUROC of the arm, and its difference to the reference.

    Attributes
    ----------
    target : str
    auroc, reference_auroc : float or None
        Mean over seeds.
    positives : int
        Distinct test patients with the target.
    difference, low, high : float or None
        Interval over patients × seeds, adjusted for nothing.
    word : str or None
        What this contrast alone supports; exploratory.
    note : str
    """

    target: str
    auroc: float | None
    reference_auroc: float | None
    positives: int
    difference: float | None
    low: float | None
    high: float | None
    word: Word | None
    note: str


@dataclass(frozen=True)
class TargetSize:
    """A difference at one target and size, as :func:`negative_transfer` takes it."""

    target: str
    n: int
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class NegativeRow:
    """A target and size at which pre-training seems to harm, and why it is listed."""

    target: str
    n: int
    difference: float
    low: float | None
    high: float | None
    why: str


@dataclass(frozen=True)
class NegativeTransfer:
    """Where pre-training seems to harm.

    Attributes
    ----------
    rows : tuple of NegativeRow
        The most negative first.
    examined : int
        Differences that were looked at.
    expected_by_chance : float
        How many of their intervals would lie below zero if pre-training changed nothing.
    text : str
    """

    rows: tuple[NegativeRow, ...]
    examined: int
    expected_by_chance: float
    text: str


def per_statement(
    runs: Sequence[PairedRun],
    targets: Sequence[str],
    *,
    margin: float = MARGIN,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int,
) -> tuple[StatementDifference, ...]:
    """Return the paired difference of each statement by itself.

    Parameters
    ----------
    runs : sequence of PairedRun
        One per seed (and pre-training seed).
    targets : sequence of str
        Names of the columns.
    margin, level, resamples, seed
        As for :func:`verdicts` and :func:`paired_difference`.

    Raises
    ------
    DataError
        As many names as columns are needed; and what :func:`paired_difference` refuses.
    """
    check_targets(runs, targets)
    rows = []
    for k, target in enumerate(targets):
        own = [only(run, slice(None), [k]) for run in runs]
        found = paired_difference(own, resamples=resamples, level=level, seed=seed)
        rows.append(
            StatementDifference(
                target=target,
                auroc=_mean_auroc(own, [run.scores_a for run in own]),
                reference_auroc=_mean_auroc(own, [run.scores_b for run in own]),
                positives=found.minimum_positives,
                difference=found.difference,
                low=found.low,
                high=found.high,
                word=word(found, margin),
                note=found.note if found.difference is not None else _not_measured(own),
            )
        )
    return tuple(rows)


def _not_measured(runs: Sequence[PairedRun]) -> str:
    """Say at how many seeds the only target of these runs lacks one of its classes."""
    seeds = {run.seed for run in runs}
    lacking = {run.seed for run in runs if not {0.0, 1.0} <= set(np.asarray(run.labels, float).ravel())}
    return f"no positive or no negative in the test part of {len(lacking)} of {len(seeds)} seeds"


def negative_transfer(
    rows: Sequence[TargetSize], *, margin: float = MARGIN, level: float = 0.95
) -> NegativeTransfer:
    """Return where pre-training seems to harm: the interval below zero, or the estimate below -margin.

    Parameters
    ----------
    rows : sequence of TargetSize
        All that were looked at, not only the suspicious ones; those without an estimate are not counted.
    margin, level : float
        The level is that of the rows' intervals.
    """
    told = [row for row in rows if row.difference is not None]
    sure = sum(row.high is not None for row in told)
    found = []
    for row in told:
        difference = row.difference or 0.0
        if row.high is not None and row.high < 0:
            why = f"the {100 * level:g} % interval lies below zero"
        elif difference < -margin:
            why = f"the estimate lies below {-margin:g}"
            why += ", the interval does not exclude zero" if row.high is not None else ", without an interval"
        else:
            continue
        found.append(NegativeRow(row.target, row.n, difference, row.low, row.high, why))
    expected = sure * (1.0 - level) / 2.0
    below = sum(row.high is not None and row.high < 0 for row in found)
    text = (
        f"Exploratory: of {len(told)} differences (statement by size) {len(found)} "
        f"{'hints' if len(found) == 1 else 'hint'} at harm; of {sure} intervals {below} "
        f"{'lies' if below == 1 else 'lie'} below zero, where about {expected:.1f} would by chance."
    )
    ordered = sorted(found, key=lambda row: row.difference)
    return NegativeTransfer(tuple(ordered), len(told), expected, text)


def _mean_auroc(runs: Sequence[PairedRun], scores: Sequence[NDArray[Any]]) -> float | None:
    """Return the mean AUROC over seeds of one column; None where a run cannot measure it."""
    values = [
        RankedScores(np.asarray(run.labels, np.float64)[:, 0], np.asarray(column, np.float64)[:, 0]).aurocs(
            [np.ones((len(run.patient), 1))]
        )[0]
        for run, column in zip(runs, scores, strict=True)
    ]
    _, by_seed = average_by_seed(runs)
    mean = float((by_seed @ np.array(values)).mean())
    return mean if np.isfinite(mean) else None


def only(run: PairedRun, rows: Any, columns: Sequence[int] | None = None) -> PairedRun:
    """Return a run with some of its records and targets."""
    chosen = slice(None) if columns is None else list(columns)
    labels, a, b = (np.asarray(v)[rows][:, chosen] for v in (run.labels, run.scores_a, run.scores_b))
    return replace(run, patient=np.asarray(run.patient)[rows], labels=labels, scores_a=a, scores_b=b)


def check_targets(runs: Sequence[PairedRun], targets: Sequence[str]) -> None:
    """Refuse names that do not fit the columns of the labels.

    Raises
    ------
    DataError
    """
    odd = [run for run in runs if np.shape(run.labels)[1:] != (len(targets),)]
    if odd:
        raise DataError(
            f"{len(targets)} targets are named, the labels have shape {np.shape(odd[0].labels)}",
            where=f"seed {odd[0].seed}",
        )
