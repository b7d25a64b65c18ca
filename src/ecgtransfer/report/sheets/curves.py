"""Tables of learning curves: where scratch catches up, labels saved, means over seeds, baselines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ecgtransfer.report.sheets.columns import (
    KEYS,
    banded,
    figure,
    ordered,
    place,
    rate,
    seeds,
    span,
    where,
    whole,
)
from ecgtransfer.report.sheets.table import Column, Row, Sheet
from ecgtransfer.report.view import Evidence, difference, duration, number, share, size_label
from ecgtransfer.study.plans.plan import SPECIFICITY

_MEASURES = (
    ("AUPRC", "auprc"), ("F1", "f1"), ("Brier", "brier"), ("ECE, mean of targets", "ece"),
    ("sensitivity", "sensitivity"),
)  # fmt: skip


def curves(evidence: Evidence) -> Iterable[Sheet]:
    """Return what is read off the learning curves."""
    rows = evidence.get("curves", [])

    def each(name: str) -> list[Row]:
        return [{**_line(row), **item} for row in rows for item in row[name]]

    line = place(evidence, sized=False)
    labels = (*line, Column("labels", lambda row: number(row["n"])))
    yield Sheet(
        "catch_up",
        "Where training from scratch catches up",
        (*line, Column("scratch catches up", lambda row: row["text"], words=True)),
        [{**_line(row), **row["catch_up"]} for row in rows],
        f"Catching up: the difference falls below {evidence.get('margin', 0.01):g} AUROC. Between sizes it "
        "is interpolated; beyond the largest, up to twice it, two forms of curve have to agree.",
    )
    yield Sheet(
        "labels_saved",
        "Labels saved",
        (
            *labels,
            Column("saved", lambda row: whole(row["saved"])),
            Column("interval", lambda row: span(row["low"], row["high"])),
            Column("in words", lambda row: row["text"], words=True),
        ),
        each("labels_saved"),
        "How many labels more scratch would need for the same macro AUROC.",
    )
    yield Sheet(
        "transferred",
        "Effective data transferred",
        (
            *labels,
            Column("acts as", lambda row: whole(row["effective"])),
            Column("interval", lambda row: span(row["low"], row["high"])),
            Column("share transferred", lambda row: share(row["share"])),
            Column("in words", lambda row: row["text"], words=True),
        ),
        each("transferred"),
        "The labels that training from scratch would need, and the share of them that the pre-training "
        "stands for.",
    )
    yield Sheet(
        "learning_curves",
        "Learning curves with their bands",
        (
            *labels,
            Column("macro AUROC", lambda row: banded(row["arm_auroc"])),
            Column("from scratch", lambda row: banded(row["scratch_auroc"])),
            Column("difference", lambda row: difference(_named(row["difference"]))),
        ),
        [
            {**_line(row), "n": n, "arm_auroc": arm, "scratch_auroc": reference, "difference": apart}
            for row in rows
            for n, arm, reference, apart in zip(
                *(row[key] for key in ("sizes", "arm_band", "reference_band", "difference_band")), strict=True
            )
        ],
    )


def means(evidence: Evidence) -> Iterable[Sheet]:
    """Return the means over seeds, every seed, and the baselines."""
    cells = ordered(evidence.get("cells", []))
    yield Sheet(
        "means",
        "Means over seeds",
        (
            *place(evidence),
            Column("seeds", seeds),
            Column("AUROC", figure("auroc")),
            Column("SD", figure("auroc_sd")),
            *(Column(head, figure(key)) for head, key in _MEASURES),
            Column("learning rate", lambda row: rate(row["learning_rate"])),
            Column("updates", figure("updates")),
            Column("time per run", lambda row: duration(row["seconds"])),
            Column("diverged", figure("diverged")),
        ),
        cells,
        f"Macro means on the test part; F1, and sensitivity at a specificity of {SPECIFICITY:g}, at "
        "thresholds of the validation part.",
    )
    yield Sheet(
        "seeds",
        "Macro AUROC of every run",
        (
            *place(evidence),
            Column("run", figure("run")),
            Column("macro AUROC", lambda row: number(row["auroc"], 4)),
        ),
        [
            {k: cell[k] for k in KEYS} | {"run": run, "auroc": auroc}
            for cell in cells
            for run, auroc in enumerate(cell.get("auroc_per_seed") or [])
        ],
    )
    yield Sheet(
        "baselines",
        "Baselines without a network",
        (
            *where(evidence),
            Column("baseline", lambda row: row["name"], words=True),
            Column("labels", size_label),
            Column("macro AUROC", figure("auroc")),
            Column("seeds", figure("seeds")),
        ),
        evidence.get("baselines", []),
    )
    yield Sheet(
        "against_baselines",
        "Networks against the baselines",
        (
            *place(evidence),
            Column("baseline", lambda row: row["reference"], words=True),
            Column("difference in macro AUROC", difference),
        ),
        evidence.get("against_baselines", []),
        "A network whose interval does not lie above zero is not shown to beat the baseline.",
    )


def _line(row: Row) -> dict[str, Any]:
    return {key: row[key] for key in KEYS[:4]}


def _named(band: Row) -> Row:
    return {**band, "difference": band["mean"]}
