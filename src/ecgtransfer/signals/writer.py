"""Write a recording as a WFDB record in format 16, the most widely read of its formats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError

_NO_SAMPLE = -32768


def write_wfdb(
    folder: str | Path,
    name: str,
    signal: NDArray[np.floating[Any]],
    sampling_rate: float,
    leads: Sequence[str],
    comments: Sequence[str] = (),
    gain: float = 1000.0,
) -> Path:
    """Write ``name.hea`` and ``name.dat``, as described in header(5) and signal(5) of the WFDB manual.

    Parameters
    ----------
    folder : path
        An existing folder.
    name : str
        Record name: letters, digits, ``-`` and ``_``.
    signal : float array [leads, samples]
        In mV; NaN is written as the format's value for "no sample".
    sampling_rate : float
        In Hz.
    leads : sequence of str
    comments : sequence of str
        One header line each, such as ``Age: 67``.
    gain : float
        Steps per mV.

    Returns
    -------
    Path
        The header file.

    Raises
    ------
    SignalError
        The name does not fit the format, the leads do not fit the signal, or a value is infinite or too large
        for 16 bits at this gain; nothing is clipped.
    """
    folder = Path(folder)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise SignalError(f"{name!r} is no WFDB record name", remedy="Use letters, digits, - and _ only")
    if signal.ndim != 2 or len(signal) != len(leads):
        raise SignalError(f"a signal of shape {signal.shape} does not fit {len(leads)} leads", where=name)
    steps = np.rint(signal * gain)
    missing = np.isnan(steps)
    any_missing = bool(missing.any())
    if any_missing:
        steps[missing] = 0
    if steps.size and np.abs(steps).max() > 32767:
        raise SignalError(
            f"a value does not fit 16 bits at {gain:g} steps per mV", where=name, remedy="Use a smaller gain"
        )
    digital = steps.astype("<i2")
    if any_missing:
        digital[missing] = _NO_SAMPLE
    checksums = digital.sum(axis=1, dtype=np.int64).astype(np.int16)
    lines = [f"{name} {len(leads)} {sampling_rate:.10g} {signal.shape[1]}"]
    for lead, first, checksum in zip(leads, digital[:, :1].tolist(), checksums.tolist(), strict=True):
        lines.append(f"{name}.dat 16 {gain:.10g}(0)/mV 16 0 {first[0] if first else 0} {checksum} 0 {lead}")
    lines += [f"#{comment}" for comment in comments]
    # The signal first: a header that is there announces a signal that is there too.
    (folder / f"{name}.dat").write_bytes(digital.T.tobytes())
    header = folder / f"{name}.hea"
    header.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return header
