"""Chapman-Shaoxing and Ningbo: 45,152 recordings of 10 s, one per patient, two hospitals in one release.

The numbers tell them apart (JS00001 to JS10646 and JS10647 to JS45551), and so does a record's ``source``:
the two hospitals annotate different statements.
"""

from __future__ import annotations

from pathlib import Path

from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources import challenge
from ecgtransfer.datasets.sources.source import Listing, Request, Source
from ecgtransfer.signals import STANDARD_LEADS

PARTS = challenge.parts_named("chapman", "ningbo")


def _list_records(root: Path, request: Request) -> Listing:
    return challenge.list_records(root, SOURCE, PARTS, others=" (use the source challenge2021)")


SOURCE = Source(
    name="chapman",
    title="A large scale 12-lead electrocardiogram database for arrhythmia study (Chapman, Shaoxing, Ningbo)",
    records=45152,
    patients=45152,
    leads=STANDARD_LEADS,
    sampling_rate=500.0,
    licence="CC BY 4.0",
    citation=(
        "Zheng, Guo & Chu (2022), PhysioNet, doi:10.13026/wgex-er52; "
        "Zheng et al. (2020), Scientific Data 7:48, doi:10.1038/s41597-020-0386-x; "
        "Zheng et al. (2020), Scientific Reports 10:2898, doi:10.1038/s41598-020-59821-7; "
        "Goldberger et al. (2000), Circulation 101:e215, doi:10.1161/01.CIR.101.23.e215"
    ),
    address="https://physionet.org/content/ecg-arrhythmia/1.0.0/",
    annotates=challenge.codes_of(PARTS),
    tasks=tasks.of_source("chapman"),
    contains=challenge.contains(PARTS),
    list_records=_list_records,
    load=challenge.load,
    patients_known=False,
)
