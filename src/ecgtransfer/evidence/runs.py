"""The test predictions of runs, and what one run's are worth under many weightings of its patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.auroc import RankedScores


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


class RankedRun:
    """One run with every score sorted once, ready for any number of weightings.

    Parameters
    ----------
    run : SingleRun
        Whose labels count.
    arms : sequence of array [records, targets]
        Scores of each arm.
    signs : tuple of float
        The value is the sum of these times the arms' macro AUROCs.
    units : int array [records]
        Which row of the weights each record takes: its patient.

    Attributes
    ----------
    value : float
        With equal weights; NaN where no target can be measured.
    lost : list of int
        Targets without a positive or without a negative.
    """

    def __init__(
        self,
        run: SingleRun,
        arms: Sequence[NDArray[np.floating[Any]]],
        signs: tuple[float, ...],
        units: NDArray[np.intp],
    ) -> None:
        labels = np.asarray(run.labels, np.float64)
        self.signs, self.lost = signs, []
        self._targets: list[tuple[float, float, list[RankedScores]]] = []
        for target in range(labels.shape[1]):
            column = labels[:, target]
            few = min(len(set(units[column == value].tolist())) for value in (0.0, 1.0))
            if few == 0:
                self.lost.append(target)
                continue
            ranked = [
                RankedScores(column, np.asarray(scores, np.float64)[:, target], units) for scores in arms
            ]
            point = sum(sign * arm.auroc for sign, arm in zip(signs, ranked, strict=True))
            # One patient has no spread of its own to scale: two are taken, the seeds' spread says the rest.
            few = max(few, 2)
            self._targets.append((point, ((few + 1.0) / (few - 1.0)) ** 0.5, ranked))
        self.value = (
            float(np.mean([point for point, _, _ in self._targets])) if self._targets else float("nan")
        )

    def under(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value under each weighting of a block [patients, weightings].

        The spread is recentred on the value, each target's scaled for its few patients.
        """
        if not self._targets:
            return np.zeros(block.shape[1])
        total = np.zeros(block.shape[1])
        for point, scale, ranked in self._targets:
            weighted = sum(sign * arm.under(block) for sign, arm in zip(self.signs, ranked, strict=True))
            total += (weighted - point) * scale
        return self.value + total / len(self._targets)


def patients_of(runs: Sequence[SingleRun]) -> tuple[NDArray[Any], list[NDArray[np.intp]]]:
    """Return the distinct patients of all runs, and for each run its records' positions among them."""
    ids, inverse = np.unique(np.concatenate([np.asarray(run.patient) for run in runs]), return_inverse=True)
    ends = np.cumsum([len(run.patient) for run in runs])[:-1]
    return ids, [part.astype(np.intp) for part in np.split(inverse, ends)]


@dataclass(frozen=True, eq=False)
class Support:
    """How many test patients there are.

    Attributes
    ----------
    rarer : array [targets]
        Distinct patients in the rarer class of each target, over all folds.
    positives, negatives : int
        Distinct patients of the scarcest target.
    members : bool array [targets, runs, patients]
        Whether a patient belongs to the rarer class of a target in a run's test part.
    """

    rarer: NDArray[np.float64]
    positives: int
    negatives: int
    members: NDArray[np.bool_]

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the patients' variance, from the rarer class of each target."""
        rarer = np.maximum(self.rarer, 2.0)
        return float(1.0 / np.average(1.0 / (rarer - 1.0), weights=1.0 / rarer))


def support_of(runs: Sequence[SingleRun], units: Sequence[NDArray[np.intp]]) -> Support:
    """Return how many test patients there are, with and without each target."""
    patients, targets = int(max(rows.max(initial=-1) for rows in units)) + 1, np.shape(runs[0].labels)[1]
    kept = np.zeros((targets, len(runs), patients), bool)
    counts = np.zeros((targets, 2), np.int64)
    for k in range(targets):
        members = np.zeros((2, len(runs), patients), bool)
        for r, (run, rows) in enumerate(zip(runs, units, strict=True)):
            column = np.asarray(run.labels)[:, k]
            members[0, r, rows[column == 0]], members[1, r, rows[column == 1]] = True, True
        counts[k] = members.any(axis=1).sum(axis=1)
        kept[k] = members[0 if counts[k, 0] < counts[k, 1] else 1]
    positives, negatives = counts.min(axis=0)[[1, 0]]
    return Support(counts.min(axis=1).astype(np.float64), int(positives), int(negatives), kept)


def unmeasured(runs: Sequence[SingleRun], lost: Sequence[list[int]]) -> list[str]:
    """Return, in one sentence or none, which targets were left out where."""
    places = [
        f"target {target} at seed {run.seed}"
        for run, targets in zip(runs, lost, strict=True)
        for target in targets
    ]
    if not places:
        return []
    shown = ", ".join(places[:5]) + (f" and {len(places) - 5} more" if len(places) > 5 else "")
    return [f"left out of the macro mean, for want of a positive or a negative in the fold: {shown}"]


def check_predictions(
    runs: Sequence[SingleRun],
    arms: Sequence[Sequence[NDArray[np.floating[Any]]]],
    resamples: int,
    level: float,
) -> None:
    """Refuse no runs, shapes that disagree, a run that is given twice and impossible settings.

    Raises
    ------
    DataError
    """
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
