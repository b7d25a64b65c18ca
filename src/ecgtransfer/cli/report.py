"""`ecgtransfer report`: draw a study's findings again, from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options


def report(
    folder: Annotated[Path, typer.Argument(help="A study's folder, all of whose runs are there.")],
    beside: Annotated[
        list[Path] | None,
        typer.Option("--beside", help="A study by the published protocol, to be shown beside this one."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Say again what a study found and draw its page: `evidence.json`, `report.html`, `report.md`, `tables/`.

    No store is needed: what the report shows of the recordings themselves was kept in the folder.
    """
    from ecgtransfer.conduct import redraw

    options.print_findings(redraw(folder, beside or ()), folder, json=json)
