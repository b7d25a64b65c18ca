"""The wheel, installed where nothing else is: it holds its tables and templates and starts without extras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "src" / "ecgtransfer"
# What is not a module but must travel with the modules: tables, templates, scripts and their licences.
CARRIED = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc")
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    )
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs' folder of an environment with the wheel and its core dependencies alone."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--constraint", str(REPOSITORY / "constraints.txt"), str(wheel)])
    return programs


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"py.typed", "report/templates/report.html.j2"} <= set(CARRIED)
    assert {Path(path).name for path in CARRIED} >= {"echarts.min.js", "LICENSE", "NOTICE"}
    assert {f"ecgtransfer/{path}" for path in CARRIED} <= names
    modules = {f"ecgtransfer/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.py")}
    assert modules <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"ecgtransfer"}
    assert not [name for name in names if "__pycache__" in name]


def test_help_runs_without_the_extras(empty: Path) -> None:
    text = run([str(empty / "ecgtransfer"), "--help"])
    for command in ("demo", "prepare", "compare", "advise", "study", "report"):
        assert command in text
        assert "Usage: " in run([str(empty / "ecgtransfer"), command, "--help"])
    installed = run([str(empty / "python"), "-m", "pip", "list", "--format=json"])
    assert not {"torch", "pandas", "scipy", "matplotlib"} & {item["name"] for item in json.loads(installed)}


def test_every_table_and_template_is_read_from_the_installed_package(empty: Path) -> None:
    script = (
        "import json, sys; from importlib.resources import files\n"
        "root = files('ecgtransfer')\n"
        "print(json.dumps({name: len(root.joinpath(name).read_bytes()) for name in json.loads(sys.argv[1])}))"
    )
    sizes = json.loads(run([str(empty / "python"), "-I", "-c", script, json.dumps(CARRIED)]))
    assert sizes == {name: (PACKAGE / name).stat().st_size for name in CARRIED}


@pytest.mark.parametrize("command", ["datasets", "networks"])
def test_lookups_answer_or_say_which_extra_they_need(empty: Path, command: str) -> None:
    done = _run([str(empty / "ecgtransfer"), command])
    assert "Traceback" not in done.stderr + done.stdout
    if done.returncode == 0:
        assert len(done.stdout.splitlines()) > 3
    else:
        assert done.returncode == 2, done.stderr
        assert "ecgtransfer[" in done.stderr


def run(command: list[str]) -> str:
    done = _run(command)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # Outside the repository, so that nothing is found there by accident.
    here = Path(sys.prefix)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, cwd=here, env=environment
    )
