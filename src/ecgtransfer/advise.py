"""The flagship, told in one file: audit → a plan that fits the time → run → verdict → the model to use."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgtransfer.conduct import conduct, locate
from ecgtransfer.datasets.audit import audit
from ecgtransfer.datasets.splits import SMALLEST_SUBSET
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, StudyError
from ecgtransfer.files import write_json
from ecgtransfer.networks import annotate_card, read_card
from ecgtransfer.report.audit_page import write_audit_page
from ecgtransfer.report.recommendation import Recommendation
from ecgtransfer.study.executors import Listener
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import PLAN, freeze, read_study
from ecgtransfer.study.forecast import Rates, measure_rates, seconds_of
from ecgtransfer.study.plan import MOST_PRIMARY, Contrast, DownstreamPlan, StudyPlan, UpstreamPlan
from ecgtransfer.study.planned import Expanded
from ecgtransfer.study.run import run
from ecgtransfer.study.spec import Budget


@dataclass(frozen=True)
class Effort:
    """How much a comparison spends: a rung of the ladder that `advise` climbs down until one fits the time.

    Attributes
    ----------
    updates, pretraining_updates : int
    seeds, tuning_seeds, pretraining_seeds : int
    rates : tuple of float
    shares : tuple of float
        Sizes as shares of the labels; 1 is all of them.
    convergence : bool
        Whether shorter budgets are run with all labels.
    """

    updates: int
    pretraining_updates: int
    seeds: int
    tuning_seeds: int
    pretraining_seeds: int
    rates: tuple[float, ...]
    shares: tuple[float, ...]
    convergence: bool


THREE, TWO = (3e-4, 1e-3, 3e-3), (1e-3, 3e-3)
EFFORTS = (
    Effort(800, 6000, 10, 3, 3, THREE, (0.125, 0.25, 0.5, 1.0), True),
    Effort(400, 3000, 10, 3, 3, THREE, (0.125, 0.25, 0.5, 1.0), True),
    Effort(300, 2000, 10, 2, 3, THREE, (0.25, 0.5, 1.0), True),
    Effort(200, 1500, 10, 2, 3, TWO, (0.25, 0.5, 1.0), True),
    Effort(200, 1000, 5, 1, 3, TWO, (0.25, 0.5, 1.0), True),
    Effort(100, 600, 5, 1, 1, TWO, (0.25, 1.0), False),
    Effort(60, 300, 5, 1, 1, TWO, (1.0,), False),
)
NETWORK = "resnet1d18-w16"
# A comparison that takes up to this much longer than was asked for is still run, and said.
PATIENCE = 1.5


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
    found = _audit(store, upstreams, out, quiet=quiet)
    effort, plan, expected = _choose(
        store, upstreams, out, minutes, network, task, upstream_task, efforts, workers
    )
    if not quiet:
        print(_told(effort, plan, expected, minutes), file=sys.stderr)
    expanded = expand(plan)
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
        "answer": findings["answer"],
        "recommendation": dataclasses.asdict(recommendation),
        "model": model.name,
    }
    write_json(out / "advice.json", advice)
    shutil.copyfile(out / "study" / "report.html", out / "report.html")
    return advice


def _audit(store: Path, upstreams: Sequence[Path], out: Path, *, quiet: bool) -> list[str]:
    """Look at the data first: what is wrong with it limits everything that follows."""
    if out.exists() and any(out.iterdir()) and not (out / "audit.json").exists():
        raise StudyError(
            "the folder exists and holds no advice",
            where=out,
            remedy="Choose another name with -o, or remove it",
        )
    if (out / "audit.json").exists():
        summary: list[str] = json.loads((out / "audit.json").read_text(encoding="utf-8"))["summary"]
        return summary
    paths = [store, *(path for path in upstreams if not _is_model(path))]
    opened, names = [Store.open(path) for path in paths], [str(path) for path in paths]
    findings = audit(opened, names, quiet=quiet)
    write_audit_page(findings, opened, names, out / "audit.html")
    write_json(out / "audit.json", findings)
    return list(findings["summary"])


def _choose(
    store: Path,
    upstreams: Sequence[Path],
    out: Path,
    minutes: float,
    network: str | None,
    task: str | None,
    upstream_task: str | None,
    efforts: Sequence[Effort],
    workers: int,
) -> tuple[Effort, StudyPlan, float | None]:
    """Return the largest effort that fits the time, its plan, and the seconds it is expected to take."""
    origins = _origins(upstreams, upstream_task)
    networks = (network,) if network else _networks(origins)
    plans = [_plan(store, task, origins, networks, effort) for effort in efforts]
    if (out / "study" / PLAN).exists():
        # Timed anew, another rung might fit: what was begun is what goes on.
        begun = read_study(out / "study").description["plan"]
        for effort, plan in zip(efforts, plans, strict=True):
            if (plan.budget.updates, plan.seeds) == (begun["budget"]["updates"], begun["seeds"]):
                return effort, plan, None
    rates: Rates | None = None
    for effort, plan in zip(efforts, plans, strict=True):
        expanded = expand(plan)
        rates = rates or measure_rates(expanded)
        expected = seconds_of(expanded, rates) / workers
        last = effort is efforts[-1]
        if expected <= 60 * minutes * (PATIENCE if last else 1.0):
            return effort, plan, expected
    raise ConfigError(
        f"even the smallest comparison takes about {expected / 60:.0f} minutes here, {minutes:g} were given",
        where="--minutes",
        remedy=f"Give --minutes {expected / 60 + 1:.0f}, or a smaller network than {networks[0]}",
    )


def _origins(upstreams: Sequence[Path], task: str | None) -> list[UpstreamPlan]:
    """Return an upstream for each store, and one for each dataset that model folders come from."""
    origins = []
    models: dict[str, list[Path]] = {}
    for path in upstreams:
        if _is_model(path):
            models.setdefault(str(read_card(path)["data"][0]["name"]), []).append(path)
        else:
            origins.append(UpstreamPlan(Store.open(path, verify=False).info.name, store=path, task=task))
    origins += [UpstreamPlan(name, models=tuple(paths)) for name, paths in models.items()]
    names = [origin.name for origin in origins]
    # Two stores may have been given one name; the second is then called NAME-2.
    return [
        dataclasses.replace(origin, name=f"{origin.name}-{seen + 1}" if seen else origin.name)
        for place, origin in enumerate(origins)
        for seen in [names[:place].count(origin.name)]
    ]


def _networks(origins: Sequence[UpstreamPlan]) -> tuple[str, ...]:
    given = {str(read_card(path)["network"]) for origin in origins for path in origin.models}
    return tuple(sorted(given)) or (NETWORK,)


def _plan(
    store: Path, task: str | None, origins: Sequence[UpstreamPlan], networks: tuple[str, ...], effort: Effort
) -> StudyPlan:
    mine = Store.open(store, verify=False)
    labelled = mine.n_records * 4 // 5  # about what remains beside a test fold
    sizes = [None if share == 1 else round(labelled * share) for share in effort.shares]
    sizes = [n for n in sizes if n is None or n >= 2 * SMALLEST_SUBSET]
    downstream = DownstreamPlan(mine.info.name, store, task, tuple(sizes))
    # What the recommendation hangs on comes first: all labels, from every upstream.
    asked = [
        Contrast(downstream.name, name, origin.name, "full", n)
        for n in (None, *sizes[:1])
        for name in networks
        for origin in origins
    ]
    return StudyPlan(
        name=mine.info.name,
        networks=networks,
        primary=tuple(dict.fromkeys(asked))[:MOST_PRIMARY],
        upstreams=tuple(
            dataclasses.replace(
                origin,
                budget=Budget(updates=effort.pretraining_updates, batch_size=64, validations=10),
                seeds=effort.pretraining_seeds,
            )
            for origin in origins
        ),
        downstreams=(downstream,),
        seeds=effort.seeds,
        budget=Budget(updates=effort.updates, batch_size=32),
        rates=effort.rates,
        tuning_seeds=effort.tuning_seeds,
        convergence=(None,) if effort.convergence else (),
    )


def _told(effort: Effort, plan: StudyPlan, expected: float | None, minutes: float) -> str:
    """Say what is about to be run, and when it will take longer than was asked for."""
    sizes = ", ".join("all" if n is None else str(n) for n in plan.downstreams[0].sizes)
    text = (
        f"comparison: {', '.join(plan.networks)}; sizes {sizes}; {effort.seeds} seeds, "
        f"{effort.pretraining_seeds} pre-trainings, {effort.updates} updates"
    )
    if expected is None:
        return f"{text}; going on where it stopped"
    over = " (the smallest that says anything; more than was asked for)" if expected > 60 * minutes else ""
    return f"{text}; about {max(1, round(expected / 60))} min{over}"


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
            "basis": recommendation.basis,
            "why": recommendation.text,
            "study": findings["study"]["hash"],
        },
    )
    return model


def _is_model(path: Path) -> bool:
    return (path / "card.json").is_file()
