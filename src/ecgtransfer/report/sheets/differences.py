"""Tables of differences: the verdicts, every contrast, statements, subgroups, operating points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ecgtransfer.report.english import listed
from ecgtransfer.report.sheets.columns import EXPLORATORY, NONE, against_rest, figure, place, seeds, word
from ecgtransfer.report.sheets.table import Column, Row, Sheet
from ecgtransfer.report.view import Evidence, difference, interval, level, number


def judged(evidence: Evidence) -> Iterable[Sheet]:
    """Return the verdicts on the primary family, and every contrast."""
    contrasts = evidence.get("contrasts", [])
    yield Sheet(
        "verdicts",
        "Verdicts on the contrasts that the plan named",
        (
            *place(evidence),
            Column("verdict", lambda row: str(row["verdict"]["word"]), words=True),
            Column("difference in macro AUROC", lambda row: difference({**row, **_bounds(row["verdict"])})),
            Column("level", lambda row: level(row["verdict"]["level"])),
            Column("90 % interval", lambda row: _ninety(row["verdict"])),
            Column("detectable", lambda row: number(row["verdict"]["minimum_detectable"])),
            Column("what would settle it", lambda row: str(row["verdict"]["settles"]) or NONE, words=True),
        ),
        [row for row in contrasts if row.get("verdict")],
        "The interval is adjusted for the number of contrasts (Holm); detectable: the true difference that "
        "this design would call with a probability of 80 %.",
    )
    yield Sheet(
        "differences",
        "Differences to training from scratch",
        (
            *place(evidence),
            Column("difference in macro AUROC", difference),
            Column("level", lambda row: level(row["level"])),
            Column("patients", figure("n_patients")),
            Column("seeds", seeds),
            Column("positives / negatives", _scarcest),
            Column("SD of patients", figure("patient_sd")),
            Column("SD of seeds", figure("seed_sd")),
            Column("note", lambda row: str(row["note"]), words=True),
        ),
        contrasts,
        "Intervals over patients and seeds, each by itself. Positives and negatives: distinct test patients "
        "of the scarcest target.",
    )


def described(evidence: Evidence) -> Iterable[Sheet]:
    """Return the tests over seeds, which decide nothing."""
    yield Sheet(
        "seed_tests",
        "Tests over seeds, which decide nothing",
        (
            *place(evidence),
            Column("seeds", seeds),
            Column("Wilcoxon, p", lambda row: number(row["seed_tests"]["wilcoxon"])),
            Column("Nadeau and Bengio, p", lambda row: number(row["seed_tests"]["nadeau_bengio"])),
        ),
        [row for row in evidence.get("contrasts", []) if row.get("seed_tests")],
        "All seeds are tested on the same patients, and these tests take them for new ones each time: they "
        "find differences where there are none far more often than they say, and describe these patients "
        "alone. The corrected t of Nadeau and Bengio is for runs on all labels.",
    )


def parts(evidence: Evidence) -> Iterable[Sheet]:
    """Return what is exploratory: statements, negative transfer, subgroups, operating points."""
    yield Sheet(
        "statements",
        "Each statement by itself",
        (
            *place(evidence),
            Column("statement", lambda row: row["target"], words=True),
            Column("positives", figure("positives")),
            Column("AUROC", figure("auroc")),
            Column("difference to scratch", difference),
            Column("word", word, words=True),
        ),
        evidence.get("per_target", []),
        EXPLORATORY,
    )
    yield Sheet(
        "gains",
        "Gains compared: between networks, and between few labels and most",
        (
            *place(evidence),
            Column("against", lambda row: row["against"], words=True),
            Column("difference of gains", difference),
            Column("seeds", seeds),
            Column("in words", word, words=True),
        ),
        evidence.get("gains", []),
        "A gain is the difference to scratch of the same network and size; both were tested on the same "
        f"patients at each seed. {EXPLORATORY}",
    )
    yield Sheet(
        "negative_transfer",
        "Negative transfer: statements that pre-training may make worse",
        (
            *place(evidence),
            Column("statement", lambda row: row["target"], words=True),
            Column("difference to scratch", difference),
            Column("why", lambda row: str(row.get("why") or NONE), words=True),
        ),
        evidence.get("negative_transfer", []),
        "Where many statements and sizes are looked at, some intervals lie below zero by chance.",
    )
    yield Sheet(
        "subgroups",
        "Subgroups",
        (
            *place(evidence),
            Column("group", lambda row: f"{row['group']}: {row['value']}", words=True),
            Column("patients", figure("patients")),
            Column("records in a test part, at most", figure("records")),
            Column("statements", lambda row: listed(row["targets"]) or NONE, words=True),
            Column("difference to scratch", difference),
            Column("word", word, words=True),
            Column("against the rest", against_rest),
        ),
        evidence.get("subgroups", []),
        "The mean is over the statements with 10 patients of each class in the group; against the rest, over "
        f"those that the rest can measure too, which may be fewer. {EXPLORATORY}",
    )
    yield Sheet(
        "operating_points",
        "Sensitivity at a fixed specificity",
        (
            *place(evidence),
            Column("statement", lambda row: row["target"], words=True),
            Column("specificity", lambda row: f"{row['specificity']:g}"),
            Column("achieved", figure("achieved_specificity")),
            Column("sensitivity", figure("sensitivity")),
            Column("from scratch", figure("reference_sensitivity")),
            Column("difference", difference),
            Column("word", word, words=True),
        ),
        evidence.get("operating", []),
        f"Thresholds are those of the validation part. {EXPLORATORY}",
    )


def _bounds(verdict: Row) -> dict[str, Any]:
    return {"low": verdict["low"], "high": verdict["high"]}


def _ninety(verdict: Row) -> str:
    return interval(verdict["equivalence_low"], verdict["equivalence_high"])


def _scarcest(row: Row) -> str:
    return f"{number(row.get('positives'))} / {number(row.get('negatives'))}"
