"""Where scratch catches up: the size from which on fine-tuning's lead is smaller than the margin.

**Inside the observed sizes.** Learning curves are noisy, and the size at which a noisy difference last lies
above the margin drifts upwards with the noise. The lead is therefore taken to fall with the number of labels:
the differences are replaced by the nearest never increasing curve (isotonic regression, weighted by their
precision), and the crossing is linear in log n between two sizes. Where the data contradict this, the least
squares slope over log n being positive in all but 2.5 % of the bootstrapped curves, the observed differences
are taken as they are and the last crossing counts.

**Beyond them, up to twice the largest size.** Two forms with two parameters each are fitted to the observed
differences at the three largest sizes by weighted least squares: the power law a n^-β (in which errors fall
with data, Hestness et al. 2017) and the exponential a exp(-β n). Over a wide range of sizes neither fits; at
its end they are a slow and a fast continuation of the same decay, and what goes on in between is in between.
They agree where both cross within twice the largest size, at sizes that differ by a factor of at most 1.5
(their geometric mean is told), or both only beyond. Otherwise the answer is *unclear*.

**Interval.** Each bootstrapped curve goes the same way. Beyond the sizes it counts with the lower of the two
crossings for the lower limit and with the higher one for the upper: what the forms disagree about is in it.

References
----------
Barlow et al. (1972), Statistical inference under order restrictions; Hestness et al. (2017), Deep learning
scaling is predictable, empirically, arXiv:1712.00409; Viering and Loog (2023), The shape of learning curves,
IEEE TPAMI 45(6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.evidence.isotonic import decreasing

State = Literal["interpolated", "extrapolated", "already", "not-within-2n", "unclear"]

AGREEMENT = 1.5
FURTHEST = 2.0
# Through two points both forms pass exactly, whatever the truth.
_SIZES_TO_EXTRAPOLATE = 3
_RATES = np.geomspace(0.01, 20.0, 300)


@dataclass(frozen=True)
class CatchUp:
    """Where the lead of an arm over scratch falls below the margin.

    Attributes
    ----------
    state : str
        ``already`` (below it from the smallest size on), ``interpolated``, ``extrapolated`` (up to twice the
        largest size), ``not-within-2n`` (neither by the estimate nor by its interval), or ``unclear`` (the
        interval spans everything, or the data or the two forms do not say beyond the sizes).
    n : int or None
        The size, where it was interpolated or extrapolated.
    low, high : int or None
        Its interval; None at an end that is open, and both where no interval could be given.
    low_open : bool
        The interval reaches to the smallest size or below.
    high_open : bool
        The interval reaches beyond twice the largest size.
    text : str
        One sentence.
    """

    state: State
    n: int | None
    low: int | None
    high: int | None
    low_open: bool
    high_open: bool
    text: str


def catch_up(
    sizes: NDArray[np.float64],
    difference: NDArray[np.float64],
    draws: NDArray[np.float64] | None,
    weights: NDArray[np.float64],
    *,
    margin: float,
    level: float,
    worse: bool = False,
) -> CatchUp:
    """Return where the difference falls below the margin.

    Parameters
    ----------
    sizes : array [sizes]
        Labels, ascending.
    difference : array [sizes]
        Fine-tuning minus scratch.
    draws : array [curves, sizes] or None
        Bootstrapped differences; None gives no interval.
    weights : array [sizes]
        Precision of the differences.
    margin, level : float
    worse : bool
        At the largest size scratch is shown to be the better one; the sentence then says so.
    """
    x = np.log(sizes)
    beyond = float(x[-1] + np.log(FURTHEST))
    rising = draws is not None and len(x) > 1 and bool(np.mean(_slope(x, draws, weights) > 0) >= 0.975)
    lower, upper = _crossings(x, difference[None], weights, margin, rising)
    state, at = _state(float(lower[0]), float(upper[0]), float(x[-1]), beyond)
    low, high = -np.inf, np.inf
    if draws is not None:
        lows, highs = _crossings(x, draws, weights, margin, rising)
        tail = (1.0 - level) / 2.0
        low = float(np.quantile(lows, tail, method="lower"))
        high = float(np.quantile(highs, 1.0 - tail, method="higher"))
        # The estimate is one of the curves too.
        low, high = min(low, float(lower[0])), max(high, float(upper[0]))
        low, high = (np.inf if end > beyond else end for end in (low, high))
        # What the estimate says but the interval does not is not claimed.
        if (low, high) == (-np.inf, np.inf) or (state == "not-within-2n" and low < np.inf):
            state, at = "unclear", None
    known = draws is not None
    return CatchUp(
        state=state,
        n=None if at is None else round(float(np.exp(at))),
        low=round(float(np.exp(low))) if known and np.isfinite(low) else None,
        high=round(float(np.exp(high))) if known and np.isfinite(high) else None,
        low_open=known and low == -np.inf,
        high_open=known and high == np.inf,
        text=_text(state, at, low, high, known, sizes, margin, rising, worse),
    )


def _crossings(
    x: NDArray[np.float64],
    curves: NDArray[np.float64],
    weights: NDArray[np.float64],
    margin: float,
    rising: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest log n at which each curve may fall below the margin.

    -inf: it lies below from the start. Where the size is inside the observed range the two are the same.
    """
    shaped = curves if rising else decreasing(curves, weights)
    above = shaped >= margin
    lower = np.full(len(curves), -np.inf)
    last = len(x) - 1 - np.argmax(above[:, ::-1], axis=1)
    rows = np.flatnonzero(above.any(axis=1) & (last < len(x) - 1))
    k = last[rows]
    before, after = shaped[rows, k], shaped[rows, k + 1]
    lower[rows] = x[k] + (before - margin) / (before - after) * (x[k + 1] - x[k])
    upper = lower.copy()
    out = np.flatnonzero(above[:, -1])
    if len(out) and rising:
        lower[out] = upper[out] = np.inf
    elif len(out) and len(x) < _SIZES_TO_EXTRAPOLATE:
        lower[out], upper[out] = x[-1], np.inf
    elif len(out):
        tail = slice(-_SIZES_TO_EXTRAPOLATE, None)
        last_sizes, last_curves = x[tail] - x[-1], curves[out, tail]
        power = _decay(last_sizes, last_curves, weights[tail], margin)
        exponential = np.log1p(_decay(np.expm1(last_sizes), last_curves, weights[tail], margin))
        forms = [x[-1] + power, x[-1] + exponential]
        lower[out], upper[out] = np.minimum(*forms), np.maximum(*forms)
    return lower, upper


def _state(lower: float, upper: float, last: float, beyond: float) -> tuple[State, float | None]:
    if upper == -np.inf:
        return "already", None
    if upper < last:
        return "interpolated", upper
    if lower > beyond:
        return "not-within-2n", None
    if upper <= beyond and upper - lower <= np.log(AGREEMENT):
        middle = (lower + upper) / 2.0
        return ("extrapolated" if middle > last else "interpolated"), middle
    return "unclear", None


def _slope(
    x: NDArray[np.float64], curves: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weighted least squares slope of each curve over x."""
    share = weights / weights.sum()
    centred = x - share @ x
    return np.asarray(curves @ (share * centred) / (share @ centred**2))


def _decay(
    t: NDArray[np.float64], curves: NDArray[np.float64], weights: NDArray[np.float64], margin: float
) -> NDArray[np.float64]:
    """Return the t ≥ 0 at which a exp(-β t), fitted to each curve at t ≤ 0, falls to the margin.

    The rate β is searched for, a follows by least squares; +inf where a curve does not fall. A fitted curve
    may lie below the margin at 0 already, where the observed one does not: then 0.
    """
    base = np.exp(-np.outer(_RATES, t))
    norm = (base**2) @ weights
    scale = (curves * weights) @ base.T / norm
    # Least squares leaves the squares of the curve less scale² norm; negative scales are no decay to 0.
    best = np.argmax(np.maximum(scale, 0.0) ** 2 * norm, axis=1)
    a = scale[np.arange(len(curves)), best]
    result = np.full(len(curves), np.inf)
    falls = (a > 0) & (best > 0)
    result[falls] = np.maximum(np.log(a[falls] / margin) / _RATES[best[falls]], 0.0)
    return result


def rounded(n: float) -> str:
    """Return a number of labels with two significant digits, as it can be meant."""
    digits = 0 if n < 100 else 1 - int(np.floor(np.log10(n)))
    return f"{round(n, digits):,.0f}"


def _text(
    state: State,
    at: float | None,
    low: float,
    high: float,
    known: bool,
    sizes: NDArray[np.float64],
    margin: float,
    rising: bool,
    worse: bool,
) -> str:
    first, last, twice = (f"{n:,.0f}" for n in (sizes[0], sizes[-1], FURTHEST * sizes[-1]))
    what = f"(difference below {margin:g})"
    never = f"does not catch up {what} within {twice} labels, twice the most that were tried"
    tried = f"at any size that was tried, from {first} labels on" if len(sizes) > 1 else f"at {first} labels"
    ends = [rounded(float(np.exp(end))) if np.isfinite(end) else "" for end in (low, high)]
    if not known:
        found = {
            "already": f"is not behind by {margin:g} {tried}",
            "not-within-2n": never,
            "unclear": f"has not caught up {what} at {last} labels",
        }.get(state, f"catches up {what} at about {rounded(float(np.exp(at or 0.0)))} labels")
        sentence = f"Scratch {found}; how sure this is cannot be said"
    elif low == -np.inf and high == -np.inf:
        sentence = f"Scratch is not behind by {margin:g} {tried}"
    elif low == np.inf:
        sentence = f"Scratch {never}"
    elif np.isfinite(low) and np.isfinite(high):
        where = (
            f"at about {ends[0]} labels" if ends[0] == ends[1] else f"between {ends[0]} and {ends[1]} labels"
        )
        sentence = f"Scratch catches up {what} {where}"
    elif np.isfinite(high):
        sentence = (
            f"Scratch catches up {what} by {ends[1]} labels at the latest, possibly from the smallest size "
            f"({first} labels) on"
        )
    elif np.isfinite(low):
        sentence = (
            f"Scratch does not catch up {what} before {ends[0]} labels; whether it does within {twice}, "
            "twice the most that were tried, these data cannot tell"
        )
    else:
        sentence = (
            f"Where scratch catches up {what} these data cannot tell: anywhere from {first} labels or fewer "
            f"to more than {twice} fits them"
        )
    if rising:
        sentence += "; the difference grows with the number of labels"
    if worse:
        sentence += f"; at {last} labels scratch is the better one"
    return sentence + "."
