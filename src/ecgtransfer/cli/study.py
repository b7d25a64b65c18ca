"""`ecgtransfer study`: run the study that a plan (TOML) asks for, and say how far one is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecgtransfer.cli import options
from ecgtransfer.errors import ConfigError

if TYPE_CHECKING:
    from ecgtransfer.study.plans.plan import StudyPlan

study = typer.Typer(
    name="study",
    help="Run the study that a plan asks for, and say how far one is.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@study.command("run")
def run_plan(
    plan: Annotated[Path, typer.Argument(help="A plan in TOML, such as plans/my-data.toml.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The study's folder; needed unless --dry-run.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run nothing: say what it would take and what it can show.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=0, help="Local processes; 0 takes one per core, a single one with --device cuda."
        ),
    ] = 0,
    executor: Annotated[str, typer.Option("--executor", help="'local' processes, or a 'ray' cluster.")] = (
        "local"
    ),
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="Of a running Ray cluster; without it $RAY_ADDRESS, else one is started on this machine.",
        ),
    ] = None,
    gpus_per_run: Annotated[
        float,
        typer.Option(
            "--gpus-per-run",
            min=0.0,
            help="Of a Ray node; a share, such as 0.25, where several runs fit on one. Networks then compute "
            "there.",
        ),
    ] = 0.0,
    device: Annotated[
        str, typer.Option("--device", help="Where networks compute in local processes: 'cpu' or 'cuda'.")
    ] = "cpu",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run every run of a plan, then say what they say.

    Ctrl-C stops it (exit 130); the same command goes on from there. Several may work on one folder at a time.
    """
    from ecgtransfer.study.plans.toml import read_plan

    if executor not in ("local", "ray"):
        options.one_of(executor, ("local", "ray"), "executor")
    if address is not None and executor != "ray":
        raise ConfigError("belongs to --executor ray", where="--address", remedy="Name that executor, too")
    if gpus_per_run and executor != "ray":
        raise ConfigError(
            "belongs to --executor ray", where="--gpus-per-run", remedy="Name that executor, too"
        )
    if device not in ("cpu", "cuda"):
        # Not by the nearest name: whoever says 'gpu' does not mean 'cpu'.
        raise ConfigError(f"unknown device '{device}'", remedy="Known: cpu, and cuda, which is a GPU")
    if device == "cuda" and executor == "ray":
        raise ConfigError(
            "belongs to --executor local", where="--device", remedy="Say --gpus-per-run for a Ray cluster"
        )
    if device == "cuda" and dry_run:
        raise ConfigError(
            "goes without --dry-run",
            where="--device",
            remedy="The forecast times this machine's processor: no GPU has been timed yet",
        )
    asked = read_plan(plan)
    # Processes that share a GPU are in each other's way: more than one are for those who ask for them.
    workers = workers or (1 if device == "cuda" else options.cores())
    if dry_run:
        _foretell(asked, out, workers, json=json)
        return
    if out is None:
        raise ConfigError("a study needs a folder", where="--out", remedy="Give one with -o, or --dry-run")
    from ecgtransfer.conduct import conduct

    with options.watched(out, quiet=quiet) as table:
        findings = conduct(
            asked,
            out,
            workers=workers,
            executor="ray" if executor == "ray" else "local",
            address=address,
            gpus_per_run=gpus_per_run,
            device="cuda" if device == "cuda" else "cpu",
            listener=table,
            quiet=True,
        )
    options.print_findings(findings, out, json=json)


@study.command("status")
def show_status(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on showing it until it is complete, or Ctrl-C.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Say how far a study is: done, at work, left, time left; from any terminal that sees the folder.

    Nothing is written, and no test value is shown before the end.
    """
    from ecgtransfer.study.status import StudyFolder

    if watch and json:
        raise ConfigError("goes without --watch", where="--json", remedy="Ask again and again for JSON")
    found = StudyFolder(folder)
    if json:
        options.print_json(found.look().as_dict())
        return
    from rich.console import Console

    from ecgtransfer.report.live import draw
    from ecgtransfer.report.live import watch as keep_showing

    console = Console()
    if watch:
        keep_showing(found, console)
    else:
        console.print(draw(found.look()))


def _foretell(plan: StudyPlan, out: Path | None, workers: int, *, json: bool) -> None:
    from ecgtransfer.study.expand import expand
    from ecgtransfer.study.forecasts.forecast import forecast

    found = forecast(expand(plan), out, workers=workers)
    if json:
        options.print_json(found.as_dict())
        return
    from rich.console import Console

    from ecgtransfer.report.forecast_tables import forecast_lines, forecast_tables

    console = Console()
    for table in forecast_tables(found):
        console.print(table)
    for told in forecast_lines(found):
        console.print(told, highlight=False, markup=False, soft_wrap=True)
