"""Intervals over patients and seeds: what they cover, what they refuse, what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, rankdata
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import PairedRun, SingleRun, Spread, difference_of_gains, paired_difference
from ecgtransfer.evidence.auroc import patient_weights
from ecgtransfer.evidence.crossed import spread_of
from ecgtransfer.evidence.intervals import arm_auroc, run_covariance
from ecgtransfer.evidence.runs import RankedRun, patients_of, support_of

# Tests are imported one by one (importlib mode), so a helper beside them is found by path.
sys.path.insert(0, str(Path(__file__).parent))
from simulated import paired_runs, true_difference

RNG = np.random.default_rng


def test_estimate_is_the_mean_over_seeds_of_within_fold_macro_differences() -> None:
    runs = paired_runs(RNG(0), seeds=5, folds=5, targets=3, positives=60, separation=(1.5, 1.0))
    expected = [
        np.mean(
            [
                roc_auc_score(r.labels[:, k], r.scores_a[:, k])
                - roc_auc_score(r.labels[:, k], r.scores_b[:, k])
                for k in range(3)
            ]
        )
        for r in runs
    ]
    found = paired_difference(runs, seed=1)
    np.testing.assert_allclose(found.per_seed, expected, atol=1e-12)
    assert found.difference == pytest.approx(np.mean(expected))
    assert (found.n_seeds, found.n_patients, found.minimum_positives, found.minimum_negatives) == (
        5,
        300,
        60,
        240,
    )
    assert found.low < found.difference < found.high


def test_covers_where_seed_noise_dominates_and_the_plain_percentile_does_not() -> None:
    hits = _coverage(seeds=5, patients=400, positives=100, seed_noise=0.6, patient_share=0.1)
    assert 0.92 <= hits["interval"] <= 0.995
    assert hits["percentile"] < 0.89


def test_covers_where_patients_dominate_and_seeds_alone_do_not() -> None:
    hits = _coverage(seeds=10, seed_noise=0.05, patient_share=0.8)
    assert 0.91 <= hits["interval"] <= 0.985
    assert hits["seeds only"] < 0.80


def test_covers_over_five_folds_with_few_positives_in_each() -> None:
    hits = _coverage(seeds=5, folds=5, positives=15, seed_noise=0.1, separation=(1.8, 1.4))
    assert 0.92 <= hits["interval"] <= 0.99


def test_covers_over_pretrainings_crossed_with_seeds_and_seeds_alone_do_not() -> None:
    hits = _coverage(
        seeds=5, pretrainings=3, pretraining_noise=0.8, seed_noise=0.05, positives=40, repetitions=120
    )
    assert 0.91 <= hits["interval"] <= 0.995
    assert hits["seeds only"] < 0.6


def test_two_rounds_of_folds_with_two_positives_each_have_the_right_variance() -> None:
    """Folds of two rounds share one patient or two; weights relative to each fold's sum hide half of that."""
    estimates, corrected, plain = [], [], []
    for repetition in range(150):
        runs = paired_runs(RNG([repetition, 30]), seeds=10, folds=5, positives=10, patient_share=0.9)
        estimates.append(paired_difference(runs, resamples=2, seed=0).difference)
        point, cover, uncorrected, freedom = _parts(runs)
        corrected.append(spread_of(runs, point, cover, freedom).standard_error ** 2)
        plain.append(spread_of(runs, point, uncorrected, freedom).standard_error ** 2)
    assert np.mean(corrected) == pytest.approx(np.var(estimates), rel=0.25)
    assert np.mean(plain) < 0.93 * np.mean(corrected)


def test_one_test_part_needs_no_correction() -> None:
    runs = paired_runs(RNG(31), seeds=4, positives=12)
    _, cover, uncorrected, _ = _parts(runs)
    np.testing.assert_allclose(cover, uncorrected)


def test_the_covariance_is_that_of_placements() -> None:
    """The Bayesian bootstrap against its limit, the products of each patient's influence (DeLong)."""
    runs = paired_runs(RNG(32), seeds=3, patients=400, positives=120, seed_noise=0.2)
    influences = np.zeros((3, 400))
    for row, run in zip(influences, runs, strict=True):
        positive = run.labels[:, 0] == 1
        won = [
            (scores[positive][:, None, 0] > scores[~positive][None, :, 0])
            for scores in (run.scores_a, run.scores_b)
        ]
        gain = won[0].astype(float) - won[1]
        row[positive] = (gain.mean(1) - gain.mean()) / positive.sum()
        row[~positive] = (gain.mean(0) - gain.mean()) / (~positive).sum()
    _, cover, _, _ = _parts(runs, resamples=8000)
    np.testing.assert_allclose(cover, influences @ influences.T, rtol=0.12)


def test_weights_come_in_small_blocks_however_many_patients_there_are() -> None:
    for patients, resamples in ((7, 10), (300, 2500), (100_000, 130)):
        blocks = list(patient_weights(patients, resamples, 5))
        assert sum(block.shape[1] for block in blocks) == resamples
        assert {len(block) for block in blocks} == {patients}
        assert max(block.nbytes for block in blocks) <= max(8_000_000, patients * 64 * 8)
    # Exponential with mean one, and a stream for each block.
    assert np.mean(blocks[0]) == pytest.approx(1, abs=0.01)
    assert not np.array_equal(blocks[0][:, :2], blocks[1][:, :2])


def test_the_interval_of_one_arm_is_that_of_its_auroc() -> None:
    runs = paired_runs(RNG(33), seeds=4, positives=60)
    singles = [SingleRun(r.seed, None, r.patient, r.labels, r.scores_a) for r in runs]
    found = arm_auroc(singles, seed=0)
    expected = [roc_auc_score(r.labels[:, 0], r.scores_a[:, 0]) for r in runs]
    assert found.difference == pytest.approx(np.mean(expected))
    assert 0.5 < found.low < found.difference < found.high <= 1


def test_one_seed_of_one_arm_has_delongs_variance_and_students_interval() -> None:
    """DeLong, DeLong and Clarke-Pearson (1988): placements from midranks, ties counting one half."""
    [run] = paired_runs(RNG(34), seeds=1, patients=700, positives=80, separation=(1.0, 1.0))
    scores = np.round(run.scores_a, 1)  # hundreds of ties
    labels = run.labels[:, 0]
    found = arm_auroc([SingleRun(0, None, run.patient, run.labels, scores)], resamples=20_000, seed=0)
    auroc, variance = _delong(labels, scores[:, 0])
    assert found.difference == pytest.approx(auroc, abs=1e-12)
    assert found.patient_sd == pytest.approx(variance**0.5, rel=0.025)
    half = student.ppf(0.975, 79) * variance**0.5
    assert (found.low, found.high) == (
        pytest.approx(auroc - half, abs=0.03 * half),
        pytest.approx(auroc + half, abs=0.03 * half),
    )
    assert found.seed_sd is None


def test_an_interval_of_one_arm_ends_at_the_best_there_is() -> None:
    """Near an AUROC of 1, where twelve positives leave room for more than all."""
    random = RNG(35)
    labels = np.repeat([1.0, 0.0], [12, 88])
    scores = random.normal(size=100) + 3.0 * labels
    found = arm_auroc([SingleRun(0, None, np.arange(100), labels[:, None], scores[:, None])], seed=0)
    auroc, variance = _delong(labels, scores)
    assert auroc < 1 < auroc + student.ppf(0.975, 11) * variance**0.5
    assert found.high == 1
    assert found.low == pytest.approx(auroc - student.ppf(0.975, 11) * variance**0.5, abs=0.005)


def test_the_interval_of_one_arm_covers_and_patients_or_seeds_alone_do_not() -> None:
    """Seeds that raise or lower all positives, patients in common: truth Phi(d / sqrt(2 + variance))."""
    truth = norm.cdf(1.2 / (2 + 0.4**2) ** 0.5)
    repetitions, hits = 200, {"interval": 0, "patients only": 0, "seeds only": 0}
    for repetition in range(repetitions):
        runs = paired_runs(
            RNG([repetition, 36]),
            seeds=5,
            positives=60,
            separation=(1.2, 1.2),
            seed_noise=0.4,
            patient_share=0.8,
        )
        singles = [SingleRun(r.seed, None, r.patient, r.labels, r.scores_a) for r in runs]
        found = arm_auroc(singles, resamples=200, seed=repetition)
        error = abs(found.difference - truth)
        hits["interval"] += found.low <= truth <= found.high
        hits["patients only"] += error <= 1.96 * found.patient_sd
        hits["seeds only"] += error <= 1.96 * np.std(found.per_seed, ddof=1) / 5**0.5
    assert 0.92 <= hits["interval"] / repetitions <= 0.99
    assert hits["patients only"] / repetitions < 0.85
    assert hits["seeds only"] / repetitions < 0.87


def test_a_single_seed_agrees_with_the_delong_variance_and_says_what_it_leaves_out() -> None:
    [run] = paired_runs(RNG(3), seeds=1, patients=800, positives=300)
    found = paired_difference([run], resamples=20_000, seed=0)
    parts = []
    for value in (1.0, 0.0):
        mine, other = run.labels[:, 0] == value, run.labels[:, 0] != value
        a, b = ((s[mine][:, None, 0] > s[other][None, :, 0]).mean(1) for s in (run.scores_a, run.scores_b))
        parts.append(np.var(a - b, ddof=1) / mine.sum())
    assert found.patient_sd == pytest.approx(np.sqrt(sum(parts)), rel=0.03)
    assert found.seed_sd is None
    assert "over patients only" in found.note


def test_records_of_one_patient_are_not_counted_as_independent() -> None:
    [run] = paired_runs(RNG(4), seeds=1)
    twice = PairedRun(
        0,
        0,
        *(np.concatenate([part, part]) for part in (run.patient, run.labels, run.scores_a, run.scores_b)),
    )
    once, doubled = (paired_difference([r], resamples=4000, seed=0) for r in (run, twice))
    assert doubled.patient_sd == pytest.approx(once.patient_sd, rel=1e-9)
    strangers = replace(twice, patient=np.arange(600))
    assert paired_difference([strangers], resamples=4000, seed=0).patient_sd < 0.8 * once.patient_sd


def test_repeating_a_seed_under_new_names_does_not_create_evidence_about_patients() -> None:
    [run] = paired_runs(RNG(5), seeds=1)
    copies = [replace(run, seed=s) for s in range(10)]
    one, ten = paired_difference([run], seed=0), paired_difference(copies, seed=0)
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=1e-6)
    assert ten.seed_sd == pytest.approx(0, abs=1e-9)


def test_swapping_the_arms_mirrors_the_interval() -> None:
    runs = paired_runs(RNG(6), seeds=3, separation=(1.5, 1.0))
    swapped = [replace(r, scores_a=r.scores_b, scores_b=r.scores_a) for r in runs]
    a, b = paired_difference(runs, seed=0), paired_difference(swapped, seed=0)
    assert (b.difference, b.low, b.high) == pytest.approx((-a.difference, -a.high, -a.low))
    same = [replace(r, scores_b=r.scores_a) for r in runs]
    assert paired_difference(same, seed=0).high == pytest.approx(0)


def test_the_same_seed_gives_the_same_bits_in_any_order_of_runs() -> None:
    runs = paired_runs(RNG(7), seeds=4)
    first, again = paired_difference(runs, seed=3), paired_difference(runs, seed=3)
    assert first == again
    backwards = paired_difference(runs[::-1], seed=3)
    assert backwards.seeds == first.seeds
    assert backwards.per_seed == first.per_seed
    assert (backwards.low, backwards.high) == pytest.approx((first.low, first.high))


def test_several_pretraining_seeds_widen_the_interval_by_their_own_spread() -> None:
    base = paired_runs(RNG(8), seeds=5, positives=100)
    runs = [
        replace(r, pretraining_seed=u, scores_a=r.scores_a + shift * r.labels)
        for u, shift in enumerate((-0.5, 0.0, 0.5))
        for r in base
    ]
    crossed = paired_difference(runs, seed=0)
    merged = paired_difference(base, seed=0)
    assert (crossed.n_seeds, crossed.n_pretraining_seeds) == (5, 3)
    assert crossed.high - crossed.low > 1.5 * (merged.high - merged.low)
    assert "one pre-training" in merged.note
    assert "one pre-training" not in crossed.note
    # Where a run is missing the interaction is counted twice: to the wide side, hardly here.
    missing = paired_difference(runs[:-1], seed=0)
    assert missing.high - missing.low == pytest.approx(crossed.high - crossed.low, rel=0.3)
    # One pre-training per seed: the spread over seeds already holds it.
    nested = [replace(r, pretraining_seed=r.seed) for r in base]
    assert paired_difference(nested, seed=0).high == pytest.approx(merged.high)


@pytest.mark.parametrize("positives", [4, 9, 10])
def test_below_ten_positives_there_is_an_estimate_and_no_interval(positives: int) -> None:
    found = paired_difference(paired_runs(RNG(9), seeds=5, positives=positives), seed=0)
    assert found.difference is not None
    assert (found.low is None) == (found.high is None) == (positives < 10)
    if positives < 10:
        assert f"of the test patients only {positives} are with the scarcest target, 10 needed" in found.note


def test_rare_negatives_count_as_few_too() -> None:
    runs = paired_runs(RNG(10), seeds=3, patients=60, positives=55)
    assert paired_difference(runs, seed=0).low is None


def test_a_target_that_a_fold_cannot_measure_is_left_out_and_named() -> None:
    runs = paired_runs(RNG(11), seeds=3, targets=2, positives=50)
    runs[1].labels[runs[1].labels[:, 1] == 1, 1] = np.nan
    found = paired_difference(runs, seed=0)
    assert "target 1 at seed 1" in found.note
    only = PairedRun(
        1, 0, runs[1].patient, runs[1].labels[:, :1], runs[1].scores_a[:, :1], runs[1].scores_b[:, :1]
    )
    assert found.per_seed[1] == pytest.approx(paired_difference([only], seed=0).difference)
    runs[1].labels[:, 0] = np.nan
    nothing = paired_difference(runs, seed=0)
    assert (nothing.difference, nothing.low, nothing.high) == (None, None, None)


def test_patients_may_be_named_by_text() -> None:
    runs = paired_runs(RNG(13), seeds=3)
    named = [replace(r, patient=np.array([f"p{i:05d}" for i in r.patient])) for r in runs]
    assert paired_difference(named, seed=0) == paired_difference(runs, seed=0)


def _second_network(runs: list[PairedRun], noise: float) -> list[PairedRun]:
    """Return runs of another network: the same records, arm b's scores with noise of its own."""
    random = RNG(99)
    return [
        replace(
            run,
            scores_a=run.scores_a + random.normal(0, noise, run.scores_a.shape),
            scores_b=run.scores_b + random.normal(0, noise, run.scores_b.shape),
        )
        for run in runs
    ]


def test_a_network_without_any_gain_leaves_the_other_networks_gain_with_its_interval() -> None:
    runs = paired_runs(RNG(3), seeds=6, folds=3, targets=2, positives=60, separation=(1.6, 1.2))
    none = [replace(run, scores_b=run.scores_a) for run in _second_network(runs, 1.0)]
    found, alone = difference_of_gains(runs, none, seed=1), paired_difference(runs, seed=1)
    assert found.difference == pytest.approx(alone.difference, abs=1e-12)
    assert (found.low, found.high) == (pytest.approx(alone.low), pytest.approx(alone.high))


def test_the_difference_of_gains_is_antisymmetric_and_knows_what_gains_have_in_common() -> None:
    runs = paired_runs(RNG(4), seeds=6, positives=60, separation=(1.6, 1.2), seed_noise=0.3)
    others = _second_network(runs, 0.3)
    one, two = difference_of_gains(runs, others[::-1], seed=1), difference_of_gains(others, runs, seed=1)
    gains = [paired_difference(each, seed=1) for each in (runs, others)]
    assert one.difference == pytest.approx(gains[0].difference - gains[1].difference, abs=1e-12)
    assert (one.low, one.high) == (pytest.approx(-two.high), pytest.approx(-two.low))
    # Patients and seeds that suit one arm suit it in both networks here: independent gains would leave more.
    apart = sum((each.high - each.low) ** 2 for each in gains) ** 0.5
    assert one.high - one.low < 0.6 * apart


def test_gains_are_only_compared_on_the_same_records_and_seeds() -> None:
    runs = paired_runs(RNG(5), seeds=3, positives=40)
    with pytest.raises(DataError, match="the same seeds"):
        difference_of_gains(runs, runs[:2], seed=1)
    with pytest.raises(DataError, match="seed 0 tested others"):
        difference_of_gains(runs, [replace(run, labels=1 - run.labels) for run in runs], seed=1)


def test_runs_that_do_not_fit_together_are_refused() -> None:
    runs = paired_runs(RNG(14), seeds=2)
    with pytest.raises(DataError, match="no runs"):
        paired_difference([], seed=0)
    with pytest.raises(DataError, match="more than once"):
        paired_difference([runs[0], runs[0]], seed=0)
    with pytest.raises(DataError, match="seed 1"):
        paired_difference([runs[0], replace(runs[1], scores_a=runs[1].scores_a[:-1])], seed=0)
    runs[0].scores_b[0] = np.inf
    with pytest.raises(DataError, match="not finite"):
        paired_difference(runs, seed=0)


def _delong(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Return the AUROC and DeLong's estimate of its variance."""
    x, y = scores[labels == 1], scores[labels == 0]
    m, n = len(x), len(y)
    both = rankdata(np.concatenate([x, y]))
    of_positives = (both[:m] - rankdata(x)) / n
    of_negatives = 1 - (both[m:] - rankdata(y)) / m
    variance = np.var(of_positives, ddof=1) / m + np.var(of_negatives, ddof=1) / n
    return float(of_positives.mean()), float(variance)


def _parts(runs: list[PairedRun], resamples: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return the runs' values, their covariance with and without correction, and its degrees of freedom."""
    singles = [SingleRun(r.seed, r.pretraining_seed, r.patient, r.labels, r.scores_a) for r in runs]
    ids, units = patients_of(singles)
    support = support_of(singles, units)
    ranked = [
        RankedRun(single, [run.scores_a, run.scores_b], (1.0, -1.0), rows)
        for single, run, rows in zip(singles, runs, units, strict=True)
    ]
    blocks = patient_weights(len(ids), resamples, 1)
    resampled = np.concatenate([[run.under(block) for run in ranked] for block in blocks], axis=1)
    point = np.array([run.value for run in ranked])
    return point, run_covariance(resampled, support), np.cov(resampled), support.freedom


def _coverage(*, repetitions: int = 200, seed_noise: float, **settings: object) -> dict[str, float]:
    """Return how often the truth is covered: by the interval, by resampling crossed seeds, by seeds alone."""
    truth = true_difference(
        settings.get("separation", (1.5, 1.5)), seed_noise, settings.get("pretraining_noise", 0.0)
    )  # type: ignore[arg-type]
    hits = {"interval": 0, "percentile": 0, "seeds only": 0}
    for repetition in range(repetitions):
        rng = RNG([repetition, 20])
        runs = paired_runs(rng, seed_noise=seed_noise, **settings)  # type: ignore[arg-type]
        found = paired_difference(runs, resamples=200, seed=repetition)
        hits["interval"] += found.low <= truth <= found.high
        values = np.array(found.per_seed)
        drawn = rng.integers(0, len(values), (1000, len(values)))
        seeds = values[drawn].mean(axis=1)
        # The percentile interval of the crossed bootstrap: seeds drawn again, plus the patients' spread.
        crossed = seeds + found.patient_sd * rng.normal(size=1000)
        for name, draws in (("percentile", crossed), ("seeds only", seeds)):
            low, high = np.quantile(draws, [norm.cdf(-1.96), norm.cdf(1.96)])
            hits[name] += low <= truth <= high
    return {name: count / repetitions for name, count in hits.items()}


@pytest.mark.parametrize("share", [0.9, 0.3])
def test_what_ever_more_seeds_leave_is_told_from_two_repeats_of_the_folds(share: float) -> None:
    """Two folds of one repeat have no patient in common; that says nothing of the next repeat."""

    def spreads(seeds: int) -> list[Spread]:
        found = []
        for i in range(20):
            tables = paired_runs(
                RNG([i, seeds]), seeds=seeds, folds=5, patients=400, positives=100, patient_share=share
            )
            spread = paired_difference(tables, resamples=300, seed=i).spread
            assert spread is not None
            found.append(spread)
        return found

    def mean(values: Iterable[float | None]) -> float:
        return float(np.mean([value for value in values if value is not None]))

    once, twice, often = spreads(5), spreads(10), spreads(40)
    assert {spread.tested_once for spread in once} == {True}
    assert {spread.tested_once for spread in (*twice, *often)} == {False}
    left = mean(spread.lasting for spread in often)
    assert mean(spread.lasting for spread in twice) == pytest.approx(left, rel=0.2)
    # What these pairs of seeds share on average is less, and is no floor.
    assert mean(spread.shared for spread in twice) < 0.75 * left
    # Five seeds cannot know it: all that the patients do is the most that it can be.
    assert mean(spread.lasting for spread in once) > left
    forecast = [spread.with_design(n_seeds=40) for spread in twice]
    assert mean(each.patients for each in forecast) == pytest.approx(
        mean(spread.patients for spread in often), rel=0.2
    )
    assert mean(each.half_width(0.95) for each in forecast) == pytest.approx(
        mean(spread.half_width(0.95) for spread in often), rel=0.2
    )


def test_on_one_test_part_all_that_seeds_share_lasts() -> None:
    spread = paired_difference(paired_runs(RNG(3), seeds=6), resamples=300, seed=1).spread
    assert spread is not None
    assert spread.lasting == spread.shared
    assert not spread.tested_once
