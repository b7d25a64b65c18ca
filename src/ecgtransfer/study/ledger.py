"""Results on disk: one folder per run id, whole or not there; resuming is skipping what is there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import StudyError
from ecgtransfer.files import make_folder
from ecgtransfer.study.spec import RUNNER_VERSION, RunSpec

_REPEATED = "Remove this run's folder and start again: the run is repeated"
PREDICTION_FIELDS = ("record_id", "patient_id", "logits", "labels")


@dataclass(frozen=True)
class Predictions:
    """What a run said of one part of the store.

    Attributes
    ----------
    record_id, patient_id : array of str [records]
    logits : float32 [records, targets]
    labels : float32 [records, targets]
        1 present, 0 absent, NaN unknown.
    """

    record_id: NDArray[np.str_]
    patient_id: NDArray[np.str_]
    logits: NDArray[np.float32]
    labels: NDArray[np.float32]


class Ledger:
    """The runs of a study.

    Parameters
    ----------
    path : Path
        The study's folder; runs lie in ``runs/<id>/``.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.runs = self.path / "runs"

    def folder(self, run_id: str) -> Path:
        """Return where a run lies, or will lie."""
        return self.runs / run_id

    def has(self, spec: RunSpec) -> bool:
        """Say whether the run is complete; a folder whose content contradicts its name is an error."""
        folder = self.folder(spec.id)
        if not folder.exists():
            return False
        read_result(folder, spec)
        return True

    def is_complete(self, run_id: str) -> bool:
        """Say whether a run of this id lies here, without reading it."""
        return (self.folder(run_id) / "result.json").exists()

    def sweep(self) -> None:
        """Remove what killed processes left of runs that are complete."""
        if not self.runs.exists():
            return
        for path in self.runs.iterdir():
            name = path.name.removeprefix(".").partition(".")[0]
            if path.name.startswith(".") and path.name.endswith(".partial") and self.is_complete(name):
                shutil.rmtree(path, ignore_errors=True)

    def result(self, spec: RunSpec) -> dict[str, Any]:
        """Return the ``result`` part of a run: what is compared between machines of a kind."""
        result: dict[str, Any] = read_result(self.folder(spec.id), spec)["result"]
        return result

    def measured(self, spec: RunSpec) -> dict[str, Any]:
        """Return the ``measured`` part of a run: seconds and host."""
        measured: dict[str, Any] = read_result(self.folder(spec.id), spec)["measured"]
        return measured

    def predictions(self, spec: RunSpec, part: str) -> Predictions:
        """Return the predictions of a run for ``part``, 'validation' or 'test'."""
        return read_predictions(self.folder(spec.id), part)


def read_result(folder: Path, spec: RunSpec | None = None) -> dict[str, Any]:
    """Read a run folder's result.json and check that it is the run it is taken for.

    Raises
    ------
    StudyError
        When the file is missing or broken, or belongs to another run.
    """
    path = folder / "result.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = content["spec"].get("version", RUNNER_VERSION)
        found = RunSpec.from_dict(content["spec"]) if version == RUNNER_VERSION else None
    except FileNotFoundError:
        raise StudyError(
            "a run without its result", where=folder, remedy="Remove this folder and start again"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"the result cannot be read ({error})",
            where=path,
            remedy=_REPEATED,
        ) from None
    if found is None:
        raise StudyError(
            f"the run was made by version {version} of the recipe, and this is version {RUNNER_VERSION}",
            where=folder,
            remedy="Start anew in another folder, or go on with the ecgtransfer that made it",
        )
    if spec is not None and found != spec:
        raise StudyError(
            "the folder holds another run",
            where=folder,
            remedy="Choose another folder, or remove this one",
        )
    return content


def write_predictions(folder: Path, parts: dict[str, Predictions]) -> None:
    """Write ``predictions.npz`` with arrays ``<part>_<field>``; the bytes depend on the content alone."""
    arrays = {
        f"{part}_{name}": getattr(predictions, name)
        for part, predictions in parts.items()
        for name in PREDICTION_FIELDS
    }
    np.savez(folder / "predictions.npz", allow_pickle=False, **arrays)


def read_predictions(folder: Path, part: str) -> Predictions:
    """Read one part of a run folder's predictions.

    Raises
    ------
    StudyError
        When the file is missing or broken, or the run kept none for this part: one that chose a rate never
        opened its test part.
    """
    path = folder / "predictions.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Predictions(*(arrays[f"{part}_{name}"] for name in PREDICTION_FIELDS))
    except FileNotFoundError:
        raise StudyError("a run without its predictions", where=path, remedy=_REPEATED) from None
    except KeyError:
        raise StudyError(f"this run has no predictions for its {part} part", where=path) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StudyError(
            f"the predictions cannot be read ({error})",
            where=path,
            remedy=_REPEATED,
        ) from None


def working_folder(folder: Path, *, adopt: bool = False) -> Path:
    """Return (and make) the folder that a run works in until it is whole: its checkpoints survive a kill.

    Parameters
    ----------
    folder : Path
        What the run will be called.
    adopt : bool
        For a run that is leased. The folder then has a name of its own, and what another process left of this
        run is moved into it: should that process still live, its paths lead nowhere, and it cannot disturb.
    """
    if not adopt:
        working = folder.parent / f".{folder.name}.partial"
        make_folder(working)
        return working
    make_folder(folder.parent)
    working = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    for left in _partial(folder.parent, folder.name):
        if not working.exists():
            with contextlib.suppress(OSError):
                left.rename(working)
                (working / "lock").unlink(missing_ok=True)
        shutil.rmtree(left, ignore_errors=True)
    working.mkdir(exist_ok=True)
    return working


def commit(working: Path, folder: Path) -> None:
    """Give a finished working folder its name. One that is there already wins: equal ids are equal runs."""
    # What has the name is whole even if the power fails.
    for path in (*working.iterdir(), working):
        _to_disk(path)
    try:
        os.rename(working, folder)
    except OSError:
        if not (folder / "result.json").exists():
            raise
        shutil.rmtree(working, ignore_errors=True)
    _to_disk(folder.parent)


def _partial(runs: Path, name: str) -> list[Path]:
    """Return the folders in which a run was worked on, the newest first."""
    found = [
        path
        for path in runs.iterdir()
        if path.name.startswith(f".{name}.") and path.name.endswith(".partial")
    ]
    return sorted(found, key=_changed, reverse=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # its process has finished or removed it meanwhile
        return 0.0


def _to_disk(path: Path) -> None:
    """Wait until a file, or the list of a folder's files, has reached the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # systems that do not open folders
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
