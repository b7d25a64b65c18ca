"""The interval of any statistic over pre-trainings x seeds: its parts are those of a two-way ANOVA."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from ecgtransfer.evidence import Interval
from ecgtransfer.evidence.crossed import crossed_interval

RNG = np.random.default_rng
# Thousandths: 10, pre-trainings -3, 0, 3, seeds -2, 0, -1, 3, and what is left, whose sums are all zero.
LEFT = np.array([[1, -1, 0, 0], [-1, 0, 1, 0], [0, 1, -1, 0]])
TABLE = (10 + np.array([[-3], [0], [3]]) + np.array([-2, 0, -1, 3]) + LEFT) * 1e-3
# Variances that the patients bring in: to all runs, to those of a seed, of a pre-training, and to each run.
ALL, SEED, TRAINING, RUN = 2e-6, 3e-6, 0.6e-6, 0.9e-6


@dataclass(frozen=True, eq=False)
class Run:
    seed: int
    pretraining_seed: int | None
    patient: np.ndarray


def runs_of(table: np.ndarray) -> tuple[list[Run], np.ndarray]:
    """Return a run for each cell [pre-trainings, seeds] that is known, in no order, and the values."""
    cells = [tuple(cell) for cell in np.argwhere(np.isfinite(table)).tolist()]
    order = RNG(1).permutation(len(cells))
    # Seeds test one of two folds, 60 and 40 patients.
    folds = np.arange(60), np.arange(60, 100)
    runs = [Run(cells[i][1], cells[i][0], folds[cells[i][1] % 2]) for i in order]
    return runs, np.array([table[cells[i]] for i in order])


def covered(runs: list[Run]) -> np.ndarray:
    """Return the covariance that the patients bring into the runs."""
    seeds = np.array([run.seed for run in runs])
    trained = np.array([run.pretraining_seed for run in runs])
    same_seed, same_training = seeds[:, None] == seeds, trained[:, None] == trained
    return ALL + SEED * same_seed + TRAINING * same_training + RUN * (same_seed & same_training)


def interval_of(table: np.ndarray, *, level: float = 0.95, bounds: tuple[float, float] = (-1, 1)) -> Interval:
    runs, point = runs_of(table)
    return crossed_interval(
        runs, point, covered(runs), freedom=30.0, level=level, positives=20, negatives=80, bounds=bounds
    )


def test_the_parts_of_the_width_are_those_of_a_two_way_anova_by_hand() -> None:
    found = interval_of(TABLE)
    assert found.difference == pytest.approx(10e-3)
    assert found.per_seed == pytest.approx([8e-3, 10e-3, 9e-3, 13e-3])
    assert (found.seeds, found.n_seeds, found.n_pretraining_seeds, found.n_patients) == (
        (0, 1, 2, 3), 4, 3, 100
    )  # fmt: skip
    spread = found.spread
    assert spread is not None
    assert (spread.n_seeds, spread.n_pretrainings, spread.freedom) == (4, 3, 30)
    # Variances of the means per pre-training, (9 + 0 + 9) / 2, and per seed, (4 + 0 + 1 + 9) / 3.
    assert spread.between_pretrainings == pytest.approx(9e-6)
    assert spread.between == pytest.approx(14 / 3 * 1e-6)
    # Six squares of 1 are left for (3 - 1) (4 - 1) degrees of freedom.
    assert spread.interaction == pytest.approx(1e-6)
    # What patients bring to all runs; the same to the mean of all; to one seed's mean beyond the others'.
    assert spread.shared == pytest.approx(ALL)
    assert spread.patients == pytest.approx(ALL + SEED / 4 + TRAINING / 3 + RUN / 12)
    assert spread.own == pytest.approx(SEED + RUN / 3)
    assert found.patient_sd == pytest.approx(spread.patients**0.5)
    assert found.seed_sd == pytest.approx((14 / 3 * 1e-6 - SEED - RUN / 3) ** 0.5)


def test_the_width_follows_from_the_parts_by_hand() -> None:
    found = interval_of(TABLE)
    # As the top of `spread` says, in millionths: pre-trainings 9/3, and seeds 14/3 / 4 less what both hold of
    # the interaction, 1/12.
    trained, seeds, common = 3.0, 14 / 12 - 1 / 12, 2.0
    noise = trained + seeds
    cochran = (trained * student.ppf(0.975, 2) + seeds * student.ppf(0.975, 3)) / noise
    satterthwaite = student.ppf(0.975, noise**2 / (trained**2 / 2 + seeds**2 / 3))
    weighted = common * student.ppf(0.975, 30) + noise * (cochran + 2 * satterthwaite) / 3
    half = weighted / (common + noise) ** 0.5 * 1e-3
    assert (found.low, found.high) == (pytest.approx(10e-3 - half), pytest.approx(10e-3 + half))
    assert found.spread is not None
    assert found.spread.standard_error == pytest.approx((common + noise) ** 0.5 * 1e-3)
    wider = interval_of(TABLE, level=0.99)
    assert wider.high > found.high
    assert wider.spread == found.spread
    cut = interval_of(TABLE, bounds=(0.004, 0.015))
    assert 10e-3 - half < 0.004 < 0.015 < 10e-3 + half
    assert (cut.low, cut.high) == (0.004, 0.015)


@pytest.mark.parametrize(("pretrainings", "seeds"), [(2, 2), (2, 5), (3, 10), (5, 3), (4, 4)])
def test_the_parts_are_the_mean_squares_of_a_regression_on_both_factors(
    pretrainings: int, seeds: int
) -> None:
    table = RNG([pretrainings, seeds]).normal(size=(pretrainings, seeds))
    spread = interval_of(table, bounds=(-9, 9)).spread
    assert spread is not None
    row, column = (each.ravel() for each in np.indices(table.shape))
    one = np.ones((table.size, 1))
    of_rows, of_columns = np.eye(pretrainings)[row][:, 1:], np.eye(seeds)[column][:, 1:]

    def left(*parts: np.ndarray) -> float:
        """Return the sum of squares that a regression leaves."""
        matrix = np.hstack([one, *parts])
        fitted = matrix @ np.linalg.lstsq(matrix, table.ravel(), rcond=None)[0]
        return float(((table.ravel() - fitted) ** 2).sum())

    by_rows = (left() - left(of_rows)) / (pretrainings - 1)
    by_columns = (left() - left(of_columns)) / (seeds - 1)
    rest = left(of_rows, of_columns) / ((pretrainings - 1) * (seeds - 1))
    assert spread.between_pretrainings * seeds == pytest.approx(by_rows)
    assert spread.between * pretrainings == pytest.approx(by_columns)
    assert spread.interaction == pytest.approx(rest)


def test_the_variance_of_the_mean_is_that_of_random_effects() -> None:
    """The ANOVA estimate is free of bias where no part is cut off: E = s_u²/U + s_s²/S + s_i²/(US) + c."""
    random = RNG(5)
    drawn = []
    for _ in range(600):
        table = random.normal(0, 0.02, (3, 1)) + random.normal(0, 0.02, (1, 6))
        spread = interval_of(table + random.normal(0, 0.01, (3, 6))).spread
        assert spread is not None
        drawn.append(spread.standard_error**2)
    expected = 4e-4 / 3 + 4e-4 / 6 + 1e-4 / 18 + ALL
    # Of 2 and 5 degrees of freedom, 600 times: known to about 3 %.
    assert np.mean(drawn) == pytest.approx(expected, rel=0.1)


def test_where_a_run_is_missing_seeds_count_alike_and_the_interaction_is_not_told_apart() -> None:
    table = TABLE.copy()
    table[2, 3] = np.nan
    found = interval_of(table)
    # Without 10 + 3 + 3 seed 3 has 10 and 13; thousandths.
    assert found.per_seed == pytest.approx([8e-3, 10e-3, 9e-3, 11.5e-3])
    assert found.difference == pytest.approx(38.5e-3 / 4)
    spread = found.spread
    assert spread is not None
    assert (spread.n_pretrainings, spread.interaction) == (3, 0.0)
    trained = [np.mean([6, 6, 6, 10]), 10, np.mean([11, 14, 11])]
    assert spread.between_pretrainings == pytest.approx(np.var(trained, ddof=1) * 1e-6)
    assert spread.between == pytest.approx(np.var([8, 10, 9, 11.5], ddof=1) * 1e-6)


def test_one_seed_from_several_pretrainings_has_their_spread_alone() -> None:
    found = interval_of(TABLE[:, :1])
    spread = found.spread
    assert spread is not None
    # The first column: 10 - 3 - 2 + 1, 10 - 2 - 1, 10 + 3 - 2.
    trained = np.var([6, 7, 11], ddof=1) * 1e-6
    assert (spread.between, spread.interaction, found.seed_sd) == (0.0, 0.0, None)
    assert spread.between_pretrainings == pytest.approx(trained)
    assert spread.shared == pytest.approx(ALL + SEED)
    common, noise = ALL + SEED, trained / 3
    half = (common * student.ppf(0.975, 30) + noise * student.ppf(0.975, 2)) / (common + noise) ** 0.5
    assert found.high == pytest.approx(8e-3 + half)


def test_one_pretraining_per_seed_is_no_second_source_of_spread() -> None:
    table = np.full((4, 4), np.nan)
    np.fill_diagonal(table, [8e-3, 10e-3, 9e-3, 13e-3])
    found = interval_of(table)
    assert (found.n_seeds, found.n_pretraining_seeds) == (4, 4)
    assert found.spread is not None
    assert (found.spread.n_pretrainings, found.spread.between_pretrainings) == (0, 0.0)
    assert found.spread.between == pytest.approx(14 / 3 * 1e-6)
    common, noise = ALL, 14 / 12 * 1e-6
    half = (common * student.ppf(0.975, 30) + noise * student.ppf(0.975, 3)) / (common + noise) ** 0.5
    assert found.high == pytest.approx(10e-3 + half)


def test_seeds_and_pretrainings_that_agree_by_luck_leave_the_patients() -> None:
    runs, point = runs_of(np.full((3, 4), 10e-3))
    little = 0.1e-6
    found = crossed_interval(
        runs, point, covered(runs) - ALL + little,
        freedom=30.0, level=0.95, positives=20, negatives=80, bounds=(-1, 1),
    )  # fmt: skip
    patients = little + SEED / 4 + TRAINING / 3 + RUN / 12
    assert little**0.5 * student.ppf(0.975, 30) < norm.ppf(1 - 0.15) * patients**0.5
    assert found.high == pytest.approx(10e-3 + norm.ppf(1 - 0.15) * patients**0.5)


def test_a_refusal_keeps_the_estimate_and_an_unknown_value_leaves_none() -> None:
    runs, point = runs_of(TABLE)
    common = {"freedom": 30.0, "level": 0.95, "positives": 4, "negatives": 96, "bounds": (-1.0, 1.0)}
    found = crossed_interval(runs, point, covered(runs), **common, refusal="too few", notes=["one fold"])
    assert found.difference == pytest.approx(10e-3)
    assert (found.low, found.high, found.spread, found.note) == (None, None, None, "one fold; too few")
    point[3] = np.nan
    lost = crossed_interval(runs, point, covered(runs), **common)
    assert (lost.difference, lost.low, lost.per_seed) == (None, None, ())
