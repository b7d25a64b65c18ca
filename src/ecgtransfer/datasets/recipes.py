"""How signals are treated on their way into a store: the package's own recipe, and the published study's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer import signals
from ecgtransfer.datasets.steps import MISSING, quantise
from ecgtransfer.errors import SignalError

RECIPES: dict[str, dict[str, Any]] = {
    "default": {
        "version": 1,
        "signal": "mV, no filter but the resampler's, no scaling",
        "resampling": "polyphase FIR, -60 dB from the new Nyquist frequency up",
        "missing_limb_leads": "III, aVR, aVL, aVF derived from I and II",
    },
    "paper": {
        "version": 1,
        "signal": "each lead of each record scaled to -1 ... 1 by its own minimum and maximum, where the "
        "study did so; no mV. Computed in float64, kept in steps of 1/32767",
        "resampling": "every k-th sample, no filter before it",
        "missing_limb_leads": "III, aVR, aVL, aVF derived from I and II",
    },
}
PAPER_RATE, PAPER_SECONDS = 100.0, 10.0

_UNIT_SCALE_UV = 1000 / 32767


def to_rate(signal: NDArray[np.float32], rate: float, wanted: float) -> tuple[NDArray[np.int16], float]:
    """Bring a signal to the store's rate by the default recipe.

    Parameters
    ----------
    signal : float32 array [leads, samples]
        In mV, NaN where there is no sample.
    rate, wanted : float
        In Hz.

    Returns
    -------
    steps : int16 array [leads, samples]
    scale_uv : float
        As `steps.quantise` gives them.
    """
    return quantise(signal if rate == wanted else signals.resample(signal, rate, wanted))


def as_published(
    signal: NDArray[np.float32], rate: float, leads: tuple[str, ...], *, scaled: bool, centred: bool
) -> tuple[NDArray[np.int16], float, list[str]]:
    """Treat a signal as the published study did (Nguyen & Do 2024, arXiv 2402.02021), to compare with it.

    Every k-th sample without a filter before it (what lies above 50 Hz folds back: mains at 60 Hz to 40 Hz),
    the first 10 s, isolated missing samples interpolated, each lead scaled to its own minimum and maximum.

    Parameters
    ----------
    signal : float32 array [leads, samples]
        In mV, NaN where there is no sample.
    rate : float
        In Hz; a whole multiple of 100.
    leads : tuple of str
        Names of the rows, for the remarks.
    scaled : bool
        Whether the study scaled this dataset.
    centred : bool
        The middle 10 s instead of the first.

    Returns
    -------
    steps : int16 array [leads, 1000]
    scale_uv : float
        1000 / 32767 where scaled: the steps are at most 1.5e-5 beside the study's float64.
    remarks : list of str
        What was filled or could not be scaled.

    Raises
    ------
    SignalError
        The rate is not a multiple of 100 Hz, or the record is shorter than 10 s, which the study left out.
    """
    factor = rate / PAPER_RATE
    if factor != round(factor):
        raise SignalError(
            f"{rate:g} Hz cannot be brought to {PAPER_RATE:g} Hz by leaving out samples",
            remedy="Use the default recipe, which resamples",
        )
    length = round(PAPER_RATE * PAPER_SECONDS)
    kept = signal[:, :: round(factor)].astype(np.float64)
    if kept.shape[1] < length:
        raise SignalError(
            f"it lasts {signal.shape[1] / rate:g} s; the study left out what is shorter than 10 s"
        )
    first = (kept.shape[1] - length) // 2 if centred else 0
    kept = kept[:, first : first + length]
    remarks: list[str] = []
    if kept.shape[1] < signal[:, :: round(factor)].shape[1]:
        remarks.append(f"cut: {signal.shape[1] / rate:.1f} s")
    for row, lead in enumerate(leads):
        absent = np.isnan(kept[row])
        if absent.any() and not absent.all():
            there = np.flatnonzero(~absent)
            kept[row, absent] = np.interp(np.flatnonzero(absent), there, kept[row, there])
            remarks.append(f"interpolated: {int(absent.sum())} missing samples of lead {lead}")
    if not scaled:
        steps, scale_uv = quantise(kept.astype(np.float32))
        return steps, scale_uv, remarks
    low, high = kept.min(axis=1, keepdims=True), kept.max(axis=1, keepdims=True)
    constant = ~(high > low)
    for row in np.flatnonzero(constant & ~np.isnan(high)).tolist():
        # The study divides zero by zero here; 0 keeps the record usable and the remark says so.
        remarks.append(f"not scaled: lead {leads[row]} is constant, set to 0")
    span = np.where(constant, 1.0, high - low)
    unit = np.where(constant, np.where(np.isnan(high), np.nan, 0.0), 2 * (kept - low) / span - 1)
    missing = np.isnan(unit)
    steps = np.rint(np.where(missing, 0, unit) * 32767).astype(np.int16)
    steps[missing] = MISSING
    return steps, _UNIT_SCALE_UV, remarks
