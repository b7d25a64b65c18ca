"""What the columns of several tables have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecgtransfer.report.english import listed
from ecgtransfer.report.sheets.table import Column, Row
from ecgtransfer.report.view import Evidence, arm_label, difference, missing, number, ordered_arms, size_label

KEYS = ("downstream", "network", "upstream", "arm", "n", "n_is_all")
NONE = "\N{EN DASH}"
EXPLORATORY = "Each interval by itself, not adjusted for their number: exploratory."


def where(evidence: Evidence) -> tuple[Column, ...]:
    """Return the column of a downstream's name, where there are several."""
    several = len(evidence.get("downstreams", [])) > 1
    return (Column("recordings", lambda row: row["downstream"], words=True),) if several else ()


def place(evidence: Evidence, *, sized: bool = True) -> tuple[Column, ...]:
    """Return the columns that say which comparison, and at which size, a row belongs to."""
    columns = (
        *where(evidence),
        Column("network", lambda row: row["network"], words=True),
        Column("pre-trained on", lambda row: row["upstream"] or NONE, words=True),
        Column("arm", lambda row: arm_label(row["arm"]), words=True),
    )
    return (*columns, Column("labels", size_label)) if sized else columns


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Return rows by place and size, the reference first: how people compare them."""
    places = list(dict.fromkeys((row["downstream"], row["network"]) for row in rows))
    arms = ordered_arms(row["arm"] for row in rows)
    return sorted(
        rows,
        key=lambda row: (
            places.index((row["downstream"], row["network"])),
            row["n_is_all"],
            row["n"],
            arms.index(row["arm"]),
        ),
    )


def figure(key: str) -> Any:
    """Return what shows a figure of this name with three digits."""
    return lambda row: number(row[key])


def against_rest(row: Row) -> str:
    """Return a subgroup's difference minus that of all others, and over which statements if over fewer."""
    shown = difference(
        {
            "difference": row.get("against_rest"),
            "low": row.get("against_rest_low"),
            "high": row.get("against_rest_high"),
        }
    )
    fewer = row["targets_against_rest"] != row["targets"] and not missing(row.get("against_rest"))
    return f"{shown} over {listed(row['targets_against_rest'])}" if fewer else shown


def word(row: Row) -> str:
    """Return the exploratory word of a row, or why there is none."""
    return row.get("word") or row.get("note") or NONE


def banded(band: Row) -> str:
    """Return a mean with its interval."""
    if missing(band["low"]) or missing(band["high"]):
        return number(band["mean"])
    return f"{number(band['mean'])} ({number(band['low'])} to {number(band['high'])})"


def whole(value: Any) -> str:
    """Return a whole number."""
    return NONE if missing(value) else number(round(value))


def span(low: Any, high: Any) -> str:
    """Return an interval of counts; an open end is said."""
    if missing(low) and missing(high):
        return NONE
    if missing(high):
        return f"at least {whole(low)}"
    return f"at most {whole(high)}" if missing(low) else f"{whole(low)} to {whole(high)}"


def rate(value: Any) -> str:
    """Return a learning rate."""
    return NONE if missing(value) else f"{value:g}"


def energy(value: Any) -> str:
    """Return an energy in Wh."""
    return NONE if missing(value) else f"{number(float(value), 2)} Wh"


def seeds(row: Row) -> str:
    """Return the number of seeds of a contrast or cell, and of pre-trainings where they are crossed."""
    starts = row.get("n_pretraining_seeds") or row.get("pretraining_seeds") or 1
    return number(row["n_seeds"] if "n_seeds" in row else row["seeds"]) + (
        f" × {starts} pre-trainings" if starts > 1 else ""
    )
