"""The flagship, told in one file: audit → a plan that fits the time → run → verdict → the model to use."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgtransfer.conduct import conduct, locate
from ecgtransfer.datasets.audit import audit
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import StudyError
from ecgtransfer.files import write_json
from ecgtransfer.networks import annotate_card, is_model
from ecgtransfer.report.audit_page import write_audit_page
from ecgtransfer.report.recommendation import Recommendation
from ecgtransfer.study.execution.executors import Listener
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import PLAN, freeze
from ecgtransfer.study.forecasts.power import expected_intervals, without_interval
from ecgtransfer.study.planned import Expanded
from ecgtransfer.study.plans.effort import EFFORTS, Effort, ask, choose, describe
from ecgtransfer.study.run import run

# What this folder may hold, also half-way.
_OURS = {"audit.json", "audit.html", "study", "model", "advice.json", "report.html"}


def advise(
    store: Path,
    upstreams: Sequence[Path],
    out: Path,
    *,
    minutes: float = 30.0,
    network: str | None = None,
    task: str | None = None,
    upstream_task: str | None = None,
    efforts: Sequence[Effort] = EFFORTS,
    workers: int = 1,
    listener: Listener | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Say whether to fine-tune or to train from scratch on one's own recordings, and make the model.

    Parameters
    ----------
    store : Path
        The recordings that the user cares for, prepared.
    upstreams : sequence of Path
        Stores to pre-train on, or model folders.
    out : Path
        Gets ``audit.html``, ``study/`` (the comparison, see `conduct`), ``model/`` (trained on all labels)
        and ``advice.json``. Started again, it goes on where it stopped.
    minutes : float
        What the comparison may take on this machine; the largest of ``efforts`` that fits is run.
    network : str, optional
        That of the models given, else ``resnet1d18-w16``.
    task, upstream_task : str, optional
        Needed where a store has several.
    efforts : sequence of Effort
        From the largest to the smallest.
    workers : int
        Local processes.

    Returns
    -------
    dict
        ``audit`` (what is wrong with the data, in sentences), ``effort``, ``expected_minutes``, ``answer``,
        ``recommendation`` and ``model`` (its folder).

    Raises
    ------
    ConfigError
        Nothing fits: the time is too short even for the smallest comparison, or stores and models do not fit.
    """
    _refuse_foreign(out)
    question = ask(store, upstreams, network, task, upstream_task, efforts)
    expand(question[efforts[-1]], verify=False)  # what does not fit is refused before anything is written
    if (out / "study" / PLAN).exists():
        # Another question in this folder is refused before anything of the first one's advice is changed.
        freeze(expand(question[choose(question, out / "study", minutes, workers)[0]]), out / "study")
    found = _audit(store, upstreams, out, quiet=quiet)
    effort, expected = choose(question, out / "study", minutes, workers)
    plan = question[effort]
    if not quiet:
        print(describe(effort, plan, expected, minutes), file=sys.stderr)
    expanded = expand(plan)
    for warning in without_interval(expected_intervals(expanded)):
        print(warning, file=sys.stderr)
    # A listener that is shown tells of the runs; two would draw over each other.
    findings = conduct(
        plan, out / "study", workers=workers, listener=listener, quiet=quiet or listener is not None
    )
    recommendation = Recommendation(**findings["recommendation"])
    model = _train(expanded, recommendation, findings, out)
    advice = {
        "audit": found,
        "effort": dataclasses.asdict(effort),
        "expected_minutes": None if expected is None else round(expected / 60, 1),
        "answer": [sentence for sentence in findings["answer"] if sentence],
        "recommendation": dataclasses.asdict(recommendation),
        "model": model.name,
    }
    write_json(out / "advice.json", advice)
    shutil.copyfile(out / "study" / "report.html", out / "report.html")
    return advice


def _refuse_foreign(out: Path) -> None:
    # Hidden is what a killed process was about to write.
    if out.exists() and not {path.name for path in out.iterdir() if path.name[0] != "."} <= _OURS:
        raise StudyError(
            "the folder exists and holds something else than advice",
            where=out,
            remedy="Choose another name with -o, or remove it",
        )


def _audit(store: Path, upstreams: Sequence[Path], out: Path, *, quiet: bool) -> list[str]:
    """Look at the data first: what is wrong with it limits everything that follows."""
    paths = [store, *(path for path in upstreams if not is_model(path))]
    opened, names = [Store.open(path) for path in paths], [str(path) for path in paths]
    content = [each.fingerprint for each in opened]
    if (out / "audit.json").exists() and (out / "audit.html").exists():
        known = json.loads((out / "audit.json").read_text(encoding="utf-8"))
        if known.get("fingerprints") == content:
            summary: list[str] = known["summary"]
            return summary
    findings = {**audit(opened, names, quiet=quiet), "fingerprints": content}
    write_json(out / "audit.json", findings)
    write_audit_page(findings, opened, names, out / "audit.html")
    return list(findings["summary"])


def _train(
    expanded: Expanded, recommendation: Recommendation, findings: Mapping[str, Any], out: Path
) -> Path:
    """Train the arm that is recommended on every label, and note on its card what the study expects of it."""
    study = freeze(expanded, out / "study")
    like = next(
        each.spec
        for each in expanded.planned
        if each.purpose == "evidence"
        and each.spec.n is None
        and each.spec.seed == 0
        and each.pretraining_seed in (None, 0)
        and (each.spec.network, each.spec.arm, each.upstream)
        == (recommendation.network, recommendation.arm, recommendation.upstream)
    )
    model = out / "model"
    run(dataclasses.replace(like, final=True), model, locate(expanded, study), keep_model=True)
    annotate_card(
        model,
        expected={
            "macro_auroc": recommendation.auroc,
            "macro_auroc_95_interval": [recommendation.auroc_low, recommendation.auroc_high],
            "basis": recommendation.basis,
            "why": recommendation.text,
            "study": findings["study"]["hash"],
        },
    )
    return model
