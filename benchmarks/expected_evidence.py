"""Half-widths that a plan expects, beside those of results on real recordings and of simulated tables.

OMP_NUM_THREADS=1 python benchmarks/expected_evidence.py docs/results/cinc2017-ptbxl-w16.json ...
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from ecgtransfer.evidence import PairedRun, expected_half_width, paired_difference
from ecgtransfer.selfcheck.run import _expected
from ecgtransfer.selfcheck.tables import Design, predictions

FOLDS = 5
DESIGNS = (
    Design(patients=600, positives=(200, 300), hidden=0.0),
    Design(patients=600, positives=(60, 120), hidden=0.0),
    Design(patients=600, positives=(60, 120), hidden=0.0, folds=5),
    Design(patients=600, positives=(60, 120), hidden=0.0, folds=5, seeds=5, seed_noise=0.3),
    Design(),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("findings", nargs="*", type=Path, help="evidence of comparisons over five folds")
    ratios = [ratio for path in parser.parse_args().findings for ratio in _found(path)]
    if ratios:
        middle = float(np.exp(np.mean(np.log(ratios))))
        print(
            f"{len(ratios)} contrasts: found over expected {min(ratios):.2f} to {max(ratios):.2f}, "
            f"geometric mean {middle:.2f}"
        )
    for design in DESIGNS:
        widths = []
        for i in range(100):
            drawn = predictions(design, np.random.default_rng([i, 12]))
            runs = [PairedRun(p.seed, None, *p[2:]) for p in drawn]
            spread = paired_difference(runs, resamples=200, seed=i).spread
            widths.append(spread.half_width(0.95) if spread is not None else np.nan)
        expected = _expected(design).half_width or np.nan
        print(
            f"{design}: mean {np.mean(widths):.4f}, expected {expected:.4f}, {np.mean(widths) / expected:.2f}"
        )


def _found(path: Path) -> list[float]:
    """Return found over expected half-width for each contrast of full fine-tuning in one result."""
    found = json.loads(path.read_text())
    cells = {(cell["network"], cell["arm"], cell["n"]): cell for cell in found["cells"]}
    ratios = []
    for row in found["contrasts"]:
        if row["arm"] != "full" or row["low"] is None:
            continue
        seeds, patients = row["n_seeds"], row["n_patients"]
        tested = min(1.0, seeds / FOLDS)
        positives = [
            FOLDS * int(each["positives"])
            for each in found["per_target"]
            if (each["network"], each["arm"], each["n"]) == (row["network"], "scratch", row["n"])
            and each["target"] in found["macro_targets"]
        ]
        expected = expected_half_width(
            positives,
            [max(10, int(patients / tested) - count) for count in positives],
            n_seeds=seeds,
            folds=FOLDS,
            auroc=cells[row["network"], "full", row["n"]]["auroc"],
        )
        if expected.half_width is not None:
            ratios.append((row["high"] - row["low"]) / 2 / expected.half_width)
            print(f"{path.name} {row['network']} n={row['n']}: {ratios[-1]:.2f}")
    return ratios


if __name__ == "__main__":
    main()
