"""Fixed-length windows of a record: where they start, and cutting one out."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import ConfigError, SignalError


def windows(n_samples: int, length: int, policy: Literal["cover", "first"] = "cover") -> NDArray[np.int64]:
    """Return the first sample of each window of a record.

    Parameters
    ----------
    n_samples : int
        Samples per lead of the record.
    length : int
        Samples per window.
    policy : 'cover' or 'first'
        'cover': windows one after the other, the last one aligned to the record's end, so that every sample
        is in at least one window. 'first': the first window only.

    Returns
    -------
    int array [windows]
        A record that is no longer than one window gives ``[0]``; the caller pads it with "no sample".

    Raises
    ------
    SignalError
        If the record has no samples.
    ConfigError
        If the length is not positive or the policy unknown.
    """
    if length < 1:
        raise ConfigError(f"a window of {length} samples is not possible", remedy="Ask for a longer one")
    if policy not in ("cover", "first"):
        raise ConfigError(f"unknown window policy {policy!r}", remedy="Known: cover, first")
    if n_samples < 1:
        raise SignalError("the record has no samples, so there is no window to take")
    if policy == "first" or n_samples <= length:
        return np.zeros(1, dtype=np.int64)
    starts = np.arange(-(-n_samples // length), dtype=np.int64) * length
    starts[-1] = n_samples - length
    return starts
