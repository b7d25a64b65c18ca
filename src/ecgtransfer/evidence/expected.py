"""What a plan can expect before any run: how wide its intervals will be, and which verdicts are in reach.

From the number of test patients with and without each target follows the variance of an AUROC in closed form
(Hanley and McNeil 1982). Everything else has to be assumed, and is a parameter with a default:

- the arms' AUROCs correlate over patients with ``arm_correlation``, so the variance of the difference is
  2 (1 - r) times that of one arm;
- of that, ``persistence`` is the patients' own and comes back at every seed, the rest is new at each;
- targets correlate with ``target_correlation`` in the macro mean;
- training noise moves one seed's macro difference by ``seed_sd``.

The defaults lie in the middle of what the comparisons on real recordings in this repository showed: between
networks, sizes and datasets the half-widths differ from the expected ones by a factor of up to two. They are
there to tell a hopeless plan from a promising one, not to replace the interval.

References
----------
Hanley and McNeil (1982), Radiology 143(1); Hanley and McNeil (1983), A method of comparing the areas under
ROC curves derived from the same cases, Radiology 148(3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.crossed import MINIMUM_POSITIVES
from ecgtransfer.evidence.spread import Spread
from ecgtransfer.evidence.verdict import EQUIVALENCE_LEVEL, LEVEL, MARGIN, POWER


@dataclass(frozen=True)
class Expectation:
    """What a contrast of macro AUROCs can be expected to show.

    Attributes
    ----------
    half_width : float or None
        Of the interval at ``level``; None where a target has too few test patients for an interval.
    equivalence_half_width : float or None
        Of the 90 % interval that is compared with the margin.
    minimum_detectable : float or None
        The true difference that would be called with a probability of 80 %.
    equivalence_chance : float
        Probability of *equivalent* if there is no difference at all; 0 where it is out of reach.
    equivalence_in_reach : bool
        Whether the 90 % interval is expected to be narrower than the margin.
    level, margin : float
    spread : Spread or None
        The expected parts of the variance: other levels and powers follow from it.
    """

    half_width: float | None
    equivalence_half_width: float | None
    minimum_detectable: float | None
    equivalence_chance: float
    equivalence_in_reach: bool
    level: float
    margin: float
    spread: Spread | None

    def power(self, difference: float) -> float:
        """Return the probability that a true difference is called, in its own direction."""
        return self.spread.power(abs(difference), self.level) if self.spread is not None else 0.0


def expected_half_width(
    positives: Sequence[int],
    negatives: Sequence[int],
    *,
    n_seeds: int,
    folds: int = 1,
    auroc: float = 0.85,
    arm_correlation: float = 0.5,
    persistence: float = 0.5,
    target_correlation: float = 0.0,
    seed_sd: float = 0.035,
    n_pretrainings: int = 0,
    pretraining_sd: float = 0.01,
    level: float = LEVEL,
    margin: float = MARGIN,
) -> Expectation:
    """Return how wide the interval of a macro difference is expected to be, and what it can show.

    Parameters
    ----------
    positives, negatives : sequence of int
        Patients with and without each macro target, over all test folds.
    n_seeds : int
    folds : int
        Seed s tests fold s modulo ``folds``; 1 where all seeds test the same patients.
    auroc : float
        Of the arms, within (0.5, 1).
    arm_correlation, persistence, target_correlation, seed_sd
        As the top of this file says; correlations within [0, 1).
    n_pretrainings : int
        Pre-training seeds, each crossed with every seed; fewer than two leave the interval conditional on
        one pre-trained network.
    pretraining_sd : float
        What the choice of the pre-training seed moves the macro difference by.
    level : float
        That of the interval; 1 - 0.05 / 8 for the first of a family of eight.
    margin : float

    Raises
    ------
    DataError
        No target, counts that do not fit together, or a setting outside its range.
    """
    positives_, negatives_ = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    _check(positives_, negatives_, n_seeds, folds, auroc, (arm_correlation, persistence, target_correlation))
    rounds = n_seeds / folds  # how often each patient is tested; below one only that share of them is
    tested = min(rounds, 1.0)
    m, n = positives_ * tested, negatives_ * tested
    if min(m.min(), n.min()) < MINIMUM_POSITIVES:
        return Expectation(None, None, None, 0.0, False, level, margin, None)
    one = 2.0 * (1.0 - arm_correlation) * _auroc_variance(auroc, m, n)
    sd = np.sqrt(one)
    correlation = np.full((len(sd), len(sd)), target_correlation)
    np.fill_diagonal(correlation, 1.0)
    # Every tested patient once; then what more rounds do to the part that is new at each seed.
    once = float(sd @ correlation @ sd) / len(sd) ** 2
    patients = once * (persistence + (1.0 - persistence) / max(rounds, 1.0))
    of_one_seed = once * folds * tested
    shared = max(0.0, (patients - of_one_seed / n_seeds) / (1.0 - 1.0 / n_seeds)) if n_seeds > 1 else patients
    own = max(0.0, of_one_seed - shared)
    rarer = np.minimum(m, n)
    spread = Spread(
        patients=patients,
        shared=shared,
        own=own,
        between=own + seed_sd**2 if n_seeds > 1 else 0.0,
        n_seeds=n_seeds,
        freedom=float(1.0 / np.average(1.0 / (rarer - 1.0), weights=1.0 / rarer)),
        between_pretrainings=pretraining_sd**2 if n_pretrainings > 1 else 0.0,
        n_pretrainings=n_pretrainings if n_pretrainings > 1 else 0,
    )
    narrow = spread.half_width(EQUIVALENCE_LEVEL)
    return Expectation(
        half_width=spread.half_width(level),
        equivalence_half_width=narrow,
        minimum_detectable=spread.minimum_detectable(level, POWER),
        equivalence_chance=_chance_within(margin - narrow, spread.standard_error),
        equivalence_in_reach=narrow < margin,
        level=level,
        margin=margin,
        spread=spread,
    )


def _auroc_variance(auroc: float, m: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Hanley and McNeil's variance of an AUROC with m positives and n negatives."""
    q1, q2 = auroc / (2.0 - auroc), 2.0 * auroc**2 / (1.0 + auroc)
    spread = auroc * (1.0 - auroc) + (m - 1.0) * (q1 - auroc**2) + (n - 1.0) * (q2 - auroc**2)
    return np.asarray(spread / (m * n))


def _chance_within(room: float, standard_error: float) -> float:
    """Return the probability that a normal error with mean zero stays within ±room."""
    from scipy.special import erf

    if room <= 0:
        return 0.0
    return float(erf(room / standard_error / 2**0.5)) if standard_error > 0 else 1.0


def _check(
    positives: NDArray[np.float64],
    negatives: NDArray[np.float64],
    n_seeds: int,
    folds: int,
    auroc: float,
    shares: tuple[float, ...],
) -> None:
    if positives.ndim != 1 or not len(positives) or positives.shape != negatives.shape:
        raise DataError(f"counts of {positives.size} and {negatives.size} targets do not fit together")
    if n_seeds < 1 or folds < 1:
        raise DataError(f"{n_seeds} seeds and {folds} folds: at least one of each is needed")
    if not 0.5 < auroc < 1.0 or not all(0.0 <= share < 1.0 for share in shares):
        raise DataError(f"AUROC {auroc} must lie within (0.5, 1), correlations {shares} within [0, 1)")
