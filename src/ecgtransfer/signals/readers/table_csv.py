"""CSV recordings: a column per lead, a line per sample; or numbers without a header, in any orientation.

The header names the leads, with the unit in brackets or in a second line (``I [mV]``; rdsamp of the WFDB
package writes the latter). A column of times gives the sampling rate, leading lines such as ``# fs: 500``
give facts. Separators: comma, semicolon, tab or blanks; a decimal comma where the separator is not one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers.arrays import Array, Contents
from ecgtransfer.signals.readers.csv_time import TIME_UNITS, check_index, clock, rate_of
from ecgtransfer.signals.readers.facts import Facts, facts_of
from ecgtransfer.signals.readers.stated import Stated, parse_units, says_nothing
from ecgtransfer.signals.record import standard_lead

_TIME = re.compile(
    r"(?:elapsed |relative )?(?:time|times|t|timestamp|zeit|temps)|seconds?|secs?|milliseconds?|ms"
)
_INDEX = frozenset(("", "sample", "samples", "sample #", "sample number", "index", "n", "#", "unnamed: 0"))
_FACT = re.compile(r"#+\s*([\w .-]+?)\s*[:=]\s*(\S.*)")
_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "-"))
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_INFINITE = re.compile(r"[-+]?inf(?:inity)?")


@dataclass(frozen=True)
class _Column:
    """A column's name and unit as the header has them; ``kind`` is lead, time or index."""

    name: str
    unit: str | None
    kind: str


@dataclass(frozen=True)
class _Table:
    """A file's numbers [lines, columns], what the header says of the columns, and where the numbers begin."""

    values: NDArray[np.float64]
    columns: tuple[_Column, ...] | None
    facts: Facts
    first_line: int


def sniff(path: str, head: bytes) -> bool:
    """Say whether the file is text that is called CSV, or whose lines are numbers."""
    if b"\0" in head or not head.strip():
        return False
    if path.lower().endswith((".csv", ".tsv")):
        return True
    try:
        # The head may end within a character.
        lines = head.decode("utf-8-sig", errors="strict" if len(head) < 4000 else "ignore").splitlines()
    except UnicodeDecodeError:
        return False
    lines = [line for line in lines if line.strip() and not line.startswith("#")][:8]
    body = lines[2:-1] or lines[1:] or lines
    delimiter = _delimiter(body[0]) if body else ","
    return bool(body) and all(_is_data(_cells(line, delimiter)) for line in body)


def find(path: str, stamp: tuple[int, int], stated: Stated) -> Contents:
    """Read a file's numbers and header; ``stamp`` is its size and time of change."""
    table = _parse(path, stamp)
    if table.columns is None:
        values, facts = table.values, table.facts
        array = Array(
            "", values.shape, values.dtype, lambda row: values if row is None else values[row], facts
        )
        return Contents(path, "CSV", (array,))
    leads = [place for place, column in enumerate(table.columns) if column.kind == "lead"]
    if not leads:
        raise SignalError("no column of the header is a lead", where=path)
    names = tuple(table.columns[place].name for place in leads)
    units = tuple(table.columns[place].unit for place in leads)
    rate, unclear = None, []
    for place, column in enumerate(table.columns):
        values = table.values[:, place]
        if column.kind == "index":
            check_index(values, column.name, path, table.first_line)
        elif column.kind == "time":
            wanted = stated.sampling_rate if table.facts.sampling_rate is None else table.facts.sampling_rate
            rate = rate_of(values, column.name, column.unit, wanted, path, table.first_line)
            if rate is None and wanted is None:
                unclear.append(f"column {column.name!r} without a unit")
    facts = Facts(
        rate,
        None if all(unit is None for unit in units) else tuple(unit or "" for unit in units),
        None if all(name.isdigit() for name in names) else names,
        tuple(unclear),
    ).over(table.facts)
    signal = table.values if len(leads) == len(table.columns) else table.values[:, leads]
    array = Array("", signal.shape, signal.dtype, lambda row: signal, facts, samples_first=True)
    return Contents(path, "CSV", (array,))


@lru_cache(maxsize=1)
def _parse(path: str, stamp: tuple[int, int]) -> _Table:
    with open(path, "rb") as stream:
        content = stream.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # as spreadsheets write it: every byte is a character
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    start = 0
    while start < len(lines) and (not lines[start].strip() or lines[start].startswith("#")):
        start += 1
    if start == len(lines):
        raise SignalError("it holds no numbers", where=path)
    pairs = [found.groups() for line in lines[:start] if (found := _FACT.fullmatch(line.strip()))]
    facts = facts_of([(name, value) for name, value in pairs], path)
    delimiter = _delimiter(lines[start])
    columns, start = _header(lines, start, delimiter)
    values = _numbers(path, lines, start, delimiter, columns)
    if columns is None and values.shape[1] >= 3:
        first = values[0] - values[0, 0]
        if values[0, 0] in (0, 1) and np.array_equal(first, np.arange(len(first))):
            raise SignalError(
                f"its first line counts {values[0, 0]:g}, {values[0, 1]:g}, {values[0, 2]:g}, …: column "
                "numbers, or samples",
                where=f"{path}, line {start + 1}",
                remedy="Replace it by the names of the leads",
            )
    if columns is not None and columns[-1].name == "" and bool(np.isnan(values[:, -1]).all()):
        # Every line ends with a separator.
        columns, values = columns[:-1], values[:, :-1]
    return _Table(values, columns, facts, start + 1)


def _header(lines: list[str], start: int, delimiter: str | None) -> tuple[tuple[_Column, ...] | None, int]:
    """Return the columns, or None where the first line is numbers, and where the numbers begin."""
    first = _cells(lines[start], delimiter)
    numbered = [str(place) for place in range(len(first) - 1)]
    # As data frames are written: an unnamed column that counts the lines, and columns without a name.
    framed = len(first) > 2 and [cell.strip() for cell in first] == ["", *numbered]
    if _is_data(first) and not framed:
        return None, start
    start += 1
    units: Sequence[str | None] = [None] * len(first)
    if start < len(lines):
        second = [_unquoted(cell) for cell in _cells(lines[start], delimiter)]
        if len(second) == len(first) and not _is_data(second) and all(map(_is_unit, second)):
            units, start = second, start + 1
    return tuple(_column(_unquoted(cell), unit) for cell, unit in zip(first, units, strict=True)), start


def _column(text: str, unit: str | None) -> _Column:
    if found := re.fullmatch(r"(.*?)\s*(?:\[([^\]]*)\]|\(([^)]*)\)|/\s*(\S+))", text):
        inside = next(group for group in found.groups()[1:] if group is not None)
        if text.endswith("]") or _is_unit(inside):
            text, unit = found[1], inside
    name = text.strip()
    key = name.lower().replace("_", " ")
    if found := re.fullmatch(r"(time|t) (s|sec|seconds|ms|us)", key):
        key, unit = found[1], found[2]
    if _TIME.fullmatch(key):
        own = key if key in TIME_UNITS and key != "t" else None
        return _Column(name, unit or own, "time")
    return _Column(name if key in _INDEX else standard_lead(name), unit, "index" if key in _INDEX else "lead")


def _numbers(
    path: str, lines: list[str], start: int, delimiter: str | None, columns: tuple[_Column, ...] | None
) -> NDArray[np.float64]:
    body = lines[start:]
    if not body:
        raise SignalError("there is nothing below the header", where=path)
    if delimiter != "," and not any("." in line for line in body):
        body = [line.replace(",", ".") for line in body]
    width = len(_cells(body[0], delimiter)) if columns is None else len(columns)
    if all(body):  # an empty line would be skipped, and might be a missing sample
        try:
            values = np.loadtxt(body, delimiter=delimiter, comments=None, ndmin=2)
            if values.shape[1] == width:
                return values
        except ValueError:
            pass  # empty cells, or something that is none: cell by cell, to say where
    parsed = np.empty((len(body), width))
    for number, line in enumerate(body, start=start + 1):
        cells = _cells(line, delimiter)
        if len(cells) != width or not line.strip():
            found = (
                f"{len(cells)} cells where there are {width} before" if line.strip() else "the line is empty"
            )
            raise SignalError(found, where=f"{path}, line {number}", remedy="Write one line per sample")
        for place, cell in enumerate(cells):
            value = _number(cell)
            if value is None and columns is not None and columns[place].kind == "time":
                value = clock(cell)
            if value is None:
                named = columns[place].name if columns is not None and columns[place].name else place + 1
                raise SignalError(
                    f"{_shown(cell)} in column {named} is not a number",
                    where=f"{path}, line {number}",
                    remedy="Samples are numbers; a cell without a sample is empty",
                )
            parsed[number - start - 1, place] = value
    return parsed


def _number(cell: str) -> float | None:
    text = _unquoted(cell)
    if _NUMBER.fullmatch(text):
        return float(text)
    text = text.lower()
    if text in _MISSING:
        return float("nan")
    return float(text) if _INFINITE.fullmatch(text) else None


def _cells(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    if '"' in line:
        return next(csv.reader(io.StringIO(line), delimiter=delimiter), [])
    return line.split(delimiter)


def _delimiter(line: str) -> str | None:
    for delimiter in ("\t", ";", ","):
        if delimiter in line:
            return delimiter
    # Blanks separate numbers, but not the words of a lead's name.
    return None if len(line.split()) > 1 and _is_data(line.split()) else ","


def _is_data(cells: Sequence[str]) -> bool:
    """Say whether all cells are numbers or empty; "nan" alone is no name of a lead."""
    return any(cells) and all(_number(cell.replace(",", ".")) is not None for cell in cells)


def _is_unit(text: str) -> bool:
    return parse_units(text) is not None or says_nothing(text) or text.lower() in TIME_UNITS


def _unquoted(cell: str) -> str:
    return cell.strip().strip("'\"").strip()


def _shown(cell: str) -> str:
    return repr(cell.strip() if len(cell.strip()) <= 30 else cell.strip()[:27] + "...")
