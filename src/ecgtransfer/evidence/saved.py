"""What pre-training is worth in labels: how many more scratch would need for the same performance.

Hernandez et al. (2021) call the data that scratch would need for the performance of fine-tuning on D_F labels
the effective data D_E, and D_T = D_E - D_F the effective data transferred. D_T is the labels saved; told
beside it is the share of the effective data that came from pre-training, D_T / D_E.

The scratch curve is made monotone (isotonic regression, weighted by precision) and is linear in log n between
sizes. Nothing is read off beyond the sizes that scratch was trained with: a performance above the curve is
told as "more than", one below it as "less than". Bootstrapped curves go the same way, an end of the interval
that lies outside the curve is open.

References
----------
Hernandez, Kaplan, Henighan and McCandlish (2021), Scaling laws for transfer, arXiv:2102.01293.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.evidence.isotonic import first_reaching, increasing


@dataclass(frozen=True)
class LabelsSaved:
    """How many labels an arm saves at one size.

    Attributes
    ----------
    n : int
        Labels that the arm had.
    saved : int or None
        Labels that scratch would need for the same performance, less n; negative where scratch needs fewer.
        None where the performance lies outside the scratch curve.
    low, high : int or None
        Its interval; None at an open end, and both where no interval could be given.
    censored : str
        Where the performance lies: ``above`` the scratch curve, ``below`` it, or empty.
    low_open, high_open : bool
        The interval reaches below, or above, the scratch curve.
    text : str
        One sentence.
    """

    n: int
    saved: int | None
    low: int | None
    high: int | None
    censored: Literal["above", "below", ""]
    low_open: bool
    high_open: bool
    text: str


@dataclass(frozen=True)
class Transferred:
    """The effective data at one size.

    Attributes
    ----------
    n : int
        Labels that the arm had, D_F.
    effective : int or None
        Labels that scratch would need for the same performance, D_E; None outside the scratch curve.
    low, high : int or None
        Its interval; None at an open end, and both where no interval could be given.
    share : float or None
        (D_E - D_F) / D_E, the share of the effective data that pre-training stands for; negative where
        pre-training costs data.
    share_low, share_high : float or None
        Its interval.
    text : str
        One sentence.
    """

    n: int
    effective: int | None
    low: int | None
    high: int | None
    share: float | None
    share_low: float | None
    share_high: float | None
    text: str


def labels_saved(
    sizes: NDArray[np.float64],
    arm: NDArray[np.float64],
    scratch: NDArray[np.float64],
    weights: NDArray[np.float64],
    draws: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    *,
    level: float,
) -> tuple[tuple[LabelsSaved, ...], tuple[Transferred, ...]]:
    """Return the labels saved and the effective data at each size.

    Parameters
    ----------
    sizes : array [sizes]
        Labels, ascending.
    arm, scratch : array [sizes]
        Performance with and without pre-training.
    weights : array [sizes]
        Precision of the scratch curve.
    draws : (array [curves, sizes], array [curves, sizes]) or None
        Bootstrapped curves of the arm and of scratch.
    level : float
    """
    x = np.log(sizes)
    monotone = increasing(scratch[None], weights)
    bootstrapped = None if draws is None else increasing(draws[1], weights)
    saved, transferred = [], []
    for k in range(len(sizes)):
        need = float(np.exp(first_reaching(monotone, x, arm[k : k + 1])[0]))
        low, high = 0.0, np.inf
        if draws is not None and bootstrapped is not None:
            needs = np.exp(first_reaching(bootstrapped, x, draws[0][:, k]))
            tail = (1.0 - level) / 2.0
            low = min(need, float(np.quantile(needs, tail, method="lower")))
            high = max(need, float(np.quantile(needs, 1.0 - tail, method="higher")))
        saved.append(_saved(sizes, k, need, low, high, draws is not None, level))
        transferred.append(_transferred(sizes, k, need, low, high, draws is not None))
    return tuple(saved), tuple(transferred)


def _inside(need: float) -> bool:
    """Whether a number of labels lies on the scratch curve: 0 stands for below it, infinity for above."""
    return 0.0 < need < np.inf


def _saved(
    sizes: NDArray[np.float64], k: int, need: float, low: float, high: float, known: bool, level: float
) -> LabelsSaved:
    n = round(sizes[k])
    point, least, most = (round(value) - n if _inside(value) else None for value in (need, low, high))
    fewest, furthest = round(sizes[0]) - n, round(sizes[-1]) - n
    if need == 0.0:
        found = f"does worse than scratch with {n + fewest:,}, the fewest that were tried"
    elif need == np.inf and furthest == 0:
        found = "does better than scratch at any size that was tried"
    elif need == np.inf:
        found = f"saves more than {furthest:,} labels, as far as scratch was tried"
    elif point is not None and point < 0:
        found = f"wastes about {-point:,} labels: scratch needs fewer"
    else:
        found = f"saves about {point:,} labels"
    if known and (low == np.inf or high == 0.0):
        found += f", at either end of the {100 * level:g} % interval"
    elif known:
        below = f"less than {_count(fewest)}" if least is None else _count(least)
        above = f"more than {_count(furthest)}" if most is None else _count(most)
        found += f" ({100 * level:g} % interval {below} to {above})"
    return LabelsSaved(
        n=n,
        saved=point,
        low=least if known else None,
        high=most if known else None,
        censored="" if point is not None else "below" if need == 0.0 else "above",
        low_open=known and low == 0.0,
        high_open=known and high == np.inf,
        text=f"With {n:,} labels this arm {found}.",
    )


def _count(labels: int) -> str:
    return f"{labels:,}".replace("-", "\N{MINUS SIGN}")


def _transferred(
    sizes: NDArray[np.float64], k: int, need: float, low: float, high: float, known: bool
) -> Transferred:
    n = round(sizes[k])
    point, least, most = (round(value) if _inside(value) else None for value in (need, low, high))
    share, share_low, share_high = (
        1.0 - sizes[k] / value if _inside(value) else None for value in (need, low, high)
    )
    if share is None and need == 0.0:
        found = f"are worth fewer than {round(sizes[0]):,} from scratch"
    elif share is None:
        found = f"are worth more than {round(sizes[-1]):,} from scratch"
    elif share >= 0:
        found = f"are worth {point:,} from scratch: {100 * share:.0f} % of those are saved"
    else:
        found = f"are worth {point:,} from scratch: fewer than it was given"
    return Transferred(
        n=n,
        effective=point,
        low=least if known else None,
        high=most if known else None,
        share=share,
        share_low=share_low if known else None,
        share_high=share_high if known else None,
        text=f"{n:,} labels in this arm {found}.",
    )
