"""Georgia 12-Lead ECG Challenge Database: 10,344 recordings of 10 s from Emory University, Atlanta."""

from __future__ import annotations

from pathlib import Path

from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources import challenge
from ecgtransfer.datasets.sources.source import Listing, Request, Source
from ecgtransfer.datasets.statements import annotated
from ecgtransfer.signals import STANDARD_LEADS

PARTS = challenge.parts_named("georgia")


def _list_records(root: Path, request: Request) -> Listing:
    return challenge.list_records(root, SOURCE, PARTS, "NORM-GEORGIA", " (use the source challenge2021)")


SOURCE = Source(
    name="georgia",
    title="Georgia 12-Lead ECG Challenge Database (Challenges 2020 and 2021)",
    records=10344,
    patients=None,
    leads=STANDARD_LEADS,
    sampling_rate=500.0,
    licence="CC BY 4.0",
    citation=challenge.CITATION,
    address=challenge.ADDRESS,
    annotates=annotated("georgia"),
    tasks=tasks.of_source("georgia"),
    contains=challenge.contains(PARTS),
    list_records=_list_records,
    load=challenge.load,
    patients_known=False,
    signal_note=challenge.SIGNAL_NOTE,
)
