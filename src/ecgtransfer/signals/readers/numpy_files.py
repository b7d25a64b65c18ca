"""NumPy files: one array (``.npy``), or named arrays of which some are facts (``.npz``). Never a pickle.

Layout: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import os
import zipfile
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers.arrays import Array, Contents
from ecgtransfer.signals.readers.facts import facts_of, is_fact
from ecgtransfer.signals.readers.stated import Stated

_MAGIC = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_SUFFIXES = (".npy", ".npz", ".pkl", ".pickle")


def sniff(path: str, head: bytes) -> bool:
    """Say whether the file is an array, an archive of arrays, or a pickle that is called so."""
    if head.startswith(_MAGIC):
        return True
    if not head.startswith((_ZIP, b"\x80")):
        return False
    if head.startswith(b"\x80"):
        return path.lower().endswith(_SUFFIXES)
    return b".npy" in head[:300] or path.lower().endswith(".npz")


def find(path: str, stamp: tuple[int, int], stated: Stated) -> Contents:
    """List the arrays of a file; ``stamp`` is its size and time of change."""
    with open(path, "rb") as stream:
        head = stream.read(len(_MAGIC))
    if head.startswith(b"\x80"):
        raise SignalError(
            "this is a Python pickle, which can run programs when it is opened and is not read",
            where=path,
            remedy="Save the numbers with numpy.save",
        )
    return _find_npy(path) if head == _MAGIC else _find_npz(path, stamp)


def _find_npy(path: str) -> Contents:
    mapped = _map(path)
    return Contents(path, "NPY", (Array("", mapped.shape, mapped.dtype, partial(_row, mapped)),))


def _row(mapped: NDArray[Any], row: int | None) -> NDArray[Any]:
    # A copy, so that the file is closed when the record is there.
    return np.array(mapped if row is None else mapped[row])


def _map(path: str) -> NDArray[Any]:
    """Map an array without reading it; its rows are read one by one."""
    try:
        with open(path, "rb") as stream:
            shape, dtype = _header(stream)
        if dtype.hasobject or 0 in shape:
            return np.empty(shape, dtype)  # objects are refused by their type, never loaded
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except MemoryError:
        raise
    except Exception as error:  # of any kind: the header is Python text, the archive compressed
        raise _damaged(path, "NPY", error) from None


@lru_cache(maxsize=1)
def _find_npz(path: str, stamp: tuple[int, int]) -> Contents:
    """List an archive's arrays from their headers; facts are read, the others when they are asked for."""
    try:
        with zipfile.ZipFile(path) as archive:
            headers = {}
            for member in archive.infolist():
                if member.filename.endswith(".npy"):
                    with archive.open(member) as stream:
                        shape, dtype = _header(stream)
                    # A damaged header must not ask for all the memory there is.
                    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > member.file_size:
                        raise ValueError(f"{member.filename} is shorter than its header says")
                    headers[member.filename.removesuffix(".npy")] = shape, dtype
        if not headers:
            raise SignalError("it holds no NumPy arrays", where=path)
        with np.load(path, allow_pickle=False) as content:
            pairs = [
                (name, content[name])
                for name, (_, dtype) in headers.items()
                if is_fact(name) and not dtype.hasobject
            ]
    except (MemoryError, SignalError):
        raise
    except Exception as error:  # as above
        raise _damaged(path, "NPZ", error) from None
    facts = facts_of(pairs, path)
    return Contents(
        path,
        "NPZ",
        tuple(
            Array(name, shape, dtype, partial(_member, path, stamp, name), facts)
            for name, (shape, dtype) in headers.items()
        ),
    )


def _member(path: str, stamp: tuple[int, int], name: str, row: int | None) -> NDArray[Any]:
    whole = _whole(path, stamp, name)
    return whole if row is None else whole[row]


# An archive's array can only be read as a whole: it is kept, so that the next row costs nothing.
@lru_cache(maxsize=1)
def _whole(path: str, stamp: tuple[int, int], name: str) -> NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as content:
            return np.asarray(content[name])
    except (MemoryError, SignalError):
        raise
    except Exception as error:  # as above
        raise _damaged(path, "NPZ", error) from None


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _damaged(path: str, kind: str, error: BaseException) -> SignalError:
    there = os.path.getsize(path) if os.path.exists(path) else 0
    return SignalError(
        f"the {kind} file is truncated or damaged ({there} bytes: {' '.join(str(error).split())})",
        where=path,
        remedy="Copy or save it again",
    )
