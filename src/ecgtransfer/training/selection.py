"""Which weights a training ends with: a score of the held-out records, and what makes one better."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import ConfigError, nearest
from ecgtransfer.training.metrics import mean_f1, weighted_f1
from ecgtransfer.training.objectives import known_bce

Score = Callable[[NDArray[np.float32], NDArray[np.float32]], float]


@dataclass(frozen=True)
class Selection:
    """How a training chooses among the weights it passes through.

    Attributes
    ----------
    name : str
    quantity : str
        What the history calls the score.
    score : callable
        Labels and logits of the held-out records, ``[records, targets]`` each → a number.
    prefers : callable
        The new score and the best so far → whether the new weights are kept.
    """

    name: str
    quantity: str
    score: Score
    prefers: Callable[[float, float], bool]


def _always(_new: float, _best: float) -> bool:
    return True


VALIDATION_LOSS = Selection("validation-loss", "validation_loss", known_bce, operator.lt)
"""Lowest masked cross-entropy, the earliest if tied."""

LAST = Selection("last", "validation_loss", known_bce, _always)
"""The last weights that were looked at."""

TEST_OPTIMISTIC = Selection("test-optimistic", "test_f1", weighted_f1, operator.gt)
"""Highest prevalence-weighted F1 at 0.5 **on the records that are reported**, as in the published study.

The score of the chosen weights is then the maximum of many noisy ones and promises more than it keeps."""

TEST_OPTIMISTIC_MEAN = Selection("test-optimistic-mean", "test_f1", mean_f1, operator.gt)
"""The same with the plain mean of the F1: how the published study kept its pre-trained networks."""

SELECTIONS = {each.name: each for each in (VALIDATION_LOSS, LAST, TEST_OPTIMISTIC, TEST_OPTIMISTIC_MEAN)}


def get_selection(name: str) -> Selection:
    """Return the selection of this name; a `ConfigError` names the nearest known one."""
    if name not in SELECTIONS:
        raise ConfigError(f"selection is {name!r}", remedy=nearest(name, SELECTIONS))
    return SELECTIONS[name]
