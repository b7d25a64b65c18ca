"""The 16-bit steps in which a store keeps signals; NumPy only, because every worker process needs it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError

MISSING = -32768
"""What stands where there is no sample."""

_LIMIT_MV = float(np.float32(32.7))  # as signals hold it, which is a little more than 32.7


def quantise(signal: NDArray[np.float32]) -> tuple[NDArray[np.int16], float]:
    """Turn a signal into 16-bit steps without ever clipping it.

    Parameters
    ----------
    signal : float32 array [leads, samples]
        In mV; NaN where there is no sample.

    Returns
    -------
    steps : int16 array [leads, samples]
        ``signal = steps * scale_uv / 1000``; `MISSING` where there is no sample.
    scale_uv : float
        µV per step: 1 unless the signal goes beyond ±32.7 mV; then just enough for its largest value.

    Raises
    ------
    SignalError
        A sample is infinite.
    """
    peak = float(np.fmax.reduce(np.abs(signal), axis=None)) if signal.size else 0.0
    if np.isinf(peak):
        raise SignalError("a sample is infinite", remedy="Repair or leave out the record")
    # Rounded up to a thousandth of a µV, so that the largest value still fits after rounding.
    scale_uv = float(np.ceil(peak * 1e6 / 32767) / 1000) if peak > _LIMIT_MV else 1.0
    absent = np.isnan(signal)
    precision = np.float32 if scale_uv == 1.0 else np.float64
    scaled = np.multiply(signal, 1000 / scale_uv, dtype=precision)
    np.rint(scaled, out=scaled)
    if absent.any():
        scaled[absent] = MISSING
    return scaled.astype(np.int16), scale_uv
