"""A study as it is asked for: typed, checked by itself, and knowing neither stores nor runs yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ecgtransfer.errors import ConfigError
from ecgtransfer.evidence import MARGIN
from ecgtransfer.networks import card
from ecgtransfer.study.baselines import BASELINES
from ecgtransfer.study.spec import Budget
from ecgtransfer.transfer import PRETRAIN, get_arm

MOST_PRIMARY = 8
# Where every run reads off sensitivities; a plan may ask for another one beside it.
SPECIFICITY = 0.9
RATES = (3e-4, 1e-3, 3e-3)
PRETRAINING_RATE = 1e-3
BUDGET = Budget(updates=400, batch_size=32)
PRETRAINING_BUDGET = Budget(updates=3000, batch_size=64, validations=10)
# Tuning seeds are numbered from here, so that no one takes them for evidence.
FIRST_TUNING_SEED = 10_000
TUNING_SEEDS = 3
PRETRAINING_SEEDS = 3


@dataclass(frozen=True)
class UpstreamPlan:
    """What the pre-trained arms start from: a store to pre-train on, or finished models.

    Attributes
    ----------
    name : str
        Unique in the study.
    store : Path or None
        Every network is pre-trained on it, once per pre-training seed.
    models : tuple of Path
        Model folders instead; several of one network stand for as many pre-training seeds.
    task : str or None
        Of the store; None takes its only one.
    budget : Budget
        Of each pre-training.
    learning_rate : float
    seeds : int
        Pre-training seeds 0 … seeds − 1. The headline pair uses all of them, the other pairs the first.
    flip : bool or None
        Turn half of the training records upside down; None: where the store says that polarity is uncertain.
    """

    name: str
    store: Path | None = None
    models: tuple[Path, ...] = ()
    task: str | None = None
    budget: Budget = PRETRAINING_BUDGET
    learning_rate: float = PRETRAINING_RATE
    seeds: int = PRETRAINING_SEEDS
    flip: bool | None = None

    def __post_init__(self) -> None:
        if (self.store is None) == (not self.models):
            raise ConfigError(
                f"upstream '{self.name}' needs a store or models, and not both",
                remedy='Give store = "NAME.ecgs", or models = ["MODEL-FOLDER"]',
            )
        check_rate(self.learning_rate)
        if self.seeds < 1:
            raise ConfigError(f"upstream '{self.name}' has {self.seeds} pre-training seeds; one is needed")


@dataclass(frozen=True)
class DownstreamPlan:
    """A store that somebody cares for.

    Attributes
    ----------
    name : str
        Unique in the study.
    store : Path
    task : str or None
        None takes the store's only one.
    sizes : tuple of int or None
        Labels used, validation included; None is the whole pool.
    upstreams : tuple of str
        Names of the upstreams to start from; empty for all.
    """

    name: str
    store: Path
    task: str | None
    sizes: tuple[int | None, ...]
    upstreams: tuple[str, ...] = ()

    def check_whole(self, pool: int) -> None:
        """Refuse a size that is the whole pool, in labels, where that is also asked for by name."""
        if None in self.sizes and pool in self.sizes:
            raise ConfigError(
                f"size {pool} is the whole pool of '{self.name}', and 'all' is asked for too",
                remedy="Leave one of them out",
            )


@dataclass(frozen=True)
class Contrast:
    """An arm against scratch, with the same network and as many labels.

    Attributes
    ----------
    downstream, network, arm : str
    upstream : str or None
        None where the arm starts from random weights.
    n : int or None
        None is the whole pool.
    """

    downstream: str
    network: str
    upstream: str | None
    arm: str
    n: int | None

    def __str__(self) -> str:
        origin = "" if self.upstream is None else f" from {self.upstream}"
        size = "all labels" if self.n is None else f"{self.n} labels"
        return f"{self.network}, {self.arm}{origin} on {self.downstream} with {size}"


@dataclass(frozen=True)
class StudyPlan:
    """Fine-tuning against scratch: the question that a study answers.

    Attributes
    ----------
    name : str
    networks, arms : tuple of str
        ``scratch`` is always among the arms: it is what the others are compared with.
    upstreams : tuple of UpstreamPlan
    downstreams : tuple of DownstreamPlan
    seeds : int
        Seeds 0 … seeds − 1, the same for every arm.
    budget : Budget
        Of every downstream training.
    rates : tuple of float
        The same learning rates for every arm that trains everything.
    tuning_seeds : int
        So many seeds that are never evidence choose the rate of each network x upstream x arm x size, by
        their mean validation loss. With 0 each run tries all rates within its own n labels.
    convergence : tuple of int or None
        Sizes at which budgets of 1/8, 1/4 and 1/2 are run beside the whole one, each with its own schedule.
    baselines : tuple of str
        Plain models beside the networks.
    primary : tuple of Contrast
        Those that get a verdict; empty for the rule of `primary_family`.
    margin : float
        Differences in macro AUROC within ± this make no difference.
    specificity : float
        Where sensitivities are compared: the user's operating point.
    protocol : {'sound', 'paper'}
    epochs : int or None
        Of the protocol ``paper``, whose budgets follow from them; None for the study's 100.
    study_seed : int
        Another one draws other folds, subsets and weights throughout.
    threads : int
        Threads of each run.
    """

    name: str
    networks: tuple[str, ...]
    upstreams: tuple[UpstreamPlan, ...]
    downstreams: tuple[DownstreamPlan, ...]
    arms: tuple[str, ...] = ("scratch", "full", "linear-probe", "frozen-random")
    seeds: int = 10
    budget: Budget = BUDGET
    rates: tuple[float, ...] = RATES
    tuning_seeds: int = TUNING_SEEDS
    convergence: tuple[int | None, ...] = ()
    baselines: tuple[str, ...] = tuple(BASELINES)
    primary: tuple[Contrast, ...] = ()
    margin: float = MARGIN
    specificity: float = SPECIFICITY
    protocol: Literal["sound", "paper"] = "sound"
    epochs: int | None = None
    study_seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if "scratch" not in self.arms:
            object.__setattr__(self, "arms", ("scratch", *self.arms))
        self._check_names()
        self._check_protocol()
        for rate in self.rates:
            check_rate(rate)
        if not 0 < self.specificity < 1:
            raise ConfigError(
                f"{self.specificity:g} is no specificity", remedy="Give a value between 0 and 1, such as 0.9"
            )
        if not 0 < self.margin < 1:
            raise ConfigError(
                f"{self.margin:g} is no margin", remedy="Give an AUROC difference, such as 0.01"
            )
        if self.seeds < 1 or not self.rates or not self.networks or not self.downstreams:
            raise ConfigError(
                "a study needs at least one network, one downstream store, one seed and one rate"
            )
        if not 0 <= self.tuning_seeds <= 100 or self.seeds > FIRST_TUNING_SEED:
            raise ConfigError(
                f"{self.seeds} seeds and {self.tuning_seeds} tuning seeds cannot be had",
                remedy=f"At most {FIRST_TUNING_SEED:,} seeds and 100 tuning seeds",
            )
        if len(self.primary) > MOST_PRIMARY:
            raise ConfigError(
                f"{len(self.primary)} primary contrasts",
                remedy=f"Name at most {MOST_PRIMARY}: each more makes every interval wider",
            )
        planned = set(contrasts(self))
        for contrast in self.primary:
            if contrast not in planned:
                raise ConfigError(
                    f"the primary contrast '{contrast}' is not among what the study runs",
                    remedy="Name networks, arms, upstreams, downstreams and sizes of this plan",
                )
        sizes = {n for downstream in self.downstreams for n in downstream.sizes}
        for n in self.convergence:
            if n not in sizes:
                raise ConfigError(
                    f"convergence at size {'all' if n is None else n}, which no downstream has",
                    remedy="Choose among the sizes of the study",
                )
        if self.convergence and not self.tuning_seeds:
            raise ConfigError(
                "convergence needs tuning seeds: they name the target that is to be reached",
                remedy="Give at least one tuning seed, or leave convergence out",
            )

    def _check_protocol(self) -> None:
        if self.protocol == "sound" and self.epochs is not None:
            raise ConfigError(
                "the protocol 'sound' counts updates, not epochs",
                remedy='Give updates in [budget], or protocol = "paper"',
            )
        if self.protocol == "paper" and not set(self.arms) <= {"scratch", "full"}:
            raise ConfigError(
                "the published protocol has the arms scratch and full alone",
                remedy='Give arms = ["scratch", "full"]',
            )

    def _check_names(self) -> None:
        for name in self.arms:
            if get_arm(name) is PRETRAIN:
                raise ConfigError(f"arm '{name}' is no arm of a comparison")
        for name in self.networks:
            card(name)
        for name in self.baselines:
            if name not in BASELINES:
                raise ConfigError(f"unknown baseline '{name}'", remedy=f"Known: {', '.join(BASELINES)}")
        for what in ("networks", "arms", "rates", "baselines", "convergence", "primary"):
            _once(what, getattr(self, what))
        _once("upstreams", [upstream.name for upstream in self.upstreams])
        _once("downstreams", [downstream.name for downstream in self.downstreams])
        known = [upstream.name for upstream in self.upstreams]
        for downstream in self.downstreams:
            _once(f"sizes of {downstream.name}", downstream.sizes)
            if not downstream.sizes:
                raise ConfigError(
                    f"downstream '{downstream.name}' has no sizes", remedy='Give sizes = ["all"]'
                )
            for name in downstream.upstreams:
                if name not in known:
                    raise ConfigError(
                        f"downstream '{downstream.name}' names the upstream '{name}'",
                        remedy=f"Known: {', '.join(known) or 'none'}",
                    )

    def starts(self, downstream: DownstreamPlan) -> tuple[UpstreamPlan, ...]:
        """Return the upstreams that a downstream's pre-trained arms start from, in the order of the plan."""
        wanted = downstream.upstreams
        return tuple(upstream for upstream in self.upstreams if not wanted or upstream.name in wanted)

    @property
    def headline(self) -> tuple[str, str, str] | None:
        """Network, upstream and downstream that all pre-training seeds are run for, if any."""
        first = self.downstreams[0]
        starts = self.starts(first)
        return (self.networks[0], starts[0].name, first.name) if starts else None


def contrasts(plan: StudyPlan) -> tuple[Contrast, ...]:
    """Return every arm against scratch that a study will show."""
    found = []
    for downstream in plan.downstreams:
        for network in plan.networks:
            for arm in plan.arms:
                if arm == "scratch":
                    continue
                origins: Sequence[str | None] = (
                    [upstream.name for upstream in plan.starts(downstream)]
                    if get_arm(arm).start == "pretrained"
                    else [None]
                )
                found += [
                    Contrast(downstream.name, network, upstream, arm, n)
                    for upstream in origins
                    for n in downstream.sizes
                ]
    return tuple(found)


def primary_family(plan: StudyPlan) -> tuple[Contrast, ...]:
    """Return the contrasts with scratch that a verdict is given on: eight at most.

    Where the plan names none, the arm is full fine-tuning, or the first that is asked for without it. Every
    network x upstream x downstream comes with its smallest size first, then with its largest, then with the
    others, the smaller before the larger. All else is exploratory: its interval is shown, without a verdict.
    """
    if plan.primary:
        return plan.primary
    others = [arm for arm in plan.arms if arm != "scratch"]
    if not others:
        return ()
    arm = "full" if "full" in others else others[0]
    order: dict[tuple[str, int | None], int] = {}
    for downstream in plan.downstreams:
        sizes = sorted(downstream.sizes, key=lambda n: math.inf if n is None else n)
        first = [sizes[0], *([sizes[-1]] if len(sizes) > 1 else []), *sizes[1:-1]]
        order |= {(downstream.name, n): place for place, n in enumerate(first)}
    known = [contrast for contrast in contrasts(plan) if contrast.arm == arm]
    known.sort(key=lambda contrast: order[contrast.downstream, contrast.n])
    return tuple(known[:MOST_PRIMARY])


def check_rate(rate: float) -> None:
    """Refuse what is no learning rate before anything is planned with it."""
    if not 0 < rate < math.inf:
        raise ConfigError(f"{rate:g} is not a learning rate", remedy="Give a number above 0, such as 0.001")


def _once(what: str, values: Sequence[Any]) -> None:
    if len(set(values)) != len(values):
        listed = ", ".join(map(str, values))
        raise ConfigError(f"{what} names something twice: {listed}", remedy="Name each once")
