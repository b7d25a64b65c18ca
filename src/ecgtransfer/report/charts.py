"""The evidence as charts: learning curves, convergence, cost and calibration; `forest` has the intervals.

Everything is decided here – what is drawn, its ends and ticks, what is said of each point – so that the chart
that moves and the drawing on paper cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecgtransfer.report.forest import forest
from ecgtransfer.report.spec import (
    BASELINE_STYLES,
    GUIDE,
    Axis,
    Chart,
    Estimate,
    Mark,
    Point,
    Series,
    View,
    linear_axis,
    log_axis,
    style_of,
)
from ecgtransfer.report.view import (
    REFERENCE,
    Comparison,
    Evidence,
    arm_label,
    budget_rows,
    comparisons,
    duration,
    headline,
    interval,
    missing,
    number,
    ordered_arms,
    scientific,
    signed,
    size_label,
    unique,
)

__all__ = ["PLACE", "calibration", "charts", "convergence", "cost", "forest", "learning_curves"]

PLACE = (("downstream", "Recordings"), ("network", "Network"), ("upstream", "Pre-trained on"))
"""What most charts are chosen by."""

SIZE = ("n", "Labels")
_SHOW = ("show", "Show")
_NO_UPSTREAM = "nothing"
_MACRO = "macro AUROC"


def charts(evidence: Evidence) -> dict[str, Chart]:
    """Return the charts of the page by name; one without views has nothing to show."""
    made = (learning_curves, forest, convergence, cost, calibration)
    return {chart.name: chart for chart in (draw(evidence) for draw in made)}


def learning_curves(evidence: Evidence) -> Chart:
    """Return macro AUROC and the difference to scratch against the number of labels.

    A comparison with a single size has no curve and no view.
    """
    panels = [panel for panel in comparisons(evidence) if len({row.n for row in panel.rows}) > 1]
    views = []
    for down in unique(panel.downstream for panel in panels):
        here = [panel for panel in panels if panel.downstream == down]
        for show, series in (("macro AUROC", _auroc_series), ("difference to scratch", _difference_series)):
            drawn = [series(panel, evidence) for panel in here]
            # One range for all networks of a downstream, so that panels can be compared by eye.
            reach = [
                v
                for lines in drawn
                for line in lines
                for p in line.points
                for v in _heights(p)
                if v is not None
            ]
            y = linear_axis(
                f"{show}" if show == _MACRO else "difference in macro AUROC", [*reach, *_zero(show)]
            )
            for panel, lines in zip(here, drawn, strict=True):
                if any(line.points for line in lines):
                    views.append(_curve_view(panel, show, lines, y))
    # The same panel's two views stand beside each other only when chosen: on paper, AUROC comes first.
    return Chart(
        "curves", "lines", (_SHOW, *PLACE), tuple(sorted(views, key=lambda v: v.where["show"] != _MACRO))
    )


def convergence(evidence: Evidence) -> Chart:
    """Return what budgets of an eighth to the whole give: macro AUROC, and the seeds that got there."""
    views = []
    for show in (_MACRO, "share of seeds at the target"):
        for row in budget_rows(evidence):
            lines = tuple(_budget_line(row, arm, show) for arm in ordered_arms(row["arms"]))
            reach = [v for line in lines for p in line.points for v in _heights(p) if v is not None]
            if not reach:
                continue
            y = linear_axis(show, reach) if show == _MACRO else linear_axis(show, [0.0, 1.0])
            where = _where(row) | {"show": show, "n": size_label(row)}
            views.append(
                View(
                    where,
                    f"{_title(where, evidence)}, n = {where['n']}",
                    log_axis("updates of a training", row["budgets"]),
                    y,
                    lines,
                    text=_in_words(show, lines, "updates"),
                    static=show == _MACRO,
                )
            )
    return Chart("convergence", "lines", (_SHOW, *PLACE, SIZE), tuple(views), start=_start(evidence))


def calibration(evidence: Evidence) -> Chart:
    """Return the share of present statements against the predicted probability, for each arm."""
    rows = evidence.get("calibration", [])
    ends = Axis("predicted probability", 0.0, 1.0, tuple((v / 5, f"{v / 5:.1f}") for v in range(6)))
    views = []
    for panel in comparisons(evidence):
        # On paper, one size of each: the headline's where there is one, and the rest stands in tables.
        first = _start(evidence).get("n")
        shown = first if first in [row.label for row in panel.rows] else panel.rows[0].label
        for place in panel.rows:
            here = [
                row
                for row in rows
                if _of(row, panel) and (row["n"], row["n_is_all"]) == (place.n, place.is_all)
            ]
            lines = tuple(
                _reliability(row, panel.arms)
                for row in sorted(here, key=lambda r: panel.arms.index(r["arm"]))
            )
            if not any(line.points for line in lines):
                continue
            where = _where_panel(panel) | {"n": place.label}
            guide = Series("perfect", GUIDE, (Point(0.0, 0.0), Point(1.0, 1.0)))
            views.append(
                View(
                    where,
                    f"{panel.title}, n = {place.label}",
                    ends,
                    Axis("observed share", 0.0, 1.0, ends.ticks),
                    (*lines, guide),
                    text=_in_words("observed share", lines, "predicted"),
                    static=place.label == shown,
                )
            )
    return Chart("calibration", "lines", (*PLACE, SIZE), tuple(views), start=_start(evidence))


def cost(evidence: Evidence) -> Chart:
    """Return what a project costs with each arm and size, in time, operations and energy."""
    rows = (evidence.get("cost") or {}).get("rows", [])
    measures = (
        ("time", "seconds", "seconds", duration),
        ("operations", "flops_per_training", "floating-point operations of a training", scientific),
        ("energy", "energy_wh", "Wh", lambda value: f"{number(float(value), 2)} Wh"),
    )
    views = []
    for show, key, unit, say in measures:
        for panel in comparisons(evidence):
            here = [row for row in rows if _of(row, panel) and not missing(row[key])]
            here.sort(key=lambda row: (row["n"], panel.arms.index(row["arm"])))
            if not here:
                continue
            bars = tuple(_bar(row, float(row[key]), say(row[key]), panel.arms) for row in here)
            views.append(
                View(
                    _where_panel(panel) | {"show": show},
                    panel.title,
                    _from_zero(unit, [bar.value for bar in bars], say),
                    rows=bars,
                    text=f"{show}: " + "; ".join(f"{bar.group}, {bar.text}" for bar in bars) + ".",
                    static=show == "time",
                )
            )
    return Chart("cost", "bars", (_SHOW, *PLACE), tuple(views))


def _auroc_series(panel: Comparison, evidence: Evidence) -> list[Series]:
    lines = []
    for arm in panel.arms:
        bands = _bands(evidence, panel, arm, "reference_band" if arm == REFERENCE else "arm_band")
        points = []
        for row in panel.rows:
            cell = row.cells.get(arm)
            if cell is None or missing(cell["auroc"]):
                continue
            low, high, of = _spread(cell, bands.get(row.n))
            text = f"{number(cell['auroc'])}" + (
                f" ({number(low)} to {number(high)}{of})" if low is not None else ""
            )
            points.append(Point(row.n, cell["auroc"], low, high, text))
        marks = () if arm == REFERENCE else _catch_ups(evidence, panel, arm)
        ordered = tuple(sorted(points, key=lambda p: p.x))
        lines.append(Series(arm_label(arm), style_of(arm, panel.arms), ordered, marks))
    baselines = [b for b in evidence.get("baselines", []) if b["downstream"] == panel.downstream]
    for place, name in enumerate(unique(b["name"] for b in baselines)):
        levels = sorted(
            (b["n"], b["auroc"]) for b in baselines if b["name"] == name and not missing(b["auroc"])
        )
        style = BASELINE_STYLES[place % len(BASELINE_STYLES)]
        lines.append(
            Series(f"{name} (no network)", style, tuple(Point(n, v, text=number(v)) for n, v in levels))
        )
    return [line for line in lines if line.points]


def _difference_series(panel: Comparison, evidence: Evidence) -> list[Series]:
    lines = []
    margin = evidence.get("margin")
    for arm in panel.arms:
        if arm == REFERENCE:
            continue
        bands = _bands(evidence, panel, arm, "difference_band")
        points = []
        for row in panel.rows:
            contrast = row.contrasts.get(arm)
            if contrast is None or missing(contrast["difference"]):
                continue
            # The band of the curve is made for reading along it; without one, each size's own interval.
            band = bands.get(row.n) or contrast
            low, high = band["low"], band["high"]
            text = f"{signed(contrast['difference'])}" + (
                f" ({interval(low, high)})" if not missing(low) else ""
            )
            points.append(Point(row.n, contrast["difference"], low, high, text))
        marks = _catch_ups(evidence, panel, arm)
        ordered = tuple(sorted(points, key=lambda p: p.x))
        lines.append(Series(arm_label(arm), style_of(arm, panel.arms), ordered, marks))
    found = [line for line in lines if line.points]
    if found and margin is not None:
        name = f"margin ±{margin:g}"
        ends = sorted({p.x for line in found for p in line.points})
        flat = (Point(x, 0.0, -margin, margin, "no difference that matters") for x in (ends[0], ends[-1]))
        found.append(Series(name, GUIDE, tuple(flat)))
    return found


def _curve_view(panel: Comparison, show: str, lines: Sequence[Series], y: Axis) -> View:
    labels = {float(row.n): row.label for row in panel.rows}
    sizes = {p.x for line in lines for p in line.points}
    return View(
        _where_panel(panel) | {"show": show},
        panel.title,
        log_axis("labelled ECGs", list(sizes), labels),
        y,
        tuple(lines),
        text=_in_words(show, lines, "labels"),
        static=True,
    )


def _catch_ups(evidence: Evidence, panel: Comparison, arm: str) -> tuple[Mark, ...]:
    """Return where scratch catches up with an arm, if that is a size at all."""
    found = (row["catch_up"] for row in _curve_rows(evidence, panel, arm))
    return tuple(Mark(at["n"], at["low"], at["high"], at["text"]) for at in found if not missing(at["n"]))


def _budget_line(row: Mapping[str, Any], arm: str, show: str) -> Series:
    own = row["arms"][arm]
    points = []
    for place, budget in enumerate(row["budgets"]):
        if show == _MACRO:
            value, low, high = (own[key][place] for key in ("auroc", "auroc_low", "auroc_high"))
            text = number(value) + (f" ({number(low)} to {number(high)})" if not missing(low) else "")
        else:
            value, low, high = own["reached"][place], None, None
            text = f"{round(value * own['runs'])} of {own['runs']} seeds"
        if not missing(value):
            points.append(Point(budget, value, low, high, text))
    return Series(arm_label(arm), style_of(arm, tuple(row["arms"])), tuple(points))


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
    return Estimate(
        group, label, value, None, None, style_of(row["arm"], arms), True, f"{label}: {said}"
    )


def _from_zero(title: str, values: Sequence[float], say: Any) -> Axis:
    axis = linear_axis(title, [0.0, *values], count=3, margin=0.0)
    top = max(axis.high, *(value for value, _ in axis.ticks))
    return Axis(
        title, 0.0, top * 1.02, tuple((value, say(value) if value else "0") for value, _ in axis.ticks)
    )


def _spread(
    cell: Mapping[str, Any], band: Mapping[str, Any] | None
) -> tuple[float | None, float | None, str]:
    """Return the band at a point, and in words what it is where it is no interval."""
    if band is not None and not missing(band["low"]) and not missing(band["high"]):
        return band["low"], band["high"], ""
    if missing(cell["auroc_sd"]):
        return None, None, ""
    return cell["auroc"] - cell["auroc_sd"], cell["auroc"] + cell["auroc_sd"], ", ±1 SD over seeds"


def _bands(evidence: Evidence, panel: Comparison, arm: str, name: str) -> dict[int, Mapping[str, Any]]:
    """Return size → band of an arm; those of the reference stand in any row of the panel."""
    for row in _curve_rows(evidence, panel, None if arm == REFERENCE else arm):
        return dict(zip(row["sizes"], row[name], strict=True))
    return {}


def _curve_rows(evidence: Evidence, panel: Comparison, arm: str | None) -> list[Mapping[str, Any]]:
    return [row for row in evidence.get("curves", []) if _of(row, panel) and arm in (None, row["arm"])]


def _of(row: Mapping[str, Any], panel: Comparison) -> bool:
    """Return whether a row belongs to a panel; those without an upstream stand beside every one."""
    here = (row["downstream"], row["network"]) == (panel.downstream, panel.network)
    return here and row["upstream"] in (None, panel.upstream)


def _where(row: Mapping[str, Any]) -> dict[str, str]:
    upstream = _NO_UPSTREAM if row["upstream"] is None else row["upstream"]
    return {"downstream": row["downstream"], "network": row["network"], "upstream": upstream}


def _where_panel(panel: Comparison) -> dict[str, str]:
    return _where({"downstream": panel.downstream, "network": panel.network, "upstream": panel.upstream})


def _title(where: Mapping[str, str], evidence: Evidence) -> str:
    several = len(evidence.get("downstreams", [])) > 1
    return (
        f"{where['downstream']}: " if several else ""
    ) + f"{where['network']}, pre-trained on {where['upstream']}"


def _start(evidence: Evidence) -> dict[str, str]:
    first = headline(evidence)
    return {} if first is None else {"n": size_label(first)}


def _heights(point: Point) -> tuple[float | None, ...]:
    return (point.y, point.low, point.high)


def _zero(show: str) -> Iterable[float]:
    return () if show == _MACRO else (0.0,)


def _in_words(what: str, lines: Sequence[Series], unit: str) -> str:
    parts = []
    for line in lines:
        if any(point.text for point in line.points) and line.style != GUIDE:
            said = ", ".join(f"{point.text} at {point.x:,.4g} {unit}" for point in line.points)
            parts.append(f"{line.name}: {said}")
        parts += [f"{line.name}: {mark.text}" for mark in line.marks]
    return f"{what[:1].upper()}{what[1:]}. " + ". ".join(part.rstrip(".") for part in parts) + "."
