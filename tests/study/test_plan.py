"""A plan by itself: what is part of a run's identity, which plans cannot be meant, and who gets a verdict."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, ModelError
from ecgtransfer.study.plans.plan import (
    MOST_PRIMARY,
    Contrast,
    DownstreamPlan,
    StudyPlan,
    UpstreamPlan,
    contrasts,
    primary_family,
)
from ecgtransfer.study.spec import Budget, RunSpec
from ecgtransfer.training import Augmentation
from tests.small import BUDGET, NETWORK, make_plan, make_spec, make_upstream, write_store

# No plan looks at its paths before it is expanded.
DOWN, UP = Path("down.ecgs"), Path("up.ecgs")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("plan") / "here.ecgs")


@pytest.fixture(scope="module")
def spec(store: Store) -> RunSpec:
    return make_spec(store)


CHANGES: dict[str, Any] = {
    "network": "lstm-pooled",
    "arm": "full",
    "store": "0" * 16,
    "task": "few",
    "targets": (("slow", ("SLOW", "FAST")), ("fast", ("FAST",)), ("rare", ("RARE",))),
    "upstream": "run:0123456789abcdef",
    "n": None,
    "seed": 1,
    "study_seed": 1,
    "rates": (3e-3, 1e-2),
    "budget": dataclasses.replace(BUDGET, updates=5),
    "precision": None,  # the other one than the machine's
    "threads": 2,
    "macro_targets": ("slow",),
    "tuned_by": ("0" * 16,),
    "tuning": True,
    "final": True,
    "protocol": "paper",
    "apart_from": ("0" * 16,),
    "excluded": ("r001",),
    "version": 99,
}
OTHER_BUDGET: dict[str, Any] = {
    "updates": 5,
    "batch_size": 16,
    "validations": 4,
    "weight_decay": 0.02,
    "warmup_fraction": 0.2,
    "clip_norm": None,
    "schedule": "constant",
    "optimizer": "adam",
    "augment": Augmentation(polarity_flip=True),
}


class TestRunSpec:
    @pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(RunSpec)])
    def test_every_field_is_part_of_the_identity(self, spec: RunSpec, name: str) -> None:
        value = CHANGES[name]
        if name == "precision":
            value = "float32" if spec.precision == "bfloat16" else "bfloat16"
        assert value != getattr(spec, name)
        assert dataclasses.replace(spec, **{name: value}).id != spec.id

    @pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Budget)])
    def test_every_setting_of_the_budget_is_part_of_the_identity(self, spec: RunSpec, name: str) -> None:
        assert OTHER_BUDGET[name] != getattr(BUDGET, name)
        changed = dataclasses.replace(BUDGET, **{name: OTHER_BUDGET[name]})
        assert dataclasses.replace(spec, budget=changed).id != spec.id

    def test_it_does_not_depend_on_where_the_store_lies(
        self, store: Store, spec: RunSpec, tmp_path: Path
    ) -> None:
        shutil.copytree(store.path, tmp_path / "elsewhere" / "other-name.ecgs")
        moved = make_spec(Store.open(tmp_path / "elsewhere" / "other-name.ecgs"))
        assert moved == spec
        assert moved.id == spec.id
        assert str(store.path) not in json.dumps(spec.as_dict())

    def test_round_trip_through_json(self, spec: RunSpec) -> None:
        others = [
            dataclasses.replace(spec, n=None, rates=(), upstream="model:abc"),
            dataclasses.replace(spec, tuned_by=("a", "b"), protocol="paper"),
            dataclasses.replace(spec, tuning=True, budget=Budget(**OTHER_BUDGET)),
        ]
        for one in (spec, *others):
            back = RunSpec.from_dict(json.loads(json.dumps(one.as_dict())))
            assert back == one
            assert back.id == one.id
            assert hash(back) == hash(one)

    def test_another_dataset_is_another_run(self, spec: RunSpec, tmp_path: Path) -> None:
        assert make_spec(write_store(tmp_path / "other.ecgs", seed=1)).id != spec.id

    @pytest.mark.parametrize("name", ["updates", "batch_size", "validations"])
    def test_a_budget_of_nothing_is_refused(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"{name} must be at least [12], not 0"):
            dataclasses.replace(BUDGET, **{name: 0})


def downstream(name: str, *sizes: int | None, upstreams: tuple[str, ...] = ()) -> DownstreamPlan:
    return DownstreamPlan(name, DOWN, "waves", sizes or (20, None), upstreams)


class TestPlan:
    def test_scratch_is_always_there(self) -> None:
        assert make_plan(DOWN, UP, arms=("full", "linear-probe")).arms == ("scratch", "full", "linear-probe")
        assert make_plan(DOWN, UP, arms=("full", "scratch")).arms == ("full", "scratch")

    def test_the_defaults_make_a_plan(self) -> None:
        plan = StudyPlan("x", (NETWORK,), (UpstreamPlan("up", UP),), (downstream("down"),))
        assert "scratch" in plan.arms
        assert plan.seeds >= 5
        assert len(plan.rates) == 3
        assert plan.tuning_seeds > 0
        assert plan.upstreams[0].seeds >= 3
        assert plan.protocol == "sound"

    def test_each_downstream_says_where_it_starts_from(self) -> None:
        plan = make_plan(
            DOWN,
            None,
            upstreams=(make_upstream(UP, "a"), make_upstream(UP, "b")),
            downstreams=(downstream("all"), downstream("one", upstreams=("b",))),
        )
        starts = [[up.name for up in plan.starts(each)] for each in plan.downstreams]
        assert starts == [["a", "b"], ["b"]]
        assert plan.headline == (NETWORK, "a", "all")

    def test_the_headline_is_of_what_the_first_downstream_starts_from(self) -> None:
        ups = (make_upstream(UP, "a"), make_upstream(UP, "b"))
        plan = make_plan(
            DOWN,
            None,
            upstreams=ups,
            downstreams=(downstream("one", upstreams=("b",)), downstream("all")),
            networks=("lstm-pooled", NETWORK),
        )
        assert plan.headline == ("lstm-pooled", "b", "one")
        assert make_plan(DOWN, None, arms=("scratch", "frozen-random")).headline is None

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"arms": ("scratch", "ful")}, ConfigError, "unknown arm 'ful'. Did you mean full"),
            ({"arms": ("pretrain",)}, ConfigError, "'pretrain' is no arm of a comparison"),
            ({"arms": ("full", "full")}, ConfigError, "arms names something twice: scratch, full, full"),
            ({"networks": ("resnet1d81",)}, ModelError, "no network 'resnet1d81'. Did you mean resnet1d18"),
            ({"networks": (NETWORK, NETWORK)}, ConfigError, "networks names something twice"),
            ({"networks": ()}, ConfigError, "at least one network"),
            ({"baselines": ("rr", "rrr")}, ConfigError, "unknown baseline 'rrr'. Known: age-sex, rr"),
            ({"baselines": ("rr", "rr")}, ConfigError, "baselines names something twice: rr, rr"),
            ({"rates": (1e-3, 1e-3)}, ConfigError, "rates names something twice"),
            ({"rates": (1e-3, 0.0)}, ConfigError, "0 is not a learning rate. Give a number above 0"),
            ({"rates": (float("nan"),)}, ConfigError, "nan is not a learning rate"),
            ({"rates": ()}, ConfigError, "one rate"),
            ({"seeds": 0}, ConfigError, "one seed"),
            ({"seeds": 10_001}, ConfigError, "10001 seeds and 0 tuning seeds cannot be had"),
            ({"tuning_seeds": -1}, ConfigError, "-1 tuning seeds cannot be had"),
            ({"tuning_seeds": 101}, ConfigError, "101 tuning seeds cannot be had. At most 10,000 seeds"),
            ({"margin": 0.0}, ConfigError, "0 is no margin. Give an AUROC difference"),
            ({"margin": -0.1}, ConfigError, "-0.1 is no margin"),
            ({"margin": 1.0}, ConfigError, "1 is no margin"),
            ({"downstreams": ()}, ConfigError, "at least one network, one downstream store"),
            ({"downstreams": (downstream("down", 20, 20),)}, ConfigError, "sizes of down names something"),
            (
                {"downstreams": (DownstreamPlan("down", DOWN, "waves", ()),)},
                ConfigError,
                "downstream 'down' has no sizes. Give sizes = [\"all\"]",
            ),
            (
                {"downstreams": (downstream("down"), downstream("down"))},
                ConfigError,
                "downstreams names something twice: down, down",
            ),
            (
                {"downstreams": (downstream("down", upstreams=("pu",)),)},
                ConfigError,
                "downstream 'down' names the upstream 'pu'. Known: up",
            ),
            (
                {"upstreams": (make_upstream(UP), make_upstream(UP))},
                ConfigError,
                "upstreams names something twice: up, up",
            ),
            ({"convergence": (20,)}, ConfigError, "convergence needs tuning seeds"),
            (
                {"convergence": (50,), "tuning_seeds": 1},
                ConfigError,
                "convergence at size 50, which no downstream has",
            ),
            (
                {"convergence": (20, 20), "tuning_seeds": 1},
                ConfigError,
                "convergence names something twice",
            ),
        ],
    )
    def test_what_makes_no_study_is_refused(
        self, change: dict[str, Any], error: type[Exception], says: str
    ) -> None:
        with pytest.raises(error) as refused:
            make_plan(DOWN, UP, **change)
        assert says in str(refused.value)

    @pytest.mark.parametrize("given", [{}, {"store": UP, "models": (Path("model"),)}])
    def test_an_upstream_is_a_store_or_models(self, given: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="upstream 'up' needs a store or models, and not both"):
            UpstreamPlan("up", **given)

    @pytest.mark.parametrize("rate", [0.0, -1e-3, float("nan"), float("inf")])
    def test_a_pretraining_rate_that_is_none(self, rate: float) -> None:
        with pytest.raises(ConfigError, match="is not a learning rate"):
            make_upstream(UP, learning_rate=rate)

    def test_an_upstream_needs_a_seed(self) -> None:
        with pytest.raises(ConfigError, match="upstream 'up' has 0 pre-training seeds"):
            make_upstream(UP, seeds=0)


class TestContrasts:
    def test_every_arm_against_scratch_and_each_origin_for_the_pretrained(self) -> None:
        plan = make_plan(
            DOWN,
            None,
            arms=("scratch", "full", "frozen-random"),
            upstreams=(make_upstream(UP, "a"), make_upstream(UP, "b")),
            downstreams=(downstream("all"), downstream("one", None, upstreams=("b",))),
        )
        assert set(contrasts(plan)) == {
            *(Contrast("all", NETWORK, up, "full", n) for up in ("a", "b") for n in (20, None)),
            *(Contrast("all", NETWORK, None, "frozen-random", n) for n in (20, None)),
            Contrast("one", NETWORK, "b", "full", None),
            Contrast("one", NETWORK, None, "frozen-random", None),
        }

    def test_in_words(self) -> None:
        assert str(Contrast("d", "lstm", "u", "full", None)) == "lstm, full from u on d with all labels"
        assert str(Contrast("d", "gru", None, "frozen-random", 9)) == "gru, frozen-random on d with 9 labels"


class TestPrimaryFamily:
    def family(self, *sizes: int | None, **changes: Any) -> tuple[Contrast, ...]:
        values: dict[str, Any] = {"downstreams": (downstream("down", *(sizes or (50, None, 100))),)}
        return primary_family(make_plan(DOWN, UP, **{**values, **changes}))

    def test_full_against_scratch_smallest_size_first_then_the_largest(self) -> None:
        expected = [Contrast("down", NETWORK, "up", "full", n) for n in (50, None, 100)]
        assert list(self.family()) == expected
        assert list(self.family(100, 50, None)) == expected
        assert self.family(20) == (Contrast("down", NETWORK, "up", "full", 20),)

    def test_without_full_the_first_arm_and_none_for_scratch_alone(self) -> None:
        family = self.family(20, arms=("scratch", "linear-probe", "frozen-random"))
        assert family == (Contrast("down", NETWORK, "up", "linear-probe", 20),)
        family = self.family(20, arms=("scratch", "frozen-random"), upstreams=())
        assert family == (Contrast("down", NETWORK, None, "frozen-random", 20),)
        assert self.family(20, arms=("scratch",)) == ()

    def test_eight_at_most_and_the_ends_of_the_curve_first(self) -> None:
        networks = (NETWORK, "lstm", "gru")
        family = self.family(10, 20, 30, None, networks=networks)
        assert len(family) == MOST_PRIMARY == 8
        assert list(family[:6]) == [
            Contrast("down", network, "up", "full", n) for n in (10, None) for network in networks
        ]
        assert {contrast.n for contrast in family[6:]} == {20}

    def test_each_downstream_has_ends_of_its_own(self) -> None:
        family = self.family(
            downstreams=(downstream("a", 20, 40, 80), downstream("b", 100, None)), networks=(NETWORK,)
        )
        assert [(c.downstream, c.n) for c in family] == [
            ("a", 20), ("b", 100), ("a", 80), ("b", None), ("a", 40),
        ]  # fmt: skip

    def test_what_the_plan_names_goes_before_the_rule(self) -> None:
        named = (
            Contrast("down", NETWORK, "up", "linear-probe", None),
            Contrast("down", NETWORK, "up", "full", 50),
        )
        assert self.family(primary=named) == named

    @pytest.mark.parametrize(
        "change", [{"downstream": "x"}, {"network": "gru"}, {"upstream": None}, {"arm": "scratch"}, {"n": 7}]
    )
    def test_what_the_study_does_not_run_cannot_be_named(self, change: dict[str, Any]) -> None:
        real = Contrast("down", NETWORK, "up", "full", 50)
        with pytest.raises(ConfigError) as refused:
            self.family(primary=(real, dataclasses.replace(real, **change)))
        said = str(refused.value)
        assert f"'{dataclasses.replace(real, **change)}' is not among what the study runs" in said
        assert "Name networks, arms, upstreams, downstreams and sizes of this plan" in said

    def test_more_than_eight_cannot_be_named_nor_one_twice(self) -> None:
        sizes = tuple(range(10, 100, 10))
        named = tuple(Contrast("down", NETWORK, "up", "full", n) for n in sizes)
        with pytest.raises(ConfigError, match=r"9 primary contrasts\. Name at most 8"):
            self.family(*sizes, primary=named)
        assert self.family(*sizes, primary=named[:8]) == named[:8]
        with pytest.raises(ConfigError, match=r"primary names something twice: .* with 10 labels"):
            self.family(*sizes, primary=(named[0], named[0]))
