"""Tests over seeds: what other papers report. They describe these patients, and never decide here.

All seeds are tested on the same patients, so their differences have the patients' error in common, and a test
that takes seeds for independent replicates takes the same patients for new ones at every seed. With a
patient-level difference between the arms that is no difference in the population it is "significant" far more
often than it says: `selfcheck` measures how often. What such a test does say is whether the difference on
these very patients could be training noise.

References
----------
Wilcoxon (1945), Biometrics Bulletin 1(6); Nadeau and Bengio (2003), Inference for the generalization error,
Machine Learning 52; Bouckaert and Frank (2004), Evaluating the replicability of significance tests for
comparing learning algorithms, PAKDD.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecgtransfer.errors import DataError


def seed_tests(per_seed: Sequence[float], *, test_to_train: float | None = None) -> dict[str, float | None]:
    """Return p-values of tests over seeds, for description alone.

    Parameters
    ----------
    per_seed : sequence of float
        The difference at each seed.
    test_to_train : float, optional
        Test recordings over training recordings. Only for runs that learn from everything outside the test
        part: the correction of Nadeau and Bengio is for training sets that overlap because they are all of
        the same data; with small random subsets it has no ground.

    Returns
    -------
    dict
        ``wilcoxon`` (signed rank, two-sided, exact without ties) and ``nadeau_bengio`` (corrected resampled
        t; None without ``test_to_train``). None where fewer than two seeds, or no difference at all, leave
        nothing to test.

    Raises
    ------
    DataError
        A difference is not finite, or the ratio is not positive.
    """
    from scipy.stats import t as student
    from scipy.stats import wilcoxon

    values = np.asarray(per_seed, np.float64)
    if not np.isfinite(values).all():
        raise DataError("a difference over seeds is not finite")
    if test_to_train is not None and not test_to_train > 0:
        raise DataError(f"test over training recordings is {test_to_train}, must be positive")
    n, found = len(values), {"wilcoxon": None, "nadeau_bengio": None}
    if n < 2 or not values.any():
        return dict(found)
    result: dict[str, float | None] = {"wilcoxon": float(wilcoxon(values).pvalue), "nadeau_bengio": None}
    variance = float(values.var(ddof=1))
    if test_to_train is not None and variance > 0:
        statistic = abs(float(values.mean())) / ((1.0 / n + test_to_train) * variance) ** 0.5
        result["nadeau_bengio"] = 2.0 * float(student.sf(statistic, n - 1))
    return result
