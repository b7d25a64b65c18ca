"""The CSV table of a user's own recordings: one row per recording.

The column ``file`` is needed; ``patient``, ``age`` and ``sex`` are known, and ``row``, ``variable``,
``sampling_rate`` (or ``fs``), ``units`` and ``leads`` of files that do not say it; every other column is a
statement with 1 (present), 0 (absent) or nothing (unknown). A column ``AF (second)`` beside ``AF`` holds a
second reader's opinion in the same way: networks never see it, it tells how far labels agree.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ecgtransfer.datasets.sources.source import Entry, Rejection, Request, Sex, parse_age
from ecgtransfer.errors import ConfigError, DataError, nearest
from ecgtransfer.signals import Stated
from ecgtransfer.signals.readers.stated import FORMS_OF_UNITS, split_leads

_FACTS = ("sampling_rate", "units", "leads", "variable")
_KNOWN = ("file", "row", "patient", "age", "sex", *_FACTS)
_ALIASES = {"fs": "sampling_rate"}
_SECOND = " (second)"
# How a user of the folder states what a file does not say.
STATE = {
    "sampling_rate": "the rate in Hz with --file-rate or in a column 'sampling_rate'",
    "units": f"the unit ({FORMS_OF_UNITS}) with --file-units or in a column 'units'",
    "leads": "the leads in the order of the file with --file-leads or in a column 'leads'",
    "variable": "the name of one with --file-variable or in a column 'variable'",
    "row": "the place of each recording in its file, 0, 1, 2, …, in a column 'row'",
}
_SEX: dict[str, Sex | None] = {"": None, "m": "male", "male": "male", "f": "female", "female": "female"}
_VALUES = {"": None, "1": 1, "1.0": 1, "0": 0, "0.0": 0}


class Table(NamedTuple):
    """A table as it was read: the statements it has, its rows in their order, and those that are unusable."""

    path: Path
    codes: tuple[str, ...]
    entries: list[Entry]
    rejected: list[Rejection]


def read_table(root: Path, request: Request) -> Table:
    """Read the table named, or the folder's only one.

    Raises
    ------
    DataError
        If there is none, if its columns cannot be meant so, or if a recording is in two rows.
    """
    table = request.table if request.table is not None else _only_table(root)
    header, rows = _read(table)
    names = [_ALIASES.get(name.lower(), name.lower() if name.lower() in _KNOWN else name) for name in header]
    if "file" not in names:
        raise DataError(
            "there is no column 'file'",
            where=table,
            remedy=f"Its columns are {', '.join(header)}; name the one with the recordings' files 'file'",
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"column {twice[0]!r} occurs twice", where=table, remedy="Rename or remove one of them"
        )
    codes = tuple(name for name in names if name not in _KNOWN and not name.endswith(_SECOND))
    alone = [name for name in names if name.endswith(_SECOND) and name.removesuffix(_SECOND) not in codes]
    if alone:
        raise DataError(
            f"there is a column {alone[0]!r} and none {alone[0].removesuffix(_SECOND)!r}",
            where=table,
            remedy="A second reader's opinion needs the first beside it: add the column or rename this one",
        )
    if not codes:
        raise DataError(
            "there is no statement column",
            where=table,
            remedy="Add a column per statement with 1, 0 or nothing",
        )
    entries: list[Entry] = []
    rejected: list[Rejection] = []
    lines: dict[str, tuple[int, Entry]] = {}
    said = _Said(root, table, request.stated)
    for number, cells in rows:
        where = f"{table.name}, line {number}"
        try:
            entry = _entry(names, cells, said, where)
        except DataError as error:
            # One row that cannot be understood must not cost the others.
            rejected.append(Rejection(f"line {number}", _file_cell(names, cells), str(error)))
            continue
        if entry.record_id in lines:
            raise _twice(entry, *lines[entry.record_id], root, where)
        lines[entry.record_id] = number, entry
        entries.append(entry)
    return Table(table, codes, entries, rejected)


def stem(file: str) -> str:
    """Return a file's name without its suffix, with its folders."""
    return Path(file).with_suffix("").as_posix()


class _Said:
    """What cells say about files, worked out once for equal cells: a file may have 100,000 rows."""

    def __init__(self, root: Path, table: Path, general: Stated) -> None:
        self._root, self._table, self._general = root, table, general
        self._files: dict[str, str | None] = {}
        self._stated: dict[tuple[str, ...], dict[str, Any]] = {}

    def file(self, name: str) -> str | None:
        """Return the file relative to the folder, None where it is not there."""
        if name not in self._files:
            self._files[name] = _resolve(self._root, self._table, name)
        return self._files[name]

    def stated(self, row: Mapping[str, str], where: str) -> dict[str, Any]:
        """Return what is stated about a row's file, by the row or else for all files."""
        cells = tuple(row.get(name, "") for name in _FACTS)
        if cells not in self._stated:
            self._stated[cells] = _stated(row, where).over(self._general).to_json()
        return self._stated[cells]


def _entry(names: list[str], cells: list[str], said: _Said, where: str) -> Entry:
    """Return what a row says; a `DataError` says why it cannot be used."""
    if len(cells) != len(names):
        raise DataError(f"{len(cells)} cells where the header has {len(names)}", where=where)
    row = dict(zip(names, (cell.strip() for cell in cells), strict=True))
    values = {name: _value(name, text, where) for name, text in row.items() if name not in _KNOWN}
    second = {name.removesuffix(_SECOND): value for name, value in values.items() if name.endswith(_SECOND)}
    values = {name: value for name, value in values.items() if not name.endswith(_SECOND)}
    patient = row.get("patient") or None
    if not row["file"]:
        raise DataError(f"it names no file{f' (patient {patient})' if patient else ''}", where=where)
    age, flags = parse_age(row.get("age", ""), where=where)
    sex = row.get("sex", "").lower()
    if sex not in _SEX:
        raise DataError(f"sex {row['sex']!r} is not male or female", where=where, remedy="m, f, or nothing")
    file = said.file(row["file"])
    if file is None:
        raise DataError(f"it names a file that is not there, {row['file']}", where=where)
    how: dict[str, Any] = {}
    record_id = stem(file)
    if stated := said.stated(row, where):
        how["stated"] = stated
    if row.get("variable"):
        record_id += f"/{row['variable']}"
    if row.get("row"):
        how["row"] = _place(row["row"], where)
        record_id += f"/{how['row']:05d}"
    return Entry(record_id, file, values, patient, age, _SEX[sex], flags=flags, how=how, second=second)


def _stated(row: Mapping[str, str], where: str) -> Stated:
    """Return what a row states about its file."""
    cells: dict[str, Any] = {name: row[name] for name in _FACTS if row.get(name)}
    try:
        if "leads" in cells:
            cells["leads"] = split_leads(cells["leads"])
        return Stated(**cells)
    except ConfigError as error:
        raise DataError(error.what, where=where, remedy=error.remedy) from None


def _place(text: str, where: str) -> int:
    # Spreadsheets and data frames write whole numbers as 17.0 where other cells of the column are empty.
    digits = text.removesuffix(".0")
    if not (digits.isascii() and digits.isdigit()):
        raise DataError(f"row {text!r} is no place in a file", where=where, remedy="Count from 0")
    return int(digits)


def _twice(entry: Entry, line: int, first: Entry, root: Path, where: str) -> DataError:
    if entry.file != first.file and not (root / f"{stem(entry.file)}.hea").is_file():
        return DataError(
            f"{first.file} (line {line}) and {entry.file} would both be called {entry.record_id}",
            where=where,
            remedy="Rename one of the files",
        )
    several = "" if entry.file.endswith(".hea") or "row" in entry.how else f". If it holds several: {_ROWS}"
    return DataError(
        f"{entry.file} is also in line {line}", where=where, remedy=f"Keep one row per recording{several}"
    )


_ROWS = f"state {STATE['row']}"


def _file_cell(names: list[str], cells: list[str]) -> str:
    place = names.index("file")
    return cells[place].strip() if place < len(cells) else ""


def _only_table(root: Path) -> Path:
    tables = sorted(root.glob("*.csv"))
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables[:5])
        found += ", …" if len(tables) > 5 else ""
        if not tables:
            raise DataError(
                "it has no CSV table",
                where=root,
                remedy="Write one with the column 'file' and a column per statement, or name it with --table",
            )
        raise DataError(
            f"the folder has {len(tables)} CSV tables ({found}), one is needed",
            where=root,
            remedy="Name the table with --table",
        )
    return tables[0]


def _read(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    if not table.is_file():
        raise DataError("there is no such table", where=table, remedy="Name a CSV file with --table")
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(
            "the table is not UTF-8 text", where=table, remedy="Save it as CSV in UTF-8"
        ) from None
    first = text.split("\n", 1)[0]
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DataError(f"the table is no CSV: {error}", where=f"{table}, line {reader.line_num}") from None
    if not rows:
        raise DataError("the table is empty", where=table, remedy="Write a header and a row per recording")
    return [cell.strip() for cell in rows[0][1]], rows[1:]


def _value(code: str, text: str, where: str) -> int | None:
    if text in _VALUES:
        return _VALUES[text]
    close = nearest(code.lower(), _KNOWN)
    hint = f" {close.split(' Known')[0]}" if close.startswith("Did you mean") else ""
    raise DataError(
        f"column {code!r} has {text!r}, which is neither 1, 0 nor empty",
        where=where,
        remedy=f"Every column but {', '.join(_KNOWN[:-1])} and {_KNOWN[-1]} is a statement: rename or remove "
        f"it.{hint}",
    )


def _resolve(root: Path, table: Path, name: str) -> str | None:
    """Return the file relative to ``root``; it may lie beside the table, and be named without ``.hea``."""
    for base in (root, table.parent):
        for candidate in (base / name, base / f"{name}.hea"):
            if candidate.is_file():
                return Path(os.path.relpath(candidate, root)).as_posix()
    return None
