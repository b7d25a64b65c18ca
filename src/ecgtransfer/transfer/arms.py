"""An arm = where the weights come from, and which of them move. Known without torch, for plans and help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ecgtransfer.errors import ConfigError, nearest


@dataclass(frozen=True)
class Arm:
    """A start with a strategy.

    Attributes
    ----------
    name : str
        What the command line and the tables call it.
    start : {'random', 'pretrained'}
        Where the encoder's weights come from. The head is new in every arm.
    moves : {'everything', 'head'}
        What is trained: all weights by gradient, or a regularised logistic head on a frozen encoder.
    title : str
        One line for people.
    """

    name: str
    start: Literal["random", "pretrained"]
    moves: Literal["everything", "head"]
    title: str


ARMS = {
    arm.name: arm
    for arm in (
        Arm("scratch", "random", "everything", "random weights, everything trained"),
        Arm("full", "pretrained", "everything", "pre-trained encoder, new head, everything trained"),
        Arm("linear-probe", "pretrained", "head", "pre-trained encoder frozen, logistic head"),
        Arm(
            "frozen-random",
            "random",
            "head",
            "random encoder frozen (batch-norm statistics from the training signals), logistic head",
        ),
    )
}


# What makes the models that others start from. Its encoder is drawn from a stream of its own: otherwise the
# scratch arm of the same seed would start from the very weights that the pre-trained encoder grew out of.
PRETRAIN = Arm("pretrain", "random", "everything", "random weights, everything trained, on an upstream store")


def get_arm(name: str) -> Arm:
    """Return the arm of this name; a `ConfigError` names the nearest known one."""
    if name == PRETRAIN.name:
        return PRETRAIN
    if name not in ARMS:
        raise ConfigError(f"unknown arm '{name}'", remedy=nearest(name, ARMS))
    return ARMS[name]
