"""The main job, told in one file: plan → freeze → pre-train, tune, run → what the runs say."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ecgtransfer.datasets.audit import audit
from ecgtransfer.files import clear_leftovers, write_json, write_text
from ecgtransfer.report.disagreements import find_disagreements
from ecgtransfer.report.export import write_tables
from ecgtransfer.report.html import write_report
from ecgtransfer.report.summary import summarise
from ecgtransfer.report.tables import markdown
from ecgtransfer.study.execution.devices import DeviceKind
from ecgtransfer.study.execution.executors import Listener, execute
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import Study, freeze, read_study
from ecgtransfer.study.planned import PURPOSES, Expanded
from ecgtransfer.study.plans.plan import StudyPlan
from ecgtransfer.study.run import Locations

_LABELS = {
    "pretraining": "pre-training",
    "tuning": "choosing rates",
    "evidence": "runs",
    "convergence": "shorter budgets",
}


def conduct(
    plan: StudyPlan,
    out: Path,
    *,
    workers: int = 1,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    gpus_per_run: float = 0.0,
    device: DeviceKind = "cpu",
    listener: Listener | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Carry out a study; what is in ``out`` already is not repeated.

    Parameters
    ----------
    plan : StudyPlan
    out : Path
        The study's folder: ``plan.json``, ``runs.json``, ``runs/``, ``evidence.json``, ``report.html``, ….
    workers : int
        Runs at a time.
    executor : {'local', 'ray'}
        Local processes, or the nodes of a Ray cluster that share this folder and the stores.
    address : str, optional
        Of a running Ray cluster.
    gpus_per_run : float
        Of a Ray node, for each run; a share, such as 0.25, where several runs fit on one. Above 0 networks
        compute there.
    device : {'cpu', 'cuda'}
        Where the networks of local processes compute.
    listener : Listener, optional
        Told of every run that begins and ends.

    Returns
    -------
    dict
        The content of ``evidence.json``.

    Raises
    ------
    ConfigError
        A task, size or arm does not fit a store, or a pre-trained arm has nothing to start from.
    StudyError
        ``out`` holds another study.
    """
    expanded = expand(plan)
    study = freeze(expanded, out)
    clear_leftovers(out)
    locations = locate(expanded, study)
    for purpose in PURPOSES:
        specs = [run.spec for run in expanded.planned if run.purpose == purpose]
        if specs:
            execute(
                specs,
                study.ledger,
                locations,
                label=_LABELS[purpose],
                workers=workers,
                keep_models=purpose == "pretraining",
                executor=executor,
                address=address,
                gpus_per_run=gpus_per_run,
                device=device,
                listener=listener,
                quiet=quiet,
            )
    # What needs the stores themselves is kept beside the runs, so that the report can be drawn without them.
    if not (out / "audit.json").exists():
        opened = [downstream.store for downstream in expanded.downstreams]
        names = [downstream.plan.name for downstream in expanded.downstreams]
        write_json(out / "audit.json", audit(opened, names, quiet=quiet))
    if not (out / "disagreements.json").exists():
        stores = {each.plan.name: each.store for each in expanded.downstreams}
        write_json(out / "disagreements.json", find_disagreements(study, stores))
    return redraw(out)


def locate(expanded: Expanded, study: Study) -> Locations:
    """Return where the stores and models that the runs name by content lie, those of the study included."""
    made = {f"run:{run.spec.id}": study.ledger.folder(run.spec.id) for run in expanded.planned}
    given = {
        name: folder
        for start in expanded.starts
        if start.folders is not None
        for name, folder in zip(start.names, start.folders, strict=True)
    }
    tunings = {run.spec.id: study.ledger.folder(run.spec.id) for run in expanded.planned if run.spec.tuning}
    return Locations(expanded.stores, {**made, **given}, tunings)


def redraw(out: Path, beside: Sequence[Path] = ()) -> dict[str, Any]:
    """Say what the runs of a study folder say and draw it, from the ledger alone.

    Parameters
    ----------
    out : Path
        A study folder whose runs are all there, or an advice folder.
    beside : sequence of Path
        Study folders of the published protocol, to be shown beside this one.

    Returns
    -------
    dict
        The content of ``evidence.json``.

    Raises
    ------
    StudyError
        The folder is no study, or runs are missing or broken.
    """
    study = read_study(out)
    out = study.path
    findings = summarise(study, beside=[read_study(other) for other in beside])
    if findings["paper"] is None and _had_paper(out):
        print("What was shown beside this study is left out now; --beside shows it again.", file=sys.stderr)
    write_json(out / "evidence.json", findings)
    write_text(out / "report.md", markdown(findings))
    write_tables(findings, out / "tables")
    write_report(findings, out / "report.html")
    if (out.parent / "advice.json").is_file():
        # An advice shows its study's page: two that differ would both be taken for true.
        shutil.copyfile(out / "report.html", out.parent / "report.html")
    return findings


def _had_paper(out: Path) -> bool:
    """Say whether the last report of this study showed the published protocol beside it."""
    try:
        return json.loads((out / "evidence.json").read_text(encoding="utf-8"))["paper"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        return False
