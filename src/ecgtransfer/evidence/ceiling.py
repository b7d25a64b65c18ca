"""What the labels themselves allow: how far two labels of one ECG agree, and the best AUROC that leaves.

Where an ECG was labelled twice, as duplicates in a dataset or by a second reader, disagreement measures the
noise of the labels. A network that knew the truth would be marked down for every wrong label of the test
part. With α the share of wrong labels among the positive and β among the negative ones, whatever ranks the
truth with AUROC A is measured at 1/2 + (1 - α - β)(A - 1/2) (Menon et al. 2015), so a perfect one at
1 - (α + β)/2: the ceiling.

Two labels of one ECG are taken as independent readings of an unknown truth with equal error rates: they then
disagree with probability d. This leaves open which way errors go, and three cases are worked out, with p the
share of labels that are positive:

- symmetrical: both ways with rate e, d = 2e(1 - e);
- missed only: a present statement is missed with rate f, d = 2pf;
- invented only: an absent one is called with rate g, d = 2(1 - p)g.

The ceiling told is the symmetrical one; its range spans the three cases and the exact binomial interval of d
(Clopper and Pearson 1934). Labels that were copied, or made by one program, agree more than two readers
would: the ceiling is then too high.

References
----------
Menon et al. (2015), Learning from corrupted binary labels via class-probability estimation, ICML; Cohen
(1960), A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20(1);
Fleiss, Cohen and Everitt (1969), Large sample standard errors of kappa and weighted kappa, Psychological
Bulletin 72(5); Clopper and Pearson (1934), Biometrika 26(4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.elementary import clopper_pearson

# Which way errors go.
CASES = ("symmetrical", "missed only", "invented only")

# With fewer pairs even full agreement leaves more than a tenth of the labels in doubt.
MINIMUM_PAIRS = 30


@dataclass(frozen=True)
class NoiseCeiling:
    """Agreement of two labels, and what it leaves to be reached.

    Attributes
    ----------
    target : str or None
        None for all targets together.
    basis : str
        Where the pairs come from.
    pairs : int
        Those with both labels known.
    agreement, agreement_low, agreement_high : float or None
        Share of pairs that agree, with its exact interval.
    kappa, kappa_low, kappa_high : float or None
        Cohen's; None where one label never varies.
    prevalence : float or None
        Share of positive labels that the ceiling is for.
    flip_rate : float or None
        Of a single label, errors being symmetrical.
    ceiling_auroc : float or None
        What a perfect model would be measured at, errors being symmetrical.
    ceiling_low, ceiling_high : float or None
        Over the three cases and the interval of agreement.
    assumptions : dict
        ``symmetrical``, ``missed only``, ``invented only`` → ceiling; None where the case contradicts the
        data.
    text : str
        One sentence.
    """

    target: str | None
    basis: str
    pairs: int
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    prevalence: float | None
    flip_rate: float | None
    ceiling_auroc: float | None
    ceiling_low: float | None
    ceiling_high: float | None
    assumptions: dict[str, float | None]
    text: str


def noise_ceiling(
    first: ArrayLike,
    second: ArrayLike,
    *,
    target: str | None,
    basis: str,
    prevalence: float | None = None,
    level: float = 0.95,
) -> NoiseCeiling:
    """Return how far two labels of the same ECG agree, and the AUROC ceiling this implies.

    Parameters
    ----------
    first, second : array [pairs]
        1 present, 0 absent, NaN unknown; which of the two is first does not matter for the ceiling. Each ECG
        should be in one pair only, for the intervals take pairs as independent.
    target : str or None
    basis : str
        Where the pairs come from, for the sentence.
    prevalence : float, optional
        Share of positive labels in the test part; by default that among the pairs.
    level : float

    Raises
    ------
    DataError
        Arrays that do not fit, or a label that is not 1, 0 or NaN.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not 0.0 < level < 1.0:
        raise DataError(f"labels {a.shape} and {b.shape} are to be one pair each, the level within (0, 1)")
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = a[known], b[known]
    if not np.isin(np.concatenate([a, b]), (0.0, 1.0)).all():
        raise DataError("labels must be 1 (present), 0 (absent) or NaN (unknown)")
    if prevalence is not None and not 0.0 < prevalence < 1.0:
        raise DataError(f"prevalence {prevalence} must lie within (0, 1)")
    n, differ = len(a), int((a != b).sum())
    name = target if target is not None else "all targets"
    cases: dict[str, float | None] = dict.fromkeys(CASES)
    if not n:
        text = f"{name}: no pair from {basis} has both labels known."
        return NoiseCeiling(
            target, basis, 0, None, None, None, None, None, None, None, None, None, None, None, cases, text
        )
    low, high = clopper_pearson(differ, n, level)
    own = float(np.concatenate([a, b]).mean())
    share = own if prevalence is None else prevalence
    kappa, kappa_low, kappa_high = _kappa(a, b, level)
    said = f"{name}: two labels agree in {n - differ} of {n} pairs ({basis})"
    flips = ceiling = least = most = None
    if n < MINIMUM_PAIRS:
        text = f"{said}: too few pairs for a ceiling, {MINIMUM_PAIRS} needed."
    elif not 0.0 < own < 1.0:
        text = f"{said}, all of them alike: they say nothing about a ceiling."
    else:
        at = {
            d: [perfect(error_rates(d, own, case), share) for case in CASES] for d in (low, differ / n, high)
        }
        cases = dict(zip(CASES, at[differ / n], strict=True))
        ceiling, rates = cases[CASES[0]], error_rates(differ / n, own, CASES[0])
        flips = None if rates is None else rates[0]
        # Where a kind of error would have to be more frequent than it can be, labels say nothing any more.
        least = min(0.5 if value is None else value for value in at[high])
        most = max((value for value in (*at[low], *at[high]) if value is not None), default=0.5)
        if ceiling is None:
            text = f"{said}, no more than chance would: on such labels no model can be told from another."
        else:
            text = (
                f"{said}: if errors go both ways alike, a model that knew the truth would be measured at an "
                f"AUROC of {ceiling:.3f} (range {least:.3f} to {most:.3f} over other kinds of error and the "
                f"{100 * level:g} % interval of agreement)."
            )
    return NoiseCeiling(
        target, basis, n, 1.0 - differ / n, 1.0 - high, 1.0 - low, kappa, kappa_low, kappa_high,
        share, flips, ceiling, least, most, cases, text,
    )  # fmt: skip


def error_rates(disagreement: float, prevalence: float, case: str) -> tuple[float, float] | None:
    """Return the rates of missing what is present and of inventing what is absent.

    Parameters
    ----------
    disagreement : float
        Probability that two labels of one ECG differ.
    prevalence : float
        Share of positive labels among them.
    case : str
        One of :data:`CASES`, as the top of this file says.

    Returns
    -------
    (float, float) or None
        None where such errors cannot disagree so often.
    """
    d, p = disagreement, prevalence
    if case == "symmetrical":
        rate = 0.5 * (1.0 - (1.0 - 2.0 * d) ** 0.5) if d < 0.5 else 1.0
        rates = rate, rate
    elif case == "missed only":
        rates = d / (2.0 * p), 0.0
    else:
        rates = 0.0, d / (2.0 * (1.0 - p))
    return rates if sum(rates) < 1.0 else None


def perfect(rates: tuple[float, float] | None, prevalence: float) -> float | None:
    """Return the AUROC at which a model that knows the truth is measured.

    Parameters
    ----------
    rates : (float, float) or None
        Of missing what is present and of inventing what is absent.
    prevalence : float
        Share of positive labels in the test part.

    Returns
    -------
    float or None
        None where no truth gives such labels.
    """
    if rates is None:
        return None
    missed, invented = rates
    truth = (prevalence - invented) / (1.0 - missed - invented)
    if not 0.0 < truth < 1.0:
        return None
    right, wrong = truth * (1.0 - missed) / prevalence, truth * missed / (1.0 - prevalence)
    return 0.5 * (1.0 + right - wrong)


def _kappa(
    a: NDArray[np.float64], b: NDArray[np.float64], level: float
) -> tuple[float | None, float | None, float | None]:
    """Return Cohen's kappa with the large-sample interval of Fleiss, Cohen and Everitt (1969)."""
    from scipy.special import ndtri

    table = np.array([[np.mean((a == i) & (b == j)) for j in (0.0, 1.0)] for i in (0.0, 1.0)])
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    observed, expected = float(np.trace(table)), float(rows @ columns)
    if expected >= 1.0:
        return None, None, None
    kappa = (observed - expected) / (1.0 - expected)
    # Their equation 13, with p_ij, row totals p_i. and column totals p_.j.
    diagonal = sum(
        table[i, i] * ((1 - expected) - (rows[i] + columns[i]) * (1 - observed)) ** 2 for i in (0, 1)
    )
    off = sum(table[i, 1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in (0, 1))
    variance = (
        diagonal + (1 - observed) ** 2 * off - (observed * expected - 2 * expected + observed) ** 2
    ) / (len(a) * (1 - expected) ** 4)
    half = float(ndtri((1.0 + level) / 2.0)) * max(0.0, float(variance)) ** 0.5
    return kappa, max(-1.0, kappa - half), min(1.0, kappa + half)
