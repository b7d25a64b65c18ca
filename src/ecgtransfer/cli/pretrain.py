"""`ecgtransfer pretrain`: train a network on an upstream store, to be fine-tuned elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options, single


def pretrain(
    store: Annotated[Path, typer.Argument(help="The upstream store, made by `prepare`.")],
    out: options.Out,
    network: options.Network = "resnet1d18",
    task: options.Task = None,
    updates: options.Updates = 3000,
    batch_size: options.BatchSize = 64,
    learning_rate: options.Rate = 1e-3,
    seed: options.Seed = 0,
    study_seed: options.StudySeed = 0,
    flip: options.Flip = None,
    apart_from: Annotated[
        list[Path] | None,
        typer.Option(
            "--apart-from",
            help="A store that the model is to be tested on: what this one shares with it is left out.",
        ),
    ] = None,
    threads: options.Threads = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Pre-train a network on every label of an upstream store beside its test part."""
    single.run_single(
        store,
        out,
        network=network,
        arm="pretrain",
        task=task,
        n=None,
        model=None,
        updates=updates,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        study_seed=study_seed,
        flip=flip,
        threads=threads,
        json=json,
        quiet=quiet,
        apart_from=apart_from or (),
    )
