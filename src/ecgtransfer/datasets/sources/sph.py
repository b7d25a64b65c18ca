"""SPH, Shandong Provincial Hospital: 25,770 ECGs with standard statements (AHA/ACC/HRS) by cardiologists.

A cell such as ``22;60+310`` lists statements, each a primary code with modifiers. A modifier either makes
it another statement of the vocabulary (``145+362`` is ST depression), or says that it is not certain
(possible, probable, borderline: unknown), or is not kept (frequent, old). Where a statement is given
without the modifier that would tell, what it would tell is unknown. The standard: Mason et al. (2007),
doi:10.1161/CIRCULATIONAHA.106.180201.

Statement 1, "normal ECG", is ``NORM-SPH``, not the ``NORM`` of PTB-XL: here it stands alone, while PTB-XL
gives NORM beside others, such as sinus bradycardia. A task can join them by naming both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Sex, Source, parse_age
from ecgtransfer.datasets.sources.tables import coverage, read_rows
from ecgtransfer.datasets.statements import annotated, crosswalk
from ecgtransfer.errors import DataError, SignalError
from ecgtransfer.signals import STANDARD_LEADS, Record

TABLE = "metadata.csv"
RATE = 500.0

_COLUMNS = ("ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N")
_UNCERTAIN = {"301", "302", "312", "315", "322"}  # borderline, consider, possible, probable, versus
_CODES = {row["code"]: row["codes"].split() for row in crosswalk("aha")}
_REFINED = {
    primary: {code for key, codes in _CODES.items() if key.startswith(f"{primary}+") for code in codes}
    for primary in {key.split("+")[0] for key in _CODES if "+" in key}
}


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read a record: dataset ``ecg`` [12, samples] of 16-bit floats in mV, leads in the standard order."""
    import h5py

    if not path.is_file():
        raise SignalError("the file is not there", where=path, remedy="Unpack records.tar.gz")
    try:
        with h5py.File(path, "r") as file:
            if "ecg" not in file:
                raise SignalError(f"there is no dataset 'ecg', only {', '.join(file)}", where=path)
            signal = np.asarray(file["ecg"], dtype=np.float32)
    except OSError as error:
        raise SignalError(
            f"the file cannot be read as HDF5: {error}", where=path, remedy="Download it again"
        ) from None
    expected = int(how["samples"])
    if signal.shape != (12, expected):
        raise SignalError(
            f"its signal has the shape {signal.shape}, {TABLE} says 12 leads of {expected} samples",
            where=path,
        )
    return Record(signal, RATE, STANDARD_LEADS, metadata={"format": "HDF5"})


def statements_of(cell: str) -> tuple[dict[str, int | None], list[str]]:
    """Return what a cell of ``AHA_Code`` says of every statement, and its primary codes that no table knows.

    Raises
    ------
    DataError
        If the cell is empty or no list of codes.
    """
    values: dict[str, int | None] = dict.fromkeys(SOURCE.annotates, 0)
    present: set[str] = set()
    unknown: set[str] = set()
    unmapped: list[str] = []
    parts = [part.strip() for part in cell.split(";") if part.strip()]
    if not parts:
        raise DataError("it has no AHA code")
    for part in dict.fromkeys(parts):
        primary, *modifiers = (code.strip() for code in part.split("+"))
        if not primary.isdecimal() or not all(code.isdecimal() for code in modifiers):
            raise DataError(f"{part!r} is no AHA code")
        if primary not in _CODES:
            unmapped.append(primary)
            continue
        refined = [key for code in modifiers if (key := f"{primary}+{code}") in _CODES]
        said = {code for key in (primary, *refined) for code in _CODES[key]}
        (unknown if _UNCERTAIN & set(modifiers) else present).update(said)
        unknown |= _REFINED.get(primary, set()) - said
    values.update(dict.fromkeys(unknown))
    values.update(dict.fromkeys(present, 1))
    return values, unmapped


def _contains(folder: Path) -> bool:
    return (folder / TABLE).is_file() and (folder / "records").is_dir()


def _list_records(root: Path, request: Request) -> Listing:
    entries: list[Entry] = []
    rejected: list[Rejection] = []
    counts: Counter[str] = Counter()
    sexes: dict[str, Sex] = {"M": "male", "F": "female"}
    listed: set[str] = set()
    for line, row in read_rows(root / TABLE, _COLUMNS, address=SOURCE.address):
        name, where = row["ecg_id"].strip(), f"{TABLE}, line {line}"
        file = f"records/{name}.h5"
        if name in listed:
            raise DataError(f"{name} occurs twice", where=where, remedy="Keep one row per record")
        listed.add(name)
        try:
            values, unmapped = statements_of(row["aha_code"])
            age, flags = parse_age(row["age"], where=where)
            samples = int(float(row["n"]))
        except (DataError, ValueError) as error:
            rejected.append(
                Rejection(name, file, error.what if isinstance(error, DataError) else f"N is {row['n']!r}")
            )
            continue
        counts.update({part.split("+")[0].strip() for part in row["aha_code"].split(";") if part.strip()})
        entries.append(
            Entry(
                record_id=name,
                file=file,
                statements=values,
                patient_id=row["patient_id"].strip() or None,
                age=age,
                sex=sexes.get(row["sex"].strip().upper()[:1]),
                flags=(*flags, *(f"AHA code not in the crosswalk: {code}" for code in unmapped)),
                how={"samples": samples},
            )
        )
    entries.sort(key=lambda entry: entry.record_id)
    for path in sorted((root / "records").glob("*.h5")):
        if path.stem not in listed:
            rejected.append(Rejection(path.stem, f"records/{path.name}", f"{TABLE} does not list it"))
    known = bool(entries) and all(entry.patient_id is not None for entry in entries)
    names = _names(root)
    return Listing(
        root=root,
        entries=tuple(entries),
        leads=SOURCE.leads,
        annotates=SOURCE.annotates,
        tasks=SOURCE.tasks,
        patients_known=known,
        complete=len(entries) == SOURCE.records,
        rejected=tuple(rejected),
        notes=tuple(
            f"AHA statement {_label(code, names)} is not in the crosswalk: unlabelled in {count} records"
            for code, count in sorted(counts.items())
            if code not in _CODES
        ),
        coverage=coverage(
            {_label(code, names): count for code, count in counts.items()},
            {_label(code, names): " ".join(_CODES[code]) for code in counts if code in _CODES},
        ),
    )


def _names(root: Path) -> dict[str, str]:
    """Return what each primary code says: from the dataset's own table, else from the crosswalk."""
    names = {row["code"]: row["statement"] for row in crosswalk("aha")}
    if (root / "code.csv").is_file():
        names |= {
            row["code"].strip(): row["description"].strip()
            for _, row in read_rows(root / "code.csv", ("Code", "Description"))
        }
    return names


def _label(code: str, names: Mapping[str, str]) -> str:
    return f"{code} {names[code]}" if code in names else code


SOURCE = Source(
    name="sph",
    title="SPH: a large-scale multi-label 12-lead ECG database with standardized diagnostic statements",
    records=25770,
    patients=24666,
    leads=STANDARD_LEADS,
    sampling_rate=RATE,
    licence="CC BY 4.0",
    citation=(
        "Liu et al. (2022), Scientific Data 9:272, doi:10.1038/s41597-022-01403-5; "
        "data: doi:10.6084/m9.figshare.c.5779802"
    ),
    address="https://doi.org/10.6084/m9.figshare.c.5779802",
    annotates=annotated("sph"),
    tasks=tasks.of_source("sph"),
    contains=_contains,
    list_records=_list_records,
    load=load,
    signal_note="mV as published (16-bit floats)",
    beside=(TABLE, "code.csv"),
)
