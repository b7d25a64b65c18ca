"""How a run starts and what may move: arms, starts, and heads on frozen encoders."""

from ecgtransfer.transfer.arms import ARMS, PRETRAIN, Arm, get_arm
from ecgtransfer.transfer.starts import estimate_normalisation
from ecgtransfer.transfer.strategies import HeadFit, fit_head, freeze

__all__ = ["ARMS", "PRETRAIN", "Arm", "HeadFit", "estimate_normalisation", "fit_head", "freeze", "get_arm"]
