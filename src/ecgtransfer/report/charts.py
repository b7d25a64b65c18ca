"""The evidence as charts: convergence, cost and calibration; `curve_chart` and `forest` have the others.

Everything is decided here – what is drawn, its ends and ticks, what is said of each point – so that the chart
that moves and the drawing on paper cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecgtransfer.report.curve_chart import learning_curves
from ecgtransfer.report.forest import forest
from ecgtransfer.report.places import (
    MACRO,
    PLACE,
    SHOW,
    SIZE,
    belongs,
    heights,
    in_words,
    start,
    title,
    where,
    where_panel,
)
from ecgtransfer.report.spec import (
    GUIDE,
    Axis,
    Chart,
    Estimate,
    Point,
    Series,
    View,
    linear_axis,
    log_axis,
    style_of,
)
from ecgtransfer.report.view import (
    Comparison,
    Evidence,
    arm_label,
    budget_rows,
    comparisons,
    duration,
    missing,
    number,
    ordered_arms,
    scientific,
    size_label,
)

__all__ = ["calibration", "charts", "convergence", "cost", "forest", "learning_curves"]


def charts(evidence: Evidence) -> dict[str, Chart]:
    """Return the charts of the page by name; one without views has nothing to show."""
    made = (learning_curves, forest, convergence, cost, calibration)
    return {chart.name: chart for chart in (draw(evidence) for draw in made)}


def convergence(evidence: Evidence) -> Chart:
    """Return what budgets of an eighth to the whole give: macro AUROC, and the seeds that got there."""
    views = []
    for show in (MACRO, "share of seeds at the target"):
        for row in budget_rows(evidence):
            lines = tuple(_budget_line(row, arm, show) for arm in ordered_arms(row["arms"]))
            reach = [v for line in lines for p in line.points for v in heights(p) if v is not None]
            if not reach:
                continue
            y = linear_axis(show, reach) if show == MACRO else linear_axis(show, [0.0, 1.0])
            at = where(row) | {"show": show, "n": size_label(row)}
            views.append(
                View(
                    at,
                    f"{title(at, evidence)}, n = {at['n']}",
                    log_axis("updates of a training", row["budgets"]),
                    y,
                    lines,
                    text=in_words(show, lines, "updates"),
                    static=show == MACRO,
                )
            )
    return Chart("convergence", "lines", (SHOW, *PLACE, SIZE), tuple(views), start=start(evidence))


def calibration(evidence: Evidence) -> Chart:
    """Return the share of present statements against the predicted probability, for each arm."""
    ends = Axis("predicted probability", 0.0, 1.0, tuple((v / 5, f"{v / 5:.1f}") for v in range(6)))
    guide = Series("perfect", GUIDE, (Point(0.0, 0.0), Point(1.0, 1.0)))
    first = start(evidence).get("n")
    views = []
    for panel in comparisons(evidence):
        drawn = _diagrams(panel, evidence)
        # On paper, one size of each: the answer's where there is one, and the rest stands in tables.
        shown = first if first in drawn else next(iter(drawn), None)
        for size, lines in drawn.items():
            views.append(
                View(
                    where_panel(panel) | {"n": size},
                    f"{panel.title}, n = {size}",
                    ends,
                    Axis("observed share", 0.0, 1.0, ends.ticks),
                    (*lines, guide),
                    text=in_words("observed share", lines, "predicted"),
                    static=size == shown,
                )
            )
    return Chart("calibration", "lines", (*PLACE, SIZE), tuple(views), start=start(evidence))


def cost(evidence: Evidence) -> Chart:
    """Return what a project costs with each arm and size, in time, operations and energy."""
    rows = (evidence.get("cost") or {}).get("rows", [])
    measures = (
        # First, because it is the same on every machine and however busy that was.
        ("operations", "flops_per_training", "floating-point operations of a training", scientific),
        ("time", "seconds", "seconds, as measured while other things may have run", duration),
        ("energy", "energy_wh", "Wh", lambda value: f"{number(float(value), 2)} Wh"),
    )
    views = []
    for show, key, unit, say in measures:
        for panel in comparisons(evidence):
            here = [row for row in rows if belongs(row, panel) and not missing(row[key])]
            here.sort(key=lambda row: (row["n"], panel.arms.index(row["arm"])))
            if not here:
                continue
            bars = tuple(_bar(row, float(row[key]), say(row[key]), panel.arms) for row in here)
            views.append(
                View(
                    where_panel(panel) | {"show": show},
                    panel.title,
                    _from_zero(unit, [bar.value for bar in bars], say),
                    rows=bars,
                    text=f"{show}: " + "; ".join(f"{bar.group}, {bar.text}" for bar in bars) + ".",
                    static=show == "operations",
                )
            )
    return Chart("cost", "bars", (SHOW, *PLACE), tuple(views))


def _budget_line(row: Mapping[str, Any], arm: str, show: str) -> Series:
    own = row["arms"][arm]
    points = []
    for place, budget in enumerate(row["budgets"]):
        if show == MACRO:
            value, low, high = (own[key][place] for key in ("auroc", "auroc_low", "auroc_high"))
            text = number(value) + (f" ({number(low)} to {number(high)})" if not missing(low) else "")
        else:
            value, low, high = own["reached"][place], None, None
            text = f"{round(value * own['runs'])} of {own['runs']} seeds"
        if not missing(value):
            points.append(Point(budget, value, low, high, text))
    return Series(arm_label(arm), style_of(arm, tuple(row["arms"])), tuple(points))


def _diagrams(panel: Comparison, evidence: Evidence) -> dict[str, tuple[Series, ...]]:
    """Return size → the arms' lines; scratch alone is shown only where nothing was pre-trained."""
    found = {}
    for place in panel.rows:
        here = [
            row
            for row in evidence.get("calibration", [])
            if belongs(row, panel) and (row["n"], row["n_is_all"]) == (place.n, place.is_all)
        ]
        here.sort(key=lambda row: panel.arms.index(row["arm"]))
        lines = tuple(_reliability(row, panel.arms) for row in here)
        if any(line.points for line in lines) and panel.upstream in [row["upstream"] for row in here]:
            found[place.label] = lines
    return found


def _reliability(row: Mapping[str, Any], arms: Sequence[str]) -> Series:
    points = tuple(
        Point(
            part["predicted"],
            part["observed"],
            part.get("low"),
            part.get("high"),
            f"{number(part['observed'], 2)} observed at {number(part['predicted'], 2)} "
            f"({part['count']:,} predictions)",
        )
        for part in row["bins"]
        if part["count"] and not missing(part["observed"])
    )
    return Series(arm_label(row["arm"]), style_of(row["arm"], arms), points)


def _bar(row: Mapping[str, Any], value: float, said: str, arms: Sequence[str]) -> Estimate:
    group, label = f"n = {size_label(row)}", arm_label(row["arm"])
    return Estimate(group, label, value, None, None, style_of(row["arm"], arms), True, f"{label}: {said}")


def _from_zero(title: str, values: Sequence[float], say: Any) -> Axis:
    axis = linear_axis(title, [0.0, *values], count=3, margin=0.0)
    top = max(axis.high, *(value for value, _ in axis.ticks))
    return Axis(
        title, 0.0, top * 1.02, tuple((value, say(value) if value else "0") for value, _ in axis.ticks)
    )
