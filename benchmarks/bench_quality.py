"""Time of `quality.check`, which every record passes in `prepare`: 12 leads, 10 s at 500 Hz, one core.

Real recordings (PTB-XL, ``$ECGTRANSFER_DATA``) where there are some, else noise with beats.

Run: OMP_NUM_THREADS=1 python benchmarks/bench_quality.py
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from ecgtransfer import signals
from ecgtransfer.signals import STANDARD_LEADS, Record
from ecgtransfer.signals.quality import check

REPOSITORY = Path(__file__).resolve().parent.parent
TARGET_MS, ROUNDS = 0.4, 20


def main() -> None:
    data = Path(os.environ.get("ECGTRANSFER_DATA", REPOSITORY.parent / "shared" / "data"))
    paths = sorted((data / "ptbxl500/records500").rglob("*.hea"))[:100]
    if paths:
        records = [signals.read(path) for path in paths]
    else:
        rng = np.random.default_rng(0)
        beats = np.exp(-0.5 * ((np.arange(5000) % 400 - 200) / 8) ** 2)
        records = [
            Record(beats + 0.02 * rng.standard_normal((12, 5000)), 500.0, STANDARD_LEADS) for _ in range(100)
        ]
    times = np.zeros((ROUNDS, len(records)))
    for number in range(ROUNDS):
        for place, record in enumerate(records):
            start = time.perf_counter()
            check(record)
            times[number, place] = time.perf_counter() - start
    # The best of the rounds: what the machine does when nothing else runs on it.
    print(
        f"{len(records)} {'real' if paths else 'made-up'} records, 12 x 5,000 samples: "
        f"{1000 * times.min(axis=0).mean():.2f} ms each at best, {1000 * np.median(times):.2f} ms median "
        f"(target {TARGET_MS} ms)"
    )


if __name__ == "__main__":
    main()
