"""Tables of what went in: recordings, pre-trained networks, settings; and the published protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecgtransfer.report.sheets.columns import NONE, figure, place, rate, where
from ecgtransfer.report.sheets.table import Column, Sheet
from ecgtransfer.report.view import Evidence, difference, duration, number, share


def data(evidence: Evidence) -> Iterable[Sheet]:
    """Return the recordings, the pre-trained networks, and what labels allow."""
    yield Sheet(
        "disagreements",
        "ECGs on which the two models disagree",
        (
            *place(evidence),
            Column("record", lambda row: str(row["record_id"]), words=True),
            Column("statement", lambda row: row["target"], words=True),
            Column("label", lambda row: {1: "present", 0: "absent"}.get(row["label"], "unknown"), words=True),
            Column("probability", lambda row: number(row["arm_probability"], 2)),
            Column("from scratch", lambda row: number(row["reference_probability"], 2)),
        ),
        [{k: v for k, v in row.items() if k != "signal"} for row in evidence.get("disagreements", [])],
    )
    yield Sheet(
        "recordings",
        "Recordings",
        (
            Column("recordings", lambda row: row["name"], words=True),
            Column("task", lambda row: row["task"], words=True),
            Column("records", figure("records")),
            Column("patients", lambda row: number(row["patients"]) if row["patients_known"] else "unknown"),
            Column("leads", lambda row: leads_in_words(row["leads"]), words=True),
            Column("rate", lambda row: f"{row['sampling_rate']:g} Hz"),
            Column("duplicate pairs", figure("duplicate_pairs")),
            Column("macro mean over", lambda row: ", ".join(row["macro_targets"]), words=True),
            Column("licence", lambda row: row.get("licence") or NONE, words=True),
        ),
        evidence.get("downstreams", []),
    )
    yield Sheet(
        "left_out",
        "Targets left out of the macro mean",
        (
            Column("recordings", lambda row: row["downstream"], words=True),
            Column("target", lambda row: row["target"], words=True),
            Column("why", lambda row: row["why"], words=True),
        ),
        [
            {"downstream": d["name"]} | dict(item)
            for d in evidence.get("downstreams", [])
            for item in d["left_out"]
        ],
    )
    yield Sheet(
        "upstreams",
        "Pre-trained networks",
        (
            Column("pre-trained on", lambda row: row["name"], words=True),
            Column("network", lambda row: row["network"], words=True),
            Column("for", lambda row: row["downstream"], words=True),
            Column("task", lambda row: row["task"] or NONE, words=True),
            Column("records", figure("records")),
            Column("macro AUROC there", figure("auroc")),
            Column("time", lambda row: "downloaded" if row["downloaded"] else duration(row["seconds"])),
            Column("seeds", figure("seeds")),
            Column("in both", lambda row: row["left_out"], words=True),
        ),
        evidence.get("upstreams", []),
    )
    yield Sheet(
        "noise_ceiling",
        "How far labels agree with themselves",
        (
            *where(evidence),
            Column("statement", lambda row: row["target"] or "all", words=True),
            Column("from", lambda row: str(row["basis"]), words=True),
            Column("pairs", figure("pairs")),
            Column("agreement", lambda row: share(row["agreement"])),
            Column("ceiling of AUROC", figure("ceiling_auroc")),
            Column("in words", lambda row: row["text"], words=True),
        ),
        evidence.get("noise_ceiling", []),
    )


def settings(evidence: Evidence) -> Iterable[Sheet]:
    """Return the rates tried, the published protocol, and the settings."""
    yield Sheet(
        "tuning",
        "Learning rates tried",
        (
            *place(evidence),
            Column("rate", lambda row: rate(row["rate"])),
            Column("validation loss", lambda row: number(row["validation_loss"], 4)),
            Column("chosen", lambda row: f"{row['chosen']} of {row['runs']}"),
            Column("diverged", figure("diverged")),
        ),
        evidence.get("tuning", []),
    )
    yield Sheet(
        "published",
        "The published protocol beside this one",
        (
            *place(evidence),
            Column("as published", figure("reported")),
            Column("last epoch", figure("last")),
            Column("cross-fitted", figure("crossfitted")),
            Column("this protocol", figure("sound")),
            Column(
                "inflation",
                lambda row: difference(
                    {
                        "difference": row["inflation"],
                        "low": row["inflation_low"],
                        "high": row["inflation_high"],
                    }
                ),
            ),
            Column("runs", figure("runs")),
        ),
        [{"n_is_all": False} | dict(row) for row in (evidence.get("paper") or {}).get("rows", [])],
        "The score is that of the published study: F1 weighted by the positives. As published: of the best "
        "epoch by the test part itself. Inflation: what that choice adds.",
    )
    yield Sheet(
        "settings",
        "Settings",
        (
            Column("setting", lambda row: row["setting"], words=True),
            Column("value", lambda row: row["value"], words=True),
        ),
        [{"setting": key, "value": setting(value)} for key, value in evidence.get("protocol", {}).items()],
    )


def setting(value: Any) -> str:
    """Return a setting's value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {setting(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def leads_phrase(leads: Sequence[str]) -> str:
    """Return ``lead I`` or ``12 leads (I to V6)``, within a sentence."""
    if len(leads) == 1:
        return f"lead {leads[0]}"
    if len(leads) <= 3:
        return f"leads {', '.join(leads)}"
    return f"{len(leads)} leads ({leads[0]} to {leads[-1]})"


def leads_in_words(leads: Sequence[str]) -> str:
    """Return ``I`` or ``12: I to V6``."""
    return ", ".join(leads) if len(leads) <= 3 else f"{len(leads)}: {leads[0]} to {leads[-1]}"
