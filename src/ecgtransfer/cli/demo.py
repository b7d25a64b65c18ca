"""`ecgtransfer demo`: the main job on simulated recordings, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options


def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for recordings, stores, runs and report.")
    ] = Path("demo"),
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Local processes; 0 takes one per core.")
    ] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask for advice on simulated hospital B, with hospital A to pre-train on."""
    from ecgtransfer.demo import demo as run_demo

    with options.watched(out / "advice" / "study", quiet=quiet) as table:
        advice = run_demo(out, workers=options.threads_or_all(workers), listener=table, quiet=quiet)
    options.print_advice(advice, out / "advice", json=json)
    if not json:
        print(f"The same page: {out / 'report.html'}")
