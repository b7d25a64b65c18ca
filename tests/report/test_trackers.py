"""A study's runs in TensorBoard and MLflow, read back by their own readers."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.errors import ConfigError, StudyError
from ecgtransfer.report.trackers import TAG, write_mlflow, write_tensorboard
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import Study, freeze, read_study
from ecgtransfer.study.planned import Planned
from tests.report.invented import SECONDS, fill
from tests.small import BUDGET, NETWORK, contents, make_plan, write_store

Run = tuple[dict[str, Any], dict[str, float]]
UPDATES = 16
TESTED = {"test_auroc", "test_auprc", "test_f1", "test_brier", "test_ece"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("trackers")
    down, up = write_store(folder / "down.ecgs"), write_store(folder / "up.ecgs", seed=5)
    plan = make_plan(
        down.path,
        up.path,
        arms=("full", "linear-probe"),
        tuning_seeds=1,
        convergence=(20,),
        baselines=("age-sex",),
        budget=dataclasses.replace(BUDGET, updates=UPDATES),
    )
    frozen = freeze(expand(plan), folder / "study")
    fill(frozen, {store.fingerprint: store for store in (down, up)})
    return read_study(folder / "study")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database that MLflow has made, which takes it seconds, and that holds no run."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def database(tmp_path: Path, empty: Path) -> str:
    return f"sqlite:///{shutil.copy(empty, tmp_path)}"


def in_tensorboard(folder: Path) -> dict[str, Run]:
    """Return what TensorBoard reads: run → parameters and metrics, the latter by both of its ways."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    read = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    found = {}
    for name in read.Runs():
        events = read.GetAccumulator(name)
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        told = HParamsPluginData.FromString(content).session_start_info.hparams
        parameters = {key: getattr(value, value.WhichOneof("kind")) for key, value in told.items()}
        scalars = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
        assert all(len(points) == 1 for points in scalars.values())
        assert {points[0].step for points in scalars.values()} == {parameters["updates"]}
        found[name] = parameters, {tag: points[0].value for tag, points in scalars.items()}
    return found


def in_mlflow(uri: str, study: Study) -> dict[str, Run]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(f"small {study.description['hash']}")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert all(run.info.status == "FINISHED" for run in runs)
    assert all(run.data.tags[TAG] == run.info.run_name for run in runs)
    found = {str(run.info.run_name): (run.data.params, run.data.metrics) for run in runs}
    assert len(found) == len(runs)
    return found


def expected(planned: Planned, study: Study) -> Run:
    """Return what result.json, read by itself, says that a tracker should hold."""
    folder = study.path / "runs" / planned.spec.id
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    spec, result = content["spec"], content["result"]
    parameters = {
        "purpose": planned.purpose,
        "network": spec["network"],
        "arm": spec["arm"],
        "n": "all" if spec["n"] is None else str(spec["n"]),
        "labels_used": result["records"]["train"] + result["records"]["validation"],
        "seed": spec["seed"],
        "updates": spec["budget"]["updates"],
        "store": spec["store"],
        "study": study.description["hash"],
    }
    for name in ("upstream", "downstream", "pretraining_seed"):
        if getattr(planned, name) is not None:
            parameters[name] = getattr(planned, name)
    if "learning_rate" in result:
        parameters["learning_rate"] = result["learning_rate"]
    metrics = {
        "validation_loss": result["validation_loss"],
        "seconds": SECONDS,
        "records_seen": content["measured"]["records_seen"],
    }
    if "test" in result:
        metrics |= {name: result["test"]["macro"][name.removeprefix("test_")] for name in TESTED}
    return parameters, {name: value for name, value in metrics.items() if value is not None}


def test_the_study_has_runs_of_every_kind(study: Study) -> None:
    runs = [expected(planned, study) for planned in study.planned]
    assert {parameters["purpose"] for parameters, _ in runs} == {
        "pretraining", "tuning", "evidence", "convergence",
    }  # fmt: skip
    assert {parameters["network"] for parameters, _ in runs} == {NETWORK, "age-sex"}
    for parameters, metrics in runs:
        assert (set(metrics) >= TESTED) == (parameters["purpose"] != "tuning")
        assert ("learning_rate" in parameters) == (parameters["arm"] not in ("linear-probe", "baseline"))


def test_tensorboard_reads_every_run(study: Study, tmp_path: Path) -> None:
    assert write_tensorboard(study, tmp_path / "events") == len(study.planned)
    found = in_tensorboard(tmp_path / "events")
    assert set(found) == {planned.spec.id for planned in study.planned}
    for planned in study.planned:
        parameters, metrics = expected(planned, study)
        assert found[planned.spec.id][0] == parameters
        assert found[planned.spec.id][1] == pytest.approx(metrics, rel=1e-6)  # event files hold float32


def test_mlflow_reads_every_run(study: Study, database: str) -> None:
    assert write_mlflow(study, database) == len(study.planned)
    found = in_mlflow(database, study)
    assert set(found) == {planned.spec.id for planned in study.planned}
    for planned in study.planned:
        parameters, metrics = expected(planned, study)
        assert found[planned.spec.id] == ({key: str(value) for key, value in parameters.items()}, metrics)


def test_a_second_call_adds_only_what_is_missing(study: Study, tmp_path: Path, database: str) -> None:
    from mlflow import MlflowClient

    events, lost = tmp_path / "events", study.planned[0].spec.id
    write_tensorboard(study, events)
    write_mlflow(study, database)
    before, stored = contents(events), in_mlflow(database, study)
    assert write_tensorboard(study, events) == 0
    assert write_mlflow(study, database) == 0
    assert contents(events) == before
    assert in_mlflow(database, study) == stored

    shutil.rmtree(events / lost)
    client = MlflowClient(tracking_uri=database)
    experiment = client.get_experiment_by_name(f"small {study.description['hash']}")
    assert experiment is not None
    ids = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    # As a writer leaves it that was killed in the middle of a run.
    client.set_terminated(ids[lost], status="RUNNING")
    assert write_tensorboard(study, events) == 1
    assert write_mlflow(study, database) == 1
    assert set(in_tensorboard(events)) == {planned.spec.id for planned in study.planned}
    assert in_mlflow(database, study) == stored


def test_a_run_that_could_not_be_written_leaves_no_half(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils.tensorboard import SummaryWriter

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(SummaryWriter, "add_scalar", full)
        with pytest.raises(OSError, match="No space left"):
            write_tensorboard(study, tmp_path / "events")
    assert list((tmp_path / "events").iterdir()) == []
    assert write_tensorboard(study, tmp_path / "events") == len(study.planned)


def test_nothing_is_shown_before_all_runs_are_there(study: Study, tmp_path: Path, database: str) -> None:
    shutil.copytree(study.path, tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "runs" / study.planned[-1].spec.id)
    left = read_study(tmp_path / "study")
    for write in (
        lambda: write_tensorboard(left, tmp_path / "events"),
        lambda: write_mlflow(left, database),
    ):
        with pytest.raises(StudyError, match=f"the run {study.planned[-1].spec.id} .* is missing"):
            write()
    assert {path.name for path in tmp_path.iterdir()} == {"study", "mlflow.db"}


@pytest.mark.parametrize("missing", ["tensorboard", "mlflow", "sqlalchemy", "alembic"])
def test_a_missing_library_is_one_clear_sentence(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    tool = "TensorBoard" if missing == "tensorboard" else "MLflow"
    write: Callable[[], int] = (
        (lambda: write_tensorboard(study, tmp_path / "events"))
        if missing == "tensorboard"
        else (lambda: write_mlflow(study, f"sqlite:///{tmp_path / 'mlflow.db'}"))
    )
    with pytest.raises(ConfigError) as refused:
        write()
    assert str(refused.value) == (
        f"writing for {tool} needs the package {missing}, which is not installed. "
        "Install it with: pip install 'ecgtransfer[trackers]'"
    )
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to(study: Study, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: the folder for TensorBoard is a file"):
        write_tensorboard(study, tmp_path / "file")
    with pytest.raises(ConfigError, match=r"^postgres-no://there: MLflow cannot write there \(.+\)\. Give"):
        write_mlflow(study, "postgres-no://there")


def test_a_database_that_does_not_answer(
    study: Study, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from sqlalchemy.exc import OperationalError

    def locked(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", locked)
    with pytest.raises(
        ConfigError, match=r"mlflow\.db: MLflow cannot write there \(.*database is locked\)\. "
    ):
        write_mlflow(study, database)


Ended = Callable[..., tuple[object, str, str]]


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


def test_the_command_writes_both_and_says_so(
    ended: Ended, study: Study, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The page itself is another test's matter.
    conducting = importlib.import_module("ecgtransfer.conduct")  # the package's name is the function's
    monkeypatch.setattr(conducting, "redraw", lambda folder, beside: {"redrawn": folder.name})
    words = ("report", study.path, "--tensorboard", tmp_path / "events", "--mlflow", database, "--json")
    for number in (len(study.planned), 0):
        code, out, err = ended(*words)
        assert (code, json.loads(out)) == (0, {"redrawn": "study"})
        assert f"TensorBoard: {number} runs written to {tmp_path / 'events'}\n" in err
        assert f"MLflow: {number} runs written to {database}\n" in err
    assert set(in_mlflow(database, study)) == set(in_tensorboard(tmp_path / "events"))
