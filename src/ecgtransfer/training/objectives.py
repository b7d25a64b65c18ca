"""What training minimises: binary cross-entropy over the labels that are known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def masked_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over the known entries.

    Parameters
    ----------
    logits : Tensor
        Float, ``[records, targets]``.
    labels : Tensor
        1 present, 0 absent, NaN unknown, ``[records, targets]``.

    Returns
    -------
    Tensor
        Scalar, float64 for float64 logits and else float32; 0 with a zero gradient where no entry is known.
    """
    known = ~torch.isnan(labels)
    exact = logits if logits.dtype == torch.float64 else logits.float()
    # The mask enters as a weight and the NaN leave before the logarithm: 0 · NaN would be NaN.
    total = functional.binary_cross_entropy_with_logits(
        exact, torch.where(known, labels, 0.0).to(exact), weight=known.to(exact), reduction="sum"
    )
    return total / known.sum().clamp(min=1)


def known_bce(labels: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    """Return the same mean for arrays, in double precision; NaN where no entry is known."""
    known = ~np.isnan(labels)
    z, y = logits[known].astype(np.float64), labels[known].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return float(np.mean(np.logaddexp(0.0, z) - y * z)) if known.any() else float("nan")
