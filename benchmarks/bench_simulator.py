"""Simulated records per second of one core: drawn, held in memory, written, and prepared.

Example: OMP_NUM_THREADS=1 python benchmarks/bench_simulator.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy reads it

import argparse
import dataclasses
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.simulation import SITES, Site, generate, simulate


def rate(job: Callable[[], object], records: int, repeats: int) -> str:
    """Say how many records a second of processor time gives, and of the clock: medians."""
    job()
    used, passed = [], []
    for _ in range(repeats):
        start, begun = time.process_time(), time.perf_counter()
        job()
        used.append(time.process_time() - start)
        passed.append(time.perf_counter() - begun)
    per_cpu, per_clock = records / statistics.median(used), records / statistics.median(passed)
    return f"{per_cpu:,.0f} per CPU second, {per_clock:,.0f} per second"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    n, repeats = options.records, options.repeats
    at_250 = dataclasses.replace(SITES["A"], sampling_rate=250.0)
    sites: dict[str, Site] = {"A at 250 Hz": at_250, "A": SITES["A"], "B": SITES["B"], "C": SITES["C"]}
    for name, site in sites.items():
        found = rate(lambda site=site: generate(site, n, seed=1), n, repeats)
        print(f"generate, 12 leads, 10 s, site {name} ({site.sampling_rate:g} Hz): {found}")
    few = min(n, 256)
    with tempfile.TemporaryDirectory() as folder:
        folders = (Path(folder) / str(number) for number in itertools.count())
        found = rate(lambda: simulate("B", few, next(folders), seed=1), few, 3)
        print(f"written as WFDB, site B: {found}")
        begun = time.perf_counter()
        prepare("folder", Path(folder) / "0", Path(folder) / "b.ecgs", workers=1, quiet=True)
        print(f"prepared from there: {few / (time.perf_counter() - begun):,.0f} per second")


if __name__ == "__main__":
    main()
