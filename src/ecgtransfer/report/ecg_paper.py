"""An ECG drawn as on paper, as one self-contained SVG: 25 mm/s, 10 mm/mV, grid, calibration pulse."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPEED, GAIN = 25.0, 10.0
"""mm/s and mm/mV."""

# All lengths in mm, the unit of the drawing; a trace is written in integers, fractions of a mm.
_LEFT, _RIGHT, _TOP, _BOTTOM = 11.0, 3.0, 2.0, 7.0
_LEAST_HALF, _ROW_GAP, _MOST_HEIGHT = 6.0, 2.0, 90.0
_X, _Y = 0.05, 0.1
_SMALLER_GAINS = tuple(factor * 10.0**-power for power in range(1, 12) for factor in (50.0, 25.0, 10.0))
_PX_PER_MM = 2.3  # the least at which 4 mm letters are read on a telephone


def draw_ecg(
    signal: NDArray[np.floating[Any]],
    sampling_rate: float,
    leads: Sequence[str],
    *,
    name: str,
    title: str,
    marked: Sequence[str] = (),
    columns: int = 1,
) -> str:
    """Return an ECG as an ``<svg>`` element.

    The paper is the usual pink; the trace takes the page's ink (``currentColor``). Where an ECG would be
    too high, the gain is reduced for all leads; the gain used stands below it and shows in the calibration
    pulse (1 mV for 0.2 s). Each lead is drawn around its median: an electrode's offset says nothing. Colours
    and letters are in `templates/drawings.css`.

    Parameters
    ----------
    signal : float array [leads, samples]
        In mV; NaN is a gap.
    sampling_rate : float
        In Hz.
    leads : sequence of str
    name : str
        What the ids in it begin with: letters, digits and ``-``, different for every drawing of a page.
    title : str
        What a screen reader says.
    marked : sequence of str
        Leads to be marked: by a band, a triangle and bold letters, not by colour alone.
    columns : int
        Leads beside each other: 2 is the usual print of limb leads beside chest leads.
    """
    rows = -(-len(leads) // columns)
    width = signal.shape[1] / sampling_rate * SPEED
    middle = [
        float(np.median(lead[np.isfinite(lead)])) if np.isfinite(lead).any() else 0.0 for lead in signal
    ]
    gain, halves = _fit(signal - np.array(middle)[:, None], rows)
    page_width = _LEFT + columns * width + (columns - 1) * _RIGHT + _RIGHT
    parts, top = [], _TOP
    for row, (above, below) in enumerate(halves):
        base = top + above
        parts.append(_pulse(base, gain))
        for column in range(columns):
            place = column * rows + row
            if place >= len(leads):
                continue
            left = _LEFT + column * (width + _RIGHT)
            if leads[place] in marked:
                parts.append(
                    f'<rect class="ecg-mark" x="{left:g}" y="{top:.1f}" width="{width:.1f}" '
                    f'height="{above + below:.1f}"/>'
                )
            parts.append(_trace(signal[place] - middle[place], sampling_rate, left, base, gain))
            parts.append(_label(leads[place], leads[place] in marked, left, top))
        top = base + below + _ROW_GAP
    height = top - _ROW_GAP + _BOTTOM
    scale = f"{SPEED:g} mm/s, {gain:g} mm/mV; {sampling_rate:g} Hz, {signal.shape[1] / sampling_rate:.3g} s"
    parts.append(f'<text class="ecg-scale" x="{_LEFT:g}" y="{height - 2:.1f}">{scale}</text>')
    return (
        f'<svg class="ecg" role="img" aria-labelledby="{name}-title" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {page_width:.1f} {height:.1f}" style="min-width:{page_width * _PX_PER_MM:.0f}px">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f"{_grid(name, page_width, height)}{''.join(parts)}</svg>\n"
    )


def _fit(centred: NDArray[np.floating[Any]], rows: int) -> tuple[float, list[tuple[float, float]]]:
    """Return the gain, and for each row of leads how far it reaches above and below its line, in mm."""
    known = np.isfinite(centred)
    high = np.where(known, centred, 0).max(axis=1, initial=0)
    low = np.where(known, centred, 0).min(axis=1, initial=0)
    halves: list[tuple[float, float]] = []
    for gain in (GAIN, *_SMALLER_GAINS):
        halves = []
        for row in range(rows):
            above, below = gain * high[row::rows].max(), -gain * low[row::rows].min()
            # Letters and the pulse need their room; whole millimetres keep the grid's rhythm.
            halves.append(
                (float(np.ceil(max(_LEAST_HALF, above) + 4)), float(np.ceil(max(_LEAST_HALF, below))))
            )
        if sum(above + below for above, below in halves) <= max(_MOST_HEIGHT, 32.0 * rows):
            return gain, halves
    return gain, halves


def _trace(lead: NDArray[np.floating[Any]], rate: float, left: float, base: float, gain: float) -> str:
    """Return a lead as a path in small integers, which keeps a page with many of them light."""
    x, y = _thinned(lead, rate)
    step_x = np.rint(x / rate * SPEED / _X).astype(int)
    known = np.isfinite(y)
    step_y = np.rint(np.where(known, y, 0) * -gain / _Y).astype(int)
    path: list[str] = []
    edges = np.flatnonzero(np.diff(np.concatenate(([False], known, [False])).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        xs, ys = step_x[start:end], step_y[start:end]
        dx, dy = np.diff(xs), np.diff(ys)
        # A point on the straight line between its neighbours says nothing.
        bends = np.flatnonzero(dx[1:] * dy[:-1] != dx[:-1] * dy[1:]) + 1
        keep = np.concatenate(([0], bends, [len(xs) - 1])) if len(xs) > 1 else np.array([0])
        xs, ys = xs[keep], ys[keep]
        path.append(f"M{xs[0]} {ys[0]}")
        if len(xs) > 1:
            path.append("l" + " ".join(f"{a} {b}" for a, b in zip(np.diff(xs), np.diff(ys), strict=True)))
        else:
            path.append("h1")
    return (
        f'<path class="ecg-trace" transform="translate({left:g} {base:.1f}) scale({_X:g} {_Y:g})" '
        f'd="{"".join(path)}"/>'
    )


def _thinned(
    lead: NDArray[np.floating[Any]], rate: float
) -> tuple[NDArray[np.int64], NDArray[np.floating[Any]]]:
    """Return sample numbers and values: all, or the lowest and highest of each quarter of a millimetre."""
    size = int(rate / SPEED / 4)
    n = len(lead) // size if size > 2 else 0
    if n == 0 or not np.isfinite(lead).all():
        return np.arange(len(lead)), lead
    pieces = lead[: n * size].reshape(n, size)
    ends = np.stack([pieces.argmin(axis=1), pieces.argmax(axis=1)], axis=1)
    ends.sort(axis=1)
    x = np.unique(np.concatenate([(ends + size * np.arange(n)[:, None]).ravel(), [0, len(lead) - 1]]))
    return x, lead[x]


def _label(lead: str, marked: bool, left: float, top: float) -> str:
    kind, mark = (' class="ecg-marked"', "▶ ") if marked else ("", "")
    return f'<text{kind} x="{left + 1:g}" y="{top + 3.6:.1f}">{mark}{escape(lead)}</text>'


def _pulse(base: float, gain: float) -> str:
    return f'<path class="ecg-pulse" d="M2 {base:.1f}h1.5v{-gain:g}h5v{gain:g}h1.5"/>'


def _grid(name: str, width: float, height: float) -> str:
    """Return the paper: lines every millimetre, stronger ones every five."""
    pattern = (
        f'<pattern id="{name}-grid" width="5" height="5" patternUnits="userSpaceOnUse">'
        '<path class="ecg-fine" d="M1 0v5M2 0v5M3 0v5M4 0v5M0 1h5M0 2h5M0 3h5M0 4h5"/>'
        '<path class="ecg-bold" d="M0 0v5M0 0h5"/></pattern>'
    )
    area = f'x="0" y="0" width="{width:.1f}" height="{height:.1f}"'
    return f'<defs>{pattern}</defs><rect class="ecg-ground" {area}/><rect fill="url(#{name}-grid)" {area}/>'
