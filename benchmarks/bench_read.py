"""Reading and resampling: records per CPU second of `signals.read` and wfdb.rdrecord, and `signals.resample`.

Example: python benchmarks/bench_read.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ecgtransfer import signals

SETS = {
    "LUDB, 12 leads, 500 Hz": "ludb/data/*.hea",
    "PTB-XL, 12 leads, 500 Hz": "ptbxl500/records500/*/*.hea",
    "PTB-XL, 12 leads, 100 Hz": "ptbxl500/records100/*/*.hea",
    "Challenge, A records": "challenge2021/A*.hea",
}
RATES = [(500, 100), (1000, 100), (400, 100), (300, 100), (257, 100), (360, 500), (500, 257)]


def seconds(job: Callable[[], object]) -> float:
    """CPU seconds of one call: other work on the machine counts as little as possible."""
    start = time.process_time()
    job()
    return time.process_time() - start


def read_all(reader: Callable[[str], object], names: Sequence[str]) -> None:
    # Nothing is kept, as when a dataset is prepared: fresh memory for every record would time the system.
    for name in names:
        reader(name)


def compare(records: Sequence[str], repeats: int) -> tuple[float, float, float]:
    """Return the medians of records/s here, with wfdb, and of the ratio of neighbouring measurements."""
    import wfdb

    few = records[:: max(1, len(records) // 40)]
    ours, theirs = [], []
    for _ in range(repeats):
        gc.collect()
        ours.append(
            seconds(lambda: read_all(lambda name: signals.read(f"{name}.hea"), records)) / len(records)
        )
        theirs.append(seconds(lambda: read_all(wfdb.rdrecord, few)) / len(few))
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return 1 / statistics.median(ours), 1 / statistics.median(theirs), ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of real recordings")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    for title, pattern in SETS.items():
        records = [str(path.with_suffix("")) for path in sorted(options.data.glob(pattern))][:200]
        if not records:
            print(f"{title}: not in {options.data}")
            continue
        for name in records:  # into the page cache
            signals.read(f"{name}.hea")
        ours, theirs, ratio = compare(records, options.repeats)
        print(f"{title}: {ours:,.0f} records/s, wfdb {theirs:,.0f}, ratio {ratio:.1f}")
    generator = np.random.default_rng(0)
    one = generator.standard_normal((12, 5000), dtype=np.float32)
    many = generator.standard_normal((64, 12, 5000), dtype=np.float32)
    for before, after in RATES:
        single = resampling(one, before, after, 50)
        batch = resampling(many, before, after, 7) / len(many)
        text = f"{single * 1e3:.2f} ms; in batches of {len(many)} {batch * 1e3:.2f} ms"
        print(f"resample 12x5000 {before} -> {after} Hz: {text}")


def resampling(signal: np.ndarray, before: float, after: float, repeats: int) -> float:
    signals.resample(signal, before, after)  # designs the filter
    return statistics.median(seconds(lambda: signals.resample(signal, before, after)) for _ in range(repeats))


if __name__ == "__main__":
    main()
