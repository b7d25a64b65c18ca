"""What a plan becomes: the runs, what they start from, and the stores they are about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.study.macro import MacroSet
from ecgtransfer.study.plans.plan import Contrast, DownstreamPlan, StudyPlan
from ecgtransfer.study.spec import RunSpec

Purpose = Literal["pretraining", "tuning", "evidence", "convergence"]
PURPOSES: tuple[Purpose, ...] = ("pretraining", "tuning", "evidence", "convergence")


@dataclass(frozen=True)
class Planned:
    """A run and what the study wants it for.

    Attributes
    ----------
    spec : RunSpec
    purpose : {'pretraining', 'tuning', 'evidence', 'convergence'}
        In this order: each may need what those before it made.
    downstream, upstream : str or None
        By their names in the plan.
    pretraining_seed : int or None
        Which of the upstream's pre-trainings it is, or starts from.
    """

    spec: RunSpec
    purpose: Purpose
    downstream: str | None
    upstream: str | None
    pretraining_seed: int | None


@dataclass(frozen=True)
class Downstream:
    """A downstream of the plan with its store open."""

    plan: DownstreamPlan
    store: Store
    task: str
    macro: MacroSet


@dataclass(frozen=True)
class Start:
    """What one network starts from: an upstream of the plan, by content.

    Attributes
    ----------
    upstream, network, task : str
    fingerprint : str
        Of the store that is, or was, pre-trained on.
    names : tuple of str
        `RunSpec.upstream` for each pre-training seed.
    folders : tuple of Path or None
        Model folders that were given; None where the study pre-trains itself.
    downstreams : tuple of str
        Those that this start serves.
    records : int or None
        Labels that a given model's pre-training used; None where the study makes it.
    score : float or None
        Macro AUROC on the upstream's test part, of given models.
    flops : float or None
        What a given model's pre-training took, where its own run folder says so.
    left_out : str
        What is known of recordings that are both upstream and downstream.
    overlap_sought : bool
        Whether they were looked for in every downstream store.
    """

    upstream: str
    network: str
    task: str
    fingerprint: str
    names: tuple[str, ...]
    folders: tuple[Path, ...] | None
    downstreams: tuple[str, ...]
    records: int | None
    score: float | None
    left_out: str
    overlap_sought: bool
    flops: float | None = None


@dataclass(frozen=True)
class Expanded:
    """A study down to its runs.

    Attributes
    ----------
    plan : StudyPlan
    downstreams : tuple of Downstream
    upstream_stores : dict
        Upstream name → its store, for those that are pre-trained on here.
    starts : tuple of Start
    planned : tuple of Planned
        Each run once, in the order in which they are carried out.
    primary : tuple of Contrast
        What a verdict is given on.
    """

    plan: StudyPlan
    downstreams: tuple[Downstream, ...]
    upstream_stores: dict[str, Store]
    starts: tuple[Start, ...]
    planned: tuple[Planned, ...]
    primary: tuple[Contrast, ...]

    @property
    def stores(self) -> dict[str, Path]:
        """Fingerprint → folder of every store of the study."""
        opened = [*(downstream.store for downstream in self.downstreams), *self.upstream_stores.values()]
        return {store.fingerprint: store.path for store in opened}


def check_fit(upstream: Store, downstream: Store) -> None:
    """Say before any training that the encoder would not fit, or has seen what it is tested on."""
    if upstream.fingerprint == downstream.fingerprint:
        raise ConfigError(
            "upstream and downstream are the same store",
            where=upstream.path,
            remedy="A network would be tested on what it was pre-trained on: choose another upstream",
        )
    ours, theirs = upstream.info, downstream.info
    if ours.leads != theirs.leads:
        raise ConfigError(
            f"the upstream has leads {' '.join(ours.leads)} and the downstream {' '.join(theirs.leads)}",
            where=upstream.path,
            remedy="Prepare both with the same --leads",
        )
    if ours.sampling_rate != theirs.sampling_rate or ours.n_samples != theirs.n_samples:
        raise ConfigError(
            f"the upstream has windows of {ours.n_samples} samples at {ours.sampling_rate:g} Hz, the "
            f"downstream of {theirs.n_samples} at {theirs.sampling_rate:g} Hz",
            where=upstream.path,
            remedy="Prepare both with the same --rate and --seconds",
        )
    if ours.recipe["name"] != theirs.recipe["name"]:
        raise ConfigError(
            f"the upstream was prepared by the recipe '{ours.recipe['name']}', the downstream by "
            f"'{theirs.recipe['name']}'",
            where=upstream.path,
            remedy="Prepare both with the same --recipe",
        )
