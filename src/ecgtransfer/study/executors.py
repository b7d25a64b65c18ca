"""Who carries out a list of runs: this process, one after the other, or several local processes."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

from ecgtransfer.progress import Progress
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.run import Locations, run
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.workers import each


def execute(
    specs: Sequence[RunSpec],
    ledger: Ledger,
    locations: Locations,
    *,
    label: str,
    workers: int = 1,
    keep_models: bool = False,
    quiet: bool = False,
) -> int:
    """Carry out the runs that the ledger does not hold yet.

    Parameters
    ----------
    specs : sequence of RunSpec
        In the order in which they are started; one that occurs twice is carried out once.
    ledger : Ledger
        Where results go, and what says which are there.
    locations : Locations
        Stores and models, by content.
    label : str
        For the progress line.
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
    inner = progress if workers <= 1 or len(left) == 1 else None
    job = functools.partial(_carry_out, ledger=ledger, locations=locations, keep=keep_models, inner=inner)
    started, records = time.perf_counter(), 0
    for done, (spec, seen) in enumerate(each(job, left, workers), start=1):
        records += seen
        speed = f"{records / (time.perf_counter() - started):.0f} records/s"
        progress.update(done, len(left), f"{describe(spec)}  {speed}")
    there = f", {len(specs) - len(left)} were there" if len(left) < len(specs) else ""
    progress.finish(f"{label}: {len(left)} runs done{there}")
    return len(left)


def describe(spec: RunSpec) -> str:
    """Return a run in a few words, for progress lines."""
    size = "all" if spec.n is None else f"n={spec.n}"
    return f"{spec.network} {spec.arm} {size} seed {spec.seed}"


def _carry_out(
    spec: RunSpec, *, ledger: Ledger, locations: Locations, keep: bool, inner: Progress | None
) -> int:
    """Carry out one run and return how many records its trainings saw."""
    if inner is not None:
        inner = Progress(f"{inner.label} ({describe(spec)})", quiet=inner.quiet)
    content = run(spec, ledger.folder(spec.id), locations, keep_model=keep, progress=inner)
    return int(content["measured"].get("records_seen", 0))
