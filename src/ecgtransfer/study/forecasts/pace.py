"""How long runs take, by what the finished ones took: for the time left of a study, and for a forecast."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from ecgtransfer.evidence import training_flops
from ecgtransfer.study.baselines import BASELINES
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.transfer import get_arm


def trainings(spec: RunSpec) -> int:
    """Return how many times a run trains the whole network: once per rate that it tries itself."""
    if not is_trained(spec):
        return 0
    return 1 if spec.tuned_by else len(spec.rates)


def is_trained(spec: RunSpec) -> bool:
    """Say whether a run trains a whole network, rather than a head or a baseline."""
    return spec.network not in BASELINES and get_arm(spec.arm).moves == "everything"


def records_seen(spec: RunSpec) -> int:
    """Return the records that a run's trainings visit, repeats counted; fewer where n is below a batch."""
    batch = spec.budget.batch_size
    if spec.n is not None:
        batch = min(batch, max(1, round(0.8 * spec.n)))
    return trainings(spec) * spec.budget.updates * batch


class Pace:
    """Seconds per run, learnt from runs that are finished.

    A run is expected to take the median of those of its kind: same network, arm, store, task, size, budget,
    and number of trainings. The median, because a process that slept with its machine says nothing. Where
    none of its kind is finished, a training is scaled from the network's other trainings by the records it
    visits, and a head or baseline takes what others took.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[Any, ...], list[float]] = {}
        self._per_record: dict[tuple[Any, ...], list[float]] = {}
        self._others: dict[tuple[Any, ...], list[float]] = {}
        self.runs = 0

    def add(self, spec: RunSpec, seconds: float) -> None:
        """Learn from a finished run."""
        self.runs += 1
        self._kinds.setdefault(_kind(spec), []).append(seconds)
        if is_trained(spec):
            per_record = seconds / max(1, records_seen(spec))
            for family in _families(spec):
                self._per_record.setdefault(family, []).append(per_record)
        else:
            for family in _families(spec):
                self._others.setdefault(family, []).append(seconds)

    def knows(self, spec: RunSpec) -> bool:
        """Say whether a run of this very kind is finished."""
        return _kind(spec) in self._kinds

    def seconds(self, spec: RunSpec) -> float | None:
        """Return what a run is expected to take, None where nothing comparable is finished."""
        own = self._kinds.get(_kind(spec))
        if own:
            return statistics.median(own)
        for family in _families(spec):
            if is_trained(spec) and family in self._per_record:
                return statistics.median(self._per_record[family]) * records_seen(spec)
            if not is_trained(spec) and family in self._others:
                return statistics.median(self._others[family])
        return None

    def total(self, specs: Iterable[RunSpec]) -> float | None:
        """Return the seconds of all these runs one after the other, None where one of them is unknown.

        Heads and baselines of which nothing is known yet count as nothing: beside trainings they are.
        """
        whole = 0.0
        for spec in specs:
            seconds = self.seconds(spec)
            if seconds is None and is_trained(spec):
                return None
            whole += seconds or 0.0
        return whole


def _kind(spec: RunSpec) -> tuple[Any, ...]:
    budget = (spec.budget.updates, spec.budget.batch_size)
    return (spec.network, spec.arm, spec.store, spec.task, spec.n, budget, trainings(spec), spec.threads)


def _families(spec: RunSpec) -> tuple[tuple[Any, ...], ...]:
    """Return what a run may be compared with, the nearest first."""
    if is_trained(spec):
        return (spec.network, spec.store), (spec.network,)
    return (spec.network, spec.arm, spec.store), (spec.network, spec.arm), (spec.arm == "baseline",)


def run_flops(spec: RunSpec, result: Mapping[str, Any], measured: Mapping[str, Any]) -> float:
    """Return the floating-point operations of everything a finished run trained; two for each multiply-add.

    Parameters
    ----------
    spec : RunSpec
    result, measured : mapping
        As in the run's ``result.json``.
    """
    forward = 2.0 * float(result.get("multiply_adds", 0))
    records = result["records"]
    if not spec.rates:
        # A frozen encoder sees each record once, a random one once more for its statistics; the logistic head
        # costs next to nothing.
        seen = float(records["train"] + records["validation"])
        again = float(records["train"]) if spec.upstream is None else 0.0
        return training_flops(forward, seen + again, backward=0.0)
    looked_at = float(records["validation"] * spec.budget.validations * trainings(spec))
    return training_flops(forward, float(measured["records_seen"]), forward_only_records=looked_at)
