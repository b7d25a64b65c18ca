"""CODE test: 827 exams of the Telehealth Network of Minas Gerais, read by cardiologists for six findings.

The gold standard is what two cardiologists agreed on, or a third decided. Whoever has none of the six
findings is ``NORM-CODE``, as in the study; it does not say that the ECG is normal. Tables and tracings
carry no identifier and belong together by their position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources import code
from ecgtransfer.datasets.sources.source import Entry, Listing, Request, Sex, Source, parse_age
from ecgtransfer.datasets.sources.tables import binary, coverage, read_rows
from ecgtransfer.datasets.statements import annotated, crosswalk
from ecgtransfer.errors import DataError
from ecgtransfer.signals import STANDARD_LEADS, Record

TRACINGS = "ecg_tracings.hdf5"
LEADS = ("I", "II", "III", "aVL", "aVF", "aVR", "V1", "V2", "V3", "V4", "V5", "V6")
"""Order of the columns, as the README has it."""

NONE_OF_SIX = "NORM-CODE"

_FINDINGS = {row["label"]: row["code"] for row in crosswalk("code") if row["code_test"]}


def load(path: Path, how: Mapping[str, Any]) -> Record:
    """Read the tracing in row ``how["row"]``, with its zero padding if ``how["padded"]``."""
    return code.load_row(path, int(how["row"]), LEADS, padded=bool(how.get("padded")))


def _list_records(root: Path, request: Request) -> Listing:
    path = root / TRACINGS
    with code.open_file(path) as file:
        tracings = code.tracings_of(file, path)
        count = len(tracings)
        code.verify(tracings, range(count), LEADS, path)
    gold = [
        {label: binary(row[label.lower()], where=f"gold_standard.csv, line {line}") for label in _FINDINGS}
        for line, row in read_rows(
            root / "annotations/gold_standard.csv", tuple(_FINDINGS), address=SOURCE.address
        )
    ]
    _same_length("annotations/gold_standard.csv", len(gold), count, root)
    notes = ["README: the exams are of different patients; there are no identifiers to verify that"]
    people: list[tuple[float | None, Sex | None, tuple[str, ...]]] = [(None, None, ())] * count
    if (root / "attributes.csv").is_file():
        people = [_person(line, row) for line, row in read_rows(root / "attributes.csv", ("age", "sex"))]
        _same_length("attributes.csv", len(people), count, root)
    else:
        notes.append("there is no attributes.csv: age and sex are unknown")
    # The study scaled and cut the exams with their zero padding.
    told = {"padded": True} if request.recipe == "paper" else {}
    entries = tuple(
        Entry(
            record_id=f"{row:03d}",
            file=TRACINGS,
            statements={
                NONE_OF_SIX: int(not any(found.values())),
                **{_FINDINGS[label]: int(value) for label, value in found.items()},
            },
            age=age,
            sex=sex,
            flags=flags,
            how={"row": row, **told},
        )
        for row, (found, (age, sex, flags)) in enumerate(zip(gold, people, strict=True))
    )
    counts = Counter({label: sum(found[label] for found in gold) for label in _FINDINGS})
    counts["none of the six"] = sum(not any(found.values()) for found in gold)
    return Listing(
        root=root,
        entries=entries,
        leads=SOURCE.leads,
        annotates=SOURCE.annotates,
        tasks=SOURCE.tasks,
        patients_known=False,
        complete=count == SOURCE.records,
        notes=tuple(notes),
        coverage=coverage(counts, {**_FINDINGS, "none of the six": NONE_OF_SIX}),
    )


def _same_length(table: str, rows: int, count: int, root: Path) -> None:
    if rows != count:
        raise DataError(
            f"{table} has {rows} rows for {count} tracings, which belong together by position alone",
            where=root,
            remedy="Use the files as published",
        )


def _person(line: int, row: dict[str, str]) -> tuple[float | None, Sex | None, tuple[str, ...]]:
    age, flags = parse_age(row["age"], where=f"attributes.csv, line {line}")
    sexes: dict[str, Sex] = {"m": "male", "f": "female"}
    return age, sexes.get(row["sex"].strip().lower()[:1]), flags


SOURCE = Source(
    name="code-test",
    title="CODE test: annotated 12-lead ECG dataset of the Telehealth Network of Minas Gerais",
    records=827,
    patients=827,
    leads=STANDARD_LEADS,
    sampling_rate=code.RATE,
    licence="CC BY 4.0",
    citation=(
        "Ribeiro et al. (2020), Nature Communications 11:1760, doi:10.1038/s41467-020-15432-4; "
        "data: doi:10.5281/zenodo.3765780"
    ),
    address="https://doi.org/10.5281/zenodo.3765780",
    annotates=annotated("code-test"),
    tasks=tasks.of_source("code-test"),
    contains=lambda folder: (folder / TRACINGS).is_file(),
    list_records=_list_records,
    load=load,
    patients_known=False,
    signal_note=code.SIGNAL_NOTE,
    paper_centred=True,
)
