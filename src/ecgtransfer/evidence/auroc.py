"""The area under the ROC curve under many weightings of the same records at once, in matrix form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgtransfer.errors import DataError

# Weightings handled together: so many that a row of a block outweighs the call that adds it, so few that a
# block of [patients, weightings] takes about 8 MB.
_NARROWEST, _WIDEST, _ELEMENTS = 64, 1024, 1_000_000


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Return the AUROC under each of many record weightings.

    The weighted Mann-Whitney statistic: the weight of the pairs (positive, negative) in which the positive
    has the higher score, ties counting one half, over the weight of all pairs. Scores are sorted once; a
    sparse matrix then adds up, for all weightings together, what lies between neighbours of the rarer class.

    Parameters
    ----------
    labels : array [records]
        1 present, 0 absent, NaN unknown (left out).
    scores : array [records]
        Any monotone score, such as logits; must be finite where the label is known.
    weights : array [weightings, records]
        Non-negative record weights, such as resampling counts.

    Returns
    -------
    array [weightings]
        NaN where the positives or the negatives have no weight.

    Raises
    ------
    DataError
        When shapes disagree, a label is not 1, 0 or NaN, or a score is not finite.

    References
    ----------
    Hanley and McNeil (1982), Radiology 143(1).
    """
    labels, scores = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    weights = np.asarray(weights, np.float64)
    if labels.ndim != 1 or scores.shape != labels.shape or weights.shape[1:] != labels.shape:
        raise DataError(
            f"labels {labels.shape}, scores {scores.shape} and weights {weights.shape} do not fit together",
            remedy="Expected [records], [records] and [weightings, records]",
        )
    if weights.size and not (np.isfinite(weights).all() and weights.min() >= 0):
        raise DataError("weights must be finite and not negative")
    return RankedScores(labels, scores).aurocs(blocks(weights.T))


class RankedScores:
    """One sorted set of scores, ready for any number of weightings.

    Parameters
    ----------
    labels, scores : array [records]
        As for :func:`weighted_auroc`.
    units : int array [records], optional
        Which row of the weights each record takes (its patient); by default its own.

    Attributes
    ----------
    auroc : float
        With equal weights of the records; NaN without a positive or a negative.
    """

    def __init__(
        self, labels: NDArray[np.float64], scores: NDArray[np.float64], units: NDArray[np.intp] | None = None
    ) -> None:
        known = ~np.isnan(labels)
        if not np.isin(labels[known], (0.0, 1.0)).all():
            raise DataError("labels must be 1 (present), 0 (absent) or NaN (unknown)")
        if not np.isfinite(scores[known]).all():
            raise DataError(
                f"{int((~np.isfinite(scores[known])).sum())} of {int(known.sum())} scores are not finite",
                remedy="A network that diverged has no AUROC; look at its history",
            )
        rows = np.arange(len(labels)) if units is None else units
        positive, negative = known & (labels == 1), known & (labels == 0)
        # The larger class is summed up between the members of the smaller one: fewer rows to work on.
        self.flipped = int(positive.sum()) > int(negative.sum())
        few, many = (negative, positive) if self.flipped else (positive, negative)
        order = np.argsort(scores[few], kind="stable")
        ranked, self.few_rows, self.many_rows = scores[few][order], rows[few][order], rows[many]
        ties_from, above = (np.searchsorted(ranked, scores[many], side=side) for side in ("left", "right"))
        self.between = _between(ties_from, above, len(ranked), self.many_rows)
        self.auroc = float("nan")
        if len(ranked) and len(above):
            share = 1.0 - float(np.mean(above + ties_from)) / (2.0 * len(ranked))
            self.auroc = 1.0 - share if self.flipped else share

    def aurocs(self, weights: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the AUROC for each weighting in the :func:`blocks` of [units, weightings]."""
        return np.concatenate([self.under(block) for block in weights])

    def under(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the AUROC under each weighting of one block [units, weightings]."""
        result = np.full(block.shape[1], np.nan)
        if not len(self.few_rows) or not len(self.many_rows):
            return result
        # Row i: the weight of the larger class that member i of the smaller one, in rank order, wins over.
        below = self.between @ block[: self.between.shape[1]]
        # Row by row: NumPy's own cumulative sum over the first axis goes column by column, four times slower.
        rows = list(below)
        for row, next_row in pairwise(rows):
            np.add(row, next_row, out=next_row)
        mine = block[self.few_rows]
        won, pairs = np.einsum("rb,rb->b", mine, below[:-1]), mine.sum(axis=0) * below[-1]
        np.divide(won, pairs, out=result, where=pairs > 0)
        return 1.0 - result if self.flipped else result


def patient_weights(units: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield blocks [units, weightings] of exponential weights: the Bayesian bootstrap (Rubin 1981).

    A block is drawn when it is asked for and has a stream of its own: memory does not grow with the number of
    weightings.

    Parameters
    ----------
    units : int
        Patients; each gets one weight per weighting.
    resamples : int
        Weightings in all.
    seed : int
    """
    width = _width(units)
    for start in range(0, resamples, width):
        random = np.random.default_rng([seed, start])
        yield random.standard_exponential((units, min(width, resamples - start)))


def blocks(weights: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cut weights [units, weightings] into contiguous pieces of moderate width."""
    width = _width(len(weights))
    starts = range(0, weights.shape[1], width)
    return [np.ascontiguousarray(weights[:, start : start + width]) for start in starts]


def _width(units: int) -> int:
    return min(_WIDEST, max(_NARROWEST, _ELEMENTS // max(units, 1)))


def _between(ties_from: NDArray[np.intp], above: NDArray[np.intp], ranks: int, rows: NDArray[np.intp]) -> Any:
    """Return the sparse matrix [ranks + 1, units] whose cumulative sum is what each rank wins over.

    A score enters at the first rank above it, half of it already at the first rank that it ties with; what
    lies above all ranks goes into the last row.
    """
    # scipy is slow to import and not among the core dependencies.
    from scipy.sparse import csr_array

    where, share = above, 1.0
    if (ties_from != above).any():
        where, rows, share = np.concatenate([ties_from, above]), np.concatenate([rows, rows]), 0.5
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(ranks + 2))
    shape = (ranks + 1, int(rows.max(initial=-1)) + 1)
    return csr_array((np.full(len(rows), share), rows[order], starts), shape=shape)
