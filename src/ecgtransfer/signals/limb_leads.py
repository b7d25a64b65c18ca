"""Whether the six limb leads agree with each other, and if not, what would explain it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
# Einthoven's law and Goldberger's definition of the augmented leads: each sum is zero, see `leads`.
_IDENTITIES: dict[str, dict[str, float]] = {
    "III = II − I": {"I": 1.0, "II": -1.0, "III": 1.0},
    "aVR = −(I + II)/2": {"I": 0.5, "II": 0.5, "aVR": 1.0},
    "aVL = I − II/2": {"I": -1.0, "II": 0.5, "aVL": 1.0},
    "aVF = II − I/2": {"I": 0.5, "II": -1.0, "aVF": 1.0},
}
_SHARE = 0.05
"""What may be left over, as a share of the leads' own standard deviation.

Rounding leaves up to 0.012 in real recordings, gains normalised lead by lead at least 0.14.
"""
_LEAST_MV = 0.01  # three roundings of a coarse converter (5 µV per step)


def limb_lead_fault(
    signals: Mapping[str, NDArray[np.float32]], gains: Mapping[str, float]
) -> tuple[str, tuple[str, ...]] | None:
    """Return in words how the limb leads contradict each other, with the leads concerned; None if they agree.

    A constant offset of a lead is no contradiction: only what changes is compared.

    Parameters
    ----------
    signals : mapping
        Lead name → samples in mV; leads that are complete and not flat.
    gains : mapping
        Steps per mV of each lead as the file states them, where known.
    """
    names = [name for name in LIMB_LEADS if name in signals]
    weights = _weights(names)
    if not len(weights):
        return None
    leads = np.array([signals[name] for name in names])
    if leads.shape[1] < 2:
        return None
    left = weights.astype(np.float32) @ leads
    ranges = left.max(axis=1) - left.min(axis=1)
    if ranges.max() <= 2 * _LEAST_MV:
        return None
    covariance = np.cov(leads.astype(np.float64))
    size, worst = _misfit(weights, covariance)
    spiky = ranges.max() > max(0.3, float(np.ptp(leads, axis=1).mean()))
    if size <= _SHARE and not spiky:
        return None
    sums = [name for name, sum_ in _IDENTITIES.items() if set(sum_) <= set(names)]
    apart = np.abs(left[worst] - np.median(left[worst]))
    text = f"{sums[worst]} is off by up to {apart.max():.2f} mV"
    # A damaged stretch is told from leads that are wrong throughout.
    share = float((apart > max(_LEAST_MV, 0.02 * apart.max())).mean())
    broken = tuple(n for n in _IDENTITIES[sums[worst]])
    if share < 0.1:
        return f"{text} in {100 * share:.2g} % of the samples", broken
    return f"{text}{_explain(names, weights, covariance, gains)}", tuple(names)


def _weights(names: Sequence[str]) -> NDArray[np.float64]:
    """Return the identities that these leads allow, [identities, leads]."""
    rows = [
        [identity.get(name, 0.0) for name in names]
        for identity in _IDENTITIES.values()
        if set(identity) <= set(names)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def _misfit(weights: NDArray[np.float64], covariance: NDArray[np.float64]) -> tuple[float, int]:
    """Return the largest left-over share of an identity, and which identity it is."""
    left = np.einsum("ij,jk,ik->i", weights, covariance, weights)
    scale = float(np.sqrt(np.mean(np.diag(covariance)))) or 1.0
    shares = np.sqrt(left.clip(min=0)) / scale
    return float(shares.max()), int(shares.argmax())


def _explain(
    names: Sequence[str],
    weights: NDArray[np.float64],
    covariance: NDArray[np.float64],
    gains: Mapping[str, float],
) -> str:
    """Return the simplest change of the leads after which all identities hold, as a clause."""
    n = len(names)
    # 1. The file's own steps: gains that normalise each lead are undone by one common gain.
    steps = np.array([gains.get(name, 0.0) for name in names])
    if steps.min(initial=1.0) > 0 and np.ptp(steps) > 0 and _holds(weights, covariance, np.diag(steps)):
        low, high = steps.min(), steps.max()
        return f": rescaled, the file's gains ({low:g} to {high:g} steps per mV) differ where one would fit"
    # 2. Two leads under each other's name, or a lead upside down.
    changes: list[tuple[str, NDArray[np.float64]]] = []
    for a, b in combinations(range(n), 2):
        order = np.arange(n)
        order[[a, b]] = b, a
        changes.append((f"{names[a]} and {names[b]} swapped", np.eye(n)[order]))
    for a in range(n):
        signs = np.ones(n)
        signs[a] = -1
        changes.append((f"{names[a]} inverted", np.diag(signs)))
    fitting = [words for words, change in changes if _holds(weights, covariance, change)]
    if fitting:
        return f": {' or '.join(fitting[:3])} would explain it"
    # 3. Gains: the leads still span a plane, and one factor for each of them restores the sums.
    factors = _factors(weights, covariance)
    if factors is not None and _holds(weights, covariance, np.diag(factors)):
        factors = factors / np.median(factors)
        odd = [
            f"{name} ×{factor:.3g}"
            for name, factor in zip(names, factors, strict=True)
            if abs(factor - 1) > 0.02
        ]
        return f": rescaled, {', '.join(odd)} would fit"
    return ": no swap, inversion or change of gain explains it"


def _holds(
    weights: NDArray[np.float64], covariance: NDArray[np.float64], change: NDArray[np.float64]
) -> bool:
    return _misfit(weights, change @ covariance @ change.T)[0] <= _SHARE


def _factors(weights: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the gain of each lead with which the identities hold best, the first being 1; None if absurd."""
    scale = np.sqrt(np.diag(covariance))
    if scale.min() <= 0:
        return None
    # The sum of squares that is left is a quadratic form of the factors: take its smallest eigenvector,
    # measured in units of each lead's own size so that no lead is favoured.
    form = np.einsum("ij,ik->jk", weights, weights) * covariance
    factors = np.linalg.eigh(form / np.outer(scale, scale))[1][:, 0] / scale
    if abs(factors[0]) < 1e-12:
        return None
    factors = factors / factors[0]
    return factors if factors.min() > 0.05 and factors.max() < 20 else None
