"""Local worker processes that end with their parent, and a lock that two processes cannot both hold."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from ecgtransfer.errors import EcgTransferError

Job = TypeVar("Job")
Result = TypeVar("Result")

# A forked child would inherit the thread pools of numerical libraries in an undefined state.
START_METHOD = "spawn"


def each(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Apply a function to every job, and yield job and result in the order in which they are done.

    Parameters
    ----------
    function : callable
        Importable by name, with jobs and results that can be pickled, when ``workers`` is above 1.
    jobs : sequence
    workers : int
        Processes; 1 stays in this one.

    Raises
    ------
    EcgTransferError
        If a worker ended by force; whatever ``function`` raises comes through as it is.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            yield job, function(job)
        return
    waiting, left = deque(jobs), len(jobs)
    with Pool(function, workers) as pool:
        while left:
            while waiting and pool.room:
                pool.begin(waiting.popleft())
            for done in pool.finished():
                left -= 1
                yield done.job, done.result()


@dataclass(frozen=True)
class Done(Generic[Job, Result]):
    """A job that has come to its end: with a value, or with an error."""

    job: Job
    value: Result | None = None
    error: Exception | None = None

    def result(self) -> Result:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None may be a Result


class Pool(Generic[Job, Result]):
    """Processes that apply one function to one job at a time, and end with this process however it ends.

    Unlike the pools of the standard library it loses one job when one process is ended by force, ends at once
    on Ctrl-C without a word from its processes, and takes a job only when a process is free for it.

    Parameters
    ----------
    function : callable
        Importable by name; jobs and results can be pickled.
    size : int
        Processes; they are started with the first job.
    """

    def __init__(self, function: Callable[[Job], Result], size: int) -> None:
        self.function, self.size = function, size
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, Job] = {}

    @property
    def room(self) -> int:
        """How many further jobs can be begun now."""
        return self.size - len(self._busy)

    def begin(self, job: Job) -> None:
        """Give a job to a process that is free: there has to be `room`."""
        while len(self._idle) + len(self._busy) < self.size:
            self._idle.append(_Worker(self.function))
        worker = self._idle.pop()
        try:
            worker.connection.send((job,))
        except OSError:  # ended by force while it had nothing to do
            worker.end()
            self.begin(job)
        else:
            self._busy[worker] = job

    def finished(self, timeout: float | None = None) -> list[Done[Job, Result]]:
        """Wait until a job has come to its end, ``timeout`` seconds at most, and return those that have."""
        waited = {worker.connection: worker for worker in self._busy}
        waited |= {worker.process.sentinel: worker for worker in self._busy}
        ended = {waited[event]: None for event in wait(list(waited), timeout)}  # type: ignore[index]
        return [self._ended(worker) for worker in ended]

    def close(self) -> None:
        """Let every process finish the job that it has, and end it."""
        workers = [*self._idle, *self._busy]
        self._idle, self._busy = [], {}
        for worker in workers:
            worker.dismiss()
        for worker in workers:
            worker.end()

    def kill(self) -> None:
        """End every process now."""
        for worker in (*self._idle, *self._busy):
            worker.process.kill()
        self.close()

    def __enter__(self) -> Pool[Job, Result]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self.close()
        else:
            self.kill()

    def _ended(self, worker: _Worker) -> Done[Job, Result]:
        job = self._busy.pop(worker)
        try:
            # What it said before it ended counts; a process without a last word has none in its pipe.
            if not worker.connection.poll():
                raise EOFError
            value, error = worker.connection.recv()
        except (EOFError, OSError):
            worker.end()
            lost = EcgTransferError(
                "a worker process ended by force, perhaps for want of memory",
                remedy="Run the command again: what is done is kept; fewer --workers need less memory",
            )
            return Done(job, error=lost)
        self._idle.append(worker)
        return Done(job, value, error)


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context(START_METHOD)
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, theirs), daemon=True)  # type: ignore[attr-defined]
        with _interrupts_blocked():
            self.process.start()
        theirs.close()

    def dismiss(self) -> None:
        """Say that there are no more jobs."""
        with contextlib.suppress(OSError):
            self.connection.send(None)

    def end(self) -> None:
        """Wait for the end of the process: it has been dismissed, killed, or has ended already."""
        self.process.join()
        self.connection.close()


def portable(error: Exception) -> Exception:
    """Return an error that survives the way to another process, with the traceback as a note."""
    error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        told = RuntimeError(f"{type(error).__name__}: {error}")
        told.add_note(error.__notes__[-1])
        return told
    return error


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    """Do one job after the other, until there are none or the parent is gone."""
    # Ctrl-C reaches every process of a terminal; the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    answer: tuple[Any, Exception | None]
    with contextlib.suppress(EOFError, OSError):
        while (message := connection.recv()) is not None:
            try:
                answer = function(message[0]), None
            except Exception as error:
                answer = None, portable(error)
            connection.send(answer)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes that inherit a blocked SIGINT: one that is still importing would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started with the first process otherwise, and then unblocks what was blocked.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """End this worker when its parent is gone: a killed command must leave no process behind."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def only_here(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; the system lets go of it when this process ends, however it ends.

    Raises
    ------
    EcgTransferError
        When another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system: nothing to lock with
        yield
        return
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EcgTransferError(
                "another process is at work here", where=path.parent, remedy="Wait for it, or stop it"
            ) from None
        yield
