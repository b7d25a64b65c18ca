"""Change of sampling rate by an anti-aliased polyphase FIR filter; NumPy only: prediction needs no SciPy."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError

# Pass band to 0.8 of the lower Nyquist frequency, stop band from 1.0. The Kaiser design aims a little beyond
# the 60 dB promised, because scaling every phase to a gain of exactly one at 0 Hz costs some of it.
_PASS, _STOP, _ATTENUATION = 0.8, 1.0, 66.0

# A ratio with terms up to this has a table of its own phases: all rates in use, to a hundredth of a hertz.
# Others (499.98765 Hz) keep their exact positions in time and take the nearest of `_FINE` phases per sample
# of the lower rate: an error of at most 1/8192 sample, 70 dB down at the band edge.
_MAX_TERM = 20_000
_MAX_RATIO = 20_000
_FINE = 4096

# The filter is a matrix product up to this many coefficients; beyond that it goes row by row.
_MAX_MATRIX = 1 << 16

# Multiplications per call of the BLAS: few enough that it does not start threads, which cost more than they
# bring here, and always the same for one signal, so that its bits do not depend on what it is filtered with.
_MAX_PRODUCT = 1 << 18

# Samples per round, so that input and output stay in the processor's cache.
_CHUNK = 1 << 17


def resample(signal: NDArray[np.float32], rate_in: float, rate_out: float) -> NDArray[np.float32]:
    """Change the sampling rate.

    At least 60 dB down from the lower of the two Nyquist frequencies upward (nothing folds into the band that
    is kept), flat within 0.1 dB up to 0.8 of it, linear phase with the delay removed: output sample m is the
    signal at m / rate_out seconds. Beyond its ends the signal is continued by its first and last value, so
    that an offset causes no transient.

    Parameters
    ----------
    signal : float32 array [..., samples]
        Any leading dimensions; leads and records are filtered together.
    rate_in, rate_out : float
        In Hz, in any ratio.

    Returns
    -------
    float32 array [..., ceil(samples * rate_out / rate_in)]
        A copy of the input where the rates are equal.

    Raises
    ------
    SignalError
        If a rate is not positive or they are more than a factor of 20,000 apart.

    Notes
    -----
    Samples that are NaN (or infinite) are bridged linearly for the filter, or continued at an end. The output
    sample nearest to such a sample, and any output sample whose nearest input sample is one, is NaN again:
    nothing is filled in silently. A signal that is NaN throughout stays so.

    The bits of a signal's result do not depend on the signals it is filtered together with, nor on the number
    of threads.
    """
    up, down = _ratio(rate_in, rate_out)
    signal = np.asarray(signal, dtype=np.float32)
    n_in = signal.shape[-1]
    if up == down or n_in == 0:
        return signal.copy()
    n_out = -(-n_in * up // down)
    rows = np.ascontiguousarray(signal).reshape(-1, n_in)
    out = np.empty((len(rows), n_out), dtype=np.float32)
    gap = None
    # A sum is the cheapest test that finds every NaN and infinity; if it overflows, only time is lost.
    with np.errstate(over="ignore", invalid="ignore"):
        clean = bool(np.isfinite(rows.sum()))
    if not clean:
        bad = ~np.isfinite(rows)
        if bad.any():
            rows, gap = _bridged(rows, bad), _gap(bad, n_out, up, down)
    step = max(1, _CHUNK // n_in)
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        out[part] = _filtered(rows[part], n_out, up, down)
    if gap is not None:
        out[gap] = np.nan
    return out.reshape(*signal.shape[:-1], n_out)


def design_filter(up: int, down: int) -> NDArray[np.float64]:
    """Return the taps of the low-pass filter for a rate change by ``up / down``.

    A sinc under a Kaiser window (Kaiser 1974; Oppenheim & Schafer, Discrete-Time Signal Processing, 7.5.3),
    at the rate ``up * rate_in``: odd length, symmetric, and the taps of each of the ``up`` phases sum to 1,
    so that a constant stays exactly what it is.

    Parameters
    ----------
    up, down : int
        The ratio in lowest terms.

    Returns
    -------
    float64 array [2 * half + 1]
    """
    # Frequencies in cycles per tap; the lower Nyquist frequency of the two rates is 0.5 / max(up, down).
    nyquist = 0.5 / max(up, down)
    width = (_STOP - _PASS) * nyquist
    half = math.ceil((_ATTENUATION - 7.95) / (2.285 * 2 * math.pi * width) / 2)
    beta = 0.1102 * (_ATTENUATION - 8.7)
    cutoff = 0.5 * (_PASS + _STOP) * nyquist
    time = np.arange(-half, half + 1)
    taps = 2 * cutoff * np.sinc(2 * cutoff * time) * np.kaiser(len(time), beta) * up
    phase = time % up
    return np.asarray(taps / np.bincount(phase, weights=taps, minlength=up)[phase])


@lru_cache(maxsize=256)
def _ratio(rate_in: float, rate_out: float) -> tuple[int, int]:
    for rate in (rate_in, rate_out):
        if not (math.isfinite(rate) and rate > 0):
            raise SignalError(f"a sampling rate of {rate} Hz is not possible")
    exact = Fraction(rate_out) / Fraction(rate_in)
    if not 1 / _MAX_RATIO <= exact <= _MAX_RATIO:
        raise SignalError(f"the rates {rate_in:g} Hz and {rate_out:g} Hz are too far apart")
    # The best small fraction where it is as good as the floats (100.1 is not a binary fraction), else one
    # that is off by less than 1e-9, in integers that cannot overflow.
    ratio = exact.limit_denominator(_MAX_TERM)
    if abs(ratio / exact - 1) > 1e-12 or ratio.numerator > _MAX_TERM:
        ratio = exact.limit_denominator(10**9 // max(1, math.ceil(exact)))
    return ratio.numerator, ratio.denominator


@lru_cache(maxsize=8)
def _phases(up: int, down: int) -> tuple[NDArray[np.float32], int]:
    """Return the taps by phase, and how many samples before the output they begin.

    Row ``r`` is for an output that lies ``r / up`` samples after an input.
    """
    taps = design_filter(up, down)
    half = len(taps) // 2
    reach = -(-half // up)
    index = np.arange(up)[:, None] - (np.arange(2 * reach + 2) - reach) * up + half
    inside = (index >= 0) & (index < len(taps))
    return np.where(inside, taps[np.where(inside, index, 0)], 0.0).astype(np.float32), reach


@lru_cache(maxsize=8)
def _blocks(up: int, down: int) -> tuple[NDArray[np.float32], int, int] | None:
    """Return the filter as a banded Toeplitz matrix over blocks, or None where that would be too large.

    A block of outputs is a block of inputs times the matrix. The matrix is cut into ``pieces`` of ``step``
    rows, laid side by side, so that the blocks of input need not overlap and nothing is copied.
    """
    if max(up, down) > _MAX_TERM:
        return None
    table, reach = _phases(up, down)
    span = table.shape[1]
    # A block about as long as the filter: shorter ones waste products on overlap, longer ones on zeros.
    repeat = max(1, -(-span // down))
    step, per_block = repeat * down, repeat * up
    pieces = -(-(step + span) // step)
    if pieces * step * per_block > _MAX_MATRIX:
        return None
    matrix = np.zeros((pieces * step, per_block), dtype=np.float32)
    for m in range(per_block):
        start, phase = divmod(m * down, up)
        matrix[start : start + span, m] = table[phase]
    side_by_side = (
        matrix.reshape(pieces, step, per_block).transpose(1, 0, 2).reshape(step, pieces * per_block)
    )
    return np.ascontiguousarray(side_by_side), pieces, reach


def _filtered(rows: NDArray[np.float32], n_out: int, up: int, down: int) -> NDArray[np.float32]:
    blocks = _blocks(up, down)
    if blocks is None:
        return _filtered_rowwise(rows, n_out, up, down)
    matrix, pieces, reach = blocks
    step, per_block = matrix.shape[0], matrix.shape[1] // pieces
    n_blocks = -(-n_out // per_block)
    group = min(n_blocks + pieces - 1, max(1, _MAX_PRODUCT // matrix.size))
    n_groups = -(-(n_blocks + pieces - 1) // group)
    padded = _padded(rows, reach, n_groups * group * step)
    product = (padded.reshape(-1, group, step) @ matrix).reshape(len(rows), -1, pieces, per_block)
    out = product[:, :n_blocks, 0].copy()
    for piece in range(1, pieces):
        out += product[:, piece : piece + n_blocks, piece]
    return out.reshape(len(rows), -1)[:, :n_out]


def _filtered_rowwise(rows: NDArray[np.float32], n_out: int, up: int, down: int) -> NDArray[np.float32]:
    start, phase = np.divmod(np.arange(n_out) * down, up)
    if max(up, down) <= _MAX_TERM:
        table, reach = _phases(up, down)
    else:
        fine = math.ceil(_FINE * min(1.0, up / down))
        table, reach = _phases(fine, max(1, round(fine * down / up)))
        nearest = (phase * fine + up // 2) // up
        start, phase = start + nearest // fine, nearest % fine
    span = table.shape[1]
    padded = _padded(rows, reach, int(start[-1]) + span)
    out = np.empty((len(rows), n_out), dtype=np.float32)
    for row, line in enumerate(padded):
        view = np.lib.stride_tricks.sliding_window_view(line, span)
        out[row] = np.einsum("mk,mk->m", view[start], table[phase])
    return out


def _padded(rows: NDArray[np.float32], before: int, length: int) -> NDArray[np.float32]:
    """Continue each row by its first value ``before`` times, and by its last up to ``length``."""
    n_in = rows.shape[1]
    padded = np.empty((len(rows), length), dtype=np.float32)
    kept = min(n_in, length - before)
    padded[:, :before] = rows[:, :1]
    padded[:, before : before + kept] = rows[:, :kept]
    padded[:, before + kept :] = rows[:, -1:]
    return padded


def _bridged(rows: NDArray[np.float32], bad: NDArray[np.bool_]) -> NDArray[np.float32]:
    rows = rows.copy()
    position = np.arange(rows.shape[1])
    for row in np.flatnonzero(bad.any(axis=1)):
        good = ~bad[row]
        rows[row, bad[row]] = (
            np.interp(position[bad[row]], position[good], rows[row, good]) if good.any() else 0.0
        )
    return rows


def _gap(bad: NDArray[np.bool_], n_out: int, up: int, down: int) -> NDArray[np.bool_]:
    """Mark the outputs nearest to a bad input, and those whose nearest input is bad."""
    n_in = bad.shape[1]
    gap = np.zeros((len(bad), n_out), dtype=bool)
    row, column = np.nonzero(bad)
    gap[row, np.minimum((2 * column * up + down) // (2 * down), n_out - 1)] = True
    nearest = np.minimum((2 * np.arange(n_out) * down + up) // (2 * up), n_in - 1)
    return gap | bad[:, nearest]
