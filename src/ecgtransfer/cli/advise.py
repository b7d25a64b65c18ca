"""`ecgtransfer advise`: fine-tune or train from scratch on my recordings? The answer, and the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options


def advise(
    store: Annotated[Path, typer.Argument(help="Your own recordings, prepared.")],
    upstream: Annotated[
        list[Path],
        typer.Option("--from", help="What to start from: upstream stores or model folders; may be repeated."),
    ],
    out: options.Out,
    further: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[UPSTREAM]...", help="Further upstreams: --from A B is --from A --from B."),
    ] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.1, help="What the comparison may take on this machine.")
    ] = 30.0,
    network: Annotated[
        str | None, typer.Option("--network", help="See `ecgtransfer networks`; default: a narrow ResNet.")
    ] = None,
    task: options.Task = None,
    upstream_task: Annotated[
        str | None, typer.Option("--upstream-task", help="Task of the upstream stores.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Local processes; 0 takes one per core.")
    ] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Audit your recordings, compare fine-tuning with scratch in the time given, and make the better model.

    Started again with the same folder it goes on where it stopped.
    """
    from ecgtransfer.advise import advise as run_advice

    with options.watched(out / "study", quiet=quiet) as table:
        advice = run_advice(
            store,
            [*upstream, *(further or ())],
            out,
            minutes=minutes,
            network=network,
            task=task,
            upstream_task=upstream_task,
            workers=options.threads_or_all(workers),
            listener=table,
            quiet=quiet,
        )
    options.print_advice(advice, out, json=json)
