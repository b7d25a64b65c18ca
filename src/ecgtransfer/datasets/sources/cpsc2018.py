"""China Physiological Signal Challenge 2018: 6,877 recordings of 6 to 60 s and a few longer, nine classes.

Two distributions are read: that of the PhysioNet Challenges (``A0001.hea`` with SNOMED CT codes) and the
original one (``A0001.mat``, a MATLAB structure ``ECG`` with ``sex``, ``age`` and ``data``, and
``REFERENCE.csv`` with up to three classes each). The original does not state a unit: that it is mV follows
from the other, whose counts are the same values times 1000, at 1000 per mV.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources import challenge
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Sex, Source
from ecgtransfer.datasets.sources.tables import coverage, read_rows
from ecgtransfer.datasets.statements import annotated, crosswalk
from ecgtransfer.errors import DataError, SignalError
from ecgtransfer.signals import STANDARD_LEADS, Record

PARTS = challenge.parts_named("cpsc2018")
NORMAL = "NORM-CPSC2018"
RATE = 500.0

_LABELS = ("first_label", "second_label", "third_label")
_SEX: dict[str, Sex] = {"male": "male", "m": "male", "female": "female", "f": "female"}
_has_headers = challenge.contains(PARTS)


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read a record of either distribution."""
    if path.suffix == ".mat" and not path.with_suffix(".hea").exists():
        return _load_structure(path)
    return challenge.load(path, how)


def _load_structure(path: Path) -> Record:
    """Read the structure ``ECG`` of the original distribution: ``data`` [12 leads, samples] in mV, 500 Hz."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=["ECG"])["ECG"][0, 0]
        # Adding 0 makes -0 an ordinary 0: the same samples must not differ in their bits.
        signal = np.asarray(content["data"], dtype=np.float32) + np.float32(0)
        age = float(np.asarray(content["age"]).reshape(-1)[0]) if np.size(content["age"]) else math.nan
        sex = "".join(str(part) for part in np.asarray(content["sex"]).reshape(-1))
    except (KeyError, ValueError, IndexError, TypeError, NotImplementedError, OSError) as error:
        raise SignalError(
            f"it holds no structure ECG with sex, age and data ({error})",
            where=path,
            remedy="Use the file as published",
        ) from None
    if signal.ndim != 2 or signal.shape[0] != len(STANDARD_LEADS):
        raise SignalError(f"its data has the shape {signal.shape}, not [12 leads, samples]", where=path)
    return Record(
        signal=np.ascontiguousarray(signal),
        sampling_rate=RATE,
        leads=STANDARD_LEADS,
        age=age if 0 < age <= 130 else None,
        sex=_SEX.get(sex.strip().lower()),
        metadata={"format": "MATLAB structure"},
    )


def _contains(folder: Path) -> bool:
    return _has_headers(folder) or (
        next(folder.rglob("REFERENCE.csv"), None) is not None
        and any(challenge.part_of(path.stem, PARTS) for path in folder.rglob("*.mat"))
    )


def _list_records(root: Path, request: Request) -> Listing:
    if _has_headers(root):
        return challenge.list_records(root, SOURCE, PARTS, NORMAL, " (use the source challenge2021)")
    return _list_original(root)


def _list_original(root: Path) -> Listing:
    """List the original distribution: the recordings may lie in several folders, with one or more tables."""
    classes = {row["class"]: row for row in crosswalk("cpsc")}
    labels: dict[str, tuple[str, ...]] = {}
    for table in sorted(root.rglob("REFERENCE.csv")):
        for number, row in read_rows(table, ("Recording", *_LABELS)):
            where = f"{table.relative_to(root).as_posix()}, line {number}"
            named = tuple(cell for name in _LABELS if (cell := row[name].strip().removesuffix(".0")))
            unknown = [cell for cell in named if cell not in classes]
            if unknown or not named:
                wrong = f"class {unknown[0]!r}" if unknown else "no class"
                raise DataError(
                    f"{wrong} is none of 1 to 9", where=where, remedy="Use the table as published"
                )
            name = row["recording"].strip()
            if labels.setdefault(name, named) != named:
                raise DataError(f"{name} has other classes elsewhere", where=where)
    files = {path.stem: path for path in sorted(root.rglob("*.mat")) if challenge.part_of(path.stem, PARTS)}
    entries: list[Entry] = []
    counted: Counter[str] = Counter()
    for name in sorted(labels.keys() & files.keys()):
        present = {classes[number]["code"] for number in labels[name]}
        counted.update({classes[number]["label"] for number in labels[name]})
        values: dict[str, int | None] = {code: int(code in present) for code in SOURCE.annotates}
        values[NORMAL] = int("SR" in present)
        if "SR" in present or "AF" in present:
            values["SR"] = int("SR" in present)
        entries.append(Entry(name, files[name].relative_to(root).as_posix(), values, source="cpsc2018"))
    rejected = [
        Rejection(name, files[name].relative_to(root).as_posix(), "REFERENCE.csv has no class for it")
        for name in sorted(files.keys() - labels.keys())
    ]
    rejected += [
        Rejection(name, f"{name}.mat", "REFERENCE.csv names it, but it is not there")
        for name in sorted(labels.keys() - files.keys())
    ]
    return Listing(
        root=root,
        entries=tuple(entries),
        leads=SOURCE.leads,
        annotates=SOURCE.annotates,
        tasks=SOURCE.tasks,
        patients_known=False,
        complete=len(entries) == SOURCE.records,
        rejected=tuple(rejected),
        notes=("the files state no unit: mV, as in the Challenge's release of the same recordings",),
        coverage=coverage(counted, {row["label"]: row["code"] for row in classes.values()}),
    )


SOURCE = Source(
    name="cpsc2018",
    title="China Physiological Signal Challenge 2018, training set",
    records=6877,
    patients=None,
    leads=STANDARD_LEADS,
    sampling_rate=RATE,
    licence="CC BY 4.0",
    citation=(
        "Liu et al. (2018), Journal of Medical Imaging and Health Informatics 8:1368-1373, "
        f"doi:10.1166/jmihi.2018.2442; {challenge.CITATION}"
    ),
    address=challenge.ADDRESS,
    annotates=annotated("cpsc2018"),
    tasks=tasks.of_source("cpsc2018"),
    contains=_contains,
    list_records=_list_records,
    load=load,
    patients_known=False,
    signal_note="mV as the header says, or as the Challenge's release of the same recordings shows",
)
