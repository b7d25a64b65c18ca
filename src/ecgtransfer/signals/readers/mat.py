"""MATLAB files: v4 and v5 to v7.2 with scipy; v7.3 is HDF5 and read there.

Layout of v4 and v5: "MAT-File Format", The MathWorks. Variables, and fields of scalar structs, can be
named as ``ECG.data``; ``fs``, ``units`` and ``leads`` beside the signal or anywhere around it are facts.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers.arrays import Array, Contents
from ecgtransfer.signals.readers.facts import NO_FACTS, Facts, facts_of
from ecgtransfer.signals.readers.stated import Stated

_V5 = b"MATLAB 5.0"
_ITEM = (8, 4, 4, 2, 2, 1)  # bytes per number by the P digit of a v4 header
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")


def sniff(path: str, head: bytes) -> bool:
    """Say whether the file begins as MAT v4 or v5."""
    return _is_v5(head) or _v4_size(head) is not None or (path.lower().endswith(".mat") and bool(head))


def find(path: str, stamp: tuple[int, int], stated: Stated) -> Contents:
    """Read a file's arrays; ``stamp`` is its size and time of change."""
    return _find(path, stamp)


@lru_cache(maxsize=1)  # a file that holds many records is read once
def _find(path: str, stamp: tuple[int, int]) -> Contents:
    with open(path, "rb") as stream:
        head = stream.read(512)
    needed = _v4_size(head)
    if needed is None and not _is_v5(head):
        raise SignalError(
            "this is no MATLAB file, whatever it is called: it may be encrypted or damaged",
            where=path,
            remedy="A signal file of a WFDB record needs its .hea header beside it",
        )
    if needed is not None and needed > os.path.getsize(path):
        raise SignalError(
            f"the file is truncated: {os.path.getsize(path)} of {needed} bytes are there",
            where=path,
            remedy="Copy or download it again",
        )
    try:
        from scipy.io import loadmat
    except ImportError:
        raise SignalError(
            "a MATLAB file is read with scipy, which is not installed",
            where=path,
            remedy="Install it: pip install scipy",
        ) from None
    try:
        variables = loadmat(path)
    except Exception as error:  # scipy raises whatever a damaged file leads it to
        raise SignalError(
            f"the MATLAB file cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:120]})",
            where=path,
            remedy="Save it again; an encrypted file has to be opened first",
        ) from None
    own = {name: value for name, value in variables.items() if not name.startswith("__")}
    version = "MAT v4" if needed is not None else "MAT v5"
    return Contents(path, version, tuple(_arrays(own, "", NO_FACTS, path)))


def _arrays(level: dict[str, Any], prefix: str, around: Facts, path: str) -> Iterator[Array]:
    """Yield the arrays of a level, then those of the structs in it, with the facts of all levels around."""
    facts = facts_of(level.items(), path).over(around)
    for name, value in level.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind in "OSU":
            continue
        if value.dtype.names is None:
            yield Array(prefix + name, value.shape, value.dtype, _part(value), facts)
    for name, value in level.items():
        if isinstance(value, np.ndarray) and value.dtype.names is not None and value.size == 1:
            fields = value.ravel()[0]
            inner = {field: fields[field] for field in value.dtype.names}
            yield from _arrays(inner, f"{prefix}{name}.", facts, path)


def _part(value: NDArray[Any]) -> Any:
    def read(row: int | None) -> NDArray[Any]:
        return value if row is None else np.asarray(value[row])

    return read


def _is_v5(head: bytes) -> bool:
    return head.startswith(_V5) and head[126:128] in (b"IM", b"MI")


def _v4_size(head: bytes) -> int | None:
    """Return the size in bytes of the first variable with its header, or None where this is not MAT v4."""
    if len(head) < 22:
        return None
    for order in "<>":
        kind, rows, columns, imaginary, length = struct.unpack(f"{order}5i", head[:20])
        digits = kind // 1000, kind // 100 % 10, kind // 10 % 10, kind % 10
        if digits[0] != (order == ">") or digits[1] != 0 or digits[2] >= len(_ITEM) or digits[3] > 2:
            continue
        if rows < 0 or columns < 0 or imaginary not in (0, 1) or not 2 <= length <= 256:
            continue
        name = head[20 : 20 + length]
        if name[-1:] == b"\0" and _NAME.fullmatch(name[:-1]):
            return int(20 + length + rows * columns * _ITEM[digits[2]] * (1 + imaginary))
    return None
