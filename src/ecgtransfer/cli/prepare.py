"""`ecgtransfer prepare`: raw files to a store."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options


def prepare(
    source: Annotated[str, typer.Argument(help="See `ecgtransfer datasets`; `folder` for your own files.")],
    path: Annotated[Path, typer.Argument(help="The folder, or the archive as downloaded.")],
    out: options.Out,
    rate: Annotated[float, typer.Option("--rate", help="Sampling rate of the store in Hz.")] = 100.0,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of a window.")] = 10.0,
    leads: Annotated[
        str | None, typer.Option("--leads", help="Separated by commas; default: all of the source.")
    ] = None,
    length: Annotated[
        str,
        typer.Option(
            "--length", help="cover: windows that cover longer records; first: the first --seconds only."
        ),
    ] = "cover",
    table: Annotated[
        Path | None, typer.Option("--table", help="CSV of your own labels (source `folder`).")
    ] = None,
    file_rate: Annotated[
        float | None,
        typer.Option("--file-rate", help="Hz of your files, where they do not say it (source `folder`)."),
    ] = None,
    file_units: Annotated[
        str | None,
        typer.Option("--file-units", help="Unit of your files: mV, uV, V, or steps per mV such as 1000/mV."),
    ] = None,
    file_leads: Annotated[
        str | None,
        typer.Option("--file-leads", help="Leads in the order of your files, separated by commas."),
    ] = None,
    file_variable: Annotated[
        str | None,
        typer.Option("--file-variable", help="Which array of an NPZ, MAT or HDF5 file is the ECG."),
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="default, or paper: signals as the published study had them.")
    ] = "default",
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes; 0: as many as it is worth.")
    ] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn recordings into a store; killed and started again it goes on where it stopped."""
    from ecgtransfer.datasets.prepare import prepare as run_prepare
    from ecgtransfer.signals import Stated

    summary = run_prepare(
        source,
        path,
        out,
        rate=rate,
        seconds=seconds,
        leads=None if leads is None else tuple(part.strip() for part in leads.split(",") if part.strip()),
        length="first" if options.one_of(length, ("cover", "first"), "length") == "first" else "cover",
        table=table,
        stated=Stated(
            sampling_rate=file_rate,
            units=file_units,
            leads=None if file_leads is None else tuple(part.strip() for part in file_leads.split(",")),
            variable=file_variable,
        ),
        recipe=recipe,
        workers=workers or None,
        quiet=quiet,
    )
    if json:
        options.print_json({**dataclasses.asdict(summary), "path": str(summary.path)})
        return
    print(f"{summary.path}: {summary.sentence()}, {summary.seconds:.1f} s")
    for note in summary.notes:
        print(f"- {note}")
