"""What was found, in words: what the verdict on its interval allows to say, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def sentence(findings: Mapping[str, Any]) -> str:
    """Say what was found: fine-tuning against scratch with the fewest and the most labels, then baselines.

    Parameters
    ----------
    findings : mapping
        As `summary.summarise` builds them: contrasts, against_baselines, downstream, upstreams.
    """
    contrasts = [c for c in findings["contrasts"] if c["arm"] == "full"] or findings["contrasts"]
    name = findings["downstream"]["name"]
    if not contrasts:
        return f"Only training from scratch was run on {name}: there is nothing to compare it with."
    upstream = " and ".join(dict.fromkeys(up["name"] for up in findings["upstreams"]))
    what = "fine-tuning" if contrasts[0]["arm"] == "full" else f"the arm {contrasts[0]['arm']}"
    origin = f" from {upstream}" if upstream else ""
    parts = []
    for network in dict.fromkeys(c["network"] for c in contrasts):
        mine = sorted((c for c in contrasts if c["network"] == network), key=lambda c: int(c["n"]))
        ends = [mine[0]] if len(mine) == 1 else [mine[0], mine[-1]]
        parts.append(f"{network}: " + "; ".join(_clause(c) for c in ends))
    return f"On {name}, {what}{origin} against scratch – " + " | ".join(parts) + "." + _baselines(findings)


def _clause(contrast: Mapping[str, Any]) -> str:
    size = f"with {contrast['n']} labels"
    if contrast["difference"] is None:
        return f"{size} no difference could be estimated ({contrast['note']})"
    figure = f"{contrast['difference']:+.3f} macro AUROC"
    if contrast["low"] is None:
        return f"{size} {figure} ({contrast['note']})"
    verdict = contrast["verdict"]
    if verdict is None:
        interval = _interval(contrast["level"], contrast["low"], contrast["high"])
        return f"{size} {figure} ({interval}, exploratory)"
    if verdict["word"] == "equivalent":
        interval = _interval(0.9, verdict["equivalence_low"], verdict["equivalence_high"])
        return f"{size} it makes no difference beyond ±{verdict['margin']:g} ({figure}, {interval})"
    interval = _interval(verdict["level"], verdict["low"], verdict["high"])
    if verdict["word"] == "undecided":
        return f"{size} these data cannot tell ({figure}, {interval}): {verdict['settles']}"
    says = "gains" if verdict["word"] == "helps" else "loses"
    return f"{size} it {says} {figure.lstrip('+-')} ({interval})"


def _interval(level: float, low: float, high: float) -> str:
    return f"{100 * level:.3g} % interval {low:+.3f} to {high:+.3f}"


def _baselines(findings: Mapping[str, Any]) -> str:
    """Say which trained networks do not clearly beat a baseline without a network."""
    rows: Sequence[Mapping[str, Any]] = findings.get("against_baselines", [])
    trained = [row for row in rows if row["arm"] in ("scratch", "full")]
    failing = [
        f"{row['network']} {row['arm']} with {row['n']} labels ({row['reference']})"
        for row in trained
        if row["low"] is None or row["low"] <= 0
    ]
    if not failing:
        return ""
    shown = ", ".join(failing[:4]) + (f" and {len(failing) - 4} more" if len(failing) > 4 else "")
    return f" Not shown to beat a baseline without a network: {shown}."
