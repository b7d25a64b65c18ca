"""The charts without a script: every static view as SVG, and the legend that goes with them."""

from __future__ import annotations

from typing import Any

from ecgtransfer.report.plot import draw_lines, draw_rows, swatch
from ecgtransfer.report.spec import GUIDE, Chart


def drawings(chart: Chart) -> list[dict[str, str]]:
    """Return ``title`` and ``svg`` of each view that is drawn without a script; the same bytes every time."""
    return [
        {
            "title": view.title,
            "svg": (draw_rows if view.y is None else draw_lines)(view, f"{chart.name}-{number}"),
        }
        for number, view in enumerate(chart.static)
    ]


def legend(chart: Chart) -> list[dict[str, Any]]:
    """Return ``name`` and ``svg`` of each series in the chart; a forest of one arm needs none."""
    names: dict[str, int] = {}
    for view in chart.static:
        for line in view.series:
            names.setdefault(line.name, line.style)
        if chart.kind == "bars":
            for row in view.rows:
                names.setdefault(row.label, row.style)
    # Lines of reference last.
    return [
        {"name": name, "svg": swatch(style)}
        for name, style in sorted(names.items(), key=lambda item: (item[1] == GUIDE, item[1]))
    ]
