"""What a plan can expect: the published variance, the simulated width, and honest impossibility."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import PairedRun, expected_half_width, paired_difference
from ecgtransfer.evidence.expected import _auroc_variance
from ecgtransfer.selfcheck.run import _expected
from ecgtransfer.selfcheck.tables import Design, predictions


def test_the_variance_is_that_of_exponential_scores():
    """The distributions under which Hanley and McNeil's formula is exact: positives with mean 4, others 1."""
    random = np.random.default_rng(0)
    positives, negatives = 4.0 * random.exponential(size=(6000, 51)), random.exponential(size=(6000, 58))
    aurocs = (positives[:, :, None] > negatives[:, None, :]).mean((1, 2))
    assert aurocs.mean() == pytest.approx(0.8, abs=0.003)
    assert _auroc_variance(0.8, np.array([51.0]), np.array([58.0]))[0] == pytest.approx(
        aurocs.var(), rel=0.05
    )


@pytest.mark.parametrize(
    "design",
    [
        Design(patients=600, positives=(200, 300), hidden=0.0),
        Design(patients=600, positives=(200, 300), hidden=0.0, folds=5),
        Design(patients=600, positives=(200, 300), hidden=0.0, folds=5, seeds=5, seed_noise=0.3),
        Design(patients=400, positives=(150,), hidden=0.0, seeds=3, persistent=0.2, seed_noise=0.2),
    ],
)
def test_expects_the_width_that_simulated_tables_have(design: Design):
    widths = []
    for i in range(40):
        runs = [PairedRun(p.seed, None, *p[2:]) for p in predictions(design, np.random.default_rng([i, 8]))]
        widths.append(paired_difference(runs, resamples=150, seed=i).spread.half_width(0.95))
    assert _expected(design).half_width == pytest.approx(np.mean(widths), rel=0.3)


def test_more_of_anything_is_narrower():
    base = {"positives": [60, 90], "negatives": [240, 210], "n_seeds": 10}
    half = expected_half_width(**base).half_width
    assert expected_half_width([120, 180], [480, 420], n_seeds=10).half_width < half
    assert expected_half_width([60, 90], [240, 210], n_seeds=20).half_width < half
    for name, value in {"arm_correlation": 0.9, "seed_sd": 0.001, "auroc": 0.95}.items():
        assert expected_half_width(**base, **{name: value}).half_width < half
    assert expected_half_width(**base, folds=5).half_width > half
    assert expected_half_width(**base, level=0.99375).half_width > half
    assert expected_half_width(**base, n_pretrainings=3).half_width > half


def test_too_few_test_patients_leave_nothing_in_reach():
    found = expected_half_width([9, 90], [291, 210], n_seeds=10)
    assert found.half_width is found.minimum_detectable is None
    assert found.power(0.5) == found.equivalence_chance == 0
    assert not found.equivalence_in_reach
    # Three of five folds test six of ten.
    assert expected_half_width([10], [90], n_seeds=3, folds=5).half_width is None
    assert expected_half_width([10], [90], n_seeds=5, folds=5).half_width is not None


def test_equivalence_is_in_reach_with_very_many_patients_and_not_with_few():
    few = expected_half_width([60], [240], n_seeds=10)
    assert not few.equivalence_in_reach
    assert few.equivalence_chance == 0
    many = expected_half_width([9000], [36_000], n_seeds=20, seed_sd=0.005)
    assert many.equivalence_in_reach
    assert many.equivalence_chance > 0.9
    assert many.power(0.03) > 0.99
    assert many.power(-0.03) == many.power(0.03)
    assert many.power(many.minimum_detectable) == pytest.approx(0.8)


def test_what_a_plan_expects_is_what_its_tables_report():
    """The expected minimum detectable effect beside the mean of those reported."""
    design = replace(Design(hidden=0.0), patients=500, positives=(200, 250))
    reported = []
    for i in range(25):
        runs = [PairedRun(p.seed, None, *p[2:]) for p in predictions(design, np.random.default_rng([i, 9]))]
        spread = paired_difference(runs, resamples=150, seed=i).spread
        reported.append(spread.minimum_detectable(0.95, 0.8))
    assert _expected(design).minimum_detectable == pytest.approx(np.mean(reported), rel=0.3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"positives": [], "negatives": []},
        {"positives": [20, 30], "negatives": [50]},
        {"n_seeds": 0},
        {"folds": 0},
        {"auroc": 0.4},
        {"arm_correlation": 1.0},
        {"persistence": -0.1},
    ],
)
def test_refusals(wrong: dict):
    with pytest.raises(DataError):
        expected_half_width(**{"positives": [20], "negatives": [50], "n_seeds": 5, **wrong})
