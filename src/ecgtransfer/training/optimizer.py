"""AdamW, or plain Adam, over parameter groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ecgtransfer.errors import ConfigError
from ecgtransfer.training.settings import FitSettings

ParameterGroup = Mapping[str, Any]
"""``params``, and where wanted ``lr_scale`` (a factor on the scheduled rate) and ``weight_decay``."""


def default_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two parameter groups: matrices and kernels with decay; biases and normalisations without."""
    parameters = list(network.parameters())  # the frozen ones too: on_update may thaw them
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def build_optimizer(
    network: nn.Module, settings: FitSettings, groups: Sequence[ParameterGroup] | None
) -> torch.optim.Adam:
    """Return the optimizer over the groups given, or the default ones; each carries its ``lr_scale``.

    Raises
    ------
    ConfigError
        A trainable parameter is in no group.
    """
    given = default_groups(network, settings.weight_decay) if groups is None else groups
    own = [{"lr_scale": 1.0, "weight_decay": settings.weight_decay, **group} for group in given]
    own = [group | {"params": list(group["params"])} for group in own]
    grouped = {id(parameter) for group in own for parameter in group["params"]}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and id(parameter) not in grouped:
            raise ConfigError(
                f"parameter {name} is trainable and in no parameter group",
                remedy="Freeze it or put it into one",
            )
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind([group for group in own if group["params"]], lr=settings.learning_rate, fused=True)
