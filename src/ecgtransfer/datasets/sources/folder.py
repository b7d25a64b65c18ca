"""A user's own recordings: a folder of files and a CSV table that labels them (`folder_table`).

Files other than WFDB may hold several recordings and seldom say everything. The table's columns ``row`` (the
place in its file, from 0), ``variable``, ``sampling_rate`` (or ``fs``), ``units`` and ``leads`` state what is
missing, or for all files at once `Request.stated` does; a cell counts more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgtransfer import signals
from ecgtransfer.datasets.sources.folder_table import STATE, read_table, stem
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Source
from ecgtransfer.errors import EcgTransferError, SignalError
from ecgtransfer.signals import STANDARD_LEADS, Record, Stated, UnstatedError


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
        state = "; ".join(STATE[fact] for fact in error.facts)
        raise SignalError(f"{error.what}: state {state}", where=error.where) from None


def _list_records(root: Path, request: Request) -> Listing:
    path, codes, entries, rejected = read_table(root, request)
    entries.sort(key=lambda entry: entry.record_id)
    with_patient = sum(entry.patient_id is not None for entry in entries)
    patients_known = bool(entries) and with_patient == len(entries)
    leads, leads_note = _leads(root, entries, request)
    notes = [leads_note] if leads_note else []
    if request.stated:
        facts = ", ".join(f"{key} {_shown(value)}" for key, value in request.stated.to_json().items())
        notes.append(f"stated for all files where the table says nothing else: {facts}")
    unlisted = _unlisted(root, entries, rejected, path)
    if unlisted:
        are = "recording in the folder is" if len(unlisted) == 1 else "recordings in the folder are"
        notes.append(f"{len(unlisted)} {are} not in {path.name}: see rejected.csv")
        rejected += [Rejection(name, name, f"{path.name} does not list it") for name in unlisted]
    notes += _unlisted_rows(root, entries, path)
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
    there = {path for path in there if path.suffix != ".csv" or not _is_table(path, table)}
    return sorted({stem(path.relative_to(root).as_posix()) for path in there} - set(map(stem, files)))


def _is_table(path: Path, table: Path) -> bool:
    """Say whether a CSV file is a table of recordings, this one or another, rather than a recording."""
    if path.resolve() == table.resolve():
        return True
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        header = stream.readline()
    return "file" in [name.strip().strip('"').lower() for name in header.replace(";", ",").split(",")]


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


def _shown(value: list[str] | float | str) -> str:
    return " ".join(value) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else value


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
