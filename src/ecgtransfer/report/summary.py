"""From a study's folder to its findings: everything that the page, the tables and the JSON show."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ecgtransfer.evidence import Interval, paired_difference, seed_tests, verdicts
from ecgtransfer.evidence.intervals import arm_auroc
from ecgtransfer.report import breadth, costs
from ecgtransfer.report.budgets import convergences
from ecgtransfer.report.described import asked, counted, notes, protocol
from ecgtransfer.report.gains import gains
from ecgtransfer.report.gather import Cell, Done, Gathered, gather, paired, singles
from ecgtransfer.report.paper import beside_sound
from ecgtransfer.report.recommendation import recommend
from ecgtransfer.report.sentences import answer, below_baselines
from ecgtransfer.seeds import entropy
from ecgtransfer.study.folder import Study
from ecgtransfer.study.plans.plan import SPECIFICITY, Contrast
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
# Name in an interval → name in the findings.
_RENAMED = {"minimum_positives": "positives", "minimum_negatives": "negatives"}
RESAMPLES = 2000
LEVEL = 0.95

Sizes = Mapping[tuple[str, int | None], int]
Row = dict[str, Any]


def summarise(study: Study, *, beside: Sequence[Study] = ()) -> dict[str, Any]:
    """Return the findings of a study as JSON-able values, from its ledger alone.

    Parameters
    ----------
    study : Study
        All its runs are in the ledger.
    beside : sequence of Study
        Studies of the published protocol, shown beside this one.

    Raises
    ------
    StudyError
        When a run is missing or broken, or two runs that are to be paired tested different records.
    """
    runs = gather(study)
    plan, downstreams = study.description["plan"], study.description["downstreams"]
    macro = {each["name"]: each["macro_targets"] for each in downstreams}
    sizes = _sizes(runs)
    stream = entropy(plan["study_seed"], 0, "bootstrap")
    intervals = {
        cell: _interval(done, runs.reference(cell), macro[cell.downstream], stream)
        for cell, done in runs.cells.items()
        if cell.arm != "scratch"
    }
    family = [_cell_of(contrast) for contrast in study.primary]
    judged = dict(
        zip(family, verdicts([intervals[cell] for cell in family], margin=plan["margin"]), strict=True)
    )
    # Where a training never came to a validation, its weights are those that it began with.
    for cell in family:
        lost = [run for run in (*runs.cells[cell], *runs.reference(cell)) if _unlearnt(run)]
        if lost:
            judged[cell] = dataclasses.replace(
                judged[cell],
                word="undecided",
                settles=f"{len(lost)} of its runs diverged before they learnt anything; give lower rates",
            )
    context = breadth.Context(
        runs,
        macro,
        sizes,
        family,
        plan["margin"],
        LEVEL,
        RESAMPLES,
        stream,
        plan.get("specificity", SPECIFICITY),
    )
    statements = breadth.per_target(context)
    findings: dict[str, Any] = {
        "title": f"Fine-tune or train from scratch: {plan['name']}",
        "answer": [],
        "sentence": "",
        "study": asked(study),
        "margin": plan["margin"],
        "level": LEVEL,
        "downstreams": downstreams,
        "upstreams": [row for origin in study.description["upstreams"] for row in _upstreams(origin, runs)],
        "protocol": protocol(study),
        "cells": [
            {**_cell(cell, done, sizes), **_alone(done, macro[cell.downstream], stream)}
            for cell, done in runs.cells.items()
        ],
        "contrasts": [
            {
                **_contrast(cell, interval, "scratch", sizes),
                "primary": cell in judged,
                "verdict": dataclasses.asdict(judged[cell]) if cell in judged else None,
                "seed_tests": _seed_tests(interval, runs.cells[cell]),
            }
            for cell, interval in intervals.items()
        ],
        "baselines": [
            {
                "downstream": cell.downstream,
                "name": cell.network,
                **_size(cell, sizes),
                "auroc": _mean([run.macro("auroc") for run in done]),
                "auroc_sd": _sd([run.macro("auroc") for run in done]),
                "seeds": len(done),
            }
            for cell, done in runs.baselines.items()
        ],
        "against_baselines": [
            _contrast(
                cell,
                _interval(done, runs.baselines[beyond], macro[cell.downstream], stream),
                beyond.network,
                sizes,
            )
            for cell, done in runs.cells.items()
            for beyond in runs.baselines
            if (beyond.downstream, beyond.n) == (cell.downstream, cell.n)
        ],
        "per_target": statements,
        "subgroups": breadth.in_subgroups(context, study),
        "operating": breadth.at_operating_points(context),
        "gains": gains(context),
        "curves": breadth.curves(context),
        "convergence": convergences(context),
        "calibration": breadth.calibrations(context),
        "negative_transfer": breadth.negative(context, statements),
        "noise_ceiling": breadth.ceilings(study, context),
        "tuning": [row for cell, done in runs.cells.items() for row in _searched(cell, done, sizes)],
        "cost": costs.cost(runs, sizes, study.description["upstreams"]),
        "audit": _kept(study, "audit.json"),
        "disagreements": _kept(study, "disagreements.json") or [],
        "paper": beside_sound(study, beside, runs),
        "notes": notes(study, runs),
    }
    weak = below_baselines(findings["against_baselines"])
    findings["notes"] = [*([weak] if weak else []), *findings["notes"]]
    findings["answer"] = list(answer(findings))
    findings["sentence"] = " ".join(findings["answer"]).strip()
    found = recommend(findings)
    findings["recommendation"] = None if found is None else dataclasses.asdict(found)
    # What is returned is what will be read again, and NaN is noticed here.
    told: dict[str, Any] = json.loads(json.dumps(findings, allow_nan=False))
    return told


def _unlearnt(run: Done) -> bool:
    search = run.result.get("search", [])
    return bool(search) and all(item["validation_loss"] is None for item in search) and _by_validation(run)


def _by_validation(run: Done) -> bool:
    return run.spec.protocol == "sound"


def _sizes(runs: Gathered) -> dict[tuple[str, int | None], int]:
    """Return the labels behind each size; for 'all' the median over seeds, whose test parts differ."""
    used: dict[tuple[str, int | None], list[int]] = {}
    for cell, done in (*runs.cells.items(), *runs.baselines.items()):
        used.setdefault((cell.downstream, cell.n), []).extend(run.labels_used for run in done)
    return {key: int(np.median(values)) for key, values in used.items()}


def _cell_of(contrast: Contrast) -> Cell:
    return Cell(contrast.downstream, contrast.network, contrast.upstream, contrast.arm, contrast.n)


def _size(cell: Cell, sizes: Sizes) -> Row:
    return {"n": sizes[cell.downstream, cell.n], "n_is_all": cell.n is None}


def _named(cell: Cell, sizes: Sizes) -> Row:
    return {
        "downstream": cell.downstream,
        "network": cell.network,
        "upstream": cell.upstream,
        "arm": cell.arm,
        **_size(cell, sizes),
    }


def _interval(runs: Sequence[Done], others: Sequence[Done], targets: Sequence[str], stream: int) -> Interval:
    """Return the paired difference between the runs of a cell and those of another."""
    return paired_difference(paired(runs, others, targets), resamples=RESAMPLES, level=LEVEL, seed=stream)


def _upstreams(origin: Row, runs: Gathered) -> list[Row]:
    """Return a row per downstream that a start serves."""
    made = runs.pretrainings.get((origin["name"], origin["network"]), [])
    scores = [run.macro("auroc") for run in made]
    return [
        {
            "name": origin["name"],
            "network": origin["network"],
            "downstream": downstream,
            "task": origin["task"],
            "records": made[0].labels_used if made else origin["records"],
            "auroc": _mean(scores) if made else origin["auroc"],
            "auroc_per_seed": scores,
            "seconds": round(sum(run.measured["seconds"] for run in made), 1) if made else None,
            "seeds": len(origin["starts"]),
            "downloaded": origin["downloaded"],
            "left_out": origin["left_out"],
            "overlap_sought": origin["overlap_sought"],
            # The published protocol has its own training, and says so elsewhere.
            "training": _pretraining(made[0].spec) if made and _by_validation(made[0]) else None,
        }
        for downstream in origin["downstreams"]
    ]


def _pretraining(spec: RunSpec) -> Row:
    return {
        "updates": spec.budget.updates,
        "batch_size": spec.budget.batch_size,
        "learning_rate": spec.rates[0],
        "flip": spec.budget.augment.polarity_flip,
    }


def _cell(cell: Cell, runs: Sequence[Done], sizes: Sizes) -> Row:
    values = {name: [run.macro(key) for run in runs] for name, key in MACRO_METRICS.items()}
    rates = [run.result["learning_rate"] for run in runs if "learning_rate" in run.result]
    best = [run.result["best_update"] for run in runs if "best_update" in run.result]
    return {
        **_named(cell, sizes),
        "seeds": len({run.spec.seed for run in runs}),
        "pretraining_seeds": len({run.pretraining_seed for run in runs} - {None}),
        # Where each run chose its own on its own labels, the middle one.
        "learning_rate": float(np.median(rates)) if rates else None,
        **{name: _mean(column) for name, column in values.items()},
        "auroc_sd": _sd(values["auroc"]),
        "auroc_per_seed": values["auroc"],
        "seconds": float(np.median([run.measured["seconds"] for run in runs])),
        "validation_loss": _mean([run.result["validation_loss"] for run in runs]),
        "updates": runs[0].spec.budget.updates if runs[0].spec.rates else 0,
        "best_update": float(np.median(best)) if best else None,
        "diverged": sum(run.result.get("diverged_at") is not None for run in runs),
    }


def _alone(runs: Sequence[Done], targets: Sequence[str], stream: int) -> Row:
    """Return the interval of an arm's own macro AUROC."""
    found = arm_auroc(singles(runs, targets), resamples=RESAMPLES, level=LEVEL, seed=stream)
    return {"auroc_low": found.low, "auroc_high": found.high}


def _contrast(cell: Cell, interval: Interval, reference: str, sizes: Sizes) -> Row:
    return {
        **_named(cell, sizes),
        "reference": reference,
        **{name: value for name, value in dataclasses.asdict(interval).items() if name not in _RENAMED},
        **{short: getattr(interval, name) for name, short in _RENAMED.items()},
        "per_seed": list(interval.per_seed),
        "seeds": list(interval.seeds),
    }


def _seed_tests(interval: Interval, runs: Sequence[Done]) -> Row:
    """Return the tests over seeds that others report; Nadeau and Bengio's where runs had all labels."""
    ratio = None
    if runs[0].spec.n is None:
        ratio = float(np.mean([len(run.test.record_id) / run.labels_used for run in runs]))
    return dict(seed_tests(interval.per_seed, test_to_train=ratio))


def _searched(cell: Cell, runs: Sequence[Done], sizes: Sizes) -> list[Row]:
    """Return for each rate the mean validation loss where it was tried, and how many runs chose it."""
    if len(runs[0].spec.rates) < 2:
        return []
    rows = []
    tuned = runs[0].result.get("tuning")
    for rate in runs[0].spec.rates:
        if tuned is not None:
            tried = [next(item for item in tuned if item["rate"] == rate)]
        else:
            tried = [next(item for item in run.result["search"] if item["rate"] == rate) for run in runs]
        rows.append(
            {
                **_named(cell, sizes),
                "rate": rate,
                "validation_loss": _mean([item["validation_loss"] for item in tried]),
                "diverged": sum(item["validation_loss"] is None for item in tried),
                "chosen": sum(run.result["learning_rate"] == rate for run in runs),
                "runs": len(runs),
                "by": counted(tuned[0]["runs"], "tuning seed") if tuned else "each run",
            }
        )
    return rows


def _kept(study: Study, name: str) -> Any:
    path = study.path / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _over_known(function: Callable[[Sequence[float]], Any], values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    # A mean over the seeds that happen to have a value would be a mean over the easy ones.
    value = function(known) if known and len(known) == len(values) else None
    return None if value is None else float(value)


def _mean(values: Sequence[float | None]) -> float | None:
    return _over_known(np.mean, values)


def _sd(values: Sequence[float | None]) -> float | None:
    return _over_known(lambda known: np.std(known, ddof=1) if len(known) > 1 else None, values)


__all__ = ["summarise"]
