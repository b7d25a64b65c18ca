"""One ECG: reading it, its leads, its rate and its windows."""

from ecgtransfer.signals.leads import arrange
from ecgtransfer.signals.readers import Stated, UnstatedError, n_records, read
from ecgtransfer.signals.record import STANDARD_LEADS, Record, standard_lead
from ecgtransfer.signals.resample import resample
from ecgtransfer.signals.windows import windows

__all__ = [
    "STANDARD_LEADS",
    "Record",
    "Stated",
    "UnstatedError",
    "arrange",
    "n_records",
    "read",
    "resample",
    "standard_lead",
    "windows",
]
