"""Statements one by one, subgroups and negative transfer: exploratory, and said to be."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import (
    PairedRun,
    TargetSize,
    age_groups,
    negative_transfer,
    paired_difference,
    per_statement,
    subgroups,
    verdicts,
)

sys.path.insert(0, str(Path(__file__).parent))
from simulated import paired_runs

RNG = np.random.default_rng


def test_each_statement_is_the_paired_difference_of_its_column() -> None:
    runs = paired_runs(RNG(0), seeds=4, targets=2, separation=(1.6, 1.2))
    rows = per_statement(runs, ("AF", "LBBB"), resamples=300, seed=2)
    for k, row in enumerate(rows):
        own = [
            replace(r, labels=r.labels[:, [k]], scores_a=r.scores_a[:, [k]], scores_b=r.scores_b[:, [k]])
            for r in runs
        ]
        alone = paired_difference(own, resamples=300, seed=2)
        assert (row.difference, row.low, row.high) == (alone.difference, alone.low, alone.high)
        assert row.word == verdicts([alone])[0].word
        assert row.auroc == pytest.approx(
            np.mean([roc_auc_score(r.labels[:, k], r.scores_a[:, k]) for r in runs])
        )
        assert row.reference_auroc == pytest.approx(row.auroc - row.difference)
        assert row.positives == 30
    assert [row.target for row in rows] == ["AF", "LBBB"]


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.3])
def test_words_are_those_of_a_verdict_on_one_contrast(margin: float) -> None:
    words = set()
    for start, pair in enumerate([(1.8, 1.0), (1.0, 1.8), (1.4, 1.4), (1.45, 1.4)]):
        runs = paired_runs(RNG(start), seeds=5, patients=600, positives=200, separation=pair)
        [row] = per_statement(runs, ("AF",), margin=margin, resamples=200, seed=0)
        assert row.word == verdicts([paired_difference(runs, resamples=200, seed=0)], margin=margin)[0].word
        words.add(row.word)
    assert words == {0.01: {"helps", "harms", "undecided"}, 0.3: {"equivalent"}}.get(margin, words)
    assert len(words) > 1 or margin == 0.3


def test_a_statement_without_positives_is_none_with_a_reason() -> None:
    runs = paired_runs(RNG(1), seeds=2, targets=2)
    bare = [replace(r, labels=np.column_stack([r.labels[:, 0], np.zeros(len(r.labels))])) for r in runs]
    first, second = per_statement(bare, ("AF", "WPW"), resamples=100, seed=0)
    assert first.difference is not None
    assert (second.auroc, second.difference, second.low, second.word, second.positives) == (None,) * 4 + (0,)
    assert second.note == "no positive or no negative in the test part of 2 of 2 seeds"


def test_names_have_to_fit_the_columns() -> None:
    with pytest.raises(DataError, match="1 targets are named"):
        per_statement(paired_runs(RNG(0), seeds=1, targets=2), ("AF",), seed=0)


def grouped(
    rng: np.random.Generator, *, gain: tuple[float, float], seeds: int = 5, patients: int = 400
) -> tuple[list[PairedRun], list[np.ndarray]]:
    """Return runs in which pre-training adds ``gain`` (female, male) to the separation of 1.2."""
    sex = np.where(np.arange(patients) % 2, "male", "female").astype(object)
    labels = (np.arange(patients)[:, None] % 4 < 2).astype(float)
    bonus = np.where(sex == "female", *gain)[:, None]
    shared = 0.7 * rng.normal(size=(2, patients, 1))
    runs = []
    for seed in range(seeds):
        noise = 0.7 * rng.normal(size=(2, patients, 1))
        runs.append(
            PairedRun(
                seed,
                None,
                np.arange(patients),
                labels,
                labels * (1.2 + bonus) + shared[0] + noise[0],
                labels * 1.2 + shared[1] + noise[1],
            )
        )
    return runs, [sex] * seeds


def test_a_subgroup_is_the_paired_difference_among_its_patients() -> None:
    runs, sex = grouped(RNG(0), gain=(0.8, 0.0))
    female, male = subgroups(runs, "sex", sex, ("AF",), resamples=500, seed=1)
    assert (female.group, female.value, male.value) == ("sex", "female", "male")
    own = [
        replace(
            r,
            patient=r.patient[::2],
            labels=r.labels[::2],
            scores_a=r.scores_a[::2],
            scores_b=r.scores_b[::2],
        )
        for r in runs
    ]
    alone = paired_difference(own, resamples=500, seed=1)
    assert (female.difference, female.low, female.high) == (alone.difference, alone.low, alone.high)
    assert (female.records, female.patients, female.word, female.targets) == (200, 200, "helps", ("AF",))
    assert female.against_rest == pytest.approx(female.difference - male.difference)
    assert female.against_rest_low > 0
    # Two groups: each is the rest of the other.
    assert (male.against_rest, male.against_rest_low, male.against_rest_high) == pytest.approx(
        (-female.against_rest, -female.against_rest_high, -female.against_rest_low), abs=1e-9
    )


def test_the_interaction_covers_no_interaction_and_is_narrower_than_adding_half_widths() -> None:
    hits = 0
    for study in range(30):
        runs, sex = grouped(RNG(study), gain=(0.4, 0.4), patients=200)
        female, male = subgroups(runs, "sex", sex, ("AF",), resamples=150, seed=study)
        hits += female.against_rest_low <= 0 <= female.against_rest_high
        added = (female.high - female.low) + (male.high - male.low)
        assert female.against_rest_high - female.against_rest_low < 0.9 * added
    assert hits >= 25


def test_small_groups_say_so_and_the_unknown_are_a_row_of_their_own() -> None:
    runs = paired_runs(RNG(2), seeds=3, patients=300, positives=60, targets=2)
    values = [np.where(r.patient < 280, "a", np.where(r.patient < 290, "b", "")).astype(object) for r in runs]
    values[0][0] = None
    rows = {
        row.value: row for row in subgroups(runs, "source", values, ("AF", "LBBB"), resamples=200, seed=0)
    }
    assert list(rows) == ["a", "b", "unknown"]
    assert rows["a"].difference is not None
    assert (rows["b"].difference, rows["b"].low, rows["b"].word, rows["b"].targets) == (None, None, None, ())
    assert "no target has 10 patients in each class" in rows["b"].note
    assert "AF, LBBB" in rows["b"].note
    assert rows["b"].patients == 10
    assert rows["unknown"].against_rest is None
    assert rows["a"].against_rest is None


def test_a_target_that_is_rare_in_a_group_is_left_out_there_and_named() -> None:
    runs = paired_runs(RNG(3), seeds=3, patients=300, positives=60, targets=2)
    group = [np.where(np.arange(300) < 150, "x", "y") for _ in runs]
    for run in runs:
        run.labels[5:150, 1] = 0
    rows = subgroups(runs, "source", group, ("AF", "LBBB"), resamples=200, seed=0)
    assert rows[0].targets == ("AF",)
    assert "LBBB" in rows[0].note
    assert rows[1].targets == ("AF", "LBBB")
    # They are compared on what both can measure.
    assert rows[1].against_rest == pytest.approx(-rows[0].against_rest)
    assert rows[0].targets_against_rest == rows[1].targets_against_rest == ("AF",)


def test_ages_fall_into_fixed_groups_in_their_order() -> None:
    ages = [0, 49.9, 50, 64, 65, 79, 80, 300, np.nan, -1]
    expected = ["<50", "<50", "50–64", "50–64", "65–79", "65–79", "≥80", "≥80", "", ""]
    assert age_groups(ages).tolist() == expected
    runs = paired_runs(RNG(4), seeds=2, patients=400, positives=200)
    values = [age_groups(np.linspace(30, 95, 400)) for _ in runs]
    rows = subgroups(runs, "age", values, ("AF",), resamples=100, seed=0)
    assert [row.value for row in rows] == ["<50", "50–64", "65–79", "≥80"]


def test_values_have_to_fit_the_records() -> None:
    runs, sex = grouped(RNG(0), gain=(0.0, 0.0))
    with pytest.raises(DataError, match="do not fit the records"):
        subgroups(runs, "sex", sex[:-1], ("AF",), seed=0)


def test_negative_transfer_lists_intervals_below_zero_and_estimates_below_the_margin() -> None:
    rows = [
        TargetSize("A", 40, -0.03, -0.05, -0.01),
        TargetSize("B", 40, -0.02, -0.05, 0.01),
        TargetSize("C", 40, -0.005, -0.009, -0.001),
        TargetSize("D", 40, -0.005, -0.03, 0.02),
        TargetSize("E", 40, 0.03, 0.01, 0.05),
        TargetSize("F", 40, -0.04, None, None),
        TargetSize("G", 40, None, None, None),
    ]
    found = negative_transfer(rows)
    assert [row.target for row in found.rows] == ["F", "A", "B", "C"]
    assert found.rows[1].why == "the 95 % interval lies below zero"
    assert found.rows[2].why == "the estimate lies below -0.01, the interval does not exclude zero"
    assert found.rows[0].why == "the estimate lies below -0.01, without an interval"
    assert (found.examined, found.expected_by_chance) == (6, pytest.approx(0.125))
    assert found.text == (
        "Exploratory: of 6 differences (statement by size) 4 hint at harm; of 5 intervals 2 lie below zero, "
        "where about 0.1 would by chance."
    )
    assert negative_transfer([]).rows == ()


def test_as_many_intervals_lie_below_zero_by_chance_as_it_says() -> None:
    rng = RNG(0)
    centre = rng.normal(size=20_000) * 0.01
    half = norm.ppf(0.975) * 0.01
    rows = [TargetSize("T", 1, d, d - half, d + half) for d in centre]
    found = negative_transfer(rows, margin=1.0)
    assert len(found.rows) == pytest.approx(found.expected_by_chance, rel=0.15)


def test_rows_are_plain_values() -> None:
    import json

    runs, sex = grouped(RNG(0), gain=(0.0, 0.0), seeds=2)
    for row in subgroups(runs, "sex", sex, ("AF",), resamples=100, seed=0):
        assert json.loads(json.dumps(asdict(row)))["group"] == "sex"
