"""Tables of what trainings take and give: convergence, cost, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ecgtransfer.report.sheets.columns import (
    EXPLORATORY,
    KEYS,
    NONE,
    banded,
    energy,
    figure,
    ordered,
    place,
    span,
    whole,
)
from ecgtransfer.report.sheets.table import Column, Sheet
from ecgtransfer.report.view import (
    Evidence,
    budget_rows,
    difference,
    duration,
    number,
    ordered_arms,
    scientific,
    share,
)


def convergence(evidence: Evidence) -> Iterable[Sheet]:
    """Return how soon each arm arrives, and what each budget gives."""
    rows = budget_rows(evidence)
    arms = [
        {k: row[k] for k in ("downstream", "network", "upstream", "n", "n_is_all", "target")}
        | {"arm": arm, "own": row["arms"][arm], "ratio": ratio_of(row, arm)}
        for row in rows
        for arm in ordered_arms(row["arms"])
    ]
    yield Sheet(
        "time_to_target",
        "Updates until the validation target is reached",
        (
            *place(evidence),
            Column("target loss", figure("target")),
            Column("median updates", lambda row: whole(row["median_updates"])),
            Column("interval", lambda row: span(row["low"], row["high"])),
            Column("never reached", lambda row: f"{row['censored']} of {row['runs']}"),
            Column("against scratch", lambda row: (row["ratio"] or {}).get("text", "") or NONE, words=True),
        ),
        [
            {k: v for k, v in row.items() if k != "own"}
            | {k: row["own"][k] for k in ("median_updates", "low", "high", "censored", "runs", "text")}
            for row in arms
        ],
        "Runs that never reach the target are treated as censored (Kaplan–Meier), not left out.",
    )
    yield Sheet(
        "convergence",
        "Macro AUROC by budget",
        (
            *place(evidence),
            Column("updates", figure("updates")),
            Column("macro AUROC", lambda row: banded({**row, "mean": row["auroc"]})),
            Column("less scratch", lambda row: difference(row["less_scratch"])),
            Column("reached the target", lambda row: share(row["reached"])),
        ),
        [
            {k: row[k] for k in KEYS}
            | {
                "updates": budget,
                "auroc": row["own"]["auroc"][i],
                "low": row["own"]["auroc_low"][i],
                "high": row["own"]["auroc_high"][i],
                "less_scratch": row["own"]["differences"][i] if "differences" in row["own"] else None,
                "reached": row["own"]["reached"][i],
            }
            for row, budgets in zip(arms, (r["budgets"] for r in rows for _ in r["arms"]), strict=True)
            for i, budget in enumerate(budgets)
        ],
        f"Each budget is a training of its own, with its own schedule. {EXPLORATORY}",
    )


def costs(evidence: Evidence) -> Iterable[Sheet]:
    """Return the break-even, and what pre-training and runs cost."""
    cost = evidence.get("cost") or {}
    yield Sheet(
        "break_even",
        "After how many projects the pre-training has paid for itself",
        (*place(evidence), Column("pays for itself", lambda row: row["text"], words=True)),
        cost.get("break_even", []),
        "The search of the learning rate is included in both arms. The pre-training had one rate, given "
        "beforehand; finding it is not counted.",
    )
    yield Sheet(
        "pretraining",
        "What pre-training costs",
        (
            Column("pre-trained on", lambda row: row["upstream"], words=True),
            Column("network", lambda row: row["network"], words=True),
            Column("operations", lambda row: scientific(row["flops"])),
            Column("time", lambda row: duration(row["seconds"])),
            Column("energy", lambda row: energy(row["energy_wh"])),
            Column("runs", figure("runs")),
        ),
        cost.get("pretraining", []),
        "Operations, time and energy of one pre-training.",
    )
    yield Sheet(
        "cost",
        "What a run costs",
        (
            *place(evidence),
            Column("operations of a training", lambda row: scientific(row["flops_per_training"])),
            Column("trainings in all", figure("trainings")),
            Column("time of a run", lambda row: duration(row["seconds"])),
            Column("energy of a run", lambda row: energy(row["energy_wh"])),
        ),
        ordered(cost.get("rows", [])),
    )


def calibration(evidence: Evidence) -> Iterable[Sheet]:
    """Return scores of calibration, and the bins behind the diagrams."""
    rows = ordered(evidence.get("calibration", []))
    yield Sheet(
        "calibration",
        "Calibration",
        (
            *place(evidence),
            Column("Brier score", figure("brier")),
            Column("ECE, targets pooled", figure("ece")),
            Column("slope", lambda row: number(row["slope"], 2)),
            Column("intercept", lambda row: number(row["intercept"], 2)),
        ),
        rows,
        "Perfect: slope 1, intercept 0. A slope below 1 says that the probabilities are too extreme.",
    )
    yield Sheet(
        "calibration_bins",
        "Predicted probability and observed share",
        (
            *place(evidence),
            Column("predicted", figure("predicted")),
            Column("observed", figure("observed")),
            Column("predictions", figure("count")),
        ),
        [{k: row[k] for k in KEYS} | dict(part) for row in rows for part in row["bins"]],
    )


def ratio_of(row: Mapping[str, Any], arm: str) -> Mapping[str, Any] | None:
    """Return how many times longer scratch takes than an arm: it stands with the arm, or once for the row."""
    own = row["arms"][arm]
    if "ratio" in own:
        found: Mapping[str, Any] | None = own["ratio"]
        return found
    return row.get("ratio") if arm != "scratch" else None
