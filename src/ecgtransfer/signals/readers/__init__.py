"""Readers: one file per format; `read` picks by what a file contains.

A new format is a module with ``sniff`` and ``read`` and one line in `FORMATS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers import wfdb
from ecgtransfer.signals.record import Record

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
        ``read(path, verify_checksums=..., content=...)`` returns the `Record`; ``content`` is the whole file
        where its head was all of it, else None.
    """

    name: str
    sniff: Callable[[str, bytes], bool]
    read: Callable[..., Record]


FORMATS: tuple[Format, ...] = (Format("WFDB", wfdb.sniff, wfdb.read),)


def read(path: str | PathLike[str], *, verify_checksums: bool = False) -> Record:
    """Read one ECG; the format is recognised by content, not by suffix.

    Parameters
    ----------
    path : path
        Any file of the recording (WFDB: the ``.hea`` or the signal file), or its name without suffix.
    verify_checksums : bool
        Check the signal against the checksums of the file, where the format has them.

    Returns
    -------
    Record
        Signal [leads, samples] in mV, with standard lead names.

    Raises
    ------
    SignalError
        If the path does not exist or holds no ECG in a known format, or the file is damaged: truncated,
        a signal file missing, a unit that is no voltage, a checksum that does not fit.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb", buffering=0) as stream:
            head = stream.read(_HEAD)
    except FileNotFoundError:
        if os.path.isfile(name + ".hea"):
            return wfdb.read(name + ".hea", verify_checksums=verify_checksums)
        raise SignalError(
            "there is no such file", where=name, remedy="Check the path; a WFDB record needs its .hea file"
        ) from None
    except IsADirectoryError:
        raise SignalError(
            "this is a folder, not a recording", where=name, remedy="Name one file in it"
        ) from None
    except OSError as error:
        raise SignalError(f"cannot be opened ({error.strerror})", where=name) from None
    for kind in FORMATS:
        if kind.sniff(name, head):
            content = head if len(head) < _HEAD else None
            return kind.read(name, verify_checksums=verify_checksums, content=content)
    known = ", ".join(kind.name for kind in FORMATS)
    if not head:
        raise SignalError("the file is empty", where=name, remedy="Copy or download it again")
    raise SignalError(
        "this is not an ECG file of a known format",
        where=name,
        remedy=f"Known: {known}; a WFDB signal file needs its .hea header beside it",
    )
