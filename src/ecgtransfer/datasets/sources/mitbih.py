"""MIT-BIH Arrhythmia Database: 48 half-hour recordings of 47 patients, every beat and rhythm annotated.

A recording is listed as consecutive segments of the length of the store's windows, each with its own
statements: what rhythm was in force in it, and which kinds of beats it has. All are absent where they are
not annotated.

**Leads.** The upper signal is usually MLII, a limb lead II with electrodes on the chest; it is read as II,
which is what people compare it with, although amplitudes and axis differ from a resting ECG's II. The
default is II and V1, which 40 records have; of the others the missing one is flagged, and 102 and 104, which
have only V5 and V2, are left out. Name others with ``--leads``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer import signals
from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Sex, Source, parse_age
from ecgtransfer.datasets.sources.tables import coverage
from ecgtransfer.datasets.statements import annotated, crosswalk
from ecgtransfer.errors import DataError, EcgTransferError, SignalError
from ecgtransfer.signals import Record, standard_lead
from ecgtransfer.signals.readers import wfdb

_NOT_GIVEN = {110, 120, *range(125, 200), 204, 206, 211, 216, 218, *range(224, 228), 229}
RECORDS = tuple(str(number) for number in range(100, 235) if number not in _NOT_GIVEN)

_SAME_PATIENT = {"202": "201"}  # cut from the same tape
_LABELS = {f"{row['kind']} {row['label']}": row["code"] for row in crosswalk("mitbih")}
_SILENT = set('NQ~|"+[]')  # normal and unclassifiable beats; marks of quality, comments, rhythm changes


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read the segment of ``how["samples"]`` samples from ``how["start"]`` on, with MLII as II."""
    record = _whole(path)
    start, samples = int(how["start"]), int(how["samples"])
    if start + samples > record.n_samples:
        raise SignalError(
            f"it has {record.n_samples} samples, and the segment ends at {start + samples}",
            where=path,
        )
    return replace(record, signal=np.ascontiguousarray(record.signal[:, start : start + samples]))


@lru_cache(maxsize=1)
def _whole(path: Path) -> Record:
    """Read a recording once for all its segments."""
    record = signals.read(path)
    return replace(record, leads=_as_leads(record.leads))


def _as_leads(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("II" if name == "MLII" else name for name in names)


def _contains(folder: Path) -> bool:
    return any((folder / f"{n}.hea").is_file() and (folder / f"{n}.atr").is_file() for n in RECORDS)


def _list_records(root: Path, request: Request) -> Listing:
    wanted = request.leads or SOURCE.leads
    entries: list[Entry] = []
    rejected: list[Rejection] = []
    counts: Counter[str] = Counter()
    absent = [name for name in RECORDS if not (root / f"{name}.hea").is_file()]
    rest = 0.0
    for name in RECORDS:
        if name in absent:
            continue
        try:
            segments, left, labels = _segments(root, name, wanted, request.seconds)
        except (EcgTransferError, OSError, ValueError) as error:
            rejected.append(
                Rejection(name, f"{name}.hea", getattr(error, "what", None) or f"cannot be read: {error}")
            )
            continue
        entries += segments
        counts += labels
        rest = max(rest, left)
    notes = ["lead MLII, a lead II with electrodes on the chest, is read as II"]
    if rest > 0:
        notes.append(
            f"each record is cut into segments of {request.seconds:g} s; the last {rest:.1f} s are left out"
        )
    if absent:
        notes.append(f"{len(absent)} of the {len(RECORDS)} records are not there: {', '.join(absent)}")
    return Listing(
        root=root,
        entries=tuple(entries),
        leads=SOURCE.leads,
        annotates=SOURCE.annotates,
        tasks=SOURCE.tasks,
        patients_known=True,
        complete=not absent and not rejected,
        rejected=tuple(rejected),
        notes=tuple(notes),
        coverage=coverage(counts, {**_LABELS}),
    )


def _segments(
    root: Path, name: str, wanted: tuple[str, ...], seconds: float
) -> tuple[list[Entry], float, Counter[str]]:
    """Return a record's segments, the seconds left over, and how many segments carry each label."""
    header = wfdb.read_header(root / f"{name}.hea")
    leads = _as_leads(tuple(standard_lead(spec.name) for spec in header.signals))
    if not set(leads) & set(wanted):
        raise DataError(f"it has none of the leads {', '.join(wanted)}, only {', '.join(leads)}")
    if header.n_samples is None:
        raise DataError("the header does not say how long it is")
    rate = header.sampling_rate
    count = int(header.n_samples / rate / seconds + 1e-9)
    bounds = [round(i * seconds * rate) for i in range(count + 1)]
    samples = ceil(seconds * rate - 1e-9)
    found = _labels(root / name, bounds, header.n_samples)
    age, sex, recorder = _person(header.comments)
    entries = []
    for i, labels in enumerate(found):
        present = {_LABELS[label] for label in labels if label in _LABELS}
        flags = tuple(
            f"annotation not in the crosswalk: {label}" for label in sorted(labels - _LABELS.keys())
        )
        entries.append(
            Entry(
                record_id=f"{name}/{bounds[i] / rate:07.2f}".removesuffix(".00"),
                file=f"{name}.hea",
                statements={code: int(code in present) for code in SOURCE.annotates},
                patient_id=_SAME_PATIENT.get(name, name),
                age=age,
                sex=sex,
                flags=flags,
                how={"start": min(bounds[i], header.n_samples - samples), "samples": samples},
                device=recorder,
            )
        )
    left = header.n_samples / rate - count * seconds
    return entries, (left if left > 1e-6 else 0.0), Counter(label for labels in found for label in labels)


def _labels(stem: Path, bounds: list[int], n_samples: int) -> list[set[str]]:
    """Return the labels of each segment: rhythms in force in it, beats in it."""
    if not stem.with_suffix(".atr").is_file():
        raise DataError(f"its annotations are not there: {stem.name}.atr")
    import wfdb as package

    try:
        marks = package.rdann(str(stem), "atr")
    except Exception as error:  # the reader of the wfdb package fails in many ways on a damaged file
        raise DataError(f"its annotations cannot be read: {error}") from None
    found: list[set[str]] = [set() for _ in bounds[1:]]
    rhythms: list[tuple[int, str]] = []
    edges = np.asarray(bounds)
    for sample, symbol, text in zip(marks.sample.tolist(), marks.symbol, marks.aux_note, strict=True):
        note = text.strip().rstrip("\0")
        if symbol == "+" and note.startswith("("):
            rhythms.append((sample, f"rhythm {note[1:]}"))
        elif symbol not in _SILENT:
            at = int(np.searchsorted(edges, sample, side="right")) - 1
            if 0 <= at < len(found):
                found[at].add(f"beat {symbol}")
    if not rhythms:
        raise DataError("its annotations name no rhythm")
    # The first rhythm is marked at the first beat, a moment after the start; it was in force before.
    starts = [0, *(sample for sample, _ in rhythms[1:]), n_samples]
    for (_, label), first, last in zip(rhythms, starts[:-1], starts[1:], strict=True):
        for i in range(len(found)):
            if first < bounds[i + 1] and last > bounds[i]:
                found[i].add(label)
    return found


def _person(comments: tuple[str, ...]) -> tuple[float | None, Sex | None, str | None]:
    """Return age, sex and recorder from a first comment such as ``69 M 1085 1629 x1``."""
    found = re.match(r"#?\s*(-?\d+)\s+([MF])\s+\S+\s+(\S+)", comments[0]) if comments else None
    if found is None:
        return None, None, None
    age, _ = parse_age(found[1], where="header")
    recorder = None if found[3] == "N/A" else f"recorder {found[3]}"
    return age, "male" if found[2] == "M" else "female", recorder


SOURCE = Source(
    name="mitbih",
    title="MIT-BIH Arrhythmia Database 1.0.0",
    records=48,
    patients=47,
    leads=("II", "V1"),
    sampling_rate=360.0,
    licence="ODC-BY 1.0",
    citation=(
        "Moody and Mark (2001), IEEE Engineering in Medicine and Biology 20(3):45-50, doi:10.1109/51.932724; "
        "PhysioNet doi:10.13026/C2F305; "
        "Goldberger et al. (2000), Circulation 101:e215, doi:10.1161/01.CIR.101.23.e215"
    ),
    address="https://physionet.org/content/mitdb/1.0.0/",
    annotates=annotated("mitbih"),
    tasks=tasks.of_source("mitbih"),
    contains=_contains,
    list_records=_list_records,
    load=load,
    signal_note="mV as the header says; lead MLII read as II; segments of the length of a window",
)
