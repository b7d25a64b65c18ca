"""Record: one ECG of one patient, in millivolts, with standard lead names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError

Sex = Literal["male", "female"]

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve leads in the usual order (AHA/ACCF/HRS 2007, 10.1161/CIRCULATIONAHA.106.180200)."""

_STANDARD = {name.lower(): name for name in STANDARD_LEADS}


@dataclass(frozen=True, eq=False)
class Record:
    """One ECG of one patient.

    Parameters
    ----------
    signal : float32 array [leads, samples]
        In mV; NaN where there is no sample. Other number types are converted.
    sampling_rate : float
        In Hz.
    leads : tuple of str
        One name per row; stored in standard spelling (see `standard_lead`).
    patient_id : str, optional
        None where the file does not say.
    age : float, optional
        In years, as the file says it; some datasets code "above 89" as a number.
    sex : 'male' or 'female', optional
        None where the file does not say.
    comments : tuple of str
        Free text of the file, one entry per line.
    metadata : mapping
        Whatever else the reader found worth keeping.

    Raises
    ------
    SignalError
        If the shape does not fit the leads, a lead occurs twice, or the rate is not positive.
    """

    signal: NDArray[np.float32]
    sampling_rate: float
    leads: tuple[str, ...]
    patient_id: str | None = None
    age: float | None = None
    sex: Sex | None = None
    comments: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A frozen dataclass is set through object: what is stored is what the docstring promises.
        store = object.__setattr__
        store(self, "signal", np.asarray(self.signal, dtype=np.float32))
        store(self, "leads", tuple(standard_lead(name) for name in self.leads))
        store(self, "sampling_rate", float(self.sampling_rate))
        store(self, "comments", tuple(self.comments))
        if self.signal.ndim != 2 or self.signal.shape[0] != len(self.leads):
            raise SignalError(
                f"a signal of shape {self.signal.shape} does not fit {len(self.leads)} leads",
                remedy="A record's signal is an array [leads, samples]",
            )
        if len(set(self.leads)) != len(self.leads):
            twice = next(name for name in self.leads if self.leads.count(name) > 1)
            raise SignalError(f"lead {twice} occurs more than once", remedy="Give every lead its own name")
        if not (math.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            raise SignalError(f"a sampling rate of {self.sampling_rate:g} Hz is not possible")
        if self.sex not in (None, "male", "female"):
            raise SignalError(f"sex is 'male', 'female' or None, not {self.sex!r}")

    @property
    def n_samples(self) -> int:
        """Samples per lead."""
        return int(self.signal.shape[1])

    @property
    def seconds(self) -> float:
        """Duration in s."""
        return self.n_samples / self.sampling_rate


def standard_lead(name: str) -> str:
    """Return the standard spelling of a lead: ``AVR`` and ``avr`` give ``aVR``, ``v1`` gives ``V1``.

    A name that is none of the twelve (``MLII``, ``ECG``) is kept as it is, without surrounding spaces.
    """
    name = name.strip()
    return _STANDARD.get(name.lower(), name)
