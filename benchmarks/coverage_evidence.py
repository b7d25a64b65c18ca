"""How often the interval covers the truth, cell by cell: the table in docs/evidence.md.

A cell is a number of positives, seeds and folds, and what dominates the noise. Cells that the result file
already holds are not computed again, so it goes on where it stopped.

    OMP_NUM_THREADS=1 python benchmarks/coverage_evidence.py coverage.json --simulations 2000 --workers 2
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgtransfer.evidence import PairedRun, paired_difference
from ecgtransfer.selfcheck.tables import Design, predictions
from ecgtransfer.workers import each

RESAMPLES, CHUNK = 400, 100
BASE = Design(patients=300, auroc=0.85, hidden=0.05)
REGIMES = {
    "patients": replace(BASE, persistent=0.9, common=0.0, seed_noise=0.0),
    "both": replace(BASE, persistent=0.6, common=0.3, seed_noise=0.25),
    "seeds": replace(BASE, persistent=0.1, common=0.0, seed_noise=0.6),
    "neither": replace(BASE, persistent=0.1, common=0.0, seed_noise=0.0),
}
CROSSED = {
    "pre-training": replace(BASE, persistent=0.6, common=0.5, seed_noise=0.05, pretraining_noise=0.4),
    "all": replace(BASE, persistent=0.6, common=0.5, seed_noise=0.3, pretraining_noise=0.3, joint_noise=0.3),
    "neither": REGIMES["neither"],
}
# Beside the grid: three targets, two records of some patients, AUROCs near the ends, half of them positive.
BESIDE = {
    "three targets": replace(REGIMES["both"], positives=(10, 20, 50), seeds=10),
    "three targets, five folds": replace(REGIMES["both"], positives=(10, 20, 50), seeds=10, folds=5),
    "30 % with two records": replace(REGIMES["both"], positives=(20,), seeds=10, twice=0.3),
    "AUROC 0.95": replace(REGIMES["both"], positives=(20,), seeds=10, auroc=0.95, hidden=0.0),
    "AUROC 0.6": replace(REGIMES["both"], positives=(20,), seeds=10, auroc=0.6),
    "AUROC 0.90 against 0.80": replace(REGIMES["both"], positives=(20,), seeds=10, auroc=0.8, difference=0.1),
    "150 of 300 positive": replace(REGIMES["both"], positives=(150,), seeds=10),
    "arms nearly alike": replace(
        BASE, positives=(20,), seeds=10, common=0.97, persistent=0.9, seed_noise=0.02
    ),
}
Cell = tuple[str, Design]


def cells() -> list[Cell]:
    grid = [
        (
            f"{regime}, {m} positives, {seeds} seeds, {folds} fold(s)",
            replace(base, positives=(m,), seeds=seeds, folds=folds),
        )
        for seeds in (10, 5, 3)
        for m in (10, 20, 50)
        for folds in (1, 5)
        for regime, base in REGIMES.items()
        if m * min(seeds, folds) >= 10 * folds  # else fewer than 10 positives are tested: no interval
    ]
    crossed = [
        (
            f"{regime} × 3, {m} positives, {seeds} seeds, {folds} fold(s)",
            replace(base, positives=(m,), seeds=seeds, folds=folds, pretrainings=3),
        )
        for seeds, folds in ((10, 1), (10, 5), (5, 5))
        for m in (10, 20, 50)
        for regime, base in CROSSED.items()
    ]
    return [*grid, *crossed, *BESIDE.items()]


def simulate(job: tuple[str, Design, int, int]) -> tuple[list[bool], list[float]]:
    """Return, for one chunk of a cell, what was covered and how wide the intervals were."""
    name, design, start, stop = job
    covered, widths = [], []
    for number in range(start, stop):
        random = np.random.default_rng([zlib.crc32(name.encode()), number])
        runs = [
            PairedRun(p.seed, p.pretraining if design.pretrainings > 1 else None, *p[2:])
            for p in predictions(design, random)
        ]
        found = paired_difference(runs, resamples=RESAMPLES, seed=number)
        if found.low is None or found.high is None:
            continue
        covered.append(found.low <= design.difference <= found.high)
        widths.append(found.high - found.low)
    return covered, widths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", help="cells whose name has this")
    chosen = parser.parse_args()
    rows = json.loads(chosen.out.read_text()) if chosen.out.is_file() else {}
    left = [(name, design) for name, design in cells() if name not in rows and chosen.only in name]
    jobs = [
        (name, design, start, min(start + CHUNK, chosen.simulations))
        for name, design in left
        for start in range(0, chosen.simulations, CHUNK)
    ]
    done: dict[str, list[tuple[list[bool], list[float]]]] = {name: [] for name, _ in left}
    for (name, *_), result in each(simulate, jobs, chosen.workers):
        done[name].append(result)
        if len(done[name]) < -(-chosen.simulations // CHUNK):
            continue
        covered = [value for part, _ in done[name] for value in part]
        widths = [value for _, part in done[name] for value in part]
        rows[name] = {"coverage": float(np.mean(covered)), "n": len(covered), "width": float(np.mean(widths))}
        chosen.out.write_text(json.dumps(rows, indent=1))
        print(f"{rows[name]['coverage']:.4f}  {name}", file=sys.stderr, flush=True)
    _print(rows)


def _print(rows: dict[str, dict[str, float]]) -> None:
    """Print the cells as Markdown: what dominates across, the design down."""
    for regimes in ([*REGIMES], [f"{name} × 3" for name in CROSSED]):
        designs = dict.fromkeys(
            name.split(", ", 1)[1] for name, _ in cells() if name.split(", ")[0] in regimes and ", " in name
        )
        print(f"\n| | {' | '.join(regimes)} |\n|---|{'---|' * len(regimes)}")
        for design in designs:
            shown = [_percent(rows.get(f"{regime}, {design}")) for regime in regimes]
            print(f"| {design} | {' | '.join(shown)} |")
    print("\n| beside the grid | |\n|---|---|")
    for name in BESIDE:
        print(f"| {name} | {_percent(rows.get(name))} |")
    found = [row["coverage"] for row in rows.values()]
    print(f"\n{len(found)} cells, {100 * min(found):.1f} to {100 * max(found):.1f} %")


def _percent(row: dict[str, float] | None) -> str:
    return "" if row is None else f"{100 * row['coverage']:.1f}"


if __name__ == "__main__":
    main()
