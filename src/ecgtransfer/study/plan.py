"""From a question to the exact list of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgtransfer.datasets.overlap import overlap
from ecgtransfer.datasets.splits import N_FOLDS, positives_per_fold, split
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.evidence import MARGIN
from ecgtransfer.networks import card
from ecgtransfer.study.baselines import BASELINES
from ecgtransfer.study.spec import Budget, RunSpec
from ecgtransfer.training import precision_for
from ecgtransfer.transfer import PRETRAIN, get_arm

# What a target needs to count in macro averages: of both classes, in the whole store and in each test part.
MINIMUM_RECORDS = 10
MINIMUM_PER_TEST_PART = 2


@dataclass(frozen=True)
class MacroSet:
    """The targets that macro averages run over, and why the others do not count."""

    targets: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def macro_set(
    store: Store, task: str, *, study_seed: int, seeds: Sequence[int], excluded: Sequence[str] = ()
) -> MacroSet:
    """Fix the macro's targets before the first run: those with enough of both classes in every test part.

    Parameters
    ----------
    store : Store
    task : str
    study_seed : int
    seeds : sequence of int
        All folds of every partition that one of them tests are looked at, so that the set does not hang on
        which folds a study happens to use.
    excluded : sequence of str
        Ids of records that take no part.

    Raises
    ------
    ConfigError
        When no target has enough: nothing could be compared.
    """
    names = store.task(task).target_names
    labels = store.labels(store.task(task))
    labels = labels[~store.records["record_id"].isin(excluded).to_numpy(dtype=bool)]
    total = np.stack([(labels == 1).sum(axis=0), (labels == 0).sum(axis=0)], axis=1)  # [targets, 2]
    partitions = sorted({seed // N_FOLDS for seed in seeds})
    every = [partition * N_FOLDS + fold for partition in partitions for fold in range(N_FOLDS)]
    counted = positives_per_fold(
        store, store.task(task), study_seed=study_seed, seeds=every, excluded=excluded
    )
    lowest = counted.min(axis=0)
    kept, left_out = [], []
    for i, name in enumerate(names):
        if total[i].min() < MINIMUM_RECORDS:
            found = f"{total[i, 0]} positives and {total[i, 1]} negatives"
            left_out.append((name, f"{found}, {MINIMUM_RECORDS} needed"))
        elif lowest[i].min() < MINIMUM_PER_TEST_PART:
            found = f"a test part holds {lowest[i, 0]} positives and {lowest[i, 1]} negatives"
            left_out.append((name, f"{found}, {MINIMUM_PER_TEST_PART} needed"))
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
    task : str
        Of the downstream store.
    sizes : tuple of int or None
        Labels used, validation included; None is the whole pool.
    seeds : int
        Seeds 0 … seeds − 1, the same for every arm.
    budget : Budget
        Of every training.
    rates : tuple of float
        The same learning rates for every arm that trains everything, tried within each run.
    baselines : tuple of str
        Plain models beside the networks.
    study_seed : int
        Another one draws other folds, subsets and weights throughout.
    threads : int
        Threads of each run.
    margin : float
        Differences in macro AUROC within ± this make no difference.
    """

    networks: tuple[str, ...]
    arms: tuple[str, ...]
    task: str
    sizes: tuple[int | None, ...]
    seeds: int
    budget: Budget
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    baselines: tuple[str, ...] = tuple(BASELINES)
    study_seed: int = 0
    threads: int = 1
    margin: float = MARGIN

    def __post_init__(self) -> None:
        if "scratch" not in self.arms:
            object.__setattr__(self, "arms", ("scratch", *self.arms))
        for name in self.arms:
            if get_arm(name) is PRETRAIN:
                raise ConfigError(f"arm '{name}' is no arm of a comparison")
        for name in self.networks:
            card(name)
        for rate in self.rates:
            check_rate(rate)
        if not 0 < self.margin < 1:
            raise ConfigError(
                f"{self.margin:g} is no margin", remedy="Give an AUROC difference, such as 0.01"
            )
        if self.seeds < 1 or not self.rates or not self.sizes or not self.networks:
            raise ConfigError("a comparison needs at least one network, one size, one seed and one rate")
        for what in ("networks", "arms", "sizes", "rates"):
            if len(set(getattr(self, what))) != len(getattr(self, what)):
                raise ConfigError(f"{what} names something twice: {', '.join(map(str, getattr(self, what)))}")


MOST_PRIMARY = 8


def primary_family(comparison: Comparison) -> tuple[tuple[str, str, int | None], ...]:
    """Return the contrasts with scratch that a verdict is given on: network, arm, size; eight at most.

    The arm is full fine-tuning, or the first that is asked for without it. Where there are more than eight
    networks x sizes, the smallest size of each network comes first, then the largest, then the others. All
    else is exploratory: shown with its interval, without a verdict.
    """
    others = [arm for arm in comparison.arms if arm != "scratch"]
    if not others:
        return ()
    arm = "full" if "full" in others else others[0]
    sizes = sorted(comparison.sizes, key=lambda n: math.inf if n is None else n)
    first = [sizes[0], *([sizes[-1]] if len(sizes) > 1 else []), *sizes[1:-1]]
    return tuple((network, arm, n) for n in first for network in comparison.networks)[:MOST_PRIMARY]


def check_rate(rate: float) -> None:
    """Refuse what is no learning rate before anything is planned with it."""
    if not 0 < rate < math.inf:
        raise ConfigError(f"{rate:g} is not a learning rate", remedy="Give a number above 0, such as 0.001")


def check_sizes(comparison: Comparison, store: Store) -> None:
    """Refuse a size that some seed's pool cannot serve, before anything is trained."""
    task = store.task(comparison.task)
    least = min(
        len(split(store, task, study_seed=comparison.study_seed, seed=seed).pool)
        for seed in range(comparison.seeds)
    )
    for n in comparison.sizes:
        if n is not None and n > least:
            raise ConfigError(
                f"size {n} is more than the {least} labelled records that remain beside the test part",
                where=store.path,
                remedy="Give smaller sizes, or 'all' for every record of the pool",
            )


def comparison_specs(
    comparison: Comparison, store: Store, macro: MacroSet, upstreams: dict[str, str]
) -> list[RunSpec]:
    """Return every run of a comparison: networks × sizes × arms × seeds, then baselines × sizes × seeds.

    Parameters
    ----------
    upstreams : dict
        Network → what its pre-trained encoder is (`RunSpec.upstream`).
    """
    cells = [
        (network, arm, n)
        for network in comparison.networks
        for n in comparison.sizes
        for arm in comparison.arms
    ]
    cells += [(name, "baseline", n) for name in comparison.baselines for n in comparison.sizes]
    return [
        _spec(
            store,
            network=network,
            arm=arm,
            task=comparison.task,
            upstream=upstreams.get(network),
            n=n,
            seed=seed,
            study_seed=comparison.study_seed,
            rates=comparison.rates,
            budget=comparison.budget,
            threads=comparison.threads,
            macro=macro,
        )
        for network, arm, n in cells
        for seed in range(comparison.seeds)
    ]


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
    rates: Sequence[float],
    budget: Budget,
    threads: int,
    apart_from: Sequence[Store] = (),
) -> RunSpec:
    """Return the one run of `pretrain`, `train` or `finetune`.

    Parameters
    ----------
    apart_from : sequence of Store
        Stores that the weights are to be tested on: what they share with ``store`` takes no part.

    Raises
    ------
    ConfigError
        When the arm, the task or a rate is none, or no target has enough records.
    """
    for rate in rates:
        check_rate(rate)
    excluded = overlap(store, apart_from).record_ids if apart_from else ()
    if len(excluded) == store.n_records:
        raise ConfigError(
            "every recording of this store, or of the same patients, is also among those to be tested on",
            where=store.path,
            remedy="Choose another upstream",
        )
    return _spec(
        store,
        network=network,
        arm=arm,
        task=task,
        upstream=upstream,
        n=n,
        seed=seed,
        study_seed=study_seed,
        rates=tuple(rates),
        budget=budget,
        threads=threads,
        macro=macro_set(store, task, study_seed=study_seed, seeds=[seed], excluded=excluded),
        apart_from=tuple(sorted({other.fingerprint for other in apart_from})),
        excluded=excluded,
    )


def _spec(
    store: Store,
    *,
    network: str,
    arm: str,
    task: str,
    upstream: str | None,
    n: int | None,
    seed: int,
    study_seed: int,
    rates: tuple[float, ...],
    budget: Budget,
    threads: int,
    macro: MacroSet,
    apart_from: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
) -> RunSpec:
    baseline = arm == "baseline"
    found = None if baseline else get_arm(arm)
    return RunSpec(
        network=network,
        arm=arm,
        store=store.fingerprint,
        task=task,
        targets=tuple((target.name, tuple(target.any_of)) for target in store.task(task).targets),
        upstream=upstream if found is not None and found.start == "pretrained" else None,
        n=n,
        seed=seed,
        study_seed=study_seed,
        rates=rates if found is not None and found.moves == "everything" else (),
        budget=budget,
        precision="float32" if baseline else precision_for(card(network).precision_hint),
        threads=threads,
        macro_targets=macro.targets,
        apart_from=apart_from,
        excluded=excluded,
    )
