"""How far a study is, by what its folder says: for people beside the process that is at work, or after it.

Nothing here takes a lease or writes a file. Of the results only validation losses are told before the end:
whoever sees test values earlier may stop, add seeds or change the plan because of them, and then no interval
means what it says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgtransfer.errors import EcgTransferError
from ecgtransfer.study.baselines import BASELINES
from ecgtransfer.study.execution.crews import describe
from ecgtransfer.study.folder import read_study
from ecgtransfer.study.forecasts.pace import Pace
from ecgtransfer.study.leases import STALE, Holder, holders
from ecgtransfer.study.ledger import read_result
from ecgtransfer.study.planned import PURPOSES, Planned

RECENT = 5


@dataclass(frozen=True)
class Phase:
    """The runs of one purpose: how many there are, are finished, are at work and are left."""

    purpose: str
    runs: int
    done: int
    running: int
    left: int


@dataclass(frozen=True)
class AtWork:
    """A run that a process is at work on.

    Attributes
    ----------
    run, purpose : str
    seconds : float or None
        Since it began, or went on after an interruption.
    expected : float or None
        That it should take, by what runs like it took.
    by : str
        Machine and process.
    """

    run: str
    purpose: str
    seconds: float | None
    expected: float | None
    by: str


@dataclass(frozen=True)
class Finished:
    """A run that is finished; ``validation_loss`` is None where the run has none."""

    run: str
    purpose: str
    seconds: float
    validation_loss: float | None


@dataclass(frozen=True)
class Best:
    """Of one size, the cell with the lowest validation loss on average over the seeds that are finished."""

    downstream: str
    network: str
    upstream: str | None
    arm: str
    n: int | None
    n_is_all: bool
    validation_loss: float
    seeds: int


@dataclass(frozen=True)
class Standing:
    """How far a study is.

    Attributes
    ----------
    name : str
    folder : Path
    phases : tuple of Phase
        In the order in which they are carried out; without those that have no runs.
    at_work : tuple of AtWork
    recent : tuple of Finished
        The last few, the latest first.
    best : tuple of Best
        One per downstream and network, by validation loss.
    seconds_of_work : float or None
        That the runs left and at work still take, one after the other; None while a network has no finished
        run to go by.
    broken : tuple of str
        What is wrong with results that cannot be read.
    reported : bool
        Whether the findings have been written.
    """

    name: str
    folder: Path
    phases: tuple[Phase, ...]
    at_work: tuple[AtWork, ...]
    recent: tuple[Finished, ...]
    best: tuple[Best, ...]
    seconds_of_work: float | None
    broken: tuple[str, ...]
    reported: bool

    @property
    def runs(self) -> int:
        """Number of runs in all."""
        return sum(phase.runs for phase in self.phases)

    @property
    def done(self) -> int:
        """Number of runs that are finished."""
        return sum(phase.done for phase in self.phases)

    @property
    def complete(self) -> bool:
        """Whether every run is finished."""
        return self.done == self.runs

    @property
    def seconds_left(self) -> float | None:
        """Time left on the clock if as many stay at work; None where nobody is, or where it is unknown."""
        if self.complete:
            return 0.0
        if self.seconds_of_work is None or not self.at_work:
            return None
        return self.seconds_of_work / len(self.at_work)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        sums = {"runs": self.runs, "done": self.done, "complete": self.complete}
        return {
            **dataclasses.asdict(self),
            "folder": str(self.folder),
            **sums,
            "seconds_left": self.seconds_left,
        }


class StudyFolder:
    """A study's folder, looked at again and again; what was read once is not read again.

    Parameters
    ----------
    path : Path
        As `conduct` writes it, or one that holds it as ``study``, as `advise` and `demo` leave it.

    Raises
    ------
    StudyError
        The folder is no study, or its plan was changed.
    """

    def __init__(self, path: Path) -> None:
        self.study = read_study(path)
        self.path = self.study.path
        self.planned = {run.spec.id: run for run in self.study.planned}
        self._pace = Pace()
        self._finished: dict[str, tuple[float, Finished]] = {}
        self._losses: dict[Any, list[float]] = {}
        self._broken: dict[str, str] = {}
        self._began: dict[str, float] = {}

    def look(self) -> Standing:
        """Read what is new and say how far the study is."""
        self._read_new()
        held = [holder for holder in self._holders() if holder.run_id not in self._finished]
        running = {holder.run_id for holder in held}
        at_work = tuple(self._at_work(holder) for holder in held)
        left = [run.spec for name, run in self.planned.items() if name not in self._finished]
        seconds = self._pace.total(left)
        if seconds is not None:
            # What is past of the runs at work, but no more than they were expected to take.
            seconds -= sum(min(each.seconds or 0.0, each.expected or 0.0) for each in at_work)
        recent = sorted(self._finished.values(), key=lambda pair: -pair[0])[:RECENT]
        return Standing(
            name=str(self.study.description["plan"]["name"]),
            folder=self.path,
            phases=tuple(self._phases(running)),
            at_work=at_work,
            recent=tuple(finished for _, finished in recent),
            best=tuple(self._best()),
            seconds_of_work=seconds,
            broken=tuple(self._broken.values()),
            reported=(self.path / "evidence.json").exists(),
        )

    def _read_new(self) -> None:
        runs = self.study.ledger.runs
        there, self._began = [], {}
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(runs):
                if entry.name in self.planned:
                    there.append(entry.name)
                elif entry.name.startswith(".") and entry.name.endswith(".partial"):
                    self._note_beginning(Path(entry.path))
        for name in there:
            if name in self._finished:
                continue
            run, folder = self.planned[name], runs / name
            try:
                content = read_result(folder, run.spec)
                when = (folder / "result.json").stat().st_mtime
            except (EcgTransferError, OSError) as error:
                self._broken[name] = str(error)
                continue
            self._broken.pop(name, None)
            seconds, loss = float(content["measured"]["seconds"]), content["result"].get("validation_loss")
            self._pace.add(run.spec, seconds)
            self._finished[name] = (when, Finished(self._told(run), run.purpose, seconds, loss))
            if loss is not None and run.purpose == "evidence" and run.spec.network not in BASELINES:
                self._losses.setdefault(_cell(run), []).append(loss)

    def _note_beginning(self, working: Path) -> None:
        """Note since when a run is at work: it begins by writing its spec into the folder it works in."""
        run_id = working.name.removeprefix(".").partition(".")[0]
        with contextlib.suppress(OSError):  # it may be finished by now
            began = (working / "spec.json").stat().st_mtime
            self._began[run_id] = max(began, self._began.get(run_id, began))

    def _holders(self) -> list[Holder]:
        """Return who is at work: leases that beat and whose process is not known to have ended."""
        now = time.time()
        return [
            holder
            for holder in holders(self.path / "leases")
            # Twice, because the file system's clock may differ from ours; leases last minutes, not seconds.
            if holder.run_id in self.planned and now - holder.beat < 2 * STALE and not holder.is_gone()
        ]

    def _at_work(self, holder: Holder) -> AtWork:
        run = self.planned[holder.run_id]
        began = self._began.get(holder.run_id)
        seconds = None if began is None else max(0.0, time.time() - began)
        by = f"{(holder.host.split() or ['?'])[0]} {holder.pid}"
        return AtWork(self._told(run), run.purpose, seconds, self._pace.seconds(run.spec), by)

    def _told(self, run: Planned) -> str:
        """Return a run in words that no other run of the study shares, as far as people look."""
        words = describe(run.spec)
        if run.downstream is not None and len(self.study.description["downstreams"]) > 1:
            words = f"{run.downstream}: {words}"
        if run.upstream is not None and len({each.upstream for each in self.study.planned}) > 2:
            words += f" from {run.upstream}"
        if run.purpose != "pretraining" and run.pretraining_seed:
            words += f", pre-training {run.pretraining_seed}"
        if run.purpose == "convergence":
            words += f", {run.spec.budget.updates} updates"
        return words

    def _phases(self, running: set[str]) -> Iterator[Phase]:
        for purpose in PURPOSES:
            names = [name for name, run in self.planned.items() if run.purpose == purpose]
            done = sum(name in self._finished for name in names)
            at_work = sum(name in running for name in names)
            if names:
                yield Phase(purpose, len(names), done, at_work, len(names) - done - at_work)

    def _best(self) -> Iterator[Best]:
        # Other sizes have other validation parts: their losses are not to be compared.
        found: dict[tuple[str, str, float], Best] = {}
        for cell, losses in self._losses.items():
            downstream, network, upstream, arm, n = cell
            mean = statistics.fmean(losses)
            place = downstream, network, math.inf if n is None else n
            best = found.get(place)
            if best is None or mean < best.validation_loss:
                found[place] = Best(downstream, network, upstream, arm, n, n is None, mean, len(losses))
        for place in sorted(found):
            yield found[place]


def _cell(run: Planned) -> tuple[str, str, str | None, str, int | None]:
    return run.downstream or "", run.spec.network, run.upstream, run.spec.arm, run.spec.n
