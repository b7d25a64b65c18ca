"""How far a study is, drawn: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ecgtransfer.errors import EcgTransferError
from ecgtransfer.report.view import duration, number
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.study.status import Standing, StudyFolder

TITLES = {
    "pretraining": "pre-training",
    "tuning": "choosing rates",
    "evidence": "evidence",
    "convergence": "shorter budgets",
}
# Rows of runs at work beyond which only their number is told.
_MOST_ROWS = 8


class LiveTable:
    """Shows how far a study is while it runs: a listener of `conduct`, and a context.

    It shows what the study's folder says, so that runs of other processes and machines count too; being told
    of the first run is how it knows that the folder is there. On a terminal the table is redrawn in place
    every second; otherwise a line is printed now and then.

    Parameters
    ----------
    folder : Path
        The study's folder, which need not be there yet.
    quiet : bool
        Show nothing.
    console : Console, optional
        stderr by default.
    every : float
        Seconds between two lines where there is no terminal.
    """

    def __init__(
        self, folder: Path, *, quiet: bool = False, console: Console | None = None, every: float = 30.0
    ) -> None:
        self.folder, self.quiet, self.every = folder, quiet, every
        self.console = console or Console(stderr=True)
        self._study: StudyFolder | None = None
        self._standing: Standing | None = None
        self._began, self._stopped = threading.Event(), threading.Event()
        self._speaker: threading.Thread | None = None
        self._live: Live | None = None

    def started(self, spec: RunSpec) -> None:
        """Note that the folder is there."""
        self._begin()

    def finished(self, spec: RunSpec, content: dict[str, Any]) -> None:
        """Note that the folder is there; the result is read from it."""
        self._begin()

    def elsewhere(self, specs: Sequence[RunSpec]) -> None:
        """Note that the folder is there; who is at work is read from it."""
        self._begin()

    def __enter__(self) -> LiveTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._live is not None:
            self._live.stop()
        if self._speaker is not None:
            self._speaker.join(timeout=5)
        # Whoever ends it by an error says how far it came.
        if kind is None and self._began.is_set() and (standing := self.look()) is not None:
            self.console.print(line(standing), highlight=False, markup=False, soft_wrap=True)

    def look(self) -> Standing | None:
        """Return how far the study is, None before there is a study; what was seen last if it fails."""
        with contextlib.suppress(EcgTransferError, OSError):
            if self._study is None:
                self._study = StudyFolder(self.folder)
            self._standing = self._study.look()
        return self._standing

    def _begin(self) -> None:
        if self.quiet or self._began.is_set():
            return
        self._began.set()
        if self.console.is_terminal:
            # Gone when it ends: what stays behind is the result.
            self._live = Live(
                get_renderable=self._draw, console=self.console, refresh_per_second=1, transient=True
            )
            self._live.start()
        else:
            self._speaker = threading.Thread(target=self._speak, name="progress", daemon=True)
            self._speaker.start()

    def _draw(self) -> RenderableType:
        standing = self.look()
        return Text("…") if standing is None else draw(standing)

    def _speak(self) -> None:
        while not self._stopped.wait(self.every):
            if (standing := self.look()) is not None:
                self.console.print(line(standing), highlight=False, markup=False, soft_wrap=True)


def line(standing: Standing) -> str:
    """Return how far a study is, in one line."""
    parts = [f"{standing.name}: {standing.done} of {standing.runs} runs done"]
    if not standing.complete:
        parts.append(f"{len(standing.at_work)} at work" if standing.at_work else "nobody at work")
        if (left := time_left(standing)) is not None:
            parts.append(left)
    elif not standing.reported:
        parts.append("the report is not written yet")
    if standing.broken:
        parts.append(f"{len(standing.broken)} cannot be read")
    last = standing.recent[0] if standing.recent else None
    told = "" if last is None or standing.complete else f"; last {last.run}, {duration(last.seconds)}"
    return ", ".join(parts) + told


def time_left(standing: Standing) -> str | None:
    """Return the time left in words; None where it is not known, or nothing is left."""
    if standing.complete or standing.seconds_of_work is None:
        return None
    if standing.seconds_left is None:
        return f"about {duration(standing.seconds_of_work)} of work left"
    return f"about {duration(standing.seconds_left)} left"


def draw(standing: Standing) -> RenderableType:
    """Return how far a study is as tables: what is done, at work and left, the last runs, the best so far."""
    parts: list[RenderableType] = [Text(_headline(standing), style="bold"), _phases(standing)]
    if standing.at_work:
        parts.append(_at_work(standing))
    if standing.recent:
        parts.append(_recent(standing))
    if standing.best:
        parts.append(_best(standing))
    parts += [Text(f"Cannot be read: {what}") for what in standing.broken]
    return Group(*parts)


def _headline(standing: Standing) -> str:
    left = time_left(standing)
    if standing.complete:
        tail = "all runs are finished" + ("" if standing.reported else ", the report is not written yet")
    elif left is None:
        tail = "time left not known before a run of each network is finished"
    else:
        workers = len(standing.at_work)
        tail = f"{left}, {workers} at work" if workers else f"{left}, nobody is at work"
    return f"{standing.name}: {standing.done} of {standing.runs} runs done; {tail}"


def _phases(standing: Standing) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("done", "at work", "left", "of"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", width=16)
    for phase in standing.phases:
        counts = (phase.done, phase.running, phase.left, phase.runs)
        bar = ProgressBar(total=phase.runs, completed=phase.done, width=16)
        table.add_row(TITLES[phase.purpose], *map(str, counts), bar)
    return table


def _at_work(standing: Standing) -> Table:
    table = Table(box=None, pad_edge=False, title="\nat work", title_justify="left", title_style="bold")
    table.add_column("run", overflow="fold")
    for column in ("for", "expected"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("by", overflow="fold")
    for run in standing.at_work[:_MOST_ROWS]:
        table.add_row(run.run, duration(run.seconds), duration(run.expected), run.by)
    if (more := len(standing.at_work) - _MOST_ROWS) > 0:
        table.add_row(f"and {more} more", "", "", "")
    return table


def _recent(standing: Standing) -> Table:
    table = Table(box=None, pad_edge=False, title="\nlast finished", title_justify="left", title_style="bold")
    table.add_column("run", overflow="fold")
    for column in ("took", "validation loss"):
        table.add_column(column, justify="right", no_wrap=True)
    for run in standing.recent:
        table.add_row(run.run, duration(run.seconds), number(run.validation_loss))
    return table


def _best(standing: Standing) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        title="\nlowest mean validation loss of each size"
        + (
            " (test values are in the report)"
            if standing.reported
            else " so far (test values come at the end)"
        ),
        title_justify="left",
        title_style="bold",
    )
    for column in ("downstream", "network", "arm"):
        table.add_column(column, overflow="fold")
    for column in ("n", "loss", "runs"):
        table.add_column(column, justify="right", no_wrap=True)
    for best in standing.best:
        arm = best.arm if best.upstream is None else f"{best.arm} from {best.upstream}"
        size = "all" if best.n_is_all else str(best.n)
        loss = number(best.validation_loss)
        table.add_row(best.downstream, best.network, arm, size, loss, str(best.seeds))
    return table


def watch(study: StudyFolder, console: Console, *, every: float = 2.0) -> Standing:
    """Show how far a study is until it is complete or the user stops it; return what was seen last.

    On a terminal the tables are redrawn in place, otherwise a line is printed whenever it differs.
    """
    waiting = threading.Event()
    standing = study.look()
    if console.is_terminal:
        with Live(draw(standing), console=console, auto_refresh=False) as live:
            while not standing.complete:
                waiting.wait(every)
                standing = study.look()
                live.update(draw(standing), refresh=True)
        return standing
    said = ""
    while True:
        if (text := line(standing)) != said:
            console.print(text, highlight=False, markup=False, soft_wrap=True)
            sys.stdout.flush()
        said = text
        if standing.complete:
            return standing
        waiting.wait(every)
        standing = study.look()
