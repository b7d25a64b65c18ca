"""From an array of numbers in a file to a Record: which array, which row, which axis, which unit.

Every format that stores plain arrays (NumPy, MAT, HDF5, CSV) ends here, so that all of them refuse the same
things in the same words. Nothing is guessed: the sampling rate, the unit and the leads come from the file or
from its owner, and the number of leads says which axis they are on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError, nearest
from ecgtransfer.signals.readers.facts import NO_FACTS, Facts, is_fact
from ecgtransfer.signals.readers.stated import (
    FORMS_OF_UNITS,
    NOTHING,
    Scale,
    Stated,
    UnstatedError,
    parse_units,
    says_nothing,
)
from ecgtransfer.signals.record import Record

_REMEDIES = {
    "sampling_rate": "sampling_rate in Hz",
    "units": f"units ({FORMS_OF_UNITS})",
    "leads": "leads in the order of the file",
    "row": "row, from 0",
}
_WORDS = {
    "sampling_rate": "its sampling rate",
    "units": "its unit",
    "leads": "which leads it holds",
    "row": "which of its recordings is meant",
}


@dataclass(frozen=True)
class Array:
    """One array of a file.

    ``read(row)`` returns the part at that place of the first axis, ``read(None)`` the whole.
    ``samples_first`` is true where the format says that rows are samples and columns leads.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[int | None], NDArray[Any]]
    facts: Facts = NO_FACTS
    samples_first: bool = False

    @property
    def may_be_signal(self) -> bool:
        """Whether it holds several real numbers and has not the name of a fact."""
        return self.dtype.kind in "iuf" and math.prod(self.shape) > 1 and not is_fact(self.name)

    def shown(self) -> str:
        """Return its name and shape."""
        return f"{self.name or 'the array'} [{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Contents:
    """The arrays of one file, of which those with a name can be chosen by it."""

    path: str
    format: str
    arrays: tuple[Array, ...]


@dataclass(frozen=True)
class _Layout:
    """How an array is to be read: ``n_records`` along its first axis where ``records`` is true."""

    n_records: int
    records: bool
    transpose: bool


def count(contents: Contents, stated: Stated | None) -> int:
    """Return how many records the file holds; raises `SignalError` where that cannot be told."""
    stated = stated or NOTHING
    array = _choose(contents, stated)
    if len(array.shape) == 3:
        return array.shape[0]
    leads = _leads(contents, array, stated)
    if leads is None:
        raise _unstated(contents, array, ("leads",))
    return _layout(contents, array, len(leads)).n_records


def read_record(contents: Contents, stated: Stated | None, row: int | None) -> Record:
    """Read one record: the ``row``-th from 0, which may be left out where the file holds a single one.

    Raises
    ------
    UnstatedError
        If sampling rate, unit, leads, or which array or row is meant, is neither in the file nor stated.
    SignalError
        If the file contradicts what is stated or itself, if its shape does not fit the leads or would fit
        either way, or if there is no such row.
    """
    stated = stated or NOTHING
    array = _choose(contents, stated)
    rate = _sampling_rate(contents, array, stated)
    leads = _leads(contents, array, stated)
    scales = _scales(contents, array, stated)
    missing = tuple(
        fact
        for fact, value in (("sampling_rate", rate), ("units", scales), ("leads", leads))
        if value is None
    )
    if missing and row is None and len(array.shape) == 3 and array.shape[0] != 1:
        missing += ("row",)  # what is missing is said at once
    if rate is None or leads is None or scales is None:
        raise _unstated(contents, array, missing)
    layout = _layout(contents, array, len(leads))
    if not layout.n_records:
        raise SignalError(f"{array.shown()} holds no recording", where=contents.path)
    if row is None and layout.n_records != 1:
        raise UnstatedError(
            f"{array.shown()} holds {layout.n_records} recordings, and which one is meant is not said",
            where=contents.path,
            remedy=f"State {_REMEDIES['row']} to {layout.n_records - 1}",
            facts=("row",),
        )
    if row is not None and not 0 <= row < layout.n_records:
        there = f"{layout.n_records} recordings (rows 0 to {layout.n_records - 1})"
        raise SignalError(
            f"there is no row {row}: it holds {there if layout.n_records != 1 else 'one recording (row 0)'}",
            where=contents.path,
            remedy="Rows are counted from 0",
        )
    values = np.asarray(array.read((row or 0) if layout.records else None))
    values = values.reshape(len(leads), -1) if values.ndim == 1 else values
    if layout.transpose:
        values = values.T
    if len(scales) not in (1, len(leads)):
        raise SignalError(f"it has {len(scales)} units for {len(leads)} leads", where=contents.path)
    signal, infinite = _millivolts(contents, values, scales)
    metadata: dict[str, Any] = {"format": contents.format}
    if array.name:
        metadata["variable"] = array.name
    if layout.n_records != 1:
        metadata["row"] = row
    if infinite:
        metadata["infinite"] = infinite
    if stated:
        metadata["stated"] = stated.to_json()
    try:
        return Record(signal, rate, leads, metadata=metadata)
    except SignalError as error:
        raise SignalError(error.what, where=contents.path, remedy=error.remedy) from None


def _choose(contents: Contents, stated: Stated) -> Array:
    """Return the array meant: the one stated, or the only one that can be a signal."""
    names = [array.name for array in contents.arrays if array.name]
    if stated.variable is not None:
        for array in contents.arrays:
            if array.name == stated.variable:
                return _checked(contents, array)
        if not names:
            raise SignalError(
                f"a {contents.format} file has no named variables, so {stated.variable!r} is not in it",
                where=contents.path,
                remedy="Do not state a variable for it",
            )
        raise SignalError(
            f"it has no variable {stated.variable!r}",
            where=contents.path,
            remedy=nearest(stated.variable, names),
        )
    likely = [array for array in contents.arrays if array.may_be_signal]
    if len(likely) == 1:
        return _checked(contents, likely[0])
    if not likely and len(contents.arrays) == 1:
        return _checked(contents, contents.arrays[0])
    if not likely:
        raise SignalError(
            f"it holds no array of numbers that could be a signal, only {', '.join(names) or 'nothing'}",
            where=contents.path,
        )
    shown = ", ".join(array.shown() for array in likely[:6]) + (", …" if len(likely) > 6 else "")
    raise UnstatedError(
        f"it holds {len(likely)} arrays ({shown}), and which of them is the ECG is not said",
        where=contents.path,
        remedy="State its name as variable",
        facts=("variable",),
    )


def _checked(contents: Contents, array: Array) -> Array:
    """Refuse what cannot be a signal whatever is stated."""
    if array.dtype.hasobject:
        raise SignalError(
            f"{array.name or 'its array'} holds objects, not plain numbers, and is not loaded: in "
            "NumPy files they are pickles, which can run programs",
            where=contents.path,
            remedy="Save numbers as a plain array, recordings of different lengths as one file each",
        )
    if array.dtype.kind not in "iuf":
        kind = "complex numbers" if array.dtype.kind == "c" else f"{array.dtype} and no real numbers"
        raise SignalError(f"{array.name or 'the array'} holds {kind}", where=contents.path)
    if not 1 <= len(array.shape) <= 3:
        raise SignalError(
            f"{array.shown()} has {len(array.shape)} axes",
            where=contents.path,
            remedy="Write [leads, samples], or [records, leads, samples] for several recordings",
        )
    return array


def _sampling_rate(contents: Contents, array: Array, stated: Stated) -> float | None:
    said = array.facts.sampling_rate
    if said is not None and not (math.isfinite(said) and said > 0):
        raise SignalError(
            f"it says a sampling rate of {said:g} Hz, which is not possible", where=contents.path
        )
    if (
        said is not None
        and stated.sampling_rate is not None
        and not math.isclose(said, stated.sampling_rate, rel_tol=1e-6)
    ):
        raise _contradiction(contents, f"{said:g} Hz", f"{stated.sampling_rate:g} Hz")
    return stated.sampling_rate if said is None else said


def _leads(contents: Contents, array: Array, stated: Stated) -> tuple[str, ...] | None:
    said = array.facts.leads
    if said is not None and stated.leads is not None and said != stated.leads:
        raise _contradiction(contents, f"leads {', '.join(said)}", ", ".join(stated.leads))
    return stated.leads if said is None else said


def _scales(contents: Contents, array: Array, stated: Stated) -> list[Scale] | None:
    """Return one scale for all leads or one per lead; None where the unit is not known."""
    own = None if stated.units is None else parse_units(stated.units)
    said = array.facts.units or ()
    if array.facts.unclear and array.dtype.kind in "iu":
        # Integers with a gain beside them: "mV" may be the unit before or after it is applied.
        return None if own is None else [own]
    scales = []
    for unit in said:
        scale = own if says_nothing(unit) else parse_units(unit)
        if scale is None and not says_nothing(unit):
            raise SignalError(
                f"its unit {unit!r} is unknown", where=contents.path, remedy="An ECG is in V, mV or uV"
            )
        if scale is None:
            return None
        if own is not None and scale != own:
            raise _contradiction(contents, unit, str(stated.units))
        scales.append(scale)
    if not scales:
        return None if own is None else [own]
    return scales if len(set(scales)) > 1 else scales[:1]


def _layout(contents: Contents, array: Array, n_leads: int) -> _Layout:
    """Find the axis of the leads by their number; refuse a shape that does not fit, or fits either way."""
    shape = array.shape
    if array.samples_first:
        if shape[-1] != n_leads:
            raise SignalError(
                f"it has {shape[-1]} columns of samples for {n_leads} leads", where=contents.path
            )
        return _Layout(1, False, True)
    if len(shape) == 1 and n_leads == 1:
        return _Layout(1, False, False)
    if len(shape) == 2 and n_leads == 1 and 1 not in shape:
        return _Layout(shape[0], True, False)
    records = len(shape) == 3
    rows, columns = shape[-2:] if len(shape) > 1 else (1, 0)
    counted = "1 lead" if n_leads == 1 else f"{n_leads} leads"
    if rows == n_leads and columns == n_leads and n_leads > 1:
        raise SignalError(
            f"{array.shown()} fits {counted} either way: leads × samples or samples × leads",
            where=contents.path,
            remedy="Save it with another number of samples, or as WFDB or CSV with a header",
        )
    if n_leads not in (rows, columns):
        raise SignalError(
            f"{array.shown()} does not fit {counted}",
            where=contents.path,
            remedy="Axes are leads and samples in any order, after that of the records if there are several",
        )
    return _Layout(shape[0] if records else 1, records, rows != n_leads)


def _millivolts(
    contents: Contents, values: NDArray[Any], scales: list[Scale]
) -> tuple[NDArray[np.float32], int]:
    """Return mV with NaN where there is no finite number, and how many were infinite."""
    per_mv = np.array([scale.per_mv for scale in scales])[:, None]
    baseline = np.array([scale.baseline for scale in scales])[:, None]
    # Two roundings, to float64 and then to float32, give the very float32 that one would.
    wide = (values.astype(np.float64) - baseline) / per_mv
    with np.errstate(over="ignore", invalid="ignore"):
        signal = wide.astype(np.float32)
        total = signal.sum(dtype=np.float64)
    infinite = 0
    if not np.isfinite(total):
        infinite = int(np.isinf(wide).sum())
        if int(np.isinf(signal).sum()) != infinite:
            largest = np.abs(wide[np.isfinite(wide)]).max()
            raise SignalError(f"a value of {largest:.3g} mV is no ECG", where=contents.path)
        signal[~np.isfinite(signal)] = np.nan
    return np.ascontiguousarray(signal), infinite


def _contradiction(contents: Contents, said: str, stated: str) -> SignalError:
    return SignalError(
        f"it says {said}, but {stated} is stated",
        where=contents.path,
        remedy="Correct the statement or leave it out: what the file says needs no statement",
    )


def _unstated(contents: Contents, array: Array, facts: tuple[str, ...]) -> UnstatedError:
    words = [_WORDS[fact] for fact in facts]
    listed = ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
    beside = f" (what {', '.join(array.facts.unclear)} means is not clear)" if array.facts.unclear else ""
    return UnstatedError(
        f"{array.shown()} does not say {listed}{beside}",
        where=contents.path,
        remedy=f"State {'; '.join(_REMEDIES[fact] for fact in facts)}",
        facts=facts,
    )
