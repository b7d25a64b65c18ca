"""Tests over seeds: as scipy has them, and no more than a description."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp, wilcoxon

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import seed_tests

VALUES = [0.02, -0.01, 0.03, 0.015, 0.005, 0.021, -0.004, 0.011]


def test_wilcoxon_is_that_of_scipy_and_nadeau_bengio_is_asked_for():
    found = seed_tests(VALUES)
    assert found["wilcoxon"] == pytest.approx(wilcoxon(VALUES).pvalue)
    assert found["nadeau_bengio"] is None


def test_the_corrected_t_is_students_where_no_patient_is_shared_and_weaker_where_they_are():
    nearly_plain = seed_tests(VALUES, test_to_train=1e-12)["nadeau_bengio"]
    assert nearly_plain == pytest.approx(ttest_1samp(VALUES, 0.0).pvalue)
    # By hand: 10 seeds would have 1/8 + 1/4 instead of 1/8, so t shrinks by sqrt(3).
    t = ttest_1samp(VALUES, 0.0).statistic / np.sqrt(3.0)
    from scipy.stats import t as student

    corrected = seed_tests(VALUES, test_to_train=0.25)["nadeau_bengio"]
    assert corrected == pytest.approx(2 * student.sf(abs(t), 7))


@pytest.mark.parametrize("values", [[], [0.1], [0.0, 0.0, 0.0]])
def test_where_nothing_can_be_tested_there_is_no_p(values: list[float]):
    assert seed_tests(values, test_to_train=0.25) == {"wilcoxon": None, "nadeau_bengio": None}


def test_refusals():
    with pytest.raises(DataError, match="not finite"):
        seed_tests([0.1, float("nan")])
    with pytest.raises(DataError, match="must be positive"):
        seed_tests(VALUES, test_to_train=0.0)
