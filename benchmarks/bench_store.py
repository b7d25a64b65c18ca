"""Time the store: random batches, opening, writing; and partitions. Targets: read 1.5 ms, millivolts 8 ms."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer.datasets import store
from ecgtransfer.datasets.simulation import simulate
from ecgtransfer.datasets.splits import folds
from ecgtransfer.datasets.steps import MISSING, quantise
from ecgtransfer.datasets.store import Chunk, Store
from ecgtransfer.datasets.store_info import StoreDescription

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
BATCH = 256


def main() -> None:
    """Build a store in a temporary folder and print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for padded in (False, True):
            path = Path(folder) / f"{padded}.ecgs"
            begun = time.perf_counter()
            opened = store.write(path, description(), chunks(arguments.windows, padded=padded))
            report(f"write {arguments.windows} windows of 12 x 1000", time.perf_counter() - begun)
            measure(opened, arguments.repeats, "every window padded" if padded else "no window padded")
        begun = time.perf_counter()
        Store.open(path)
        report("open, every hash compared", time.perf_counter() - begun)
        begun = time.perf_counter()
        Store.open(path, verify=False)
        report("open without hashes", time.perf_counter() - begun)
        for site in ("A", "B"):
            begun = time.perf_counter()
            simulate(site, 512, Path(folder) / site, seed=1)
            print(f"simulate site {site}: {512 / (time.perf_counter() - begun):.0f} records/s")
    signal = np.random.default_rng(0).standard_normal((12, 1000)).astype(np.float32)
    report("quantise 12 x 1000", *timed(lambda: quantise(signal), 1000))
    labels = (np.random.default_rng(0).random((20_000, 71)) < 0.05).astype(np.float32)
    groups = np.arange(20_000) // 2
    begun = time.perf_counter()
    folds(labels, groups, 5, np.random.default_rng(0))
    report("five folds of 20,000 records, 71 targets", time.perf_counter() - begun)


def measure(opened: Store, repeats: int, what: str) -> None:
    """Time random batches with and without a buffer that is used again."""
    rng = np.random.default_rng(0)
    methods: tuple[tuple[str, Callable[..., Any], Any], ...] = (
        ("read", opened.read, np.int16),
        ("millivolts", opened.millivolts, np.float32),
    )
    for name, method, dtype in methods:
        method(np.arange(opened.n_windows))  # into the page cache
        for out in (None, np.empty((BATCH, 12, 1000), dtype)):
            seconds = timed(lambda m=method, o=out: m(rng.integers(0, opened.n_windows, BATCH), o), repeats)
            memory = "new" if out is None else "same"
            report(f"{name} {BATCH} random windows, {what}, {memory} memory", *seconds)


def timed(action: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the shortest and the median duration in s: other work on the machine lengthens many."""
    durations = []
    for _ in range(repeats):
        begun = time.perf_counter()
        action()
        durations.append(time.perf_counter() - begun)
    return min(durations), float(np.median(durations))


def report(what: str, *seconds: float) -> None:
    """Print one measurement: one duration, or the shortest and the median."""
    kinds = ("",) if len(seconds) == 1 else (" at best", " median")
    print(f"{what}: " + ", ".join(f"{s * 1000:.3f} ms{kind}" for s, kind in zip(seconds, kinds, strict=True)))


def description() -> StoreDescription:
    """Describe a store of ten seconds at 100 Hz."""
    known: dict[str, Any] = {"leads": LEADS, "sampling_rate": 100.0, "n_samples": 1000, "recipe": {}}
    known |= dict.fromkeys(("name", "source", "title", "licence", "citation", "address"), "bench")
    known |= dict.fromkeys(("official_folds", "patients_known", "polarity_uncertain"), False)
    return StoreDescription(**known, tasks={}, annotated=("AF",))


def chunks(count: int, *, padded: bool) -> Iterator[Chunk]:
    """Yield random windows, the same 500 again and again; ``padded``: the last 100 samples missing."""
    windows = np.random.default_rng(0).integers(-2000, 2000, (500, 12, 1000), dtype=np.int16)
    if padded:
        windows[:, :, 900:] = MISSING
    record = {
        "patient_id": None,
        "age": 60.0,
        "sex": "male",
        "fold": None,
        "flags": (),
        "source": "made",
        "device": None,
        "scale_uv": 1.0,
    }
    for start in range(0, count, 500):
        size = min(500, count - start)
        records = [
            record | {"record_id": str(start + i), "file": f"{start + i}.hea", "hash": f"{start + i}"}
            for i in range(size)
        ]
        yield Chunk(windows[:size], np.arange(size), np.zeros(size, dtype=int), records, [{"AF": 0}] * size)


if __name__ == "__main__":
    main()
