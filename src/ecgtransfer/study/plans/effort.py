"""What a comparison may spend: plans from the largest effort to the smallest, and the one that fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ecgtransfer.datasets.splits import SMALLEST_SUBSET, split
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.networks import is_model, read_card
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import PLAN, question, read_study
from ecgtransfer.study.forecasts.speed import Rates, measure_rates, wall_seconds_of
from ecgtransfer.study.plans.plan import (
    FIRST_TUNING_SEED,
    MOST_PRIMARY,
    RATES,
    Contrast,
    DownstreamPlan,
    StudyPlan,
    UpstreamPlan,
)
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


EFFORTS = (
    Effort(800, 6000, 10, 3, 3, RATES, (0.125, 0.25, 0.5, 1.0), True),
    Effort(400, 3000, 10, 3, 3, RATES, (0.125, 0.25, 0.5, 1.0), True),
    Effort(300, 2000, 10, 2, 3, RATES, (0.25, 0.5, 1.0), True),
    Effort(200, 1500, 10, 2, 3, RATES, (0.25, 0.5, 1.0), True),
    Effort(200, 1000, 5, 1, 3, RATES, (0.25, 0.5, 1.0), True),
    Effort(100, 600, 5, 1, 3, RATES, (0.25, 1.0), False),
    # With one pre-training the interval does not know how another would fare, and the report says so.
    Effort(60, 300, 5, 1, 1, RATES, (1.0,), False),
)
NETWORK = "resnet1d18-w16"
# A comparison that takes up to this much longer than was asked for is still run, and said.
PATIENCE = 1.5


def ask(
    store: Path,
    upstreams: Sequence[Path],
    network: str | None,
    task: str | None,
    upstream_task: str | None,
    efforts: Sequence[Effort],
) -> dict[Effort, StudyPlan]:
    """Return the plan of each effort, the largest first."""
    origins = _origins(upstreams, upstream_task)
    networks = (network,) if network else _networks(origins)
    mine = Store.open(store, verify=False)
    name = mine.task_name(task, remedy="Choose one with --task")
    most = max(effort.seeds for effort in efforts)
    pool = min(
        len(split(mine, mine.task(name), study_seed=0, seed=seed).pool)
        for seed in (*range(most), *range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + 3))
    )
    return {effort: _plan(mine, name, pool, origins, networks, effort) for effort in efforts}


def choose(
    plans: Mapping[Effort, StudyPlan], folder: Path, minutes: float, workers: int
) -> tuple[Effort, float | None]:
    """Return the largest effort that fits the time, and the seconds it is expected to take."""
    if (folder / PLAN).exists():
        # Timed anew, another rung might fit: what was begun is what goes on.
        begun = read_study(folder).description["plan"]
        for effort, plan in plans.items():
            if _rung(question(plan)) == _rung(begun):
                return effort, None
    rates: Rates | None = None
    smallest = list(plans)[-1]
    for effort, plan in plans.items():
        # Every byte was verified for the audit.
        expanded = expand(plan, verify=False)
        rates = rates or measure_rates(expanded)
        expected = wall_seconds_of(expanded, rates, workers)
        if expected <= 60 * minutes * (PATIENCE if effort is smallest else 1.0):
            return effort, expected
    raise ConfigError(
        f"even the smallest comparison takes about {expected / 60:.0f} minutes here, {minutes:g} were given",
        where="--minutes",
        remedy=f"Give --minutes {expected / 60 + 1:.0f}, or a smaller network than {plan.networks[0]}",
    )


def _rung(plan: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return by what the efforts differ."""
    upstream = plan["upstreams"][0]
    own = [plan[key] for key in ("seeds", "budget", "rates", "tuning_seeds", "convergence")]
    return (*own, upstream["budget"], upstream["seeds"], plan["downstreams"][0]["sizes"])


def _origins(upstreams: Sequence[Path], task: str | None) -> list[UpstreamPlan]:
    """Return an upstream for each store, and one for each dataset that model folders come from."""
    origins = []
    models: dict[tuple[str, str, str], list[Path]] = {}
    for path in upstreams:
        if is_model(path):
            data = read_card(path)["data"][0]
            models.setdefault((data["name"], data["fingerprint"], data["task"]), []).append(path)
        else:
            opened = Store.open(path, verify=False)
            name = opened.task_name(task, remedy="Choose one with --upstream-task")
            origins.append(UpstreamPlan(opened.info.name, store=path, task=name))
    origins += [UpstreamPlan(name, models=tuple(paths)) for (name, *_), paths in models.items()]
    # Two stores may have been given one name; the second is then called NAME-2, or what of that is free.
    taken = {origin.name for origin in origins}
    named: list[UpstreamPlan] = []
    for origin in origins:
        name = origin.name
        if name in [each.name for each in named]:
            name = next(free for number in count(2) if (free := f"{origin.name}-{number}") not in taken)
            taken.add(name)
        named.append(dataclasses.replace(origin, name=name))
    return named


def _networks(origins: Sequence[UpstreamPlan]) -> tuple[str, ...]:
    given = {str(read_card(path)["network"]) for origin in origins for path in origin.models}
    return tuple(sorted(given)) or (NETWORK,)


def _plan(
    mine: Store,
    task: str,
    pool: int,
    origins: Sequence[UpstreamPlan],
    networks: tuple[str, ...],
    effort: Effort,
) -> StudyPlan:
    """Return the plan of an effort; ``pool`` is how many labelled records remain beside a test part."""
    sizes = [None if share == 1 else round(pool * share) for share in effort.shares]
    sizes = [n for n in sizes if n is None or n >= 2 * SMALLEST_SUBSET]
    downstream = DownstreamPlan(mine.info.name, mine.path, task, tuple(sizes))
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


def _starts(plan: StudyPlan) -> list[str]:
    """Say what fine-tuning starts from: pre-trainings that will be run, and models that were given."""
    made = sum(upstream.seeds for upstream in plan.upstreams[:1] if upstream.store is not None)
    made += sum(upstream.store is not None for upstream in plan.upstreams[1:])
    given = sum(len(upstream.models) for upstream in plan.upstreams)
    told = [(made, "pre-training"), (given, "given model")]
    return [f"{number} {what}{'s' * (number > 1)}" for number, what in told if number]


def describe(effort: Effort, plan: StudyPlan, expected: float | None, minutes: float) -> str:
    """Say what is about to be run, and when it will take longer than was asked for."""
    sizes = ", ".join("all" if n is None else str(n) for n in plan.downstreams[0].sizes)
    text = (
        f"comparison: {', '.join(plan.networks)}; sizes {sizes}; {effort.seeds} seeds, "
        f"{', '.join(_starts(plan))}, {effort.updates} updates"
    )
    if expected is None:
        return (
            f"{text}; going on where it stopped, in whatever time it takes (for a comparison of another "
            "length choose another folder)"
        )
    over = " (the smallest that says anything; more than was asked for)" if expected > 60 * minutes else ""
    return f"{text}; about {max(1, round(expected / 60))} min{over}"
