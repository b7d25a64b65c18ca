"""LUDB, the Lobachevsky University database: 200 patients with diagnosis lines by cardiologists.

The header gains are a per-lead normalisation (every lead becomes exactly 1 mV peak to peak) and not mV: with
them III ≠ II − I by up to 0.37 mV, while the raw counts fulfil the identities of the limb leads within one
step. The raw counts therefore have one common gain. It is not stated; 1000 per mV is inferred.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

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
from ecgtransfer.signals import STANDARD_LEADS, Record, standard_lead
from ecgtransfer.signals.readers import wfdb

COUNTS_PER_MV = 1000.0


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read a record's raw counts and scale all leads by the one common gain."""
    digital, header = wfdb.read_digital(path)
    signal = digital.T.astype(np.float32) / np.float32(COUNTS_PER_MV)
    # The format's "invalid" code; no LUDB file uses it, but a repaired copy may.
    signal[signal == np.float32(np.iinfo(np.int16).min / COUNTS_PER_MV)] = np.nan
    leads = tuple(standard_lead(spec.name) for spec in header.signals)
    return Record(signal=np.ascontiguousarray(signal), sampling_rate=header.sampling_rate, leads=leads)


def diagnosis_lines(comments: tuple[str, ...]) -> list[str]:
    """Return the lines after ``<diagnoses>:``, without the full stop at their end."""
    lines = [comment.strip().lstrip("#").strip() for comment in comments]
    start = next((i + 1 for i, line in enumerate(lines) if line.startswith("<diagnoses>")), len(lines))
    return [" ".join(line.rstrip(". ").split()) for line in lines[start:] if line]


def _contains(folder: Path) -> bool:
    return (folder / "ludb.csv").is_file() or (
        (folder / "RECORDS").is_file() and (folder / "data/1.hea").is_file()
    )


def _list_records(root: Path, request: Request) -> Listing:
    rows = crosswalk("ludb")
    translation = {row["line"].casefold(): row for row in rows}
    axis = {row["code"] for row in rows if row["group"] == "axis"}
    entries: list[Entry] = []
    rejected: list[Rejection] = []
    unmapped: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for name in _names(root):
        file = f"{name}.hea"
        record_id = name.rsplit("/", 1)[-1]
        try:
            comments = wfdb.read_header(root / file).comments
            age, flags = parse_age(_field(comments, "<age>:"), where=file)
        except (EcgTransferError, OSError, ValueError) as error:
            reason = error.what if isinstance(error, EcgTransferError) else str(error)
            missing = not (root / file).exists()
            rejected.append(Rejection(record_id, file, "the header file is not there" if missing else reason))
            continue
        present = set()
        # One spelling per line: that of the crosswalk where it has it.
        lines = {line.casefold(): line for line in diagnosis_lines(comments)}
        counts.update(translation[key]["line"] if key in translation else lines[key] for key in lines)
        for line in lines.values():
            if line.casefold() in translation:
                present.add(translation[line.casefold()]["code"])
            else:
                unmapped.setdefault(line, []).append(record_id)
                flags = (*flags, f"diagnosis not in the crosswalk: {line}")
        # The ten paced records have no axis line: their axis was not assessed, which is not "absent".
        unknown = set() if present & axis else axis
        values: dict[str, int | None] = {
            code: None if code in unknown else int(code in present) for code in SOURCE.annotates
        }
        sex: dict[str, Sex] = {"F": "female", "M": "male"}
        entries.append(
            Entry(
                record_id=record_id,
                file=file,
                statements=values,
                patient_id=record_id,
                age=age,
                sex=sex.get(_field(comments, "<sex>:").upper()[:1]),
                flags=flags,
            )
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
        notes=(
            SOURCE.signal_note,
            *(
                f"diagnosis line not in the crosswalk, left unlabelled: {line!r} ({', '.join(where)})"
                for line, where in sorted(unmapped.items())
            ),
        ),
        coverage=coverage(counts, {row["line"]: row["code"] for row in rows}),
    )


def _names(root: Path) -> list[str]:
    """Return the records that RECORDS lists and those that are there, in the order of their numbers."""
    listed = set((root / "RECORDS").read_text().split()) if (root / "RECORDS").is_file() else set()
    there = {f"data/{path.stem}" for path in (root / "data").glob("*.hea")}

    def number(name: str) -> tuple[int, str]:
        stem = name.rsplit("/", 1)[-1]
        return (int(stem) if stem.isdecimal() else 10**9, name)

    return sorted(listed | there, key=number)


def _field(comments: tuple[str, ...], name: str) -> str:
    for comment in comments:
        text = comment.strip().lstrip("#").strip()
        if text.startswith(name):
            return text[len(name) :].strip()
    return ""


SOURCE = Source(
    name="ludb",
    title="Lobachevsky University Electrocardiography Database (LUDB) 1.0.1",
    records=200,
    patients=200,
    leads=STANDARD_LEADS,
    sampling_rate=500.0,
    licence="ODC-BY 1.0",
    citation=(
        "Kalyakulina et al. (2020), IEEE Access 8:186181-186190, doi:10.1109/ACCESS.2020.3029211; "
        "Goldberger et al. (2000), Circulation 101:e215, doi:10.1161/01.CIR.101.23.e215"
    ),
    address="https://physionet.org/content/ludb/1.0.1/",
    annotates=annotated("ludb"),
    tasks=tasks.of_source("ludb"),
    contains=_contains,
    list_records=_list_records,
    load=load,
    signal_note="gain: common 1000/mV, inferred (the header gains normalise each lead and are not used)",
)
