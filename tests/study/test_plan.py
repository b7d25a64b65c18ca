"""From a question to the list of runs: identities, the macro's targets, and who gets which candidates."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.datasets.splits import split
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, ModelError
from ecgtransfer.study.baselines import BASELINES
from ecgtransfer.study.plan import Comparison, check_sizes, comparison_specs, macro_set, primary_family
from ecgtransfer.study.spec import Budget, RunSpec
from ecgtransfer.training import Augmentation
from tests.small import BUDGET, NETWORK, make_spec, write_store

UPSTREAMS = {NETWORK: "model:abc", "lstm-pooled": "model:def"}
COMPARISON = Comparison(
    networks=(NETWORK, "lstm-pooled"),
    arms=("scratch", "full", "linear-probe", "frozen-random"),
    task="waves",
    sizes=(20, None),
    seeds=3,
    rates=(1e-3, 3e-3, 1e-2),
    budget=BUDGET,
)


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
    "apart_from": ("0" * 16,),
    "excluded": ("r001",),
    "version": 99,
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
        value = getattr(BUDGET, name)
        other = Augmentation(polarity_flip=True) if name == "augment" else value * 2
        changed = dataclasses.replace(spec, budget=dataclasses.replace(BUDGET, **{name: other}))
        assert changed.id != spec.id

    def test_it_does_not_depend_on_where_the_store_lies(
        self, store: Store, spec: RunSpec, tmp_path: Path
    ) -> None:
        shutil.copytree(store.path, tmp_path / "elsewhere" / "other-name.ecgs")
        moved = make_spec(Store.open(tmp_path / "elsewhere" / "other-name.ecgs"))
        assert moved == spec
        assert moved.id == spec.id
        assert str(store.path) not in json.dumps(spec.as_dict())

    def test_round_trip_through_json(self, spec: RunSpec) -> None:
        for one in (spec, dataclasses.replace(spec, n=None, rates=(), upstream="model:abc")):
            back = RunSpec.from_dict(json.loads(json.dumps(one.as_dict())))
            assert back == one
            assert back.id == one.id
            assert hash(back) == hash(one)

    def test_another_dataset_is_another_run(self, spec: RunSpec, tmp_path: Path) -> None:
        assert make_spec(write_store(tmp_path / "other.ecgs", seed=1)).id != spec.id

    def test_an_arm_that_trains_a_head_has_no_rate(self, store: Store) -> None:
        assert make_spec(store, arm="frozen-random").rates == ()
        assert make_spec(store, arm="linear-probe", upstream="model:abc").rates == ()
        assert make_spec(store, arm="full", upstream="model:abc").rates == (3e-3,)

    @pytest.mark.parametrize("name", ["updates", "batch_size", "validations"])
    def test_a_budget_of_nothing_is_refused(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"{name} must be at least [12], not 0"):
            dataclasses.replace(BUDGET, **{name: 0})


class TestMacroSet:
    def test_targets_with_too_few_are_left_out_with_the_reason(self, store: Store) -> None:
        found = macro_set(store, "waves", study_seed=0, seeds=range(5))
        assert found.targets == ("slow", "fast")
        assert found.left_out == (("rare", "4 positives and 95 negatives, 10 needed"),)

    def test_every_test_part_needs_some(self, tmp_path: Path) -> None:
        # Enough records in all, but nearly all of one patient, who is tested in one fold alone.
        crowded = write_store(tmp_path / "crowded.ecgs", crowd=True)
        found = macro_set(crowded, "waves", study_seed=0, seeds=range(5))
        [(name, why)] = found.left_out
        assert name == "rare"
        assert why.startswith(("a test part holds 0 positives and ", "a test part holds 1 positives and "))
        assert why.endswith(" negatives, 2 needed")

    def test_it_does_not_hang_on_which_folds_are_used(self, tmp_path: Path) -> None:
        crowded = write_store(tmp_path / "crowded.ecgs", crowd=True)
        sets = [macro_set(crowded, "waves", study_seed=0, seeds=[seed]) for seed in range(5)]
        assert sets == [macro_set(crowded, "waves", study_seed=0, seeds=range(5))] * 5

    def test_none_left_is_refused_with_what_to_do(self, store: Store) -> None:
        with pytest.raises(ConfigError) as refused:
            macro_set(store, "few", study_seed=0, seeds=[0])
        said = str(refused.value)
        assert str(store.path) in said
        assert "rare: 4 positives and 95 negatives, 10 needed" in said
        assert "Add labelled records, or choose another task" in said


class TestComparison:
    def test_scratch_is_always_there(self) -> None:
        asked = dataclasses.replace(COMPARISON, arms=("full", "linear-probe"))
        assert asked.arms == ("scratch", "full", "linear-probe")

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"arms": ("scratch", "ful")}, ConfigError, "unknown arm 'ful'. Did you mean full"),
            ({"networks": ("resnet1d81",)}, ModelError, "no network 'resnet1d81'. Did you mean resnet1d18"),
            ({"sizes": (20, 20)}, ConfigError, "sizes names something twice: 20, 20"),
            ({"rates": (1e-3, 1e-3)}, ConfigError, "rates names something twice"),
            ({"seeds": 0}, ConfigError, "at least one"),
            ({"sizes": ()}, ConfigError, "at least one"),
            ({"rates": ()}, ConfigError, "at least one"),
            ({"arms": ("pretrain",)}, ConfigError, "'pretrain' is no arm of a comparison"),
            ({"rates": (1e-3, 0.0)}, ConfigError, "0 is not a learning rate"),
            ({"rates": (float("nan"),)}, ConfigError, "nan is not a learning rate"),
        ],
    )
    def test_what_makes_no_comparison_is_refused(
        self, change: dict[str, Any], error: type[Exception], says: str
    ) -> None:
        with pytest.raises(error) as refused:
            dataclasses.replace(COMPARISON, **change)
        assert says in str(refused.value)

    def test_sizes_beyond_some_pool_are_refused(self, store: Store) -> None:
        pools = [
            len(split(store, store.task("waves"), study_seed=0, seed=seed).pool)
            for seed in range(COMPARISON.seeds)
        ]
        check_sizes(dataclasses.replace(COMPARISON, sizes=(min(pools), None)), store)
        with pytest.raises(ConfigError) as refused:
            check_sizes(dataclasses.replace(COMPARISON, sizes=(20, min(pools) + 1)), store)
        said = str(refused.value)
        assert f"size {min(pools) + 1} is more than the {min(pools)} labelled records" in said
        assert "Give smaller sizes, or 'all'" in said


@pytest.fixture(scope="module")
def specs(store: Store) -> list[RunSpec]:
    macro = macro_set(store, "waves", study_seed=0, seeds=range(3))
    return comparison_specs(COMPARISON, store, macro, UPSTREAMS)


class TestPrimaryFamily:
    def family(self, **changes: Any) -> tuple[tuple[str, str, int | None], ...]:
        values: dict[str, Any] = {
            "networks": (NETWORK,), "arms": ("scratch", "full", "linear-probe"), "task": "waves",
            "sizes": (50, None, 100), "seeds": 2, "budget": BUDGET,
        }  # fmt: skip
        return primary_family(Comparison(**{**values, **changes}))

    def test_full_against_scratch_at_each_size(self) -> None:
        assert self.family() == tuple((NETWORK, "full", n) for n in (50, None, 100))
        assert self.family(arms=("scratch", "linear-probe"), sizes=(20,)) == ((NETWORK, "linear-probe", 20),)
        assert self.family(arms=("scratch",)) == ()

    def test_eight_at_most_and_the_ends_of_the_curve_first(self) -> None:
        networks = (NETWORK, "lstm", "gru")
        family = self.family(networks=networks, sizes=(10, 20, 30, None))
        assert len(family) == 8
        assert family[:6] == tuple((network, "full", n) for n in (10, None) for network in networks)

    @pytest.mark.parametrize("margin", [0.0, -0.1, 1.0])
    def test_a_margin_that_is_none_is_refused(self, margin: float) -> None:
        with pytest.raises(ConfigError, match="is no margin"):
            self.family(margin=margin)


class TestLists:
    def test_every_run_is_there_once(self, specs: list[RunSpec]) -> None:
        networks = [spec for spec in specs if spec.arm != "baseline"]
        cells = {(spec.network, spec.arm, spec.n, spec.seed) for spec in networks}
        assert len(cells) == len(networks) == 2 * 4 * 2 * 3
        assert len({spec.id for spec in specs}) == len(specs)
        assert {spec.macro_targets for spec in specs} == {("slow", "fast")}

    def test_arms_differ_in_nothing_but_what_makes_them_arms(self, specs: list[RunSpec]) -> None:
        own = ("arm", "upstream", "rates")
        for network in COMPARISON.networks:
            for n in COMPARISON.sizes:
                for seed in range(COMPARISON.seeds):
                    cell = [s for s in specs if (s.network, s.n, s.seed) == (network, n, seed)]
                    assert [s.arm for s in cell] == list(COMPARISON.arms)
                    rest = [{k: v for k, v in s.as_dict().items() if k not in own} for s in cell]
                    assert all(one == rest[0] for one in rest)
                    assert [s.upstream for s in cell] == [None, UPSTREAMS[network], UPSTREAMS[network], None]

    def test_every_arm_that_trains_everything_gets_the_same_candidates(self, specs: list[RunSpec]) -> None:
        tried = {arm: {spec.rates for spec in specs if spec.arm == arm} for arm in COMPARISON.arms}
        assert tried["scratch"] == tried["full"] == {COMPARISON.rates}
        assert tried["linear-probe"] == tried["frozen-random"] == {()}

    def test_baselines_stand_beside_them(self, specs: list[RunSpec]) -> None:
        plain = [spec for spec in specs if spec.arm == "baseline"]
        assert {spec.network for spec in plain} == set(BASELINES)
        assert len(plain) == len(BASELINES) * len(COMPARISON.sizes) * COMPARISON.seeds
        assert all(spec.upstream is None and spec.rates == () for spec in plain)
        assert {spec.seed for spec in plain} == set(range(COMPARISON.seeds))

    def test_more_seeds_keep_the_runs_of_fewer(self, store: Store, specs: list[RunSpec]) -> None:
        macro = macro_set(store, "waves", study_seed=0, seeds=range(3))
        more = comparison_specs(dataclasses.replace(COMPARISON, seeds=5), store, macro, UPSTREAMS)
        assert {spec.id for spec in specs} < {spec.id for spec in more}
