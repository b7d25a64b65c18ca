"""Readers: one file per format; `read` picks by what a file contains.

WFDB says everything about itself. Formats that hold plain arrays (NumPy, MAT, HDF5, CSV) list them as
`arrays.Contents`, and `arrays.py` makes a Record of one: a new format of that kind is a module with ``sniff``
and ``find`` and one line in `FORMATS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers import (
    arrays,
    hdf5,
    mat,
    numpy_files,
    table_csv,
    wfdb,
    wfdb_stated,
)
from ecgtransfer.signals.readers.stated import NOTHING, Stated, UnstatedError
from ecgtransfer.signals.record import Record

__all__ = ["FORMATS", "Format", "Stated", "UnstatedError", "n_records", "read"]

_HEAD = 4096


@dataclass(frozen=True)
class Format:
    """A file format.

    Parameters
    ----------
    name : str
        As its users call it.
    sniff : callable
        ``sniff(path, head)`` says whether the file is of this format; ``head`` is its first 4096 bytes.
    read : callable
        ``read(path, verify_checksums=..., content=..., stated=..., row=...)`` returns the `Record`;
        ``content`` is the whole file where its head was all of it, else None.
    count : callable
        ``count(path, stated)`` returns how many records the file holds.
    """

    name: str
    sniff: Callable[[str, bytes], bool]
    read: Callable[..., Record]
    count: Callable[[str, Stated | None], int]


def _of_arrays(
    name: str,
    sniff: Callable[[str, bytes], bool],
    find: Callable[[str, tuple[int, int], Stated], arrays.Contents],
) -> Format:
    """Return a format that holds arrays; they have no checksums of their own to verify."""

    def contents(path: str, stated: Stated | None) -> arrays.Contents:
        state = os.stat(path)
        return find(path, (state.st_size, state.st_mtime_ns), stated or NOTHING)

    def read(
        path: str,
        *,
        verify_checksums: bool = False,
        content: bytes | None = None,
        stated: Stated | None = None,
        row: int | None = None,
    ) -> Record:
        return arrays.read_record(contents(path, stated), stated, row)

    return Format(name, sniff, read, lambda path, stated: arrays.count(contents(path, stated), stated))


# What begins with a signature of its own comes first; a .mat beside its .hea is WFDB; text comes last.
FORMATS: tuple[Format, ...] = (
    _of_arrays("NumPy (.npy, .npz)", numpy_files.sniff, numpy_files.find),
    _of_arrays("HDF5 (also MATLAB v7.3)", hdf5.sniff, hdf5.find),
    Format("WFDB", wfdb.sniff, wfdb_stated.read, lambda path, stated: 1),
    _of_arrays("MATLAB v4 to v7.2", mat.sniff, mat.find),
    _of_arrays("CSV", table_csv.sniff, table_csv.find),
)


def read(
    path: str | PathLike[str],
    *,
    verify_checksums: bool = False,
    stated: Stated | None = None,
    row: int | None = None,
) -> Record:
    """Read one ECG; the format is recognised by content, not by suffix.

    Parameters
    ----------
    path : path
        Any file of the recording (WFDB: the ``.hea`` or the signal file), or its name without suffix.
    verify_checksums : bool
        Check the signal against the checksums of the file, where the format has them.
    stated : Stated, optional
        What the file does not say itself: sampling rate, unit, leads, which of its variables.
    row : int, optional
        Which record of a file that holds several, from 0.

    Returns
    -------
    Record
        Signal [leads, samples] in mV, with standard lead names; NaN where the file has no finite number.

    Raises
    ------
    UnstatedError
        (a `SignalError`) If rate, unit, leads, variable or row is neither in the file nor stated.
    SignalError
        If the path does not exist or holds no ECG in a known format, or the file is damaged: truncated,
        a signal file missing, a unit that is no voltage, a checksum that does not fit; if it contradicts what
        is stated, or its shape does not tell leads from samples.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb", buffering=0) as stream:
            head = stream.read(_HEAD)
    except FileNotFoundError:
        if os.path.isfile(name + ".hea"):
            return wfdb_stated.read(name + ".hea", verify_checksums=verify_checksums, stated=stated, row=row)
        raise SignalError(
            "there is no such file", where=name, remedy="Check the path; a WFDB record needs its .hea file"
        ) from None
    except IsADirectoryError:
        raise SignalError(
            "this is a folder, not a recording", where=name, remedy="Name one file in it"
        ) from None
    except OSError as error:
        raise SignalError(f"cannot be opened ({error.strerror})", where=name) from None
    content = head if len(head) < _HEAD else None
    kind = _format(name, head)
    return kind.read(name, verify_checksums=verify_checksums, content=content, stated=stated, row=row)


def n_records(path: str | PathLike[str], *, stated: Stated | None = None) -> int:
    """Return how many records a file holds, without reading their samples where the format allows it.

    Raises
    ------
    SignalError
        As `read`, if that cannot be told.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb", buffering=0) as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise SignalError(f"cannot be opened ({error.strerror})", where=name) from None
    return _format(name, head).count(name, stated)


def _format(name: str, head: bytes) -> Format:
    for kind in FORMATS:
        if kind.sniff(name, head):
            return kind
    if not head:
        raise SignalError("the file is empty", where=name, remedy="Copy or download it again")
    known = ", ".join(kind.name for kind in FORMATS)
    raise SignalError(
        "this is not an ECG file of a known format",
        where=name,
        remedy=f"Known: {known}; a WFDB signal file needs its .hea header beside it",
    )
