"""`advise` on the embedded default: two simulated hospitals, one to pre-train on, one to learn."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecgtransfer.advise import advise
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.simulation import SITES, simulate
from ecgtransfer.files import write_json
from ecgtransfer.study.execution.executors import Listener
from ecgtransfer.study.plans.effort import Effort

ANNOTATED = ("SR", "AF", "PVC", "LBBB", "RBBB", "LAD", "LVH", "STD", "INVT")
"""What both hospitals label: statements frequent enough for an interval on the test records of B."""

EFFORT = Effort(
    updates=120,
    pretraining_updates=600,
    seeds=5,
    tuning_seeds=1,
    pretraining_seeds=3,
    rates=(1e-3, 3e-3),
    shares=(0.125, 0.25, 1.0),
    convergence=True,
)


@dataclass(frozen=True)
class Scale:
    """How large the demonstration is; the default takes a few minutes on two cores.

    Attributes
    ----------
    upstream_records, downstream_records : int
        Recordings of hospital A and of hospital B.
    effort : Effort
        The one comparison that is run, however long it takes here.
    """

    upstream_records: int = 2400
    downstream_records: int = 800
    effort: Effort = EFFORT


def demo(
    out: Path,
    *,
    scale: Scale | None = None,
    workers: int = 2,
    listener: Listener | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Simulate two hospitals as WFDB files, prepare them like a user's own, and ask for advice on one.

    Parameters
    ----------
    out : Path
        Gets ``a/`` and ``b/`` (recordings), ``a.ecgs`` and ``b.ecgs`` (stores), ``advice/`` (see `advise`),
        ``result.json`` and ``report.html``. What is there already is used.
    scale : Scale
    workers : int
        Local processes.
    listener : Listener, optional
        Told of every run that begins and ends.

    Returns
    -------
    dict
        What `advise` returns, as in ``result.json``.
    """
    scale = scale or Scale()
    stores: dict[str, Path] = {}
    for site, records in (("A", scale.upstream_records), ("B", scale.downstream_records)):
        raw, stores[site] = out / site.lower(), out / f"{site.lower()}.ecgs"
        if stores[site].exists():
            continue
        shutil.rmtree(raw, ignore_errors=True)  # what a killed demonstration left half-written
        simulate(replace(SITES[site], annotates=ANNOTATED), records, raw, seed=0)
        prepare("folder", raw, stores[site], workers=workers, quiet=quiet)
    advice = advise(
        stores["B"],
        [stores["A"]],
        out / "advice",
        minutes=float("inf"),
        efforts=(scale.effort,),
        workers=workers,
        listener=listener,
        quiet=quiet,
    )
    write_json(out / "result.json", advice)
    shutil.copyfile(out / "advice" / "report.html", out / "report.html")
    return advice
