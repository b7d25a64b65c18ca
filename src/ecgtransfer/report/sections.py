"""What the page needs beyond charts and tables: why something is missing, the ECGs, the audit in short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecgtransfer.report.ecg_paper import draw_ecg
from ecgtransfer.report.view import (
    ARMS,
    Evidence,
    arm_label,
    comparisons,
    duration,
    level,
    missing,
    number,
    ordered_arms,
    size_label,
    unique,
)

# Twelve leads stand in two columns of five seconds, the usual print; few leads have ten.
_FEW_LEADS, _SHORT_S, _LONG_S = 3, 5.0, 10.0
MOST_DRAWN = 12


def reasons(evidence: Evidence) -> dict[str, str]:
    """Return for each section that has nothing to show one sentence that says why."""
    sizes = {row.n for panel in comparisons(evidence) for row in panel.rows}
    only = "" if not sizes else f" ({number(min(sizes))} labels)"
    nothing = "Only training from scratch was run: there is nothing to compare it with."
    contrasts = evidence.get("contrasts", [])
    notes = sorted({str(row["note"]) for row in contrasts if row.get("note")})
    return {
        "verdicts": nothing
        if not contrasts
        else "The plan named no contrast: all intervals are exploratory.",
        "curves": "No runs, no curve."
        if not sizes
        else f"One size only was run{only}, so there is no learning curve; give several sizes for one.",
        "forest": nothing
        if not contrasts
        else f"No difference could be estimated: {'; '.join(notes) or 'the reason is not known'}.",
        "convergence": "The plan has no smaller budgets, so how soon each arm converges was not measured.",
        "cost": "What the runs cost was not recorded.",
        "calibration": "No predictions were kept to judge the calibration by.",
        "disagreements": "There is no recording on which the two models are on different sides of one half, "
        "or none was kept.",
        "settings": "The settings were not recorded.",
        "audit": "The recordings were not audited with this study; ecgtransfer audit does it.",
    }


def disagreements(evidence: Evidence) -> list[dict[str, Any]]:
    """Return the recordings on which the models disagree, with drawings of those whose signals are there.

    Returns
    -------
    list of dict
        ``title``, ``says`` and ``svg`` (None without a signal), at most `MOST_DRAWN` of them per downstream.
    """
    shown: Counter[str] = Counter()
    found = []
    for place, row in enumerate(evidence.get("disagreements", [])):
        shown[row["downstream"]] += 1
        if shown[row["downstream"]] > MOST_DRAWN:
            continue
        several = len(evidence.get("downstreams", [])) > 1
        origin = f", pre-trained on {row['upstream']}" if row["upstream"] else ""
        found.append(
            {
                "title": f"{row['record_id']}" + (f" ({row['downstream']})" if several else ""),
                "says": _says(row),
                "model": f"{row['network']}{origin}, n = {size_label(row)}",
                "svg": _drawn(row, f"ecg-{place}") if row.get("signal") else None,
            }
        )
    return found


def audit_counts(audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how many findings of each kind the audit has."""
    flags = Counter(flag["flag"] for flag in audit.get("flags", []))
    confounding = audit.get("confounding") or {}
    rows: list[tuple[str, Sequence[Any]]] = [
        ("pairs of records that are the same ECG", audit.get("duplicates", [])),
        ("the same ECG under two patients", audit.get("one_ecg_two_patients", [])),
        ("patients with records in two stores", audit.get("patients_in_two_stores", [])),
        ("duplicates whose labels disagree", audit.get("label_disagreement", [])),
        ("statements with few positives or negatives", audit.get("few_positives", [])),
        ("statements that go with their origin", confounding.get("statements", [])),
    ]
    counted = [(what, number(len(items))) for what, items in rows]
    return counted + [(f"flag: {kind}", number(count)) for kind, count in sorted(flags.items())]


def arms(evidence: Evidence) -> list[tuple[str, str]]:
    """Return the arms of the study with what each is."""
    names = ordered_arms(cell["arm"] for cell in evidence.get("cells", []))
    return [(name, ARMS.get(name, "")) for name in names]


def bands_text(evidence: Evidence) -> str:
    """Say what the bands of the learning curves are."""
    spread = "one standard deviation over seeds to either side, which is no interval of the mean"
    if not evidence.get("curves"):
        return f"Bands: {spread}."
    levels = unique(row.get("level", evidence.get("level", 0.95)) for row in evidence["curves"])
    return (
        f"Bands: {'/'.join(level(value) for value in levels)} intervals over patients and seeds; where an "
        f"arm has none, {spread}."
    )


def negative_text(evidence: Evidence) -> str:
    """Say for how many statements pre-training seems to harm, and how many would by chance."""
    rows = evidence.get("negative_transfer", [])
    estimated = [
        row
        for row in evidence.get("per_target", [])
        if not missing(row["difference"]) and row["upstream"] is not None
    ]
    if not estimated:
        return ""
    intervals = [row for row in estimated if not missing(row["high"])]
    below = sum(row["high"] < 0 for row in intervals)
    chance = (1 - evidence.get("level", 0.95)) / 2 * len(intervals)
    hint, lie = "hints" if len(rows) == 1 else "hint", "lies" if below == 1 else "lie"
    return (
        f"Exploratory: of {number(len(estimated))} differences by statement, arm and size "
        f"{number(len(rows))} {hint} at harm; of {number(len(intervals))} intervals {number(below)} "
        f"{lie} below zero, where about {chance:.{1 if chance < 10 else 0}f} would by chance."
    )


def totals(evidence: Evidence) -> str:
    """Say what the whole study took."""
    cost = evidence.get("cost") or {}
    if missing(cost.get("total_seconds")):
        return ""
    return (
        f"The study's {number(cost['runs'])} runs ({number(cost['trainings'])} trainings) took "
        f"{duration(cost['total_seconds'])} of computing in all."
    )


def power(evidence: Evidence) -> str:
    """Say where the energy comes from."""
    note = str((evidence.get("cost") or {}).get("power_note") or "").rstrip(".")
    return f"{note[:1].upper()}{note[1:]}." if note else ""


def _says(row: Mapping[str, Any]) -> str:
    arm, reference = (row[key] for key in ("arm_probability", "reference_probability"))
    state = {1: "present", 0: "absent"}.get(row["label"], "unknown")
    text = (
        f"{row['target']} is {state} by its label; the probability is {number(arm, 2)} "
        f"{arm_label(row['arm'])} and {number(reference, 2)} from scratch"
    )
    if row["label"] not in (0, 1):
        return f"{text}."
    nearer = abs(row["label"] - arm) < abs(row["label"] - reference)
    return f"{text}: {arm_label(row['arm']) if nearer else 'from scratch'} is nearer to the label."


def _drawn(row: Mapping[str, Any], name: str) -> str:
    signal = np.asarray(row["signal"], dtype=np.float64) / 1000.0
    leads, rate = list(row["leads"]), float(row["sampling_rate"])
    few = len(leads) <= _FEW_LEADS
    part = signal[:, : round((_LONG_S if few else _SHORT_S) * rate)]
    title = f"ECG of record {row['record_id']}: {_says(row)}"
    return draw_ecg(part, rate, leads, name=name, title=title, columns=1 if few else 2)
