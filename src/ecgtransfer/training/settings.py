"""Everything that determines a training, and the learning rate that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from ecgtransfer.errors import ConfigError
from ecgtransfer.training.augment import Augmentation
from ecgtransfer.training.precision import Precision


@dataclass(frozen=True)
class FitSettings:
    """Everything that determines a training, given the network and the feeds.

    Parameters
    ----------
    updates : int
        The budget: optimizer steps, whatever the number of records.
    batch_size : int
        Records per update; capped at the number of training records (``FitResult.batch_size`` tells).
    learning_rate : float
        The highest; reached at the end of warm-up. From there a cosine leads to (nearly) 0, or it stays.
    weight_decay : float
        Of AdamW; biases and normalisations are left out unless parameter groups are given.
    warmup_fraction : float
        Share of the updates over which the rate rises linearly.
    clip_norm : float
        Largest norm of the gradient; infinite for none.
    schedule : {"cosine", "constant"}
        What the rate does after the warm-up.
    optimizer : {"adamw", "adam"}
        With decay apart from the gradient, or the plain one.
    validate_every : int
        Updates between validations; the last update is always validated.
    whole_epochs : bool
        End every epoch with a smaller batch, as usual loaders do, instead of filling it from the next one.
    precision : {"float32", "bfloat16", "float64"}
        What the forward and backward pass compute in. Weights and optimizer are float32, for float64 too
        float64 until the training ends.
    augment : Augmentation
        How training windows are varied.
    study_seed, seed : int
        What the streams "order" and "augment" are derived from.
    """

    updates: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    clip_norm: float = 1.0
    schedule: Literal["cosine", "constant"] = "cosine"
    optimizer: Literal["adamw", "adam"] = "adamw"
    validate_every: int = 50
    whole_epochs: bool = False
    precision: Precision = "float32"
    augment: Augmentation = field(default_factory=Augmentation)
    study_seed: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, good in {
            "updates": self.updates >= 1,
            "batch_size": self.batch_size >= 2,
            "learning_rate": 0 < self.learning_rate < math.inf,
            "weight_decay": 0 <= self.weight_decay < math.inf,
            "warmup_fraction": 0 <= self.warmup_fraction <= 1,
            "clip_norm": self.clip_norm > 0,
            "schedule": self.schedule in ("cosine", "constant"),
            "optimizer": self.optimizer in ("adamw", "adam"),
            "validate_every": self.validate_every >= 1,
            "precision": self.precision in get_args(Precision),
        }.items():
            if not good:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}", remedy="See FitSettings for what it may be"
                )


def learning_rate(update: int, settings: FitSettings) -> float:
    """Return the rate of an update, counted from 0: linear to the highest, then constant or a cosine to 0."""
    warmup = max(1, round(settings.warmup_fraction * settings.updates))
    if update < warmup:
        return settings.learning_rate * (update + 1) / warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    way = (update + 1 - warmup) / (settings.updates + 1 - warmup)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * way))
