"""The real commands on small data: the result alone on stdout, progress on stderr, 0 when all went well."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgtransfer import __version__
from ecgtransfer.datasets.simulation import simulate
from ecgtransfer.datasets.store import Store
from tests.small import NETWORK, result_of, write_store

COMMAND = Path(sys.executable).with_name("ecgtransfer")
BRIEF = ["--task", "waves", "--updates", "2", "--batch-size", "8", "--threads", "1"]
HEAVY = ("torch", "pandas", "sklearn", "scipy", "matplotlib", "pyarrow", "wfdb", "jinja2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def down(folder: Path) -> Store:
    return write_store(folder / "down.ecgs")


@pytest.fixture(scope="module")
def up(folder: Path) -> Store:
    return write_store(folder / "up.ecgs", seed=5)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command in this process: words → stdout; it must end with 0."""

    def run(*words: object) -> str:
        from ecgtransfer.cli.main import main

        monkeypatch.setattr(sys, "argv", ["ecgtransfer", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert left.value.code == 0, said.err
        return said.out

    return run


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["compare", "--help"], ["--version"]])
def test_help_is_fast_because_it_imports_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys\nfrom ecgtransfer.cli.main import main\nsys.argv = ['ecgtransfer', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code, left.code\n"
        f"print('heavy:', *[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_the_commands_in_the_order_in_which_a_user_meets_them(call: Any) -> None:
    text = call("--help")
    # A command stands first in its line, without the frame that a terminal gets.
    lines = [line.strip("│ ").split() for line in text[text.index("Commands") :].splitlines()]
    listed = [words[0] for words in lines if words]
    names = [
        "demo", "simulate", "datasets", "prepare", "audit", "advise", "networks", "pretrain", "train",
        "finetune", "evaluate", "compare", "report", "study",
    ]  # fmt: skip
    assert [word for word in listed if word in names] == names
    assert call("--version").strip() == __version__


def test_the_installed_command_prepares_a_folder(tmp_path: Path) -> None:
    simulate("B", 6, tmp_path / "raw", seed=1, seconds=2.0)
    words = ["prepare", "folder", tmp_path / "raw", "-o", tmp_path / "b.ecgs", "--seconds", "2"]
    done = subprocess.run(
        [COMMAND, *words, "--leads", "I,II", "--workers", "1", "--json"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["n_records"], found["n_listed"], found["n_rejected"]) == (6, 6, 0)
    assert found["path"] == str(tmp_path / "b.ecgs")
    store = Store.open(tmp_path / "b.ecgs")
    assert (store.info.leads, store.info.n_samples) == (("I", "II"), 200)


def test_simulate_writes_a_folder_to_prepare(call: Any, tmp_path: Path) -> None:
    text = call("simulate", "B", 3, "-o", tmp_path / "b", "--seed", 4, "--seconds", 1.5)
    assert f"ecgtransfer prepare folder {tmp_path / 'b'} -o b.ecgs" in text
    found = json.loads(call("simulate", "C", 2, "-o", tmp_path / "c", "--json"))
    assert (found["n_records"], found["sampling_rate"]) == (2, 300)
    assert len(list((tmp_path / "b").iterdir())) == 7
    call("simulate", "B", 3, "-o", tmp_path / "again", "--seed", 4, "--seconds", 1.5)
    for file in (tmp_path / "b").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_prepare_says_how_many_of_how_many(call: Any, tmp_path: Path) -> None:
    simulate("A", 5, tmp_path / "raw", seed=2, seconds=2.0)
    (tmp_path / "raw" / "A00002.dat").unlink()
    text = call("prepare", "folder", tmp_path / "raw", "-o", tmp_path / "a.ecgs", "--seconds", 2, "--quiet")
    assert text.startswith(f"{tmp_path / 'a.ecgs'}: 4 of 5 records, 4 windows, 1 rejected (see rejected.csv)")


def test_listings_as_tables_and_as_json(call: Any) -> None:
    sources = {row["name"]: row for row in json.loads(call("datasets", "--json"))}
    assert {"ludb", "cinc2017", "ptbxl", "folder"} <= set(sources)
    assert all(row["licence"] and row["citation"] for row in sources.values())
    found = {row["name"]: row for row in json.loads(call("networks", "--json"))}
    assert {NETWORK, "resnet1d18", "lstm", "lstm-pooled"} <= set(found)
    assert found["lstm"]["head_share"] > 0.5 > found["lstm-pooled"]["head_share"]
    table = call("datasets")
    assert all(name in table for name in sources)


def test_datasets_shows_the_whole_path_of_a_store_however_narrow_the_terminal_is(
    call: Any, down: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was made by hand, with a source that is none of those listed."""
    monkeypatch.setenv("COLUMNS", "60")
    text = call("datasets", "--in", down.path.parent)
    assert f"\n  {down.path}: {down.n_records} records, {down.info.sampling_rate:g} Hz\n" in text


def test_pretrain_finetune_and_evaluate(call: Any, up: Store, down: Store, tmp_path: Path) -> None:
    model, tuned = tmp_path / "model", tmp_path / "tuned"
    made = json.loads(call("pretrain", up.path, "-o", model, "--network", NETWORK, *BRIEF, "--json"))
    assert made["result"] == result_of(model)
    assert made["spec"]["budget"]["updates"] == 2
    assert made["spec"]["n"] is None

    text = call("finetune", down.path, "-o", tuned, "--from", model, "--n", 30, *BRIEF, "--quiet")
    load = result_of(tuned)["load"]
    assert f"Loaded: {load['matched']} tensors matched, 2 re-initialised, 0 unexpected." in text
    assert f"Model: {tuned}" in text
    counts = result_of(tuned)["records"]
    assert f"{counts['train']} records trained on, {counts['validation']} chose the weights" in text

    found = json.loads(call("evaluate", tuned, down.path, "--json"))
    assert found["test"] == result_of(tuned)["test"]
    assert f"{found['records']['test']} records: the test part" in call("evaluate", tuned, down.path)


def test_train_again_in_the_same_place_returns_what_is_there(call: Any, down: Store, tmp_path: Path) -> None:
    words = ["train", down.path, "-o", tmp_path / "m", "--network", NETWORK, "--n", "30", *BRIEF, "--json"]
    first = call(*words)
    assert call(*words) == first


def test_compare(
    call: Any, up: Store, down: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "compare", down.path, "--from", up.path, "-o", tmp_path / "study", "--network", NETWORK,
        "--arms", "scratch, full", "--sizes", "20", "--seeds", 1, "--rates", "0.003,0.01",
        "--task", "waves", "--upstream-task", "waves", "--updates", 2, "--batch-size", 8,
        "--tuning-seeds", 1, "--pretrain-updates", 2, "--pretrain-batch-size", 8, "--pretrain-seeds", 2,
        "--pretrain-rate", 0.002, "--margin", 0.02, "--study-seed", 3, "--workers", 1,
    ]  # fmt: skip
    found = json.loads(call(*words, "--json"))
    evidence = tmp_path / "study" / "evidence.json"
    assert found == json.loads(evidence.read_text())
    assert {cell["arm"] for cell in found["cells"]} == {"scratch", "full"}
    assert np.isfinite(found["cells"][0]["auroc"])
    plan = json.loads((tmp_path / "study" / "plan.json").read_text())["plan"]
    assert (plan["seeds"], plan["tuning_seeds"], plan["rates"]) == (1, 1, [0.003, 0.01])
    assert (plan["margin"], plan["study_seed"], plan["budget"]["updates"]) == (0.02, 3, 2)
    [upstream] = plan["upstreams"]
    assert (upstream["name"], upstream["seeds"], upstream["learning_rate"]) == ("up", 2, 0.002)
    text = call(*words)
    assert " ".join(found["sentence"].split()) in " ".join(text.split())
    assert "No recording of up was found downstream." in text
    assert f"Report: {tmp_path / 'study' / 'report.html'}" in text

    # And drawn again from the folder alone.
    kept = evidence.read_bytes()
    evidence.unlink()
    assert json.loads(call("report", tmp_path / "study", "--json")) == found
    assert evidence.read_bytes() == kept
    text = call("report", tmp_path / "study")
    assert " ".join(found["sentence"].split()) in " ".join(text.split())
    assert f"Report: {tmp_path / 'study' / 'report.html'}" in text


def test_progress_goes_to_stderr(
    call: Any,
    down: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from ecgtransfer.cli import main

    words = ["train", down.path, "-o", tmp_path / "m", "--network", NETWORK, "--n", "30", *BRIEF, "--json"]
    ticks = iter(range(0, 10**6, 100))
    monkeypatch.setattr("ecgtransfer.progress.time.monotonic", lambda: next(ticks))
    monkeypatch.setattr(sys, "argv", ["ecgtransfer", *map(str, words)])
    with pytest.raises(SystemExit):
        main.main()
    said = capsys.readouterr()
    json.loads(said.out)
    assert f"{NETWORK} scratch: 2/2  rate 0.001  loss " in said.err
    assert "records/s" in said.err


def test_audit_of_two_stores(call: Any, up: Store, down: Store, tmp_path: Path) -> None:
    shutil.copytree(down.path, tmp_path / "copy.ecgs")
    found = json.loads(call("audit", up.path, down.path, tmp_path / "copy.ecgs", "--json", "--quiet"))
    same = [(pair["a"], pair["b"]) for pair in found["duplicates"]]
    assert same == [
        ([str(down.path), name], [str(tmp_path / "copy.ecgs"), name]) for name in down.records["record_id"]
    ]
    assert all(pair["kind"] == "exact" and pair["same_patient"] for pair in found["duplicates"])
    assert [row["store"] for row in found["few_positives"]] == [store["name"] for store in found["stores"]]
    text = call("audit", up.path, "-o", tmp_path / "page.html", "--minimum-positives", 3, "--quiet")
    assert "No ECG was found twice." in text
    assert f"Page: {tmp_path / 'page.html'}" in text
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "few positives" not in text


def test_pretraining_apart_from_a_store_leaves_out_what_both_have(
    call: Any, down: Store, tmp_path: Path
) -> None:
    """A store of which half is in the other one: half of it takes no part, and the card names it."""
    half = write_store(tmp_path / "half.ecgs", n=50)  # the same patients, by the names of one source
    words = ["pretrain", down.path, "--apart-from", half.path, "--network", NETWORK, "-o", tmp_path / "m"]
    content = json.loads(call(*words, *BRIEF, "--json"))
    shared = set(half.records["patient_id"])
    excluded = down.records["record_id"][down.records["patient_id"].isin(shared)]
    assert content["spec"]["excluded"] == sorted(excluded)
    assert content["spec"]["apart_from"] == [half.fingerprint]
    card = json.loads((tmp_path / "m" / "card.json").read_text(encoding="utf-8"))
    assert card["data"][0]["excluded"] == sorted(excluded)
    counts = content["result"]["records"]
    assert counts["train"] + counts["validation"] + counts["test"] <= down.n_records - len(excluded)
    assert f"{len(excluded)} records excluded" in content["result"]["split"]
