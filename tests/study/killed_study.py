"""Studies in forks of one process, so that a start costs no imports: to be killed, or run side by side.

A line on stdin is an order, answered by a line on stdout: ``start LEDGER WORKERS`` → the process id of a
study, which leads a process group of its own; ``wait PID`` → how that process ended. What the study's
processes do is appended to the ledger's ``log``: one line per event with the run's id, if it concerns one.
"""

import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgtransfer import workers
from ecgtransfer.study import learn, leases
from ecgtransfer.study import run as runner
from ecgtransfer.study.execution.executors import execute
from ecgtransfer.study.leases import Leases
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.run import Locations
from ecgtransfer.study.spec import RunSpec

# Seconds for which what takes a millisecond is stretched, so that kills land there as well.
STRETCH = 0.03


def note(ledger: Path, event: str, run_id: str = "") -> None:
    """Append an event to the log, in one piece."""
    handle = os.open(ledger / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{event} {run_id} {os.getpid()}\n".encode())
    os.close(handle)


def watch(ledger: Path) -> None:
    """Note every step of a run, and stretch the short ones."""

    def stretched(module: Any, name: str, event: str) -> None:
        real = getattr(module, name)

        def step(*args: Any, **options: Any) -> Any:
            folder = next(each for each in args if isinstance(each, Path))
            run_id = folder.name.removeprefix(".").partition(".")[0]
            note(ledger, event, run_id)
            if event != "learning":
                time.sleep(STRETCH * random.random())
            try:
                return real(*args, **options)
            finally:
                note(ledger, f"{event}-done", run_id)
                time.sleep(STRETCH * random.random())

        setattr(module, name, step)

    stretched(runner, "learn", "learning")
    stretched(runner, "write_predictions", "predictions")
    stretched(runner, "commit", "commit")

    alone, release = leases._alone, Leases.release

    @contextlib.contextmanager
    def slowly(folder: Path) -> Iterator[float]:
        with alone(folder) as now:
            note(ledger, "claiming")
            time.sleep(STRETCH / 3)
            yield now

    def noted(self: Leases, lease: leases.Lease) -> None:
        note(ledger, "release", lease.run_id)
        release(self, lease)

    leases._alone = slowly
    Leases.release = noted  # type: ignore[method-assign]


def study(ledger: Path, count: int, specs: list[RunSpec], locations: Locations) -> None:
    """Carry out the study in this process, which is a fork."""
    os.setpgid(0, 0)
    ledger.mkdir(parents=True, exist_ok=True)
    handle = os.open(ledger / "errors", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(handle, 2)
    random.seed()
    watch(ledger)
    note(ledger, "start")
    execute(specs, Ledger(ledger), locations, workers=count, keep_models=True, quiet=True)
    note(ledger, "end")


def serve(specs: list[RunSpec], locations: Locations) -> None:
    """Follow orders until there are none."""
    for line in sys.stdin:
        order, *rest = line.split()
        if order == "start":
            child = os.fork()
            if child == 0:
                try:
                    study(Path(rest[0]), int(rest[1]), specs, locations)
                except BaseException:
                    sys.excepthook(*sys.exc_info())
                    os._exit(1)
                os._exit(0)
            with contextlib.suppress(OSError):  # whoever of the two comes first
                os.setpgid(child, child)
            print(child, flush=True)
        elif order == "wait":
            print(os.waitstatus_to_exitcode(os.waitpid(int(rest[0]), 0)[1]), flush=True)


if __name__ == "__main__":
    # Whatever a run imports only when it needs it is imported here, once.
    import pyarrow.parquet  # noqa: F401
    import scipy.optimize  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch

    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    learn.CHECKPOINT_SECONDS = 0.0
    workers.START_METHOD = "fork"
    given = json.loads(Path(sys.argv[1]).read_text())
    serve(
        [RunSpec.from_dict(each) for each in given["specs"]],
        Locations({name: Path(path) for name, path in given["stores"].items()}),
    )
