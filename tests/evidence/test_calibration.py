"""Calibration of an arm: bins, ECE, Brier score, slope and intercept."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import SingleRun, reliability
from ecgtransfer.evidence.calibration import recalibration

RNG = np.random.default_rng


def runs(
    rng: np.random.Generator,
    *,
    seeds: int = 3,
    patients: int = 500,
    targets: int = 1,
    slope: float = 1.0,
    intercept: float = 0.0,
    seed_noise: float = 0.0,
) -> list[SingleRun]:
    """Return runs whose labels follow intercept + slope × logit."""
    base = rng.normal(size=(patients, targets)) * 1.5 - 0.5
    labels = (rng.uniform(size=base.shape) < expit(intercept + slope * base)).astype(float)
    return [
        SingleRun(seed, None, np.arange(patients), labels, base * np.exp(seed_noise * rng.normal()))
        for seed in range(seeds)
    ]


def test_bins_brier_and_slope_are_those_of_scikit_learn() -> None:
    [run] = runs(RNG(0), seeds=1, slope=0.6, intercept=-0.4)
    found = reliability([run], bins=10)
    y, z = run.labels[:, 0], run.scores[:, 0]
    observed, predicted = calibration_curve(y, expit(z), n_bins=10, strategy="quantile")
    np.testing.assert_allclose([b.observed for b in found.bins], observed)
    np.testing.assert_allclose([b.predicted for b in found.bins], predicted)
    assert sum(b.count for b in found.bins) == 500
    assert found.brier == pytest.approx(brier_score_loss(y, expit(z)))
    assert found.ece == pytest.approx(np.mean(np.abs(observed - predicted)))
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(z[:, None], y)
    assert found.slope == pytest.approx(fitted.coef_[0, 0], abs=1e-5)
    assert found.intercept == pytest.approx(fitted.intercept_[0], abs=1e-5)
    assert found.slope_low < found.slope < found.slope_high < 1
    assert "training noise" in found.note


def test_several_columns_and_seeds_are_pooled_and_unknown_labels_left_out() -> None:
    several = runs(RNG(1), targets=3)
    for run in several:
        run.labels[:50, 1] = np.nan
    found = reliability(several)
    known = ~np.isnan(several[0].labels)
    assert sum(b.count for b in found.bins) == 3 * known.sum()
    briers = [brier_score_loss(r.labels[known], expit(r.scores[known])) for r in several]
    assert found.brier == pytest.approx(np.mean(briers))


def test_one_seed_has_the_sandwich_variance_of_its_fit() -> None:
    """HC1-like: (XᵀWX)⁻¹ XᵀR²X (XᵀWX)⁻¹ n/(n-1), each patient with one record."""
    [run] = runs(RNG(2), seeds=1, patients=2000)
    found = reliability([run])
    y, z = run.labels[:, 0], run.scores[:, 0]
    X = np.column_stack([np.ones_like(z), z])
    mean = expit(found.intercept + found.slope * z)
    bread = np.linalg.inv(X.T @ (X * (mean * (1 - mean))[:, None]))
    variance = bread @ (X.T @ (X * ((y - mean) ** 2)[:, None])) @ bread * 2000 / 1999
    for k, (low, high) in enumerate(
        [(found.intercept_low, found.intercept_high), (found.slope_low, found.slope_high)]
    ):
        assert (high - low) / 2 == pytest.approx(1.96 * variance[k, k] ** 0.5, rel=0.005)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-5, 5))
def test_rescaling_the_logits_rescales_the_slope(start: int, factor: float, shift: float) -> None:
    [run] = runs(RNG(start), seeds=1, patients=200)
    y, z = run.labels[:, 0], run.scores[:, 0]
    intercept, slope, moved = recalibration(y, z)
    other, steep, _ = recalibration(y, factor * z + shift)
    assert steep == pytest.approx(slope / factor, rel=1e-6)
    assert other == pytest.approx(intercept - slope * shift / factor, abs=1e-6 * (1 + abs(other)))
    np.testing.assert_allclose(moved.sum(axis=1), 0, atol=1e-9)
    # Applied to its own labels, recalibration has nothing left to do.
    again = recalibration(y, intercept + slope * z)
    assert again[:2] == pytest.approx((0, 1), abs=1e-6)


def test_records_of_one_patient_are_one_observation() -> None:
    few = runs(RNG(3))
    twice = [
        replace(r, **{p: np.concatenate([getattr(r, p)] * 2) for p in ("patient", "labels", "scores")})
        for r in few
    ]
    one, two = reliability(few), reliability(twice)
    for name in ("brier_low", "slope_low", "intercept_high"):
        assert getattr(two, name) == pytest.approx(getattr(one, name))
    assert two.bins[0].high - two.bins[0].low == pytest.approx(one.bins[0].high - one.bins[0].low, rel=0.02)


def test_seeds_that_differ_widen_the_interval_of_the_slope() -> None:
    quiet, noisy = (reliability(runs(RNG(4), seeds=5, seed_noise=noise)) for noise in (0.0, 0.4))
    assert noisy.slope_high - noisy.slope_low > 1.5 * (quiet.slope_high - quiet.slope_low)


def test_covers_a_slope_of_one_where_probabilities_are_right() -> None:
    found = [reliability(runs(RNG(k), patients=300)) for k in range(150)]
    hits = {
        name: np.mean([getattr(f, f"{name}_low") <= true <= getattr(f, f"{name}_high") for f in found])
        for name, true in (("slope", 1), ("intercept", 0))
    }
    bins = np.mean([b.low <= b.predicted <= b.high for f in found for b in f.bins])
    assert min(hits.values()) >= 0.9
    assert 0.92 <= bins <= 0.98


def test_wilson_holds_for_a_bin() -> None:
    """10 of 40 at 95 %: 0.142 to 0.402, as tabulated by Newcombe (1998) for this method."""
    labels = np.array([1.0] * 10 + [0.0] * 30)[:, None]
    [only] = reliability(
        [SingleRun(0, None, np.arange(40), labels, RNG(0).normal(size=(40, 1)))], bins=1
    ).bins
    assert (only.observed, only.count) == (0.25, 40)
    assert (only.low, only.high) == pytest.approx((0.1419, 0.4019), abs=1e-4)


def test_separated_labels_have_no_slope_and_say_where() -> None:
    several = runs(RNG(5))
    several[1] = replace(several[1], scores=np.where(several[1].labels == 1, 2.0, -2.0))
    found = reliability(several)
    assert (found.slope, found.intercept, found.slope_low) == (None, None, None)
    assert found.brier is not None
    assert "logits separate the labels at seed 1" in found.note


def test_too_few_or_no_labels_are_said() -> None:
    [run] = runs(RNG(6), seeds=1, patients=60)
    rare = np.zeros((60, 1))
    rare[[3, 40]] = 1
    found = reliability([replace(run, labels=rare)])
    assert found.brier is not None
    assert found.brier_low is None
    assert "only 2 test patients are in the rarer class" in found.note
    empty = reliability([replace(run, labels=np.full((60, 1), np.nan))])
    assert (empty.bins, empty.brier, empty.ece) == ((), None, None)


def test_large_logits_do_not_upset_the_fit() -> None:
    z = logit(np.linspace(0.01, 0.99, 400)) * 200
    y = (RNG(7).uniform(size=400) < expit(z / 200)).astype(float)
    intercept, slope, _ = recalibration(y, z)
    assert slope * 200 == pytest.approx(1.0, abs=0.25)
    assert np.isfinite(intercept)


def test_refuses_what_does_not_fit() -> None:
    [run] = runs(RNG(8), seeds=1)
    with pytest.raises(DataError, match="do not fit"):
        reliability([replace(run, scores=run.scores[1:])])
    with pytest.raises(DataError, match="not finite"):
        reliability([replace(run, scores=run.scores * np.inf)])
    with pytest.raises(DataError, match="bins"):
        reliability([run], bins=0)


def test_rows_are_plain_values() -> None:
    import json

    row = json.loads(json.dumps(asdict(reliability(runs(RNG(9))))))
    assert set(row["bins"][0]) == {"predicted", "observed", "count", "low", "high"}
