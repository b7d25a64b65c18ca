"""The rule that makes a width of variances: its limits, its coverage for normal data, its power."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from ecgtransfer.evidence import Spread
from ecgtransfer.evidence.crossed import spread_of

RNG = np.random.default_rng


@dataclass(frozen=True)
class Run:
    seed: int
    pretraining_seed: int | None = None
    patient: tuple[int, ...] = (1, 2)


def test_one_run_has_students_quantile_of_its_patients():
    spread = Spread(patients=4e-4, shared=4e-4, own=0.0, between=0.0, n_seeds=1, freedom=12)
    assert spread.half_width(0.95) == pytest.approx(student.ppf(0.975, 12) * 0.02)
    assert spread.standard_error == pytest.approx(0.02)


def test_seeds_alone_have_students_interval_of_a_mean():
    spread = Spread(patients=0.0, shared=0.0, own=0.0, between=0.01, n_seeds=5, freedom=50)
    assert spread.half_width(0.9) == pytest.approx(student.ppf(0.95, 4) * (0.01 / 5) ** 0.5)


def test_lucky_agreement_of_few_seeds_does_not_hide_the_patients():
    spread = Spread(patients=1e-4, shared=0.0, own=3e-4, between=1e-12, n_seeds=3, freedom=50)
    assert spread.half_width(0.95) == pytest.approx(norm.ppf(1 - 0.30 / 2) * 0.01, rel=1e-3)


@given(
    st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5),
    st.integers(2, 20),
    st.sampled_from([0, 2, 3, 5]),
    st.floats(0.5, 0.99),
)
def test_wider_at_a_higher_level_and_never_narrower_than_a_part_would_be(
    parts: list[float], seeds: int, trainings: int, level: float
):
    shared, own, between, trained, both = parts
    spread = Spread(
        shared + own / seeds,
        shared,
        own,
        between,
        seeds,
        20.0,
        trained if trainings else 0.0,
        trainings,
        both,
    )
    assert spread.half_width(level) <= spread.half_width(level + 0.005) + 1e-12
    assert spread.half_width(level) >= student.ppf((1 + level) / 2, 20) * shared**0.5 - 1e-9
    assert spread.standard_error**2 >= shared - 1e-12


def test_other_numbers_of_seeds_and_patients():
    spread = Spread(2e-4, 1e-4, 1e-3, 3e-3, 10, 30)
    assert spread.half_width(0.95, n_seeds=10) == pytest.approx(spread.half_width(0.95))
    assert spread.half_width(0.95, n_seeds=40) < spread.half_width(0.95)
    # With very many seeds what the patients have in common is left.
    assert spread.half_width(0.95, n_seeds=10**6) == pytest.approx(student.ppf(0.975, 30) * 0.01, rel=0.01)
    patients_only = Spread(1e-4, 1e-4, 0.0, 0.0, 1, 1e6)
    assert patients_only.half_width(0.95, patients_times=4) == pytest.approx(
        patients_only.half_width(0.95) / 2, rel=1e-4
    )


# Where the interaction is nearly all, differences of variances are cut at zero often: to the wide side.
@pytest.mark.parametrize(("variances", "wider"), [((1, 1, 1, 0.3), 0.0), ((0.01, 0.1, 3, 0.1), 0.3)])
def test_other_numbers_of_pretrainings(variances: tuple[float, ...], wider: float):
    """The forecast from three is what twelve turn out to be, and never wider than that for fewer."""
    now = [crossed(RNG([i, 2]), 3, 6, variances)[1] for i in range(400)]
    then = [crossed(RNG([i, 3]), 12, 6, variances)[1] for i in range(400)]
    forecast = [spread.with_design(n_pretrainings=12) for spread in now]
    truth = np.mean([spread.standard_error**2 for spread in then])
    expected = np.mean([spread.standard_error**2 for spread in forecast])
    assert 0.88 < expected / truth < 1.12 + wider
    for spread in now:
        widths = [spread.with_design(n_pretrainings=u).half_width(0.95) for u in range(3, 30)]
        assert all(b <= a + 1e-12 for a, b in pairwise(widths))


# Variances of pre-training, seed, run and patients, in units of a run's.
CROSSED = [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (1, 1, 1, 0.3), (0.1, 1, 0.1, 0.1), (1, 0.1, 0.1, 0.3)]


@pytest.mark.parametrize("variances", CROSSED)
@pytest.mark.parametrize(("pretrainings", "seeds"), [(3, 5), (3, 10), (5, 5)])
def test_covers_normal_effects_of_pretraining_seed_run_and_patients(
    pretrainings: int, seeds: int, variances: tuple[float, ...]
):
    drawn = [crossed(RNG([i, 1]), pretrainings, seeds, variances) for i in range(1200)]
    covered = np.mean([abs(error) <= spread.half_width(0.95) for error, spread in drawn])
    assert 0.93 <= covered <= 0.99
    # The interaction is in the spread of seeds and in that of pre-trainings, and is counted once.
    truth = variances[0] / pretrainings + variances[1] / seeds
    truth += variances[2] / (pretrainings * seeds) + variances[3]
    assert np.mean([spread.standard_error**2 for _, spread in drawn]) == pytest.approx(truth, rel=0.5)
    if variances == (1, 1, 1, 0.3):
        assert np.mean([spread.standard_error**2 for _, spread in drawn]) == pytest.approx(truth, rel=0.06)


def test_one_pretraining_per_seed_is_a_seed():
    point = RNG(3).normal(size=4)
    nested = spread_of([Run(i, i) for i in range(4)], point, np.zeros((4, 4)), 10)
    plain = spread_of([Run(i) for i in range(4)], point, np.zeros((4, 4)), 10)
    assert nested == plain


@pytest.mark.parametrize(("seeds", "shared"), [(5, 0.0), (10, 0.0), (5, 1.0), (10, 0.3)])
def test_the_minimum_detectable_effect_has_the_power_it_says(seeds: int, shared: float):
    """Over tables whose own spread decides what they report and what they call."""
    random = RNG([seeds, 4])
    spreads, errors = [], []
    for _ in range(3000):
        values = random.normal(size=seeds)
        spreads.append(Spread(shared, shared, 0.0, float(values.var(ddof=1)), seeds, 1e6))
        errors.append(values.mean() + shared**0.5 * random.normal())
    effect = np.mean([spread.minimum_detectable(0.95, 0.8) for spread in spreads])
    called = [effect + error > spread.half_width(0.95) for error, spread in zip(errors, spreads, strict=True)]
    assert 0.77 < np.mean(called) < 0.83
    spread = spreads[0]
    assert spread.power(spread.minimum_detectable(0.95, 0.8), 0.95) == pytest.approx(0.8)
    assert spread.power(0.0, 0.95) < 0.05


def test_no_variance_at_all_is_no_width():
    spread = Spread(0.0, 0.0, 0.0, 0.0, 5, 10)
    assert spread.half_width(0.95) == 0
    assert spread.power(1e-9, 0.95) == 1
    assert spread.power(0.0, 0.95) == 0


def crossed(
    random: np.random.Generator, pretrainings: int, seeds: int, variances: tuple[float, ...]
) -> tuple[float, Spread]:
    """Return the error of the mean of all runs, and its spread; the patients' part is known."""
    of_training, of_seed, of_run, patients = variances
    values = (
        of_training**0.5 * random.normal(size=(pretrainings, 1))
        + of_seed**0.5 * random.normal(size=(1, seeds))
        + of_run**0.5 * random.normal(size=(pretrainings, seeds))
    )
    runs = [Run(s, u) for u in range(pretrainings) for s in range(seeds)]
    error = float(values.mean() + patients**0.5 * random.normal())
    return error, spread_of(runs, values.ravel(), np.full((len(runs), len(runs)), patients), 1e6)
