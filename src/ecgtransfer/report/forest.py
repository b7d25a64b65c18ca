"""The intervals as a chart: by size, by statement, by subgroup, and sensitivity at a specificity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecgtransfer.report.spec import Chart, Estimate, View, linear_axis, style_of
from ecgtransfer.report.view import (
    Evidence,
    arm_label,
    decided,
    difference,
    headline,
    missing,
    ordered_arms,
    signed,
    size_label,
    unique,
)

BY_SIZE, BY_STATEMENT, BY_SUBGROUP, SENSITIVITY = (
    "all sizes", "each statement", "subgroups", "sensitivity at a fixed specificity",
)  # fmt: skip
NO_UPSTREAM = "nothing"
_FACETS = (
    ("show", "Show"),
    ("downstream", "Recordings"),
    ("arm", "Arm"),
    ("upstream", "Pre-trained on"),
    ("n", "Labels"),
)
_EVERY_SIZE = "every size"
MACRO = "macro AUROC"


def forest(evidence: Evidence) -> Chart:
    """Return each difference to scratch with its interval, grouped by network.

    Rows are sizes, statements, subgroups or statements at the operating point; a reader can keep one network
    or one row of each.
    """
    macro = [{**row, "label": MACRO} for row in evidence.get("contrasts", [])]
    statements = [{**row, "label": row["target"]} for row in evidence.get("per_target", [])]
    groups = [{**row, "label": f"{row['group']}: {row['value']}"} for row in evidence.get("subgroups", [])]
    operating = [
        {**row, "label": f"{row['target']} at {row['specificity']:g}"}
        for row in evidence.get("operating", [])
    ]
    start = _start(evidence)
    sized = [{**row, "label": f"n = {size_label(row)}"} for row in macro]
    views = [
        *_views(BY_SIZE, sized, evidence, start, by_size=False),
        *_views(BY_STATEMENT, [*macro, *statements] if statements else [], evidence, start, by_size=True),
        *_views(BY_SUBGROUP, [*macro, *groups] if groups else [], evidence, start, by_size=True),
        *_views(SENSITIVITY, operating, evidence, start, by_size=True),
    ]
    filters = (("group", "Network"), ("label", "Row"))
    return Chart(
        "forest", "forest", _FACETS, tuple(views), filters, start | {"show": _first_show(statements)}
    )


def _first_show(statements: Sequence[Any]) -> str:
    return BY_STATEMENT if statements else BY_SIZE


def _views(
    show: str,
    rows: Sequence[Mapping[str, Any]],
    evidence: Evidence,
    start: Mapping[str, str],
    *,
    by_size: bool,
) -> list[View]:
    known = [row for row in rows if not missing(row["difference"])]
    arms = ordered_arms(row["arm"] for row in known)
    # What most people ask for first: fine-tuning.
    arms = tuple(sorted(arms, key=lambda arm: arm != "full"))
    views = []
    places = unique((row["downstream"], row["arm"], row["upstream"]) for row in known)
    for down, arm, upstream in sorted(places, key=lambda place: arms.index(place[1])):
        here = [r for r in known if (r["downstream"], r["arm"], r["upstream"]) == (down, arm, upstream)]
        for n in unique(size_label(row) for row in here) if by_size else [_EVERY_SIZE]:
            found = [row for row in here if n in (_EVERY_SIZE, size_label(row))]
            # A macro mean alone is no list of statements.
            if show != BY_SIZE and all(row["label"] == MACRO for row in found):
                continue
            views.append(_view(show, (down, arm, upstream, n), found, evidence, start))
    # In the order of the evidence's own stores, so that the first choice is the first downstream.
    order = unique(row["downstream"] for row in rows)
    return sorted(views, key=lambda view: order.index(view.where["downstream"]))


def _view(
    show: str,
    place: tuple[str, str, str | None, str],
    rows: Sequence[Mapping[str, Any]],
    evidence: Evidence,
    start: Mapping[str, str],
) -> View:
    down, arm, upstream, n = place
    networks = unique(row["network"] for row in rows)
    ordered = sorted(rows, key=lambda row: networks.index(row["network"]))
    estimates = tuple(_estimate(row) for row in ordered)
    reach = [v for e in estimates for v in (e.value, e.low, e.high) if v is not None]
    what = "sensitivity" if show == SENSITIVITY else "AUROC"
    size = "" if n == _EVERY_SIZE else f", n = {n}"
    several = len(evidence.get("downstreams", [])) > 1
    origin = "" if upstream is None else f" from {upstream}"
    title = (f"{down}: " if several else "") + f"{arm_label(arm)}{origin}{size}"
    shown = f"{show}, {title}: " + "; ".join(f"{e.group}, {e.text}" for e in estimates) + "."
    return View(
        {
            "show": show,
            "downstream": down,
            "arm": arm_label(arm),
            "upstream": upstream or NO_UPSTREAM,
            "n": n,
        },
        title if show in (BY_SIZE, BY_STATEMENT) else f"{title}: {show}",
        linear_axis(f"difference in {what} to scratch", [0.0, *reach]),
        rows=estimates,
        text=shown,
        static=arm == "full" and (show == BY_SIZE or (show == BY_STATEMENT and n == start.get("n", n))),
    )


def _estimate(row: Mapping[str, Any]) -> Estimate:
    # Without an interval the note says why; a verdict stands where the plan named the contrast.
    verdict = (row.get("verdict") or {}).get("word")
    word = verdict if verdict else f"{row['word']} (exploratory)" if row.get("word") else ""
    note = row.get("note") if missing(row["low"]) else ""
    text = ", ".join(filter(None, (f"{row['label']}: {difference(row)}", word, note)))
    if not missing(row.get("against_rest")):
        text += f"; against the rest {signed(row['against_rest'])}"
    low, high = (None, None) if missing(row["low"]) or missing(row["high"]) else (row["low"], row["high"])
    return Estimate(
        group=row["network"],
        label=row["label"],
        value=row["difference"],
        low=low,
        high=high,
        style=style_of(row["arm"]),
        filled=decided(row),
        text=text,
    )


def _start(evidence: Evidence) -> dict[str, str]:
    first = headline(evidence)
    return {} if first is None else {"n": size_label(first)}
