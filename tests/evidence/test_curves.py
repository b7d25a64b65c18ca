"""Learning curves: bands, where scratch catches up, labels saved; what they refuse and what they say."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, curve_fit
from sklearn.isotonic import IsotonicRegression

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import PairedRun, SizeRuns, learning_curves, paired_difference
from ecgtransfer.evidence.catchup import catch_up, rounded
from ecgtransfer.evidence.intervals import arm_auroc
from ecgtransfer.evidence.isotonic import decreasing, first_reaching, increasing
from ecgtransfer.evidence.runs import SingleRun
from ecgtransfer.evidence.saved import labels_saved

# Tests are imported one by one (importlib mode), so a helper beside them is found by path.
sys.path.insert(0, str(Path(__file__).parent))
from simulated import paired_runs

RNG = np.random.default_rng
SIZES = np.array([40.0, 80.0, 160.0, 320.0, 640.0])


def curves(
    separations: list[tuple[float, float]], *, seeds: int = 5, start: int = 0, **setting: float
) -> list[SizeRuns]:
    """Return one set of runs per pair (fine-tuned, scratch) of separations, all with the same patients."""
    return [
        SizeRuns(int(n), tuple(paired_runs(RNG(start), seeds=seeds, separation=pair, **setting)))
        for n, pair in zip(SIZES, separations, strict=False)
    ]


DECLINING = [(1.6, 0.6), (1.6, 1.0), (1.6, 1.3), (1.6, 1.5), (1.6, 1.6)]


def test_bands_are_the_intervals_of_each_size() -> None:
    sizes = curves(DECLINING, targets=2, seed_noise=0.1)
    found = learning_curves(sizes[::-1], resamples=500, seed=3)
    assert found.sizes == (40, 80, 160, 320, 640)
    for k, size in enumerate(sizes):
        contrast = paired_difference(size.runs, resamples=500, seed=3)
        band = found.difference_band[k]
        assert (band.mean, band.low, band.high) == pytest.approx(
            (contrast.difference, contrast.low, contrast.high)
        )
        for bands, arm in ((found.arm_band, "scores_a"), (found.reference_band, "scores_b")):
            singles = [SingleRun(r.seed, 0, r.patient, r.labels, getattr(r, arm)) for r in size.runs]
            alone = arm_auroc(singles, resamples=500, seed=3)
            assert (bands[k].mean, bands[k].low, bands[k].high) == pytest.approx(
                (alone.difference, alone.low, alone.high)
            )


def test_scratch_catches_up_where_the_difference_falls_below_the_margin() -> None:
    sizes = curves([*DECLINING[:4], (1.6, 1.7)], patients=1500, positives=500, patient_share=0.4)
    found = learning_curves(sizes, seed=0, margin=0.03, resamples=400)
    at = found.catch_up
    # Phi(1.6 / sqrt 2) - Phi(d / sqrt 2) is 0.11 at 80 labels and 0.016 at 320.
    assert at.state == "interpolated"
    assert 80 < at.low < at.n < at.high < 640
    assert at.text == (
        f"Scratch catches up (difference below 0.03) between {rounded(at.low)} and {rounded(at.high)} labels."
    )
    assert found.note == ""
    assert [row.n for row in found.labels_saved] == list(found.sizes)
    # At 40 labels fine-tuning is as good as scratch between 320 and 640 labels.
    assert 120 < found.labels_saved[0].low < found.labels_saved[0].saved < 600


def test_several_pretrainings_widen_what_started_from_them_and_not_scratch() -> None:
    sizes = curves(DECLINING[:3], patients=400, positives=100)
    luck = np.array([-0.5, 0.0, 0.5])
    crossed = [
        SizeRuns(
            size.n,
            tuple(
                replace(run, pretraining_seed=u, scores_a=run.scores_a + run.labels * luck[u])
                for run in size.runs
                for u in range(3)
            ),
        )
        for size in sizes
    ]
    one, three = (learning_curves(each, seed=0, resamples=300) for each in (sizes, crossed))
    assert three.n_seeds == 5
    for k in range(3):
        before, after = one.difference_band[k], three.difference_band[k]
        assert after.high - after.low > 1.5 * (before.high - before.low)
        same, scratch = one.reference_band[k], three.reference_band[k]
        assert (scratch.mean, scratch.low, scratch.high) == pytest.approx((same.mean, same.low, same.high))


def test_what_seeds_do_to_both_arms_and_all_sizes_alike_does_not_widen_the_difference() -> None:
    quiet = curves([(1.5, 1.0), (1.5, 1.2), (1.5, 1.4)], patients=600, positives=200)
    shifted = [
        SizeRuns(
            size.n,
            tuple(
                # A seed that is bad for one arm is as bad for the other: it makes positives score lower.
                replace(
                    run,
                    scores_a=run.scores_a + run.labels * (0.8 * (run.seed - 2)),
                    scores_b=run.scores_b + run.labels * (0.8 * (run.seed - 2)),
                )
                for run in size.runs
            ),
        )
        for size in quiet
    ]
    before, after = (learning_curves(sizes, seed=0, resamples=500) for sizes in (quiet, shifted))
    width = [band.high - band.low for band in after.reference_band]
    assert min(width) > 0.15
    assert after.difference_band[1].high - after.difference_band[1].low < 0.8 * width[1]
    assert before.reference_band[1].high - before.reference_band[1].low < 0.5 * width[1]


def test_covers_the_true_size_and_does_not_see_a_lead_where_arms_are_the_same() -> None:
    """40 studies of five seeds each; at 95 % fewer than 34 that cover happen once in 500 times."""
    hits = equal = 0
    setting = {"patients": 200, "positives": 60, "seed_noise": 0.25, "patient_share": 0.5}
    pairs = [(1.5, 0.9), (1.5, 1.2), (1.5, 1.4), (1.5, 1.6)]
    truth = np.exp(np.interp(-0.01, [-_gap(1.5, 1.4), -_gap(1.5, 1.6)], np.log([160, 320])))
    for study in range(40):
        found = learning_curves(curves(pairs, start=study, **setting), seed=study, resamples=300).catch_up
        hits += (found.low_open or found.low <= truth) and (found.high_open or truth <= found.high)
        alike = learning_curves(curves([(1.4, 1.4)] * 3, start=study, **setting), seed=study, resamples=300)
        equal += alike.catch_up.low_open
    assert hits >= 34
    assert equal >= 34


def _gap(a: float, b: float, noise: float = 0.25) -> float:
    from scipy.stats import norm

    return float(norm.cdf(a / np.sqrt(2 + noise**2)) - norm.cdf(b / np.sqrt(2 + noise**2)))


def test_a_monotone_transform_of_the_scores_changes_nothing() -> None:
    sizes = curves(DECLINING[:3], targets=2)
    bent = [
        SizeRuns(
            size.n,
            tuple(replace(r, scores_a=np.exp(r.scores_a), scores_b=np.arctan(r.scores_b)) for r in size.runs),
        )
        for size in sizes
    ]
    assert learning_curves(sizes, seed=1, resamples=200) == learning_curves(bent, seed=1, resamples=200)


def test_names_of_patients_do_not_matter() -> None:
    sizes = curves(DECLINING[:4], patients=400, positives=100)
    names = RNG(9).permutation(400)
    renamed = [SizeRuns(s.n, tuple(replace(r, patient=names[r.patient]) for r in s.runs)) for s in sizes]
    one, other = (learning_curves(each, seed=1, resamples=4000) for each in (sizes, renamed))
    for a, b in zip(one.difference_band, other.difference_band, strict=True):
        assert a.mean == pytest.approx(b.mean)
        assert (a.high - a.low) == pytest.approx(b.high - b.low, rel=0.06)
    assert one.catch_up.n == other.catch_up.n


def test_the_same_seed_gives_the_same_bits() -> None:
    sizes = curves(DECLINING[:3])
    assert learning_curves(sizes, seed=5, resamples=200) == learning_curves(sizes, seed=5, resamples=200)


def test_a_seed_that_is_not_there_at_every_size_is_left_out_and_named() -> None:
    sizes = curves(DECLINING[:3])
    cut = [sizes[0], replace(sizes[1], runs=sizes[1].runs[:-1]), sizes[2]]
    found = learning_curves(cut, seed=0, resamples=200)
    assert found.n_seeds == 4
    assert "not there at every size are left out: 4" in found.note
    with pytest.raises(DataError, match="no seed was run at every size"):
        learning_curves(
            [replace(sizes[0], runs=sizes[0].runs[:2]), replace(sizes[1], runs=sizes[1].runs[3:])], seed=0
        )


def test_refuses_what_makes_no_curve() -> None:
    sizes = curves(DECLINING[:2])
    with pytest.raises(DataError, match="sizes"):
        learning_curves([], seed=0)
    with pytest.raises(DataError, match="each once"):
        learning_curves([sizes[0], sizes[0]], seed=0)
    with pytest.raises(DataError, match="margin"):
        learning_curves(sizes, seed=0, margin=0.0)
    with pytest.raises(DataError, match="no runs"):
        learning_curves([SizeRuns(10, ())], seed=0)


def test_too_few_patients_leave_estimates_without_intervals() -> None:
    found = learning_curves(curves(DECLINING[:3], patients=60, positives=6), seed=0, resamples=200)
    assert all(band.mean is not None and band.low is None for band in found.difference_band)
    assert found.catch_up.low is None
    assert not found.catch_up.low_open
    assert "cannot be said" in found.catch_up.text
    assert "only 6 test patients" in found.note
    assert found.labels_saved[0].low is None


def test_nothing_to_measure_is_said_and_no_error() -> None:
    run = PairedRun(0, None, np.arange(5), np.zeros((5, 1)), np.zeros((5, 1)), np.zeros((5, 1)))
    found = learning_curves([SizeRuns(10, (run,)), SizeRuns(20, (run,))], seed=0, resamples=100)
    assert found.catch_up.text == "No size could be measured."
    assert found.difference_band[0].mean is None
    assert found.labels_saved == ()


def test_one_size_says_what_it_can() -> None:
    ahead = learning_curves(curves([(2.5, 0.5)], patients=600, positives=200), seed=0).catch_up
    assert ahead.state == "unclear"
    assert (ahead.low, ahead.high_open) == (40, True)
    assert "before 40 labels" in ahead.text
    behind = learning_curves(curves([(0.5, 2.5)], patients=600, positives=200), seed=0).catch_up
    assert behind.state == "already"
    assert behind.text == (
        "Scratch is not behind by 0.01 at 40 labels; at 40 labels scratch is the better one."
    )


def test_is_fast_enough_to_be_drawn_for_every_arm() -> None:
    sizes = curves(DECLINING, seeds=10, patients=500, positives=60, targets=5)
    start = time.perf_counter()
    learning_curves(sizes, seed=0, resamples=2000)
    assert time.perf_counter() - start < 20


def test_rows_are_plain_values() -> None:
    import json

    row = asdict(learning_curves(curves(DECLINING[:3]), seed=0, resamples=100))
    assert json.loads(json.dumps(row))["catch_up"]["text"].endswith(".")


# Where scratch catches up, on curves that are given.


def caught(difference: list[float], margin: float = 0.01, draws: np.ndarray | None = None, **more: bool):
    sizes = SIZES[: len(difference)]
    return catch_up(
        sizes, np.array(difference), draws, np.ones(len(sizes)), margin=margin, level=0.95, **more
    )


def test_interpolates_in_the_logarithm_of_the_size() -> None:
    assert caught([0.05, 0.04, 0.03, 0.02, 0.0]).n == round(320 * 2**0.5)
    assert caught([0.05, 0.04, 0.03, 0.0101, 0.0]).n == pytest.approx(323, abs=1)


@settings(deadline=None)
@given(st.floats(0.2, 50), st.lists(st.floats(-0.05, 0.1), min_size=3, max_size=6))
def test_counting_labels_in_other_units_moves_the_size_and_nothing_else(factor: float, values: list) -> None:
    sizes = 1000.0 * 2.0 ** np.arange(len(values))
    one, other = (
        catch_up(n, np.array(values), None, np.ones(len(values)), margin=0.01, level=0.95)
        for n in (sizes, factor * sizes)
    )
    assert one.state == other.state
    if one.n is not None:
        assert other.n == pytest.approx(factor * one.n, abs=0.5 + factor)


@settings(deadline=None)
@given(st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=5), st.floats(0.001, 0.05))
def test_a_larger_margin_is_never_caught_up_with_later(values: list[float], margin: float) -> None:
    order = {"already": 0, "interpolated": 1, "extrapolated": 2, "unclear": 3, "not-within-2n": 3}
    small, large = caught(values, margin), caught(values, 2 * margin)
    assert order[large.state] <= order[small.state]
    if small.state == large.state == "interpolated":
        assert large.n <= small.n


def test_noise_that_is_not_monotone_is_smoothed_before_it_is_read() -> None:
    # 0.008 and 0.012 are one level of 0.010 between them; the last size lies below.
    assert caught([0.05, 0.03, 0.008, 0.013, 0.002]).n == round(
        np.exp(np.interp(-0.01, [-0.0105, -0.002], np.log([320, 640])))
    )
    # Noise around zero is no catch-up at the size where it happens to peak.
    assert caught([0.004, -0.003, 0.011, 0.002, -0.004]).state == "already"


def test_fine_tuning_that_is_worse_everywhere_was_never_to_be_caught_up_with() -> None:
    draws = RNG(0).normal([-0.04, -0.03, -0.03, -0.02, -0.02], 0.004, size=(500, 5))
    found = caught([-0.04, -0.03, -0.03, -0.02, -0.02], draws=draws, worse=True)
    assert found.state == "already"
    assert found.low_open
    assert not found.high_open
    assert "at 640 labels scratch is the better one" in found.text


def test_curves_that_cross_give_the_crossing_and_the_loser() -> None:
    mean = [0.06, 0.03, 0.0, -0.03, -0.06]
    draws = RNG(0).normal(mean, 0.003, size=(1000, 5))
    found = caught(mean, draws=draws, worse=True)
    assert found.n == round(np.exp(np.interp(-0.01, [-0.03, 0.0], np.log([80, 160]))))
    assert 80 < found.low < found.n < found.high < 160
    assert found.text.startswith("Scratch catches up (difference below 0.01) between ")
    assert found.text.endswith("labels; at 640 labels scratch is the better one.")


def test_a_difference_that_grows_is_not_smoothed_away() -> None:
    mean = [-0.03, -0.01, 0.0, 0.02, 0.04]
    found = caught(mean, draws=RNG(0).normal(mean, 0.004, size=(1000, 5)))
    assert found.state == "not-within-2n"
    assert "does not catch up (difference below 0.01) within 1,280 labels" in found.text
    assert "the difference grows with the number of labels" in found.text


def test_extrapolates_where_both_forms_agree() -> None:
    """Fits are checked against scipy's."""
    curve = 0.06 * (SIZES / 40) ** -0.55
    found = caught(list(curve))
    tail, forms = slice(2, None), []
    for form in (lambda n, a, b: a * (n / 640) ** -b, lambda n, a, b: a * np.exp(-b * (n / 640 - 1))):
        best = curve_fit(form, SIZES[tail], curve[tail], p0=(0.02, 0.3))[0]
        forms.append(brentq(lambda n, form=form, best=best: form(n, *best) - 0.01, 640, 5000))
    assert forms[0] == pytest.approx(40 * 6 ** (1 / 0.55))
    assert max(forms) / min(forms) < 1.5
    assert found.state == "extrapolated"
    assert found.n == pytest.approx(np.sqrt(forms[0] * forms[1]), rel=0.01)
    assert f"at about {rounded(found.n)} labels" in found.text
    draws = RNG(0).normal(curve, 1e-6, size=(300, 5))
    sure = caught(list(curve), draws=draws)
    assert (sure.low, sure.high) == (pytest.approx(min(forms), rel=0.02), pytest.approx(max(forms), rel=0.02))


def test_forms_that_disagree_say_nothing_but_widen_the_interval() -> None:
    slow = 0.06 * (SIZES / 40) ** -0.45
    # The power law it is crosses at 2,144 labels, an exponential through its end at about 1,000.
    found = caught(list(slow))
    assert found.state == "unclear"
    assert "has not caught up" in found.text
    draws = RNG(0).normal(slow, 1e-5, size=(300, 5))
    spread = caught(list(slow), draws=draws)
    assert 640 < spread.low < 1280
    assert spread.high_open
    assert "these data cannot tell" in spread.text


def test_both_forms_beyond_twice_the_data_say_not_within() -> None:
    flat = [0.06, 0.055, 0.05, 0.05, 0.045]
    found = caught(flat, draws=RNG(0).normal(flat, 0.002, size=(500, 5)))
    assert found.state == "not-within-2n"
    assert found.text == (
        "Scratch does not catch up (difference below 0.01) within 1,280 labels, "
        "twice the most that were tried."
    )


def test_two_sizes_are_not_extrapolated() -> None:
    found = caught([0.05, 0.02])
    assert found.state == "unclear"
    assert found.n is None


def test_an_interval_that_spans_everything_claims_nothing() -> None:
    mean = [0.015, 0.012, 0.011, 0.012, 0.009]
    found = caught(mean, draws=RNG(0).normal(mean, 0.03, size=(1000, 5)))
    assert found.state == "unclear"
    assert found.low_open
    assert found.high_open
    assert "these data cannot tell" in found.text


# Labels saved, on curves that are given.


def test_labels_saved_are_the_horizontal_distance_of_the_curves() -> None:
    scratch = np.array([0.6, 0.7, 0.75, 0.8, 0.82])
    arm = np.array([0.65, 0.78, 0.75, 0.81, 0.9])
    saved, transferred = labels_saved(SIZES, arm, scratch, np.ones(5), None, level=0.95)
    need = np.exp(np.interp(arm, scratch, np.log(SIZES)))
    assert [row.saved for row in saved[:4]] == [
        round(n) - int(size) for n, size in zip(need[:4], SIZES[:4], strict=True)
    ]
    assert transferred[1].share == pytest.approx((need[1] - 80) / need[1])
    assert transferred[1].effective == round(need[1])
    assert (saved[2].saved, transferred[2].share) == (0, pytest.approx(0))
    assert (saved[4].saved, saved[4].censored) == (None, "above")
    assert saved[4].text == "With 640 labels this arm does better than scratch at any size that was tried."
    assert transferred[4].text == "640 labels in this arm are worth more than 640 from scratch."


def test_labels_saved_may_be_negative_and_lie_below_the_curve() -> None:
    scratch = np.array([0.6, 0.7, 0.8])
    arm = np.array([0.5, 0.65, 0.7])
    saved, transferred = labels_saved(SIZES[:3], arm, scratch, np.ones(3), None, level=0.95)
    assert saved[0].censored == "below"
    assert (
        saved[0].text
        == "With 40 labels this arm does worse than scratch with 40, the fewest that were tried."
    )
    assert saved[1].saved == round(40 * 2**0.5) - 80
    assert "wastes about 23 labels" in saved[1].text
    assert saved[2].saved == -80
    assert transferred[2].share == pytest.approx(-1.0)
    assert "fewer than it was given" in transferred[2].text


def test_a_scratch_curve_that_dips_is_made_monotone_first() -> None:
    scratch = np.array([0.6, 0.74, 0.70, 0.8, 0.82])
    saved, _ = labels_saved(SIZES, np.full(5, 0.73), scratch, np.ones(5), None, level=0.95)
    # 0.74 and 0.70 become 0.72 twice; 0.73 lies an eighth of the way from 160 to 320.
    assert saved[0].saved == round(160 * 2**0.125) - 40


def test_labels_saved_have_an_interval_that_may_be_open() -> None:
    scratch, arm = np.array([0.6, 0.7, 0.8]), np.array([0.7, 0.75, 0.85])
    draws = tuple(RNG(k).normal(curve, 0.01, size=(2000, 3)) for k, curve in enumerate((arm, scratch)))
    saved, transferred = labels_saved(SIZES[:3], arm, scratch, np.ones(3), draws, level=0.9)
    # 0.014 of performance is 0.14 octaves of labels; the 90 % interval has 1.64 times that on either side.
    assert saved[0].low == pytest.approx(80 * 2 ** (-0.0233 / 0.1) - 40, abs=3)
    assert saved[0].high == pytest.approx(80 * 2 ** (0.0233 / 0.1) - 40, abs=4)
    assert transferred[0].share_low == pytest.approx(1 - 40 / (saved[0].low + 40), abs=0.02)
    assert (saved[2].low, saved[2].high, saved[2].high_open) == (None, None, True)
    assert saved[2].text.endswith("at either end of the 90 % interval.")


# Monotone curves.


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 10)), min_size=1, max_size=8))
def test_isotonic_regression_is_scikit_learns(points: list[tuple[float, float]]) -> None:
    values, weights = (np.array(column) for column in zip(*points, strict=True))
    for rising, ours in ((True, increasing), (False, decreasing)):
        expected = IsotonicRegression(increasing=rising).fit_transform(
            np.arange(len(values)), values, sample_weight=weights
        )
        np.testing.assert_allclose(ours(values[None], weights)[0], expected, atol=1e-9)


def test_first_reaching_reads_plateaus_at_their_start() -> None:
    curve = np.array([[0.2, 0.5, 0.5, 0.8]] * 5)
    found = first_reaching(curve, np.arange(4.0), np.array([0.1, 0.2, 0.35, 0.5, 0.9]))
    np.testing.assert_allclose(found, [-np.inf, 0.0, 0.5, 1.0, np.inf])
