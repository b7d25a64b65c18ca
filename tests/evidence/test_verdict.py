"""Verdicts: the four words where they belong, Holm against its definition, what would settle a question."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import (
    Interval,
    Spread,
    minimum_detectable,
    paired_difference,
    two_sided_p,
    verdicts,
    word,
)

# Tests are imported one by one (importlib mode), so a helper beside them is found by path.
sys.path.insert(0, str(Path(__file__).parent))
from simulated import paired_runs


def interval(difference: float, error: float, *, seeds: int = 10, shared: float = 1.0) -> Interval:
    """Return an interval with this standard error, a share of whose variance is common to the seeds.

    The degrees of freedom are so many that quantiles are the normal's where seeds leave no noise.
    """
    common = shared * error**2
    between = (1 - shared) * error**2 * seeds
    spread = Spread(common, common, 0.0, between, seeds, 1e9)
    half = spread.half_width(0.95)
    return Interval(
        difference, difference - half, difference + half, 0.95, seeds, 0, 500, common**0.5, between**0.5,
        (difference,) * seeds, tuple(range(seeds)), 50, 50, "", spread,
    )  # fmt: skip


def words(*intervals: Interval, **settings: float) -> list[str]:
    return [verdict.word for verdict in verdicts(intervals, **settings)]


@pytest.mark.parametrize(
    ("difference", "error", "word"),
    [
        (0.030, 0.010, "helps"),
        (-0.030, 0.010, "harms"),
        (0.015, 0.010, "undecided"),
        (0.000, 0.005, "equivalent"),
        (0.005, 0.001, "equivalent"),  # excludes zero, but makes no difference
        (0.000, 0.007, "undecided"),  # 1.645 x 0.007 > 0.01
        (0.0101, 0.0001, "helps"),  # beyond the margin, however surely
    ],
)
def test_each_word_where_it_belongs(difference: float, error: float, word: str):
    assert words(interval(difference, error)) == [word]


def test_the_word_of_one_difference_is_that_of_a_family_of_one():
    for each in (interval(0.03, 0.01), interval(-0.03, 0.01), interval(0.0, 0.005), interval(0.015, 0.01)):
        assert word(each) == words(each)[0]
    assert word(interval(0.03, 0.005), 0.05) == "equivalent"
    nothing = Interval(0.1, None, None, 0.95, 5, 0, 20, None, None, (), (), 4, 9, "no interval: too few")
    assert word(nothing) is None


def test_p_is_that_of_the_normal_where_only_patients_vary():
    for z in (0.5, 1.96, 3.0):
        p = two_sided_p(interval(z * 0.01, 0.01))
        assert p == pytest.approx(math.erfc(z / 2**0.5), rel=1e-4)
    assert two_sided_p(interval(0.0, 0.01)) == pytest.approx(1, abs=1e-9)


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=8))
def test_holm_against_its_definition(sizes: list[float]):
    """A contrast is called if and only if Holm's adjusted p is at most 5 % (margin out of the way)."""
    family = [interval(z * 0.01, 0.01) for z in sizes]
    p = np.array([math.erfc(z / 2**0.5) for z in sizes])
    adjusted, running = np.empty(len(p)), 0.0
    for rank, i in enumerate(np.argsort(p, kind="stable")):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = running
    # Next to the limit the bisection and the closed form may differ in the last digit.
    clear = np.abs(adjusted - 0.05) > 1e-6
    called = np.array([word == "helps" for word in words(*family, margin=1e-6)])
    assert (called == (adjusted <= 0.05))[clear].all()


def test_the_adjusted_interval_is_wider_in_a_larger_family():
    alone = verdicts([interval(0.025, 0.01)])[0]
    family = verdicts([interval(0.025, 0.01)] + [interval(0.001, 0.01)] * 7)[0]
    assert (alone.word, family.word) == ("helps", "undecided")
    assert family.low is not None
    assert alone.low is not None
    assert family.low < 0 < alone.low
    assert family.level == pytest.approx(1 - 0.05 / 8)


def test_a_contrast_without_an_interval_decides_nothing_and_counts_as_named():
    nothing = Interval(0.1, None, None, 0.95, 5, 0, 20, None, None, (), (), 4, 9, "no interval: too few")
    judged = verdicts([nothing, interval(0.0205, 0.01)])
    # p = 0.04 would do alone, not as one of two that were named.
    assert [verdict.word for verdict in judged] == ["undecided", "undecided"]
    assert verdicts([interval(0.0205, 0.01)])[0].word == "helps"
    assert verdicts([nothing, interval(0.03, 0.01)])[1].word == "helps"
    assert judged[0].settles == "no interval: too few"
    assert judged[0].low is judged[0].minimum_detectable is None


def test_what_would_settle_it():
    """Where patients dominate no number of seeds helps; where training noise does, seeds do."""
    patients = verdicts([interval(0.015, 0.01, shared=1.0)])[0].settles
    assert "the patients alone leave ±0.020, so no number of seeds settles it" in patients
    assert "1.7 times as many test patients" in patients  # (1.96 x 0.01 / 0.015)^2 = 1.71, on the grid
    # Seeds do settle it, though nobody would run so many: the patients are not to blame.
    spread = Spread(2e-6, 2e-6, 0.0, 0.05**2, 10, 1e9)
    endless = verdicts([replace(interval(0.0062, 0.01), spread=spread)])[0]
    assert endless.word == "undecided"
    assert endless.settles.startswith("it would take more than 200 seeds if the estimate stayed; ")
    assert spread.half_width(0.95, n_seeds=400) < 0.0062
    seeds = verdicts([interval(0.015, 0.01, seeds=5, shared=0.0)])[0].settles
    assert "seeds instead of 5 would settle it" in seeds
    more = int(seeds.split("about ")[1].split()[0])
    again = Spread(0.0, 0.0, 0.0, 5 * 0.01**2, 5, 1e9)
    assert again.half_width(0.95, n_seeds=more) < 0.015 <= again.half_width(0.95, n_seeds=more - 1)


def test_the_minimum_detectable_effect_is_called_four_times_in_five():
    random = np.random.default_rng(0)
    spread = interval(0.0, 0.01).spread
    assert spread is not None
    truth = minimum_detectable(spread, 0.95)
    assert truth == pytest.approx((1.95996 + 0.84162) * 0.01, rel=1e-4)
    called = [words(interval(truth + 0.01 * z, 0.01)) == ["helps"] for z in random.normal(size=2000)]
    assert 0.77 < np.mean(called) < 0.83


def test_on_runs_with_a_known_truth():
    same = paired_runs(np.random.default_rng(1), seeds=5)
    better = paired_runs(
        np.random.default_rng(2), seeds=10, patients=600, positives=150, separation=(2.5, 1.0)
    )
    judged = verdicts([paired_difference(runs, resamples=400, seed=0) for runs in (same, better)])
    assert [verdict.word for verdict in judged] == ["undecided", "helps"]


def of_seeds_alone(values: np.ndarray) -> Interval:
    """Return an interval whose only part is the spread of the seeds: patients bring in nothing."""
    n = len(values)
    spread = Spread(0.0, 0.0, 0.0, float(values.var(ddof=1)), n, 40.0)
    return around(float(values.mean()), spread, tuple(values.tolist()))


def around(difference: float, spread: Spread, per_seed: tuple[float, ...]) -> Interval:
    half = spread.half_width(0.95)
    return Interval(
        difference, difference - half, difference + half, 0.95, spread.n_seeds, 0, 500, 0.0, 0.0,
        per_seed, tuple(range(spread.n_seeds)), 50, 50, "", spread,
    )  # fmt: skip


@pytest.mark.parametrize("margin", [0.01, 0.03])
def test_equivalence_is_that_of_two_one_sided_t_tests_where_only_seeds_vary(margin: float):
    """Schuirmann's test on the seeds' differences, each side at 5 %, as scipy has it."""
    random = np.random.default_rng(41)
    decided = []
    for _ in range(160):
        n, mean, sd = random.integers(2, 13), random.uniform(-2, 2), random.uniform(0.1, 2)
        values = margin * (mean + sd * random.normal(size=n))
        above = ttest_1samp(values, -margin, alternative="greater").pvalue
        below = ttest_1samp(values, margin, alternative="less").pvalue
        apart = ttest_1samp(values, 0.0).pvalue
        # Next to a limit the last digits decide.
        if min(abs(above - 0.05), abs(below - 0.05), abs(apart - 0.05)) < 1e-6:
            continue
        found = verdicts([of_seeds_alone(values)], margin=margin)[0]
        assert (found.word == "equivalent") == (max(above, below) <= 0.05)
        assert (found.word == "undecided") == (max(above, below) > 0.05 and apart > 0.05)
        assert found.p == pytest.approx(apart, abs=1e-6)
        ends = ttest_1samp(values, 0.0).confidence_interval(0.90)
        assert found.equivalence_low == pytest.approx(ends.low)
        assert found.equivalence_high == pytest.approx(ends.high)
        decided.append((found.word, apart <= 0.05))
    # All words are there, and differences that are real and make no difference.
    assert {word for word, _ in decided} == {"equivalent", "helps", "harms", "undecided"}
    assert decided.count(("equivalent", True)) >= 5
    assert decided.count(("equivalent", False)) >= 10


@pytest.mark.parametrize("freedom", [3.0, 11.0, 60.0])
def test_equivalence_is_that_of_two_one_sided_t_tests_where_only_patients_vary(freedom: float):
    """One seed: the standard error is the patients', with their degrees of freedom."""
    random = np.random.default_rng(42)
    called = 0
    for _ in range(200):
        difference, error = random.uniform(-0.015, 0.015), random.uniform(0.0005, 0.008)
        above = student.sf((difference + 0.01) / error, freedom)
        below = student.cdf((difference - 0.01) / error, freedom)
        found = around(difference, Spread(error**2, error**2, 0.0, 0.0, 1, freedom), (difference,))
        assert (words(found) == ["equivalent"]) == (max(above, below) <= 0.05)
        called += max(above, below) <= 0.05
    assert 20 <= called <= 180


def test_the_normals_quantile_would_call_more_equivalent_than_students():
    """Three seeds: 1.64 standard errors fit into the margin, Student's 2.92 do not."""
    values = np.array([-0.0065, 0.0, 0.0065])
    error = values.std(ddof=1) / 3**0.5
    assert 1.645 * error < 0.01 < 2.92 * error
    assert words(of_seeds_alone(values)) == ["undecided"]
    assert words(of_seeds_alone(0.9 * values)) == ["equivalent"]


@pytest.mark.parametrize("settings", [{"margin": 0.0}, {"margin": -1.0}, {"level": 1.0}])
def test_refusals(settings: dict[str, float]):
    with pytest.raises(DataError, match="must be positive and level"):
        verdicts([interval(0.0, 0.01)], **settings)


def undecided(difference: float, spread: Spread) -> str:
    """Return what is said to settle it."""
    wide = spread.half_width(0.95)
    found = Interval(
        difference, difference - wide, difference + wide, 0.95, spread.n_seeds, spread.n_pretrainings, 400,
        1e-3, 1e-3, (difference,) * spread.n_seeds, tuple(range(spread.n_seeds)), 50, 350, "", spread,
    )  # fmt: skip
    [verdict] = verdicts([found])
    assert verdict.word == "undecided"
    return verdict.settles


def test_where_pretrainings_differ_most_more_of_them_are_asked_for():
    """Ten seeds x three pre-trainings, patients ±0.002: only more pre-trainings narrow it."""
    spread = Spread(1e-6, 1e-6, 0.0, 1e-6, 10, 100.0, between_pretrainings=2e-4, n_pretrainings=3)
    said = undecided(0.0095, spread)
    assert said.startswith("about ")
    assert (
        "pre-trainings instead of 3 would settle it if the estimate stayed; no number of seeds does" in said
    )
    many = int(said.split()[1])
    assert spread.with_design(n_pretrainings=many).half_width(0.95) < 0.0095
    assert spread.with_design(n_pretrainings=many - 1).half_width(0.95) >= 0.0095


def test_where_it_takes_both_more_seeds_and_more_pretrainings():
    spread = Spread(1e-6, 1e-6, 0.0, 1e-3, 10, 100.0, between_pretrainings=2e-4, n_pretrainings=3)
    said = undecided(0.0075, spread)
    assert said.startswith(
        "it would take more seeds and more pre-trainings: with any number of seeds alone ±"
    )
    seeds, trainings = (float(part.split()[0].strip(",;")) for part in said.split("±")[1:])
    assert seeds == pytest.approx(spread.with_design(n_seeds=10**6).half_width(0.95), abs=6e-4)
    assert trainings == pytest.approx(spread.with_design(n_pretrainings=10**6).half_width(0.95), abs=6e-4)
    assert min(seeds, trainings) > 0.0075 > spread.patients_alone(0.95)


def test_where_the_patients_leave_too_much_no_number_of_pretrainings_helps_either():
    spread = Spread(1e-4, 1e-4, 0.0, 1e-6, 10, 100.0, between_pretrainings=2e-4, n_pretrainings=3)
    said = undecided(0.0095, spread)
    assert said.startswith("the patients alone leave ±0.020, so no number of seeds or pre-trainings settles")


def test_of_patients_tested_once_nobody_knows_what_more_seeds_would_leave():
    """Five folds, five seeds: no two have a patient in common, so what they share is zero by construction."""
    spread = Spread(
        4.6e-4, 2.4e-6, 2.28e-3, 9e-4, 5, 16.0, 9.2e-6, 3, 1.5e-3, lasting=4.6e-4, tested_once=True
    )
    said = undecided(0.008, spread)
    assert said.startswith("no patient was tested at two seeds, so these runs do not tell whether more")
    assert "differ most" not in said
    # As many as would do even if all that the patients did lasted, do.
    assert "seeds instead of 5 would settle it" in undecided(
        0.008, replace(spread, lasting=2e-6, tested_once=True)
    )
