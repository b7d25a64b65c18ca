"""Gains that Challenge headers state wrongly: which are known, and how the samples prove it.

Two pairs of part and gain are known to be wrong, each by a factor of about five: PTB-XL at 200/mV and Georgia
at 4880/mV, where the samples are µV (1000/mV). 200 and 4880 belong to the recorders' own steps, 5 µV and
4.88 µV, after the samples had been converted from those steps to µV. A header's gain is replaced only where

1. every lead has the pair's wrong gain, in mV with baseline 0, and
2. the samples confirm it: the recorder's step shows in them (Georgia: all samples are whole numbers of 4.88
   steps, truncated; PTB-XL: more than 35 % are multiples of 5, one in five by chance), or 1000/mV brings the
   amplitude nearer to that of an ECG.

Where the samples do not confirm it, the header's gain stays and a flag says so. In the records at hand, the
55 and 3 with such a header show the same steps as the 37 and 70 whose header says 1000/mV, and those that
PTB-XL itself publishes are equal to its own, sample by sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.signals import Record
from ecgtransfer.signals.readers import wfdb

WRONG = {("ptbxl", 200.0): 1000.0, ("georgia", 4880.0): 1000.0}
"""(part, gain of the header) → the gain of the samples, in steps per mV."""

TYPICAL_MV = 1.2
"""Median over records of the median lead's peak-to-peak amplitude, where the header is right."""

_SHARE = {"ptbxl": 0.35, "georgia": 0.99}
_INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")  # the others are sums, which blur the steps


@dataclass(frozen=True)
class Finding:
    """A header's gain that is known to be wrong; ``gain`` is the right one, None if it is not confirmed."""

    header: float
    gain: float | None

    @property
    def flag(self) -> str:
        """One remark for the record."""
        if self.gain is None:
            return f"gain doubtful: header {self.header:g}/mV, which is wrong in other records; it was used"
        return f"gain corrected: header {self.header:g}/mV, {self.gain:g}/mV used"


def check(header: wfdb.WfdbHeader, part: str) -> Finding | None:
    """Say whether a record's gain is one that is known to be wrong, after a look at its samples."""
    gains = {(spec.gain, spec.baseline, spec.units.lower()) for spec in header.signals}
    if len(gains) != 1 or header.n_segments:
        return None
    gain, baseline, units = gains.pop()
    right = WRONG.get((part, gain))
    if right is None or baseline != 0 or units != "mv":
        return None
    digital, _ = wfdb.read_digital(header.path)
    leads = [signal.name in _INDEPENDENT for signal in header.signals]
    steps = np.asarray(digital)[:, leads] if any(leads) else np.asarray(digital)
    confirmed = _step_share(steps, part) >= _SHARE[part] or _nearer(digital, gain, right)
    return Finding(gain, right if confirmed else None)


def load(path: Path, gain: float) -> Record:
    """Read a record as if its header said ``gain`` steps per mV for every lead, to the last bit."""
    record = wfdb.read(path)
    digital, header = wfdb.read_digital(path)
    signal = digital.T.astype(np.float32) / np.float32(gain)
    signal[np.isnan(record.signal)] = np.nan
    stated = tuple(spec.gain for spec in header.signals)
    metadata = {**record.metadata, "header_gain": stated, "gain": (gain,) * len(stated)}
    return replace(record, signal=np.ascontiguousarray(signal), metadata=metadata)


def _step_share(digital: NDArray[Any], part: str) -> float:
    """Return the share of samples that are whole steps of the part's recorder, in µV."""
    if part == "ptbxl":
        return float((digital % 5 == 0).mean())
    size = np.abs(digital.astype(np.float64))
    # The smallest whole number of steps that reaches the value has it for its integer part.
    return float((np.ceil(size / 4.88) * 4.88 < size + 1).mean())


def _nearer(digital: NDArray[Any], gain: float, right: float) -> bool:
    """Say whether the right gain brings the amplitude nearer to the typical one, as a ratio."""
    spans = np.ptp(digital.astype(np.float64), axis=0)
    span = float(np.median(spans))
    if span == 0:
        return False
    return bool(abs(np.log(span / right / TYPICAL_MV)) < abs(np.log(span / gain / TYPICAL_MV)))
