"""The comparison as tables: on the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from ecgtransfer.report.view import (
    REFERENCE,
    Comparison,
    Evidence,
    Row,
    comparisons,
    difference,
    duration,
    number,
    unique,
    verdict,
)


def comparison_table(evidence: Evidence) -> list[Table]:
    """Return a terminal table for each network and upstream – sizes down, arms across – and the baselines.

    Each cell has the mean macro AUROC ± its standard deviation over seeds, and below it the difference to
    scratch with its interval. Four arms fit into 100 columns.
    """
    tables = [_terminal(comparison, _level(evidence)) for comparison in comparisons(evidence)]
    baselines = evidence.get("baselines", [])
    if baselines:
        table = Table(title="Baselines without a network", title_justify="left")
        names = unique(item["name"] for item in baselines)
        for column in ("n", *names):
            table.add_column(column, justify="right")
        for n in unique(item["n"] for item in baselines):
            values = {item["name"]: item["auroc"] for item in baselines if item["n"] == n}
            table.add_row(number(n), *(number(values.get(name)) for name in names))
        tables.append(table)
    return tables


def result_table(result: Mapping[str, Any]) -> Table:
    """Return a terminal table of one run's metrics per target, from the ``result`` of a run or evaluation."""
    test = result["test"]
    specificity = f"sens. at {test['specificity']:.0%} spec."
    table = Table(caption="thresholds of F1 and sensitivity were chosen on the validation part")
    table.add_column("target")
    for column in ("positives", "AUROC", "AUPRC", "F1", specificity, "Brier", "ECE"):
        table.add_column(column, justify="right")
    keys = ("auroc", "auprc", "f1", "sensitivity_at_specificity", "brier", "ece")
    for name, row in test["targets"].items():
        table.add_row(
            name,
            f"{row['positives']} of {row['positives'] + row['negatives']}",
            *map(number, (row[key] for key in keys)),
        )
    macro = test["macro"]
    table.add_section()
    table.add_row(f"macro of {len(macro['targets'])}", "", *map(number, (macro[key] for key in keys)))
    others = [name for name in test["targets"] if name not in macro["targets"]]
    if others:
        table.caption = f"{table.caption}; too few positives or negatives for the macro: {', '.join(others)}"
    return table


def remarks(result: Mapping[str, Any]) -> list[str]:
    """Return what a reader of one run's table must not miss: divergence, and why a macro is missing."""
    lines = []
    if result.get("diverged_at") is not None:
        kept = f"the weights after update {result['best_update']}" if result["best_update"] else "the start"
        lines.append(
            f"Training diverged at update {result['diverged_at']}: this model has {kept}. "
            "Give a lower --learning-rate."
        )
    macro = result["test"]["macro"]
    reasons = unique(str(why) for why in macro["why"].values())
    if macro["auroc"] is None and reasons:
        lines.append(f"No macro AUROC: {reasons[0]}.")
    return lines


def markdown(evidence: Evidence) -> str:
    """Return the whole evidence as Markdown: the answer, the comparisons, baselines, settings and notes."""
    parts = [f"# {_plain(evidence['title'])}", str(evidence["sentence"]), describe_downstream(evidence)]
    level = _level(evidence)
    for comparison in comparisons(evidence):
        rows = [
            [
                row.label,
                *("<br>".join(filter(None, _lines(row, arm))) for arm in comparison.arms),
                _seeds(row),
            ]
            for row in comparison.rows
        ]
        parts.append(f"## {_plain(comparison.title)}")
        parts.append(_pipe(["n", *comparison.arms, "seeds"], rows))
        parts.append(
            "Macro AUROC, mean ± standard deviation over seeds; below it the difference to scratch with its "
            f"{level} interval over patients and seeds, and the verdict where the plan named the contrast."
        )
    if evidence.get("baselines"):
        rows = [
            [b["name"], number(b["n"]), number(b["auroc"]), number(b["seeds"])] for b in evidence["baselines"]
        ]
        parts += ["## Baselines without a network", _pipe(["baseline", "n", "macro AUROC", "seeds"], rows)]
    if evidence.get("against_baselines"):
        rows = [
            [c["network"], c["arm"], number(c["n"]), c["reference"], difference(c)]
            for c in evidence["against_baselines"]
        ]
        header = ["network", "arm", "n", "baseline", "difference in macro AUROC"]
        parts += ["## Networks against the baselines", _pipe(header, rows)]
    if evidence.get("left_out"):
        rows = [[item["target"], item["why"]] for item in evidence["left_out"]]
        parts += ["## Targets left out of the macro mean", _pipe(["target", "why"], rows)]
    if evidence.get("cost"):
        parts += ["## Cost", _pipe(["what", "value"], [list(pair) for pair in cost_rows(evidence)])]
    rows = [[key, value] for key, value in evidence.get("protocol", {}).items()]
    if rows:
        parts += ["## Settings", _pipe(["setting", "value"], rows)]
    notes = report_notes(evidence)
    if notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def describe_downstream(evidence: Evidence) -> str:
    """Return one sentence: which recordings the answer is about and where the pre-training came from."""
    down = evidence["downstream"]
    people = f"{number(down['patients'])} patients"
    if not down["patients_known"]:
        people = "patients not known, so each record counts as its own"
    leads = down["leads"]
    leads = (
        f"{leads} leads"
        if isinstance(leads, int)
        else ("lead " if len(leads) == 1 else "leads ") + ", ".join(leads)
    )
    text = (
        f"Downstream: {down['name']}, task {down['task']}, {number(down['records'])} records ({people}), "
        f"{leads} at {down['sampling_rate']:g} Hz."
    )
    sources = [
        f"{up['name']} ({up['task']}, {number(up['records'])} records)"
        for up in evidence.get("upstreams", [])
    ]
    return text + (f" Pre-trained on: {'; '.join(sources)}." if sources else "")


def cost_rows(evidence: Evidence) -> list[tuple[str, str]]:
    """Return what the study took, as pairs of words and figures."""
    return [
        (key.removesuffix("_seconds").replace("_", " ") + " (time)", duration(value))
        if key.endswith("_seconds")
        else (key.replace("_", " "), number(value))
        for key, value in (evidence.get("cost") or {}).items()
    ]


def report_notes(evidence: Evidence) -> list[str]:
    """Return the notes of the evidence, and those of its intervals with the places they concern."""
    notes = [str(note) for note in evidence.get("notes", [])]
    of_intervals: dict[str, list[str]] = {}
    for contrast in evidence.get("contrasts", []):
        for note in filter(None, str(contrast.get("note") or "").split("; ")):
            size = "all" if contrast["n_is_all"] else contrast["n"]
            of_intervals.setdefault(note, []).append(f"{contrast['network']} {contrast['arm']} n={size}")
    total = len(evidence.get("contrasts", []))
    for note, places in of_intervals.items():
        where = ", ".join(unique(places)) if len(places) <= 4 else f"{len(places)} of {total} intervals"
        notes.append(f"{where}: {note}")
    return notes


def _terminal(comparison: Comparison, level: str) -> Table:
    caption = f"macro AUROC ± SD over seeds; difference to scratch ({level} interval over patients and seeds)"
    caption += "; verdict where the plan named the contrast"
    table = Table(title=comparison.title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("n", justify="right", no_wrap=True)
    for arm in comparison.arms:
        table.add_column(arm, justify="left", overflow="fold")
    table.add_column("seeds", justify="right", no_wrap=True)
    for row in comparison.rows:
        cells = ["\n".join(filter(None, _lines(row, arm))) for arm in comparison.arms]
        table.add_row(row.label.replace("all ", "all\n"), *cells, _seeds(row))
    return table


def _lines(row: Row, arm: str) -> tuple[str, ...]:
    cell = row.cells.get(arm)
    if cell is None:
        return ("",)
    mean = number(cell["auroc"])
    spread = number(cell["auroc_sd"])
    value = mean if spread == number(None) else f"{mean} ± {spread}"
    if arm == REFERENCE:
        return (value,)
    return value, difference(row.contrasts.get(arm)), verdict(row.contrasts.get(arm))


def _seeds(row: Row) -> str:
    return "/".join(unique(str(cell["seeds"]) for cell in row.cells.values()))


def _level(evidence: Evidence) -> str:
    levels = unique(f"{100 * contrast['level']:g} %" for contrast in evidence.get("contrasts", []))
    return "/".join(levels) or "95 %"


def _pipe(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_plain(value) for value in line) + " |" for line in lines)


def _plain(value: object) -> str:
    """Return text that stays within its table cell or heading."""
    return str(value).replace("|", "\\|").replace("\n", " ")
