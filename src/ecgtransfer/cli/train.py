"""`ecgtransfer train`: one network from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options, single


def train(
    store: Annotated[Path, typer.Argument(help="The store to learn, made by `prepare`.")],
    out: options.Out,
    network: options.Network = "resnet1d18",
    task: options.Task = None,
    n: options.Labels = "all",
    updates: options.Updates = 400,
    batch_size: options.BatchSize = 32,
    learning_rate: options.Rate = 1e-3,
    seed: options.Seed = 0,
    study_seed: options.StudySeed = 0,
    flip: options.Flip = None,
    threads: options.Threads = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train one network from scratch and test it once."""
    single.run_single(
        store,
        out,
        network=network,
        arm="scratch",
        task=task,
        n=options.labels(n),
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
    )
