"""Local worker processes that end with their parent, and a lock that two processes cannot both hold."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from ecgtransfer.errors import EcgTransferError

Job = TypeVar("Job")
Result = TypeVar("Result")


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
    # spawn, because a forked child inherits the thread pools of numerical libraries in an undefined state
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        pending: dict[Future[Result], Job] = {pool.submit(function, job): job for job in jobs}
        while pending:
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield pending.pop(future), future.result()
    except BrokenProcessPool:
        raise EcgTransferError(
            "a worker process ended by force, perhaps for want of memory",
            remedy="Run the command again: what is done is kept; fewer --workers need less memory",
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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


def _end_with_parent() -> None:
    """End this worker when its parent is gone: a killed command must leave no process behind."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
