"""What trainings cost, and when a pre-training has paid for itself."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import break_even, energy_wh, training_flops


def test_a_training_step_costs_three_forward_passes() -> None:
    assert training_flops(10.0, 100) == 3000
    assert training_flops(10.0, 100, forward_only_records=7) == 3070
    assert training_flops(10.0, 100, backward=0.0) == 1000


def test_a_training_of_a_linear_layer_has_the_counted_products() -> None:
    """y = Wx: forward W x, backward Wᵀ g for the input and g xᵀ for the weights; each n_in n_out products."""
    n_in, n_out, batch, products = 5, 3, 4, 0
    W, x = np.ones((n_out, n_in)), np.ones((n_in, batch))
    for left, right in ((W, x), (W.T, np.ones((n_out, batch))), (np.ones((n_out, batch)), x.T)):
        assert (left @ right).size
        products += left.shape[0] * left.shape[1] * right.shape[1]
    assert training_flops(2.0 * n_in * n_out, batch) == 2.0 * products


def test_energy_is_power_times_time() -> None:
    assert energy_wh(3600, 250) == 250
    assert energy_wh(0, 250) == 0


@pytest.mark.parametrize("call", [lambda: training_flops(-1, 1), lambda: energy_wh(1, -1)])
def test_negative_figures_are_refused(call) -> None:
    with pytest.raises(DataError, match="negative"):
        call()


def test_break_even_is_the_first_project_whose_savings_cover_the_cost() -> None:
    found = break_even([100, 110, 90, 100], [60, 60, 60, 60], pretraining=100, unit="seconds")
    assert (found.state, found.projects, found.saving) == ("after", 3, 40)
    interval = ttest_1samp([40, 50, 30, 40], 0).confidence_interval(0.95)
    assert (found.saving_low, found.saving_high) == pytest.approx(tuple(interval))
    assert (found.low, found.high) == (int(np.ceil(100 / interval.high)), int(np.ceil(100 / interval.low)))
    assert found.text == (
        "Pre-training pays for itself after 3 such projects (95 % interval 2 to 4), counted in seconds."
    )


@settings(deadline=None)
@given(
    st.integers(1, 10**6),
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=8),
    st.integers(1, 1000),
)
def test_projects_cover_the_cost_in_any_unit(pretraining: int, seeds: list, unit: int) -> None:
    scratch, arm = (list(column) for column in zip(*seeds, strict=True))
    found = break_even(scratch, arm, pretraining=pretraining, unit="updates")
    saving = Fraction(sum(scratch) - sum(arm), len(seeds))
    if saving <= 0:
        assert (found.state, found.projects) == ("never", None)
    else:
        assert found.projects * saving >= pretraining > (found.projects - 1) * saving
        assert found.low <= found.projects
        assert found.high is None or found.high >= found.projects
    other = break_even(
        [unit * c for c in scratch], [unit * c for c in arm], pretraining=unit * pretraining, unit="ms"
    )
    assert (other.state, other.projects) == (found.state, found.projects)
    swapped = break_even(arm, scratch, pretraining=pretraining, unit="updates")
    assert swapped.saving == pytest.approx(-found.saving)


def test_a_saving_that_may_be_none_leaves_never_open() -> None:
    found = break_even([100, 100, 100], [60, 120, 70], pretraining=100, unit="FLOPs")
    assert found.state == "after"
    assert found.saving_low < 0 < found.saving
    assert found.high is None
    assert "to never" in found.text


def test_no_saving_is_never_with_the_best_case_beside_it() -> None:
    found = break_even([60, 120, 70], [100, 100, 100], pretraining=100, unit="updates")
    assert (found.state, found.projects, found.high) == ("never", None, None)
    assert found.low == int(np.ceil(100 / found.saving_high))
    assert f"at best after {found.low:,} projects" in found.text
    same = break_even([50, 50], [50, 50], pretraining=100, unit="updates")
    assert (same.state, same.low) == ("never", None)
    assert same.text == "Pre-training never pays for itself: it saves nothing, counted in updates."


def test_downloaded_weights_cost_nothing() -> None:
    found = break_even([50], [90], pretraining=None, unit="seconds", downloaded=True)
    assert (found.state, found.projects, found.low, found.high, found.pretraining) == ("zero", 0, 0, 0, 0.0)


def test_one_seed_has_no_interval() -> None:
    found = break_even([50], [20], pretraining=100, unit="seconds")
    assert (found.projects, found.low, found.high) == (4, None, None)
    assert "one seed gives no interval" in found.text


def test_runs_that_never_got_there_bound_the_answer_or_take_it_away() -> None:
    late = break_even(
        [100, 100], [50, 50], pretraining=100, unit="updates", per_project="to the same validation loss",
        scratch_reached=[True, False],
    )  # fmt: skip
    assert late.projects == 2
    assert "after 2 such projects, perhaps fewer (95 % interval 1 to " in late.text
    assert (late.low, late.saving_high) == (1, None)
    assert "1 of 2 runs from scratch never got there" in late.text
    assert late.text.endswith("counted in updates to the same validation loss.")
    lost = break_even([100, 100], [50, 50], pretraining=100, unit="updates", arm_reached=[False, True])
    assert (lost.state, lost.projects) == ("unclear", None)
    equal = break_even([100, 100], [100, 100], pretraining=1, unit="updates", scratch_reached=[False, False])
    assert equal.state == "unclear"
    assert break_even([2, 2], [1, 1], pretraining=None, unit="updates").state == "unclear"


def test_costs_that_are_known_up_to_a_grid_move_the_ends_of_the_interval() -> None:
    scratch, arm = [100, 200, 100, 200], [50, 50, 50, 50]
    least, fewest = [50, 100, 50, 100], [0, 0, 0, 0]
    exact = break_even(scratch, arm, pretraining=1000, unit="updates")
    found = break_even(
        scratch, arm, pretraining=1000, unit="updates", scratch_least=least, arm_least=fewest
    )  # fmt: skip
    assert (found.state, found.projects, found.saving) == (exact.state, exact.projects, exact.saving)
    smallest = ttest_1samp([0, 50, 0, 50], 0).confidence_interval(0.95)
    largest = ttest_1samp([100, 200, 100, 200], 0).confidence_interval(0.95)
    assert (found.saving_low, found.saving_high) == pytest.approx((smallest.low, largest.high))
    assert found.low == int(np.ceil(1000 / largest.high))
    assert found.high is None
    assert "to never" in found.text
    coarse = break_even(
        [50, 50], [50, 50], pretraining=9, unit="updates", scratch_least=[0, 0], arm_least=[0, 0]
    )  # fmt: skip
    assert (coarse.state, coarse.projects) == ("unclear", None)
    assert "too coarse to tell the arms apart" in coarse.text
    slower = break_even(
        [50, 50], [100, 101], pretraining=9, unit="updates", scratch_least=[0, 0], arm_least=[50, 50]
    )  # fmt: skip
    assert slower.state == "never"


def test_the_interval_covers_what_lies_between_the_budgets() -> None:
    """1,000 studies of ten seeds: lognormal costs seen through a grid, mean saving by the closed form."""
    rng, hits, grid = np.random.default_rng(1), 0, np.array([0.0, 25, 50, 100, 200, 400, 800])
    mean = {"scratch": 120.0, "arm": 20.0}
    for _ in range(1000):
        edges = {}
        for name, centre in mean.items():
            costs = centre * np.exp(0.4 * rng.normal(size=10) - 0.08)
            at = np.searchsorted(grid, costs)
            edges[name] = grid[at], grid[at - 1]
        found = break_even(
            *(edges[name][0] for name in ("scratch", "arm")), pretraining=1000, unit="updates",
            scratch_least=edges["scratch"][1], arm_least=edges["arm"][1],
        )  # fmt: skip
        hits += found.saving_low <= 100 <= found.saving_high
    assert hits >= 940


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(DataError, match="above the cost"):
        break_even([1.0], [1.0], pretraining=1, unit="s", arm_least=[2.0])
    with pytest.raises(DataError, match="not one per seed"):
        break_even([1.0], [1.0], pretraining=1, unit="s", scratch_least=[1.0, 1.0])
    with pytest.raises(DataError, match="one per seed"):
        break_even([1, 2], [1], pretraining=1, unit="s")
    with pytest.raises(DataError, match="one per seed"):
        break_even([], [], pretraining=1, unit="s")
    with pytest.raises(DataError, match="negative"):
        break_even([1.0], [-1.0], pretraining=1, unit="s")
    with pytest.raises(DataError, match="level"):
        break_even([1.0], [1.0], pretraining=1, unit="s", level=1.0)


def test_the_interval_covers_over_studies() -> None:
    """2,000 studies of five seeds; the true saving is 40, so 25 projects pay for 1,000."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(2000):
        scratch, arm = rng.normal(100, 20, size=5), rng.normal(60, 20, size=5)
        found = break_even(np.abs(scratch), np.abs(arm), pretraining=1000, unit="s")
        low, high = found.low or 0, found.high or np.inf
        hits += low <= 25 <= high
    assert 0.93 <= hits / 2000 <= 0.98


def test_rows_are_plain_values() -> None:
    import json

    row = asdict(break_even([3, 4], [1, 2], pretraining=5, unit="updates"))
    assert json.loads(json.dumps(row))["projects"] == 3
