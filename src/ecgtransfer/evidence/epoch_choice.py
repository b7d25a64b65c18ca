"""What choosing the epoch on the test part adds to the number reported: measured within the same runs.

The published study scores the test part after every epoch and reports the maximum. The maximum of many noisy
scores is too high, and what it is too high by can be measured without another training: choose the epoch on
one random half of the test records, let that epoch call the other half, the other way round too, and score
all calls together. No record has then helped to choose the epoch that calls it, and the score is over as many
records as the reported one. The *inflation* is reported minus cross-fitted, averaged over many divisions into
halves. Halves divide no patient, because his two ECGs err together.

Half a test part chooses a little worse than the whole, so the estimate errs to the high side. In simulations
with a known truth (40 epochs; 66 to 2,200 test records; 2 to 7 targets) it was 0.85 to 1.15 times the true
inflation, and 1.4 times where that was 0.004. Comparing both on the halves instead would give 1.2 to 1.9
times the truth, because a half is fooled more than the whole.

The score is F1 at probability 0.5, averaged over targets with their positives as weights: scikit-learn's
``f1_score(average="weighted")``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgtransfer.errors import DataError

Average = Literal["weighted", "mean"]
Floats = NDArray[np.float64]

HALVINGS = 200


@dataclass(frozen=True)
class EpochChoice:
    """What choosing the epoch on the test part did to one run.

    Attributes
    ----------
    average : {'weighted', 'mean'}
        How the F1 of the targets were averaged: with their positives as weights, or plainly.
    epochs : int
        Epochs that were scored; fewer than planned where training diverged.
    scores : tuple of float
        After each epoch, over the whole test part.
    reported, best_epoch : float, int
        The highest of them, as the study reports it, and the first epoch that has it, counted from 1.
    last : float
        After the last epoch: nothing was chosen.
    crossfitted : float
        What the chosen epochs are worth on records that did not choose them.
    halves_reported : float
        The mean of the highest score on each half alone: what would be reported of a test part half the size.
    halvings : int
        Divisions into halves that the two are averaged over.
    plateau, jitter : float
        Mean of the scores over the second half of the epochs, and their standard deviation around a straight
        line: how far a score moves from epoch to epoch when the training has settled. The jitter of fewer
        than three epochs is None.
    """

    average: Average
    epochs: int
    scores: tuple[float, ...]
    reported: float
    best_epoch: int
    last: float
    crossfitted: float
    halves_reported: float
    halvings: int
    plateau: float
    jitter: float | None

    @property
    def inflation(self) -> float:
        """Reported minus cross-fitted."""
        return self.reported - self.crossfitted

    def as_dict(self) -> dict[str, Any]:
        """Return everything, the inflation too, ready for JSON."""
        return {**asdict(self), "scores": list(self.scores), "inflation": self.inflation}


def f1_by_epoch(labels: ArrayLike, logits: ArrayLike, *, average: Average = "weighted") -> Floats:
    """Return the averaged F1 of every epoch at probability 0.5.

    Parameters
    ----------
    labels : array [records, targets]
        1 present, 0 absent, NaN unknown (left out).
    logits : array [epochs, records, targets]
    average : {'weighted', 'mean'}
        ``weighted`` by the positives here, ``mean`` plainly. A target that nobody has and nobody was given
        has an F1 of 0.

    Returns
    -------
    float array [epochs]
    """
    return _f1(_Counts.of(labels, logits).total(), average)


def choose_on_test(
    labels: ArrayLike,
    logits: ArrayLike,
    groups: ArrayLike,
    rng: np.random.Generator,
    *,
    halvings: int = HALVINGS,
    average: Average = "weighted",
) -> EpochChoice:
    """Report the best epoch as the study does, and measure what that adds.

    Parameters
    ----------
    labels : array [records, targets]
        Of the test part; 1 present, 0 absent, NaN unknown.
    logits : array [epochs, records, targets]
        Of the test part after every epoch.
    groups : array [records]
        What no division into halves may divide: the patient.
    rng : numpy Generator
        Draws the halves.
    halvings : int
        How many divisions.
    average : {'weighted', 'mean'}

    Returns
    -------
    EpochChoice

    Raises
    ------
    DataError
        Shapes do not fit, or there is no epoch, or all the records are of one group.
    """
    counts = _Counts.of(labels, logits)
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    if group.shape != (counts.n_records,):
        raise DataError(f"{len(group)} groups for {counts.n_records} test records")
    n_groups = int(group.max()) + 1
    if n_groups < 2:
        raise DataError("the test records are all of one patient, so that they cannot be halved")
    whole = counts.total()
    scores = _f1(whole, average)
    crossfitted, halves = [], []
    for _ in range(halvings):
        first = (rng.permutation(n_groups) < n_groups // 2)[group]
        one = counts.of_records(first)
        # Counts are sums over records, so the other half is the rest.
        other = whole - one
        chosen_by_one, chosen_by_other = (int(np.argmax(_f1(part, average))) for part in (one, other))
        halves += [_f1(one, average)[chosen_by_one], _f1(other, average)[chosen_by_other]]
        crossfitted.append(_f1((one[:, chosen_by_other] + other[:, chosen_by_one])[:, None], average)[0])
    best = int(np.argmax(scores))
    settled = scores[len(scores) // 2 :]
    return EpochChoice(
        average=average,
        epochs=len(scores),
        scores=tuple(map(float, scores)),
        reported=float(scores[best]),
        best_epoch=best + 1,
        last=float(scores[-1]),
        crossfitted=float(np.mean(crossfitted)),
        halves_reported=float(np.mean(halves)),
        halvings=halvings,
        plateau=float(settled.mean()),
        jitter=_jitter(settled),
    )


@dataclass(frozen=True, eq=False)
class _Counts:
    """Hits, calls and positives per epoch and target, as sums over records that are still apart."""

    hits: NDArray[np.float32]  # [records, epochs x targets]
    calls: NDArray[np.float32]
    positives: NDArray[np.float32]  # [records, targets]
    shape: tuple[int, int]  # epochs, targets

    @classmethod
    def of(cls, labels: ArrayLike, logits: ArrayLike) -> _Counts:
        y, z = np.asarray(labels, dtype=np.float64), np.asarray(logits)
        if z.ndim != 3 or z.shape[1:] != y.shape or 0 in z.shape:
            raise DataError(
                f"labels {y.shape} and logits {z.shape} have to be [records, targets] and "
                "[epochs, records, targets], none of them empty"
            )
        known = ~np.isnan(y)
        present = known & (y == 1)
        called = (z >= 0) & known
        epochs, records, targets = z.shape
        flat = (records, epochs * targets)
        return cls(
            hits=(called & present).transpose(1, 0, 2).reshape(flat).astype(np.float32),
            calls=called.transpose(1, 0, 2).reshape(flat).astype(np.float32),
            positives=present.astype(np.float32),
            shape=(epochs, targets),
        )

    @property
    def n_records(self) -> int:
        return len(self.positives)

    def of_records(self, chosen: NDArray[np.bool_]) -> Floats:
        """Return hits, calls and positives ``[3, epochs, targets]`` of some records."""
        # Whole numbers below 2^24 are exact in float32.
        weights = chosen.astype(np.float32)
        return np.stack(
            [
                (weights @ self.hits).reshape(self.shape),
                (weights @ self.calls).reshape(self.shape),
                np.broadcast_to(weights @ self.positives, self.shape),
            ]
        ).astype(np.float64)

    def total(self) -> Floats:
        return self.of_records(np.ones(self.n_records, dtype=bool))


def _f1(counts: Floats, average: Average) -> Floats:
    """Return the averaged F1 ``[epochs]`` of counts ``[3, epochs, targets]``."""
    hits, calls, positives = counts
    f1 = 2 * hits / np.maximum(calls + positives, 1)
    if average == "mean":
        return np.asarray(f1.mean(axis=1))
    return np.asarray((f1 * positives).sum(axis=1) / np.maximum(positives.sum(axis=1), 1))


def _jitter(scores: Floats) -> float | None:
    if len(scores) < 3:
        return None
    x = np.arange(len(scores))
    rest = scores - np.polyval(np.polyfit(x, scores, 1), x)
    return float(np.sqrt((rest**2).sum() / (len(scores) - 2)))
