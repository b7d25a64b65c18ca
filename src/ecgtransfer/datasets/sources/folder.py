"""A user's own recordings: a folder of files and a CSV table that labels them.

The table has one row per recording. The column ``file`` is needed; ``patient``, ``age`` and ``sex`` are
known; every other column is a statement with 1 (present), 0 (absent) or nothing (unknown).

Files other than WFDB may hold several recordings and seldom say everything. The columns ``row`` (the place in
its file, from 0), ``variable``, ``sampling_rate`` (or ``fs``), ``units`` and ``leads`` state what is missing,
or for all files at once `Request.stated` does; a cell counts more than that.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgtransfer import signals
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Sex, Source, parse_age
from ecgtransfer.errors import ConfigError, DataError, EcgTransferError, SignalError, nearest
from ecgtransfer.signals import STANDARD_LEADS, Record, Stated, UnstatedError
from ecgtransfer.signals.readers.stated import FORMS_OF_UNITS, split_leads

_FACTS = ("sampling_rate", "units", "leads", "variable")
_KNOWN = ("file", "row", "patient", "age", "sex", *_FACTS)
_ALIASES = {"fs": "sampling_rate"}
# How a user of the folder states what a file does not say.
_STATE = {
    "sampling_rate": "the rate in Hz with --file-rate or in a column 'sampling_rate'",
    "units": f"the unit ({FORMS_OF_UNITS}) with --file-units or in a column 'units'",
    "leads": "the leads in the order of the file with --file-leads or in a column 'leads'",
    "variable": "the name of one with --file-variable or in a column 'variable'",
    "row": "the place of each recording in its file, 0, 1, 2, …, in a column 'row'",
}
_SEX: dict[str, Sex | None] = {"": None, "m": "male", "male": "male", "f": "female", "female": "female"}
_VALUES = {"": None, "1": 1, "1.0": 1, "0": 0, "0.0": 0}


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read a file, or one record of it: ``how`` has its ``row``, and what is ``stated`` about it.

    Raises
    ------
    SignalError
        As `signals.read`; what is missing comes with the option or column that states it.
    """
    stated = Stated.from_json(how["stated"]) if "stated" in how else None
    try:
        return signals.read(path, stated=stated, row=how.get("row"))
    except UnstatedError as error:
        state = "; ".join(_STATE[fact] for fact in error.facts)
        raise SignalError(f"{error.what}: state {state}", where=error.where) from None


def _list_records(root: Path, request: Request) -> Listing:
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
    codes = tuple(name for name in names if name not in _KNOWN)
    if not codes:
        raise DataError(
            "there is no statement column",
            where=table,
            remedy="Add a column per statement with 1, 0 or nothing",
        )
    entries: list[Entry] = []
    rejected: list[Rejection] = []
    lines: dict[str, tuple[int, Entry]] = {}
    for number, cells in rows:
        where = f"{table.name}, line {number}"
        try:
            entry = _entry(names, cells, root, table, where, request.stated)
        except DataError as error:
            # One row that cannot be understood must not cost the others.
            rejected.append(Rejection(f"line {number}", _file_cell(names, cells), str(error)))
            continue
        if entry.record_id in lines:
            raise _twice(entry, *lines[entry.record_id], root, where)
        lines[entry.record_id] = number, entry
        entries.append(entry)
    entries.sort(key=lambda entry: entry.record_id)
    with_patient = sum(entry.patient_id is not None for entry in entries)
    patients_known = bool(entries) and with_patient == len(entries)
    leads, leads_note = _leads(root, entries, request)
    notes = [leads_note] if leads_note else []
    if request.stated:
        facts = ", ".join(f"{key} {_shown(value)}" for key, value in request.stated.to_json().items())
        notes.append(f"stated for all files where the table says nothing else: {facts}")
    if not patients_known:
        what = "there is no patient column" if "patient" not in names else "some rows name no patient"
        notes.append(f"{what}, so separation by patient cannot be verified")
    unlisted = _unlisted(root, entries, rejected, table)
    if unlisted:
        notes.append(f"{len(unlisted)} recordings in the folder are not in {table.name}: see rejected.csv")
        rejected += [Rejection(name, name, f"{table.name} does not list it") for name in unlisted]
    notes += _unlisted_rows(root, entries, table)
    return Listing(
        root=root,
        entries=tuple(entries),
        leads=leads,
        annotates=codes,
        tasks={"all": [[code, [code]] for code in codes]},
        patients_known=patients_known,
        rejected=tuple(rejected),
        notes=tuple(notes),
    )


def _entry(names: list[str], cells: list[str], root: Path, table: Path, where: str, general: Stated) -> Entry:
    """Return what a row says; a `DataError` says why it cannot be used."""
    if len(cells) != len(names):
        raise DataError(f"{len(cells)} cells where the header has {len(names)}", where=where)
    row = dict(zip(names, (cell.strip() for cell in cells), strict=True))
    values = {name: _value(name, text, where) for name, text in row.items() if name not in _KNOWN}
    patient = row.get("patient") or None
    if not row["file"]:
        raise DataError(f"it names no file{f' (patient {patient})' if patient else ''}", where=where)
    age, flags = parse_age(row.get("age", ""), where=where)
    sex = row.get("sex", "").lower()
    if sex not in _SEX:
        raise DataError(f"sex {row['sex']!r} is not male or female", where=where, remedy="m, f, or nothing")
    file = _resolve(root, table, row["file"])
    if file is None:
        raise DataError(f"it names a file that is not there, {row['file']}", where=where)
    how: dict[str, Any] = {}
    record_id = _stem(file)
    if stated := _stated(row, where).over(general):
        how["stated"] = stated.to_json()
    if row.get("variable"):
        record_id += f"/{row['variable']}"
    if row.get("row"):
        how["row"] = _place(row["row"], where)
        record_id += f"/{how['row']:05d}"
    return Entry(record_id, file, values, patient, age, _SEX[sex], flags=flags, how=how)


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
    if entry.file != first.file and not (root / f"{_stem(entry.file)}.hea").is_file():
        return DataError(
            f"{first.file} (line {line}) and {entry.file} would both be called {entry.record_id}",
            where=where,
            remedy="Rename one of the files",
        )
    several = "" if entry.file.endswith(".hea") or "row" in entry.how else f". If it holds several: {_ROWS}"
    return DataError(
        f"{entry.file} is also in line {line}", where=where, remedy=f"Keep one row per recording{several}"
    )


_ROWS = f"state {_STATE['row']}"


def _file_cell(names: list[str], cells: list[str]) -> str:
    place = names.index("file")
    return cells[place].strip() if place < len(cells) else ""


def _only_table(root: Path) -> Path:
    tables = sorted(root.glob("*.csv"))
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables) or "none"
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


def _stem(file: str) -> str:
    return Path(file).with_suffix("").as_posix()


def _leads(root: Path, entries: list[Entry], request: Request) -> tuple[tuple[str, ...], str]:
    """Return the twelve leads where the first readable recording determines them, else its own leads."""
    if request.leads:
        return request.leads, ""
    # The rows of a file are refused alike: one attempt for each of them would take long.
    tried = {(entry.file, repr(entry.how.get("stated"))): entry for entry in reversed(entries)}
    for entry in sorted(tried.values(), key=lambda entry: entry.record_id):
        try:
            record = load(root / entry.file, entry.how)
        except (EcgTransferError, OSError, ValueError):
            continue  # prepare lists it with its reason
        missing = signals.arrange(record, STANDARD_LEADS)[2]
        leads = record.leads if missing else STANDARD_LEADS
        return leads, "" if not missing else f"leads are those of {entry.file}: {', '.join(leads)}"
    return STANDARD_LEADS, ""


def _unlisted(root: Path, entries: list[Entry], rejected: list[Rejection], table: Path) -> list[str]:
    """Return the recordings in the folder that no row names, told by the suffixes of those that are named."""
    suffixes = {".hea"} | {Path(entry.file).suffix for entry in entries} - {""}
    files = [entry.file for entry in entries] + [item.file for item in rejected if item.file]
    there = {path for path in root.rglob("*") if path.suffix in suffixes}
    there = {path for path in there if path.suffix != ".csv" or path.resolve() != table.resolve()}
    return sorted({_stem(path.relative_to(root).as_posix()) for path in there} - set(map(_stem, files)))


def _unlisted_rows(root: Path, entries: list[Entry], table: Path) -> list[str]:
    """Say of each file that holds several recordings how many of them no row of the table names."""
    rows: dict[str, dict[str, set[int]]] = {}
    for entry in entries:
        if "row" in entry.how:
            variable = entry.how.get("stated", {}).get("variable", "")
            rows.setdefault(entry.file, {}).setdefault(variable, set()).add(entry.how["row"])
    states = {entry.file: entry.how.get("stated", {}) for entry in entries}
    notes = []
    for file, variables in rows.items():
        for variable, named in variables.items():
            own = {**states[file], **({"variable": variable} if variable else {})}
            try:
                there = signals.n_records(root / file, stated=Stated.from_json(own))
            except (EcgTransferError, OSError, ValueError):
                continue  # prepare lists its records with the reason
            missing = there - sum(row < there for row in named)
            if missing:
                of = f"{file} ({variable})" if variable else file
                notes.append(f"{missing:,} of the {there:,} recordings in {of} are not in {table.name}")
    return notes


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


SOURCE = Source(
    name="folder",
    title="Your own recordings and a CSV table",
    records=None,
    patients=None,
    leads=STANDARD_LEADS,
    sampling_rate=None,
    licence="not stated",
    citation="not stated",
    address="not stated",
    annotates=(),
    tasks={},
    contains=lambda folder: next(folder.glob("*.csv"), None) is not None,
    list_records=_list_records,
    load=load,
    patients_known=False,
    signal_note="mV as the file or its owner says",
)
