"""PhysioNet/CinC Challenges 2020 and 2021: any mixture of their eight public parts.

A record's ``source`` is the part that it comes from, by its name, and its statements are known only as far as
that part annotates them. PTB-XL's records are named ``HR`` and its ecg_id: a store of PTB-XL beside this one
holds the same ECGs.
"""

from __future__ import annotations

from pathlib import Path

from ecgtransfer.datasets import tasks
from ecgtransfer.datasets.sources import challenge
from ecgtransfer.datasets.sources.source import Listing, Request, Source
from ecgtransfer.signals import STANDARD_LEADS


def _list_records(root: Path, request: Request) -> Listing:
    return challenge.list_records(root, SOURCE, challenge.PARTS)


SOURCE = Source(
    name="challenge2021",
    title="PhysioNet/Computing in Cardiology Challenges 2020 and 2021, training data",
    records=88253,
    patients=None,
    leads=STANDARD_LEADS,
    sampling_rate=1000.0,
    other_rates=(500.0, 257.0),
    licence="CC BY 4.0",
    citation=(
        "Reyna et al. (2021), Computing in Cardiology 48, doi:10.23919/CinC53138.2021.9662687; "
        f"Reyna et al. (2022), PhysioNet, doi:10.13026/34va-7q14; {challenge.CITATION}"
    ),
    address=challenge.ADDRESS,
    annotates=challenge.codes_of(challenge.PARTS),
    tasks=tasks.of_source("challenge2021"),
    contains=challenge.contains(challenge.PARTS),
    list_records=_list_records,
    load=challenge.load,
    patients_known=False,
    signal_note=challenge.SIGNAL_NOTE,
)
