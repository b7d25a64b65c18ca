"""WFDB records (https://wfdb.io/spec): natively what public ECGs use, with the wfdb package the rest."""

from __future__ import annotations

import os
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers.wfdb_header import SignalSpec, WfdbHeader, looks_like_header, parse_header
from ecgtransfer.signals.readers.wfdb_signal import NO_SAMPLE, Digital, decode, decode_segments
from ecgtransfer.signals.record import STANDARD_LEADS, Record, standard_lead

__all__ = ["SignalSpec", "WfdbHeader", "read", "read_digital", "read_header", "sniff"]

# Both micro signs of Unicode; case does not matter.
_UNITS_PER_MV = {"mv": 1.0, "uv": 1000.0, "\u00b5v": 1000.0, "\u03bcv": 1000.0, "v": 0.001}


def sniff(path: str, head: bytes) -> bool:
    """Say whether ``path`` is a WFDB header, or a signal file with its header beside it."""
    if path.endswith(".hea") or looks_like_header(head):
        return True
    header = _header_beside(path)
    return header is not None


def read(
    path: str | PathLike[str], *, verify_checksums: bool = False, content: bytes | None = None
) -> Record:
    """Read a WFDB record in mV.

    Parameters
    ----------
    path : path
        The header, a signal file with the header's name, or that name without suffix.
    verify_checksums : bool
        Compare each signal's 16-bit checksum with the header's.
    content : bytes, optional
        The whole of ``path`` where the caller has read it already.

    Returns
    -------
    Record
        mV = (digital - baseline) / gain, as the wfdb package computes it, to 1 ulp of float32. The value that
        a format reserves for "no sample" is NaN. ``metadata`` has the record's name and start, ``gain``
        (steps per mV of each lead; not for several segments), and where they apply: ``uncalibrated``
        (leads without a gain, read at 200 steps per mV as the standard has it), ``renamed`` (lead names that
        occurred twice), ``unread_bytes`` (per file, beyond the samples announced), ``unverified`` (leads to
        be verified whose checksum is missing or 0, as in CinC 2017).

    Raises
    ------
    SignalError
        If the record is damaged, incomplete or not in volts.
    """
    header = read_header(path, content)
    extra: dict[str, Any] = {}
    if header.n_segments:
        physical, rate, names, units = decode_segments(header)
        scale = [_steps_per_mv(header, name, unit) for name, unit in zip(names, units, strict=True)]
        signal = (physical / np.array(scale)[:, None]).astype(np.float32)
    else:
        # Units first: a record in mmHg need not be decoded to be refused.
        names = [spec.name for spec in header.signals]
        gains = [spec.gain * _steps_per_mv(header, spec.name, spec.units) for spec in header.signals]
        digital, rate, extra = decode(header)
        if verify_checksums and (unverified := _verify(digital, header)):
            extra["unverified"] = unverified
        signal = _millivolts(digital, header, gains)
        extra["gain"] = tuple(gains)
        if not all(spec.calibrated for spec in header.signals):
            extra["uncalibrated"] = tuple(spec.name for spec in header.signals if not spec.calibrated)
    leads, renamed = _lead_names(names, header.path)
    if renamed:
        extra["renamed"] = renamed
    return Record(
        signal,
        rate,
        leads,
        age=header.age,
        sex=header.sex,
        comments=header.comments,
        metadata={"format": "WFDB", "record_name": header.record_name, "start": header.start, **extra},
    )


def read_digital(path: str | PathLike[str], *, verify_checksums: bool = False) -> tuple[Digital, WfdbHeader]:
    """Read the digital samples as stored, int16 or int32 ``[samples, leads]``, and the header.

    For records whose gains are known to be wrong. Raises `SignalError` as `read` does; a multi-segment record
    is refused, because its segments may differ in gain.
    """
    header = read_header(path)
    if header.n_segments:
        raise SignalError("a multi-segment record has no single digital scale", where=header.path)
    digital = decode(header)[0]
    if verify_checksums:
        _verify(digital, header)
    return digital, header


def read_header(path: str | PathLike[str], content: bytes | None = None) -> WfdbHeader:
    """Read and parse a header, given as for `read`."""
    name = os.fspath(path)
    if not name.endswith(".hea"):
        beside = _header_beside(name)
        if beside is not None:
            name, content = beside, None
    try:
        if content is None:
            with open(name, "rb", buffering=0) as stream:
                content = stream.read()
    except FileNotFoundError:
        raise SignalError("there is no such file", where=name, remedy="Check the path") from None
    except OSError as error:
        raise SignalError(f"cannot be opened ({error.strerror})", where=name) from None
    if b"\0" in content:
        raise SignalError(
            "this is not a WFDB header but binary data", where=name, remedy="Name the record's .hea file"
        )
    return parse_header(name, content)


def _header_beside(path: str) -> str | None:
    stem, suffix = os.path.splitext(path)
    for candidate in (path + ".hea", stem + ".hea" if suffix else ""):
        if candidate and os.path.isfile(candidate):
            return candidate
    return None


def _steps_per_mv(header: WfdbHeader, name: str, units: str) -> float:
    scale = _UNITS_PER_MV.get(units.lower())
    if scale is None:
        raise SignalError(
            f"the unit {units!r} of lead {name} is unknown",
            where=header.path,
            remedy="An ECG is in V, mV or uV; write leads in other units to another record",
        )
    return scale


def _millivolts(digital: Digital, header: WfdbHeader, gains: list[float]) -> NDArray[np.float32]:
    n_samples, n_leads = digital.shape
    gain = np.array(gains, dtype=np.float64)[:, None]
    baseline = np.array([spec.baseline for spec in header.signals], dtype=np.float64)[:, None]
    # Where all operands are exact in float32, so is the difference: one correctly rounded division remains.
    exact = digital.dtype == np.int16 and float(np.abs(baseline).max()) < 2**23
    kind = np.float32 if exact and bool(np.all(gain.astype(np.float32) == gain)) else np.float64
    signal = np.empty((n_leads, n_samples), dtype=kind)
    signal[:] = digital.T
    if baseline.any():
        signal -= baseline.astype(kind)
    signal /= gain.astype(kind)
    invalid = [NO_SAMPLE.get(spec.format) for spec in header.signals]
    # One look at the smallest value of all spares nearly every record the search lead by lead.
    if digital.size and digital.min() <= max(
        (value for value in invalid if value is not None), default=-(2**32)
    ):
        for lead, value in enumerate(invalid):
            if value is not None:
                signal[lead, digital[:, lead] == value] = np.nan
    return signal.astype(np.float32, copy=False)


def _verify(digital: Digital, header: WfdbHeader) -> tuple[str, ...]:
    """Return the leads that cannot be verified."""
    sums = digital.sum(axis=0, dtype=np.int64)
    for spec, total in zip(header.signals, sums, strict=True):
        # The header's checksum is 16 bits wide; some writers print it signed, some unsigned.
        # A checksum of 0 is nearly always one that was never computed, as in all of CinC 2017.
        if spec.checksum and (int(total) - spec.checksum) % 65536:
            raise SignalError(
                f"the checksum of lead {spec.name} does not fit: the samples in {spec.file} are not those "
                f"the header was written for ({int(total) % 65536} instead of {spec.checksum % 65536})",
                where=header.path,
                remedy="Copy or download the record again",
            )
    return tuple(spec.name for spec in header.signals if not spec.checksum)


def _lead_names(names: list[str], path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    leads: list[str] = []
    renamed: list[str] = []
    for number, name in enumerate(names, start=1):
        lead = standard_lead(name) or f"signal {number}"
        if lead in leads:
            if lead in STANDARD_LEADS:
                raise SignalError(f"lead {lead} occurs more than once", where=path)
            # Two electrodes that are both called ECG, as on many ambulatory recorders, are still two leads.
            lead = f"{lead} ({number})"
            renamed.append(lead)
        leads.append(lead)
    return tuple(leads), tuple(renamed)
