"""What a comparison may spend: the ladder, the plans on its rungs, and which rung fits the time."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.datasets.splits import SMALLEST_SUBSET, split
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.networks import build, save_model
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import freeze
from ecgtransfer.study.plans import effort as efforts
from ecgtransfer.study.plans.effort import EFFORTS, NETWORK, PATIENCE, Effort, ask, choose, describe
from ecgtransfer.study.plans.plan import (
    FIRST_TUNING_SEED,
    MOST_PRIMARY,
    StudyPlan,
    UpstreamPlan,
    primary_family,
)
from tests.small import write_store

SMALL = (
    Effort(40, 80, 3, 2, 2, (1e-3, 1e-2), (0.1, 0.3, 0.5, 1.0), True),
    Effort(20, 40, 2, 1, 2, (1e-3, 1e-2), (0.5, 1.0), False),
    Effort(10, 20, 2, 1, 1, (1e-3,), (1.0,), False),
)
LARGEST, MIDDLE, SMALLEST = SMALL
Question = dict[Effort, StudyPlan]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("effort")


@pytest.fixture(scope="module")
def down(base: Path) -> Store:
    return write_store(base / "down.ecgs", n_samples=100)


@pytest.fixture(scope="module")
def up(base: Path) -> Store:
    return write_store(base / "up.ecgs", seed=5, n_samples=100)


@pytest.fixture(scope="module")
def question(down: Store, up: Store) -> Question:
    return ask(down.path, [up.path], None, "waves", "waves", SMALL)


def write_model(folder: Path, network: str, name: str, task: str = "waves") -> Path:
    """Write an untrained model that says it was trained on a dataset of this name."""
    made = build(network, n_leads=2, n_outputs=3, n_samples=100, sampling_rate=100.0, head_seed=0)
    save_model(folder, made, {"data": [{"name": name, "fingerprint": f"of {name}", "task": task}]})
    return folder


class TestLadder:
    def test_no_rung_spends_more_on_anything_than_the_one_above(self) -> None:
        for above, below in pairwise(EFFORTS):
            spent = [
                (
                    each.updates, each.pretraining_updates, each.seeds, each.tuning_seeds,
                    each.pretraining_seeds, len(each.rates), len(each.shares), each.convergence,
                )
                for each in (above, below)
            ]  # fmt: skip
            assert all(more >= less for more, less in zip(*spent, strict=True))
            assert spent[0] != spent[1]

    def test_every_rung_compares_with_all_labels_at_several_rates_and_seeds(self) -> None:
        for each in EFFORTS:
            assert each.shares[-1] == 1.0
            assert list(each.shares) == sorted(set(each.shares))
            assert len(each.rates) > 1
            assert each.seeds >= 5
            assert each.tuning_seeds >= 1

    def test_only_the_smallest_does_without_a_spread_of_pretrainings(self) -> None:
        assert [each.pretraining_seeds for each in EFFORTS[:-1]] == [3] * (len(EFFORTS) - 1)
        assert EFFORTS[-1].pretraining_seeds == 1


class TestAsk:
    def test_each_effort_has_its_plan_the_largest_first(self, question: Question) -> None:
        assert tuple(question) == SMALL
        for effort, plan in question.items():
            [upstream] = plan.upstreams
            assert plan.networks == (NETWORK,)
            assert (plan.seeds, plan.tuning_seeds, plan.rates) == (
                effort.seeds, effort.tuning_seeds, effort.rates
            )  # fmt: skip
            assert (plan.budget.updates, upstream.budget.updates) == (
                effort.updates, effort.pretraining_updates
            )  # fmt: skip
            assert (upstream.name, upstream.seeds, upstream.task) == (
                "up", effort.pretraining_seeds, "waves"
            )  # fmt: skip
            assert plan.convergence == ((None,) if effort.convergence else ())

    def test_sizes_are_shares_of_what_every_seed_has_and_the_smallest_are_left_out(
        self, question: Question, down: Store
    ) -> None:
        seeds = [0, 1, 2, *range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + 3)]
        task = down.task("waves")
        pool = min(len(split(down, task, study_seed=0, seed=seed).pool) for seed in seeds)
        # A tenth would be fewer than twice the smallest subset.
        assert round(0.1 * pool) < 2 * SMALLEST_SUBSET <= round(0.3 * pool)
        sizes = {effort: plan.downstreams[0].sizes for effort, plan in question.items()}
        assert sizes == {
            LARGEST: (round(0.3 * pool), round(0.5 * pool), None),
            MIDDLE: (round(0.5 * pool), None),
            SMALLEST: (None,),
        }

    def test_what_is_asked_can_be_run(self, question: Question) -> None:
        for effort, plan in question.items():
            planned = expand(plan, verify=False).planned
            pretrained = [run for run in planned if run.purpose == "pretraining"]
            assert len(pretrained) == effort.pretraining_seeds
            expected = {"pretraining", "evidence"}
            # Of a single rate nothing is to be chosen.
            expected |= {"tuning"} if len(effort.rates) > 1 else set()
            expected |= {"convergence"} if effort.convergence else set()
            assert {run.purpose for run in planned} == expected

    def test_all_labels_from_every_upstream_come_first_in_the_family(
        self, down: Store, up: Store, base: Path
    ) -> None:
        far = write_store(base / "far.ecgs", seed=6, n_samples=100)
        asked = ask(down.path, [up.path, far.path], None, "waves", "waves", SMALL)
        plan = asked[LARGEST]
        smallest = plan.downstreams[0].sizes[0]
        family = [(each.upstream, each.n) for each in primary_family(plan)]
        assert family == [("up", None), ("far", None), ("up", smallest), ("far", smallest)]
        assert {each.arm for each in primary_family(plan)} == {"full"}
        # With all labels alone each upstream is named once.
        assert [(each.upstream, each.n) for each in primary_family(asked[SMALLEST])] == family[:2]

    def test_of_many_upstreams_the_family_takes_what_it_can_hold(self, down: Store, base: Path) -> None:
        given = [write_model(base / f"many-{i}", NETWORK, f"data{i}") for i in range(6)]
        plan = ask(down.path, given, None, "waves", None, SMALL)[LARGEST]
        family = primary_family(plan)
        assert len(family) == MOST_PRIMARY
        assert [each.n for each in family[:6]] == [None] * 6

    def test_models_of_one_dataset_are_one_upstream_and_name_the_networks(
        self, down: Store, up: Store, base: Path
    ) -> None:
        first = write_model(base / "first", NETWORK, "big")
        again = write_model(base / "again", NETWORK, "big")
        lstm = write_model(base / "lstm", "lstm-pooled", "big")
        other = write_model(base / "other", NETWORK, "large")
        plan = ask(down.path, [first, lstm, up.path, other, again], None, "waves", "waves", SMALL)[MIDDLE]
        assert plan.networks == ("lstm-pooled", NETWORK)
        assert [(each.name, each.store, each.models) for each in plan.upstreams] == [
            ("up", up.path, ()), ("big", None, (first, lstm, again)), ("large", None, (other,)),
        ]  # fmt: skip
        chosen = ask(down.path, [first, lstm], "lstm-pooled", "waves", None, SMALL)[MIDDLE]
        assert chosen.networks == ("lstm-pooled",)

    def test_two_upstreams_of_one_name_are_told_apart(self, down: Store, up: Store, base: Path) -> None:
        (base / "elsewhere").mkdir()
        namesake = write_store(base / "elsewhere" / "up.ecgs", seed=8, n_samples=100)
        model = write_model(base / "named-up", NETWORK, "up")
        plan = ask(down.path, [up.path, namesake.path, model], None, "waves", "waves", SMALL)[SMALLEST]
        assert [each.name for each in plan.upstreams] == ["up", "up-2", "up-3"]
        assert [each.store for each in plan.upstreams] == [up.path, namesake.path, None]

    def test_where_a_store_has_several_tasks_one_is_to_be_named(self, down: Store, up: Store) -> None:
        with pytest.raises(ConfigError, match="the store has 2 tasks") as raised:
            ask(down.path, [up.path], None, None, "waves", SMALL)
        assert raised.value.remedy == "Choose one with --task: waves, few"
        with pytest.raises(ConfigError, match="there is no task 'wave'"):
            ask(down.path, [up.path], None, "wave", "waves", SMALL)


Seconds = dict[Effort, float]
Clock = Callable[[Seconds], list[int]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, question: Question) -> Clock:
    """Return what says how long each plan takes; the list counts how often this machine was measured."""

    def takes(seconds: Seconds) -> list[int]:
        measured: list[int] = []

        def measure(expanded: Any) -> str:
            measured.append(expanded.plan.budget.updates)
            return "rates"

        def wall(expanded: Any, rates: str, workers: int) -> float:
            assert rates == "rates"
            [effort] = [each for each, plan in question.items() if plan == expanded.plan]
            return seconds[effort] / workers

        monkeypatch.setattr(efforts, "measure_rates", measure)
        monkeypatch.setattr(efforts, "wall_seconds_of", wall)
        return measured

    return takes


class TestChoose:
    SECONDS = {LARGEST: 6000.0, MIDDLE: 1200.0, SMALLEST: 300.0}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("minutes", "workers", "expected"),
        [
            (100, 1, LARGEST),
            (99.9, 1, MIDDLE),
            (20, 1, MIDDLE),
            (19.9, 1, SMALLEST),
            (50, 2, LARGEST),
            (5, 1, SMALLEST),
            (5.1 / PATIENCE, 1, SMALLEST),  # over time, but the smallest there is
        ],
    )
    def test_the_largest_that_fits(
        self,
        question: Question,
        clock: Clock,
        tmp_path: Path,
        minutes: float,
        workers: int,
        expected: Effort,
    ) -> None:
        measured = clock(self.SECONDS)
        effort, seconds = choose(question, tmp_path / "study", minutes, workers)
        assert (effort, seconds) == (expected, self.SECONDS[expected] / workers)
        # Once, whatever the number of rungs that are tried.
        assert measured == [LARGEST.updates]

    def test_only_the_smallest_may_take_longer_than_was_asked_for(
        self, question: Question, clock: Clock, tmp_path: Path
    ) -> None:
        clock({LARGEST: 601.0, MIDDLE: 601.0, SMALLEST: 60.0})
        assert choose(question, tmp_path / "study", 10, 1)[0] == SMALLEST

    def test_where_nothing_fits_it_says_what_would(
        self, question: Question, clock: Clock, tmp_path: Path
    ) -> None:
        clock(self.SECONDS)
        too_short = 5 / PATIENCE - 0.01
        with pytest.raises(ConfigError, match="even the smallest comparison takes about 5 minutes") as raised:
            choose(question, tmp_path / "study", too_short, 1)
        assert f"{too_short:g} were given" in raised.value.what
        assert raised.value.remedy is not None
        [advised] = re.findall(r"--minutes (\d+)", raised.value.remedy)
        assert NETWORK in raised.value.remedy
        assert choose(question, tmp_path / "study", float(advised), 1)[0] == SMALLEST
        assert not (tmp_path / "study").exists()

    @pytest.mark.parametrize("begun", SMALL)
    def test_what_was_begun_goes_on_whatever_the_time(
        self, question: Question, clock: Clock, tmp_path: Path, begun: Effort
    ) -> None:
        measured = clock(self.SECONDS)
        freeze(expand(question[begun], verify=False), tmp_path / "study")
        assert choose(question, tmp_path / "study", 1e-3, 1) == (begun, None)
        assert choose(question, tmp_path / "study", 1e6, 1) == (begun, None)
        assert measured == []


class TestDescribe:
    def test_what_is_about_to_be_run(self, question: Question) -> None:
        few = question[MIDDLE].downstreams[0].sizes[0]
        assert describe(MIDDLE, question[MIDDLE], 1210.0, 30) == (
            f"comparison: {NETWORK}; sizes {few}, all; 2 seeds, 2 pre-trainings, 20 updates; about 20 min"
        )
        told = describe(SMALLEST, question[SMALLEST], 10.0, 30)
        assert "sizes all; 2 seeds, 1 pre-training, 10 updates; about 1 min" in told

    def test_when_it_takes_longer_than_was_asked_for(self, question: Question) -> None:
        assert "more than was asked for" in describe(SMALLEST, question[SMALLEST], 601.0, 10)
        assert "more than was asked for" not in describe(SMALLEST, question[SMALLEST], 600.0, 10)

    def test_what_was_begun_tells_no_time(self, question: Question) -> None:
        told = describe(MIDDLE, question[MIDDLE], None, 10)
        assert "20 updates; going on where it stopped, in whatever time it takes (for a comparison" in told
        assert "min" not in told

    def test_a_model_that_was_given_is_no_pre_training(self, question: Question) -> None:
        plan = question[MIDDLE]
        assert "2 pre-trainings, 20 updates" in describe(MIDDLE, plan, None, 10)
        given = (UpstreamPlan("a", models=(Path("m"),)),)
        told = describe(MIDDLE, dataclasses.replace(plan, upstreams=given, primary=()), None, 10)
        assert "; 2 seeds, 1 given model, 20 updates" in told
