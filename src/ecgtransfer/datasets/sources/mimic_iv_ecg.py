"""MIMIC-IV-ECG: 800,035 diagnostic ECGs of 161,352 patients, with the report of the recording machine.

The statements are the machine's, line by line, and no physician's. The crosswalk knows the common lines; a
code with ``?`` there is not certain (possible, borderline) and hence unknown. A line that it does not know
is counted in the coverage and makes unknown, for that record, whatever it may speak of: the statements of
the groups whose words it contains, or all if it has none of these words. So a statement is absent only
where the whole report was understood on that point.

The files are many: folders that were not downloaded are counted and named. Age and sex are in MIMIC-IV
itself.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Source
from ecgtransfer.datasets.sources.tables import coverage, listed, read_rows
from ecgtransfer.datasets.statements import annotated, crosswalk
from ecgtransfer.errors import DataError
from ecgtransfer.signals import STANDARD_LEADS

LIST, MEASUREMENTS = "record_list.csv", "machine_measurements.csv"

_LINES = tuple(f"report_{i}" for i in range(18))
_CROSSWALK = {row["line"]: row["codes"].split() for row in crosswalk("mimic")}
# What a line that no table knows may speak of, by the words in it.
_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"rhythm|sinus|fibrillation|a-?fib|flutter|tachy|brady|arrhythmia|pac(?:ed|er|ing)|pacemaker|junctional",
        ("SR", "SB", "STACH", "SA", "AF", "AFL", "SVTAC", "ARH", "AVJR", "PACE"),
    ),
    (r"premature|pvc|pac\b|pacs|pac\(s\)|ectop|extrasyst|bigem|trigem|couplet|complexes", ("PVC", "PAC")),
    (
        r"a-?v block|degree|pr interval|a-?v dissociation|a-?v conduction|heart block",
        ("1AVB", "2AVB", "3AVB", "LPR"),
    ),
    (
        r"bundle|bbb|ivcd|iv conduction|intraventricular|fascicular|lafb|lpfb|qrs dur",
        ("RBBB", "LBBB", "IRBBB", "ILBBB", "IVCD", "LAFB", "LPFB"),
    ),
    (r"axis|\blad\b|\brad\b", ("LAD", "RAD")),
    (
        r"hypertrophy|\b[lrb]vh\b|enlargement|atrial abnorm|\b[lr]ae\b|p waves",
        ("LVH", "RVH", "LAO/LAE", "RAO/RAE"),
    ),
    (
        r"infarct|\bmi\b|q waves?\b|q in v|r wave prog|r-wave prog",
        ("AMI", "ASMI", "IMI", "LMI", "ALMI", "PRWP"),
    ),
    (r"\bqtc?\b", ("LNGQT",)),
    (r"volt", ("LVOLT",)),
    (r"normal|abnormal ecg|borderline", ("NORM-MIMIC",)),
    # Nothing of the vocabulary is read from these, so they leave the rest as it is.
    (r"\bst\b|st-t|\bt[- ]?waves?\b|\bt abn|repol|ischemi|injury|early r", ()),
    (
        r"lead|electrode|quality|artifact|noise|baseline|pediatric|analy[sz]|recording|age not|warning",
        (),
    ),
)
_SUMMARY = "NORM-MIMIC"
"""Said by the last line, which some reports lack: without one it is unknown."""


def plain(line: str) -> str:
    """Return a line of a report without what varies: case, spaces, ``Summary:``, dashes, full stop."""
    text = " ".join(line.split()).casefold().removeprefix("summary:").strip(" -*")
    return text.rstrip(". ")


def statements_of(lines: tuple[str, ...]) -> tuple[dict[str, int | None], tuple[str, ...]]:
    """Return what a report says of every statement, and its lines that the crosswalk does not know.

    Parameters
    ----------
    lines : tuple of str
        As `plain` returns them, none empty.
    """
    values: dict[str, int | None] = dict.fromkeys(SOURCE.annotates, 0 if lines else None)
    values[_SUMMARY] = None
    said: dict[str, int] = {}
    unknown: set[str] = set()
    unmapped = tuple(dict.fromkeys(line for line in lines if line not in _CROSSWALK))
    for line in unmapped:
        spoken = [codes for words, codes in _GROUPS if re.search(words, line)]
        unknown.update(code for codes in spoken for code in codes)
        if not spoken:
            unknown.update(SOURCE.annotates)
    for line in lines:
        for code in _CROSSWALK.get(line, ()):
            if code.endswith("?"):
                unknown.add(code[:-1])
            elif code.endswith("=0"):
                said.setdefault(code[:-2], 0)
            else:
                said[code] = 1
    values.update(dict.fromkeys(unknown))
    values.update(said)
    return values, unmapped


def _list_records(root: Path, request: Request) -> Listing:
    places, rejected, absent = _places(root)
    shared: dict[tuple[str, ...], tuple[dict[str, int | None], tuple[str, ...]]] = {}
    counts: Counter[str] = Counter()
    reports: dict[str, tuple[tuple[str, ...], str]] = {}
    for _, row in read_rows(root / MEASUREMENTS, ("study_id", *_LINES), address=SOURCE.address):
        study = row["study_id"].strip()
        if study in places:
            lines = tuple(text for name in _LINES if (text := plain(row[name])))
            reports[study] = lines, row.get("cart_id", "").strip()
            counts.update(set(lines))
    entries: list[Entry] = []
    for study, (subject, file) in places.items():
        if study not in reports:
            rejected.append(Rejection(study, file, f"{MEASUREMENTS} has no report of it"))
            continue
        lines, cart = reports[study]
        if lines not in shared:  # one dictionary for all equal reports: there are 800,000
            shared[lines] = statements_of(lines)
        values, unmapped = shared[lines]
        flags = ("machine: data quality may affect the interpretation",) if _doubtful(lines) else ()
        entries.append(
            Entry(
                record_id=study,
                file=file,
                statements=values,
                patient_id=subject or None,
                flags=(
                    *flags,
                    *((f"report lines not in the crosswalk: {len(unmapped)}",) if unmapped else ()),
                ),
                device=f"cart {cart}" if cart else None,
            )
        )
    entries.sort(key=lambda entry: (str(entry.patient_id), entry.record_id))
    notes = ["the statements are a machine's readings", "age and sex are not part of this dataset"]
    if absent:
        notes.append(f"{absent.total():,} records are in folders that are not there: {listed(absent)}")
    unmapped_records = sum(bool(shared[reports[e.record_id][0]][1]) for e in entries)
    if unmapped_records:
        notes.append(
            f"{unmapped_records:,} records have report lines that the crosswalk does not know; "
            "what these may speak of is unknown there"
        )
    return Listing(
        root=root,
        entries=tuple(entries),
        leads=SOURCE.leads,
        annotates=SOURCE.annotates,
        tasks=SOURCE.tasks,
        patients_known=all(entry.patient_id is not None for entry in entries),
        complete=len(entries) == SOURCE.records,
        rejected=tuple(rejected),
        notes=tuple(notes),
        coverage=coverage(counts, {line: " ".join(codes) for line, codes in _CROSSWALK.items() if codes}),
    )


def _places(root: Path) -> tuple[dict[str, tuple[str, str]], list[Rejection], Counter[str]]:
    """Return patient and header file of every study that is there, what is missing, and absent folders."""
    places: dict[str, tuple[str, str]] = {}
    rejected: list[Rejection] = []
    absent: Counter[str] = Counter()
    there: dict[str, bool] = {}
    for line, row in read_rows(root / LIST, ("subject_id", "study_id", "path"), address=SOURCE.address):
        study, file = row["study_id"].strip(), f"{row['path'].strip().removesuffix('.hea')}.hea"
        parts = file.split("/")
        if ".." in parts or file.startswith("/"):
            raise DataError(f"{file} is outside the dataset", where=f"{LIST}, line {line}")
        folder = "/".join(parts[:2])  # files/p1000
        subject = "/".join(parts[:3])  # files/p1000/p10000032
        for name in (folder, subject):
            if name not in there:
                there[name] = (root / name).is_dir()
        if not there[folder] or not there[subject]:
            absent[folder] += 1
        elif not (root / file).is_file():
            rejected.append(Rejection(study, file, "the header file is not there"))
        elif study in places:
            raise DataError(f"study {study} occurs twice", where=f"{LIST}, line {line}")
        else:
            places[study] = row["subject_id"].strip(), file
    return places, rejected, absent


def _doubtful(lines: tuple[str, ...]) -> bool:
    return any("data quality" in line or "poor quality" in line for line in lines)


SOURCE = Source(
    name="mimic-iv-ecg",
    title="MIMIC-IV-ECG: Diagnostic Electrocardiogram Matched Subset 1.0",
    records=800035,
    patients=161352,
    leads=STANDARD_LEADS,
    sampling_rate=500.0,
    licence="ODbL 1.0",
    citation=(
        "Gow et al. (2023), MIMIC-IV-ECG, PhysioNet, doi:10.13026/4nqg-sb35; "
        "Goldberger et al. (2000), Circulation 101:e215, doi:10.1161/01.CIR.101.23.e215"
    ),
    address="https://physionet.org/content/mimic-iv-ecg/1.0/",
    annotates=annotated("mimic-iv-ecg"),
    tasks=tasks.of_source("mimic-iv-ecg"),
    contains=lambda folder: (folder / LIST).is_file() and (folder / "files").is_dir(),
    list_records=_list_records,
    signal_note="mV as the header says; leads by name (aVF and aVL are in another order than usual)",
)
