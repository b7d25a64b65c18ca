"""`ecgtransfer finetune`: one network from a pre-trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options, single


def finetune(
    store: Annotated[Path, typer.Argument(help="The store to learn, made by `prepare`.")],
    out: options.Out,
    model: Annotated[Path, typer.Option("--from", help="A model folder, made by `pretrain`.")],
    arm: Annotated[str, typer.Option("--arm", help="What moves: full or linear-probe.")] = "full",
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
    """Fine-tune a pre-trained model on a store and test it once."""
    from ecgtransfer.networks import read_card
    from ecgtransfer.transfer import ARMS

    options.one_of(arm, [name for name, found in ARMS.items() if found.start == "pretrained"], "arm")
    single.run_single(
        store,
        out,
        network=str(read_card(model)["network"]),
        arm=arm,
        task=task,
        n=options.labels(n),
        model=model,
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
