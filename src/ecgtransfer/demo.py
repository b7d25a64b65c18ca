"""The main job on the embedded default: two simulated hospitals, one to pre-train on, one to learn."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ecgtransfer.conduct import conduct
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.simulation import SITES, simulate
from ecgtransfer.files import write_json
from ecgtransfer.study.plan import DownstreamPlan, StudyPlan, UpstreamPlan
from ecgtransfer.study.spec import Budget

ANNOTATED = ("SR", "AF", "PVC", "LBBB", "RBBB", "LAD", "LVH", "STD", "INVT")
"""What both hospitals label: statements frequent enough for an interval on the test records of B."""


@dataclass(frozen=True)
class Scale:
    """How large the demonstration is; the default takes a few minutes on two cores.

    Attributes
    ----------
    upstream_records, downstream_records : int
        Recordings of hospital A and of hospital B.
    sizes : tuple of int
        Labels of hospital B that an arm may use.
    seeds : int
    pretraining, budget : Budget
    rates : tuple of float
    tuning_seeds, pretraining_seeds : int
    """

    upstream_records: int = 2400
    downstream_records: int = 800
    sizes: tuple[int, ...] = (50, 150, 450)
    seeds: int = 3
    pretraining: Budget = field(default_factory=lambda: Budget(updates=600, batch_size=64, validations=10))
    budget: Budget = field(default_factory=lambda: Budget(updates=240, batch_size=32, validations=12))
    rates: tuple[float, ...] = (1e-3, 3e-3)
    tuning_seeds: int = 1
    pretraining_seeds: int = 1


def demo(out: Path, *, scale: Scale | None = None, workers: int = 2, quiet: bool = False) -> dict[str, Any]:
    """Simulate two hospitals as WFDB files, prepare them like a user's own, and compare.

    Parameters
    ----------
    out : Path
        Gets ``a/`` and ``b/`` (recordings), ``a.ecgs`` and ``b.ecgs`` (stores), ``study/`` (runs),
        ``result.json`` and ``report.html``. What is there already is used.
    scale : Scale
    workers : int
        Local processes.

    Returns
    -------
    dict
        The findings, as in ``result.json``.
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
    findings = conduct(
        StudyPlan(
            name="hospital B",
            networks=("resnet1d18-w16",),
            upstreams=(
                UpstreamPlan(
                    "hospital A",
                    store=stores["A"],
                    task="all",
                    budget=scale.pretraining,
                    learning_rate=3e-3,
                    seeds=scale.pretraining_seeds,
                ),
            ),
            downstreams=(DownstreamPlan("hospital B", stores["B"], "all", scale.sizes),),
            seeds=scale.seeds,
            rates=scale.rates,
            tuning_seeds=scale.tuning_seeds,
            budget=scale.budget,
        ),
        out / "study",
        workers=workers,
        quiet=quiet,
    )
    write_json(out / "result.json", findings)
    shutil.copyfile(out / "study" / "report.html", out / "report.html")
    return findings
