"""The comparison as tables: on the terminal and as Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from ecgtransfer.report.methods import methods
from ecgtransfer.report.sheets import Sheet, leads_phrase, pipe, plain, sheets, to_markdown
from ecgtransfer.report.view import (
    REFERENCE,
    Comparison,
    Evidence,
    Row,
    comparisons,
    difference,
    number,
    unique,
    verdict,
)

# What the Markdown report shows besides the comparisons; everything else is in `tables/`.
_SHOWN = (
    "catch_up",
    "time_to_target",
    "break_even",
    "pretraining",
    "calibration",
    "baselines",
    "against_baselines",
    "gains",
    "negative_transfer",
    "noise_ceiling",
    "published",
    "left_out",
    "settings",
)
_MOST = 30


def comparison_table(evidence: Evidence) -> list[Table]:
    """Return a terminal table for each downstream, network and upstream, and the baselines.

    Sizes stand down, arms across. Each cell has the mean macro AUROC ± its standard deviation over seeds,
    and below it the difference to scratch with its interval. Four arms fit into 100 columns.
    """
    tables = [_terminal(comparison, _level(evidence)) for comparison in comparisons(evidence)]
    baselines = evidence.get("baselines", [])
    for downstream in unique(item["downstream"] for item in baselines):
        own = [item for item in baselines if item["downstream"] == downstream]
        several = len({item["downstream"] for item in baselines}) > 1
        title = f"{downstream}: baselines without a network" if several else "Baselines without a network"
        table = Table(title=title, title_justify="left")
        names = unique(item["name"] for item in own)
        for column in ("n", *names):
            table.add_column(column, justify="right")
        for n in unique(item["n"] for item in own):
            values = {item["name"]: item["auroc"] for item in own if item["n"] == n}
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
        table.caption = f"{table.caption}; too scarce over all test parts for the macro: {', '.join(others)}"
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
    """Return the whole evidence as Markdown: answer, verdicts, comparisons, what else there is, and notes."""
    known = sheets(evidence)
    parts = [f"# {plain(evidence['title'])}", str(evidence["sentence"])]
    if known["verdicts"].rows:
        parts += _section(known["verdicts"])
    parts += [describe_downstreams(evidence), describe_study(evidence)]
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
        parts.append(f"## {plain(comparison.title)}")
        parts.append(pipe(["n", *comparison.arms, "seeds"], rows))
        parts.append(
            "Macro AUROC, mean ± standard deviation over seeds; below it the difference to scratch with its "
            f"{level} interval over patients and seeds, and the verdict where the plan named the contrast."
        )
    for name in _SHOWN:
        if known[name].rows:
            parts += _section(known[name])
    notes = report_notes(evidence)
    if notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    parts.append(str(methods(evidence)).replace("# ", "## ", 1).replace("## References", "### References"))
    return "\n\n".join(filter(None, parts)).rstrip() + "\n"


def describe_downstreams(evidence: Evidence) -> str:
    """Return in a few sentences which recordings the answer is about and where the pre-training came from."""
    text = []
    for down in evidence.get("downstreams", []):
        people = f"{number(down['patients'])} patients"
        if not down["patients_known"]:
            people = "patients not known, so each record counts as its own"
        text.append(
            f"Downstream: {down['name']}, task {down['task']}, {number(down['records'])} records ({people}), "
            f"{leads_phrase(down['leads'])} at {down['sampling_rate']:g} Hz."
        )
    sources = unique(
        f"{up['name']} ({up['task']}, {number(up['records'])} records)"
        for up in evidence.get("upstreams", [])
    )
    return " ".join([*text, *([f"Pre-trained on: {'; '.join(sources)}."] if sources else [])])


def describe_study(evidence: Evidence) -> str:
    """Return one sentence: seeds, updates, and under which hash the plan was frozen."""
    study = evidence.get("study") or {}
    parts = [
        f"{number(study[key])} {what}{'s' if study[key] != 1 else ''}"
        for key, what in (("seeds", "seed"), ("pretraining_seeds", "pre-training seed"))
        if study.get(key)
    ]
    if study.get("updates"):
        parts.append(f"{number(study['updates'])} updates per training")
    frozen = f"; the plan was frozen as {str(study['hash'])[:12]}" if study.get("hash") else ""
    return f"{', '.join(parts)}{frozen}." if parts else ""


def report_notes(evidence: Evidence) -> list[str]:
    """Return the notes of the evidence, and those of its intervals with the places they concern."""
    notes = [str(note) for note in evidence.get("notes", [])]
    several = len(evidence.get("downstreams", [])) > 1
    of_intervals: dict[str, list[str]] = {}
    for contrast in evidence.get("contrasts", []):
        for note in filter(None, str(contrast.get("note") or "").split("; ")):
            size = "all" if contrast["n_is_all"] else contrast["n"]
            where = f"{contrast['downstream']} " if several else ""
            of_intervals.setdefault(note, []).append(
                f"{where}{contrast['network']} {contrast['arm']} n={size}"
            )
    total = len(evidence.get("contrasts", []))
    for note, places in of_intervals.items():
        shown = unique(places)
        where = ", ".join(shown) if len(shown) <= 4 else f"{len(places)} of {total} intervals"
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


def _section(sheet: Sheet) -> list[str]:
    """Return a table with its heading; of a long one the first rows, and how many there are."""
    shown = dataclasses.replace(sheet, rows=sheet.rows[:_MOST])
    rest = len(sheet.rows) - _MOST
    more = f"{rest} more rows are in `tables/{sheet.name}.md`. " if rest > 0 else ""
    return [f"## {plain(sheet.title)}", to_markdown(shown), f"{more}{sheet.note}"]
