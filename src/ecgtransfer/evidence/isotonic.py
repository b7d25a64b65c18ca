"""Monotone curves, for many curves at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def increasing(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the never decreasing curves nearest to the given ones in weighted squares.

    By the max-min formula of isotonic regression: at i, the greatest over a ≤ i of the least over b ≥ i of
    the weighted mean from a to b. Quadratic in the few points of a curve, and vectorised over curves.

    Parameters
    ----------
    values : array [curves, points]
    weights : array [points]
        Positive.

    References
    ----------
    Barlow et al. (1972), Statistical inference under order restrictions, chapter 1.
    """
    points = values.shape[1]
    weight = np.concatenate([[0.0], np.cumsum(weights)])
    total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values * weights, axis=1)], axis=1)
    result = np.full_like(values, -np.inf)
    for a in range(points):
        least = np.full(len(values), np.inf)
        for b in range(points - 1, a - 1, -1):
            least = np.minimum(least, (total[:, b + 1] - total[:, a]) / (weight[b + 1] - weight[a]))
            np.maximum(result[:, b], least, out=result[:, b])
    return result


def decreasing(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the never increasing curves nearest to the given ones, as :func:`increasing` does."""
    return -increasing(-values, weights)


def first_reaching(
    curves: NDArray[np.float64], x: NDArray[np.float64], level: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return where never decreasing curves first reach a level, linear between points.

    Parameters
    ----------
    curves : array [curves, points]
    x : array [points]
        Ascending.
    level : array [curves]

    Returns
    -------
    array [curves]
        -inf where the curve lies above the level from its first point on, +inf where it never reaches it.
    """
    reached = curves >= level[:, None]
    first = np.argmax(reached, axis=1)
    rows = np.flatnonzero(reached.any(axis=1) & (first > 0))
    result = np.where(reached[:, 0], np.where(curves[:, 0] > level, -np.inf, x[0]), np.inf)
    k = first[rows]
    before, after = curves[rows, k - 1], curves[rows, k]
    result[rows] = x[k - 1] + (level[rows] - before) / (after - before) * (x[k] - x[k - 1])
    return result
