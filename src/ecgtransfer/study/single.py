"""One RunSpec from a store and a few words: what `pretrain` and `train` run, and a study many of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ecgtransfer.datasets.overlap import overlap
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.networks import card
from ecgtransfer.study.macro import MacroSet, macro_set
from ecgtransfer.study.plans.plan import check_rate
from ecgtransfer.study.spec import Budget, RunSpec
from ecgtransfer.training import precision_for
from ecgtransfer.transfer import get_arm


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
    excluded: tuple[str, ...] | None = None,
) -> RunSpec:
    """Return a run whose macro set is that of its own test part.

    Parameters
    ----------
    apart_from : sequence of Store
        Stores that the weights are to be tested on: what they share with ``store`` takes no part.
    excluded : tuple of str, optional
        What that is, where it is known already.

    Raises
    ------
    ConfigError
        When the arm, the task or a rate is none, or no target has enough records.
    """
    for rate in rates:
        check_rate(rate)
    if excluded is None:
        excluded = overlap(store, apart_from).record_ids if apart_from else ()
    if len(excluded) == store.n_records:
        raise ConfigError(
            "every recording of this store, or of the same patients, is also among those to be tested on",
            where=store.path,
            remedy="Choose another upstream",
        )
    return make_spec(
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


def make_spec(
    store: Store,
    *,
    network: str,
    arm: str,
    task: str,
    n: int | None,
    seed: int,
    study_seed: int,
    budget: Budget,
    threads: int,
    macro: MacroSet,
    upstream: str | None = None,
    rates: tuple[float, ...] = (),
    apart_from: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
) -> RunSpec:
    """Return a run of an arm, or of a baseline (the arm ``baseline``), on a store."""
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


def flipping(budget: Budget, store: Store, flip: bool | None = None) -> Budget:
    """Return the budget with signals turned over at random; by default where the polarity is uncertain."""
    flip = store.info.polarity_uncertain if flip is None else flip
    return dataclasses.replace(budget, augment=dataclasses.replace(budget.augment, polarity_flip=flip))
