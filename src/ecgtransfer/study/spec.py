"""A run by its content: everything that determines its result, frozen, and named by a hash."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ecgtransfer.errors import ConfigError
from ecgtransfer.files import hash_json
from ecgtransfer.training import Augmentation

# Part of every run's identity: raised whenever the same RunSpec would give another result, be it by a change
# of code or of one of the constants that no field names (folds, penalties, specificity, …).
RUNNER_VERSION = 4


@dataclass(frozen=True)
class Budget:
    """How long a training is and with what: everything the arms of a comparison have in common.

    Attributes
    ----------
    updates : int
        Optimiser steps, the same for every size, so that size is not confounded with training time.
    batch_size : int
        Records per update, fewer where fewer are there.
    validations : int
        How often the validation part is looked at, evenly over the updates.
    weight_decay, warmup_fraction, clip_norm : float
        AdamW's decay, the share of updates with a rising rate, and the largest gradient norm (None: any).
    schedule : {'cosine', 'constant'}
        What the rate does after the warm-up.
    optimizer : {'adamw', 'adam'}
    augment : Augmentation
        What is done to the training signals.
    """

    updates: int
    batch_size: int
    validations: int = 20
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    clip_norm: float | None = 1.0
    schedule: Literal["cosine", "constant"] = "cosine"
    optimizer: Literal["adamw", "adam"] = "adamw"
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name, least in (("updates", 1), ("batch_size", 2), ("validations", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, not {getattr(self, name)}")


@dataclass(frozen=True)
class RunSpec:
    """One run: everything that determines its result, and nothing else.

    Attributes
    ----------
    network, arm : str
        Names in the registries; ``network`` may be a baseline's name, with the arm ``baseline``.
    store : str
        Fingerprint of the store that is learnt.
    task : str
    targets : tuple of (name, statements)
        What the task's name stands for, so that a changed definition is another run.
    upstream : str or None
        What the encoder starts from: ``run:<id>`` of a pre-training or ``model:<sha256>`` of a file.
    n : int or None
        Labels used, validation included; None is the whole pool. Whatever the run chooses – weights, penalty,
        thresholds, and the learning rate where no tuning runs did – is chosen on the validation part of
        these n.
    seed, study_seed : int
    rates : tuple of float
        Learning rates to try; one training each, and the one with the lowest validation loss is the run's.
        Empty for arms that train a head only.
    tuned_by : tuple of str
        Ids of tuning runs: the rate is then the one with the lowest validation loss on average over them, and
        the run trains once.
    tuning : bool
        The run is there to choose a rate: its test part is never opened.
    final : bool
        The run makes a model to be used: it learns from every label, the test part's included, and nothing
        is left to test it on.
    protocol : {'sound', 'paper'}
        How data are divided, weights selected and results scored, see `protocols`.
    budget : Budget
        Of each training.
    precision : {'float32', 'bfloat16', 'float64'}
        Of the trainings; predictions are always made in float32.
    threads : int
    macro_targets : tuple of str
        Targets that the macro averages run over, fixed before the first run.
    apart_from : tuple of str
        Fingerprints of the stores that the weights are to be tested on: nothing of them may be learnt from.
    excluded : tuple of str
        Ids of the records that therefore take no part, see `datasets.overlap`.
    """

    network: str
    arm: str
    store: str
    task: str
    targets: tuple[tuple[str, tuple[str, ...]], ...]
    upstream: str | None
    n: int | None
    seed: int
    study_seed: int
    rates: tuple[float, ...]
    budget: Budget
    precision: Literal["float32", "bfloat16", "float64"]
    threads: int
    macro_targets: tuple[str, ...]
    tuned_by: tuple[str, ...] = ()
    tuning: bool = False
    final: bool = False
    protocol: Literal["sound", "paper"] = "sound"
    apart_from: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    version: int = RUNNER_VERSION

    @property
    def id(self) -> str:
        """Sixteen hex digits of the SHA-256 of the content."""
        return hash_json(self.as_dict())

    @property
    def tests(self) -> bool:
        """Whether the run opens its test part."""
        return not (self.tuning or self.final)

    def as_dict(self) -> dict[str, Any]:
        """Return the content as JSON-able values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSpec:
        """Build the spec that `as_dict` wrote, also by way of JSON."""
        budget = {**values["budget"], "augment": Augmentation(**values["budget"]["augment"])}
        return cls(
            **{
                **values,
                "budget": Budget(**budget),
                "targets": tuple((name, tuple(codes)) for name, codes in values["targets"]),
                "rates": tuple(values["rates"]),
                "macro_targets": tuple(values["macro_targets"]),
                "tuned_by": tuple(values["tuned_by"]),
                "apart_from": tuple(values["apart_from"]),
                "excluded": tuple(values["excluded"]),
            }
        )
