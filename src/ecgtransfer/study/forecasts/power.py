"""What the contrasts with a verdict can be expected to show, by the patients that will be tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgtransfer.datasets.splits import FIXED_TEST_FROM, N_FOLDS, split
from ecgtransfer.evidence.expected import expected_half_width
from ecgtransfer.evidence.verdict import LEVEL
from ecgtransfer.study.planned import Downstream, Expanded
from ecgtransfer.study.plans.plan import Contrast


@dataclass(frozen=True)
class Expected:
    """What the interval of a primary contrast will be like, if the arms are no different.

    Attributes
    ----------
    downstream, network, arm : str
    upstream : str or None
    n : int or None
    n_is_all : bool
    patients : int
        That some seed tests.
    rarest : str
        The macro target with the fewest patients of its rarer class.
    rarest_patients : int
    level : float
        Of the interval: that of the first of the family by Holm's procedure.
    half_width, equivalence_half_width, minimum_detectable : float or None
        Of that interval, of the 90 % interval that is compared with the margin, and the true difference
        that would be called with a probability of 80 %. None where there are too few patients for any.
    margin : float
    equivalent_in_reach : bool
        Whether the verdict *equivalent* can be expected where there is no difference at all.
    equivalence_chance : float
        The probability of that verdict if there is none.
    """

    downstream: str
    network: str
    upstream: str | None
    arm: str
    n: int | None
    n_is_all: bool
    patients: int
    rarest: str
    rarest_patients: int
    level: float
    half_width: float | None
    equivalence_half_width: float | None
    minimum_detectable: float | None
    margin: float
    equivalent_in_reach: bool
    equivalence_chance: float


@dataclass(frozen=True)
class _Tested:
    """Patients with and without each macro target, over all test folds."""

    patients: int
    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    folds: int


def expected_intervals(expanded: Expanded) -> tuple[Expected, ...]:
    """Return what to expect of each primary contrast; none by the published protocol, which has none."""
    if expanded.plan.protocol == "paper":
        return ()
    level = 1 - (1 - LEVEL) / max(1, len(expanded.primary))
    downstreams = {each.plan.name: each for each in expanded.downstreams}
    tested = {name: _tested(expanded, each) for name, each in downstreams.items()}
    return tuple(
        _expected(expanded, contrast, downstreams[contrast.downstream], tested[contrast.downstream], level)
        for contrast in expanded.primary
    )


def without_interval(found: Sequence[Expected]) -> list[str]:
    """Return a sentence for each downstream on which no interval can be given, and why."""
    rows = {row.downstream: row for row in found if row.half_width is None}
    return [
        f"On {name} no interval will be given: {row.rarest} has only {row.rarest_patients} patients of its "
        "rarer class among those tested."
        for name, row in rows.items()
    ]


def _expected(
    expanded: Expanded, contrast: Contrast, downstream: Downstream, tested: _Tested, level: float
) -> Expected:
    plan = expanded.plan
    found = expected_half_width(
        tested.positives,
        tested.negatives,
        n_seeds=plan.seeds,
        folds=tested.folds,
        n_pretrainings=_pretrainings(expanded, contrast),
        level=level,
        margin=plan.margin,
    )
    rarer = np.minimum(tested.positives, tested.negatives)
    rarest = int(rarer.argmin())
    return Expected(
        downstream=contrast.downstream,
        network=contrast.network,
        upstream=contrast.upstream,
        arm=contrast.arm,
        n=contrast.n,
        n_is_all=contrast.n is None,
        patients=round(tested.patients * min(1.0, plan.seeds / tested.folds)),
        rarest=downstream.macro.targets[rarest],
        rarest_patients=round(int(rarer[rarest]) * min(1.0, plan.seeds / tested.folds)),
        level=level,
        half_width=found.half_width,
        equivalence_half_width=found.equivalence_half_width,
        minimum_detectable=found.minimum_detectable,
        margin=plan.margin,
        equivalent_in_reach=found.equivalence_in_reach,
        equivalence_chance=found.equivalence_chance,
    )


def _pretrainings(expanded: Expanded, contrast: Contrast) -> int:
    """Return how many pre-training seeds are crossed with the seeds of a contrast."""
    seeds = {
        run.pretraining_seed
        for run in expanded.planned
        if run.purpose == "evidence"
        and (run.downstream, run.spec.network, run.upstream, run.spec.arm, run.spec.n)
        == (contrast.downstream, contrast.network, contrast.upstream, contrast.arm, contrast.n)
    }
    return len(seeds - {None})


def _tested(expanded: Expanded, downstream: Downstream) -> _Tested:
    store = downstream.store
    task = store.task(downstream.task)
    labels = store.labels(task)
    changing = not store.info.official_folds and store.n_records < FIXED_TEST_FROM
    if changing:
        records = np.flatnonzero(~np.isnan(labels).all(axis=1))
    else:
        records = split(store, task, study_seed=expanded.plan.study_seed, seed=0).test
    columns = [task.target_names.index(name) for name in downstream.macro.targets]
    patient = np.unique(store.records["patient_id"].to_numpy(dtype=str)[records], return_inverse=True)[1]
    positives, negatives = [], []
    for column in columns:
        values = labels[records, column]
        present, absent = set(patient[values == 1].tolist()), set(patient[values == 0].tolist())
        positives.append(len(present))
        negatives.append(len(absent - present))
    n_patients = int(patient.max()) + 1
    return _Tested(n_patients, tuple(positives), tuple(negatives), N_FOLDS if changing else 1)
