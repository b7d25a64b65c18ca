"""The PhysioNet/CinC Challenge 2017: 8,528 short single-lead recordings of a hand-held device, four classes.

The classes are translated without guessing: ``O`` says that the rhythm is another one, so atrial
fibrillation is absent and every other diagnosis unknown; ``~`` says that the recording is too noisy, so all
is unknown. The Challenge's own classes are kept beside that as ``OTHER`` and ``NOISY``.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecgtransfer import signals
from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Source
from ecgtransfer.datasets.sources.tables import coverage
from ecgtransfer.datasets.statements import annotated, crosswalk
from ecgtransfer.errors import DataError
from ecgtransfer.signals import Record

CODES = annotated("cinc2017")
NAMES = {"N": "SR", "A": "AF", "O": "OTHER", "~": "NOISY"}
"""The statement that each class says is present."""


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read a recording; its one lead, ``ECG`` in the header, is lead I (between the two hands)."""
    record = signals.read(path)
    return replace(record, leads=("I",)) if record.leads == ("ECG",) else record


def statements_of(label: str) -> dict[str, int | None]:
    """Return what a class of the Challenge (``N``, ``A``, ``O``, ``~``) says about each statement.

    Raises
    ------
    DataError
        For a label that is none of the four.
    """
    for row in crosswalk("cinc2017"):
        if row["label"] == label:
            return {code: int(row[code]) if row[code] else None for code in CODES}
    raise DataError(f"label {label!r} is none of N, A, O, ~", remedy="Use REFERENCE.csv as published")


def _contains(folder: Path) -> bool:
    return _reference(folder) is not None and next(folder.glob("A*.hea"), None) is not None


def _reference(folder: Path) -> Path | None:
    """Return REFERENCE.csv: in the folder (where the archive has it) or beside it."""
    for place in (folder, folder.parent):
        if (place / "REFERENCE.csv").is_file():
            return place / "REFERENCE.csv"
    return None


def _list_records(root: Path, request: Request) -> Listing:
    table = _reference(root)
    if table is None:
        raise DataError("there is no REFERENCE.csv", where=root, remedy="Copy it beside the recordings")
    labels: dict[str, str] = {}
    with table.open(newline="", encoding="utf-8") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if not any(cell.strip() for cell in row):
                continue
            where = f"{table.name}, line {number}"
            if len(row) != 2:
                raise DataError(f"{len(row)} cells instead of record,label", where=where)
            name, label = row[0].strip(), row[1].strip()
            if labels.setdefault(name, label) != label:
                raise DataError(f"{name} has two labels, {labels[name]} and {label}", where=where)
    values = {label: statements_of(label) for label in sorted(set(labels.values()))}
    there = {path.stem for path in root.glob("*.hea")}
    entries = tuple(
        Entry(
            record_id=name,
            file=f"{name}.hea",
            statements=values[label],
            flags=("noisy",) if label == "~" else (),
        )
        for name, label in sorted(labels.items())
    )
    return Listing(
        root=root,
        entries=entries,
        leads=SOURCE.leads,
        annotates=SOURCE.annotates,
        tasks=SOURCE.tasks,
        patients_known=False,
        complete=len(entries) == SOURCE.records,
        rejected=tuple(
            Rejection(name, f"{name}.hea", "REFERENCE.csv has no label for it")
            for name in sorted(there - labels.keys())
        ),
        coverage=coverage(Counter(labels.values()), NAMES),
    )


SOURCE = Source(
    name="cinc2017",
    title="PhysioNet/Computing in Cardiology Challenge 2017, training set",
    records=8528,
    patients=None,
    leads=("I",),
    sampling_rate=300.0,
    licence="ODC-BY 1.0",
    citation=(
        "Clifford et al. (2017), Computing in Cardiology 44, doi:10.22489/CinC.2017.065-469; "
        "Goldberger et al. (2000), Circulation 101:e215, doi:10.1161/01.CIR.101.23.e215"
    ),
    address="https://physionet.org/content/challenge-2017/1.0.0/",
    annotates=CODES,
    tasks=tasks.of_source("cinc2017"),
    contains=_contains,
    list_records=_list_records,
    load=load,
    patients_known=False,
    polarity_uncertain=True,
    beside=("REFERENCE.csv",),
)
