"""A user's own recordings: a folder of files and a CSV table that labels them.

The table has one row per recording. The column ``file`` is needed; ``patient``, ``age`` and ``sex`` are
known; every other column is a statement with 1 (present), 0 (absent) or nothing (unknown).
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from ecgtransfer import signals
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Sex, Source, parse_age
from ecgtransfer.errors import DataError, EcgTransferError, nearest
from ecgtransfer.signals import STANDARD_LEADS

_KNOWN = ("file", "patient", "age", "sex")
_SEX: dict[str, Sex | None] = {"": None, "m": "male", "male": "male", "f": "female", "female": "female"}
_VALUES = {"": None, "1": 1, "1.0": 1, "0": 0, "0.0": 0}


def _list_records(root: Path, request: Request) -> Listing:
    table = request.table if request.table is not None else _only_table(root)
    header, rows = _read(table)
    names = [name if name.lower() not in _KNOWN else name.lower() for name in header]
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
    lines: dict[str, int] = {}
    for number, cells in rows:
        where = f"{table.name}, line {number}"
        try:
            entry = _entry(names, cells, root, table, where)
        except DataError as error:
            # One row that cannot be understood must not cost the others.
            rejected.append(Rejection(f"line {number}", _file_cell(names, cells), str(error)))
            continue
        if entry.record_id in lines:
            raise DataError(
                f"{entry.file} is also in line {lines[entry.record_id]}",
                where=where,
                remedy="Keep one row per recording",
            )
        lines[entry.record_id] = number
        entries.append(entry)
    entries.sort(key=lambda entry: entry.record_id)
    with_patient = sum(entry.patient_id is not None for entry in entries)
    patients_known = bool(entries) and with_patient == len(entries)
    leads, leads_note = _leads(root, entries, request)
    notes = [leads_note] if leads_note else []
    if not patients_known:
        what = "there is no patient column" if "patient" not in names else "some rows name no patient"
        notes.append(f"{what}, so separation by patient cannot be verified")
    unlisted = _unlisted(root, entries, rejected)
    if unlisted:
        notes.append(f"{len(unlisted)} recordings in the folder are not in {table.name}: see rejected.csv")
        rejected += [Rejection(name, name, f"{table.name} does not list it") for name in unlisted]
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


def _entry(names: list[str], cells: list[str], root: Path, table: Path, where: str) -> Entry:
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
    return Entry(_stem(file), file, values, patient, age, _SEX[sex], flags=flags)


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
        remedy=f"Every column but file, patient, age and sex is a statement: rename or remove it.{hint}",
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
    for entry in entries:
        try:
            record = signals.read(root / entry.file)
        except (EcgTransferError, OSError, ValueError):
            continue  # prepare lists it with its reason
        missing = signals.arrange(record, STANDARD_LEADS)[2]
        leads = record.leads if missing else STANDARD_LEADS
        return leads, "" if not missing else f"leads are those of {entry.file}: {', '.join(leads)}"
    return STANDARD_LEADS, ""


def _unlisted(root: Path, entries: list[Entry], rejected: list[Rejection]) -> list[str]:
    """Return the recordings in the folder that no row names, told by the suffixes of those that are named."""
    suffixes = {".hea"} | {Path(entry.file).suffix for entry in entries}
    named = {entry.record_id for entry in entries} | {_stem(item.file) for item in rejected if item.file}
    there = {path.relative_to(root) for path in root.rglob("*") if path.suffix in suffixes - {".csv"}}
    return sorted({_stem(path.as_posix()) for path in there} - named)


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
    patients_known=False,
)
