"""PTB Diagnostic ECG Database: 549 records of 290 patients at 1000 Hz, with why each was admitted.

The label is a reason for admission, which is known of the patient and was not read from the ECG: an ECG of a
patient admitted with an infarction may look normal, and a "healthy control" is not a normal ECG. The reasons
therefore have codes of their own (``ADM-…``) and share none with datasets that label what the ECG shows. Each
patient has one reason, so the others are absent; where it is not known (``n/a``) all are unknown. The three
Frank leads are not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer import signals
from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources.source import (
    Entry,
    Listing,
    Rejection,
    Request,
    Sex,
    Source,
    parse_age,
)
from ecgtransfer.datasets.sources.tables import coverage
from ecgtransfer.datasets.statements import annotated, crosswalk
from ecgtransfer.errors import EcgTransferError
from ecgtransfer.signals import STANDARD_LEADS, Record
from ecgtransfer.signals.readers import wfdb

_NOT_SAID = ("", "n/a")
_SEX: dict[str, Sex] = {"male": "male", "female": "female"}


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read a record without the Frank leads vx, vy, vz."""
    record = signals.read(path)
    rows = [row for row, lead in enumerate(record.leads) if lead in STANDARD_LEADS]
    if len(rows) == len(record.leads):
        return record
    return replace(
        record,
        signal=np.ascontiguousarray(record.signal[rows]),
        leads=tuple(record.leads[row] for row in rows),
    )


def clinical_fields(comments: tuple[str, ...]) -> dict[str, str]:
    """Return the clinical summary of a header, the first of a key that occurs twice, in lower case keys."""
    fields: dict[str, str] = {}
    for comment in comments:
        key, colon, value = comment.strip().lstrip("#").partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    return fields


def _contains(folder: Path) -> bool:
    return next(folder.glob("patient[0-9][0-9][0-9]/s[0-9]*.hea"), None) is not None


def _list_records(root: Path, request: Request) -> Listing:
    translation = {row["reason"].casefold(): row["code"] for row in crosswalk("ptb")}
    entries: list[Entry] = []
    rejected: list[Rejection] = []
    labels: Counter[str] = Counter()
    codes_of: dict[str, str | None] = {}
    for name in _names(root):
        try:
            fields = clinical_fields(wfdb.read_header(root / f"{name}.hea").comments)
            age, flags = parse_age(fields.get("age", ""), where=f"{name}.hea")
        except (EcgTransferError, OSError, ValueError) as error:
            missing = not (root / f"{name}.hea").exists()
            reason = error.what if isinstance(error, EcgTransferError) else str(error)
            rejected.append(
                Rejection(name, f"{name}.hea", "the header file is not there" if missing else reason)
            )
            continue
        label = " ".join(fields.get("reason for admission", "").split())
        known = label.lower() not in _NOT_SAID
        code = translation.get(label.casefold())
        if known:
            labels[label] += 1
            codes_of[label] = code
            if code is None:
                flags = (*flags, f"reason for admission not in the crosswalk: {label}")
        entries.append(
            Entry(
                record_id=name,
                file=f"{name}.hea",
                # A reason that no table knows may be one of the others in other words, so nothing is absent.
                statements={
                    other: None if code is None else int(other == code) for other in SOURCE.annotates
                },
                patient_id=name.split("/")[0],
                age=age,
                sex=_SEX.get(fields.get("sex", "").lower()),
                flags=flags,
            )
        )
    without = sum(entry.statements[SOURCE.annotates[0]] is None for entry in entries)
    notes = ["the Frank leads vx, vy, vz are not used"]
    if without:
        notes.append(
            f"{without} records have no known reason for admission: all their statements are unknown"
        )
    return Listing(
        root=root,
        entries=tuple(entries),
        leads=SOURCE.leads,
        annotates=SOURCE.annotates,
        tasks=SOURCE.tasks,
        patients_known=True,
        complete=len(entries) == SOURCE.records,
        rejected=tuple(rejected),
        notes=tuple(notes),
        coverage=coverage(labels, codes_of),
    )


def _names(root: Path) -> list[str]:
    """Return the records in folders that are there, and those that RECORDS lists for these folders."""
    there = {
        path.relative_to(root).with_suffix("").as_posix()
        for path in root.glob("patient[0-9][0-9][0-9]/s[0-9]*.hea")
    }
    table = root / "RECORDS"
    listed = set(table.read_text(encoding="utf-8").split()) if table.is_file() else set()
    return sorted(there | listed)


SOURCE = Source(
    name="ptb",
    title="PTB Diagnostic ECG Database 1.0.0",
    records=549,
    patients=290,
    leads=STANDARD_LEADS,
    sampling_rate=1000.0,
    licence="ODC-BY 1.0",
    citation=(
        "Bousseljot et al. (1995), Biomedizinische Technik 40(S1):S317, doi:10.1515/bmte.1995.40.s1.317; "
        "PhysioNet doi:10.13026/C28C71; "
        "Goldberger et al. (2000), Circulation 101:e215, doi:10.1161/01.CIR.101.23.e215"
    ),
    address="https://physionet.org/content/ptbdb/1.0.0/",
    annotates=annotated("ptb"),
    tasks=tasks.of_source("ptb"),
    contains=_contains,
    list_records=_list_records,
    load=load,
    signal_note="mV as the header says (2000 steps per mV); Frank leads dropped",
    paper_scaled=False,
)
