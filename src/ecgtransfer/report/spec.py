"""What a chart shows, whoever draws it: the page's script with a charting library, or `figures` as SVG."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Baselines and lines of reference have styles of their own; an arm that is not named here takes a spare one.
ARM_STYLES = {"scratch": 0, "full": 1, "linear-probe": 2, "frozen-random": 3}
SPARE_STYLES, BASELINE_STYLES, GUIDE = (4, 5, 6), (7, 8, 9), 10
SYMBOLS = (
    "circle", "square", "triangle", "diamond", "pin", "cross", "plus", "none", "none", "none", "none",
)  # fmt: skip
DASHES = (
    (), (7, 3), (7, 3, 2, 3), (2, 3), (9, 2), (4, 2, 1, 2), (1, 2), (6, 4), (3, 3), (8, 3, 2, 3), (2, 4),
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A point of a line with its interval, and what is said of it."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    text: str = ""


@dataclass(frozen=True)
class Mark:
    """A stretch of the x axis that a series points at, such as where scratch catches up."""

    at: float | None
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True)
class Series:
    """A line with its band.

    Attributes
    ----------
    name : str
        In the legend.
    style : int
        Colour, symbol and dashes: a place in `SYMBOLS` and `DASHES`, and the CSS variable ``--series-N``.
    points : tuple of Point
        From left to right.
    marks : tuple of Mark
    """

    name: str
    style: int
    points: tuple[Point, ...]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Axis:
    """An axis: its title, its ends, and its ticks (value, label)."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False


@dataclass(frozen=True)
class Estimate:
    """A row of a forest plot, or a bar where there is no interval to it.

    Attributes
    ----------
    group : str
        What the rows below each other have in common; printed once.
    label : str
        The row's own name.
    value : float
    low, high : float or None
        Its interval; None where there is none.
    style : int
    filled : bool
        Whether the interval excludes zero.
    text : str
        Everything that is known of it in one line.
    """

    group: str
    label: str
    value: float
    low: float | None
    high: float | None
    style: int
    filled: bool
    text: str


@dataclass(frozen=True)
class View:
    """One picture of a chart.

    Attributes
    ----------
    where : mapping
        Facet → value: which of the chart's pictures this is.
    title : str
    x, y : Axis or None
        Without ``y`` there are rows instead.
    series : tuple of Series
        What is drawn where there is ``y``.
    rows : tuple of Estimate
        What is drawn where there is none.
    text : str
        What a screen reader says.
    static : bool
        Whether it is drawn where no script runs, and in print.
    """

    where: Mapping[str, str]
    title: str
    x: Axis
    y: Axis | None = None
    series: tuple[Series, ...] = ()
    rows: tuple[Estimate, ...] = ()
    text: str = ""
    static: bool = True


@dataclass(frozen=True)
class Chart:
    """A figure of the page: several views, and what tells them apart.

    Attributes
    ----------
    name : str
        Letters only, part of ids.
    kind : {'lines', 'forest', 'bars'}
    facets : tuple of (str, str)
        Key and name of what a reader chooses, in the order in which choices depend on each other.
    views : tuple of View
    filters : tuple of (str, str)
        What rows can be filtered by, ``group`` or ``label``, and what it is called.
    start : mapping
        Choices to begin with, where they exist.
    """

    name: str
    kind: str
    facets: tuple[tuple[str, str], ...]
    views: tuple[View, ...]
    filters: tuple[tuple[str, str], ...] = ()
    start: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return what the page's script reads: points and rows as lists, numbers rounded to six digits."""
        content = {
            "name": self.name,
            "kind": self.kind,
            "facets": self.facets,
            "filters": self.filters,
            "start": dict(self.start),
            "views": [
                {
                    "where": dict(view.where),
                    "title": view.title,
                    "text": view.text,
                    "x": dataclasses.asdict(view.x),
                    "y": None if view.y is None else dataclasses.asdict(view.y),
                    "series": [
                        {
                            "name": line.name,
                            "style": line.style,
                            "points": [dataclasses.astuple(point) for point in line.points],
                            "marks": [dataclasses.astuple(mark) for mark in line.marks],
                        }
                        for line in view.series
                    ],
                    "rows": [dataclasses.astuple(row) for row in view.rows],
                }
                for view in self.views
            ],
        }
        rounded: dict[str, Any] = _rounded(content)
        return rounded

    @property
    def static(self) -> tuple[View, ...]:
        """The views that are drawn without a script."""
        return tuple(view for view in self.views if view.static)


def style_of(arm: str, others: Sequence[str] = ()) -> int:
    """Return an arm's style; arms without one of their own take the spare ones in turn."""
    if arm in ARM_STYLES:
        return ARM_STYLES[arm]
    unknown = [name for name in others if name not in ARM_STYLES]
    return SPARE_STYLES[unknown.index(arm) % len(SPARE_STYLES)] if arm in unknown else SPARE_STYLES[0]


def linear_axis(title: str, values: Sequence[float], *, count: int = 6, margin: float = 0.04) -> Axis:
    """Return an axis that holds the values, with about ``count`` round ticks.

    Parameters
    ----------
    margin : float
        Room at either end, as a part of the range.
    """
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = margin * (high - low) or 0.05
    low, high = low - room, high + room
    step = _round_step((high - low) / count)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = ((i * step, f"{i * step:.{digits}f}".replace("-", "−")) for i in range(first, last + 1))
    return Axis(title, low, high, tuple(ticks))


def log_axis(
    title: str,
    values: Sequence[float],
    labels: Mapping[float, str] | None = None,
    *,
    reach: Sequence[float] = (),
) -> Axis:
    """Return a logarithmic axis with a tick at each of the values.

    Parameters
    ----------
    labels : mapping, optional
        Value → what its tick is called.
    reach : sequence of float
        What the axis has to hold besides, without a tick.
    """
    known = sorted({value for value in values if value > 0}) or [1.0, 10.0]
    low, high = min(known[0], *reach, known[-1]), max(known[-1], *reach, known[0])
    room = (high / low) ** 0.04 if high > low else 1.5
    ticks = tuple((value, (labels or {}).get(value, f"{value:,.0f}")) for value in known)
    return Axis(title, low / room, high * room, ticks, log=True)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
