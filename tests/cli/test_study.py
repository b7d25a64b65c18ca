"""`ecgtransfer study`: the real commands on small data, Ctrl-C and on again, and what each refusal says."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.study.folder import read_study
from ecgtransfer.study.status import StudyFolder
from tests.small import NETWORK, write_store

COMMAND = Path(sys.executable).with_name("ecgtransfer")
PLAN = f"""\
networks = ["{NETWORK}"]
arms = ["full"]
seeds = 2
baselines = ["age-sex"]
[budget]
updates = 4
batch_size = 8
validations = 2
[search]
rates = [0.001, 0.01]
tuning_seeds = 1
[pretraining]
updates = 4
batch_size = 8
validations = 2
seeds = 1
[[upstream]]
store = "up.ecgs"
task = "waves"
[[downstream]]
store = "down.ecgs"
task = "waves"
sizes = [20]
"""
# 1 pre-training, 2 tuning runs, and scratch, full and a baseline at 2 seeds.
RUNS = 9
HEAVY = ("torch", "pandas", "sklearn", "scipy", "matplotlib", "pyarrow", "wfdb", "jinja2")

Ended = Callable[..., tuple[object, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_store(folder / "down.ecgs")
    write_store(folder / "up.ecgs", seed=5)
    (folder / "plan.toml").write_text(PLAN)
    return folder


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ended:
    """Return a function that runs a command in this process: words → exit code, stdout, stderr."""

    def run(*words: object) -> tuple[object, str, str]:
        from ecgtransfer.cli.main import main

        monkeypatch.setattr(sys, "argv", ["ecgtransfer", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return run


def refused(ended: Ended, *words: object) -> str:
    code, out, err = ended(*words)
    assert (code, out) == (2, ""), err
    assert err.startswith("ecgtransfer: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


@pytest.fixture(scope="module")
def finished(place: Path) -> Path:
    """Return the folder of a study that the installed command ran whole."""
    out = place / "whole"
    done = subprocess.run(
        [COMMAND, "study", "run", place / "plan.toml", "-o", out, "--workers", "1", "--json"],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)
    assert findings["study"]["name"] == "plan"
    assert done.stderr.splitlines()[-1].startswith(f"plan: {RUNS} of {RUNS} runs done")
    return out


@pytest.mark.parametrize(
    "words", [["study", "--help"], ["study", "run", "--help"], ["study", "status", "--help"]]
)
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


class TestDryRun:
    def test_nothing_is_written(self, ended: Ended, place: Path) -> None:
        out = place / "dry"
        code, text, err = ended("study", "run", place / "plan.toml", "--dry-run", "-o", out, "--workers", 2)
        assert (code, err) == (0, "")
        assert not out.exists()
        rows = {words[0]: words[1:4] for words in map(str.split, text.splitlines()) if words}
        assert rows["pre-training"] == ["1", "0", "1"]
        assert rows["evidence"] == ["6", "0", "4"]
        assert re.search(r"Time: about .* with 2 processes", text)
        assert "Disk: about " in text
        assert re.search(rf"\n{NETWORK}, full +20 ", text)  # the rest of the contrast is on the next line
        assert "'Equivalent' (within ±0.01) is out of reach" in text

    def test_as_json_and_without_a_folder(self, ended: Ended, place: Path) -> None:
        code, text, err = ended("study", "run", place / "plan.toml", "--dry-run", "--json", "--workers", 1)
        assert (code, err) == (0, "")
        found = json.loads(text)
        assert (found["runs"], found["done"], found["trainings"], found["fits"]) == (RUNS, 0, 9, True)
        assert found["seconds"] > 0
        assert found["primary"][0]["equivalent_in_reach"] is False

    def test_of_a_finished_study(self, ended: Ended, place: Path, finished: Path) -> None:
        words = ["study", "run", place / "plan.toml", "-o", finished, "--dry-run", "--json"]
        found = json.loads(ended(*words)[1])
        assert (found["done"], found["seconds"], found["how"]) == (RUNS, 0, "Every run is finished")


class TestStatus:
    def test_as_a_table_and_as_json(self, ended: Ended, finished: Path) -> None:
        code, text, err = ended("study", "status", finished)
        assert (code, err) == (0, "")
        assert text.startswith(f"plan: {RUNS} of {RUNS} runs done; all runs are finished\n")
        assert "auroc" not in text.lower()
        found = json.loads(ended("study", "status", finished, "--json")[1])
        assert (found["runs"], found["done"], found["complete"], found["reported"]) == (
            RUNS,
            RUNS,
            True,
            True,
        )
        assert found["seconds_left"] == 0

    def test_watching_ends_when_the_study_is_complete(self, ended: Ended, finished: Path) -> None:
        code, text, _ = ended("study", "status", finished, "--watch")
        assert (code, text) == (0, f"plan: {RUNS} of {RUNS} runs done\n")

    def test_what_it_refuses(self, ended: Ended, place: Path, finished: Path) -> None:
        said = refused(ended, "study", "status", place / "none")
        assert f"{place / 'none'}: the folder does not exist" in said
        assert "there is no study in this folder" in refused(ended, "study", "status", place)
        assert "--json: goes without --watch" in refused(
            ended, "study", "status", finished, "--watch", "--json"
        )


def test_ctrl_c_leaves_a_study_that_goes_on_and_ends_like_an_uninterrupted_one(
    place: Path, finished: Path
) -> None:
    out = place / "interrupted"
    words = [COMMAND, "study", "run", "plan.toml", "-o", "interrupted", "--workers", "2", "--quiet"]
    # A group of its own, because that is what a terminal interrupts.
    running = subprocess.Popen(
        words,
        cwd=place,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Tests that run in the background of a shell ignore it, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 300
    while running.poll() is None and time.monotonic() < end:
        if (out / "plan.json").exists() and StudyFolder(out).look().done >= 3:
            break
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    text, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert text == ""
    assert "Traceback" not in err
    told = "ecgtransfer study run plan.toml -o interrupted --workers 2 --quiet\n"
    assert err.endswith(f"Go on with:\n  {told}")
    standing = StudyFolder(out).look()
    assert 3 <= standing.done < RUNS
    assert standing.at_work == ()
    assert not standing.reported
    again = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again.stderr
    for run in read_study(finished).planned:
        assert read_study(out).ledger.result(run.spec) == read_study(finished).ledger.result(run.spec)


def test_ctrl_c_says_how_to_go_on_in_commands_without_a_study(place: Path) -> None:
    """The parser turns it into an exit code of its own, without a word."""
    words = [COMMAND, "pretrain", "up.ecgs", "-o", "model", "--task", "waves", "--network", NETWORK]
    running = subprocess.Popen(
        [*words, "--updates", "1000000", "--threads", "1"],
        cwd=place,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stderr is not None
    begun = running.stderr.readline()  # progress: the training is on its way
    assert begun.startswith(f"{NETWORK} pretrain")
    os.killpg(running.pid, signal.SIGINT)
    text, err = running.communicate(timeout=120)
    assert (running.returncode, text) == (130, "")
    assert "Traceback" not in err
    assert err.endswith("\nStopped. What was finished is kept; to go on, give the same command again.\n")


class TestRefusals:
    @pytest.mark.parametrize(
        ("before", "after", "sentence"),
        [
            ("networks", "netwroks", "plan.toml, line 1: unknown key 'netwroks'. Did you mean networks?"),
            (NETWORK, "resnet", "plan.toml, line 1: there is no network 'resnet'"),
            ('"full"', '"fulll"', "plan.toml, line 2: unknown arm 'fulll'. Did you mean full?"),
            ("down.ecgs", "nowhere.ecgs", "plan.toml, line 21: there is no store at"),
            ("[20]", "[5000]", "down.ecgs: size 5000 of the downstream 'down' is more than the"),
            ('"down.ecgs"', '"up.ecgs"', "up.ecgs: upstream and downstream are the same store"),
        ],
    )
    @pytest.mark.parametrize("dry", [True, False])
    def test_a_plan_that_cannot_be_run(
        self, ended: Ended, place: Path, before: str, after: str, sentence: str, dry: bool
    ) -> None:
        assert before in PLAN
        path = place / "broken" / "plan.toml"
        path.parent.mkdir(exist_ok=True)
        text = PLAN.replace(before, after, 1).replace('store = "', 'store = "../')
        path.write_text(text)
        out = place / "never"
        said = refused(ended, "study", "run", path, "-o", out, *(["--dry-run"] if dry else ["--quiet"]))
        assert sentence in said
        assert not out.exists()

    def test_other_signals(self, ended: Ended, place: Path) -> None:
        write_store(place / "wide.ecgs", seed=6, leads=("I", "II", "V1"))
        path = place / "wide.toml"
        path.write_text(PLAN.replace("up.ecgs", "wide.ecgs"))
        said = refused(ended, "study", "run", path, "--dry-run")
        assert "wide.ecgs: the upstream has leads I II V1 and the downstream I II" in said

    def test_options_that_do_not_fit(self, ended: Ended, place: Path) -> None:
        plan = place / "plan.toml"
        assert "--out: a study needs a folder" in refused(ended, "study", "run", plan)
        words = ["study", "run", plan, "-o", place / "never"]
        assert "unknown executor 'locla'. Did you mean local?" in refused(
            ended, *words, "--executor", "locla"
        )
        assert "--address: belongs to --executor ray" in refused(ended, *words, "--address", "10.0.0.1")
        assert "there is no such file" in refused(ended, "study", "run", place / "no.toml", "--dry-run")
        assert not (place / "never").exists()

    def test_a_folder_that_holds_another_study(self, ended: Ended, place: Path, finished: Path) -> None:
        path = place / "other.toml"
        path.write_text(PLAN.replace("seeds = 2", "seeds = 3"))
        said = refused(ended, "study", "run", path, "-o", finished, "--quiet")
        assert "holds a study with other settings" in said

    @pytest.mark.parametrize(
        ("code", "sentence"),
        [
            (
                errno.ENOSPC,
                "No space left on device (plan.json). Free some space, or choose another disk, and",
            ),
            (errno.EROFS, "Read-only file system (plan.json). Check that it is yours to write to, or choose"),
            (errno.EACCES, "Permission denied (plan.json). Check that it is yours to write to, or choose"),
            (errno.EIO, "Input/output error (plan.json). Check the disk or the network drive; what was fini"),
        ],
    )
    def test_a_disk_that_is_full_read_only_or_broken(
        self, ended: Ended, place: Path, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
    ) -> None:
        def fails(*_: Any, **__: Any) -> None:
            raise OSError(code, os.strerror(code), "plan.json")

        monkeypatch.setattr("ecgtransfer.study.folder.write_json", fails)
        said = refused(ended, "study", "run", place / "plan.toml", "-o", place / "full", "--quiet")
        assert sentence in said

    def test_a_disk_that_fills_up_in_the_middle(
        self, ended: Ended, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was finished stays, and the same command goes on when there is space again."""
        written = 0

        def fills_up(path: Path, parts: Any) -> None:
            nonlocal written
            written += 1
            if written > 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            kept(path, parts)

        from ecgtransfer.study.ledger import write_predictions as kept

        words = ["study", "run", place / "plan.toml", "-o", place / "filled", "--workers", 1, "--quiet"]
        with monkeypatch.context() as patched:
            patched.setattr("ecgtransfer.study.run.write_predictions", fills_up)
            said = refused(ended, *words)
        assert "No space left on device (" in said
        assert "Free some space" in said
        assert StudyFolder(place / "filled").look().done == 2
        assert ended(*words)[0] == 0
        assert StudyFolder(place / "filled").look().complete
