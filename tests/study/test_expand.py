"""From a plan and its stores to the exact list of runs, and what is refused before anything is trained."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.datasets.splits import split
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import EcgTransferError
from ecgtransfer.study.expand import expand
from ecgtransfer.study.planned import Expanded, Planned
from ecgtransfer.study.plans.plan import DownstreamPlan, StudyPlan, UpstreamPlan, primary_family
from tests.small import BUDGET, NETWORK, make_plan, make_upstream, train_model, write_store

NETWORKS = (NETWORK, "lstm-pooled")
ARMS = ("scratch", "full", "linear-probe", "frozen-random")
TRAINED = ("scratch", "full")
SIZES, SEEDS, UPDATES = (20, None), 3, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("expand")


@pytest.fixture(scope="module")
def stores(folder: Path) -> dict[str, Store]:
    """Return two downstream and two upstream stores of four hospitals."""
    return {
        "down-a": write_store(folder / "down-a.ecgs"),
        "down-b": write_store(folder / "down-b.ecgs", seed=1),
        "up-a": write_store(folder / "up-a.ecgs", seed=5),
        "up-b": write_store(folder / "up-b.ecgs", seed=6),
    }


@pytest.fixture(scope="module")
def model(stores: dict[str, Store], folder: Path) -> Path:
    """Return a model folder that up-a was learnt in."""
    train_model(folder / "model", stores["up-a"])
    return folder / "model"


@pytest.fixture(scope="module")
def plan(stores: dict[str, Store]) -> StudyPlan:
    """Return a plan with two of everything."""
    return StudyPlan(
        name="broad",
        networks=NETWORKS,
        arms=ARMS,
        upstreams=(
            make_upstream(stores["up-a"].path, "up-a", seeds=3),
            make_upstream(stores["up-b"].path, "up-b", seeds=2),
        ),
        downstreams=tuple(
            DownstreamPlan(name, stores[name].path, "waves", SIZES) for name in ("down-a", "down-b")
        ),
        seeds=SEEDS,
        budget=dataclasses.replace(BUDGET, updates=UPDATES),
        rates=(1e-3, 1e-2),
        tuning_seeds=2,
        convergence=(None,),
    )


@pytest.fixture(scope="module")
def expanded(plan: StudyPlan) -> Expanded:
    return expand(plan)


def of(expanded: Expanded, purpose: str, **wanted: Any) -> list[Planned]:
    """Return the planned runs of a purpose, by attributes of theirs or of their specs."""
    return [
        run
        for run in expanded.planned
        if run.purpose == purpose
        and all(
            getattr(run if hasattr(run, name) else run.spec, name) == value for name, value in wanted.items()
        )
    ]


def arms_from(upstreams: tuple[str, ...]) -> list[tuple[str, str | None]]:
    """Return each arm with each upstream that it starts from: scratch once whatever the upstreams."""
    pretrained = [(arm, upstream) for arm in ("full", "linear-probe") for upstream in upstreams]
    return [("scratch", None), ("frozen-random", None), *pretrained]


class TestTheExactList:
    def test_how_many_of_each(self, expanded: Expanded) -> None:
        pretrained, cells = 3 + 1 + 1 + 1, 2 * 2 * 2  # cells: downstreams × networks × sizes
        assert Counter(run.purpose for run in expanded.planned) == {
            "pretraining": pretrained,
            "tuning": cells * (1 + 2) * 2,  # scratch and full from each upstream × tuning seeds
            # Six arms × seeds; the headline from two further pre-trainings at each size; two baselines.
            "evidence": cells * 6 * SEEDS + 2 * 2 * SEEDS + 2 * 2 * 2 * SEEDS,
            "convergence": 2 * 2 * 1 * (1 + 2) * 3 * SEEDS,  # at one size, three shorter budgets
        }

    def test_each_is_there_once_and_in_the_order_of_purposes(self, expanded: Expanded) -> None:
        assert len({run.spec.id for run in expanded.planned}) == len(expanded.planned)
        order = [purpose for purpose, _ in itertools.groupby(run.purpose for run in expanded.planned)]
        assert order == ["pretraining", "tuning", "evidence", "convergence"]

    def test_pretrainings_many_for_the_headline_pair_and_one_for_the_others(self, expanded: Expanded) -> None:
        made = [
            (run.upstream, run.spec.network, run.pretraining_seed, run.spec.seed)
            for run in of(expanded, "pretraining")
        ]
        assert made == [
            *(("up-a", NETWORK, seed, seed) for seed in range(3)),
            ("up-a", "lstm-pooled", 0, 0),
            ("up-b", NETWORK, 0, 0),
            ("up-b", "lstm-pooled", 0, 0),
        ]
        assert {run.downstream for run in of(expanded, "pretraining")} == {None}
        assert {run.spec.n for run in of(expanded, "pretraining")} == {None}

    def test_evidence_is_every_cell_and_seed_and_the_headline_crossed(self, expanded: Expanded) -> None:
        expected = {
            (down, network, up, arm, n, seed, None if up is None else 0)
            for down in ("down-a", "down-b")
            for network in NETWORKS
            for arm, up in arms_from(("up-a", "up-b"))
            for n in SIZES
            for seed in range(SEEDS)
        } | {
            ("down-a", NETWORK, "up-a", "full", n, seed, pretraining)
            for n in SIZES
            for seed in range(SEEDS)
            for pretraining in (1, 2)
        }
        found = {
            (
                run.downstream, run.spec.network, run.upstream, run.spec.arm, run.spec.n, run.spec.seed,
                run.pretraining_seed,
            )
            for run in of(expanded, "evidence")
            if run.spec.arm != "baseline"
        }  # fmt: skip
        assert found == expected
        plain = {
            (run.downstream, run.spec.network, run.spec.n, run.spec.seed)
            for run in of(expanded, "evidence", arm="baseline")
        }
        assert plain == set(itertools.product(("down-a", "down-b"), ("age-sex", "rr"), SIZES, range(SEEDS)))

    def test_the_others_are_tuned_and_shortened_from_the_first_pretraining(self, expanded: Expanded) -> None:
        for purpose in ("tuning", "convergence"):
            assert {run.pretraining_seed for run in of(expanded, purpose, arm="full")} == {0}
            assert {run.pretraining_seed for run in of(expanded, purpose, arm="scratch")} == {None}
        assert len(of(expanded, "convergence", arm="scratch", downstream="down-a")) == 2 * 3 * SEEDS

    def test_each_start_is_the_pretraining_that_it_is_said_to_be(self, expanded: Expanded) -> None:
        made = {
            (run.upstream, run.spec.network, run.pretraining_seed): f"run:{run.spec.id}"
            for run in of(expanded, "pretraining")
        }
        for run in expanded.planned:
            if run.spec.arm in ("full", "linear-probe"):
                assert run.spec.upstream == made[run.upstream, run.spec.network, run.pretraining_seed]
            else:
                assert run.spec.upstream is None

    def test_arms_differ_in_nothing_but_what_makes_them_arms(self, expanded: Expanded) -> None:
        own = ("arm", "upstream", "rates", "tuned_by")
        cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for run in of(expanded, "evidence"):
            if run.spec.arm != "baseline":
                key = (run.downstream, run.spec.network, run.spec.n, run.spec.seed)
                rest = {k: v for k, v in run.spec.as_dict().items() if k not in own}
                cells.setdefault(key, []).append(rest)
        assert len(cells) == 2 * 2 * 2 * SEEDS
        assert all(one == cell[0] for cell in cells.values() for one in cell)

    def test_a_run_names_the_content_of_its_store_and_the_macro_s_targets(
        self, expanded: Expanded, stores: dict[str, Store]
    ) -> None:
        for run in expanded.planned:
            name = run.downstream or run.upstream
            assert run.spec.store == stores[str(name)].fingerprint
            assert run.spec.macro_targets == ("slow", "fast")
        assert set(expanded.stores) == {store.fingerprint for store in stores.values()}


class TestRates:
    def test_tuning_runs_have_seeds_that_are_no_evidence(self, expanded: Expanded) -> None:
        assert {run.spec.seed for run in of(expanded, "tuning")} == {10_000, 10_001}
        assert all(run.spec.tuning and run.spec.tuned_by == () for run in of(expanded, "tuning"))
        others = [run for run in expanded.planned if run.purpose != "tuning"]
        assert not any(run.spec.tuning for run in others)
        assert max(run.spec.seed for run in others) == SEEDS - 1

    def test_every_arm_that_trains_everything_gets_the_same_candidates(self, expanded: Expanded) -> None:
        for run in expanded.planned:
            if run.purpose != "pretraining":
                assert run.spec.rates == ((1e-3, 1e-2) if run.spec.arm in TRAINED else ())
        assert {run.spec.rates for run in of(expanded, "pretraining")} == {(3e-3,)}

    def test_the_rate_of_a_cell_is_chosen_by_its_own_tuning_runs(self, expanded: Expanded) -> None:
        def cell(run: Planned) -> tuple[Any, ...]:
            return (run.downstream, run.spec.network, run.upstream, run.spec.arm, run.spec.n)

        chosen: dict[tuple[Any, ...], list[str]] = {}
        for run in of(expanded, "tuning"):
            chosen.setdefault(cell(run), []).append(run.spec.id)
        assert {len(ids) for ids in chosen.values()} == {2}
        for run in (*of(expanded, "evidence"), *of(expanded, "convergence")):
            assert run.spec.tuned_by == tuple(chosen.get(cell(run), ()))
            assert bool(run.spec.tuned_by) == (run.spec.arm in TRAINED)

    def changed(self, plan: StudyPlan, **changes: Any) -> Expanded:
        return expand(dataclasses.replace(plan, networks=(NETWORK,), **changes))

    def test_one_rate_needs_no_choice(self, plan: StudyPlan) -> None:
        found = self.changed(plan, rates=(1e-3,), convergence=())
        assert of(found, "tuning") == []
        assert {run.spec.tuned_by for run in found.planned} == {()}
        assert {run.spec.rates for run in of(found, "evidence", arm="full")} == {(1e-3,)}

    def test_but_the_target_of_convergence_is_named_by_tuning_runs_all_the_same(
        self, plan: StudyPlan
    ) -> None:
        found = self.changed(plan, rates=(1e-3,), convergence=(20,))
        assert {run.spec.seed for run in of(found, "tuning")} == {10_000, 10_001}
        assert {run.spec.n for run in of(found, "convergence")} == {20}

    def test_without_tuning_seeds_each_run_tries_them_all(self, plan: StudyPlan) -> None:
        found = self.changed(plan, tuning_seeds=0, convergence=())
        assert of(found, "tuning") == []
        assert {run.spec.rates for run in of(found, "evidence", arm="scratch")} == {(1e-3, 1e-2)}
        assert {run.spec.tuned_by for run in found.planned} == {()}


class TestConvergence:
    def test_an_eighth_a_quarter_and_a_half_each_with_a_schedule_of_its_own(self, expanded: Expanded) -> None:
        shorter = of(expanded, "convergence")
        assert Counter(run.spec.budget.updates for run in shorter) == dict.fromkeys(
            (2, 4, 8), 2 * 2 * 3 * SEEDS
        )
        assert {run.spec.n for run in shorter} == {None}
        assert {run.spec.arm for run in shorter} == set(TRAINED)
        whole = {run.spec.id: run for run in of(expanded, "evidence")}
        for run in shorter:
            full = dataclasses.replace(run.spec, budget=dataclasses.replace(run.spec.budget, updates=UPDATES))
            assert full.id in whole

    def test_a_budget_of_few_updates_has_fewer_that_are_shorter(self, plan: StudyPlan) -> None:
        few = dataclasses.replace(plan, budget=BUDGET, networks=(NETWORK,), upstreams=plan.upstreams[1:])
        found = of(expand(few), "convergence", downstream="down-a", arm="scratch", seed=0)
        assert [run.spec.budget.updates for run in found] == [
            1,
            2,
        ]  # of 4; an eighth is no other than a quarter
        none = dataclasses.replace(few, budget=dataclasses.replace(BUDGET, updates=1))
        assert of(expand(none), "convergence") == []


class TestUpstreams:
    def test_one_pretraining_serves_all_downstreams_apart_from_what_any_tests(
        self, stores: dict[str, Store], folder: Path
    ) -> None:
        """Each downstream but the last has patients of the upstream store's, the second one more of them."""
        up = stores["down-a"]
        served = (
            write_store(folder / "some.ecgs", n=50),
            write_store(folder / "more.ecgs", n=70),
            stores["down-b"],
        )
        plan = make_plan(
            served[0].path,
            up.path,
            downstreams=tuple(
                DownstreamPlan(f"d{number}", store.path, "waves", (None,))
                for number, store in enumerate(served)
            ),
            baselines=(),
        )
        found = expand(plan)
        [made] = of(found, "pretraining")
        patients = [set(store.records["patient_id"]) for store in served[:2]]
        assert patients[0] < patients[1]
        shared = up.records["patient_id"].isin(patients[1])
        assert made.spec.excluded == tuple(sorted(up.records["record_id"][shared]))
        assert made.spec.apart_from == tuple(sorted(store.fingerprint for store in served))
        [start] = found.starts
        assert start.downstreams == ("d0", "d1", "d2")
        assert start.left_out.startswith(f"{shared.sum()} recordings of down-a take no part in pre-training")

    def test_what_only_one_downstream_starts_from_is_apart_from_that_one_alone(
        self, plan: StudyPlan, stores: dict[str, Store]
    ) -> None:
        first, second = plan.downstreams
        found = expand(
            dataclasses.replace(
                plan,
                networks=(NETWORK,),
                convergence=(),
                downstreams=(
                    dataclasses.replace(first, upstreams=("up-a",)),
                    dataclasses.replace(second, upstreams=("up-b",)),
                ),
            )
        )
        apart = {run.upstream: run.spec.apart_from for run in of(found, "pretraining")}
        assert apart == {
            "up-a": (stores["down-a"].fingerprint,),
            "up-b": (stores["down-b"].fingerprint,),
        }
        pairs = {(run.downstream, run.upstream) for run in of(found, "evidence", arm="full")}
        assert pairs == {("down-a", "up-a"), ("down-b", "up-b")}
        assert {run.upstream for run in of(found, "evidence", arm="scratch")} == {None}

    def test_without_a_pretrained_arm_nothing_is_pretrained(self, plan: StudyPlan) -> None:
        found = expand(dataclasses.replace(plan, arms=("scratch", "frozen-random"), networks=(NETWORK,)))
        assert of(found, "pretraining") == []
        assert found.starts == ()

    def test_model_folders_stand_for_pretraining_seeds(
        self, stores: dict[str, Store], model: Path, tmp_path: Path
    ) -> None:
        models = (model, tmp_path / "second")
        train_model(models[1], stores["up-a"], seed=1)
        plan = make_plan(
            stores["down-a"].path, None, upstreams=(UpstreamPlan("mine", models=models),), baselines=()
        )
        found = expand(plan)
        assert of(found, "pretraining") == []
        [start] = found.starts
        assert (start.upstream, start.network, start.task) == ("mine", NETWORK, "waves")
        assert start.folders == models
        assert start.fingerprint == stores["up-a"].fingerprint
        assert len(set(start.names)) == 2
        assert all(name.startswith("model:") for name in start.names)
        runs = of(found, "evidence", arm="full", n=20)
        crossed = [(run.pretraining_seed, run.spec.seed, run.spec.upstream) for run in runs]
        assert crossed == [(number, seed, start.names[number]) for number in (0, 1) for seed in (0, 1)]
        assert {run.pretraining_seed for run in of(found, "evidence", arm="linear-probe")} == {0}
        assert 0 <= float(start.score or 0) <= 1
        assert (start.records or 0) > 50
        assert "up-a shares recordings with down-a was not checked" in start.left_out
        assert not start.overlap_sought


class TestIdentity:
    def test_it_does_not_depend_on_where_stores_and_models_lie(
        self, plan: StudyPlan, expanded: Expanded, stores: dict[str, Store], tmp_path: Path
    ) -> None:
        moved = {}
        for number, (name, store) in enumerate(stores.items()):
            moved[name] = tmp_path / f"{number}.ecgs"
            shutil.copytree(store.path, moved[name])
        elsewhere = dataclasses.replace(
            plan,
            upstreams=tuple(dataclasses.replace(up, store=moved[up.name]) for up in plan.upstreams),
            downstreams=tuple(dataclasses.replace(down, store=moved[down.name]) for down in plan.downstreams),
        )
        assert expand(elsewhere).planned == expanded.planned

    def test_more_seeds_keep_the_runs_of_fewer(self, plan: StudyPlan, expanded: Expanded) -> None:
        more = expand(dataclasses.replace(plan, seeds=5))
        assert {run.spec.id for run in expanded.planned} < {run.spec.id for run in more.planned}

    def test_another_network_leaves_the_first_one_s_runs(self, plan: StudyPlan, expanded: Expanded) -> None:
        alone = expand(dataclasses.replace(plan, networks=(NETWORK,)))
        assert {run.spec.id for run in alone.planned} < {run.spec.id for run in expanded.planned}

    def test_the_primary_family_comes_with_the_runs(self, plan: StudyPlan, expanded: Expanded) -> None:
        assert expanded.primary == primary_family(plan)
        assert len(expanded.primary) == 8
        for contrast in expanded.primary:
            cell = {"downstream": contrast.downstream, "network": contrast.network, "n": contrast.n}
            assert of(expanded, "evidence", arm=contrast.arm, upstream=contrast.upstream, **cell)
            assert of(expanded, "evidence", arm="scratch", **cell)


class TestRefused:
    @pytest.fixture
    def down(self, stores: dict[str, Store]) -> Store:
        return stores["down-a"]

    @pytest.fixture
    def up(self, stores: dict[str, Store]) -> Store:
        return stores["up-a"]

    def refused(self, plan: StudyPlan) -> str:
        with pytest.raises(EcgTransferError) as error:
            expand(plan)
        said = str(error.value)
        assert "\n" not in said
        return said

    def given(self, down: Store, *models: Path, **changes: Any) -> str:
        """Return what is said to these model folders."""
        upstream = UpstreamPlan("given", models=models)
        return self.refused(make_plan(down.path, None, upstreams=(upstream,), **changes))

    def sized(self, down: Store, up: Store, *sizes: int | None, **changes: Any) -> StudyPlan:
        asked = (DownstreamPlan("down", down.path, "waves", sizes),)
        return make_plan(down.path, up.path, downstreams=asked, **changes)

    def test_sizes_beyond_some_pool(self, down: Store, up: Store) -> None:
        task = down.task("waves")
        pools = [len(split(down, task, study_seed=0, seed=seed).pool) for seed in range(2)]
        expand(self.sized(down, up, min(pools)))
        said = self.refused(self.sized(down, up, 20, min(pools) + 1))
        assert (
            f"size {min(pools) + 1} of the downstream 'down' is more than the {min(pools)} labelled" in said
        )
        assert "Give smaller sizes, or 'all'" in said
        assert str(down.path) in said

    def test_sizes_beyond_the_pool_of_a_tuning_seed(self, down: Store, up: Store) -> None:
        """Folds differ by a record: of these study seeds one has its larger pool in the only evidence."""
        for study_seed in range(20):
            pools = [
                len(split(down, down.task("waves"), study_seed=study_seed, seed=seed).pool)
                for seed in (0, *range(10_000, 10_005))
            ]
            if pools[0] > min(pools):
                break
        plan = self.sized(down, up, pools[0], seeds=1, study_seed=study_seed)
        expand(plan)
        said = self.refused(dataclasses.replace(plan, tuning_seeds=5))
        assert f"size {pools[0]} of the downstream 'down' is more than the {min(pools)} labelled" in said

    def test_the_whole_pool_under_two_names(self, down: Store, up: Store) -> None:
        """Learning curves could not tell one from the other."""
        task = down.task("waves")
        pools = sorted(len(split(down, task, study_seed=0, seed=seed).pool) for seed in range(3))
        plan = self.sized(down, up, 20, pools[0], seeds=3)
        expand(plan)
        asked = (DownstreamPlan("down", down.path, "waves", (pools[1], None)),)
        said = self.refused(dataclasses.replace(plan, downstreams=asked, study_seed=0))
        assert f"size {pools[1]} is the whole pool of 'down', and 'all' is asked for too" in said

    def test_sizes_too_small_to_train_and_validate_on(self, down: Store, up: Store) -> None:
        said = self.refused(self.sized(down, up, 9, None))
        assert "size 9 of the downstream 'down' is too few labels to train and validate on" in said
        assert "The least is 10" in said

    @pytest.mark.parametrize("side", ["upstream", "downstream"])
    def test_tasks_that_are_not_there_or_not_named(self, down: Store, up: Store, side: str) -> None:
        for task, says in (("wave", "Did you mean waves"), (None, f"Name one as task of the {side} '")):
            downstream = DownstreamPlan("d", down.path, task if side == "downstream" else "waves", (20,))
            upstream = make_upstream(up.path, task=task if side == "upstream" else "waves")
            said = self.refused(make_plan(down.path, None, downstreams=(downstream,), upstreams=(upstream,)))
            assert says in said
            assert str(down.path if side == "downstream" else up.path) in said

    def test_no_target_with_enough_records(self, down: Store, up: Store) -> None:
        few = (DownstreamPlan("down", down.path, "few", (20,)),)
        assert "rare: 4 positives" in self.refused(make_plan(down.path, up.path, downstreams=few))

    def test_a_store_that_is_not_there(self, up: Store, tmp_path: Path) -> None:
        assert f"{tmp_path / 'no.ecgs'}: " in self.refused(make_plan(tmp_path / "no.ecgs", up.path))
        assert f"{tmp_path / 'no.ecgs'}: " in self.refused(make_plan(up.path, tmp_path / "no.ecgs"))

    def test_nothing_to_start_from(self, down: Store) -> None:
        said = self.refused(make_plan(down.path, None))
        assert "arm 'full' needs something pre-trained to start from on 'down'" in said
        assert "Give an upstream store or a model folder" in said

    def test_an_upstream_that_nobody_uses(self, down: Store, up: Store) -> None:
        downstream = DownstreamPlan("down", down.path, "waves", (20,), upstreams=("used",))
        upstreams = (make_upstream(up.path, "used"), make_upstream(up.path, "spare", seeds=2))
        said = self.refused(make_plan(down.path, None, downstreams=(downstream,), upstreams=upstreams))
        assert "no downstream starts from the upstream 'spare'" in said

    def test_upstream_and_downstream_are_the_same(self, down: Store, tmp_path: Path) -> None:
        assert "upstream and downstream are the same store" in self.refused(make_plan(down.path, down.path))
        shutil.copytree(down.path, tmp_path / "copy.ecgs")
        said = self.refused(make_plan(down.path, tmp_path / "copy.ecgs"))
        assert f"{tmp_path / 'copy.ecgs'}: upstream and downstream are the same store" in said

    def test_one_content_under_two_names(self, down: Store, up: Store, tmp_path: Path) -> None:
        """What both names stand for would be run once, and be missing under one of them."""
        shutil.copytree(down.path, tmp_path / "copy.ecgs")
        twice = tuple(
            DownstreamPlan(name, path, "waves", (20,))
            for name, path in (("a", down.path), ("b", tmp_path / "copy.ecgs"))
        )
        said = self.refused(make_plan(down.path, up.path, downstreams=twice))
        assert "the downstreams 'a' and 'b' are the same. Name it once" in said
        ups = (make_upstream(up.path, "u"), make_upstream(up.path, "v", seeds=2))
        said = self.refused(make_plan(down.path, None, upstreams=ups))
        assert "the upstreams 'u' and 'v' are the same" in said
        other = make_upstream(up.path, "v", learning_rate=1e-3)
        expand(make_plan(down.path, None, upstreams=(ups[0], other)))

    def test_turned_upside_down_or_not_is_another_pre_training(self, down: Store, up: Store) -> None:
        ups = (make_upstream(up.path, "u"), make_upstream(up.path, "v", flip=True))
        runs = expand(make_plan(down.path, None, upstreams=ups)).planned
        made = {run.upstream: run.spec.budget.augment for run in runs if run.purpose == "pretraining"}
        assert (made["u"].polarity_flip, made["v"].polarity_flip) == (up.info.polarity_uncertain, True)
        assert not any(run.spec.budget.augment.polarity_flip for run in runs if run.purpose == "evidence")

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"leads": ("I", "V1")}, ["leads I V1", "I II", "--leads"]),
            ({"leads": ("I",)}, ["leads I and", "I II", "--leads"]),
            ({"rate": 50.0}, ["200 samples at 50 Hz", "200 at 100 Hz", "--rate"]),
            ({"n_samples": 150}, ["150 samples at 100 Hz", "200 at 100 Hz", "--seconds"]),
            ({"recipe": "large"}, ["by the recipe 'large'", "'small'", "--recipe"]),
        ],
    )
    def test_an_upstream_store_of_other_signals(
        self, down: Store, tmp_path: Path, change: Any, says: list[str]
    ) -> None:
        other = write_store(tmp_path / "other.ecgs", seed=6, **change)
        said = self.refused(make_plan(down.path, other.path))
        for words in (*says, str(other.path)):
            assert words in said

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"leads": ("I", "V1")}, ["2 (I, V1)", "2 (I, II)"]),
            ({"rate": 50.0}, ["50 Hz", "100 Hz", "--rate 50"]),
            ({"recipe": "large"}, ["recipe 'large'", "'small'", "--recipe large"]),
        ],
    )
    def test_a_model_of_other_signals(
        self, down: Store, tmp_path: Path, change: Any, says: list[str]
    ) -> None:
        train_model(tmp_path / "model", write_store(tmp_path / "other.ecgs", seed=6, **change))
        said = self.given(down, tmp_path / "model")
        for words in (*says, str(tmp_path / "model")):
            assert words in said

    def test_a_model_that_saw_this_store(self, down: Store, tmp_path: Path) -> None:
        train_model(tmp_path / "model", down)
        said = self.given(down, tmp_path / "model")
        assert f"{tmp_path / 'model'}: the model was pre-trained on this very store" in said

    def test_models_that_do_not_fit_the_networks(self, down: Store, model: Path) -> None:
        said = self.given(down, model, networks=("lstm-pooled",))
        assert f"{model}: the model is a {NETWORK}, which the study does not name" in said
        said = self.given(down, model, networks=NETWORKS)
        assert "upstream 'given' has no model of lstm-pooled" in said
        assert "an upstream store to pre-train on" in said

    def test_the_same_model_twice(self, down: Store, model: Path, tmp_path: Path) -> None:
        shutil.copytree(model, tmp_path / "copy")
        for other in (model, tmp_path / "copy"):
            assert f"the same model of {NETWORK} is given twice" in self.given(down, model, other)
        upstreams = (UpstreamPlan("a", models=(model,)), UpstreamPlan("b", models=(tmp_path / "copy",)))
        said = self.refused(make_plan(down.path, None, upstreams=upstreams))
        assert "the upstreams 'a' and 'b' are the same" in said

    def test_several_models_where_only_the_first_would_be_used(
        self, down: Store, model: Path, stores: dict[str, Store], tmp_path: Path
    ) -> None:
        train_model(tmp_path / "second", stores["up-a"], seed=1)
        given = UpstreamPlan("given", models=(model, tmp_path / "second"))
        upstreams = (make_upstream(stores["up-b"].path, "first"), given)
        said = self.refused(make_plan(down.path, None, upstreams=upstreams))
        assert f"2 models of {NETWORK} are given for 'given', and only those of the first" in said
        # Named first, they are crossed with the seeds.
        upstreams = (given, make_upstream(stores["up-b"].path, "later"))
        expanded = expand(make_plan(down.path, None, upstreams=upstreams))
        assert [len(start.names) for start in expanded.starts] == [2, 1]

    def test_an_altered_store(self, down: Store, up: Store, tmp_path: Path) -> None:
        shutil.copytree(down.path, tmp_path / "odd.ecgs")
        shard = tmp_path / "odd.ecgs" / "signals-00000.npy"
        shard.write_bytes(shard.read_bytes()[:-1] + b"\x05")
        plan = make_plan(tmp_path / "odd.ecgs", up.path)
        assert f"{shard}: was altered" in self.refused(plan)
        # Unless nobody wants every byte read, as for a mere look at what would be run.
        assert expand(plan, verify=False).planned == expand(make_plan(down.path, up.path)).planned

    def test_the_plan_itself_is_not_to_blame(self, down: Store, up: Store) -> None:
        """Each refusal above is of one change to this plan."""
        assert expand(make_plan(down.path, up.path)).planned
