"""What the runs say: pure functions over arrays, known to nobody but those who ask."""

from ecgtransfer.evidence.intervals import (
    Interval,
    PairedRun,
    paired_difference,
    weighted_auroc,
)

__all__ = ["Interval", "PairedRun", "paired_difference", "weighted_auroc"]
