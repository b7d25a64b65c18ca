"""Small histograms as SVG text, drawn by hand: a page may need dozens of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

_WIDTH, _HEIGHT, _BASE, _TOP, _SIDE = 300.0, 150.0, 118.0, 8.0, 8.0
_BARS = 20


def histogram(values: Sequence[float], *, name: str, title: str, unit: str, digits: int = 0) -> str:
    """Return the distribution of some values as an ``<svg>`` element, with its median marked.

    Parameters
    ----------
    values : sequence of float
        At least one; what is not finite must be left out, and counted, by the caller.
    name : str
        What the ids in it begin with.
    title : str
        What is counted, such as ``age``; the screen reader also gets median and range.
    unit : str
    digits : int
        Decimals of the figures on the axis.
    """
    data = np.asarray(values, dtype=np.float64)
    low, high, middle = float(data.min()), float(data.max()), float(np.median(data))
    # A few extremes must not squeeze the rest into one bar: they are put into the outer bars, and it is said.
    first, last = (float(np.quantile(data, share)) for share in (0.02, 0.98))
    start, stop = max(low, 2 * first - last), min(high, 2 * last - first)
    constant = start == stop
    if constant:
        start, stop = start - 0.5, stop + 0.5
    counts, edges = np.histogram(data.clip(start, stop), bins=_BARS, range=(start, stop))
    span = _WIDTH - 2 * _SIDE

    def across(value: float) -> float:
        return _SIDE + span * (min(max(value, start), stop) - start) / (stop - start)

    bars = []
    for count, left, right in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if count:
            tall = (_BASE - _TOP) * count / counts.max()
            bars.append(
                f'<rect x="{across(left) + 0.5:.1f}" y="{_BASE - tall:.1f}" '
                f'width="{across(right) - across(left) - 1:.1f}" height="{tall:.1f}"/>'
            )
    where = across(middle)
    anchor = "start" if where < 90 else "end" if where > _WIDTH - 90 else "middle"
    center = f"median {middle:.{digits}f}"
    # The axis says where it ends before the values do.
    left_end = "" if constant else f"{'≤ ' * (low < start)}{start:.{digits}f}"
    right_end = escape(unit) if constant else f"{'≥ ' * (high > stop)}{stop:.{digits}f} {escape(unit)}"
    text = f"{title}: {center} {unit}, {low:.{digits}f} to {high:.{digits}f}, n = {len(data):,}"
    return (
        f'<svg class="bars" role="img" aria-labelledby="{name}-title" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}"><title id="{name}-title">{escape(text)}</title>'
        f'<g class="bar">{"".join(bars)}</g>'
        f'<path class="axis" d="M{_SIDE:g} {_BASE:g}H{_WIDTH - _SIDE:g}"/>'
        f'<path class="middle" d="M{where:.1f} {_TOP - 4:g}V{_BASE + 4:g}"/>'
        f'<text x="{_SIDE:g}" y="{_BASE + 15:g}">{left_end}</text>'
        f'<text x="{_WIDTH - _SIDE:g}" y="{_BASE + 15:g}" text-anchor="end">{right_end}</text>'
        f'<text x="{where:.1f}" y="{_BASE + 28:g}" text-anchor="{anchor}">{center}</text></svg>\n'
    )
