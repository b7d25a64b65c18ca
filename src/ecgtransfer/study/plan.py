"""From a question to the exact list of runs: frozen, and named by a hash of their content."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ecgtransfer.datasets.splits import positives_per_fold, split
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.files import hash_json
from ecgtransfer.networks import card
from ecgtransfer.study.baselines import BASELINES
from ecgtransfer.training import Augmentation, precision_for
from ecgtransfer.transfer import get_arm

# Part of every run's identity: raised whenever the same RunSpec would give another result.
RUNNER_VERSION = 1

# Seeds from here on choose learning rates; they are never evidence.
FIRST_TUNING_SEED = 1_000_000


@dataclass(frozen=True)
class Budget:
    """How long a run trains and with what: everything the arms of a comparison have in common.

    Attributes
    ----------
    updates : int
        Optimiser steps, the same for every size, so that size is not confounded with training time.
    batch_size : int
        Records per update, fewer where fewer are there.
    validations : int
        How often the validation part is looked at, evenly over the updates.
    weight_decay, warmup_fraction, clip_norm : float
        AdamW's decay, the share of updates with a rising rate, and the largest gradient norm.
    augment : Augmentation
        What is done to the training signals.
    """

    updates: int
    batch_size: int
    validations: int = 20
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    clip_norm: float = 1.0
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name in ("updates", "batch_size", "validations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class RunSpec:
    """One run: everything that determines its result, and nothing else.

    Attributes
    ----------
    network, arm : str
        Names in the registries; ``network`` may be a baseline's name, with the arm ``baseline``.
    store : str
        Fingerprint of the downstream store (of the upstream one in a pre-training).
    task : str
    targets : tuple of (name, statements)
        What the task's name stands for, so that a changed definition is another run.
    upstream : str or None
        What the encoder starts from: ``run:<id>`` of a pre-training or ``model:<sha256>`` of a file.
    n : int or None
        Labels used, validation included; None is the whole pool.
    seed, study_seed : int
    learning_rate : float or None
        None for arms that train a head only.
    budget : Budget
    precision : {'float32', 'bfloat16'}
    threads : int
    macro_targets : tuple of str
        Targets that the macro averages run over, fixed before the first run.
    open_test : bool
        Whether the test part is evaluated, once, at the end. Runs that choose a rate never do.
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
    learning_rate: float | None
    budget: Budget
    precision: Literal["float32", "bfloat16"]
    threads: int
    macro_targets: tuple[str, ...]
    open_test: bool = True
    version: int = RUNNER_VERSION

    @property
    def id(self) -> str:
        """Sixteen hex digits of the SHA-256 of the content."""
        return hash_json(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Return the content as JSON-able values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSpec:
        """Build the spec that `as_dict` wrote."""
        budget = {**values["budget"], "augment": Augmentation(**values["budget"]["augment"])}
        targets = tuple((name, tuple(codes)) for name, codes in values["targets"])
        return cls(
            **{
                **values,
                "budget": Budget(**budget),
                "targets": targets,
                "macro_targets": tuple(values["macro_targets"]),
            }
        )


@dataclass(frozen=True)
class MacroSet:
    """The targets that macro averages run over, and why the others do not count."""

    targets: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def macro_set(
    store: Store,
    task: str,
    *,
    study_seed: int,
    seeds: Sequence[int],
    minimum: int = 10,
    minimum_per_fold: int = 2,
) -> MacroSet:
    """Fix the macro's targets before the first run: those with enough of both classes in every test part.

    Parameters
    ----------
    minimum : int
        Positives (and negatives) that the store must hold.
    minimum_per_fold : int
        Positives (and negatives) in the test part of every seed.

    Raises
    ------
    ConfigError
        When no target has enough: nothing could be compared.
    """
    names = [target.name for target in store.task(task).targets]
    labels = store.labels(store.task(task))
    total = np.stack([np.nansum(labels == 1, axis=0), np.nansum(labels == 0, axis=0)], axis=1)  # [targets, 2]
    lowest = positives_per_fold(store, store.task(task), study_seed=study_seed, seeds=seeds).min(
        axis=0
    )  # [targets, 2]
    kept, left_out = [], []
    for i, name in enumerate(names):
        if total[i].min() < minimum:
            left_out.append(
                (name, f"{total[i, 0]:.0f} positives and {total[i, 1]:.0f} negatives, {minimum} needed")
            )
        elif lowest[i].min() < minimum_per_fold:
            left_out.append(
                (
                    name,
                    f"a test part holds {lowest[i, 0]:.0f} positives and {lowest[i, 1]:.0f} negatives, "
                    f"{minimum_per_fold} needed",
                )
            )
        else:
            kept.append(name)
    if not kept:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out)
        raise ConfigError(
            f"task '{task}' has no target with enough records to compare on ({reasons})",
            where=store.path,
            remedy="Add labelled records, or choose another task",
        )
    return MacroSet(tuple(kept), tuple(left_out))


@dataclass(frozen=True)
class Comparison:
    """Fine-tuning against scratch on one downstream task: what `compare` asks for.

    Attributes
    ----------
    networks, arms : tuple of str
        ``scratch`` is always among the arms: it is what the others are compared with.
    sizes : tuple of int or None
        Labels used, validation included; None is the whole pool.
    seeds : int
        Evidence seeds 0 … seeds − 1.
    tuning_seeds : int
        Seeds beside those, on which the learning rate is chosen for each network × arm × size.
    rates : tuple of float
        The same candidates for every arm that trains everything.
    baselines : tuple of str
        Plain models beside the networks.
    threads : int
        Threads of each run.
    """

    networks: tuple[str, ...]
    arms: tuple[str, ...]
    task: str
    sizes: tuple[int | None, ...]
    seeds: int
    budget: Budget
    tuning_seeds: int = 2
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    baselines: tuple[str, ...] = tuple(BASELINES)
    study_seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if "scratch" not in self.arms:
            object.__setattr__(self, "arms", ("scratch", *self.arms))
        for name in self.arms:
            get_arm(name)
        for name in self.networks:
            card(name)
        if self.seeds < 1 or not self.rates or not self.sizes or not self.networks:
            raise ConfigError("a comparison needs at least one network, one size, one seed and one rate")
        if self.tuning_seeds < 1 and len(self.rates) > 1:
            raise ConfigError(
                f"{len(self.rates)} learning rates but no tuning seed to choose with",
                remedy="Give --tuning-seeds of at least 1, or one rate",
            )
        for what in ("networks", "arms", "sizes", "rates"):
            if len(set(getattr(self, what))) != len(getattr(self, what)):
                raise ConfigError(f"{what} names something twice: {', '.join(map(str, getattr(self, what)))}")


def check_sizes(comparison: Comparison, store: Store) -> None:
    """Refuse a size that some seed's pool cannot serve, before anything is trained."""
    pools = [
        len(split(store, store.task(comparison.task), study_seed=comparison.study_seed, seed=seed).pool)
        for seed in [*range(comparison.seeds), *tuning_seeds(comparison)]
    ]
    for n in comparison.sizes:
        if n is not None and n > min(pools):
            raise ConfigError(
                f"size {n} is more than the {min(pools)} labelled records that remain beside the test part",
                where=store.path,
                remedy="Give smaller sizes, or 'all' for every record of the pool",
            )


def tuning_seeds(comparison: Comparison) -> list[int]:
    """Return the seeds on which rates are chosen, disjoint from every evidence seed."""
    return [FIRST_TUNING_SEED + i for i in range(comparison.tuning_seeds)]


def cell_specs(
    comparison: Comparison,
    store: Store,
    macro: MacroSet,
    *,
    network: str,
    arm: str,
    n: int | None,
    rate: float | None,
    seeds: Sequence[int],
    upstream: str | None,
    open_test: bool,
) -> list[RunSpec]:
    """Return the runs of one network × arm × size, one per seed."""
    baseline = arm == "baseline"
    return [
        RunSpec(
            network=network,
            arm=arm,
            store=store.fingerprint,
            task=comparison.task,
            targets=target_tuple(store, comparison.task),
            upstream=upstream if not baseline and get_arm(arm).start == "pretrained" else None,
            n=n,
            seed=seed,
            study_seed=comparison.study_seed,
            learning_rate=rate,
            budget=comparison.budget,
            precision="float32" if baseline else precision_for(card(network).precision_hint),
            threads=comparison.threads,
            macro_targets=macro.targets,
            open_test=open_test,
        )
        for seed in seeds
    ]


def tuning_specs(
    comparison: Comparison, store: Store, macro: MacroSet, upstreams: Mapping[str, str]
) -> dict[tuple[str, str, int | None, float], list[RunSpec]]:
    """Return the runs that choose a rate, keyed by (network, arm, n, rate). None opens a test part.

    Parameters
    ----------
    upstreams : mapping
        Network name → what its pre-trained encoder is (`RunSpec.upstream`).
    """
    if len(comparison.rates) == 1:
        return {}
    return {
        (network, arm, n, rate): cell_specs(
            comparison,
            store,
            macro,
            network=network,
            arm=arm,
            n=n,
            rate=rate,
            seeds=tuning_seeds(comparison),
            upstream=upstreams.get(network),
            open_test=False,
        )
        for network in comparison.networks
        for arm in comparison.arms
        if get_arm(arm).moves == "everything"
        for n in comparison.sizes
        for rate in comparison.rates
    }


def choose_rate(losses: Mapping[float, Sequence[float]]) -> float:
    """Return the rate with the lowest mean validation loss; ties take the middle rate.

    A rate at which a run diverged has an infinite loss. When all did, the lowest rate is taken.
    """
    means = {rate: float(np.mean(values)) for rate, values in losses.items()}
    best = min(means.values())
    if not np.isfinite(best):
        return min(means)
    tied = sorted(rate for rate, mean in means.items() if mean <= best + 1e-12)
    return tied[len(tied) // 2]


def evidence_specs(
    comparison: Comparison,
    store: Store,
    macro: MacroSet,
    upstreams: Mapping[str, str],
    rates: Mapping[tuple[str, str, int | None], float],
) -> list[RunSpec]:
    """Return every run that is evidence: arms and baselines, sizes, seeds, at the chosen rates."""
    seeds = range(comparison.seeds)
    specs: list[RunSpec] = []
    for network in comparison.networks:
        for n in comparison.sizes:
            for arm in comparison.arms:
                rate = rates[network, arm, n] if get_arm(arm).moves == "everything" else None
                specs += cell_specs(
                    comparison,
                    store,
                    macro,
                    network=network,
                    arm=arm,
                    n=n,
                    rate=rate,
                    seeds=seeds,
                    upstream=upstreams.get(network),
                    open_test=True,
                )
    for name in comparison.baselines:
        for n in comparison.sizes:
            specs += cell_specs(
                comparison,
                store,
                macro,
                network=name,
                arm="baseline",
                n=n,
                rate=None,
                seeds=seeds,
                upstream=None,
                open_test=True,
            )
    return specs


def single_spec(
    store: Store,
    *,
    network: str,
    arm: str,
    task: str,
    upstream: str | None,
    n: int | None,
    seed: int,
    study_seed: int,
    learning_rate: float | None,
    budget: Budget,
    threads: int,
) -> RunSpec:
    """Return the one run of `pretrain`, `train` or `finetune`."""
    get_arm(arm)
    macro = macro_set(store, task, study_seed=study_seed, seeds=[seed])
    return RunSpec(
        network=network,
        arm=arm,
        store=store.fingerprint,
        task=task,
        targets=target_tuple(store, task),
        upstream=upstream,
        n=n,
        seed=seed,
        study_seed=study_seed,
        learning_rate=learning_rate if get_arm(arm).moves == "everything" else None,
        budget=budget,
        precision=precision_for(card(network).precision_hint),
        threads=threads,
        macro_targets=macro.targets,
    )


def target_tuple(store: Store, task: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return a task's targets as plain tuples, as a `RunSpec` carries them."""
    return tuple((target.name, tuple(target.any_of)) for target in store.task(task).targets)
