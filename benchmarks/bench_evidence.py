"""Speed of the interval: 10,000 resamples x 2,000 records x 9 targets x 2 arms x 10 seeds, in one process."""

from __future__ import annotations

import resource
import time

import numpy as np

from ecgtransfer.evidence import PairedRun, paired_difference

RESAMPLES, RECORDS, TARGETS, SEEDS = 10_000, 2_000, 9, 10


def main() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((RECORDS, TARGETS)) < np.linspace(0.02, 0.4, TARGETS)).astype(float)
    patient = np.arange(RECORDS)
    runs = [
        PairedRun(seed, 0, patient, labels, *(labels + rng.normal(size=(2, RECORDS, TARGETS))))
        for seed in range(SEEDS)
    ]
    for resamples in (2_000, RESAMPLES):
        start, worked = time.perf_counter(), time.process_time()
        found = paired_difference(runs, resamples=resamples, seed=0)
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{resamples} resamples x {RECORDS} records x {TARGETS} targets x 2 arms x {SEEDS} seeds: "
            f"{seconds:.1f} s, {worked:.1f} s of them on a processor, process at most {megabytes:.0f} MB "
            f"({found.difference:+.4f}, {found.low:+.4f} to {found.high:+.4f})"
        )


if __name__ == "__main__":
    main()
