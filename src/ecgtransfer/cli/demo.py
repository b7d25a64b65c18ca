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
    """Pre-train on simulated hospital A, then fine-tune on B against scratch, at three sizes and seeds."""
    from ecgtransfer.demo import demo as run_demo

    findings = run_demo(out, workers=options.threads_or_all(workers), quiet=quiet)
    if json:
        options.print_json(findings)
        return
    from rich.console import Console

    from ecgtransfer.report.tables import comparison_table

    console = Console()
    for table in comparison_table(findings):
        console.print(table)
    console.print(findings["sentence"], highlight=False)
    console.print(
        f"Result: {out / 'result.json'}\nReport: {out / 'report.html'}", highlight=False, soft_wrap=True
    )
