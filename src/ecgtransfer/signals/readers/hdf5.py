"""HDF5 files, and MATLAB v7.3, which is HDF5 with its axes reversed and text as numbers.

Facts (``fs``, ``units``, ``leads``) may be attributes of the dataset or of any group around it, or small
datasets beside it; the nearest counts. Format: https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers.arrays import Array, Contents
from ecgtransfer.signals.readers.facts import Facts, facts_of, is_fact
from ecgtransfer.signals.readers.stated import Stated

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MATLAB = b"MATLAB 7.3"
_NO_NUMBERS = frozenset(("char", "cell", "logical", "function_handle", "string"))
_LARGEST_FACT = 10_000  # values: a dataset beyond is no list of names
_LARGEST_BLOCK = 2**28  # bytes


def sniff(path: str, head: bytes) -> bool:
    """Say whether the file is HDF5; a user block of 512, 1024 or 2048 bytes may come first."""
    return head.startswith(_SIGNATURE) or any(
        head[offset : offset + len(_SIGNATURE)] == _SIGNATURE for offset in (512, 1024, 2048)
    )


def find(path: str, stamp: tuple[int, int], stated: Stated) -> Contents:
    """List the datasets of a file; ``stamp`` is its size and time of change."""
    return _find(path, stamp)


@lru_cache(maxsize=1)  # a file that holds many records is searched once
def _find(path: str, stamp: tuple[int, int]) -> Contents:
    with open(path, "rb") as stream:
        matlab = stream.read(len(_MATLAB)) == _MATLAB
    with _open(path) as file:
        try:
            arrays = tuple(_arrays(file, path, stamp, matlab))
        except (MemoryError, SignalError):
            raise
        except Exception as error:  # h5py raises whatever a damaged file leads it to
            raise _damaged(path, error) from None
    return Contents(path, "MAT v7.3" if matlab else "HDF5", arrays)


def _arrays(file: Any, path: str, stamp: tuple[int, int], matlab: bool) -> Iterator[Array]:
    import h5py

    datasets: dict[str, Any] = {}

    def visit(name: str, thing: Any) -> None:
        if isinstance(thing, h5py.Dataset) and not name.startswith("#"):
            datasets[name] = thing

    file.visititems(visit)  # hard links only: no other file is opened, and no circle walked
    beside: dict[str, list[str]] = {}
    for name in datasets:
        beside.setdefault(name.rpartition("/")[0], []).append(name)
    levels: dict[str, Facts] = {}

    def around(group: str) -> Facts:
        if group not in levels:
            pairs = list(_attributes(file[group] if group else file))
            pairs += [(name, _value(file, datasets[name])) for name in beside.get(group, []) if is_fact(name)]
            own = facts_of(pairs, path)
            levels[group] = own.over(around(group.rpartition("/")[0])) if group else own
        return levels[group]

    for name, dataset in datasets.items():
        if dataset.shape is None or (matlab and _matlab_class(dataset) in _NO_NUMBERS):
            continue
        facts = facts_of(_attributes(dataset), path).over(around(name.rpartition("/")[0]))
        yield Array(
            name.replace("/", ".") if matlab else name,
            dataset.shape[::-1] if matlab else dataset.shape,
            dataset.dtype,
            partial(_read, path, stamp, name, matlab),
            facts,
        )


def _read(path: str, stamp: tuple[int, int], name: str, matlab: bool, row: int | None) -> NDArray[Any]:
    with _open(path) as file:
        dataset = file[name]
        if dataset.is_virtual or dataset.external:
            # A file must not make a program read others elsewhere on the machine.
            raise SignalError(f"the samples of {name} lie in another file", where=path)
        try:
            if row is None:
                return _turned(dataset[()], matlab)
            axis = dataset.ndim - 1 if matlab else 0
            step = dataset.chunks[axis] if dataset.chunks else 1
            size = dataset.dtype.itemsize * math.prod(dataset.shape) // max(dataset.shape[axis], 1) * step
            if size > _LARGEST_BLOCK:
                return _turned(np.take(dataset, row, axis) if matlab else dataset[row], matlab)
        except MemoryError:
            raise
        except Exception as error:
            raise _damaged(path, error) from None
    block = _block(path, stamp, name, axis, row // step * step, step)
    return _turned(np.take(block, row % step, axis), matlab)


# Chunks are compressed as a whole and often hold many records: the last ones are kept.
@lru_cache(maxsize=1)
def _block(path: str, stamp: tuple[int, int], name: str, axis: int, first: int, step: int) -> NDArray[Any]:
    with _open(path) as file:
        try:
            part = slice(first, first + step)
            return np.asarray(file[name][(slice(None),) * axis + (part,)])
        except MemoryError:
            raise
        except Exception as error:
            raise _damaged(path, error) from None


def _turned(values: Any, matlab: bool) -> NDArray[Any]:
    return np.asarray(values).T if matlab else np.asarray(values)


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    for name in thing.attrs:
        if is_fact(name):
            try:
                yield name, thing.attrs[name]
            except (OSError, TypeError, ValueError):
                continue  # of a type that h5py does not know: then the owner has to state it


def _value(file: Any, dataset: Any) -> Any:
    """Return a small dataset's value, text as text."""
    if dataset.shape is None or math.prod(dataset.shape) > _LARGEST_FACT:
        return None
    kind = _matlab_class(dataset)
    if kind == "char":
        return _matlab_text(dataset)
    if kind == "cell":
        cells = [file[reference] for reference in np.asarray(dataset).ravel()]
        return [_matlab_text(cell) for cell in cells if _matlab_class(cell) == "char"]
    value = dataset[()]
    return value if isinstance(value, bytes | str) else np.asarray(value)


def _matlab_class(dataset: Any) -> str:
    kind = dataset.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _matlab_text(dataset: Any) -> str | list[str]:
    """Return the text of a char array: a row is one, a matrix one per row."""
    if "MATLAB_empty" in dataset.attrs:
        return ""
    rows = ["".join(map(chr, row)).strip() for row in np.atleast_2d(np.asarray(dataset).T)]
    return rows[0] if len(rows) == 1 else rows


def _open(path: str) -> Any:
    try:
        import h5py
    except ImportError:
        raise SignalError(
            "an HDF5 file is read with h5py, which is not installed",
            where=path,
            remedy="Install it: pip install h5py",
        ) from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise _damaged(path, error) from None


def _damaged(path: str, error: BaseException) -> SignalError:
    return SignalError(
        f"the HDF5 file cannot be read ({' '.join(str(error).split())[:160]})",
        where=path,
        remedy="Copy or save it again",
    )
