"""PTB-XL: 12 leads, 10 s, with the 71 statements of SCP-ECG and recommended folds.

Every code in ``scp_codes`` is a statement that is present, whatever its likelihood: 0 stands for "unknown
likelihood" and is the rule for rhythm and form. Codes that are not named are absent, as in the benchmark by
Strodthoff et al. (2021, doi:10.1109/JBHI.2020.3022989).
"""

from __future__ import annotations

import ast
import csv
from collections import Counter
from pathlib import Path

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
from ecgtransfer.errors import DataError
from ecgtransfer.signals import STANDARD_LEADS

TABLE = "ptbxl_database.csv"
COMPLETE = (21799, 21837)
"""Records of the versions 1.0.2 / 1.0.3 and 1.0.1: the official folds belong to the complete dataset."""

_COLUMNS = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr", "filename_hr")
_QUALITY = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")


def scp_codes(text: str) -> tuple[str, ...]:
    """Return the SCP codes of a cell such as ``{'NORM': 100.0, 'SR': 0.0}``, whatever their likelihood.

    Raises
    ------
    DataError
        If the cell is not a dictionary.
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(f"scp_codes cannot be read: {text[:60]!r}")
    return tuple(str(code) for code in value)


def _list_records(root: Path, request: Request) -> Listing:
    table = root / TABLE
    with table.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"column {', '.join(missing)} is missing", where=table, remedy="Download it again"
            )
        rows = list(reader)
    column = "filename_lr" if request.rate <= 100 else "filename_hr"
    translation = {row["scp_code"]: row["code"] for row in crosswalk("ptbxl")}
    entries: list[Entry] = []
    rejected: list[Rejection] = []
    counts: Counter[str] = Counter()
    for row in rows:
        try:
            entry, named = _entry(row, column, translation)
        except (DataError, ValueError, TypeError) as error:
            reason = (
                error.what if isinstance(error, DataError) else f"its row in {TABLE} cannot be read: {error}"
            )
            rejected.append(Rejection(f"{row['ecg_id']}", f"{row[column]}.hea", reason))
            continue
        entries.append(entry)
        counts.update(named)
    entries.sort(key=lambda entry: int(entry.record_id))
    folds = all(entry.fold is not None for entry in entries)
    return Listing(
        root=root,
        entries=tuple(entries),
        leads=SOURCE.leads,
        annotates=SOURCE.annotates,
        tasks=SOURCE.tasks,
        patients_known=all(entry.patient_id is not None for entry in entries),
        complete=folds and len(rows) in COMPLETE,
        rejected=tuple(rejected),
        notes=tuple(
            f"SCP code {code!r} is not in the crosswalk and left unlabelled in {count} records"
            for code, count in sorted(counts.items())
            if code not in translation
        ),
        coverage=coverage(counts, translation),
    )


def _entry(row: dict[str, str], column: str, translation: dict[str, str]) -> tuple[Entry, tuple[str, ...]]:
    named = scp_codes(row["scp_codes"])
    present = {translation[code] for code in named if code in translation}
    age, flags = parse_age(row["age"], where=TABLE)
    quality = tuple(
        f"{name.replace('_', ' ')}: {text}"
        for name in _QUALITY
        if (text := (row.get(name) or "").strip(" ,"))
    )
    sexes: dict[str, Sex] = {"0": "male", "1": "female"}
    entry = Entry(
        record_id=str(int(float(row["ecg_id"]))),
        file=f"{row[column]}.hea",
        statements={code: int(code in present) for code in SOURCE.annotates},
        # Written as 15709.0 in the table.
        patient_id=str(int(float(row["patient_id"]))) if row["patient_id"].strip() else None,
        age=age,
        sex=sexes.get(row["sex"].strip().removesuffix(".0")),
        fold=int(float(row["strat_fold"])) if row["strat_fold"].strip() else None,
        flags=(*flags, *quality),
    )
    return entry, named


SOURCE = Source(
    name="ptbxl",
    title="PTB-XL, a large publicly available electrocardiography dataset",
    records=COMPLETE[0],
    patients=18869,
    leads=STANDARD_LEADS,
    sampling_rate=500.0,
    licence="CC BY 4.0",
    citation=(
        "Wagner et al. (2020), Scientific Data 7:154, doi:10.1038/s41597-020-0495-6; "
        "Goldberger et al. (2000), Circulation 101:e215, doi:10.1161/01.CIR.101.23.e215"
    ),
    address="https://physionet.org/content/ptb-xl/1.0.3/",
    annotates=annotated("ptbxl"),
    tasks=tasks.of_source("ptbxl"),
    contains=lambda folder: (folder / TABLE).is_file(),
    list_records=_list_records,
    official_folds=True,
    other_rates=(100.0,),
    paper_scaled=False,  # whether the study scaled these is not known
    signal_note="mV as the header says; published 100 Hz files up to 100 Hz, else the 500 Hz files",
)
