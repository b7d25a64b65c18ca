"""CODE-15 %: 345,779 exams of 233,770 patients of the Telehealth Network of Minas Gerais, in 18 files.

The parts that are there are read; those that are not are counted and named. Six findings come from the
reports, by text mining and the automatic analysis; ``NORM-CODE15`` is the flag ``normal_ecg``, and half of
the exams have neither it nor any of the six: something else was found in them. Within a part the exams are
in another order than in the table; rows of zeros with exam id 0 fill up a file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources import code
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Source, parse_age
from ecgtransfer.datasets.sources.tables import binary, coverage, read_rows
from ecgtransfer.datasets.statements import annotated, crosswalk
from ecgtransfer.errors import DataError
from ecgtransfer.signals import STANDARD_LEADS, Record

TABLE = "exams.csv"

_FLAGS = {row["label"]: row["code"] for row in crosswalk("code") if row["code15"]}
_COLUMNS = ("exam_id", "age", "is_male", "patient_id", "trace_file", *_FLAGS)


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read the tracing in row ``how["row"]``; the leads are in the standard order."""
    return code.load_row(path, int(how["row"]), STANDARD_LEADS, padded=bool(how.get("padded")))


def _contains(folder: Path) -> bool:
    table = folder / TABLE
    if not table.is_file():
        return False
    with table.open(encoding="utf-8", errors="replace") as stream:
        return "trace_file" in stream.readline()  # SaMi-Trop, of the same group, has an exams.csv too


def _list_records(root: Path, request: Request) -> Listing:
    entries: list[tuple[tuple[int, int], Entry]] = []
    rejected: list[Rejection] = []
    counts: Counter[str] = Counter()
    absent: Counter[str] = Counter()
    rows_of: dict[str, dict[int, int] | None] = {}
    shared: dict[tuple[bool, ...], dict[str, int | None]] = {}
    for line, row in read_rows(root / TABLE, _COLUMNS, address=SOURCE.address):
        part = row["trace_file"].strip()
        if part not in rows_of:
            rows_of[part] = _rows(root / part)
        where = f"{TABLE}, line {line}"
        rows = rows_of[part]
        if rows is None:
            absent[part] += 1
            continue
        try:
            exam = _whole(row["exam_id"], where)
            place = rows.pop(exam, None)
            if place is None:
                raise DataError(f"{part} has no exam {exam} (or it is listed twice)")
            found = tuple(binary(row[label.lower()], where=where) for label in _FLAGS)
            male = binary(row["is_male"], where=where)
            age, flags = parse_age(row["age"], where=where)
        except DataError as error:
            rejected.append(Rejection(row["exam_id"].strip() or f"line {line}", part, error.what))
            continue
        counts.update(label for label, value in zip(_FLAGS, found, strict=True) if value)
        if found not in shared:  # one dictionary for all exams with the same findings: there are many
            shared[found] = dict(zip(_FLAGS.values(), map(int, found), strict=True))
        entry = Entry(
            record_id=str(exam),
            file=part,
            statements=shared[found],
            patient_id=row["patient_id"].strip() or None,
            age=age,
            sex="male" if male else "female",
            flags=flags,
            how={"row": place},
        )
        entries.append(((_number(part), place), entry))
    entries.sort(key=lambda item: item[0])
    for part, left in rows_of.items():
        for exam in sorted(left or ()):
            rejected.append(Rejection(str(exam), part, f"{TABLE} does not list it"))
    known = [entry.patient_id is not None for _, entry in entries]
    return Listing(
        root=root,
        entries=tuple(entry for _, entry in entries),
        leads=SOURCE.leads,
        annotates=SOURCE.annotates,
        tasks=SOURCE.tasks,
        patients_known=bool(known) and all(known),
        complete=len(entries) == SOURCE.records,
        rejected=tuple(rejected),
        notes=tuple(_absent_notes(root, absent)),
        coverage=coverage(counts, _FLAGS),
    )


def _rows(path: Path) -> dict[int, int] | None:
    """Return the row of every exam of a part after verifying its leads; None where the part is not there."""
    if not path.is_file():
        return None
    with code.open_file(path) as file:
        tracings = code.tracings_of(file, path)
        ids = np.asarray(file["exam_id"]) if "exam_id" in file else np.empty(0)
        if ids.shape != (len(tracings),):
            raise DataError(
                f"its dataset 'exam_id' has the shape {ids.shape} for {len(tracings)} tracings",
                where=path,
                remedy="Download it again",
            )
        rows = {int(exam): row for row, exam in enumerate(ids.tolist()) if exam != 0}
        if len(rows) < np.count_nonzero(ids):
            raise DataError("an exam occurs twice in it", where=path, remedy="Download it again")
        code.verify(tracings, sorted(rows.values()), STANDARD_LEADS, path)
    return rows


def _absent_notes(root: Path, absent: Counter[str]) -> list[str]:
    notes = []
    for part in sorted(absent, key=_number):
        packed = (root / part).with_suffix(".zip").is_file()
        hint = ", only its zip archive: unpack it to use it" if packed else ""
        notes.append(f"{part} is not there{hint}: {absent[part]:,} exams are left out")
    return notes


def _whole(text: str, where: str) -> int:
    try:
        return int(float(text))
    except ValueError:
        raise DataError(f"exam_id {text!r} is no number", where=where) from None


def _number(part: str) -> int:
    digits = re.findall(r"\d+", part)
    return int(digits[-2] if len(digits) > 1 else digits[0]) if digits else -1


SOURCE = Source(
    name="code15",
    title="CODE-15 %: a large scale annotated dataset of 12-lead ECGs",
    records=345779,
    patients=233770,
    leads=STANDARD_LEADS,
    sampling_rate=code.RATE,
    licence="CC BY 4.0",
    citation=(
        "Ribeiro et al. (2021), CODE-15%, doi:10.5281/zenodo.4916206; "
        "Ribeiro et al. (2020), Nature Communications 11:1760, doi:10.1038/s41467-020-15432-4; "
        "Lima et al. (2021), Nature Communications 12:5117, doi:10.1038/s41467-021-25351-7"
    ),
    address="https://doi.org/10.5281/zenodo.4916206",
    annotates=annotated("code15"),
    tasks=tasks.of_source("code15"),
    contains=_contains,
    list_records=_list_records,
    load=load,
    signal_note=code.SIGNAL_NOTE,
)
