"""Tracings of the CODE study (Ribeiro 2020): rows of an HDF5 array [exams, 4096, 12] at 400 Hz.

**Unit.** The samples are taken as mV. The READMEs say "at the scale 1e-4V" and, in the same sentence, that
volts are multiplied by 1000 to get there, which is mV; the authors' word is mV (issue 3 of
github.com/antonior92/automatic-ecg-diagnosis). At 0.1 mV per unit the median R wave in lead II would be
0.15 mV. Even as mV the amplitudes are unusual: users measured a median R wave in II of 1.5 mV (CODE test)
and 1.75 mV (CODE-15 %) against 0.8 mV in the Shandong data, and found that half would fit other hospitals'
(issue 5 of github.com/antonior92/ecg-age-prediction). No factor is published, so none is applied: voltage
criteria do not carry over.

**Leads.** No file names its leads and the two releases order them differently, so the order that a release
documents is verified by what the limb leads must fulfil: III = II - I, aVR = -(I + II)/2, aVL = I - II/2,
aVF = II - I/2. In the published files the residual is some 2 % of the lead; a wrong order leaves more than
140 %.
"""

from __future__ import annotations

import atexit
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError, SignalError
from ecgtransfer.signals import Record

RATE = 400.0
SAMPLES = 4096
TOLERANCE = 0.2
"""Largest residual of an identity, as a part of the lead's own RMS, in the median exam.

Ten times what the published files have and a seventh of what a wrong order leaves in them. In 339 real ECGs
of PTB-XL, CPSC, Georgia and PTB the right order leaves 0.7 % in the median and any wrong one at least 64 % in
each. A lead rescaled by a quarter is found too."""

SPAN_MV = (0.3, 10.0)
"""Plausible median span of lead II (99.9 % of a record's samples lie in it), in mV. The published files have
about 3; a file in 0.1 mV, in µV or in V is a factor of 10 or more away."""

_CHECKED = 64
_BLOCK_BYTES = 64 * 2**20
_AUGMENTED = {"aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}


class _OpenFile:
    """The last file read, kept open with its last block of rows: thousands of records share a file."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._file: Any = None
        self._first, self._rows = 0, np.empty((0, 0, 0), dtype=np.float32)

    def row(self, path: Path, row: int) -> NDArray[np.float32]:
        state = os.stat(path)
        key = (os.fspath(path), state.st_size, state.st_mtime_ns)
        if key != self._key:
            self.close()
            self._file, self._key = open_file(path), key
        tracings = tracings_of(self._file, path)
        if not 0 <= row < len(tracings):
            raise SignalError(f"there is no row {row} in its {len(tracings)} tracings", where=path)
        if not self._first <= row < self._first + len(self._rows):
            # A chunk is decompressed as a whole, so its other rows, which come next, are kept.
            per_row = int(np.prod(tracings.shape[1:])) * tracings.dtype.itemsize
            size = max(1, min((tracings.chunks or (1,))[0], _BLOCK_BYTES // per_row))
            self._first = row - row % size
            self._rows = _read(tracings, slice(self._first, self._first + size), path)
        values: NDArray[np.float32] = self._rows[row - self._first]
        return values

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._key, self._first = None, (), 0
        self._rows = np.empty((0, 0, 0), dtype=np.float32)


_open = _OpenFile()
atexit.register(_open.close)


def load_row(path: Path, row: int, leads: Sequence[str], *, padded: bool = False) -> Record:
    """Read one tracing.

    Parameters
    ----------
    path : path
        The HDF5 file; it stays open for the next call.
    row : int
        Position in the dataset ``tracings``.
    leads : sequence of str
        Names of its twelve columns.
    padded : bool
        Keep the zeros on both sides, with which shorter exams were filled up to 4096 samples.

    Returns
    -------
    Record
        Signal [12, samples] in mV.

    Raises
    ------
    SignalError
        There is no such row, it is all zeros, or the file is damaged.
    """
    values = _open.row(path, row)
    there = np.flatnonzero(values.any(axis=1))
    if not there.size:
        raise SignalError("all its samples are zero")
    if not padded:
        values = values[there[0] : there[-1] + 1]
    return Record(np.ascontiguousarray(values.T), RATE, tuple(leads), metadata={"format": "HDF5", "row": row})


def open_file(path: Path) -> Any:
    """Open an HDF5 file for reading.

    Raises
    ------
    DataError
        It is missing, no HDF5 file, or incomplete.
    """
    import h5py

    if not path.is_file():
        raise DataError("there is no such file", where=path, remedy="Download it")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"the file cannot be opened as HDF5: {error}", where=path, remedy="Download it again"
        ) from None


def tracings_of(file: Any, path: Path) -> Any:
    """Return the dataset ``tracings`` of an open file; a `DataError` says what is wrong with it."""
    tracings = file.get("tracings")
    if tracings is None or not hasattr(tracings, "shape"):
        raise DataError(
            f"there is no dataset 'tracings', only {', '.join(file) or 'nothing'}",
            where=path,
            remedy="Use the file as published",
        )
    if tracings.ndim != 3 or tracings.shape[1:] != (SAMPLES, 12):
        raise DataError(
            f"its tracings have the shape {tuple(tracings.shape)}, not [exams, {SAMPLES}, 12]",
            where=path,
            remedy="Use the file as published",
        )
    return tracings


def verify(tracings: Any, rows: Sequence[int], leads: Sequence[str], path: Path) -> None:
    """Refuse a file whose columns are not these leads, or whose numbers cannot be mV.

    Parameters
    ----------
    tracings : HDF5 dataset [exams, 4096, 12]
    rows : sequence of int
        Rows that hold exams; up to 64 of them, evenly spread, are looked at.
    leads : sequence of str
        Documented names of the columns; the first three are I, II, III.
    path : path
        For the message.

    Raises
    ------
    DataError
        The median exam violates an identity of the limb leads by more than `TOLERANCE`, the median span of
        lead II is outside `SPAN_MV`, or no exam has all limb leads.
    """
    chosen = sorted({rows[i] for i in np.linspace(0, len(rows) - 1, _CHECKED).astype(int)}) if rows else []
    limbs: list[NDArray[np.float64]] = []
    for row in chosen:
        values = np.nan_to_num(_read(tracings, slice(row, row + 1), path)[0, :, :6].astype(np.float64))
        values = values[values.any(axis=1)]
        if values.size and np.ptp(values, axis=0).all():  # a lead that fell off says nothing about the order
            limbs.append(values.T)
    if not limbs:
        raise DataError("no exam in it has all limb leads, so their order cannot be verified", where=path)
    off = _residuals(limbs, leads[3:6])
    if max(off.values()) > TOLERANCE:
        worst = max(off, key=lambda name: off[name])
        fitting = [
            names
            for names in itertools.permutations(_AUGMENTED)
            if max(_residuals(limbs, names).values()) <= TOLERANCE
        ]
        found = (
            f"leads 4 to 6 are {', '.join(fitting[0])} and not {', '.join(leads[3:6])}"
            if fitting
            else f"{worst} differs from what I and II say by {100 * off[worst]:.0f} % of its size"
        )
        raise DataError(
            f"the limb leads are not those documented: {found}",
            where=path,
            remedy="Use the file as published",
        )
    span = float(np.median([np.ptp(np.quantile(values[1], (0.0005, 0.9995))) for values in limbs]))
    if not SPAN_MV[0] <= span <= SPAN_MV[1]:
        raise DataError(
            f"lead II spans {span:.3g} in the median exam; "
            f"in mV it would be {SPAN_MV[0]:g} to {SPAN_MV[1]:g}",
            where=path,
            remedy="Use the file as published, not one in another unit",
        )


def _residuals(limbs: list[NDArray[np.float64]], names: Sequence[str]) -> dict[str, float]:
    """Return the median residual of III and of the leads 4 to 6 under these names, relative to each lead."""
    weights = [("III", (-1.0, 1.0)), *((name, _AUGMENTED[name]) for name in names)]
    off: dict[str, float] = {}
    for column, (name, (one, two)) in enumerate(weights, start=2):
        off[name] = float(
            np.median(
                [
                    np.sqrt(np.mean((v[column] - one * v[0] - two * v[1]) ** 2) / np.mean(v[column] ** 2))
                    for v in limbs
                ]
            )
        )
    return off


def _read(tracings: Any, rows: slice, path: Path) -> NDArray[np.float32]:
    try:
        return np.asarray(tracings[rows], dtype=np.float32)
    except OSError as error:
        raise SignalError(
            f"its tracings cannot be read: {error}", where=path, remedy="Download it again"
        ) from None


SIGNAL_NOTE = (
    "taken as mV, as the authors say (the README's '1e-4V' contradicts itself); amplitudes are about twice "
    "those of other datasets, for no published reason; zero padding removed"
)
