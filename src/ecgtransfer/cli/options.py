"""Options that several commands share, and what turns their text into values."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecgtransfer.errors import ConfigError, nearest

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store
    from ecgtransfer.report.live import LiveTable

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

Out = Annotated[Path, typer.Option("-o", "--out", help="Where the result goes; must not hold another one.")]
Task = Annotated[
    str | None, typer.Option("--task", help="Task of the store; not needed where there is only one.")
]
Network = Annotated[str, typer.Option("--network", help="See `ecgtransfer networks`.")]
Labels = Annotated[
    str,
    typer.Option("--n", help="Labels to use, validation included; 'all' for every one beside the test part."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Names the test fold, subset, order and weights.")]
StudySeed = Annotated[int, typer.Option("--study-seed", min=0, help="Another one is another study.")]
Updates = Annotated[int, typer.Option("--updates", help="Budget of a training, in optimiser steps.")]
BatchSize = Annotated[int, typer.Option("--batch-size", help="Records per update.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="Peak learning rate of AdamW.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result on stdout as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
Threads = Annotated[
    int,
    typer.Option(
        "--threads", min=0, help="Threads of a training; 0 takes all. Part of the result's identity."
    ),
]
Flip = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip",
        help="Turn half of the training records upside down. Default: only where the store says that its "
        "polarity is uncertain.",
    ),
]


def labels(text: str) -> int | None:
    """Turn ``--n`` into a number of labels, or None for all."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 10:
        raise ConfigError(
            f"'{text}' is not a number of labels", where="--n", remedy="Give at least 10, or 'all'"
        )
    return int(text)


def choose_task(store: Store, task: str | None, option: str = "--task") -> str:
    """Return the task that was asked for, or the only one the store has."""
    return store.task_name(task, remedy=f"Choose one with {option}")


def threads_or_all(threads: int) -> int:
    """Return the number of threads, all of the machine's for 0."""
    return threads or cores()


def cores() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_model(path: Path) -> bool:
    """Tell a model folder from a store; neither is an error that names both."""
    if (path / "card.json").is_file():
        return True
    if (path / "dataset.json").is_file():
        return False
    what = "is neither a model folder nor a store" if path.exists() else "does not exist"
    raise ConfigError(what, where=path, remedy="Give a folder made by `pretrain` or `prepare`")


def one_of(name: str, known: Iterable[str], what: str) -> str:
    """Return ``name`` if it is known; else say which is nearest."""
    known = list(known)
    if name not in known:
        raise ConfigError(f"unknown {what} '{name}'", remedy=nearest(name, known))
    return name


def name_of(models: Sequence[Path]) -> str:
    """Return what model folders are called together: the dataset that they were pre-trained on."""
    from ecgtransfer.networks import read_card

    return " and ".join(dict.fromkeys(str(read_card(folder)["data"][0]["name"]) for folder in models))


def print_findings(findings: dict[str, Any], out: Path, *, json: bool) -> None:
    """Print what a study found: tables, the answer, and where the page is."""
    if json:
        print_json(findings)
        return
    from rich.console import Console

    from ecgtransfer.report.tables import comparison_table

    console = Console()
    for table in comparison_table(findings):
        console.print(table)
    console.print(findings["sentence"], highlight=False)
    for told in dict.fromkeys(upstream["left_out"] for upstream in findings["upstreams"]):
        console.print(told, highlight=False)
    console.print(f"Report: {out / 'report.html'}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def watched(folder: Path, *, quiet: bool) -> Iterator[LiveTable]:
    """Show how far the study in ``folder`` is; Ctrl-C says how to go on and leaves with exit code 130."""
    from ecgtransfer.report.live import LiveTable

    table = LiveTable(folder, quiet=quiet)
    try:
        with table:
            yield table
    except KeyboardInterrupt:
        standing = None if table.quiet else table.look()
        done = "" if standing is None else f" after {standing.done} of {standing.runs} runs"
        kept = (
            "What is finished is on disk, and a training goes on from its last checkpoint"
            if folder.exists()
            else "Nothing was begun"
        )
        note(f"\nStopped{done}. {kept}. Go on with:\n  {shlex.join(['ecgtransfer', *sys.argv[1:]])}")
        # Not typer's own Exit, which is what a Ctrl-C that nobody answered becomes, too.
        sys.exit(INTERRUPTED)


def print_advice(advice: dict[str, Any], out: Path, *, json: bool) -> None:
    """Print what `advise` says: the data, the answer, the model."""
    if json:
        print_json(advice)
        return
    from rich.console import Console

    console = Console()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for line in advice["audit"]:
        say(f"- {line}")
    say("")
    for line in (*advice["answer"], advice["recommendation"]["text"]):
        say(line)
    say(f"Model: {out / advice['model']}\nReport: {out / 'report.html'}\nData: {out / 'audit.html'}")


def print_json(value: Any) -> None:
    """Print the result, and nothing else, on stdout."""
    json.dump(value, sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")


def note(text: str) -> None:
    """Say something on stderr that is not the result."""
    print(text, file=sys.stderr)
