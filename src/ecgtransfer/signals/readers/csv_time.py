"""What a column of times or sample numbers says: the sampling rate, and whether samples are missing."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError

# In s; a clock ("0:00.004") is always in s.
TIME_UNITS = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
    "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6,
    "hh:mm:ss.mmm": 1.0, "hh:mm:ss": 1.0, "mm:ss.mmm": 1.0,
}  # fmt: skip

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")


def clock(text: str) -> float | None:
    """Return a time such as ``0:01.004`` or ``00:00:01.004`` in s, or None where it is none."""
    found = _CLOCK.fullmatch(text.strip().strip("'\"[]").strip())
    if found is None:
        return None
    return 3600.0 * int(found[1] or 0) + 60.0 * int(found[2]) + float(found[3])


def check_index(values: NDArray[np.float64], name: str, path: str, first_line: int) -> None:
    """Refuse sample numbers that do not rise by one: samples are missing, or it is something else."""
    wrong = np.flatnonzero(~(np.diff(values) == 1))
    if wrong.size:
        raise SignalError(
            f"column {name!r} should count the samples, but does not rise by 1",
            where=f"{path}, line {first_line + int(wrong[0]) + 1}",
            remedy="Name the column after its lead, or fill the gap with lines of empty cells",
        )


def rate_of(
    values: NDArray[np.float64],
    name: str,
    unit: str | None,
    wanted: float | None,
    path: str,
    first_line: int,
) -> float | None:
    """Return the sampling rate in Hz of a column of times; None where it has no unit and no rate is known.

    Times are taken to be rounded to the decimals they have: where the rate ``wanted``, or else the
    nearest with few decimals, fits them all, it is that rate.

    Raises
    ------
    SignalError
        If the times do not rise evenly, or contradict ``wanted``.
    """
    if len(values) < 2:
        return wanted
    steps = np.diff(values)
    if not bool(np.all(steps > 0)):
        place = int(np.flatnonzero(~(steps > 0))[0])
        raise SignalError(
            f"the times in column {name!r} do not rise", where=f"{path}, line {first_line + place + 1}"
        )
    decimals = next((d for d in range(9) if np.allclose(values, np.round(values, d), rtol=0, atol=1e-12)), 9)
    places = np.arange(len(values))
    centred = places - places.mean()
    step = float(centred @ values / (centred @ centred))  # least squares
    # Rounding moves a time by half its last decimal; a missing sample moves those behind it by a whole step.
    tolerance = min(0.6 * 10.0**-decimals, 0.49 * step) + 1e-12 * float(np.abs(values).max())

    def even(step: float) -> bool:
        rest = values - step * places
        return float(rest.max() - rest.min()) / 2 <= tolerance

    if not even(step):
        place = int(np.argmax(np.abs(steps - np.median(steps))))
        raise SignalError(
            f"the times in column {name!r} do not rise evenly: {values[place]:g} is followed by "
            f"{values[place + 1]:g}",
            where=f"{path}, line {first_line + place + 1}",
            remedy="Fill a gap with lines of empty cells, or resample to an even rate",
        )
    if unit is None or unit.lower() not in TIME_UNITS:
        # In s, in ms, or counting samples: the rate that is known has to fit one of them.
        if wanted is None:
            return None
        if even(1.0) or any(even(1 / (wanted * seconds)) for seconds in (1.0, 1e-3, 1e-6)):
            return wanted
        raise SignalError(
            f"the times in column {name!r} rise by {step:g}: neither in s nor in ms is that {wanted:g} Hz",
            where=path,
            remedy="Correct the sampling rate stated",
        )
    seconds = TIME_UNITS[unit.lower()]
    if wanted is not None and even(1 / (wanted * seconds)):
        return wanted
    rate = 1 / (step * seconds)
    rounded = (round(rate, digits) for digits in range(7))
    return next((float(r) for r in rounded if r > 0 and even(1 / (r * seconds))), rate)
