"""Who carries out a list of runs: this process, one after the other, or several local processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context

from ecgtransfer.progress import Progress
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.plan import RunSpec
from ecgtransfer.study.run import Sources, run


def execute(
    specs: Sequence[RunSpec],
    ledger: Ledger,
    sources: Sources,
    *,
    label: str,
    workers: int = 1,
    keep_models: bool = False,
    quiet: bool = False,
) -> int:
    """Carry out the runs that the ledger does not hold yet.

    Parameters
    ----------
    workers : int
        Local processes; 1 stays in this one. Results are the same, because a run depends on its spec alone.
    keep_models : bool
        Whether each run's folder keeps its weights.

    Returns
    -------
    int
        How many runs were carried out; the others were there.

    Raises
    ------
    EcgTransferError
        From the first run that fails. The runs that had finished stay in the ledger.
    """
    left = [spec for spec in dict.fromkeys(specs) if not ledger.has(spec)]
    progress = Progress(label, quiet=quiet)
    skipped = f", {len(specs) - len(left)} were there" if len(left) < len(specs) else ""
    if workers <= 1 or len(left) <= 1:
        for done, spec in enumerate(left):
            inner = Progress(f"{label} {done + 1}/{len(left)} ({describe(spec)})", quiet=quiet)
            run(spec, ledger.folder(spec.id), sources, keep_model=keep_models, progress=inner)
            inner.finish()
            progress.update(done + 1, len(left), describe(spec))
    else:
        _execute_in_processes(left, ledger, sources, workers, keep_models, progress)
    progress.finish(f"{label}: {len(left)} runs done{skipped}")
    return len(left)


def describe(spec: RunSpec) -> str:
    """Return a run in a few words, for progress lines."""
    size = "all" if spec.n is None else f"n={spec.n}"
    rate = "" if spec.learning_rate is None else f" lr={spec.learning_rate:g}"
    return f"{spec.network} {spec.arm} {size} seed {spec.seed}{rate}"


def _execute_in_processes(
    left: Sequence[RunSpec],
    ledger: Ledger,
    sources: Sources,
    workers: int,
    keep_models: bool,
    progress: Progress,
) -> None:
    # spawn, because a forked child inherits torch's thread pools in an undefined state
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_be_modest)
    pending: dict[Future[object], RunSpec] = {}
    try:
        for spec in left:
            folder = ledger.folder(spec.id)
            pending[pool.submit(run, spec, folder, sources, keep_model=keep_models)] = spec
        done = 0
        while pending:
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                spec = pending.pop(future)
                future.result()
                done += 1
                progress.update(done, len(left), describe(spec))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _be_modest() -> None:
    """Let the processes share the machine with whoever sits before it."""
    if hasattr(os, "nice"):
        os.nice(5)
