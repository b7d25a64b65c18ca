"""A view as SVG text, drawn by hand: for readers without scripts, for print, and light enough for dozens.

Lines and letters take the page's colours from classes (`templates/charts.css`), so that one drawing serves
light, dark and paper. Series differ by colour (Okabe and Ito, safe for the colour-blind), symbol and dashes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ecgtransfer.report.spec import DASHES, GUIDE, SYMBOLS, Axis, Estimate, Series, View

# The units of the drawing: pixels at the width of a telephone.
_WIDTH, _HEIGHT = 340.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 12.0, 26.0, 40.0
_ROW, _GROUP, _LABELS = 17.0, 22.0, 118.0
_LETTER = 6.1  # about the width of a letter at 11 px
_MOST_LETTERS = int((_LABELS - 12) / _LETTER)


def draw_lines(view: View, name: str) -> str:
    """Return lines with their bands.

    Parameters
    ----------
    view : View
        One with ``y``.
    name : str
        What the ids in it begin with.
    """
    assert view.y is not None
    across = _Scale(view.x, _LEFT, _WIDTH - _RIGHT)
    up = _Scale(view.y, _HEIGHT - _BOTTOM, _TOP)
    parts = [_grid_y(view.y, up), _axis_x(view.x, across, _HEIGHT - _BOTTOM)]
    parts += [_band(line, across, up) for line in view.series]
    parts += [_marks(line, across) for line in view.series]
    parts += [_line(line, across, up) for line in view.series]
    parts.append(f'<text x="0" y="11">{escape(view.y.title)}</text>')
    return _svg(name, view, _HEIGHT, "".join(parts))


def draw_rows(view: View, name: str) -> str:
    """Return rows below each other: symbols with intervals, or bars where the axis begins at zero.

    Parameters
    ----------
    view : View
        One without ``y``.
    name : str
        What the ids in it begin with.
    """
    bars = view.x.low == 0.0
    across = _Scale(view.x, _LABELS, _WIDTH - (58.0 if bars else _RIGHT))
    parts, y, group = [], 8.0, None
    for row in view.rows:
        if row.group != group:
            group = row.group
            parts.append(f'<text class="head" x="0" y="{y + 12:.1f}">{escape(_short(group, 50))}</text>')
            y += _GROUP
        draw = _bar if bars else _interval
        parts.append(_row_label(row, y) + draw(row, across, y))
        y += _ROW
    foot = y + 4
    if not bars:
        parts.insert(0, f'<path class="zero" d="M{across(0):.1f} 8V{foot:.1f}"/>')
    parts.append(_axis_x(view.x, across, foot))
    return _svg(name, view, foot + _BOTTOM - 4, "".join(parts))


def swatch(style: int) -> str:
    """Return a series' piece of line with its symbol, for a legend."""
    line = f'<path class="line s{style}"{_dashes(style)} d="M1 7H29"/>'
    return (
        '<svg class="swatch" aria-hidden="true" viewBox="0 0 30 14" width="30" height="14">'
        f"{line}{_symbol(style, 15, 7, filled=True)}</svg>"
    )


class _Scale:
    """From values to places."""

    def __init__(self, axis: Axis, start: float, stop: float) -> None:
        self._log = axis.log
        self._low, self._high = self._value(axis.low), self._value(axis.high)
        self._start, self._stop = start, stop

    def _value(self, value: float) -> float:
        return math.log10(value) if self._log else value

    def __call__(self, value: float) -> float:
        """Return the place of a value; what lies beyond the axis stands at its end."""
        part = (self._value(value) - self._low) / (self._high - self._low)
        return self._start + min(max(part, 0.0), 1.0) * (self._stop - self._start)


def _svg(name: str, view: View, height: float, content: str) -> str:
    return (
        f'<svg class="plot" role="img" aria-labelledby="{name}-title" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {_WIDTH:g} {height:.1f}"><title id="{name}-title">{escape(view.title)}. '
        f"{escape(view.text)}</title>{content}</svg>\n"
    )


def _grid_y(axis: Axis, up: _Scale) -> str:
    parts = []
    for value, label in axis.ticks:
        y = up(value)
        parts.append(f'<path class="grid" d="M{_LEFT:g} {y:.1f}H{_WIDTH - _RIGHT:g}"/>')
        parts.append(f'<text x="{_LEFT - 5:g}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    return "".join(parts)


def _axis_x(axis: Axis, across: _Scale, y: float) -> str:
    left, right = across(axis.low), across(axis.high)
    parts, taken = [f'<path class="axis" d="M{left:.1f} {y:.1f}H{right:.1f}"/>'], -math.inf
    for value, label in axis.ticks:
        x, half = across(value), len(label) * _LETTER / 2
        parts.append(f'<path class="axis" d="M{x:.1f} {y:.1f}v4"/>')
        x = min(max(x, half), _WIDTH - half)
        if x - half > taken + 4:  # a label that would cover its neighbour is left out, its tick stays
            parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{escape(label)}</text>')
            taken = x + half
    # A long title ends where the axis does and may begin left of it.
    parts.append(f'<text x="{right:.1f}" y="{y + 32:.1f}" text-anchor="end">{escape(axis.title)}</text>')
    return "".join(parts)


def _band(line: Series, across: _Scale, up: _Scale) -> str:
    known = [p for p in line.points if p.low is not None and p.high is not None]
    if len(known) < 2:
        return "".join(
            f'<path class="line s{line.style}" d="M{across(p.x):.1f} {up(p.low):.1f}V{up(p.high):.1f}"/>'
            for p in known
            if p.low is not None and p.high is not None
        )
    ends = [(p.x, p.high) for p in known] + [(p.x, p.low) for p in reversed(known)]
    path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in ends if y is not None)
    return f'<path class="band s{line.style}" d="M{path}Z"/>'


def _marks(line: Series, across: _Scale) -> str:
    parts = []
    for mark in line.marks:
        if mark.low is not None and mark.high is not None:
            left, right = across(mark.low), across(mark.high)
            parts.append(
                f'<rect class="band s{line.style}" x="{left:.1f}" y="{_HEIGHT - _BOTTOM - 5:g}" '
                f'width="{right - left:.1f}" height="5"/>'
            )
        if mark.at is not None:
            x = across(mark.at)
            parts.append(f'<path class="mark s{line.style}" d="M{x:.1f} {_TOP:g}V{_HEIGHT - _BOTTOM:g}"/>')
    return "".join(parts)


def _line(line: Series, across: _Scale, up: _Scale) -> str:
    places = [(across(p.x), up(p.y)) for p in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    symbols = "".join(_symbol(line.style, x, y, filled=True) for x, y in places)
    return f'<path class="line s{line.style}"{_dashes(line.style)} d="M{path}"/>{symbols}'


def _interval(row: Estimate, across: _Scale, y: float) -> str:
    middle = y + _ROW / 2
    line = ""
    if row.low is not None and row.high is not None:
        left, right = across(row.low), across(row.high)
        line = f'<path class="line s{row.style}" d="M{left:.1f} {middle:.1f}H{right:.1f}"/>'
    return line + _symbol(row.style, across(row.value), middle, filled=row.filled)


def _bar(row: Estimate, across: _Scale, y: float) -> str:
    left, right = across(0.0), across(row.value)
    said = row.text.rsplit(": ", 1)[-1]
    return (
        f'<rect class="fill s{row.style}" x="{left:.1f}" y="{y + 2:.1f}" width="{max(right - left, 1):.1f}" '
        f'height="{_ROW - 4:g}"/><text x="{right + 4:.1f}" y="{y + 12.5:.1f}">{escape(said)}</text>'
    )


def _row_label(row: Estimate, y: float) -> str:
    return f'<text x="8" y="{y + 12.5:.1f}">{escape(_short(row.label, _MOST_LETTERS))}</text>'


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _dashes(style: int) -> str:
    dashes: Sequence[int] = DASHES[style]
    return f' stroke-dasharray="{" ".join(map(str, dashes))}"' if dashes else ""


def _symbol(style: int, x: float, y: float, *, filled: bool) -> str:
    kind = SYMBOLS[style]
    if kind == "none" or style == GUIDE:
        return ""
    shapes = {
        "circle": f"M{x - 3.5:.1f} {y:.1f}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0Z",
        "square": f"M{x - 3.2:.1f} {y - 3.2:.1f}h6.4v6.4h-6.4Z",
        "triangle": f"M{x:.1f} {y - 4.2:.1f}l4 7h-8Z",
        "diamond": f"M{x:.1f} {y - 4.6:.1f}l4.6 4.6l-4.6 4.6l-4.6 -4.6Z",
        "pin": f"M{x:.1f} {y + 4.2:.1f}l-4 -7h8Z",
        "cross": f"M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0 -7l-7 7",
        "plus": f"M{x - 4:.1f} {y:.1f}h8m-4 -4v8",
    }
    return f'<path class="{"dot" if filled else "hollow"} s{style}" d="{shapes[kind]}"/>'
