"""Records per second of `prepare`: 12 leads at 500 Hz (WFDB, format 16) to a store at 100 Hz.

The recordings are the 200 500 Hz files of the PTB-XL subset in ``$ECGTRANSFER_DATA``, named many times over
by a table (each pass through a link to their folder), or noise where there are none.

Run: python benchmarks/bench_prepare.py [--records 10000] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from pathlib import Path

import numpy as np

from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.signals import STANDARD_LEADS
from ecgtransfer.signals.writer import write_wfdb

REPOSITORY = Path(__file__).resolve().parent.parent
TARGET = 1200


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "raw"
        root.mkdir()
        recordings = real_recordings() or made_up(Path(place) / "noise")
        rows = ["file,patient,ANY"]
        for number in range(options.records):
            turn, position = divmod(number, len(recordings))
            link = root / f"pass{turn:04d}"
            if position == 0:
                link.symlink_to(recordings[0].parent)
            rows.append(f"{link.name}/{recordings[position].name},P{number},{number % 2}")
        (root / "labels.csv").write_text("\n".join(rows) + "\n")
        summary = prepare("folder", root, Path(place) / "bench.ecgs", workers=options.workers)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in usage)
    print(summary.sentence())
    print(
        f"{summary.n_records / summary.seconds:,.0f} records/s with {options.workers} workers "
        f"({summary.seconds:.1f} s; target {TARGET:,} on two quiet cores); "
        f"{1000 * cpu / summary.n_records:.2f} ms of processor time per record"
    )


def real_recordings() -> list[Path]:
    data = Path(os.environ.get("ECGTRANSFER_DATA", REPOSITORY.parent / "shared/data"))
    return sorted((data / "ptbxl500/records500/00000").glob("*_hr.hea"))


def made_up(folder: Path, n: int = 200) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    return [
        write_wfdb(folder, f"{i:05d}_hr", rng.normal(0, 0.3, (12, 5000)), 500, STANDARD_LEADS)
        for i in range(n)
    ]


if __name__ == "__main__":
    main()
