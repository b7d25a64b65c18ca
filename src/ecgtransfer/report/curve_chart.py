"""Learning curves as a chart: macro AUROC and the difference to scratch against the number of labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecgtransfer.report.places import MACRO, PLACE, SHOW, belongs, heights, in_words, where_panel
from ecgtransfer.report.spec import (
    BASELINE_STYLES,
    GUIDE,
    Axis,
    Chart,
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
    comparisons,
    interval,
    missing,
    number,
    signed,
    unique,
)


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
                for v in heights(p)
                if v is not None
            ]
            y = linear_axis(
                f"{show}" if show == MACRO else "difference in macro AUROC", [*reach, *_zero(show)]
            )
            for panel, lines in zip(here, drawn, strict=True):
                if any(line.points for line in lines):
                    views.append(_curve_view(panel, show, lines, y))
    # The same panel's two views stand beside each other only when chosen: on paper, AUROC comes first.
    return Chart(
        "curves", "lines", (SHOW, *PLACE), tuple(sorted(views, key=lambda v: v.where["show"] != MACRO))
    )


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
    # A catch-up beyond the largest size is shown up to twice it, where extrapolation ends.
    marked = [v for line in lines for mark in line.marks for v in (mark.at, mark.low, mark.high) if v]
    reach = [min(max(value, min(sizes) / 2), 2 * max(sizes)) for value in marked]
    return View(
        where_panel(panel) | {"show": show},
        panel.title,
        log_axis("labelled ECGs", list(sizes), labels, reach=reach),
        y,
        tuple(lines),
        text=in_words(show, lines, "labels"),
        static=True,
    )


def _catch_ups(evidence: Evidence, panel: Comparison, arm: str) -> tuple[Mark, ...]:
    """Return where scratch catches up with an arm, if that is a size at all."""
    found = (row["catch_up"] for row in _curve_rows(evidence, panel, arm))
    return tuple(Mark(at["n"], at["low"], at["high"], at["text"]) for at in found if not missing(at["n"]))


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
    return [row for row in evidence.get("curves", []) if belongs(row, panel) and arm in (None, row["arm"])]


def _zero(show: str) -> Iterable[float]:
    return () if show == MACRO else (0.0,)
