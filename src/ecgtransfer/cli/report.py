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
    tensorboard: Annotated[
        Path | None,
        typer.Option("--tensorboard", help="Write every run there, too, for `tensorboard --logdir`."),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            "--mlflow", help="Write every run there, too: a server's address, or sqlite:///mlflow.db."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Say again what a study found and draw its page: `evidence.json`, `report.html`, `report.md`, `tables/`.

    No store is needed: what the report shows of the recordings themselves was kept in the folder.
    Runs that TensorBoard's folder or MLflow holds already are not written again.
    """
    from ecgtransfer.conduct import redraw
    from ecgtransfer.study.folder import read_study

    # First: a library that is missing, or an address that is wrong, is known before the page is drawn.
    _track(folder, tensorboard, mlflow)
    options.print_findings(redraw(folder, beside or ()), read_study(folder).path, json=json)


def _track(folder: Path, tensorboard: Path | None, mlflow: str | None) -> None:
    """Write the study's runs for the tools that were asked for, and say so on stderr."""
    if tensorboard is None and mlflow is None:
        return
    from ecgtransfer.report.trackers import write_mlflow, write_tensorboard
    from ecgtransfer.study.folder import read_study

    study = read_study(folder)
    if tensorboard is not None:
        options.note(f"TensorBoard: {write_tensorboard(study, tensorboard)} runs written to {tensorboard}")
    if mlflow is not None:
        options.note(f"MLflow: {write_mlflow(study, mlflow)} runs written to {mlflow}")
