"""What was found, in words: what the verdict on its interval allows to say, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecgtransfer.report.english import listed
from ecgtransfer.report.view import signed

Row = Mapping[str, Any]

# More statements than these are counted, not named.
_NAMED = 3


def answer(findings: Mapping[str, Any]) -> tuple[str, str]:
    """Return the answer in two sentences: what the headline contrast says, and what it means for more labels.

    The headline is the first network, upstream and downstream, with the most labels among the primary
    contrasts; the second sentence tells where scratch catches up, what pre-training costs, and how the other
    primary contrasts ended.

    Parameters
    ----------
    findings : mapping
        As `summary.summarise` builds them: contrasts, curves, cost, downstreams.
    """
    judged = [row for row in findings["contrasts"] if row["verdict"] is not None]
    if not judged and findings.get("study", {}).get("protocol") == "paper":
        return findings["paper"]["text"], "The published protocol gives no verdict: use the protocol 'sound'."
    if not judged:
        return "Only training from scratch was run: there is nothing to compare it with.", ""
    first = judged[0]
    pair = [row for row in judged if _pair(row) == _pair(first)]
    headline = max(pair, key=lambda row: int(row["n"]))
    known = {each["name"]: each for each in findings.get("downstreams", [])}
    return _headline(headline, known.get(headline["downstream"], {})), _beyond(headline, judged, findings)


def below_baselines(rows: Sequence[Row]) -> str:
    """Say which trained networks do not clearly beat a baseline without a network; empty when all do.

    Parameters
    ----------
    rows : sequence of mapping
        ``against_baselines`` of the findings.
    """
    failing = [
        f"{row['network']} {row['arm']} on {row['downstream']} with {row['n']} labels ({row['reference']})"
        for row in rows
        if row["arm"] in ("scratch", "full") and (row["low"] is None or row["low"] <= 0)
    ]
    if not failing:
        return ""
    shown = ", ".join(failing[:4]) + (f" and {len(failing) - 4} more" if len(failing) > 4 else "")
    return f"Not shown to beat a baseline without a network: {shown}."


def _pair(row: Row) -> tuple[Any, ...]:
    return row["downstream"], row["network"], row["upstream"], row["arm"]


def _headline(row: Row, downstream: Row) -> str:
    verdict, folds = row["verdict"], downstream.get("folds", 1)
    what = _what(row)
    size = f"With {row['n']:,} labelled ECGs of {row['downstream']}"
    parts = f"{folds} folds, " if folds > 1 else ""
    basis = (
        f"{row['n_seeds']} seeds, {_networks(row)}{parts}{row['n_patients']:,} patients{_without(downstream)}"
    )
    if row["difference"] is None:
        return f"{size}, no difference between {what} and scratch could be estimated ({row['note']})."
    figure = f"{signed(row['difference'])} macro AUROC"
    if verdict["low"] is None:
        return f"{size}, these data cannot tell whether {what} helps: {figure}, and {row['note']}."
    if verdict["word"] == "equivalent":
        interval = _interval(0.9, verdict["equivalence_low"], verdict["equivalence_high"])
        return (
            f"{size}, {what} makes no difference to scratch beyond ±{verdict['margin']:g} ({figure}; "
            f"{interval}; {basis})."
        )
    interval = _interval(verdict["level"], verdict["low"], verdict["high"])
    if verdict["word"] == "undecided":
        return (
            f"{size}, these data cannot tell whether {what} helps ({figure}; {interval}; {basis}): "
            f"{verdict['settles']}."
        )
    says = "gains" if verdict["word"] == "helps" else "loses"
    return (
        f"{size}, {what} {says} {abs(row['difference']):.3f} macro AUROC over scratch ({interval}; {basis})."
    )


def _without(downstream: Row) -> str:
    """Return which of the user's statements the mean is not over."""
    scarce = [str(each["target"]) for each in downstream.get("left_out", [])]
    if not scarce:
        return ""
    few = listed(scarce) if len(scarce) <= _NAMED else f"{len(scarce)} of the statements"
    return f"; without {few}, too scarce"


def _networks(row: Row) -> str:
    """Return how many pre-trained networks a row rests on: of one, more seeds say nothing of another."""
    count = row["n_pretraining_seeds"]
    if row["upstream"] is None or not count:
        return ""
    return "one pre-trained network, " if count == 1 else f"{count} pre-trained networks, "


def _beyond(headline: Row, judged: Sequence[Row], findings: Mapping[str, Any]) -> str:
    parts = []
    curve = next((row for row in findings["curves"] if _pair(row) == _pair(headline)), None)
    if curve is not None:
        parts.append(_clause(curve["catch_up"]["text"]))
    paid = [row for row in findings["cost"]["break_even"] if _pair(row) == _pair(headline)]
    # Where both arms had one budget nothing was measured, unless there is nothing to pay back at all.
    told = [row for row in paid if row["state"] != "unclear"]
    if told:
        largest = max(told, key=lambda row: int(row["n"]))
        free = largest["state"] == "zero"
        size = "" if free else f"with {largest['n']:,} labels "
        parts.append(f"{size}{_clause(largest['text'])}")
    words = [row["verdict"]["word"] for row in judged]
    if len(words) > 1:
        counts = [f"{words.count(word)} {word}" for word in ("helps", "harms", "equivalent", "undecided")]
        some = ", ".join(count for count in counts if not count.startswith("0 "))
        parts.append(f"of the {len(words)} contrasts named beforehand: {some}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _clause(text: str) -> str:
    """Return a sentence as part of a longer one: without its full stop, its first letter small."""
    first = text[:1].lower() if text[1:2].islower() else text[:1]
    return first + text[1:].rstrip(".")


def _what(row: Row) -> str:
    arm = "fine-tuning" if row["arm"] == "full" else f"the arm {row['arm']}"
    origin = f" from {row['upstream']}" if row["upstream"] else ""
    return f"{arm} {row['network']}{origin}"


def _interval(level: float, low: float, high: float) -> str:
    return f"{100 * level:.3g} % interval {signed(low)} to {signed(high)}"
