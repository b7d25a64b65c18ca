"""What is stated about a WFDB record must agree with its header, which says everything itself."""

from __future__ import annotations

import math
from dataclasses import replace
from os import PathLike
from typing import Any

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers import wfdb
from ecgtransfer.signals.readers.stated import Stated, parse_units
from ecgtransfer.signals.record import Record, standard_lead


def read(
    path: str | PathLike[str],
    *,
    verify_checksums: bool = False,
    content: bytes | None = None,
    stated: Stated | None = None,
    row: int | None = None,
) -> Record:
    """Read a WFDB record as `wfdb.read` does, and refuse it where its header contradicts what is stated.

    A plain unit has to be the header's unit, steps per mV have to be the header's gain. Only what a header
    leaves open is taken from the statement: names of leads without one.
    """
    record = wfdb.read(path, verify_checksums=verify_checksums, content=content)
    if row:
        raise SignalError(
            f"there is no row {row}: a WFDB record is one recording (row 0)",
            where=path,
            remedy="Rows are counted from 0",
        )
    return _agreed(record, path, stated) if stated else record


def _agreed(record: Record, path: str | PathLike[str], stated: Stated) -> Record:
    header = wfdb.read_header(path)

    def contradiction(said: str, own: str) -> SignalError:
        return SignalError(
            f"its WFDB header says {said}, but {own} is stated",
            where=path,
            remedy="Correct the statement or leave it out: a WFDB header needs none",
        )

    if stated.variable is not None:
        raise SignalError(
            f"a WFDB record has no named variables, so {stated.variable!r} is not in it",
            where=path,
            remedy="Do not state a variable for it",
        )
    rate = stated.sampling_rate
    if rate is not None and not math.isclose(rate, record.sampling_rate, rel_tol=1e-6):
        raise contradiction(f"{record.sampling_rate:g} Hz", f"{rate:g} Hz")
    if stated.units is not None:
        own = parse_units(stated.units)
        for spec in header.signals:
            unit = parse_units(spec.units)
            gain = parse_units(f"{spec.gain!r}({spec.baseline})/{spec.units}")
            in_steps = any(character.isdigit() for character in stated.units)
            if own != (gain if in_steps else unit):
                said = f"{spec.gain:g}({spec.baseline})/{spec.units}" if in_steps else spec.units
                raise contradiction(f"{said} for lead {spec.name}", stated.units)
    if stated.leads is None or stated.leads == record.leads:
        return record
    named = [spec.name and standard_lead(spec.name) for spec in header.signals]
    fits = len(named) == len(stated.leads) and all(
        not name or name == lead for name, lead in zip(named, stated.leads, strict=True)
    )
    if not fits:
        raise contradiction(f"leads {', '.join(record.leads)}", ", ".join(stated.leads))
    metadata: dict[str, Any] = {**record.metadata, "stated": stated.to_json()}
    return replace(record, leads=stated.leads, metadata=metadata)
