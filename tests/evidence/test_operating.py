"""Sensitivity at a fixed specificity: thresholds from elsewhere, differences over patients and seeds."""

from __future__ import annotations

from dataclasses import asdict, replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import recall_score

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import OperatingRun, sensitivity_difference

RNG = np.random.default_rng


def operating_runs(
    rng: np.random.Generator,
    *,
    seeds: int = 5,
    patients: int = 300,
    positives: int = 60,
    separation: tuple[float, float] = (1.8, 1.4),
    seed_noise: float = 0.1,
    share: float = 0.6,
    folds: int = 1,
) -> list[OperatingRun]:
    """Return runs with thresholds that are the 90 % quantile of 100 other negatives: a validation part's."""
    labels = np.zeros(patients)
    labels[:positives] = 1
    effect = sqrt(share) * rng.normal(size=(2, patients))
    runs = []
    for seed in range(seeds):
        shift = seed_noise * rng.normal(size=2)
        noise = sqrt(1 - share) * rng.normal(size=(2, patients))
        scores = [labels * (separation[a] + shift[a]) + effect[a] + noise[a] for a in (0, 1)]
        thresholds = np.quantile(rng.normal(size=(2, 100)), 0.9, axis=1)
        test = np.arange(patients) % folds == seed % folds
        runs.append(
            OperatingRun(
                seed, None, np.flatnonzero(test), labels[test], scores[0][test], scores[1][test], *thresholds
            )
        )
    return runs


def difference(runs: list[OperatingRun], **more: float):
    return sensitivity_difference(runs, target="AF", specificity=0.9, **more)


def test_rates_are_those_of_scikit_learn_at_the_given_thresholds() -> None:
    runs = operating_runs(RNG(0))
    found = difference(runs)
    expected = []
    for scores, threshold in (("scores_a", "threshold_a"), ("scores_b", "threshold_b")):
        called = [getattr(r, scores) >= getattr(r, threshold) for r in runs]
        for label in (1, 0):
            expected.append(
                np.mean(
                    [recall_score(r.labels, c, pos_label=label) for r, c in zip(runs, called, strict=True)]
                )
            )
    assert (found.sensitivity, found.achieved_specificity) == pytest.approx(tuple(expected[:2]))
    assert (found.reference_sensitivity, found.reference_specificity) == pytest.approx(tuple(expected[2:]))
    assert found.difference == pytest.approx(expected[0] - expected[2])
    assert found.low < found.difference < found.high
    assert (found.positives, found.note, found.target, found.specificity) == (60, "", "AF", 0.9)


def test_one_seed_agrees_with_agresti_and_min_for_matched_proportions() -> None:
    [run] = operating_runs(RNG(1), seeds=1, patients=2000, positives=400)
    found = difference([run])
    present = run.labels == 1
    a, b = (run.scores_a >= run.threshold_a)[present], (run.scores_b >= run.threshold_b)[present]
    # Half a pair is added to each of the four cells.
    gained, lost, n = (a & ~b).sum() + 0.5, (~a & b).sum() + 0.5, present.sum() + 2
    error = sqrt(gained + lost - (gained - lost) ** 2 / n) / n
    assert found.high - found.low == pytest.approx(2 * norm.ppf(0.975) * error, rel=0.01)
    assert "training noise" in found.note


def test_arms_that_call_the_same_patients_are_not_certain_to_be_equal() -> None:
    runs = [replace(r, scores_b=r.scores_a, threshold_b=r.threshold_a) for r in operating_runs(RNG(2))]
    found = difference(runs)
    assert found.difference == 0
    assert found.high == pytest.approx(1.96 / 62, rel=0.05)
    assert found.low == -found.high
    assert found.word == "equivalent"


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.permutations(range(60)))
def test_units_of_the_logits_and_names_of_patients_do_not_matter(start: int, names: list[int]) -> None:
    runs = operating_runs(RNG(start), seeds=3, patients=60, positives=20)
    other = [
        replace(
            r,
            patient=np.array(names)[r.patient],
            scores_a=np.exp(r.scores_a),
            threshold_a=float(np.exp(r.threshold_a)),
            scores_b=3 * r.scores_b - 1,
            threshold_b=3 * r.threshold_b - 1,
        )
        for r in runs
    ]
    one, two = asdict(difference(runs)), asdict(difference(other))
    assert one.pop("note") == two.pop("note")
    assert one.pop("word") == two.pop("word")
    assert [one.pop("target"), one] == [two.pop("target"), pytest.approx(two)]
    mirrored = difference(
        [
            replace(
                r,
                scores_a=r.scores_b,
                scores_b=r.scores_a,
                threshold_a=r.threshold_b,
                threshold_b=r.threshold_a,
            )
            for r in runs
        ]
    )
    assert (mirrored.low, mirrored.high) == pytest.approx((-one["high"], -one["low"]))


def test_records_of_one_patient_are_not_counted_as_independent() -> None:
    runs = operating_runs(RNG(3))
    parts = ("patient", "labels", "scores_a", "scores_b")
    twice = [replace(r, **{p: np.concatenate([getattr(r, p)] * 2) for p in parts}) for r in runs]
    one, two = difference(runs), difference(twice)
    assert (two.low, two.high, two.positives) == pytest.approx((one.low, one.high, one.positives))


@pytest.mark.parametrize(
    "setting",
    [
        {"seeds": 5, "seed_noise": 0.4, "share": 0.1},
        {"seeds": 10, "seed_noise": 0.05, "share": 0.8},
        {"seeds": 5, "positives": 15},
        {"seeds": 5, "positives": 80, "folds": 5},
    ],
    ids=["seeds dominate", "patients dominate", "15 positives", "five folds"],
)
def test_covers_the_true_difference(setting: dict) -> None:
    """150 studies; thresholds vary from run to run, so that truth is an expectation over them."""
    rng, noise = RNG(0), setting.get("seed_noise", 0.1)
    thresholds = np.quantile(rng.normal(size=(20_000, 100)), 0.9, axis=1)
    a, b = (np.mean(norm.cdf((d - thresholds) / sqrt(1 + noise**2))) for d in (1.8, 1.4))
    found = [difference(operating_runs(RNG(k), **setting)) for k in range(150)]
    hits = np.mean([row.low <= a - b <= row.high for row in found])
    assert 0.91 <= hits <= 0.995


def test_fewer_than_ten_positive_patients_have_no_interval() -> None:
    found = difference(operating_runs(RNG(4), positives=9))
    assert found.difference is not None
    assert (found.low, found.high, found.word) == (None, None, None)
    assert found.note == "no interval: only 9 test patients have AF, 10 needed"


def test_a_run_without_threshold_leaves_no_estimate_rather_than_one_of_the_others() -> None:
    runs = operating_runs(RNG(5))
    found = difference([*runs[:-1], replace(runs[-1], threshold_b=None)])
    assert (found.difference, found.sensitivity, found.low) == (None, None, None)
    assert found.note == "no threshold: too few in the validation part at seed 4"
    empty = replace(runs[0], labels=np.zeros(300))
    assert "no positive or no negative in the test part at seed 0" in difference([empty, *runs[1:]]).note


def test_unknown_labels_do_not_count() -> None:
    runs = operating_runs(RNG(6))
    longer = [
        replace(
            r,
            patient=np.append(r.patient, 999),
            labels=np.append(r.labels, np.nan),
            scores_a=np.append(r.scores_a, np.nan),
            scores_b=np.append(r.scores_b, 7.0),
        )
        for r in runs
    ]
    one, two = difference(runs), difference(longer)
    assert (one.low, one.high, one.achieved_specificity) == (two.low, two.high, two.achieved_specificity)


def test_refuses_what_does_not_fit() -> None:
    [run] = operating_runs(RNG(7), seeds=1)
    with pytest.raises(DataError, match="more than once"):
        difference([run, run])
    with pytest.raises(DataError, match="do not fit"):
        difference([replace(run, scores_a=run.scores_a[1:], scores_b=run.scores_b[1:])])
    with pytest.raises(DataError, match="not finite"):
        difference([replace(run, scores_a=run.scores_a * np.inf)])
    with pytest.raises(DataError, match="no runs"):
        difference([])
