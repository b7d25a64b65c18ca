"""What was asked is frozen before anything is run: another question there is refused, and so is a change."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import StudyError
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import freeze, read_study
from ecgtransfer.study.planned import Expanded
from ecgtransfer.study.plans.plan import Contrast, DownstreamPlan, StudyPlan
from tests.small import BUDGET, NETWORK, contents, make_plan, make_upstream, write_store

Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folder")


@pytest.fixture(scope="module")
def down(folder: Path) -> Store:
    return write_store(folder / "down.ecgs", twins=2)


@pytest.fixture(scope="module")
def up(folder: Path) -> Store:
    return write_store(folder / "up.ecgs", seed=5)


@pytest.fixture(scope="module")
def plan(down: Store, up: Store) -> StudyPlan:
    return make_plan(down.path, up.path, tuning_seeds=1)


@pytest.fixture(scope="module")
def expanded(plan: StudyPlan) -> Expanded:
    return expand(plan)


@pytest.fixture
def out(expanded: Expanded, tmp_path: Path) -> Path:
    """Return the folder of a frozen study."""
    freeze(expanded, tmp_path / "study")
    return tmp_path / "study"


def read(out: Path, name: str = "plan.json") -> Any:
    return json.loads((out / name).read_text(encoding="utf-8"))


def rewrite(out: Path, name: str, change: Change) -> None:
    content = read(out, name)
    change(content)
    (out / name).write_text(json.dumps(content), encoding="utf-8")


class TestFreeze:
    def test_what_it_writes(self, out: Path, expanded: Expanded, down: Store, up: Store) -> None:
        records = sorted(path.name for path in (out / "records").iterdir())
        assert {path.name for path in out.iterdir()} == {"plan.json", "runs.json", "records"}
        assert len(records) == 2
        description = read(out)
        assert set(description) == {"version", "plan", "downstreams", "upstreams", "primary", "hash"}
        [downstream], [upstream] = description["downstreams"], description["upstreams"]
        assert (downstream["name"], downstream["fingerprint"]) == ("down", down.fingerprint)
        assert downstream["macro_targets"] == ["slow", "fast"]
        assert [each["target"] for each in downstream["left_out"]] == ["rare"]
        assert downstream["patients"] == down.records["patient_id"].nunique()
        assert downstream["duplicate_pairs"] == 2
        assert (upstream["name"], upstream["fingerprint"]) == ("up", up.fingerprint)
        assert upstream["starts"] == list(expanded.starts[0].names)
        runs = read(out, "runs.json")
        assert [run["id"] for run in runs] == [run.spec.id for run in expanded.planned]
        assert [run["purpose"] for run in runs] == [run.purpose for run in expanded.planned]

    def test_no_path_of_this_machine_is_in_it(self, out: Path, folder: Path) -> None:
        for name in ("plan.json", "runs.json"):
            assert str(folder.parent) not in (out / name).read_text(encoding="utf-8")

    def test_the_primary_family_is_part_of_the_hash(
        self, plan: StudyPlan, expanded: Expanded, out: Path
    ) -> None:
        assert read(out)["primary"] == [dataclasses.asdict(contrast) for contrast in expanded.primary]
        named = (Contrast("down", NETWORK, "up", "linear-probe", 20),)
        other = expand(dataclasses.replace(plan, primary=named))
        assert other.planned == expanded.planned
        assert freeze(other, out.parent / "other").description["hash"] != read(out)["hash"]
        assert read(out.parent / "other")["primary"] == [dataclasses.asdict(named[0])]

    def test_frozen_again_nothing_changes(self, out: Path, expanded: Expanded) -> None:
        before, times = contents(out), {path: path.stat().st_mtime_ns for path in out.rglob("*")}
        study = freeze(expanded, out)
        assert study.planned == expanded.planned
        assert contents(out) == before
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times

    def test_killed_before_the_plan_was_there_it_is_frozen_anew(self, out: Path, expanded: Expanded) -> None:
        before = contents(out)
        for name in ("plan.json", "runs.json"):
            (out / name).unlink()
            freeze(expanded, out)
            assert contents(out) == before
            (out / "plan.json").unlink()

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"seeds": 3}, "plan.seeds: 2 there, 3 asked for"),
            ({"rates": (1e-3,)}, "plan.rates: [0.001, 0.01] there, [0.001] asked for"),
            ({"rates": (1e-3, 3e-2)}, "plan.rates[1]: 0.01 there, 0.03 asked for"),
            ({"tuning_seeds": 2}, "plan.tuning_seeds: 1 there, 2 asked for"),
            ({"margin": 0.02}, "plan.margin: 0.01 there, 0.02 asked for"),
            ({"study_seed": 1}, "plan.study_seed: 0 there, 1 asked for"),
            ({"threads": 2}, "plan.threads: 1 there, 2 asked for"),
            ({"name": "mine"}, 'plan.name: "small" there, "mine" asked for'),
            ({"networks": ("gru",)}, f'plan.networks[0]: "{NETWORK}" there, "gru" asked for'),
            ({"arms": ("full",)}, 'plan.arms: ["scratch", "full", "linear-probe"] there'),
            ({"baselines": ()}, 'plan.baselines: ["age-sex", "rr"] there, [] asked for'),
            ({"convergence": (20,)}, "plan.convergence: [] there, [20] asked for"),
            (
                {"budget": dataclasses.replace(BUDGET, updates=5)},
                "plan.budget.updates: 4 there, 5 asked for",
            ),
            (
                {"primary": (Contrast("down", NETWORK, "up", "full", 20),)},
                "plan.primary: [] there, [{",
            ),
        ],
    )
    def test_another_question_is_refused_and_the_setting_named(
        self, plan: StudyPlan, out: Path, change: dict[str, Any], says: str
    ) -> None:
        before = contents(out)
        with pytest.raises(StudyError) as refused:
            freeze(expand(dataclasses.replace(plan, **change)), out)
        said = str(refused.value)
        assert f"{out}: the folder holds a study with other settings (" in said
        assert says in said
        assert "Choose another folder with -o" in said
        assert contents(out) == before

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"learning_rate": 1e-3}, "plan.upstreams[0].learning_rate: 0.003 there, 0.001 asked for"),
            ({"seeds": 2}, "plan.upstreams[0].seeds: 1 there, 2 asked for"),
            ({"name": "source"}, 'plan.upstreams[0].name: "up" there, "source" asked for'),
        ],
    )
    def test_another_pretraining_too(
        self, plan: StudyPlan, up: Store, out: Path, change: dict[str, Any], says: str
    ) -> None:
        changed = dataclasses.replace(plan, upstreams=(make_upstream(up.path, **change),))
        with pytest.raises(StudyError, match="the folder holds a study with other settings") as refused:
            freeze(expand(changed), out)
        assert says in str(refused.value)

    def test_another_size_too(self, plan: StudyPlan, down: Store, out: Path) -> None:
        changed = (DownstreamPlan("down", down.path, "waves", (20, 30)),)
        with pytest.raises(StudyError) as refused:
            freeze(expand(dataclasses.replace(plan, downstreams=changed)), out)
        assert "plan.downstreams[0].sizes[1]: null there, 30 asked for" in str(refused.value)

    def test_a_store_of_other_content_is_refused(
        self, plan: StudyPlan, down: Store, up: Store, out: Path, tmp_path: Path
    ) -> None:
        other = write_store(tmp_path / "down.ecgs", seed=9, n=90)
        asked = dataclasses.replace(plan.downstreams[0], store=other.path)
        with pytest.raises(StudyError) as refused:
            freeze(expand(dataclasses.replace(plan, downstreams=(asked,))), out)
        said = str(refused.value)
        assert f"(the recordings of 'down' changed since ({down.n_records} records then, 90 now))" in said
        other = write_store(tmp_path / "up.ecgs", seed=10)
        origin = dataclasses.replace(plan.upstreams[0], store=other.path)
        with pytest.raises(StudyError) as refused:
            freeze(expand(dataclasses.replace(plan, upstreams=(origin,))), out)
        said = str(refused.value)
        assert f"(the pre-trained {NETWORK} of 'up' would be another)" in said

    def test_where_many_settings_differ_three_are_named(self, plan: StudyPlan, out: Path) -> None:
        changed = dataclasses.replace(plan, seeds=3, margin=0.02, threads=2, study_seed=4)
        with pytest.raises(StudyError) as refused:
            freeze(expand(changed), out)
        said = str(refused.value)
        assert said.count("asked for") == 3
        assert " more)" in said

    def test_runs_that_another_version_or_machine_would_plan_are_refused(
        self, expanded: Expanded, out: Path
    ) -> None:
        """The question is the same to the letter, and the runs that follow from it are not."""
        for change, says in (
            ({"version": 99}, "there, 99 asked for"),
            ({"precision": "float64"}, 'there, "float64" asked for'),
        ):
            runs = [
                dataclasses.replace(run, spec=dataclasses.replace(run.spec, **change))  # type: ignore[arg-type]
                for run in expanded.planned
            ]
            with pytest.raises(StudyError) as refused:
                freeze(dataclasses.replace(expanded, planned=tuple(runs)), out)
            assert f"(runs[0].spec.{next(iter(change))}: " in str(refused.value)
            assert says in str(refused.value)

    def test_a_folder_that_is_no_study(self, expanded: Expanded, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
        with pytest.raises(StudyError, match=r"photos: the folder exists and is not a study.*another name"):
            freeze(expanded, tmp_path / "photos")
        assert contents(tmp_path / "photos") == {"cat.jpg": b"cat"}
        with pytest.raises(StudyError, match="the study's folder is a file"):
            freeze(expanded, tmp_path / "photos" / "cat.jpg")
        (tmp_path / "empty").mkdir()
        freeze(expanded, tmp_path / "empty")


class TestRead:
    def test_it_is_what_was_frozen(self, out: Path, expanded: Expanded) -> None:
        study = read_study(out)
        assert study.planned == expanded.planned
        assert study.primary == expanded.primary
        assert study.description == read(out)
        assert study.ledger.path == out

    def test_no_store_is_needed_and_the_folder_may_move(
        self, plan: StudyPlan, expanded: Expanded, down: Store, up: Store, tmp_path: Path
    ) -> None:
        moved = {}
        for name, store in (("down", down), ("up", up)):
            shutil.copytree(store.path, tmp_path / "here" / f"{name}.ecgs")
            moved[name] = tmp_path / "here" / f"{name}.ecgs"
        asked = dataclasses.replace(
            plan,
            upstreams=(dataclasses.replace(plan.upstreams[0], store=moved["up"]),),
            downstreams=(dataclasses.replace(plan.downstreams[0], store=moved["down"]),),
        )
        frozen = freeze(expand(asked), tmp_path / "here" / "study")
        (tmp_path / "here").rename(tmp_path / "there")
        shutil.rmtree(tmp_path / "there" / "down.ecgs")
        shutil.rmtree(tmp_path / "there" / "up.ecgs")
        study = read_study(tmp_path / "there" / "study")
        assert study.planned == frozen.planned == expanded.planned
        assert len(study.records("down")) == down.n_records
        # And with the stores where they were at first, it is still the same study.
        assert freeze(expanded, tmp_path / "there" / "study").description == frozen.description

    def test_what_is_known_of_each_record(self, out: Path, down: Store) -> None:
        found = read_study(out).records("down")
        assert list(found) == ["record_id", "patient_id", "sex", "age", "source"]
        for name in ("record_id", "patient_id", "age", "source"):
            assert found[name].tolist() == down.records[name].tolist()
        assert found["sex"].isna().sum() == down.records["sex"].isna().sum() > 0

    def test_how_duplicates_are_labelled(self, expanded: Expanded, down: Store, tmp_path: Path) -> None:
        """By task: one store may be asked two questions."""
        few = dataclasses.replace(
            expanded.downstreams[0],
            plan=dataclasses.replace(expanded.downstreams[0].plan, name="few"),
            task="few",
        )
        both = dataclasses.replace(expanded, downstreams=(*expanded.downstreams, few))
        study = freeze(both, tmp_path / "study")
        assert len(down.duplicates) == 2
        for name, task in (("down", "waves"), ("few", "few")):
            labels, found = down.labels(down.task(task)), study.labelled_twice(name)
            assert set(found["by"]) == {"duplicates"}
            for place, target in enumerate(down.task(task).target_names):
                own = found[found["target"] == target]
                pairs = [labels[down.duplicates[side].to_numpy(), place] for side in ("a", "b")]
                known = ~np.isnan(pairs).any(axis=0)  # what is unknown on one side says nothing
                np.testing.assert_array_equal(own["first"].to_numpy(), pairs[0][known])
                np.testing.assert_array_equal(own["second"].to_numpy(), pairs[1][known])

    def test_a_table_that_is_gone_or_broken_is_named(self, expanded: Expanded, tmp_path: Path) -> None:
        study = freeze(expanded, tmp_path / "study")
        tables = sorted((study.path / "records").glob("*.parquet"))
        assert len(tables) == 2
        tables[0].write_bytes(b"no table")
        tables[1].unlink()
        for read in (study.records, study.labelled_twice):
            with pytest.raises(StudyError, match=r"cannot be read.*start the study anew"):
                read("down")

    def test_second_opinions_are_kept_beside_the_first(self, expanded: Expanded, tmp_path: Path) -> None:
        store = write_store(tmp_path / "read-twice.ecgs", second=50)
        read_twice = dataclasses.replace(
            expanded.downstreams[0],
            plan=dataclasses.replace(expanded.downstreams[0].plan, name="read-twice"),
            store=store,
        )
        both = dataclasses.replace(expanded, downstreams=(*expanded.downstreams, read_twice))
        found = freeze(both, tmp_path / "study").labelled_twice("read-twice")
        first = store.labels(store.task("waves"))[:50, 0]
        assert set(found["by"]) == {"second opinions"}
        assert set(found["target"]) == {"slow"}
        assert len(found) == (~np.isnan(first)).sum()
        differ = (found["first"] != found["second"]).sum()
        assert differ == (~np.isnan(first[::10])).sum()

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("plan.json", lambda plan: plan["plan"].update(margin=0.02)),
            ("plan.json", lambda plan: plan["primary"].pop()),
            ("plan.json", lambda plan: plan["primary"].reverse()),
            ("plan.json", lambda plan: plan["primary"][0].update(arm="linear-probe")),
            ("plan.json", lambda plan: plan["downstreams"][0]["macro_targets"].pop()),
            ("plan.json", lambda plan: plan["upstreams"][0].update(left_out="Nothing.")),
            ("plan.json", lambda plan: plan.update(hash="0" * 16)),
            ("plan.json", lambda plan: plan.update(more=1)),
            ("runs.json", lambda runs: runs.pop()),
            ("runs.json", lambda runs: runs.reverse()),
            ("runs.json", lambda runs: runs[0]["spec"].update(seed=7)),
            ("runs.json", lambda runs: runs[0].update(id="0" * 16)),
            ("runs.json", lambda runs: runs[-1].update(purpose="tuning")),
            ("runs.json", lambda runs: runs[-1].update(downstream="other")),
            ("runs.json", lambda runs: runs[-1].update(upstream="other")),
            ("runs.json", lambda runs: runs[0].update(pretraining_seed=1)),
        ],
    )
    def test_whatever_was_changed_since_is_noticed(
        self, out: Path, expanded: Expanded, name: str, change: Change
    ) -> None:
        rewrite(out, name, change)
        with pytest.raises(StudyError, match="the plan was changed after it was frozen") as refused:
            read_study(out)
        assert str(out) in str(refused.value)
        assert "Restore the file" in str(refused.value)
        with pytest.raises(StudyError):
            freeze(expanded, out)

    @pytest.mark.parametrize("name", ["plan.json", "runs.json"])
    @pytest.mark.parametrize("damage", ["{", "", "[1]", '{"hash": 1}', '[{"spec": {}}]', '"text"'])
    def test_a_file_that_is_broken(self, out: Path, name: str, damage: str) -> None:
        (out / name).write_text(damage, encoding="utf-8")
        with pytest.raises(StudyError) as refused:
            read_study(out)
        assert str(out) in str(refused.value)

    def test_runs_of_another_version_say_so(self, out: Path) -> None:
        rewrite(out, "runs.json", lambda runs: runs[0]["spec"].update(colour="blue"))
        with pytest.raises(StudyError, match=r"written by another version of this program.*colour"):
            read_study(out)

    @pytest.mark.parametrize(
        "change", [lambda plan: plan.update(version=0), lambda plan: plan.pop("version")]
    )
    def test_a_plan_of_another_version_says_so(self, out: Path, expanded: Expanded, change: Change) -> None:
        rewrite(out, "plan.json", change)
        for asked in (lambda: read_study(out), lambda: freeze(expanded, out)):
            with pytest.raises(StudyError, match=r"written by another version of this program\. Start the"):
                asked()

    def test_a_list_of_runs_that_is_missing(self, out: Path) -> None:
        (out / "runs.json").unlink()
        with pytest.raises(StudyError, match=r"runs\.json: the file cannot be read"):
            read_study(out)

    def test_a_folder_that_is_no_study_or_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StudyError, match="there is no study in this folder"):
            read_study(tmp_path)
        with pytest.raises(StudyError, match=r"no: the folder does not exist\. Give the folder that"):
            read_study(tmp_path / "no")
