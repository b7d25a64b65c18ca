"""Time to a validation target over separate budgets: censoring, medians, ratios."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from itertools import product
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import BudgetRun, convergence, kaplan_meier
from ecgtransfer.evidence.convergence import median_time
from ecgtransfer.evidence.intervals import arm_auroc
from ecgtransfer.evidence.runs import SingleRun

sys.path.insert(0, str(Path(__file__).parent))
from simulated import paired_runs

BUDGETS = (125, 250, 500, 1000)


def runs(times: list[int | None], *, target: float = 0.3) -> list[BudgetRun]:
    """Return runs whose loss is below the target from a budget on, one list entry per seed."""
    return [
        BudgetRun(
            seed, b, target - 0.01 if time is not None and b >= time else target + 0.1, auroc=0.7 + b / 1e4
        )
        for seed, time in enumerate(times)
        for b in BUDGETS
    ]


def test_the_time_is_the_smallest_budget_whose_own_run_reaches_the_target() -> None:
    slow = [500, 500, 1000, 1000, 1000, 1000, None, 500, 1000, 1000]
    fast = [125, 125, 125, 250, 125, 125, 250, 500, 125, 125]
    found = convergence({"full": runs(fast), "scratch": runs(slow)}, target=0.3, seed=0)
    assert found.budgets == BUDGETS
    full, scratch = found.arms["full"], found.arms["scratch"]
    assert full.times == tuple(fast)
    assert scratch.times == tuple(slow)
    assert (full.median_updates, full.censored, full.runs) == (125, 0, 10)
    assert full.reached == pytest.approx((0.7, 0.9, 1.0, 1.0))
    assert (scratch.median_updates, scratch.censored) == (1000, 1)
    assert (full.median_after, scratch.median_after) == (0, 500)
    # Ten seeds: the second time from either end, exactly 97.9 %; each lies above the budget before it.
    assert (full.low, full.high) == (0, 250)
    assert (scratch.low, scratch.high) == (250, 1000)
    # More than 500 over at most 125, and nothing bounds it from above.
    assert (full.ratio.value, full.ratio.bound, full.ratio.high) == (4, "at least", None)
    assert 0 < full.ratio.low <= 4
    assert scratch.ratio is None
    assert scratch.text == (
        "scratch: the median run reaches a validation loss of 0.3 in more than 500 and at most 1,000 updates "
        "(95 % interval 250 to 1,000); 1 of 10 seeds never do."
    )
    assert full.text == (
        "full: the median run reaches a validation loss of 0.3 in 125 updates or fewer "
        "(95 % interval 0 to 250)."
    )
    assert found.arms["full"].auroc == pytest.approx(tuple(0.7 + b / 1e4 for b in BUDGETS))
    assert found.arms["full"].auroc_low == (None,) * 4


def test_a_run_that_reaches_it_early_and_loses_it_again_has_reached_it() -> None:
    losses = dict(zip(BUDGETS, (0.5, 0.29, 0.35, 0.3), strict=True))
    mine = [BudgetRun(0, b, loss, auroc=0.8) for b, loss in losses.items()]
    found = convergence({"scratch": mine}, target=0.3, seed=0).arms["scratch"]
    assert found.times == (250,)
    assert found.reached == (0.0, 1.0, 0.0, 1.0)


def test_diverged_runs_do_not_reach_it_and_have_no_mean_loss() -> None:
    mine = [replace(run, validation_loss=None) if run.updates == 125 else run for run in runs([125, 125])]
    found = convergence({"scratch": mine}, target=0.3, seed=0).arms["scratch"]
    assert found.times == (250, 250)
    assert found.validation_loss[0] is None
    assert found.validation_loss[1] == pytest.approx(0.29)


def test_arms_that_never_get_there_say_never() -> None:
    both = convergence({"full": runs([None] * 6), "scratch": runs([None] * 6)}, target=0.3, seed=0)
    full = both.arms["full"]
    assert (full.median_updates, full.low, full.high, full.censored) == (None, 1000, None, 6)
    assert full.text == "full: none of 6 seeds reaches a validation loss of 0.3 within 1,000 updates."
    assert full.ratio.value is None
    assert "neither full nor scratch" in full.ratio.text
    most = convergence({"scratch": runs([125, *[None] * 7])}, target=0.3, seed=0).arms["scratch"]
    assert (most.median_after, most.low, most.high) == (1000, 0, None)
    assert most.text == (
        "scratch: the median run does not reach a validation loss of 0.3 within 1,000 updates "
        "(95 % interval 0 to more than 1,000); 7 of 8 seeds never do."
    )
    later = convergence({"scratch": runs([125, *[None] * 9])}, target=0.3, seed=0).arms["scratch"]
    assert (later.low, later.high) == (1000, None)
    assert "(at either end of the 95 % interval)" in later.text
    one = convergence({"full": runs([250] * 6), "scratch": runs([None] * 6)}, target=0.3, seed=0)
    ratio = one.arms["full"].ratio
    assert (ratio.value, ratio.bound, ratio.low, ratio.high) == (4, "at least", 4, None)
    assert ratio.text == ("Scratch needs at least 4 times as many updates as full (95 % interval 4 to open).")
    other = convergence({"full": runs([None] * 6), "scratch": runs([250] * 6)}, target=0.3, seed=0)
    ratio = other.arms["full"].ratio
    assert (ratio.value, ratio.bound, ratio.low, ratio.high) == (0.25, "at most", None, 0.25)
    between = convergence({"full": runs([250] * 6), "scratch": runs([1000] * 6)}, target=0.3, seed=0)
    ratio = between.arms["full"].ratio
    # In (125, 250] and in (500, 1000].
    assert (ratio.value, ratio.bound, ratio.low, ratio.high) == (4, "", 2, 8)


def test_what_the_smallest_budget_reaches_may_have_been_reached_at_any_time_before() -> None:
    both = convergence({"full": runs([125] * 6), "scratch": runs([125] * 6)}, target=0.3, seed=0)
    ratio = both.arms["full"].ratio
    assert (ratio.value, ratio.low, ratio.high) == (None, None, None)
    assert ratio.text == (
        "In the median run both full and scratch reach the target within 125 updates, so which needs fewer "
        "is not known."
    )
    slower = convergence({"full": runs([500] * 6), "scratch": runs([125] * 6)}, target=0.3, seed=0)
    ratio = slower.arms["full"].ratio
    assert (ratio.value, ratio.bound, ratio.low, ratio.high) == (0.5, "at most", None, 0.5)


def test_few_seeds_give_no_interval_and_say_so() -> None:
    found = convergence({"full": runs([125] * 5), "scratch": runs([500] * 5)}, target=0.3, seed=0)
    full = found.arms["full"]
    assert (full.median_updates, full.low, full.high) == (125, None, None)
    assert "5 seeds are too few for a 95 % interval" in full.text
    assert (full.ratio.value, full.ratio.bound, full.ratio.low, full.ratio.high) == (
        2,
        "at least",
        None,
        None,
    )
    assert "too few for an interval" in full.ratio.text


def test_aurocs_have_the_interval_of_one_arm() -> None:
    pairs = paired_runs(np.random.default_rng(0), seeds=3)
    tests = [SingleRun(r.seed, None, r.patient, r.labels, r.scores_a) for r in pairs]
    mine = [BudgetRun(test.seed, b, 0.2, test=test) for test in tests for b in (10, 20)]
    found = convergence({"scratch": mine}, target=0.3, seed=4, resamples=300).arms["scratch"]
    alone = arm_auroc(tests, seed=4, resamples=300)
    assert found.auroc == pytest.approx((alone.difference,) * 2)
    assert found.auroc_low == pytest.approx((alone.low,) * 2)
    assert found.auroc_high == pytest.approx((alone.high,) * 2)


def test_refuses_what_is_not_a_full_grid() -> None:
    whole = runs([125, 250])
    with pytest.raises(DataError, match="seed 1 with 1000 updates"):
        convergence({"scratch": whole, "full": whole[:-1]}, target=0.3, seed=0)
    with pytest.raises(DataError, match="a run twice"):
        convergence({"scratch": [*whole, whole[0]]}, target=0.3, seed=0)
    with pytest.raises(DataError, match="no runs of scratch"):
        convergence({"full": whole}, target=0.3, seed=0)
    with pytest.raises(DataError, match="finite"):
        convergence({"scratch": whole}, target=float("nan"), seed=0)


def test_the_order_of_runs_does_not_matter_and_rows_are_plain() -> None:
    import json

    one = {"full": runs([125, 250, None, 500, 125, 125]), "scratch": runs([500] * 6)}
    other = {name: mine[::-1] for name, mine in one.items()}
    first, second = (convergence(arms, target=0.3, seed=1) for arms in (one, other))
    assert first == second
    assert json.loads(json.dumps(asdict(first)))["arms"]["full"]["runs"] == 6


def test_kaplan_meier_on_the_leukaemia_trial_of_freireich() -> None:
    """6-mercaptopurine against placebo, weeks in remission: the example of Kalbfleisch and Prentice."""
    weeks = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    seen = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    events, survival = kaplan_meier(weeks, seen)
    assert events.tolist() == [6, 7, 10, 13, 16, 22, 23]
    published = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    np.testing.assert_allclose(survival, published, atol=5e-4)
    placebo = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], float)
    assert median_time(placebo, 0.95)[0] == 8


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 8), st.booleans()), min_size=1, max_size=15))
def test_kaplan_meier_is_scipys(subjects: list[tuple[int, bool]]) -> None:
    times, seen = (np.array(column) for column in zip(*subjects, strict=True))
    events, survival = kaplan_meier(times, seen)
    assert events.tolist() == sorted(set(times[seen].tolist()))
    if len(events):
        expected = ecdf(CensoredData(uncensored=times[seen], right=times[~seen])).sf
        np.testing.assert_allclose(survival, expected.evaluate(events), atol=1e-12)


@pytest.mark.parametrize("seeds", [6, 9, 10, 20])
def test_the_interval_of_the_median_covers_exactly(seeds: int) -> None:
    """By enumeration: of S fair coins the median lies outside where too few fall on one side."""
    times = np.arange(1.0, seeds + 1)
    _, (low, high) = median_time(times, 0.95)
    rank = int(low)
    assert high == seeds + 1 - rank
    beyond = sum(comb(seeds, k) for k in range(rank)) / 2**seeds
    wider = sum(comb(seeds, k) for k in range(rank + 1)) / 2**seeds
    assert beyond <= 0.025 < wider


@pytest.mark.parametrize(
    ("fast", "slow"), [(250, 1000), (30, 400), (200, 250), (90, 3000), (600, 700), (700, 100)]
)
def test_the_ratio_covers_the_true_one_whatever_lies_between_the_budgets(fast: float, slow: float) -> None:
    """300 studies of ten seeds: lognormal times with these medians, seen through the grid of budgets."""
    rng, hits = np.random.default_rng(0), 0
    for study in range(300):
        times = {
            name: [
                next((b for b in BUDGETS if b >= time), None)
                for time in median * np.exp(0.5 * rng.normal(size=10))
            ]
            for name, median in (("full", fast), ("scratch", slow))
        }
        arms = {name: runs(own) for name, own in times.items()}
        ratio = convergence(arms, target=0.3, seed=study, resamples=200).arms["full"].ratio
        hits += (ratio.low or 0) <= slow / fast <= (ratio.high or np.inf)
    assert hits >= 280


def test_every_pattern_of_two_seeds_gives_a_sentence() -> None:
    for full, scratch in product(product((125, 500, None), repeat=2), repeat=2):
        found = convergence({"full": runs(list(full)), "scratch": runs(list(scratch))}, target=0.3, seed=0)
        assert all(arm.text.endswith(".") for arm in found.arms.values())
        assert found.arms["full"].ratio.text.endswith(".")
