"""From a ledger to one table of findings: everything that the page, the tables and the JSON show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgtransfer.datasets.store import Store
from ecgtransfer.evidence import Interval, PairedRun, paired_difference
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.plan import Comparison, MacroSet, RunSpec

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


@dataclass(frozen=True)
class Upstream:
    """What the pre-trained arms started from, for people.

    Attributes
    ----------
    name : str
        The store's or the model's name.
    task : str
    records : int
        Labels that pre-training used.
    seconds : float or None
        What it cost here; None where the model came from elsewhere.
    score : float or None
        Macro AUROC on the upstream test part.
    """

    name: str
    task: str
    records: int
    seconds: float | None
    score: float | None


def summarise(
    comparison: Comparison,
    store: Store,
    macro: MacroSet,
    specs: Sequence[RunSpec],
    ledger: Ledger,
    *,
    upstreams: Mapping[str, Upstream],
    rates: Mapping[tuple[str, str, int | None], float],
    tuning: Mapping[tuple[str, str, int | None, float], float],
    tuning_runs: int,
) -> dict[str, Any]:
    """Return the findings of a comparison as JSON-able values.

    Parameters
    ----------
    specs : sequence of RunSpec
        The evidence runs, all in the ledger.
    upstreams : mapping
        Network → what its pre-trained encoder came from.
    rates, tuning : mapping
        The chosen learning rates, and the mean validation loss of every candidate.
    """
    groups = _group(specs)
    sizes = {n: _labels_used(groups, n, ledger) for n in comparison.sizes}
    cells, per_target = [], []
    for (network, arm, n), group in groups.items():
        if arm == "baseline":
            continue
        cells.append(_cell(network, arm, n, sizes[n], group, ledger, upstreams, rates))
        per_target += _per_target(network, arm, sizes[n], group, ledger)
    contrasts = [
        _contrast(
            network, arm, n, sizes[n], group, groups[network, "scratch", n], macro, ledger, store, upstreams
        )
        for (network, arm, n), group in groups.items()
        if arm not in ("scratch", "baseline")
    ]
    used = {upstream.name: upstream for upstream in upstreams.values()}
    seconds = [float(ledger.measured(spec)["seconds"]) for spec in specs]
    table = store.records
    findings: dict[str, Any] = {
        "title": f"Fine-tune or train from scratch: {store.info.name}, task {comparison.task}",
        "sentence": "",
        "downstream": {
            "name": store.info.name,
            "task": comparison.task,
            "records": store.n_records,
            "patients": int(table["patient_id"].nunique()) if store.info.patients_known else None,
            "leads": list(store.info.leads),
            "sampling_rate": store.info.sampling_rate,
            "patients_known": store.info.patients_known,
            "fingerprint": store.fingerprint,
        },
        "upstreams": [
            {"name": up.name, "task": up.task, "records": up.records, "auroc": up.score}
            for up in used.values()
        ],
        "protocol": _protocol(comparison, specs, tuning_runs),
        "macro_targets": list(macro.targets),
        "left_out": [{"target": target, "why": why} for target, why in macro.left_out],
        "cells": cells,
        "contrasts": contrasts,
        "baselines": [
            {
                "name": network,
                "n": sizes[n],
                "auroc": _mean(_macro(ledger, spec, "auroc") for spec in group),
                "auroc_sd": _sd(_macro(ledger, spec, "auroc") for spec in group),
                "seeds": len(group),
            }
            for (network, arm, n), group in groups.items()
            if arm == "baseline"
        ],
        "per_target": per_target,
        "tuning": [
            {
                "network": network,
                "arm": arm,
                "n": sizes[n],
                "rate": rate,
                "validation_loss": loss if np.isfinite(loss) else None,
                "chosen": rates[network, arm, n] == rate,
            }
            for (network, arm, n, rate), loss in tuning.items()
        ],
        "cost": {
            "pretraining_seconds": _total([up.seconds for up in used.values()]),
            "evidence_seconds": round(sum(seconds), 1),
            "runs": len(specs),
            "tuning_runs": tuning_runs,
        },
        "notes": _notes(comparison, store),
    }
    findings["sentence"] = sentence(findings)
    return findings


def sentence(findings: Mapping[str, Any]) -> str:
    """Say what was found in one sentence: fine-tuning against scratch where labels are fewest and most.

    An interval that includes zero is called what it is: these data cannot tell.
    """
    contrasts = [c for c in findings["contrasts"] if c["arm"] == "full"] or findings["contrasts"]
    name = findings["downstream"]["name"]
    if not contrasts:
        return f"Only training from scratch was run on {name}: there is nothing to compare it with."
    parts = []
    for network in dict.fromkeys(c["network"] for c in contrasts):
        mine = sorted((c for c in contrasts if c["network"] == network), key=lambda c: int(c["n"]))
        ends = [mine[0]] if len(mine) == 1 else [mine[0], mine[-1]]
        parts.append(f"{network}: " + "; ".join(_clause(c) for c in ends))
    upstream = " and ".join(up["name"] for up in findings["upstreams"])
    what = "fine-tuning" if contrasts[0]["arm"] == "full" else f"the arm {contrasts[0]['arm']}"
    return f"On {name}, {what} from {upstream} against scratch – " + " | ".join(parts) + "."


def _clause(contrast: Mapping[str, Any]) -> str:
    size = f"with {contrast['n']} labels"
    if contrast["difference"] is None:
        return f"{size} no difference could be estimated ({contrast['note']})"
    figure = f"{contrast['difference']:+.3f} macro AUROC"
    if contrast["low"] is None:
        return f"{size} {figure}, without an interval ({contrast['note']})"
    interval = f"{contrast['level']:.0%} interval {contrast['low']:+.3f} to {contrast['high']:+.3f}"
    if contrast["low"] > 0:
        verdict = "gains"
    elif contrast["high"] < 0:
        verdict = "loses"
    else:
        return f"{size} these data cannot tell ({figure}, {interval})"
    return f"{size} it {verdict} {figure.lstrip('+-')} ({interval})"


def _group(specs: Sequence[RunSpec]) -> dict[tuple[str, str, int | None], list[RunSpec]]:
    groups: dict[tuple[str, str, int | None], list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.network, spec.arm, spec.n), []).append(spec)
    for group in groups.values():
        group.sort(key=lambda spec: spec.seed)
    return groups


def _labels_used(
    groups: Mapping[tuple[str, str, int | None], list[RunSpec]], n: int | None, ledger: Ledger
) -> int:
    """Return n as a number: for 'all' the median over seeds, because test parts differ by a few records."""
    group = next(group for (_, _, size), group in groups.items() if size == n)
    counts = [ledger.result(spec)["records"] for spec in group]
    return int(np.median([count["train"] + count["validation"] for count in counts]))


def _cell(
    network: str,
    arm: str,
    n: int | None,
    labels: int,
    group: Sequence[RunSpec],
    ledger: Ledger,
    upstreams: Mapping[str, Upstream],
    rates: Mapping[tuple[str, str, int | None], float],
) -> dict[str, Any]:
    values = {name: [_macro(ledger, spec, key) for spec in group] for name, key in MACRO_METRICS.items()}
    measured = [ledger.measured(spec) for spec in group]
    best = [ledger.result(spec).get("best_update") for spec in group]
    return {
        "network": network,
        "upstream": upstreams[network].name if group[0].upstream is not None else None,
        "arm": arm,
        "n": labels,
        "n_is_all": n is None,
        "seeds": len(group),
        "learning_rate": rates.get((network, arm, n)),
        **{name: _mean(column) for name, column in values.items()},
        "auroc_sd": _sd(values["auroc"]),
        "auroc_per_seed": values["auroc"],
        "seconds": float(np.median([m["seconds"] for m in measured])),
        "updates": group[0].budget.updates if group[0].learning_rate is not None else 0,
        "best_update": None if None in best else float(np.median([b for b in best if b is not None])),
        "diverged": sum(ledger.result(spec).get("diverged_at") is not None for spec in group),
    }


def _per_target(
    network: str, arm: str, labels: int, group: Sequence[RunSpec], ledger: Ledger
) -> list[dict[str, Any]]:
    rows = []
    for target, _ in group[0].targets:
        found = [ledger.result(spec)["test"]["targets"][target] for spec in group]
        known = [row["auroc"] for row in found if row["auroc"] is not None]
        rows.append(
            {
                "network": network,
                "arm": arm,
                "n": labels,
                "target": target,
                "auroc": _mean(known) if len(known) == len(found) else None,
                "positives": int(np.median([row["positives"] for row in found])),
            }
        )
    return rows


def _contrast(
    network: str,
    arm: str,
    n: int | None,
    labels: int,
    group: Sequence[RunSpec],
    reference: Sequence[RunSpec],
    macro: MacroSet,
    ledger: Ledger,
    store: Store,
    upstreams: Mapping[str, Upstream],
) -> dict[str, Any]:
    columns = [i for i, (name, _) in enumerate(group[0].targets) if name in macro.targets]
    pairs = []
    for spec, other in zip(group, reference, strict=True):
        ours, theirs = ledger.predictions(spec, "test"), ledger.predictions(other, "test")
        assert spec.seed == other.seed
        assert np.array_equal(ours.record_id, theirs.record_id)
        pairs.append(
            PairedRun(
                seed=spec.seed,
                pretraining_seed=None,
                patient=ours.patient_id,
                labels=ours.labels[:, columns],
                scores_a=ours.logits[:, columns],
                scores_b=theirs.logits[:, columns],
            )
        )
    interval: Interval = paired_difference(
        pairs, resamples=RESAMPLES, level=LEVEL, seed=int(group[0].study_seed)
    )
    return {
        "network": network,
        "upstream": upstreams[network].name if group[0].upstream is not None else None,
        "arm": arm,
        "reference": "scratch",
        "n": labels,
        "n_is_all": n is None,
        **_as_dict(interval),
    }


def _as_dict(interval: Interval) -> dict[str, Any]:
    values = dataclasses.asdict(interval)
    return {**values, "per_seed": list(interval.per_seed), "seeds": list(interval.seeds)}


def _protocol(comparison: Comparison, specs: Sequence[RunSpec], tuning_runs: int) -> dict[str, Any]:
    budget = comparison.budget
    return {
        "protocol": "sound",
        "networks": list(comparison.networks),
        "arms": list(comparison.arms),
        "seeds": comparison.seeds,
        "updates per run": budget.updates,
        "batch size": budget.batch_size,
        "learning rates tried, the same for each arm": list(comparison.rates),
        "tuning seeds (never evidence)": comparison.tuning_seeds,
        "tuning runs": tuning_runs,
        "selection": "lowest validation loss; the test part is evaluated once",
        "n": "every label used; a fifth of them by patient is the validation part",
        "weight decay": budget.weight_decay,
        "augmentation": {k: v for k, v in specs[0].as_dict()["budget"]["augment"].items() if v},
        "precision": sorted({spec.precision for spec in specs if spec.arm != "baseline"}),
        "study seed": comparison.study_seed,
    }


def _notes(comparison: Comparison, store: Store) -> list[str]:
    notes = [
        "Intervals resample patients crossed with seeds; they hold for this pool of recordings and this "
        "pre-trained checkpoint, one pre-training seed.",
        "The intervals are not adjusted for the number of comparisons shown.",
    ]
    if not store.info.patients_known:
        notes.append("The recordings carry no patient ids: patient separation cannot be verified.")
    if comparison.seeds < 5:
        notes.append(f"{comparison.seeds} seeds are few: seed variance is estimated poorly.")
    return notes


def _macro(ledger: Ledger, spec: RunSpec, name: str) -> float | None:
    value = ledger.result(spec)["test"]["macro"][name]
    return None if value is None else float(value)


def _over_known(function: Callable[[list[float]], Any], values: Any) -> float | None:
    known = list(values)
    if not known or any(value is None for value in known):
        return None
    return float(function(known))


def _mean(values: Any) -> float | None:
    return _over_known(np.mean, values)


def _sd(values: Any) -> float | None:
    return _over_known(lambda known: np.std(known, ddof=1) if len(known) > 1 else 0.0, values)


def _total(values: Sequence[float | None]) -> float | None:
    return None if None in values or not values else round(sum(v for v in values if v is not None), 1)
