"""What the user can mend: exit 2 and one paragraph on stderr that says what, where and what to do."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.signals.writer import write_wfdb
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import freeze
from ecgtransfer.study.plans.plan import DownstreamPlan
from tests.small import NETWORK, make_plan, train_model, write_store

COMMAND = Path(sys.executable).with_name("ecgtransfer")
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("refusals")


@pytest.fixture(scope="module")
def store(place: Path) -> Store:
    return write_store(place / "mine.ecgs")


@pytest.fixture(scope="module")
def model(place: Path) -> Path:
    """Return a model folder of another store with the same leads."""
    train_model(place / "model", write_store(place / "up.ecgs", seed=5))
    return place / "model"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Return a function that runs a command and hands back the one paragraph that it must end with."""

    def run(*words: object) -> str:
        from ecgtransfer.cli.main import main

        monkeypatch.setattr(sys, "argv", ["ecgtransfer", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return one_paragraph(left.value.code, said.out, said.err)

    return run


def one_paragraph(code: object, out: str, err: str) -> str:
    assert code == 2, err
    assert out == ""
    assert err.startswith("ecgtransfer: ")
    assert err.endswith((".\n", "?\n", "!\n"))
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


class TestRecordings:
    """`prepare folder`: bad recordings alone are refused, among good ones they are listed."""

    @staticmethod
    def good(root: Path, name: str) -> None:
        root.mkdir(exist_ok=True)
        rng = np.random.default_rng(len(list(root.iterdir())))
        write_wfdb(root, name, rng.normal(0, 0.3, (2, 400)), 200, ("I", "II"))

    @classmethod
    def truncated(cls, root: Path) -> None:
        cls.good(root, "truncated")
        (root / "truncated.dat").write_bytes((root / "truncated.dat").read_bytes()[:500])

    @classmethod
    def without_signal(cls, root: Path) -> None:
        cls.good(root, "without")
        (root / "without.dat").unlink()

    @classmethod
    def of_nan(cls, root: Path) -> None:
        root.mkdir(exist_ok=True)
        write_wfdb(root, "nan", np.full((2, 400), np.nan), 200, ("I", "II"))

    @classmethod
    def of_another_unit(cls, root: Path) -> None:
        cls.good(root, "unit")
        header = root / "unit.hea"
        header.write_text(header.read_text().replace("/mV", "/mmHg"))

    BAD = (
        ("truncated", "truncated", "truncated.dat"),
        ("without_signal", "without", "without.dat"),
        ("of_nan", "nan", "no sample in any of the leads"),
        ("of_another_unit", "unit", "mmHg"),
    )

    @pytest.mark.parametrize(("make", "name", "says"), BAD)
    def test_alone_it_is_refused(
        self, refused: Refused, tmp_path: Path, make: str, name: str, says: str
    ) -> None:
        getattr(self, make)(tmp_path / "raw")
        (tmp_path / "raw" / "labels.csv").write_text(f"file,patient,AF\n{name},P1,1\n")
        words = ["--seconds", 2, "--leads", "I,II", "--workers", 1, "--quiet"]
        said = refused("prepare", "folder", tmp_path / "raw", "-o", tmp_path / "x.ecgs", *words)
        assert f"{tmp_path / 'raw'}: none of the 1 records can be prepared; the first: {name}.hea: " in said
        assert says in said
        assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]

    def test_among_good_ones_nothing_is_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from ecgtransfer.cli.main import main

        raw = tmp_path / "raw"
        for name in ("g1", "g2", "g3", "odd"):
            self.good(raw, name)
        for make, _, _ in self.BAD:
            getattr(self, make)(raw)
        rows = ["g1,P1,1", "truncated,P2,0", "g2,P3,0", "without,P4,0", "nan,P5,1", "unit,P6,1", "g3,P7,"]
        rows += ["nowhere,P8,1", ",P9,0", "odd,P10,yes"]
        (raw / "labels.csv").write_text("\n".join(["file,patient,AF", *rows]) + "\n")
        words = ["prepare", "folder", raw, "-o", tmp_path / "x.ecgs", "--seconds", 2, "--workers", 1]
        monkeypatch.setattr(sys, "argv", ["ecgtransfer", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0
        assert "3 of 10 records, 3 windows, 7 rejected (see rejected.csv)" in capsys.readouterr().out
        store = Store.open(tmp_path / "x.ecgs")
        assert store.records["record_id"].tolist() == ["g1", "g2", "g3"]
        assert store.records["patient_id"].tolist() == ["P1", "P3", "P7"]
        with (tmp_path / "x.ecgs" / "rejected.csv").open(newline="") as stream:
            reasons = {row["file"] or row["record_id"]: row["reason"] for row in csv.DictReader(stream)}
        unusable = {f"{name}.hea" for _, name, _ in self.BAD}
        assert set(reasons) == {*unusable, "nowhere", "line 10", "odd"}
        assert "column 'AF' has 'yes'" in reasons["odd"]
        for _, name, says in self.BAD:
            assert says in reasons[f"{name}.hea"]
        assert "a file that is not there" in reasons["nowhere"]
        assert "names no file (patient P9)" in reasons["line 10"]

    @pytest.mark.parametrize(
        ("table", "says"),
        [
            ("file,patient,AF\na,P1,1\na.hea,P2,0\n", "line 3: a.hea is also in line 2"),
            ("file,patient,AF\na,P1,yes\nb,P2,no\n", "line 2: column 'AF' has 'yes', which is neither 1, 0"),
            ("file,patient,ward,AF\na,P1,north,1\n", "column 'ward' has 'north'"),
            ("name,patient,AF\na,P1,1\n", "there is no column 'file'"),
            ("file,patient,AF\na,P1\n", "line 2: 2 cells where the header has 3"),
        ],
    )
    def test_a_table_that_cannot_be_meant(
        self, refused: Refused, tmp_path: Path, table: str, says: str
    ) -> None:
        for name in ("a", "b"):
            self.good(tmp_path / "raw", name)
        (tmp_path / "raw" / "labels.csv").write_text(table)
        said = refused("prepare", "folder", tmp_path / "raw", "-o", tmp_path / "x.ecgs", "--quiet")
        assert "labels.csv" in said
        assert says in said
        assert not (tmp_path / "x.ecgs").exists()


class TestPrepare:
    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["folder", "{}/no", "-o", "{}/x.ecgs"], "no: there is no such file or folder. Check the path"),
            (["ludbb", "{}", "-o", "{}/x.ecgs"], "ludbb'. Did you mean ludb?"),
            (["ludb", "{}", "-o", "{}/x.ecgs"], "this is not"),
            (["folder", "{}", "-o", "{}/x.ecgs", "--length", "frist"], "'frist'. Did you mean first?"),
            (["folder", "{}", "-o", "{}/x.ecgs", "--rate", "0"], "a rate of 0 Hz is not possible"),
            (["folder", "{}", "-o", "{}/x.ecgs", "--table", "{}/t.csv"], "t.csv: there is no such table"),
        ],
    )
    def test_what_names_nothing(self, refused: Refused, tmp_path: Path, words: list[str], says: str) -> None:
        said = refused("prepare", *(word.format(tmp_path) for word in words), "--quiet")
        assert says in said
        assert list(tmp_path.iterdir()) == []

    def test_an_output_that_is_there(self, refused: Refused, tmp_path: Path) -> None:
        TestRecordings.good(tmp_path / "raw", "a")
        (tmp_path / "x.ecgs").mkdir()
        (tmp_path / "x.ecgs" / "note").write_text("mine")
        said = refused("prepare", "folder", tmp_path / "raw", "-o", tmp_path / "x.ecgs")
        assert f"{tmp_path / 'x.ecgs'}: is there already. Remove it or choose another name" in said
        assert (tmp_path / "x.ecgs" / "note").read_text() == "mine"


BRIEF = ("--task", "waves", "--updates", "2", "--batch-size", "8", "--threads", "1", "--quiet")
COMPARE = ("--task", "waves", "--sizes", "20")


class TestTraining:
    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--network", "resnet1d81"], ["no network 'resnet1d81'", "Did you mean resnet1d18?"]),
            (["--task", "wave"], ["no task 'wave'", "Did you mean waves?", "mine.ecgs"]),
            (["--task", "few"], ["no target of task 'few' has enough", "rare: 4 positives", "mine.ecgs"]),
            (["--n", "1000"], ["n = 1000", "pool of", "Choose n from 10 to", "mine.ecgs"]),
            (["--n", "5"], ["--n: '5' is not a number of labels", "at least 10, or 'all'"]),
            (["--n", "al"], ["--n: 'al' is not a number of labels"]),
            (["--n", "-20"], ["--n: '-20' is not a number of labels"]),
            (["--updates", "0"], ["--updates: 0 does not fit"]),
            (["--batch-size", "1"], ["--batch-size: 1 does not fit"]),
            (["--learning-rate", "0"], ["0 is not a learning rate. Give a number above 0"]),
            (["--learning-rate", "-0.1"], ["-0.1 is not a learning rate. Give a number above 0"]),
            (["--learning-rate", "nan"], ["nan is not a learning rate. Give a number above 0"]),
            (["--learning-rate", "inf"], ["inf is not a learning rate. Give a number above 0"]),
        ],
    )
    def test_options_that_do_not_fit(
        self, refused: Refused, store: Store, tmp_path: Path, words: list[str], says: list[str]
    ) -> None:
        said = refused("train", store.path, "-o", tmp_path / "m", "--network", NETWORK, *BRIEF, *words)
        assert all(part in said for part in says), said
        assert list(tmp_path.iterdir()) == []

    def test_a_store_with_two_tasks_needs_to_be_told(
        self, refused: Refused, store: Store, tmp_path: Path
    ) -> None:
        said = refused("train", store.path, "-o", tmp_path / "m", "--network", NETWORK)
        assert "the store has 2 tasks. Choose one with --task: waves, few" in said

    def test_a_folder_that_is_not_there_or_no_store(self, refused: Refused, tmp_path: Path) -> None:
        for path in (tmp_path / "no.ecgs", tmp_path):
            said = refused("train", path, "-o", tmp_path / "m", *BRIEF)
            assert f"{path}: " in said
            assert "Make one with `ecgtransfer prepare`" in said

    @pytest.mark.parametrize("command", ["train", "compare"])
    def test_a_truncated_store(
        self, refused: Refused, store: Store, model: Path, tmp_path: Path, command: str
    ) -> None:
        shutil.copytree(store.path, tmp_path / "cut.ecgs")
        shard = tmp_path / "cut.ecgs" / "signals-00000.npy"
        shard.write_bytes(shard.read_bytes()[:-1000])
        start = ["--from", model, "--network", NETWORK] if command == "compare" else []
        said = refused(command, tmp_path / "cut.ecgs", "-o", tmp_path / "m", "--task", "waves", *start)
        assert f"{shard}: is truncated: " in said
        assert "Prepare the store again from the raw files" in said
        assert not (tmp_path / "m").exists()

    @pytest.mark.parametrize("command", ["train", "compare"])
    def test_an_altered_store(
        self, refused: Refused, store: Store, model: Path, tmp_path: Path, command: str
    ) -> None:
        shutil.copytree(store.path, tmp_path / "odd.ecgs")
        shard = tmp_path / "odd.ecgs" / "signals-00000.npy"
        shard.write_bytes(shard.read_bytes()[:-1] + b"\x05")
        start = ["--from", model, "--network", NETWORK] if command == "compare" else []
        said = refused(command, tmp_path / "odd.ecgs", "-o", tmp_path / "m", "--task", "waves", *start)
        assert f"{shard}: was altered" in said

    def test_an_output_that_holds_something_else(
        self, refused: Refused, store: Store, model: Path, tmp_path: Path
    ) -> None:
        words = ["--network", NETWORK, *BRIEF]
        (tmp_path / "photos").mkdir()
        said = refused("train", store.path, "-o", tmp_path / "photos", *words)
        assert f"{tmp_path / 'photos'}: the folder exists and is not a run. Choose another name" in said
        said = refused("train", store.path, "-o", model, *words)
        assert f"{model}: the folder holds another run. Choose another folder" in said

    def test_an_output_below_a_file(self, refused: Refused, store: Store, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        words = ["--network", NETWORK, *BRIEF]
        said = refused("train", store.path, "-o", tmp_path / "file" / "m", *words)
        assert str(tmp_path / "file") in said
        assert "Check the path" in said

    @pytest.mark.parametrize("below", [False, True])
    def test_an_output_at_a_link_to_nowhere(
        self, refused: Refused, store: Store, model: Path, tmp_path: Path, below: bool
    ) -> None:
        """A disk that is not mounted; a training that ends there would be lost at its last step."""
        (tmp_path / "scratch-disk").symlink_to(tmp_path / "unmounted")
        out = tmp_path / "scratch-disk" / "x" if below else tmp_path / "scratch-disk"
        TestRecordings.good(tmp_path / "raw", "a")
        (tmp_path / "raw" / "labels.csv").write_text("file,AF\na,1\n")
        lost = "a link to a place that is not there. Choose another place"
        said = refused("train", store.path, "-o", out, "--network", NETWORK, *BRIEF)
        assert (lost if below else f"{out}: the folder exists and is not a run") in said
        said = refused("prepare", "folder", tmp_path / "raw", "-o", out)
        assert (lost if below else f"{out}: is there already") in said
        assert lost in refused("advise", store.path, "--from", model, "--task", "waves", "-o", out)

    @pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
    def test_an_output_that_cannot_be_written(self, refused: Refused, store: Store, tmp_path: Path) -> None:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        said = refused("train", store.path, "-o", locked / "m", "--network", NETWORK, *BRIEF)
        assert str(locked) in said
        assert "Check that it is yours to write to" in said


class TestModels:
    @pytest.mark.parametrize("command", ["finetune", "evaluate", "compare"])
    @pytest.mark.parametrize("damage", ["truncated", "flipped", "no card", "no weights", "card no JSON"])
    def test_a_damaged_model_folder(
        self, refused: Refused, store: Store, model: Path, tmp_path: Path, command: str, damage: str
    ) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(model, copy)
        weights, card = copy / "model.safetensors", copy / "card.json"
        if damage == "truncated":
            weights.write_bytes(weights.read_bytes()[:-100])
        elif damage == "flipped":
            weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        elif damage == "no card":
            card.unlink()
        elif damage == "no weights":
            weights.unlink()
        else:
            card.write_text("{")
        words: dict[str, list[Any]] = {
            "finetune": [store.path, "--from", copy, "-o", tmp_path / "m", *BRIEF],
            "evaluate": [copy, store.path],
            "compare": [store.path, "--from", copy, "-o", tmp_path / "m", "--network", NETWORK, *COMPARE],
        }
        said = refused(command, *words[command])
        assert str(copy) in said
        assert not (tmp_path / "m").exists()

    @pytest.mark.parametrize("command", ["finetune", "evaluate", "compare"])
    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"leads": ("I", "V5")}, ["(I, II)", "(I, V5)", "--leads I,II"]),
            ({"rate": 50.0}, ["100 Hz", "50 Hz", "--rate 100"]),
        ],
    )
    def test_a_model_of_other_signals(
        self,
        refused: Refused,
        model: Path,
        tmp_path: Path,
        command: str,
        change: dict[str, Any],
        says: list[str],
    ) -> None:
        other = write_store(tmp_path / "other.ecgs", **change)
        words: dict[str, list[Any]] = {
            "finetune": [other.path, "--from", model, "-o", tmp_path / "m", *BRIEF],
            "evaluate": [model, other.path],
            "compare": [
                other.path, "--from", model, "-o", tmp_path / "m", "--network", NETWORK, *COMPARE],
        }  # fmt: skip
        said = refused(command, *words[command])
        assert all(part in said for part in (*says, str(model))), said
        assert not (tmp_path / "m").exists()

    def test_arms_that_finetune_does_not_have(
        self, refused: Refused, store: Store, model: Path, tmp_path: Path
    ) -> None:
        for arm, says in (
            ("linear-prob", "Did you mean linear-probe?"),
            ("scratch", "unknown arm 'scratch'"),
        ):
            said = refused("finetune", store.path, "--from", model, "--arm", arm, "-o", tmp_path / "m")
            assert says in said

    def test_a_store_where_a_model_is_needed(self, refused: Refused, store: Store, tmp_path: Path) -> None:
        said = refused("finetune", store.path, "--from", store.path, "-o", tmp_path / "m")
        assert f"{store.path}: card.json is missing. Give the folder of a saved model" in said
        said = refused("evaluate", tmp_path / "no", store.path)
        assert f"{tmp_path / 'no'}: there is no such model folder" in said


class TestCompare:
    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--sizes", "20,alll"], ["--sizes: 'alll' does not fit"]),
            (["--sizes", "20,5"], ["--sizes: ", "5 is too few labels", "the least is 10"]),
            (
                ["--sizes", "20,1000"],
                [
                    "size 1000 of the downstream 'mine' is more than the",
                    "'all' for every record",
                    "mine.ecgs",
                ],
            ),
            (["--sizes", ","], ["--sizes: "]),
            (["--sizes", "20,20"], ["sizes of mine names something twice: 20, 20"]),
            (["--sizes", "79,all"], ["size 79 is the whole pool of 'mine', and 'all' is asked for too"]),
            (["--rates", "0.001,0"], ["--rates: ", "a learning rate must be above 0"]),
            (["--rates", "-0.001"], ["--rates: ", "a learning rate must be above 0"]),
            (["--rates", "nan"], ["--rates: ", "a learning rate must be above 0"]),
            (["--rates", "fast"], ["--rates: 'fast' does not fit"]),
            (["--arms", "scratch,ful"], ["unknown arm 'ful'", "Did you mean full?"]),
            (["--network", "resnet1d81"], ["no network 'resnet1d81'", "Did you mean resnet1d18?"]),
            (["--network", ","], ["--network: "]),
            (["--seeds", "0"], ["--seeds: 0 does not fit"]),
            (["--rates", "0.001,0.001"], ["rates names something twice"]),
            (["--arms", "pretrain"], ["'pretrain' is no arm of a comparison"]),
            (["--updates", "0"], ["--updates: 0 does not fit"]),
            (["--pretrain-updates", "0"], ["--pretrain-updates: 0 does not fit"]),
            (["--pretrain-batch-size", "1"], ["--pretrain-batch-size: 1 does not fit"]),
            (["--pretrain-rate", "0"], ["0 is not a learning rate"]),
            (["--from", "{}/no"], ["no: does not exist", "made by `pretrain` or `prepare`"]),
            (["--from", "{}"], ["is neither a model folder nor a store"]),
            (["--upstream-task", "wave"], ["no task 'wave'", "Did you mean waves?"]),
            (["--margin", "0"], ["0 is no margin", "Give an AUROC difference"]),
            (["--tuning-seeds", "-1"], ["-1 tuning seeds cannot be had"]),
            (["--network", f"{NETWORK},{NETWORK}"], ["networks names something twice"]),
        ],
    )
    def test_options_that_do_not_fit(
        self, refused: Refused, store: Store, place: Path, model: Path, tmp_path: Path, words: Any, says: Any
    ) -> None:
        basic = ["--from", place / "up.ecgs", "--upstream-task", "waves", "--task", "waves", "--quiet"]
        if words[0] == "--from":
            basic = basic[2:]
        given = [word.format(tmp_path) for word in words]
        out = tmp_path / "study"
        said = refused(
            "compare", store.path, "-o", out, "--sizes", "20", "--network", NETWORK, *basic, *given
        )
        assert all(part in said for part in says), said
        assert not out.exists()

    def test_upstream_and_downstream_are_the_same(
        self, refused: Refused, store: Store, tmp_path: Path
    ) -> None:
        words = ["--task", "waves", "--upstream-task", "waves", "--sizes", "20", "--network", NETWORK]
        said = refused("compare", store.path, "--from", store.path, "-o", tmp_path / "s", *words)
        assert f"{store.path}: upstream and downstream are the same store" in said

    def test_several_upstreams(
        self, refused: Refused, store: Store, place: Path, model: Path, tmp_path: Path
    ) -> None:
        for second in (place / "up.ecgs", model):
            both = ["--from", place / "up.ecgs", "--from", second]
            said = refused("compare", store.path, *both, "-o", tmp_path / "s", "--task", "waves")
            assert "--from: several upstreams. Give one store, or model folders; `study` compares" in said
        assert not (tmp_path / "s").exists()

    def test_models_that_are_not_those_of_the_networks(
        self, refused: Refused, store: Store, model: Path, tmp_path: Path
    ) -> None:
        words = ["-o", tmp_path / "s", *COMPARE, "--from", model]
        said = refused("compare", store.path, *words, "--network", "lstm-pooled")
        assert f"{model}: the model is a {NETWORK}, which the study does not name" in said
        said = refused("compare", store.path, *words, "--network", f"{NETWORK},lstm-pooled")
        assert "has no model of lstm-pooled" in said
        said = refused("compare", store.path, *words, "--from", model, "--network", NETWORK)
        assert f"the same model of {NETWORK} is given twice" in said

    def test_a_folder_that_holds_something_else(
        self, refused: Refused, store: Store, model: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
        words = ["--from", model, "--network", NETWORK, *COMPARE]
        said = refused("compare", store.path, "-o", tmp_path / "photos", *words)
        assert f"{tmp_path / 'photos'}: the folder exists and is not a study" in said

    def test_a_study_with_other_settings(
        self, refused: Refused, store: Store, place: Path, model: Path, tmp_path: Path
    ) -> None:
        """Frozen and never carried out; the refusal names what is different."""
        sizes = (DownstreamPlan("mine", store.path, "waves", (20,)),)
        plan = make_plan(store.path, place / "up.ecgs", downstreams=sizes)
        freeze(expand(plan), tmp_path / "s")
        words = ["--from", model, "--network", NETWORK, *COMPARE, "--seeds", 4]
        said = refused("compare", store.path, "-o", tmp_path / "s", *words)
        assert f"{tmp_path / 's'}: the folder holds a study with other settings (" in said
        assert 'plan.name: "small" there, "mine" asked for' in said
        assert "Choose another folder with -o" in said


class TestReport:
    @pytest.fixture
    def frozen(self, store: Store, tmp_path: Path) -> Path:
        """Return a study of which nothing was run yet."""
        plan = make_plan(store.path, None, arms=("scratch",), baselines=(), seeds=1)
        return freeze(expand(plan), tmp_path / "study").path

    def test_a_folder_that_is_no_study(self, refused: Refused, tmp_path: Path) -> None:
        assert f"{tmp_path}: there is no study in this folder. Give the folder that" in refused(
            "report", tmp_path
        )
        assert f"{tmp_path / 'no'}: the folder does not exist" in refused("report", tmp_path / "no")

    def test_a_study_that_is_not_finished(self, refused: Refused, frozen: Path) -> None:
        said = refused("report", frozen)
        assert f"{frozen}: the run " in said
        assert f"({NETWORK} scratch 0) is missing. Run the study to its end first" in said
        assert not (frozen / "report.html").exists()

    def test_a_plan_that_was_changed(self, refused: Refused, frozen: Path) -> None:
        text = (frozen / "plan.json").read_text(encoding="utf-8")
        (frozen / "plan.json").write_text(text.replace('"margin": 0.01', '"margin": 0.02'), encoding="utf-8")
        said = refused("report", frozen)
        assert f"{frozen / 'plan.json'}: the plan was changed after it was frozen. Restore the file" in said

    def test_what_is_to_stand_beside_is_no_study(
        self, refused: Refused, frozen: Path, tmp_path: Path
    ) -> None:
        said = refused("report", frozen, "--beside", tmp_path / "no")
        assert f"{tmp_path / 'no'}: the folder does not exist" in said


@pytest.mark.parametrize(
    "words", [["trian"], ["train"], ["train", "x.ecgs"], ["compare", "x.ecgs", "-o", "y"], ["train", "--no"]]
)
def test_words_that_are_no_command_exit_with_2(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ecgtransfer.cli.main import main

    monkeypatch.setattr(sys, "argv", ["ecgtransfer", *words])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (2, "")
    assert "Traceback" not in said.err


def test_the_installed_command_refuses_like_the_function(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "prepare", "folder", "no", "-o", "m.ecgs"],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    said = one_paragraph(done.returncode, done.stdout, done.stderr)
    assert said == "ecgtransfer: no: there is no such file or folder. Check the path.\n"


def test_a_bug_is_not_taken_for_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    from ecgtransfer.cli.main import main

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("ecgtransfer.datasets.sources.names", broken)
    monkeypatch.setattr(sys, "argv", ["ecgtransfer", "datasets"])
    with pytest.raises(RuntimeError, match="a bug"):
        main()


class TestAudit:
    def test_a_folder_that_is_no_store(self, refused: Refused, tmp_path: Path) -> None:
        assert "is not a store" in refused("audit", tmp_path)

    def test_a_store_named_twice(self, refused: Refused, store: Store) -> None:
        assert f"{store.path}: the store is named twice" in refused("audit", store.path, store.path)

    def test_a_page_that_would_replace_something_else(
        self, refused: Refused, store: Store, tmp_path: Path
    ) -> None:
        (tmp_path / "labels.csv").write_text("file,X\n")
        for out in (tmp_path / "labels.csv", tmp_path):
            assert "the page is an HTML file" in refused("audit", store.path, "-o", out)
        assert (tmp_path / "labels.csv").read_text() == "file,X\n"
