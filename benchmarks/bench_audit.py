"""Seconds and memory of the search for duplicates among 100,000 12-lead recordings of 10 s at 100 Hz.

The recordings are made from those of ``$ECGTRANSFER_DATA``: each is stretched in time by a smooth random
curve, its leads are mixed, and noise is added, so that rhythms and shapes are real and no two are the same.
One in six is paced: one beat again and again, at exactly 60, 70 or 75 per minute, its size following the
breath. Then copies are planted: at another gain, cropped, filtered, with noise, upside down. The search must
find these and nothing else.

Run: python benchmarks/bench_audit.py [--records 100000] [--planted 1000] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets import duplicates
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.store import Chunk, Store, write
from ecgtransfer.datasets.store_info import StoreDescription
from ecgtransfer.signals import STANDARD_LEADS

REPOSITORY = Path(__file__).resolve().parent.parent
RATE, SAMPLES, CHUNK, PACED = 100, 1000, 1000, 6
INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--planted", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="Where to leave the store, for another run.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = options.keep or Path(place)
        path = folder / "bench.ecgs"
        planted = plan(options.records, options.planted)
        if not path.exists():
            make(path, options.records, planted, templates(Path(place)))
        store = Store.open(path, verify=False)
        before = sum(
            one.ru_utime + one.ru_stime
            for one in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        started = time.perf_counter()
        found = duplicates.search([store], quiet=False, workers=options.workers)
        seconds = time.perf_counter() - started
    pairs = {(pair.a[1], pair.b[1]) for pair in found.pairs}
    wanted = {(source, copy) for copy, (source, _) in planted.items()}
    kinds = [
        f"{kind}{', paced' * (source % PACED == 0)}"
        for copy, (source, kind) in planted.items()
        if (source, copy) not in pairs
    ]
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(
        f"{store.n_records:,} records: {seconds:.1f} s with {options.workers} processes, "
        f"{sum(one.ru_utime + one.ru_stime for one in usage) - before:.1f} s of processor time, at most "
        f"{max(one.ru_maxrss for one in usage) / 2**20:.1f} GiB in one process (the mapped store included); "
        f"{len(wanted & pairs)} of {len(wanted)} planted pairs found, {len(pairs - wanted)} others"
    )
    for kind in sorted(set(kinds)):
        print(f"  missed: {kinds.count(kind)} of kind {kind!r}")
    for pair in found.pairs:
        if (pair.a[1], pair.b[1]) not in wanted:
            print("  not planted:", pair)
    for note in found.notes:
        print("-", note)


def templates(place: Path) -> NDArray[np.float32]:
    """Return real recordings [records, leads, samples] in mV."""
    data = Path(os.environ.get("ECGTRANSFER_DATA", REPOSITORY.parent / "shared/data"))
    found = []
    for source, folder in (("ptbxl", "ptbxl500"), ("ludb", "ludb")):
        prepare(source, data / folder, place / f"{source}.ecgs", quiet=True)
        store = Store.open(place / f"{source}.ecgs")
        found.append(store.millivolts(np.arange(store.n_windows)))
    return np.concatenate(found)


def plan(records: int, planted: int) -> dict[int, tuple[int, str]]:
    """Return for each planted copy, the last records of the store, its source and its kind."""
    kinds = ("gain", "crop", "filter", "noise", "upside down")
    sources = np.random.default_rng(1).choice(records - planted, planted, replace=False)
    return {records - planted + i: (int(source), kinds[i % len(kinds)]) for i, source in enumerate(sources)}


def make(path: Path, records: int, planted: dict[int, tuple[int, str]], real: NDArray[np.float32]) -> None:
    description = StoreDescription(
        name="bench", source="bench", title="Recordings made from others", leads=tuple(STANDARD_LEADS),
        sampling_rate=float(RATE), n_samples=SAMPLES, licence="none", citation="none", address="none",
        recipe={"name": "bench"}, tasks={}, annotated=(), official_folds=False, patients_known=False,
        polarity_uncertain=False,
    )  # fmt: skip
    # Writing looks for duplicates too; here that is what is to be timed, once.
    with mock.patch.object(duplicates, "find", return_value=[]):
        write(path, description, chunks(records, planted, real))


def chunks(records: int, planted: dict[int, tuple[int, str]], real: NDArray[np.float32]) -> Iterator[Chunk]:
    for start in range(0, records, CHUNK):
        numbers = range(start, min(start + CHUNK, records))
        windows = np.stack([window(number, planted, real) for number in numbers])
        yield Chunk(
            windows=windows,
            window_record=np.arange(len(windows)),
            starts=np.zeros(len(windows), dtype=np.int64),
            records=[row(number) for number in numbers],
            statements=[{} for _ in numbers],
        )


def row(number: int) -> dict[str, Any]:
    name = f"{number:06d}"
    return {
        "record_id": name, "file": f"{name}.hea", "patient_id": None, "age": None, "sex": None, "fold": None,
        "flags": (), "hash": name, "scale_uv": 1.0, "source": "bench", "device": None,
    }  # fmt: skip


def window(number: int, planted: dict[int, tuple[int, str]], real: NDArray[np.float32]) -> NDArray[np.int16]:
    if number not in planted:
        return np.rint(variant(number, real) * 1000).clip(-32000, 32000).astype(np.int16)
    source, kind = planted[number]
    signal, rng = variant(source, real), np.random.default_rng([7, number])
    missing = 0
    if kind == "gain":
        signal = signal * (0.2 if number % 2 else 5)
    elif kind == "crop":
        start = int(rng.integers(0, 500))
        missing = 500
        signal = np.concatenate([signal[:, start : start + 500], signal[:, :500]], axis=1)
    elif kind == "filter":
        from scipy.signal import butter, sosfilt

        signal = sosfilt(butter(2, (0.5, 40), "bandpass", fs=RATE, output="sos"), signal)
    elif kind == "noise":
        signal = signal + rng.normal(0, 0.01, signal.shape)
    else:
        signal = -signal
    steps = np.rint(signal * 1000).clip(-32000, 32000).astype(np.int16)
    if missing:
        steps[:, -missing:] = -32768
    return steps


def variant(number: int, real: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return one made-up recording [leads, samples] in mV; the same number gives the same one."""
    rng = np.random.default_rng([3, number])
    signal = real[rng.integers(len(real))]
    if number % PACED == 0:
        signal = paced(signal, rng)
    else:
        speed = rng.uniform(0.8, 1.0) * (1 + 0.06 * smooth(rng))
        time_axis = np.cumsum(np.clip(speed, 0.5, 1.0))
        grid = np.arange(SAMPLES)
        signal = np.stack([np.interp(time_axis, grid, lead) for lead in signal])
    eight = signal[INDEPENDENT]
    eight = (np.eye(8) + rng.normal(0, 0.12, (8, 8))) @ eight
    eight = eight + rng.normal(0, rng.uniform(0.003, 0.015), eight.shape)
    one, two = eight[0], eight[1]
    limbs = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.concatenate([np.stack(limbs), eight[2:]])


def smooth(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random curve of size 1 that changes over a second or two."""
    return np.interp(np.arange(SAMPLES), np.linspace(0, SAMPLES, 9), rng.normal(0, 1, 9))


def paced(signal: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return one beat of a recording repeated without end, as a pacemaker does."""
    steep = np.abs(np.diff(signal[:, 200:500], axis=1)).sum(axis=0)
    beat = 200 + int(steep.argmax())
    period = 60 / float(rng.choice((60, 70, 75))) * RATE
    phase = (np.arange(SAMPLES) + rng.uniform(0, period)) % period
    source = np.arange(beat - 35, beat + 75)
    ramp = np.linspace(0, 1, len(source))
    cut = signal[:, source] - signal[:, source[:1]] - ramp * (signal[:, source[-1:]] - signal[:, source[:1]])
    breath = 1 + rng.uniform(0.02, 0.06) * np.sin(
        2 * np.pi * rng.uniform(0.15, 0.35) * np.arange(SAMPLES) / RATE + rng.uniform(0, 6)
    )
    return breath * np.stack([np.interp(phase, np.arange(len(source)), lead, right=0.0) for lead in cut])


if __name__ == "__main__":
    main()
