"""Tests over seeds: as scipy has them, and no more than a description."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.integrate import quad
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


def by_enumeration(values: list[float]) -> float:
    """Return the two-sided p of the signed rank sum from every assignment of signs, all equally likely."""
    size = [abs(value) for value in values]
    ranks = [1 + sum(other < mine for other in size) for mine in size]
    found = sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)
    sums = [
        sum(rank for rank, positive in zip(ranks, signs, strict=True) if positive)
        for signs in product((False, True), repeat=len(values))
    ]
    tails = sum(each <= found for each in sums), sum(each >= found for each in sums)
    return min(1.0, 2 * min(tails) / len(sums))


@pytest.mark.parametrize(
    ("values", "sums_as_extreme"),
    [
        (VALUES, None),
        ([-value for value in VALUES], None),
        (sorted(abs(value) for value in VALUES), 2),  # all agree: W = 36 or 0
        ([-0.001, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07], 4),  # W = 35, 36, 0 or 1
        ([-0.001, -0.002, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07], 10),  # at most 3: {}, 1, 2, 3, 1 + 2
        ([-0.04, 0.01, 0.02, 0.03, -0.05, 0.06, 0.07, -0.08], None),
    ],
)
def test_wilcoxon_is_that_of_every_assignment_of_signs(values: list[float], sums_as_extreme: int | None):
    expected = by_enumeration(values)
    if sums_as_extreme is not None:
        assert expected == sums_as_extreme / 2**8
    assert seed_tests(values)["wilcoxon"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("test_to_train", [0.05, 0.25, 1.5])
def test_the_corrected_t_is_nadeau_and_bengios(test_to_train: float):
    """Their equation by hand, and the tail of Student's t from its density."""
    n, mean = len(VALUES), sum(VALUES) / len(VALUES)
    variance = sum((value - mean) ** 2 for value in VALUES) / (n - 1)
    t = mean / math.sqrt((1 / n + test_to_train) * variance)
    v = n - 1
    scale = math.gamma((v + 1) / 2) / (math.sqrt(v * math.pi) * math.gamma(v / 2))
    tail, _ = quad(lambda x: scale * (1 + x * x / v) ** (-(v + 1) / 2), abs(t), math.inf, epsabs=1e-12)
    for values in (VALUES, [-value for value in VALUES]):
        found = seed_tests(values, test_to_train=test_to_train)
        assert found["nadeau_bengio"] == pytest.approx(2 * tail, abs=1e-9)
        assert found["wilcoxon"] == seed_tests(values)["wilcoxon"]


@pytest.mark.parametrize("values", [[], [0.1], [0.0, 0.0, 0.0]])
def test_where_nothing_can_be_tested_there_is_no_p(values: list[float]):
    assert seed_tests(values, test_to_train=0.25) == {"wilcoxon": None, "nadeau_bengio": None}


def test_refusals():
    with pytest.raises(DataError, match="not finite"):
        seed_tests([0.1, float("nan")])
    with pytest.raises(DataError, match="must be positive"):
        seed_tests(VALUES, test_to_train=0.0)
