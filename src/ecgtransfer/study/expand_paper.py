"""A plan by the published protocol → its runs: every upstream onto every downstream but itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.study.planned import Downstream, Expanded, Planned, Start, check_fit
from ecgtransfer.study.plans.plan import DownstreamPlan, StudyPlan, UpstreamPlan
from ecgtransfer.study.protocols import EPOCHS, paper_macro, paper_spec, paper_train_size
from ecgtransfer.transfer import PRETRAIN

_NOTHING_LEFT_OUT = "By the published protocol, recordings that are both upstream and downstream were kept."


def expand_paper(plan: StudyPlan, *, verify: bool = True) -> Expanded:
    """Return every run of a study by the published protocol; no contrast of it gets a verdict.

    Raises
    ------
    ConfigError
        A store has another recipe, a task or size is not there, or the plan asks for what the study did not
        do.
    """
    downstreams = tuple(_downstream(each, verify) for each in plan.downstreams)
    stores: dict[str, Store] = {}
    starts: dict[tuple[str, str], Start] = {}
    planned: list[Planned] = []
    for upstream in plan.upstreams:
        if upstream.store is None:
            raise ConfigError(
                f"the published protocol pre-trains itself, and upstream '{upstream.name}' names models",
                remedy="Give a store",
            )
        store = stores[upstream.name] = Store.open(upstream.store, verify=verify)
        served = [each for each in downstreams if upstream in plan.starts(each.plan)]
        for each in served:
            check_fit(store, each.store)
        for network in plan.networks:
            start, runs = _made(plan, upstream, store, network, tuple(each.plan.name for each in served))
            starts[upstream.name, network] = start
            planned += runs
    for downstream in downstreams:
        planned += _of_downstream(plan, downstream, stores, starts)
    return Expanded(plan, downstreams, stores, tuple(starts.values()), tuple(planned), ())


def _downstream(asked: DownstreamPlan, verify: bool) -> Downstream:
    store = Store.open(asked.store, verify=verify)
    task = store.task_name(asked.task, remedy=f"Name one as task of the downstream '{asked.name}'")
    asked.check_whole(paper_train_size(store, task, None))
    return Downstream(asked, store, task, paper_macro(store, task))


def _made(
    plan: StudyPlan, upstream: UpstreamPlan, store: Store, network: str, served: tuple[str, ...]
) -> tuple[Start, list[Planned]]:
    task = store.task_name(upstream.task, remedy=f"Name one as task of the upstream '{upstream.name}'")
    specs = [
        paper_spec(
            store,
            network=network,
            arm=PRETRAIN.name,
            task=task,
            n=None,
            seed=seed,
            study_seed=plan.study_seed,
            threads=plan.threads,
            epochs=plan.epochs or EPOCHS,
        )
        for seed in range(upstream.seeds)
    ]
    start = Start(
        upstream=upstream.name,
        network=network,
        task=task,
        fingerprint=store.fingerprint,
        names=tuple(f"run:{spec.id}" for spec in specs),
        folders=None,
        downstreams=served,
        records=None,
        score=None,
        left_out=_NOTHING_LEFT_OUT,
        overlap_sought=False,
    )
    runs = [Planned(spec, "pretraining", None, upstream.name, seed) for seed, spec in enumerate(specs)]
    return start, runs


def _of_downstream(
    plan: StudyPlan,
    downstream: Downstream,
    stores: Mapping[str, Store],
    starts: Mapping[tuple[str, str], Start],
) -> Iterator[Planned]:
    name, store = downstream.plan.name, downstream.store
    origins = plan.starts(downstream.plan)
    for network in plan.networks:
        for n in downstream.plan.sizes:
            for start in [None, *(starts[origin.name, network] for origin in origins)]:
                for seed in range(plan.seeds):
                    number = 0 if start is None else seed % len(start.names)
                    spec = paper_spec(
                        store,
                        network=network,
                        arm="scratch" if start is None else "full",
                        task=downstream.task,
                        n=n,
                        seed=seed,
                        study_seed=plan.study_seed,
                        threads=plan.threads,
                        upstream=None if start is None else start.names[number],
                        epochs=plan.epochs or EPOCHS,
                    )
                    origin_name = None if start is None else start.upstream
                    yield Planned(spec, "evidence", name, origin_name, None if start is None else number)
