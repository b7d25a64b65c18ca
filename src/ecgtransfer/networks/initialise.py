"""First weights, drawn from a stream of their own: the global generators are neither read nor moved."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from ecgtransfer.seeds import entropy


def initialise(module: nn.Module, seed: int, purpose: Literal["encoder", "head"]) -> None:
    """Fill every parameter and buffer of ``module`` in place.

    Convolutions are He-normal by fan-out [1]_, batch norm starts as the identity, linear and recurrent layers
    are uniform within ±1/√fan-in and ±1/√hidden (PyTorch's own default).

    Parameters
    ----------
    module : torch.nn.Module
        On the CPU; its tensors may be uninitialised memory.
    seed : int
        Of the stream.
    purpose : {'encoder', 'head'}
        Separates the streams: the same seed gives unrelated numbers to encoder and head.

    References
    ----------
    .. [1] He et al., Delving deep into rectifiers, ICCV 2015 (10.1109/ICCV.2015.123).
    """
    generator = torch.Generator().manual_seed(entropy(0, seed, purpose))
    for part in module.modules():
        if isinstance(part, nn.Conv1d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            _uniform(part, 1 / math.sqrt(part.in_features), generator)
        elif isinstance(part, nn.RNNBase):
            _uniform(part, 1 / math.sqrt(part.hidden_size), generator)
        elif any(True for _ in part.parameters(recurse=False)):
            raise TypeError(f"{type(part).__name__} has parameters but no rule for their first values")


def _uniform(module: nn.Module, bound: float, generator: torch.Generator) -> None:
    for parameter in module.parameters(recurse=False):
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
