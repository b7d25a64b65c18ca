"""A finished study's runs for the tools in which a group watches its trainings: TensorBoard and MLflow."""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgtransfer.errors import ConfigError
from ecgtransfer.report.gather import Done
from ecgtransfer.study.folder import Study
from ecgtransfer.study.planned import Planned

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Macro averages over the targets that the study fixed before its first run.
TEST_METRICS = ("auroc", "auprc", "f1", "brier", "ece")
# By it a run is found again in MLflow, where its name can be changed by hand.
TAG = "ecgtransfer.run"
# MLflow's tracking server takes so many runs in one answer.
_PAGE = 1000


@dataclass(frozen=True)
class _Tracked:
    """A run as the trackers take it: what it was asked, what came out, and when it ended."""

    name: str
    parameters: dict[str, str | int | float]
    metrics: dict[str, float]
    step: int
    ended: float  # seconds since 1970


def write_tensorboard(study: Study, folder: Path) -> int:
    """Write every run of a finished study for TensorBoard: ``FOLDER/<run id>/events.out.tfevents.…``.

    Parameters and metrics are those of the HParams tab; each metric is a scalar as well, at the step that is
    the run's number of updates. What a run has no value of is not written: a learning rate where only a head
    was fitted, test metrics where the test part was never opened.

    Parameters
    ----------
    study : Study
    folder : Path
        For ``tensorboard --logdir``. Runs that it holds already are left as they are; one that two studies
        share is there once.

    Returns
    -------
    int
        How many runs were written; the others were there.

    Raises
    ------
    ConfigError
        TensorBoard is not installed, or ``folder`` is a file.
    StudyError
        A run is missing or broken: test results are shown when all are there, not before.
    """
    _need("TensorBoard", "tensorboard", "torch")
    if folder.exists() and not folder.is_dir():
        raise ConfigError("the folder for TensorBoard is a file", where=folder, remedy="Choose another name")
    written = 0
    for run in _tracked(study):
        if not (folder / run.name).exists():
            _write_events(run, folder)
            written += 1
    return written


def write_mlflow(study: Study, uri: str) -> int:
    """Write every run of a finished study to MLflow, into an experiment of the study's name and hash.

    What a run has no value of is not written, see `write_tensorboard`.

    Parameters
    ----------
    study : Study
    uri : str
        The tracking URI: a server (``http://…``) or a database (``sqlite:///mlflow.db``). Runs that the
        experiment holds already are left as they are.

    Returns
    -------
    int
        How many runs were written; the others were there.

    Raises
    ------
    ConfigError
        MLflow is not installed, or refuses the URI.
    StudyError
        A run is missing or broken: test results are shown when all are there, not before.
    """
    # MLflow reports its use to its makers unless told not to; who wants that sets the variable to "false".
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # The small package reaches databases only beside these two.
    _need("MLflow", "mlflow", "sqlalchemy", "alembic")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    runs = list(_tracked(study))
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, study)
        there = _there(client, experiment)
        new = [run for run in runs if run.name not in there]
        for run in new:
            _write_run(run, client, experiment)
    except (MlflowException, SQLAlchemyError) as error:
        # The first sentence says what is wrong; what follows is a page of advice.
        said = str(error).strip().splitlines()[0].partition(". ")[0].rstrip(".")
        raise ConfigError(
            f"MLflow cannot write there ({said})",
            where=uri,
            remedy="Give the address of a tracking server, or a database such as sqlite:///mlflow.db",
        ) from error
    return len(new)


def _tracked(study: Study) -> Iterator[_Tracked]:
    """Yield the study's runs, each once, after making sure that all of them are there."""
    done = [(planned, Done(planned, study.ledger)) for planned in study.planned]
    for planned, run in done:
        ended = (study.ledger.folder(run.spec.id) / "result.json").stat().st_mtime
        yield _Tracked(
            run.spec.id, _parameters(planned, run, study), _metrics(run), run.spec.budget.updates, ended
        )


def _parameters(planned: Planned, run: Done, study: Study) -> dict[str, str | int | float]:
    spec = run.spec
    asked = {
        "purpose": planned.purpose,
        "network": spec.network,
        "arm": spec.arm,
        "upstream": planned.upstream,
        "downstream": planned.downstream,
        # As text, so that the column is of one kind; the number is beside it.
        "n": "all" if spec.n is None else str(spec.n),
        "labels_used": run.labels_used,
        "seed": spec.seed,
        "pretraining_seed": planned.pretraining_seed,
        "learning_rate": run.result.get("learning_rate"),
        "updates": spec.budget.updates,
        "store": spec.store,
        "study": study.description["hash"],
    }
    return {name: value for name, value in asked.items() if value is not None}


def _metrics(run: Done) -> dict[str, float]:
    found: dict[str, Any] = {"validation_loss": run.result["validation_loss"]}
    if "test" in run.result:
        found |= {f"test_{name}": run.macro(name) for name in TEST_METRICS}
    found |= {name: run.measured.get(name) for name in ("seconds", "records_seen")}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _write_events(run: _Tracked, folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    # Under another name until it is whole, so that a writer that was killed leaves no half of a run.
    working = folder / f".{run.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        with SummaryWriter(str(working)) as writer:
            # `add_hparams` would make a second run below this one.
            for summary in hparams(run.parameters, run.metrics):  # type: ignore[no-untyped-call]
                writer.file_writer.add_summary(summary, walltime=run.ended)
            for name, value in run.metrics.items():
                writer.add_scalar(name, value, run.step, walltime=run.ended)
        working.rename(folder / run.name)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise


def _experiment(client: MlflowClient, study: Study) -> str:
    """Return the id of the study's experiment, which is made where it is not there yet."""
    name = f"{study.description['plan']['name']} {study.description['hash']}"
    found = client.get_experiment_by_name(name)
    return client.create_experiment(name) if found is None else str(found.experiment_id)


def _there(client: MlflowClient, experiment: str) -> set[str]:
    """Return the runs that are whole; what a killed writer left of others is removed."""
    whole: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], max_results=_PAGE, page_token=token)
        for run in page:
            if run.info.status == "FINISHED":
                whole.add(run.data.tags.get(TAG, ""))
            elif TAG in run.data.tags:
                client.delete_run(run.info.run_id)
        token = page.token
        if not token:
            return whole


def _write_run(run: _Tracked, client: MlflowClient, experiment: str) -> None:
    from mlflow.entities import Metric, Param

    end = round(run.ended * 1000)
    begin = end - round(run.metrics.get("seconds", 0.0) * 1000)
    made = client.create_run(experiment, start_time=begin, tags={TAG: run.name}, run_name=run.name)
    client.log_batch(
        made.info.run_id,
        metrics=[Metric(name, value, end, run.step) for name, value in run.metrics.items()],
        params=[Param(name, str(value)) for name, value in run.parameters.items()],
    )
    client.set_terminated(made.info.run_id, end_time=end)


def _need(tool: str, *packages: str) -> None:
    """Say in one sentence what to install where one of these packages is missing."""
    for package in packages:
        try:
            import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            raise ConfigError(
                f"writing for {tool} needs the package {package}, which is not installed",
                remedy="Install it with: pip install 'ecgtransfer[trackers]'",
            ) from None
