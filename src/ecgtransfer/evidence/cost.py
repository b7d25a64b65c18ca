"""What trainings cost, and after how many projects a pre-training has paid for itself.

**Operations.** A backward pass costs about twice a forward pass (gradients with respect to inputs and to
weights, each as many products as the forward pass), so a training step costs three forward passes
(Kaplan et al. 2020, table 1; Amodei and Hernandez 2018, AI and compute, appendix).

**Break-even.** One pre-training, with everything that was spent to find its settings, is paid back by the
saving of each project that uses it: cost of learning from scratch less cost of fine-tuning, both with the
search of their learning rate and up to the same point. The interval of the mean saving is Student's over
seeds, both arms of a seed together (five seeds are too few for a percentile bootstrap, which then covers
about 84 %); since the pre-training is a given sum, that of the number of projects follows from it exactly.
Where the saving's interval includes zero, *never* cannot be excluded. Where costs are known up to the edges
of a grid of budgets, the estimate takes the budgets that succeeded, and the interval's ends are those of the
smallest and of the largest saving that the edges leave possible.

References
----------
Kaplan et al. (2020), Scaling laws for neural language models, arXiv:2001.08361; Strubell et al. (2019),
Energy and policy considerations for deep learning in NLP, ACL, for energy from power and time; Fieller (1954)
for why the limits of a ratio with a fixed numerator are the reciprocals of those of its denominator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.elementary import student_interval


@dataclass(frozen=True)
class BreakEven:
    """After how many projects a pre-training has paid for itself.

    Attributes
    ----------
    state : str
        ``zero`` (the weights were downloaded), ``after`` (so many projects), ``never`` (no saving), or
        ``unclear`` (what pre-training cost is not known, runs of the pre-trained arm are censored, or nothing
        was measured).
    projects : int or None
    low, high : int or None
        Interval; a high of None beside a low is open: never cannot be excluded.
    saving, saving_low, saving_high : float or None
        Per project, in ``unit``; an open high where runs from scratch are censored.
    pretraining : float or None
        Its cost in ``unit``.
    unit : str
    text : str
        One sentence.
    """

    state: Literal["after", "never", "zero", "unclear"]
    projects: int | None
    low: int | None
    high: int | None
    saving: float | None
    saving_low: float | None
    saving_high: float | None
    pretraining: float | None
    unit: str
    text: str


def training_flops(
    forward_per_record: float,
    records_seen: float,
    *,
    backward: float = 2.0,
    forward_only_records: float = 0.0,
) -> float:
    """Return the floating-point operations of a training.

    Parameters
    ----------
    forward_per_record : float
        Operations of one record's forward pass; a multiply-add counts as two.
    records_seen : float
        Records that passed forward and backward: updates × batch size.
    backward : float
        Cost of a backward pass in forward passes; 0 where the encoder is frozen and its features are kept.
    forward_only_records : float
        Records that passed forward alone, for validation.

    Raises
    ------
    DataError
        A negative figure.
    """
    if min(forward_per_record, records_seen, backward, forward_only_records) < 0:
        raise DataError("operations, records and the cost of a backward pass must not be negative")
    return forward_per_record * (records_seen * (1.0 + backward) + forward_only_records)


def energy_wh(seconds: float, watts: float) -> float:
    """Return the energy in Wh of a power in W over a time in s.

    Raises
    ------
    DataError
        A negative figure.
    """
    if min(seconds, watts) < 0:
        raise DataError(f"{seconds} s and {watts} W must not be negative")
    return seconds * watts / 3600.0


def break_even(
    scratch: Sequence[float],
    arm: Sequence[float],
    *,
    pretraining: float | None,
    unit: str,
    per_project: str = "",
    scratch_least: Sequence[float] | None = None,
    arm_least: Sequence[float] | None = None,
    scratch_reached: Sequence[bool] | None = None,
    arm_reached: Sequence[bool] | None = None,
    downloaded: bool = False,
    level: float = 0.95,
) -> BreakEven:
    """Return after how many projects a pre-training has paid for itself.

    Parameters
    ----------
    scratch, arm : sequence of float
        Cost of one project per seed, in the same order of seeds, the search of the rate included.
    pretraining : float or None
        Cost of one pre-training, in the same unit; None where it is not known.
    unit : str
        What is counted: updates, seconds, FLOPs.
    per_project : str
        Up to which point both are counted, for the sentence.
    scratch_least, arm_least : sequence of float, optional
        What each would have cost at least, where costs are known up to a grid; left out, they are exact.
    scratch_reached, arm_reached : sequence of bool, optional
        Whether each got to that point; the cost of one that did not is a lower bound. For scratch the
        number of projects then is an upper bound, for the arm nothing can be said.
    downloaded : bool
        The weights cost nothing here.
    level : float

    Raises
    ------
    DataError
        No seed, arrays of different lengths, or a negative cost.
    """
    theirs, mine = np.asarray(scratch, np.float64), np.asarray(arm, np.float64)
    their_least = theirs if scratch_least is None else np.asarray(scratch_least, np.float64)
    my_least = mine if arm_least is None else np.asarray(arm_least, np.float64)
    costs = [*theirs.ravel(), *mine.ravel(), *their_least.ravel(), *my_least.ravel(), pretraining or 0.0]
    if theirs.ndim != 1 or not len(theirs) or theirs.shape != mine.shape:
        raise DataError(
            f"{theirs.shape} costs of scratch and {mine.shape} of the arm: one per seed is needed"
        )
    if their_least.shape != theirs.shape or my_least.shape != mine.shape:
        raise DataError("least costs are not one per seed")
    if not np.isfinite(costs).all() or min(costs) < 0:
        raise DataError("a cost is negative or not finite")
    if (their_least > theirs).any() or (my_least > mine).any():
        raise DataError("a least cost is above the cost")
    if not 0.0 < level < 1.0:
        raise DataError(f"level {level} must lie within (0, 1)")
    savings = theirs - mine
    saving = float(savings.mean())
    low, _ = student_interval(their_least - mine, level)
    _, high = student_interval(theirs - my_least, level)
    lost = 0 if arm_reached is None else int((~np.asarray(arm_reached, bool)).sum())
    late = 0 if scratch_reached is None else int((~np.asarray(scratch_reached, bool)).sum())
    if late:
        high = None  # nothing bounds what a run that never got there would have cost
    counted = f", counted in {unit}{f' {per_project}' if per_project else ''}"

    def told(
        state: Literal["after", "never", "zero", "unclear"],
        text: str,
        projects: tuple[int | None, int | None, int | None] = (None, None, None),
    ) -> BreakEven:
        ends = saving, low, high
        return BreakEven(
            state, *projects, *ends, 0.0 if downloaded else pretraining, unit, f"{text}{counted}."
        )

    if downloaded:
        return told(
            "zero", "The pre-trained weights were downloaded: there is nothing to pay back", (0, 0, 0)
        )
    if lost:
        reason = f"{lost} of {len(mine)} pre-trained runs never got there"
        return told("unclear", f"Whether pre-training pays for itself cannot be said: {reason}")
    if pretraining is None:
        return told(
            "unclear", "What pre-training cost is not known, so when it pays for itself is not either"
        )
    possible = float((theirs - my_least).mean())
    if saving <= 0 < possible and not late:
        return told(
            "unclear",
            "When pre-training pays for itself cannot be said: the budgets are too coarse to tell the arms "
            "apart",
        )
    if saving <= 0 and not late:
        maybe = (
            "" if high is None or high <= 0 else f"; at best after {_projects(pretraining, high):,} projects"
        )
        least = None if high is None or high <= 0 else _projects(pretraining, high)
        return told(
            "never",
            f"Pre-training never pays for itself: it saves nothing{maybe}",
            (None, least, None),
        )
    if saving <= 0:
        reason = (
            f"{late} of {len(theirs)} runs from scratch never got there, so what they would cost is not known"
        )
        return told("unclear", f"When pre-training pays for itself cannot be said: {reason}")
    projects = _projects(pretraining, saving)
    least = None if low is None else _projects(pretraining, high) if high else min(1, projects)
    most = None if low is None or low <= 0 else _projects(pretraining, low)
    if low is None:
        sure = "one seed gives no interval"
    else:
        sure = f"{100 * level:g} % interval {least:,} to {'never' if most is None else f'{most:,}'}"
    after = f"{projects:,} such project{'s' if projects != 1 else ''}{', perhaps fewer' if late else ''}"
    if late:
        sure += f"; {late} of {len(theirs)} runs from scratch never got there and count as if they just had"
    return told("after", f"Pre-training pays for itself after {after} ({sure})", (projects, least, most))


def _projects(pretraining: float, saving: float) -> int:
    """Return the first whole number of projects whose savings cover the sum."""
    return ceil(pretraining / saving * (1.0 - 1e-12))
