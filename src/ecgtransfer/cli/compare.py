"""`ecgtransfer compare`: fine-tune or train from scratch? Every arm, size and seed on one store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options
from ecgtransfer.errors import ConfigError


def compare(
    store: Annotated[Path, typer.Argument(help="The downstream store: the recordings you care for.")],
    out: options.Out,
    upstream: Annotated[
        list[Path],
        typer.Option("--from", help="An upstream store to pre-train on, or a model folder per network."),
    ],
    networks: Annotated[
        str, typer.Option("--network", help="One or more, separated by commas.")
    ] = "resnet1d18",
    task: options.Task = None,
    upstream_task: Annotated[
        str | None, typer.Option("--upstream-task", help="Task of the upstream store.")
    ] = None,
    arms: Annotated[
        str, typer.Option("--arms", help="Separated by commas.")
    ] = "scratch,full,linear-probe,frozen-random",
    sizes: Annotated[
        str, typer.Option("--sizes", help="Labels to use, validation included; 'all' for the whole pool.")
    ] = "50,100,200,all",
    seeds: Annotated[
        int, typer.Option("--seeds", help="Paired seeds, each with its own test fold and subset.")
    ] = 10,
    rates: Annotated[
        str, typer.Option("--rates", help="Learning rates, the same for every arm; validation chooses.")
    ] = "0.0003,0.001,0.003",
    updates: options.Updates = 400,
    batch_size: options.BatchSize = 32,
    tuning_seeds: Annotated[
        int,
        typer.Option(
            "--tuning-seeds",
            help="Seeds, never evidence, that choose each arm's rate; 0: each run tries all on its n labels.",
        ),
    ] = 3,
    pretrain_updates: Annotated[
        int, typer.Option("--pretrain-updates", help="Budget of the pre-training.")
    ] = 3000,
    pretrain_batch_size: Annotated[int, typer.Option("--pretrain-batch-size")] = 64,
    pretrain_rate: Annotated[float, typer.Option("--pretrain-rate")] = 1e-3,
    pretrain_seeds: Annotated[
        int, typer.Option("--pretrain-seeds", min=1, help="Pre-trainings of the first network.")
    ] = 3,
    margin: Annotated[
        float, typer.Option("--margin", help="Differences in macro AUROC within ± this make no difference.")
    ] = 0.01,
    specificity: Annotated[
        float, typer.Option("--specificity", help="Where sensitivities are compared: your operating point.")
    ] = 0.9,
    study_seed: options.StudySeed = 0,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Local processes; 0 takes one per core.")
    ] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare fine-tuning with training from scratch: paired seeds, intervals, a table and a page.

    Started again with the same folder and settings it goes on where it stopped.
    """
    from ecgtransfer.cli import settings
    from ecgtransfer.conduct import conduct
    from ecgtransfer.datasets.store import Store
    from ecgtransfer.study.plans.plan import DownstreamPlan, StudyPlan, UpstreamPlan

    asked = settings.check(
        settings.ComparisonSettings,
        networks=networks,
        arms=arms,
        sizes=sizes,
        seeds=seeds,
        rates=rates,
    )
    budget = settings.check(settings.BudgetSettings, updates=updates, batch_size=batch_size)
    upstream_budget = settings.check(
        settings.BudgetSettings,
        prefix="pretrain-",
        updates=pretrain_updates,
        batch_size=pretrain_batch_size,
    )
    models = tuple(path for path in upstream if options.is_model(path))
    stores = [path for path in upstream if path not in models]
    if len(stores) > 1 or (stores and models):
        raise ConfigError(
            "several upstreams",
            where="--from",
            remedy="Give one store, or model folders; `study` compares several upstreams",
        )
    mine = Store.open(store, verify=False)
    downstream = DownstreamPlan(mine.info.name, store, options.choose_task(mine, task), asked.sizes)
    if stores:
        opened = Store.open(stores[0], verify=False)
        origin = UpstreamPlan(
            opened.info.name,
            store=stores[0],
            task=options.choose_task(opened, upstream_task, "--upstream-task"),
            budget=upstream_budget.budget(upstream=True),
            learning_rate=pretrain_rate,
            seeds=pretrain_seeds,
        )
    else:
        origin = UpstreamPlan(options.name_of(models), models=models)
    plan = StudyPlan(
        name=mine.info.name,
        networks=asked.networks,
        arms=asked.arms,
        upstreams=(origin,),
        downstreams=(downstream,),
        seeds=asked.seeds,
        rates=asked.rates,
        tuning_seeds=tuning_seeds,
        budget=budget.budget(),
        study_seed=study_seed,
        margin=margin,
        specificity=specificity,
    )
    with options.watched(out, quiet=quiet) as table:
        findings = conduct(plan, out, workers=options.threads_or_all(workers), listener=table, quiet=True)
    options.print_findings(findings, out, json=json)
