"""What the runs say: pure functions over arrays, known to nobody but those who ask."""

from ecgtransfer.evidence.intervals import (
    Interval,
    PairedRun,
    SingleRun,
    paired_difference,
    single_mean,
    weighted_auroc,
)

__all__ = ["Interval", "PairedRun", "SingleRun", "paired_difference", "single_mean", "weighted_auroc"]
