"""What the runs say: pure functions over arrays, known to nobody but those who ask."""

from ecgtransfer.evidence.auroc import weighted_auroc
from ecgtransfer.evidence.calibration import Reliability, ReliabilityBin, reliability
from ecgtransfer.evidence.catchup import CatchUp
from ecgtransfer.evidence.ceiling import NoiseCeiling, noise_ceiling
from ecgtransfer.evidence.convergence import (
    ArmConvergence,
    BudgetRun,
    Convergence,
    TimeRatio,
    convergence,
    kaplan_meier,
)
from ecgtransfer.evidence.cost import BreakEven, break_even, energy_wh, training_flops
from ecgtransfer.evidence.crossed import Interval
from ecgtransfer.evidence.curves import Band, LearningCurves, SizeRuns, learning_curves
from ecgtransfer.evidence.descriptive import seed_tests
from ecgtransfer.evidence.expected import Expectation, expected_half_width
from ecgtransfer.evidence.exploratory import (
    NegativeRow,
    NegativeTransfer,
    StatementDifference,
    TargetSize,
    negative_transfer,
    per_statement,
)
from ecgtransfer.evidence.intervals import arm_auroc, difference_of_gains, paired_difference
from ecgtransfer.evidence.operating import OperatingDifference, OperatingRun, sensitivity_difference
from ecgtransfer.evidence.runs import PairedRun, SingleRun
from ecgtransfer.evidence.saved import LabelsSaved, Transferred
from ecgtransfer.evidence.spread import Spread
from ecgtransfer.evidence.subgroups import Subgroup, age_groups, subgroups
from ecgtransfer.evidence.verdict import MARGIN, Verdict, minimum_detectable, two_sided_p, verdicts, word

__all__ = ["MARGIN", "Interval", "PairedRun", "Spread", "Verdict", "minimum_detectable", "paired_difference"]
__all__ += ["Expectation", "arm_auroc", "expected_half_width", "seed_tests", "two_sided_p", "verdicts"]
__all__ += ["difference_of_gains", "weighted_auroc", "word"]
__all__ += ["ArmConvergence", "Band", "BreakEven", "BudgetRun", "CatchUp", "Convergence", "LabelsSaved"]
__all__ += ["LearningCurves", "NegativeRow", "NegativeTransfer", "NoiseCeiling", "OperatingDifference"]
__all__ += ["OperatingRun", "Reliability", "ReliabilityBin", "SingleRun", "SizeRuns", "StatementDifference"]
__all__ += ["Subgroup", "TargetSize", "TimeRatio", "Transferred", "age_groups", "break_even", "convergence"]
__all__ += ["energy_wh", "kaplan_meier", "learning_curves", "negative_transfer", "noise_ceiling"]
__all__ += ["per_statement", "reliability", "sensitivity_difference", "subgroups", "training_flops"]
