"""A study's plan and its stores → the exact list of runs, with everything refused that could not work."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer.datasets.overlap import Overlap, overlap
from ecgtransfer.datasets.splits import SMALLEST_SUBSET, split
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.files import hash_json
from ecgtransfer.networks import build, load_encoder, read_card
from ecgtransfer.study.expand_paper import expand_paper
from ecgtransfer.study.forecasts.pace import run_flops
from ecgtransfer.study.judge import check_recipe, left_out, unchecked
from ecgtransfer.study.ledger import read_result
from ecgtransfer.study.macro import macro_set
from ecgtransfer.study.planned import PURPOSES, Downstream, Expanded, Planned, Start, check_fit
from ecgtransfer.study.plans.plan import (
    FIRST_TUNING_SEED,
    DownstreamPlan,
    StudyPlan,
    UpstreamPlan,
    primary_family,
)
from ecgtransfer.study.single import flipping, make_spec, single_spec
from ecgtransfer.study.spec import Budget, RunSpec
from ecgtransfer.transfer import PRETRAIN, get_arm

# Beside the whole budget, which the evidence has.
BUDGET_SHARES = (8, 4, 2)


def expand(plan: StudyPlan, *, verify: bool = True) -> Expanded:
    """Open the stores and return every run of the study.

    Parameters
    ----------
    plan : StudyPlan
    verify : bool
        Read every byte of the stores and compare its hash; without it only sizes are checked.

    Raises
    ------
    ConfigError
        A task, size or arm does not fit a store, an upstream does not fit a downstream, or a pre-trained arm
        has nothing to start from.
    DataError, ModelError
        A store or model is broken.
    """
    if plan.protocol == "paper":
        return expand_paper(plan, verify=verify)
    downstreams = tuple(_downstream(plan, each, verify) for each in plan.downstreams)
    _once("downstreams", [((each.store.fingerprint, each.task), each.plan.name) for each in downstreams])
    upstream_stores = {
        each.name: Store.open(each.store, verify=verify) for each in plan.upstreams if each.store is not None
    }
    starts, pretrainings = _starts(plan, downstreams, upstream_stores)
    _once("upstreams", [(name, start.upstream) for start in starts for name in start.names])
    runs = list(pretrainings)
    for downstream in downstreams:
        runs += _of_downstream(plan, downstream, starts)
    runs.sort(key=lambda run: PURPOSES.index(run.purpose))
    # A budget of a few updates has no eighth beside its quarter: what is there already is not run again.
    unique = {run.spec.id: run for run in reversed(runs)}
    return Expanded(
        plan,
        downstreams,
        upstream_stores,
        tuple(starts),
        tuple(run for run in runs if unique[run.spec.id] is run),
        primary_family(plan),
    )


def _downstream(plan: StudyPlan, asked: DownstreamPlan, verify: bool) -> Downstream:
    store = Store.open(asked.store, verify=verify)
    task = store.task_name(asked.task, remedy=f"Name one as task of the downstream '{asked.name}'")
    found = macro_set(store, task, study_seed=plan.study_seed, seeds=range(plan.seeds))
    pools = [
        len(split(store, store.task(task), study_seed=plan.study_seed, seed=seed).pool)
        for seed in (*range(plan.seeds), *_tuning_seeds(plan))
    ]
    least = min(pools)
    asked.check_whole(int(np.median(pools[: plan.seeds])))
    for n in asked.sizes:
        if n is not None and n < SMALLEST_SUBSET:
            raise ConfigError(
                f"size {n} of the downstream '{asked.name}' is too few labels to train and validate on",
                where=store.path,
                remedy=f"The least is {SMALLEST_SUBSET}",
            )
        if n is not None and n > least:
            raise ConfigError(
                f"size {n} of the downstream '{asked.name}' is more than the {least} labelled records that "
                "remain beside the test part",
                where=store.path,
                remedy="Give smaller sizes, or 'all' for every record of the pool",
            )
    return Downstream(asked, store, task, found)


def _starts(
    plan: StudyPlan, downstreams: Sequence[Downstream], stores: dict[str, Store]
) -> tuple[list[Start], list[Planned]]:
    """Return what the pre-trained arms start from, and the runs that make what was not given."""
    needed = [name for name in plan.arms if get_arm(name).start == "pretrained"]
    starts: list[Start] = []
    planned: list[Planned] = []
    if not needed:
        return starts, planned
    for downstream in downstreams:
        if not plan.starts(downstream.plan):
            raise ConfigError(
                f"arm '{needed[0]}' needs something pre-trained to start from on '{downstream.plan.name}'",
                remedy="Give an upstream store or a model folder",
            )
    for upstream in plan.upstreams:
        served = [each for each in downstreams if upstream in plan.starts(each.plan)]
        if not served:
            raise ConfigError(
                f"no downstream starts from the upstream '{upstream.name}'",
                remedy="Name it among the upstreams of a downstream, or leave it out",
            )
        if upstream.store is None:
            starts += _given(plan, upstream, served)
            continue
        store = stores[upstream.name]
        for each in served:
            check_fit(store, each.store)
        task = store.task_name(upstream.task, remedy=f"Name one as task of the upstream '{upstream.name}'")
        shared = overlap(store, [each.store for each in served])
        for network in plan.networks:
            start, runs = _made(plan, upstream, store, task, network, served, shared)
            starts.append(start)
            planned += runs
    return starts, planned


def _made(
    plan: StudyPlan,
    upstream: UpstreamPlan,
    store: Store,
    task: str,
    network: str,
    served: Sequence[Downstream],
    shared: Overlap,
) -> tuple[Start, list[Planned]]:
    headline = plan.headline
    many = headline is not None and headline[:2] == (network, upstream.name)
    specs = [
        single_spec(
            store,
            network=network,
            arm=PRETRAIN.name,
            task=task,
            upstream=None,
            n=None,
            seed=seed,
            study_seed=plan.study_seed,
            rates=[upstream.learning_rate],
            budget=flipping(upstream.budget, store, upstream.flip),
            threads=plan.threads,
            apart_from=[each.store for each in served],
            excluded=shared.record_ids,
        )
        for seed in range(upstream.seeds if many else 1)
    ]
    start = Start(
        upstream=upstream.name,
        network=network,
        task=task,
        fingerprint=store.fingerprint,
        names=tuple(f"run:{spec.id}" for spec in specs),
        folders=None,
        downstreams=tuple(each.plan.name for each in served),
        records=None,
        score=None,
        left_out=shared.sentence(store.info.name),
        overlap_sought=True,
    )
    runs = [Planned(spec, "pretraining", None, upstream.name, number) for number, spec in enumerate(specs)]
    return start, runs


def _given(plan: StudyPlan, upstream: UpstreamPlan, served: Sequence[Downstream]) -> list[Start]:
    """Return a start per network from model folders, tried on every store that it is to serve."""
    folders: dict[str, list[Path]] = {}
    for folder in upstream.models:
        network = str(read_card(folder)["network"])
        if network not in plan.networks:
            raise ConfigError(
                f"the model is a {network}, which the study does not name",
                where=folder,
                remedy=f"Name the network {network}, or give a model of {', '.join(plan.networks)}",
            )
        for downstream in served:
            _try_on(folder, network, downstream.store)
        folders.setdefault(network, []).append(folder)
    missing = [network for network in plan.networks if network not in folders]
    if missing:
        raise ConfigError(
            f"upstream '{upstream.name}' has no model of {missing[0]}",
            remedy="Give a model folder for each network, or an upstream store to pre-train on",
        )
    starts = []
    for network, own in folders.items():
        cards = [read_card(folder) for folder in own]
        hashes = [str(card["weights_sha256"]) for card in cards]
        headline = plan.headline
        if len(own) > 1 and (headline is None or headline[:2] != (network, upstream.name)):
            raise ConfigError(
                f"{len(own)} models of {network} are given for '{upstream.name}', and only those of the "
                "first network and upstream are crossed with the seeds",
                where=own[1],
                remedy="Give one of them here, or name this network and upstream first",
            )
        if len(set(hashes)) < len(hashes):
            raise ConfigError(
                f"the same model of {network} is given twice", where=own[0], remedy="Give it once"
            )
        data = cards[0]["data"][0]
        if len({hash_json(_made_how(card)) for card in cards}) > 1:
            raise ConfigError(
                f"the models of {network} were pre-trained in different ways and are no repetitions",
                where=own[1],
                remedy="Give those that differ by their seed alone, or name an upstream for each",
            )
        starts.append(
            Start(
                upstream=upstream.name,
                network=network,
                task=data["task"],
                fingerprint=data["fingerprint"],
                names=tuple(f"model:{name}" for name in hashes),
                folders=tuple(own),
                downstreams=tuple(each.plan.name for each in served),
                records=data["records"]["train"] + data["records"]["validation"],
                score=None if cards[0]["score"] is None else cards[0]["score"]["auroc"],
                flops=_spent(own[0]),
                left_out=" ".join(
                    dict.fromkeys(left_out(card, each.store) for each in served for card in cards)
                ),
                overlap_sought=not any(unchecked(card, each.store) for each in served for card in cards),
            )
        )
    return starts


def _made_how(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what models have to share to stand for several seeds of one pre-training."""
    spec = card["spec"]
    kept = ("store", "task", "arm", "n", "rates", "budget", "excluded")
    return {key: spec[key] for key in kept}


def _spent(folder: Path) -> float | None:
    """Return the operations of the run that made a model; None where it came without it."""
    if not (folder / "result.json").is_file():
        return None
    made = read_result(folder)
    return run_flops(RunSpec.from_dict(made["spec"]), made["result"], made["measured"])


def _try_on(folder: Path, network: str, store: Store) -> None:
    """Refuse a model that does not fit a store, or has learnt from it, before anything is trained."""
    card = read_card(folder)
    if store.fingerprint in [data["fingerprint"] for data in card["data"]]:
        raise ConfigError(
            "the model was pre-trained on this very store",
            where=folder,
            remedy="On its own data it has seen the test parts: choose another upstream",
        )
    trial = build(
        network,
        n_leads=len(store.info.leads),
        n_outputs=1,
        n_samples=store.info.n_samples,
        sampling_rate=store.info.sampling_rate,
    )
    load_encoder(trial, folder, leads=store.info.leads)
    check_recipe(card, store, folder)


def _of_downstream(plan: StudyPlan, downstream: Downstream, starts: Sequence[Start]) -> Iterator[Planned]:
    """Yield the tuning runs, the evidence and the smaller budgets of one downstream."""
    name, store = downstream.plan.name, downstream.store
    budget = flipping(plan.budget, store)
    own = [start for start in starts if name in start.downstreams]
    for network in plan.networks:
        for n in downstream.plan.sizes:
            for arm in plan.arms:
                found = get_arm(arm)
                origins = [start for start in own if start.network == network]
                for start in origins if found.start == "pretrained" else [None]:
                    yield from _cell(plan, downstream, network, n, arm, start, budget)
    for baseline in plan.baselines:
        for n in downstream.plan.sizes:
            for seed in range(plan.seeds):
                spec = make_spec(
                    store,
                    network=baseline,
                    arm="baseline",
                    task=downstream.task,
                    n=n,
                    seed=seed,
                    study_seed=plan.study_seed,
                    budget=budget,
                    threads=plan.threads,
                    macro=downstream.macro,
                )
                yield Planned(spec, "evidence", name, None, None)


def _cell(
    plan: StudyPlan,
    downstream: Downstream,
    network: str,
    n: int | None,
    arm: str,
    start: Start | None,
    budget: Budget,
) -> Iterator[Planned]:
    """Yield everything of one network x arm x start x size."""
    name = downstream.plan.name
    upstream = None if start is None else start.upstream
    headline = arm == "full" and (network, upstream, name) == plan.headline
    trained = get_arm(arm).moves == "everything"
    rates = plan.rates if trained else ()

    def spec(seed: int, number: int, budget: Budget, **more: object) -> RunSpec:
        made = make_spec(
            downstream.store,
            network=network,
            arm=arm,
            task=downstream.task,
            upstream=None if start is None else start.names[number],
            n=n,
            seed=seed,
            study_seed=plan.study_seed,
            rates=rates,
            budget=budget,
            threads=plan.threads,
            macro=downstream.macro,
        )
        return dataclasses.replace(made, **more)  # type: ignore[arg-type]

    # Tuned from the first pre-training alone: the others are there to show how much it matters.
    tuning = [spec(seed, 0, budget, tuning=True) for seed in _tuning_seeds(plan)] if trained else []
    chosen = {"tuned_by": tuple(run.id for run in tuning)}
    first = None if start is None else 0
    for run in tuning:
        yield Planned(run, "tuning", name, upstream, first)
    for number in range(len(start.names) if start is not None and headline else 1):
        for seed in range(plan.seeds):
            yield Planned(
                spec(seed, number, budget, **chosen),
                "evidence",
                name,
                upstream,
                None if start is None else number,
            )
    if trained and n in plan.convergence:
        for share in BUDGET_SHARES:
            shorter = dataclasses.replace(budget, updates=max(1, round(budget.updates / share)))
            for seed in range(plan.seeds):
                yield Planned(spec(seed, 0, shorter, **chosen), "convergence", name, upstream, first)


def _once(what: str, contents: Sequence[tuple[object, str]]) -> None:
    """Refuse one content under two names: its runs would belong to both, and each is carried out once."""
    known: dict[object, str] = {}
    for content, name in contents:
        if known.setdefault(content, name) != name:
            raise ConfigError(
                f"the {what} '{known[content]}' and '{name}' are the same", remedy="Name it once"
            )


def _tuning_seeds(plan: StudyPlan) -> range:
    """Return the seeds that choose among several rates, and that name the target of convergence."""
    count = plan.tuning_seeds if len(plan.rates) > 1 or plan.convergence else 0
    return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + count)
