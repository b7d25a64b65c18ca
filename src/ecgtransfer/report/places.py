"""Where a view of a chart belongs, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecgtransfer.report.spec import GUIDE, Point, Series
from ecgtransfer.report.view import Comparison, Evidence, headline, size_label

PLACE = (("downstream", "Recordings"), ("network", "Network"), ("upstream", "Pre-trained on"))
"""What most charts are chosen by."""

SHOW, SIZE = ("show", "Show"), ("n", "Labels")
NO_UPSTREAM = "nothing"
MACRO = "macro AUROC"


def belongs(row: Mapping[str, Any], panel: Comparison) -> bool:
    """Return whether a row belongs to a panel; those without an upstream stand beside every one."""
    here = (row["downstream"], row["network"]) == (panel.downstream, panel.network)
    return here and row["upstream"] in (None, panel.upstream)


def where(row: Mapping[str, Any]) -> dict[str, str]:
    """Return a row's downstream, network and upstream as a view's place."""
    upstream = NO_UPSTREAM if row["upstream"] is None else row["upstream"]
    return {"downstream": row["downstream"], "network": row["network"], "upstream": upstream}


def where_panel(panel: Comparison) -> dict[str, str]:
    """Return a panel's place."""
    return where({"downstream": panel.downstream, "network": panel.network, "upstream": panel.upstream})


def title(where: Mapping[str, str], evidence: Evidence) -> str:
    """Return what a view at a place is called."""
    several = len(evidence.get("downstreams", [])) > 1
    return (
        f"{where['downstream']}: " if several else ""
    ) + f"{where['network']}, pre-trained on {where['upstream']}"


def start(evidence: Evidence) -> dict[str, str]:
    """Return the size of the answer: what a reader sees first."""
    first = headline(evidence)
    return {} if first is None else {"n": size_label(first)}


def heights(point: Point) -> tuple[float | None, ...]:
    """Return what a vertical axis has to hold of a point."""
    return (point.y, point.low, point.high)


def in_words(what: str, lines: Sequence[Series], unit: str) -> str:
    """Return the points and marks of lines in words, for a screen reader."""
    parts = []
    for line in lines:
        if any(point.text for point in line.points) and line.style != GUIDE:
            said = ", ".join(f"{point.text} at {point.x:,.4g} {unit}" for point in line.points)
            parts.append(f"{line.name}: {said}")
        parts += [f"{line.name}: {mark.text}" for mark in line.marks]
    return f"{what[:1].upper()}{what[1:]}. " + ". ".join(part.rstrip(".") for part in parts) + "."
