"""Studies in forks of one process, so that a start costs no imports, killed before a chosen change on disk.

A line on stdin is an order, answered by a line of JSON on stdout when that study has ended:
``OUT STAGE NUMBER``, divided by tabs, conducts the study in ``OUT`` and kills it with SIGKILL right before
its main thread changes something there for the NUMBER-th time in that stage, at the latest right after that
stage; ``OUT`` alone leaves it in peace. The answer says how the process ended, what it was about to do when
it was killed, and how many changes each stage made.
"""

import importlib
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecgtransfer.report import summary
from ecgtransfer.study import learn
from tests.small import make_plan, make_upstream

# The name in the package is that of the function.
conducted = importlib.import_module("ecgtransfer.conduct")
# What Python tells of before it changes a folder, and which of the arguments are paths.
CHANGES = {"os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1}
STAGES = {"audit": "audit", "find_disagreements": "audit", "redraw": "report"}


class Watch:
    """Counts the changes that the main thread makes below a folder, stage by stage, and kills at one."""

    def __init__(self, out: Path, at: tuple[str, int] | None, answer: int) -> None:
        self.out, self.at, self.answer = str(out), at, answer
        self.stage, self.counts = "freeze", Counter[str]()
        for name, stage in STAGES.items():
            self._enter(name, lambda _, stage=stage: stage)
        self._enter("execute", lambda options: options["label"])
        fsync = os.fsync

        def noted(handle: int) -> None:
            self.note("fsync", os.readlink(f"/proc/self/fd/{handle}"))
            fsync(handle)

        os.fsync = noted
        sys.addaudithook(self.hear)

    def _enter(self, name: str, stage: Callable[[dict[str, Any]], str]) -> None:
        real = getattr(conducted, name)

        def step(*args: Any, **options: Any) -> Any:
            self.stage = stage(options)
            return real(*args, **options)

        setattr(conducted, name, step)

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            written = any(each in mode for each in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
            if written and isinstance(path, str):
                self.note(event, path)
        elif event in CHANGES:
            self.note(event, *(os.fspath(path) for path in args[: CHANGES[event]]))

    def note(self, event: str, *paths: str) -> None:
        # A heartbeat comes when it comes.
        if threading.current_thread() is not threading.main_thread():
            return
        if not any(path.startswith(self.out) for path in paths):
            return
        self.counts[self.stage] += 1
        if self.at is None:
            return
        stage, number = self.at
        if self.counts[stage] >= number or (self.counts[stage] and self.stage != stage):
            self.tell(f"{event} {' '.join(path.removeprefix(self.out) for path in paths)}")
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self, killed_before: str | None = None) -> None:
        os.write(self.answer, json.dumps({"before": killed_before, "changes": self.counts}).encode())


def study(stores: tuple[Path, Path], out: Path, at: tuple[str, int] | None, answer: int) -> None:
    """Conduct the study in this process, which is a fork: always with the same arguments."""
    down, up = stores
    plan = make_plan(
        down,
        None,
        arms=("scratch", "full"),
        upstreams=(make_upstream(up, seeds=2),),
        tuning_seeds=1,
        convergence=(),
        baselines=("age-sex",),
    )
    watch = Watch(out, at, answer)
    conducted.conduct(plan, out, quiet=True)
    watch.tell()


def serve(stores: tuple[Path, Path]) -> None:
    """Follow orders until there are none."""
    for line in sys.stdin:
        out, *rest = line.split("\t")
        at = (rest[0], int(rest[1])) if rest else None
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                study(stores, Path(out.strip()), at, write)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        os.close(write)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with open(read, encoding="utf-8") as stream:
            told = json.loads(stream.read() or "{}")
        print(json.dumps({"ended": ended, **told}), flush=True)


if __name__ == "__main__":
    # Whatever a study imports only when it needs it is imported here, once.
    import pyarrow.parquet  # noqa: F401
    import scipy.optimize
    import scipy.stats  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch

    torch.set_num_threads(1)
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    learn.CHECKPOINT_SECONDS = 0.0
    summary.RESAMPLES = 100
    serve((Path(sys.argv[1]), Path(sys.argv[2])))
