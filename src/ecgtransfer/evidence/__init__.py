"""What the runs say: pure functions over arrays, known to nobody but those who ask."""

from ecgtransfer.evidence.intervals import (
    Interval,
    PairedRun,
    Spread,
    paired_difference,
    weighted_auroc,
)
from ecgtransfer.evidence.verdict import MARGIN, Verdict, minimum_detectable, two_sided_p, verdicts

__all__ = ["MARGIN", "Interval", "PairedRun", "Spread", "Verdict", "minimum_detectable", "paired_difference"]
__all__ += ["two_sided_p", "verdicts", "weighted_auroc"]
