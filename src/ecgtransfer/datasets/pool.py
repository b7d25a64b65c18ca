"""The chunks of a dataset, and the processes that convert them.

A chunk's result lies in the working folder under a key that covers its files and the recipe: work that
was done before a kill is found again, and work for another recipe is not.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from ecgtransfer import __version__, files
from ecgtransfer.datasets import convert
from ecgtransfer.datasets.sources import Listing, Source
from ecgtransfer.progress import Progress
from ecgtransfer.workers import each

CHUNK = 128
"""Records per chunk: some 3 MB of windows, and at most this many records per worker are converted twice."""

# Starting a worker costs about a second, which this many records take in one process.
_WORTH_WORKERS = 1024


def jobs_of(
    origin: Source, listing: Listing, shape: convert.Shape, recipe: dict[str, Any], work: Path
) -> list[convert.Job]:
    """Cut a listing into jobs, in its order; each key covers the recipe and the state of every file."""
    folder = work / "chunks"
    files.make_folder(folder)
    jobs: list[convert.Job] = []
    states: dict[str, list[Any]] = {}
    for first in range(0, len(listing.entries), CHUNK):
        entries = listing.entries[first : first + CHUNK]
        names, hows = tuple(entry.file for entry in entries), tuple(entry.how for entry in entries)
        for name in names:
            if name not in states:  # a file may hold many records
                states[name] = _state(listing.root, name)
        state = [[states[entry.file], dict(entry.how)] for entry in entries]
        jobs.append(
            convert.Job(
                source=origin.name,
                root=listing.root,
                names=names,
                hows=hows,
                shape=shape,
                target=folder / f"chunk-{len(jobs):05d}.npz",
                key=files.hash_json(
                    {"by": __version__, "source": origin.name, "recipe": recipe, "files": state}
                ),
            )
        )
    return jobs


def run(jobs: list[convert.Job], workers: int | None, progress: Progress) -> None:
    """Do the jobs whose result is not there yet, with ``workers`` processes (see `prepare`).

    Raises
    ------
    EcgTransferError
        If a worker ended by force.
    """
    todo = [job for job in jobs if not convert.is_done(job)]
    total = sum(len(job.names) for job in jobs)
    done = resumed = total - sum(len(job.names) for job in todo)
    started = time.monotonic()

    def show() -> None:
        speed = (done - resumed) / max(time.monotonic() - started, 1e-9)
        progress.update(done, total, f"{speed:,.0f} records/s")

    if workers is None:
        workers = (os.cpu_count() or 1) if total - done >= _WORTH_WORKERS else 1
    for _, count in each(convert.convert, todo, workers):
        done += count
        show()
    progress.finish()


def _state(root: Path, name: str) -> list[Any]:
    """Return name, size and time of change of a file and of the files that go with a header."""
    base = os.path.join(root, name)
    stem = base.removesuffix(".hea")
    state: list[Any] = [name]
    for path in dict.fromkeys((base, f"{stem}.dat", f"{stem}.mat", f"{stem}.atr")):
        with contextlib.suppress(OSError):
            found = os.stat(path)
            state += [os.path.basename(path), found.st_size, found.st_mtime_ns]
    return state
