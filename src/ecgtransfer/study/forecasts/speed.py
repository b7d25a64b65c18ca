"""How fast this machine trains and predicts, measured in a few seconds, and what runs take at that speed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ecgtransfer.datasets.splits import N_FOLDS, OFFICIAL_TEST_FOLD, VALIDATION_FRACTION
from ecgtransfer.datasets.store import Store
from ecgtransfer.networks import build, n_parameters
from ecgtransfer.study.forecasts.pace import is_trained, trainings
from ecgtransfer.study.planned import PURPOSES, Expanded
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.training import Feed, FitSettings, Precision, fit, predict_logits

SECONDS = 6.0
"""What all measurements together may take, roughly: each network needs two updates whatever they take."""

# Records per update while measuring: the time per record hardly depends on it from here on.
_BATCH = 32
# What a run takes besides its network, as measured on one core: opening the store, judging, writing (s), …
_AROUND = 0.3
# … the logistic fits of a head, per target, and a baseline.
_HEAD, _BASELINE = 0.05, 0.3

Key = tuple[str, tuple[int, int], str]


@dataclass(frozen=True)
class Rate:
    """What a network takes on this machine.

    Attributes
    ----------
    training : float
        Seconds per record that an update visits: reading, augmentation, forward, backward, step.
    prediction : float
        Seconds per window.
    parameters : int
    """

    training: float
    prediction: float
    parameters: int


@dataclass(frozen=True)
class Rates:
    """Speeds by network, window shape (leads, samples) and precision.

    Attributes
    ----------
    known : mapping
    took : float
        Seconds that measuring them took.
    """

    known: Mapping[Key, Rate]
    took: float

    def of(self, spec: RunSpec, store: Store) -> Rate:
        """Return the speed of a run's network."""
        return self.known[_key(spec, store)]


@dataclass(frozen=True)
class Parts:
    """About how many records a run learns from, chooses on and tests."""

    train: int
    validation: int
    test: int


class Workload:
    """What the runs of a study have to do.

    Parameters
    ----------
    expanded : Expanded
    """

    def __init__(self, expanded: Expanded) -> None:
        self.expanded = expanded
        self._parts: dict[tuple[Any, ...], Parts] = {}

    @cached_property
    def stores(self) -> dict[str, Store]:
        """Fingerprint → store."""
        opened = [each.store for each in self.expanded.downstreams]
        return {store.fingerprint: store for store in (*opened, *self.expanded.upstream_stores.values())}

    def parts(self, spec: RunSpec) -> Parts:
        """Return the sizes of a run's parts, to within the rounding of folds."""
        key = (spec.store, spec.task, spec.n, spec.protocol, len(spec.excluded))
        if key not in self._parts:
            self._parts[key] = _parts(spec, self.stores[spec.store])
        return self._parts[key]

    def seconds(self, spec: RunSpec, rates: Rates) -> float:
        """Return what a run takes in one process at these speeds."""
        store, parts = self.stores[spec.store], self.parts(spec)
        windows = store.n_windows / store.n_records
        if spec.arm == "baseline":
            return _AROUND + _BASELINE
        rate = rates.of(spec, store)
        judged = (parts.validation + (parts.test if spec.tests else 0)) * windows * rate.prediction
        if not is_trained(spec):
            passes = 2 if spec.upstream is None else 1  # a random encoder's statistics need one of their own
            learnt = parts.train * passes * windows * rate.prediction
            return _AROUND + _HEAD * len(spec.targets) + learnt + judged
        budget = spec.budget
        updates = budget.updates * min(budget.batch_size, parts.train) * rate.training
        looks = math.ceil(budget.updates / max(1, budget.updates // budget.validations))
        looked = looks * max(1, parts.validation) * windows * rate.prediction
        return _AROUND + trainings(spec) * (updates + looked) + judged


def measure_rates(expanded: Expanded, *, seconds: float = SECONDS) -> Rates:
    """Time a short training and a prediction of every network of a study on its own signals.

    Labels are not looked at, and nothing is kept of what is learnt.

    Parameters
    ----------
    expanded : Expanded
    seconds : float
        For all of them together, roughly.
    """
    stores = Workload(expanded).stores
    wanted: dict[Key, RunSpec] = {}
    for planned in expanded.planned:
        if planned.spec.arm != "baseline":
            wanted.setdefault(_key(planned.spec, stores[planned.spec.store]), planned.spec)
    began = time.perf_counter()
    with _threads(expanded.plan.threads):
        known = {
            key: _measure(spec, stores[spec.store], seconds / len(wanted)) for key, spec in wanted.items()
        }
    return Rates(known, time.perf_counter() - began)


def seconds_of(expanded: Expanded, rates: Rates) -> float:
    """Return what all runs of a study take, one after the other in one process."""
    workload = Workload(expanded)
    return sum(workload.seconds(planned.spec, rates) for planned in expanded.planned)


def wall_seconds_of(expanded: Expanded, rates: Rates, workers: int) -> float:
    """Return what a study takes on the clock with so many processes, phase after phase."""
    workload = Workload(expanded)
    phases: dict[str, list[float]] = {purpose: [] for purpose in PURPOSES}
    for planned in expanded.planned:
        phases[planned.purpose].append(workload.seconds(planned.spec, rates))
    return wall_seconds(list(phases.values()), workers)


def wall_seconds(phases: Sequence[Sequence[float]], workers: int) -> float:
    """Return how long phases take, each of which begins when the one before has ended.

    Parameters
    ----------
    phases : sequence of sequences of float
        Seconds of each run.
    workers : int
        Processes that share the runs of a phase; none ends before its longest run.
    """
    return sum(max(sum(phase) / workers, max(phase, default=0.0)) for phase in phases)


def _key(spec: RunSpec, store: Store) -> Key:
    return spec.network, (len(store.info.leads), store.info.n_samples), spec.precision


def _parts(spec: RunSpec, store: Store) -> Parts:
    labels = store.labels(store.task(spec.task))
    labelled = int((~np.isnan(labels).all(axis=1)).sum()) - len(spec.excluded)
    if spec.protocol == "paper":
        test = round(labelled / 3)
        # There the test part is what the epochs are chosen on.
        return Parts(labelled - test if spec.n is None else spec.n, test, 0)
    official = store.info.official_folds
    tenth = store.records["fold"] == OFFICIAL_TEST_FOLD
    test = int(tenth.sum()) if official else round(labelled / N_FOLDS)
    pool = labelled - test if spec.n is None else spec.n
    validation = max(2, round(pool * VALIDATION_FRACTION))
    return Parts(max(1, pool - validation), validation, test)


def _measure(spec: RunSpec, store: Store, seconds: float) -> Rate:
    info = store.info
    records = np.arange(min(_BATCH, store.n_records))
    labels = np.zeros((len(records), len(spec.targets)), dtype=np.float32)
    feed = Feed(store, records, labels)
    network = build(
        spec.network,
        n_leads=len(info.leads),
        n_outputs=len(spec.targets),
        n_samples=info.n_samples,
        sampling_rate=info.sampling_rate,
    )

    def updates(count: int) -> float:
        settings = FitSettings(
            updates=count,
            batch_size=_BATCH,
            learning_rate=1e-4,
            validate_every=count,
            precision=spec.precision,
            augment=spec.budget.augment,
        )
        fitted = fit(network, feed, Feed(store, records[:2], labels[:2]), settings)
        return 1 / fitted.records_per_second if fitted.records_per_second else math.inf

    updates(1)  # the first is slower: memory is found and kernels are chosen
    training = updates(1)
    more = int(0.6 * seconds / max(1e-6, training * len(records)))
    if more > 1:
        training = updates(min(more, 100))
    precision: Precision = "float64" if spec.precision == "float64" else "float32"
    network.to(torch.float64 if precision == "float64" else torch.float32)
    predict_logits(network, feed, precision=precision)
    repeats, began = 0, time.perf_counter()
    while repeats == 0 or (repeats < 20 and time.perf_counter() - began < 0.2 * seconds):
        predict_logits(network, feed, precision=precision)
        repeats += 1
    prediction = (time.perf_counter() - began) / (repeats * feed.n_windows)
    if not math.isfinite(training):
        training = 3 * prediction  # where training diverges at once: backward takes about twice the forward
    return Rate(training, prediction, n_parameters(network))


@contextlib.contextmanager
def _threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
