"""The figures as SVG text: learning curves and differences to scratch.

Lines and text take the page's own ink (``currentColor``), so that one drawing serves light and dark; arms
differ by colour (Okabe and Ito, safe for the colour-blind), marker and line style. The same evidence gives
the same bytes.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from ecgtransfer.report.view import (
    REFERENCE,
    Comparison,
    Evidence,
    comparisons,
    decided,
    difference,
    missing,
    ordered_arms,
    unique,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that no palette contains; the finished SVG says currentColor or the page's ground instead.
_INK, _FAINT, _PAPER = "#010203", "#040506", "#070809"
_STYLES: dict[str, tuple[str, str, Any]] = {
    REFERENCE: (_INK, "o", "-"),
    "full": ("#0072B2", "s", "--"),
    "linear-probe": ("#D55E00", "^", "-."),
    "frozen-random": ("#009E73", "D", ":"),
}
_MORE_STYLES = [
    ("#CC79A7", "v", (0, (5, 1))),
    ("#E69F00", "P", (0, (3, 1, 1, 1))),
    ("#56B4E9", "X", (0, (1, 1))),
]
_BASELINE_DASHES = [(0, (6, 3)), (0, (2, 2)), (0, (8, 2, 2, 2))]
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
    "grid.alpha": 0.18,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
}


def learning_curves(evidence: Evidence, *, narrow: bool = False) -> str:
    """Return macro AUROC against the number of labels, a panel for each network and upstream, as SVG.

    Lines are means over seeds, bands one standard deviation over seeds to either side (not an interval of
    the mean). Baselines without a network are dashed grey lines.

    Parameters
    ----------
    evidence : mapping
        The content of evidence.json.
    narrow : bool
        One panel per row at the width of a telephone, instead of two.
    """
    panels = comparisons(evidence)
    columns = 1 if narrow or len(panels) == 1 else 2
    rows = max(1, -(-len(panels) // columns))

    width = 3.6 if narrow else (5.2 if columns == 1 else 7.6)
    names = [*_arms(evidence), *unique(b["name"] for b in evidence.get("baselines", []))]
    # Inches that a legend entry takes at 9 points: its handle, and its longest name.
    per_row = max(1, int(width / (0.6 + 0.085 * max(map(len, names), default=1))))

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        drawn = [_curve_panel(axes, panel, evidence) for axes, panel in zip(grid.flat, panels, strict=False)]
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        entries = {label: handle for pairs in drawn for label, handle in pairs}
        figure.legend(
            entries.values(), entries.keys(), loc="outside lower center", ncols=per_row, frameon=False
        )

    height = 2.7 * rows + 0.2 * -(-len(names) // per_row)
    return _svg("curves-narrow" if narrow else "curves", (width, height), draw)


def differences(evidence: Evidence, *, narrow: bool = False) -> str:
    """Return each arm's difference to scratch with its interval, a row for each, as SVG.

    A filled marker says that the interval excludes zero; a marker without a line that there is no interval.

    Parameters
    ----------
    evidence : mapping
        The content of evidence.json.
    narrow : bool
        Leave out the figures beside the intervals, for the width of a telephone.
    """
    groups = [(panel, _contrast_rows(panel)) for panel in comparisons(evidence)]
    groups = [(panel, rows) for panel, rows in groups if rows]
    lines = sum(len(rows) + 1.4 for _, rows in groups) or 2.0

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _forest(axes, groups, narrow=narrow)

    return _svg(
        "differences-narrow" if narrow else "differences", (3.6 if narrow else 7.6, 0.8 + 0.21 * lines), draw
    )


def _curve_panel(axes: Axes, panel: Comparison, evidence: Evidence) -> list[tuple[str, Any]]:
    from matplotlib.ticker import NullLocator

    entries: list[tuple[str, Any]] = []
    for arm in panel.arms:
        points = [
            (row.n, row.cells[arm]["auroc"], row.cells[arm]["auroc_sd"])
            for row in sorted(panel.rows, key=lambda row: row.n)
            if arm in row.cells and not missing(row.cells[arm]["auroc"])
        ]
        if not points:
            continue
        colour, marker, dashes = _style(arm, evidence)
        sizes, means = [p[0] for p in points], [p[1] for p in points]
        spread = [0.0 if missing(p[2]) else p[2] for p in points]
        (line,) = axes.plot(
            sizes, means, color=colour, marker=marker, linestyle=dashes, ms=4.5, lw=1.6, zorder=3
        )
        low, high = zip(*((m - s, m + s) for m, s in zip(means, spread, strict=True)), strict=True)
        axes.fill_between(sizes, low, high, color=colour, alpha=0.13, linewidth=0)
        entries.append((arm, line))
    for index, name in enumerate(unique(b["name"] for b in evidence.get("baselines", []))):
        levels = sorted(
            (b["n"], b["auroc"])
            for b in evidence["baselines"]
            if b["name"] == name and not missing(b["auroc"])
        )
        dashes = _BASELINE_DASHES[index % len(_BASELINE_DASHES)]
        look: dict[str, Any] = {"color": _FAINT, "alpha": 0.6, "linestyle": dashes, "lw": 1.1, "zorder": 1}
        if len(levels) == 1:
            entries.append((name, axes.axhline(levels[0][1], **look)))
        elif levels:
            entries.append((name, axes.plot([p[0] for p in levels], [p[1] for p in levels], **look)[0]))
    labels = {row.n: row.label.replace(" ", "\n") for row in panel.rows}
    axes.set_xscale("log")
    axes.set_xticks(list(labels), list(labels.values()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(panel.title)
    axes.set_xlabel("labels used, training and validation")
    axes.set_ylabel("macro AUROC")
    axes.grid(True, axis="y")
    return entries


def _contrast_rows(panel: Comparison) -> list[tuple[str, str, Any]]:
    return [
        (row.label, arm, row.contrasts[arm])
        for row in panel.rows
        for arm in panel.arms
        if arm in row.contrasts and not missing(row.contrasts[arm]["difference"])
    ]


def _forest(axes: Axes, groups: list[tuple[Comparison, list[tuple[str, str, Any]]]], *, narrow: bool) -> None:
    from matplotlib.ticker import MaxNLocator
    from matplotlib.transforms import blended_transform_factory

    arms = {"contrasts": [], "cells": [{"arm": arm} for panel, _ in groups for arm in panel.arms]}
    height = 0.0
    ticks: list[float] = []
    labels: list[str] = []
    # Titles begin at the figure's left edge, above the labels, and take no room from the intervals.
    left = blended_transform_factory(axes.figure.transFigure, axes.transData)
    for panel, rows in groups:
        title = axes.text(0.01, height, panel.title, transform=left, va="center", weight="bold")
        title.set_in_layout(False)
        height -= 1.0
        for size, arm, contrast in rows:
            colour, marker, _ = _style(arm, arms)
            if not missing(contrast["low"]):
                axes.plot(
                    [contrast["low"], contrast["high"]], [height, height], color=colour, lw=1.8, zorder=2
                )
            # A hollow marker is filled with the page's ground, which hides the line behind it.
            face = colour if decided(contrast) else _PAPER
            axes.plot(
                contrast["difference"],
                height,
                marker=marker,
                ms=5.5,
                color=colour,
                markerfacecolor=face,
                zorder=3,
            )
            if not narrow:
                axes.annotate(
                    difference(contrast),
                    (1.01, height),
                    xycoords=axes.get_yaxis_transform(),
                    va="center",
                    fontsize=8,
                )
            ticks.append(height)
            labels.append(f"{arm}, {size.split()[0]}" if narrow else f"{arm}, n = {size}")
            height -= 1.0
        height -= 0.4
    axes.axvline(0.0, color=_INK, lw=0.9, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 7))
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.set_ylim(height, 0.8)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    axes.set_xlabel("difference in macro AUROC to scratch")


def _style(arm: str, evidence: Evidence) -> tuple[str, str, Any]:
    if arm in _STYLES:
        return _STYLES[arm]
    others = [name for name in _arms(evidence) if name not in _STYLES]
    return _MORE_STYLES[others.index(arm) % len(_MORE_STYLES)]


def _arms(evidence: Evidence) -> tuple[str, ...]:
    return ordered_arms(cell["arm"] for cell in evidence.get("cells", []))


def _svg(name: str, size: tuple[float, float], draw: Any) -> str:
    """Return the drawing as an ``<svg>`` element with ids of its own, without dates."""
    # Imported here because matplotlib is slow and not among the core dependencies.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    stream = io.StringIO()
    with rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.1))
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for stand_in, colour in (
        (_INK, "currentColor"),
        (_FAINT, "currentColor"),
        (_PAPER, "var(--paper, #fff)"),
    ):
        text = text.replace(stand_in, colour)
    return text.strip() + "\n"
