"""Intervals of an ECG: as LUDB's cardiologists marked them, and as an independent detector finds them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ecgtransfer.signals import STANDARD_LEADS

INTERVALS = ("HR", "PQ", "QRS", "QT")


def annotated(record: Path) -> dict[str, float]:
    """Return HR (per minute), PQ, QRS and QT (ms) of a LUDB record.

    The median over the beats of each lead; each interval in the lead where it is longest, as cardiologists
    measure it. (The median lead misses what begins earlier or ends later elsewhere; the earliest onset and
    latest end of each beat in any lead are the extremes of a dozen errors.)
    """
    import wfdb

    per_lead: dict[str, list[float]] = {name: [] for name in INTERVALS}
    for lead in STANDARD_LEADS:
        marks = wfdb.rdann(str(record.with_suffix("")), lead.lower())
        step = 1000 / marks.fs if marks.fs else 2.0
        kind, at = np.array(marks.symbol), np.array(marks.sample, dtype=float)
        waves = np.flatnonzero(np.isin(kind, ("p", "N", "t")))
        begin = np.where(kind[waves - 1] == "(", at[waves - 1], np.nan)
        end = np.append(at, np.nan)[waves + 1]
        beats = np.flatnonzero(kind[waves] == "N")
        spans: dict[str, list[float]] = {name: [] for name in INTERVALS[1:]}
        for i in beats:
            spans["QRS"].append(end[i] - begin[i])
            if i and kind[waves[i - 1]] == "p":
                spans["PQ"].append(begin[i] - begin[i - 1])
            if i + 1 < len(waves) and kind[waves[i + 1]] == "t":
                spans["QT"].append(end[i + 1] - begin[i])
        for name, values in spans.items():
            if np.isfinite(values).any():
                per_lead[name].append(step * float(np.nanmedian(values)))
        if len(beats) > 1:
            per_lead["HR"].append(60000 / (step * float(np.diff(at[waves[beats]]).mean())))
    found = {name: max(values, default=np.nan) for name, values in per_lead.items()}
    return {**found, "HR": float(np.median(per_lead["HR"]))}


def measured(signal: np.ndarray, sampling_rate: float) -> dict[str, float]:
    """Return the same of ``signal`` [12, samples] in mV, as ecgdeli finds it: medians over beats."""
    import ecgdeli

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filtered = ecgdeli.filter_ecg(np.asarray(signal.T, dtype=float), sampling_rate)
        found = ecgdeli.annotate(filtered, sampling_rate).intervals()
        rate = 60000 / np.nanmean(found.rr)
        spans = {"PQ": found.pq, "QRS": found.qrs_duration, "QT": found.qt}
        return {"HR": float(rate), **{name: float(np.nanmedian(span)) for name, span in spans.items()}}


def bias(measured: np.ndarray, true: np.ndarray) -> tuple[float, float, int]:
    """Return the mean of the differences without the outermost tenth at either side, its error, and n."""
    difference = np.sort(measured - true)
    difference = difference[: np.isfinite(difference).sum()]
    cut = len(difference) // 10
    kept = difference[cut : len(difference) - cut]
    return float(kept.mean()), float(kept.std(ddof=1) / np.sqrt(len(kept))), len(difference)
