"""From a ledger to one table of findings: everything that the page, the tables and the JSON show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import StudyError
from ecgtransfer.evidence import Interval, PairedRun, paired_difference, verdicts
from ecgtransfer.report.sentences import sentence
from ecgtransfer.seeds import entropy
from ecgtransfer.study.ledger import Ledger, Predictions
from ecgtransfer.study.plan import Comparison, MacroSet, primary_family
from ecgtransfer.study.spec import RunSpec

# Name in the findings → name in a run's result.
MACRO_METRICS = {
    "auroc": "auroc",
    "auprc": "auprc",
    "f1": "f1",
    "brier": "brier",
    "ece": "ece",
    "sensitivity": "sensitivity_at_specificity",
}
RESAMPLES = 2000
LEVEL = 0.95

Cell = tuple[str, str, int | None]


@dataclass(frozen=True)
class Upstream:
    """What the pre-trained arms started from, for people.

    Attributes
    ----------
    name : str
        The store's name.
    task : str
    records : int
        Labels that pre-training used.
    seconds : float or None
        What it cost here; None where the model came from elsewhere.
    score : float or None
        Macro AUROC on the upstream test part.
    left_out : str
        What is known of recordings that are both upstream and downstream.
    """

    name: str
    task: str
    records: int
    seconds: float | None
    score: float | None
    left_out: str


@dataclass(frozen=True)
class _Done:
    """A run with everything that was read of it, once."""

    spec: RunSpec
    result: dict[str, Any]
    measured: dict[str, Any]
    test: Predictions

    def macro(self, name: str) -> float | None:
        value = self.result["test"]["macro"][name]
        return None if value is None else float(value)

    @property
    def labels_used(self) -> int:
        return int(self.result["records"]["train"] + self.result["records"]["validation"])


def summarise(
    comparison: Comparison,
    store: Store,
    macro: MacroSet,
    specs: Sequence[RunSpec],
    ledger: Ledger,
    *,
    upstreams: Mapping[str, Upstream],
) -> dict[str, Any]:
    """Return the findings of a comparison as JSON-able values.

    Parameters
    ----------
    specs : sequence of RunSpec
        The comparison's runs, all in the ledger.
    upstreams : mapping
        Network → what its pre-trained encoder came from.

    Raises
    ------
    StudyError
        When a run is missing or broken, or two runs that are to be paired tested different records.
    """
    cells: dict[Cell, list[_Done]] = {}
    for spec in specs:
        done = _Done(spec, ledger.result(spec), ledger.measured(spec), ledger.predictions(spec, "test"))
        cells.setdefault((spec.network, spec.arm, spec.n), []).append(done)
    # For 'all' the median over seeds: test parts differ by a few records.
    sizes = {
        n: int(
            np.median([run.labels_used for (_, _, size), runs in cells.items() if size == n for run in runs])
        )
        for n in comparison.sizes
    }
    networks = {cell: runs for cell, runs in cells.items() if cell[1] != "baseline"}
    baselines = {cell: runs for cell, runs in cells.items() if cell[1] == "baseline"}
    family = primary_family(comparison)
    intervals = {
        cell: _interval(runs, cells[cell[0], "scratch", cell[2]], macro)
        for cell, runs in networks.items()
        if cell[1] != "scratch"
    }
    judged = dict(
        zip(family, verdicts([intervals[cell] for cell in family], margin=comparison.margin), strict=True)
    )
    findings: dict[str, Any] = {
        "title": f"Fine-tune or train from scratch: {store.info.name}, task {comparison.task}",
        "sentence": "",
        "downstream": _downstream(store, comparison.task),
        "upstreams": [
            {
                "name": upstream.name,
                "network": network,
                "task": upstream.task,
                "records": upstream.records,
                "auroc": upstream.score,
                "seconds": upstream.seconds,
                "left_out": upstream.left_out,
            }
            for network, upstream in upstreams.items()
        ],
        "protocol": _protocol(comparison, specs),
        "macro_targets": list(macro.targets),
        "left_out": [{"target": target, "why": why} for target, why in macro.left_out],
        "cells": [_cell(cell, runs, sizes, upstreams) for cell, runs in networks.items()],
        "margin": comparison.margin,
        "contrasts": [
            {
                **_contrast(cell, networks[cell], interval, "scratch", sizes, upstreams),
                "verdict": dataclasses.asdict(judged[cell]) if cell in judged else None,
            }
            for cell, interval in intervals.items()
        ],
        "baselines": [
            {
                "name": network,
                "n": sizes[n],
                "auroc": _mean([run.macro("auroc") for run in runs]),
                "auroc_sd": _sd([run.macro("auroc") for run in runs]),
                "seeds": len(runs),
            }
            for (network, _, n), runs in baselines.items()
        ],
        "against_baselines": [
            _contrast(
                cell, runs, _interval(runs, cells[name, "baseline", cell[2]], macro), name, sizes, upstreams
            )
            for cell, runs in networks.items()
            for name in comparison.baselines
        ],
        "per_target": [row for cell, runs in networks.items() for row in _per_target(cell, runs, sizes)],
        "tuning": [row for cell, runs in networks.items() for row in _searched(cell, runs, sizes)],
        "cost": _cost(cells, upstreams),
        "notes": _notes(comparison, store, upstreams),
    }
    findings["sentence"] = sentence(findings)
    return findings


def _downstream(store: Store, task: str) -> dict[str, Any]:
    known = store.info.patients_known
    return {
        "name": store.info.name,
        "task": task,
        "records": store.n_records,
        "patients": int(store.records["patient_id"].nunique()) if known else None,
        "leads": list(store.info.leads),
        "sampling_rate": store.info.sampling_rate,
        "patients_known": known,
        "duplicate_pairs": len(store.duplicates),
        "fingerprint": store.fingerprint,
    }


def _cell(
    cell: Cell, runs: Sequence[_Done], sizes: Mapping[int | None, int], upstreams: Mapping[str, Upstream]
) -> dict[str, Any]:
    network, arm, n = cell
    values = {name: [run.macro(key) for run in runs] for name, key in MACRO_METRICS.items()}
    rates = [run.result["learning_rate"] for run in runs if "learning_rate" in run.result]
    best = [run.result["best_update"] for run in runs if "best_update" in run.result]
    trained = bool(runs[0].spec.rates)
    return {
        "network": network,
        "upstream": upstreams[network].name if runs[0].spec.upstream is not None else None,
        "arm": arm,
        "n": sizes[n],
        "n_is_all": n is None,
        "seeds": len(runs),
        # Each run chose its own on its own labels; the table shows the middle one.
        "learning_rate": float(np.median(rates)) if rates else None,
        **{name: _mean(column) for name, column in values.items()},
        "auroc_sd": _sd(values["auroc"]),
        "auroc_per_seed": values["auroc"],
        "seconds": float(np.median([run.measured["seconds"] for run in runs])),
        "updates": runs[0].spec.budget.updates if trained else 0,
        "best_update": float(np.median(best)) if best else None,
        "diverged": sum(run.result.get("diverged_at") is not None for run in runs),
    }


def _per_target(cell: Cell, runs: Sequence[_Done], sizes: Mapping[int | None, int]) -> list[dict[str, Any]]:
    network, arm, n = cell
    rows = []
    for target, _ in runs[0].spec.targets:
        found = [run.result["test"]["targets"][target] for run in runs]
        rows.append(
            {
                "network": network,
                "arm": arm,
                "n": sizes[n],
                "target": target,
                "auroc": _mean([row["auroc"] for row in found]),
                "positives": int(np.median([row["positives"] for row in found])),
            }
        )
    return rows


def _searched(cell: Cell, runs: Sequence[_Done], sizes: Mapping[int | None, int]) -> list[dict[str, Any]]:
    """Return for each rate the mean validation loss, and in how many runs it was chosen."""
    network, arm, n = cell
    rows = []
    for rate in runs[0].spec.rates:
        tried = [next(item for item in run.result["search"] if item["rate"] == rate) for run in runs]
        rows.append(
            {
                "network": network,
                "arm": arm,
                "n": sizes[n],
                "rate": rate,
                "validation_loss": _mean([item["validation_loss"] for item in tried]),
                "diverged": sum(item["diverged_at"] is not None for item in tried),
                "chosen": sum(run.result["learning_rate"] == rate for run in runs),
                "runs": len(runs),
            }
        )
    return rows


def _interval(runs: Sequence[_Done], others: Sequence[_Done], macro: MacroSet) -> Interval:
    """Return the paired difference between the runs of a cell and those of another."""
    columns = [i for i, (name, _) in enumerate(runs[0].spec.targets) if name in macro.targets]
    pairs = []
    for ours, theirs in zip(runs, others, strict=True):
        same = np.array_equal(ours.test.record_id, theirs.test.record_id)
        if ours.spec.seed != theirs.spec.seed or not same:
            raise StudyError(f"runs {ours.spec.id} and {theirs.spec.id} tested different records")
        pairs.append(
            PairedRun(
                seed=ours.spec.seed,
                pretraining_seed=None,
                patient=ours.test.patient_id,
                labels=ours.test.labels[:, columns],
                scores_a=ours.test.logits[:, columns],
                scores_b=theirs.test.logits[:, columns],
            )
        )
    stream = entropy(runs[0].spec.study_seed, 0, "bootstrap")
    return paired_difference(pairs, resamples=RESAMPLES, level=LEVEL, seed=stream)


def _contrast(
    cell: Cell,
    runs: Sequence[_Done],
    interval: Interval,
    reference: str,
    sizes: Mapping[int | None, int],
    upstreams: Mapping[str, Upstream],
) -> dict[str, Any]:
    network, arm, n = cell
    return {
        "network": network,
        "upstream": upstreams[network].name if runs[0].spec.upstream is not None else None,
        "arm": arm,
        "reference": reference,
        "n": sizes[n],
        "n_is_all": n is None,
        **dataclasses.asdict(interval),
        "per_seed": list(interval.per_seed),
        "seeds": list(interval.seeds),
    }


def _cost(cells: Mapping[Cell, Sequence[_Done]], upstreams: Mapping[str, Upstream]) -> dict[str, Any]:
    spent = [upstream.seconds for upstream in upstreams.values() if upstream.seconds is not None]
    return {
        "pretraining_seconds": round(sum(spent), 1) if len(spent) == len(upstreams) else None,
        "runs_seconds": round(sum(run.measured["seconds"] for runs in cells.values() for run in runs), 1),
        "runs": sum(map(len, cells.values())),
        "trainings": sum(len(run.spec.rates) for runs in cells.values() for run in runs),
    }


def _protocol(comparison: Comparison, specs: Sequence[RunSpec]) -> dict[str, Any]:
    budget = comparison.budget
    return {
        "protocol": "sound",
        "networks": list(comparison.networks),
        "arms": list(comparison.arms),
        "seeds": comparison.seeds,
        "updates per training": budget.updates,
        "batch size": budget.batch_size,
        "learning rates, all tried in each run": list(comparison.rates),
        "choices": "weights, rate, penalty and thresholds by validation; the test part is evaluated once",
        "n": "every label used; a fifth of them by patient is the validation part",
        "weight decay": budget.weight_decay,
        "augmentation": {k: v for k, v in dataclasses.asdict(budget.augment).items() if v},
        "precision of training": sorted({spec.precision for spec in specs if spec.arm != "baseline"}),
        "margin of equivalence": comparison.margin,
        "study seed": comparison.study_seed,
    }


def _notes(comparison: Comparison, store: Store, upstreams: Mapping[str, Upstream]) -> list[str]:
    pairs = len(store.duplicates)
    notes = [
        *dict.fromkeys(upstream.left_out for upstream in upstreams.values()),
        f"{pairs} pairs of duplicates within {store.info.name}: each pair shares a side of every split."
        if pairs
        else f"No duplicates were found within {store.info.name}.",
        "Pre-trained arms start from one checkpoint: the intervals do not know how another one would fare.",
        "Verdicts are given on the contrasts that the plan named before any test part was opened, adjusted "
        "for their number (Holm); all other intervals are exploratory and not adjusted.",
    ]
    if not store.info.patients_known:
        notes.append("The recordings carry no patient ids: patient separation cannot be verified.")
    if comparison.seeds < 5:
        notes.append(f"{comparison.seeds} seeds are few: seed variance is estimated poorly.")
    return notes


def _over_known(function: Callable[[Sequence[float]], Any], values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    # A mean over the seeds that happen to have a value would be a mean over the easy ones.
    return float(function(known)) if known and len(known) == len(values) else None


def _mean(values: Sequence[float | None]) -> float | None:
    return _over_known(np.mean, values)


def _sd(values: Sequence[float | None]) -> float | None:
    return _over_known(lambda known: np.std(known, ddof=1) if len(known) > 1 else 0.0, values)
