"""Intervals that every textbook has: of a rate, and of a mean.

References
----------
Clopper and Pearson (1934), Biometrika 26(4); Student (1908), The probable error of a mean, Biometrika 6(1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def clopper_pearson(count: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a rate.

    Parameters
    ----------
    count, of : int
        So many of so many.
    level : float
    """
    from scipy.special import betaincinv  # slow to import, and not among the core dependencies

    tail = (1.0 - level) / 2.0
    low = float(betaincinv(count, of - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, of - count, 1.0 - tail)) if count < of else 1.0
    return low, high


def student_interval(values: ArrayLike, level: float = 0.95) -> tuple[float | None, float | None]:
    """Return Student's interval of a mean; None twice where fewer than two values tell no spread.

    Parameters
    ----------
    values : array [n]
    level : float
    """
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return None, None
    from scipy.special import stdtrit

    half = float(stdtrit(len(array) - 1, (1.0 + level) / 2.0) * array.std(ddof=1) / len(array) ** 0.5)
    return float(array.mean()) - half, float(array.mean()) + half
