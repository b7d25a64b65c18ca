"""Who carries out a list of runs: this process, several local processes, or the nodes of a Ray cluster.

`execute` decides what is done when, under leases, so that several processes may share one ledger. Where a run
is carried out is the affair of a `Crew`, and makes no difference to what the run says, except that a GPU
rounds otherwise than a processor.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal, Protocol

from ecgtransfer.progress import Progress
from ecgtransfer.study.execution.crews import Crew, Task, check_version, describe, gather
from ecgtransfer.study.execution.devices import DeviceKind
from ecgtransfer.study.leases import STALE, LeaseLostError, Leases
from ecgtransfer.study.ledger import Ledger, read_result
from ecgtransfer.study.run import Locations
from ecgtransfer.study.spec import RunSpec

# Seconds between two looks at what other processes are at work on.
LOOK = 0.5


class Listener(Protocol):
    """Whoever wants to know how far a list of runs is."""

    def started(self, spec: RunSpec) -> None:
        """Note that a run has begun here."""

    def finished(self, spec: RunSpec, content: dict[str, Any]) -> None:
        """Note that a run is in the ledger, done here or elsewhere; ``content`` is that of result.json."""

    def elsewhere(self, specs: Sequence[RunSpec]) -> None:
        """Note which runs other processes are at work on; told when that changes."""


def execute(
    specs: Sequence[RunSpec],
    ledger: Ledger,
    locations: Locations,
    *,
    workers: int = 1,
    keep_models: bool | Collection[str] = frozenset(),
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    gpus_per_run: float = 0.0,
    device: DeviceKind = "cpu",
    listener: Listener | None = None,
    label: str = "runs",
    quiet: bool = False,
    stale: float = STALE,
) -> int:
    """Carry out the runs that the ledger does not hold yet, and return when it holds them all.

    Several processes may do so at the same time on one ledger, on one machine or on several that share a
    disk: each run is done by one of them. Results do not depend on who does a run, but for rounding between
    processors and GPUs: a run's ``measured`` says where its network computed.

    Parameters
    ----------
    specs : sequence of RunSpec
        In the order in which they are started; one that occurs twice is carried out once.
    ledger : Ledger
        Where results go, and what says which are there.
    locations : Locations
        Stores and models, by content.
    workers : int
        Local processes; 1 stays in this one. A cluster takes as many runs as it has room for.
    keep_models : bool or collection of str
        Whether each run's folder keeps its weights, or the ids of the runs whose folders do.
    executor : {'local', 'ray'}
    address : str, optional
        Of a running Ray cluster, ``HOST:PORT`` of its head. Without it: ``$RAY_ADDRESS``, else one is started
        on this machine alone, for as long as it takes.
    gpus_per_run : float
        Of a Ray node, for each run; a share where several runs fit on one. Above 0 its network computes on
        the GPU that Ray gives it (on the first, where it gives several), else on the processor.
    device : {'cpu', 'cuda'}
        Where the networks of local processes compute; all of them share the first GPU that torch sees.
    listener : Listener, optional
        Told what begins and ends; without one, progress is printed on stderr.
    label : str
        For the progress line.
    quiet : bool
        No progress line.
    stale : float
        Seconds without a sign of life after which another process's run is taken over; at once where it is
        known to have ended.

    Returns
    -------
    int
        How many runs were carried out here; the others were there, or were done by other processes.

    Raises
    ------
    EcgTransferError
        From the first run that fails, when those that had begun are finished: where a GPU is asked for and
        torch sees none, that is the first. What is finished stays in the ledger, also when this is
        interrupted (Ctrl-C).
    """
    unique = list(dict.fromkeys(specs))
    for spec in unique:
        check_version(spec)
    left = [spec for spec in unique if not ledger.has(spec)]
    leases = Leases(ledger.path / "leases", stale=stale)
    _sweep(ledger, leases)
    told = listener or _Line(label, len(left), len(unique) - len(left), quiet=quiet)
    done = 0
    if left:
        crew = gather(
            ledger,
            locations,
            workers=min(workers, len(left)),
            executor=executor,
            address=address,
            gpus_per_run=gpus_per_run,
            device=device,
            line=Progress(label, quiet=quiet) if listener is None else None,
        )
        with leases, _at_work(crew):
            done = _conduct(left, ledger, leases, crew, told, _keeper(keep_models))
        _sweep(ledger, leases)
    if isinstance(told, _Line):
        told.close()
    return done


def _conduct(
    left: Sequence[RunSpec],
    ledger: Ledger,
    leases: Leases,
    crew: Crew,
    listener: Listener,
    keep: Collection[str] | None,
) -> int:
    """Begin what can be begun, then what others have given up, until the ledger holds every run."""
    waiting = dict.fromkeys(left, 0.0)  # when to look at a run again, for those that others are at work on
    told: list[RunSpec] = []
    failure: Exception | None = None
    at_work = done = 0
    while at_work or (waiting and failure is None):
        for spec, due in list(waiting.items()):
            if failure is not None or crew.room <= 0:
                break
            if due > time.monotonic():
                continue
            lease = None if ledger.has(spec) else leases.claim(spec.id)
            if ledger.has(spec):  # looked at twice, because the other may have finished before our claim
                if lease is not None:
                    leases.release(lease)
                del waiting[spec]
                listener.finished(spec, read_result(ledger.folder(spec.id), spec))
            elif lease is None:
                waiting[spec] = time.monotonic() + LOOK
            else:
                crew.begin(Task(spec, lease, keep is None or spec.id in keep))
                at_work += 1
                del waiting[spec]
                listener.started(spec)
        elsewhere = [spec for spec, due in waiting.items() if due]
        if elsewhere != told:
            listener.elsewhere(elsewhere)
            told = elsewhere
        for ended in crew.finished(LOOK if elsewhere else None) if at_work else ():
            at_work -= 1
            task, error = ended.job, ended.error
            # Whatever goes wrong with a run that another has taken over is not ours to complain of.
            lost = isinstance(error, LeaseLostError) or (error is not None and not task.lease.is_held())
            leases.release(task.lease)
            if lost:
                waiting[task.spec] = time.monotonic() + LOOK
            elif error is not None:
                failure = failure or error
            else:
                done += 1
                listener.finished(task.spec, ended.result())
        if not at_work and elsewhere and failure is None:
            time.sleep(LOOK)
    if failure is not None:
        raise failure
    return done


def _sweep(ledger: Ledger, leases: Leases) -> None:
    """Remove what killed processes left of runs that are complete."""
    ledger.sweep()
    leases.sweep(ledger.is_complete)


def _keeper(keep_models: bool | Collection[str]) -> Collection[str] | None:
    """Return the ids of the runs that keep their weights, or None for all."""
    if isinstance(keep_models, bool):
        return None if keep_models else frozenset()
    return frozenset(keep_models)


@contextlib.contextmanager
def _at_work(crew: Crew) -> Iterator[None]:
    """Let those who are at work finish what they have, except where the user wants to stop."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            crew.kill()
        raise
    finally:
        crew.close()


class _Line:
    """The listener that prints how far a list of runs is, on one line of stderr."""

    def __init__(self, label: str, total: int, there: int, *, quiet: bool) -> None:
        self.progress = Progress(label, quiet=quiet)
        self.total, self.there = total, there
        self.ours: set[RunSpec] = set()
        self.done = self.others = self.records = 0
        self.since = time.perf_counter()

    def started(self, spec: RunSpec) -> None:
        self.ours.add(spec)

    def finished(self, spec: RunSpec, content: dict[str, Any]) -> None:
        if spec in self.ours:
            self.done += 1
            self.records += content["measured"].get("records_seen", 0)
        else:
            self.others += 1
        speed = f"{self.records / (time.perf_counter() - self.since):.0f} records/s"
        self.progress.update(self.done + self.others, self.total, f"{describe(spec)}  {speed}")

    def elsewhere(self, specs: Sequence[RunSpec]) -> None:
        if specs:
            count = f"{len(specs)} at work in other processes"
            self.progress.update(self.done + self.others, self.total, count)

    def close(self) -> None:
        there = f", {self.there} were there" if self.there else ""
        others = f", {self.others} by other processes" if self.others else ""
        self.progress.finish(f"{self.progress.label}: {self.done} runs done{others}{there}")
