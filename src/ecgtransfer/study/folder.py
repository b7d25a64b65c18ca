"""A study's folder: what was asked is frozen there before any test part is opened, and read back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgtransfer.datasets.splits import FIXED_TEST_FROM, N_FOLDS, OFFICIAL_TEST_FOLD
from ecgtransfer.errors import StudyError
from ecgtransfer.files import hash_json, write_bytes, write_json
from ecgtransfer.study.differing import differing
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.planned import Downstream, Expanded, Planned, Start
from ecgtransfer.study.plans.plan import Contrast, StudyPlan
from ecgtransfer.study.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

# What a study may have left behind when it was stopped; anything else is somebody's.
_OURS = {
    "plan.json", "runs.json", "records", "runs", "leases", "audit.json", "disagreements.json",
    "evidence.json", "report.html", "report.md", "tables",
}  # fmt: skip
# Raised when what `plan.json` holds changes: a report of an older one would miss what it reads.
PLAN_VERSION = 1
PLAN, RUNS, RECORDS = "plan.json", "runs.json", "records"
# What is known of each test record beside its label, for subgroups.
RECORD_FIELDS = ("record_id", "patient_id", "sex", "age", "source")


@dataclass(frozen=True)
class Study:
    """A study that was frozen.

    Attributes
    ----------
    path : Path
    description : dict
        The content of ``plan.json``: ``version``, ``plan`` (the question, without paths), ``downstreams``,
        ``upstreams``, ``primary`` and ``hash``.
    planned : tuple of Planned
        The exact list of runs.
    """

    path: Path
    description: dict[str, Any]
    planned: tuple[Planned, ...]

    @property
    def ledger(self) -> Ledger:
        """The study's runs on disk."""
        return Ledger(self.path)

    @property
    def primary(self) -> tuple[Contrast, ...]:
        """The contrasts that a verdict is given on."""
        return tuple(Contrast(**contrast) for contrast in self.description["primary"])

    def records(self, downstream: str) -> pd.DataFrame:
        """Return `RECORD_FIELDS` of every record of a downstream store."""
        found = next(each for each in self.description["downstreams"] if each["name"] == downstream)
        return _read_table(_records_path(self.path, found["fingerprint"]))

    def labelled_twice(self, downstream: str) -> pd.DataFrame:
        """Return every two labels of one ECG of a downstream: ``by``, ``target``, ``first``, ``second``.

        ``by`` is ``duplicates`` or ``second opinions``.
        """
        found = next(each for each in self.description["downstreams"] if each["name"] == downstream)
        return _read_table(_twice_path(self.path, found["fingerprint"], found["task"]))


def freeze(expanded: Expanded, out: Path) -> Study:
    """Write what was asked and every run that follows from it; another question there is refused.

    The primary family is part of what the hash covers, so that nobody chooses it after the fact.

    Raises
    ------
    StudyError
        The folder holds another study, or something that is no study.
    """
    if out.exists() and not out.is_dir():
        raise StudyError("the study's folder is a file", where=out, remedy="Choose another name with -o")
    if out.exists() and not {path.name for path in out.iterdir() if path.name[0] != "."} <= _OURS:
        raise StudyError(
            "the folder exists and is not a study",
            where=out,
            remedy="Choose another name with -o, or remove it",
        )
    description = _described(expanded)
    path = out / PLAN
    if not path.exists() and any((out / "runs").glob("*/result.json")):
        raise StudyError(
            "the folder holds finished runs and no plan that they were run for",
            where=out,
            remedy="Restore its plan.json, or start the study anew in another folder: a plan made after the "
            "runs is none",
        )
    if path.exists():
        there = _read_json(path)
        _check_version(there, out)
        if there != description:
            # Where the questions agree, the runs may not: another version, or a machine of other precision.
            runs = {"runs": _read_json(out / RUNS)}, {"runs": _listed(expanded.planned)}
            parted = [*differing(there, description)] or [*differing(*runs)] or ["its hash"]
            raise StudyError(
                f"the folder holds a study with other settings ({'; '.join(parted)})",
                where=out,
                remedy="Choose another folder with -o; the finished runs of that one are not mixed into this",
            )
        return read_study(out)
    for downstream in expanded.downstreams:
        records = downstream.store.records[list(RECORD_FIELDS)]
        write_bytes(_records_path(out, downstream.store.fingerprint), records.to_parquet(index=False))
        twice = _labelled_twice(downstream)
        path_of_twice = _twice_path(out, downstream.store.fingerprint, downstream.task)
        write_bytes(path_of_twice, twice.to_parquet(index=False))
    write_json(out / RUNS, _listed(expanded.planned))
    # Last: with it the study is frozen, and all of the above is there.
    write_json(path, description)
    return Study(out, description, expanded.planned)


def read_study(out: Path) -> Study:
    """Read a frozen study: from its folder, or from one that holds it as ``study``, as `advise` leaves it.

    Raises
    ------
    StudyError
        The folder is no study, or a file of it is broken or was changed.
    """
    if not (out / PLAN).is_file() and (out / "study" / PLAN).is_file():
        out = out / "study"
    if not (out / PLAN).is_file():
        raise StudyError(
            "there is no study in this folder" if out.exists() else "the folder does not exist",
            where=out,
            remedy="Give the folder that `study run`, `compare` or `advise` wrote",
        )
    description = _read_json(out / PLAN)
    _check_version(description, out)
    try:
        listed = _read_json(out / RUNS)
        planned = tuple(
            Planned(
                RunSpec.from_dict(run["spec"]),
                run["purpose"],
                run["downstream"],
                run["upstream"],
                run["pretraining_seed"],
            )
            for run in listed
        )
        stated, found = description["hash"], _hash(description, planned)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _other_version(out, f" ({error})") from None
    if stated != found or [run["id"] for run in listed] != [run.spec.id for run in planned]:
        raise StudyError(
            "the plan was changed after it was frozen",
            where=out / PLAN,
            remedy="Restore the file, or start the study anew in another folder",
        )
    return Study(out, description, planned)


def _check_version(description: Any, out: Path) -> None:
    if not isinstance(description, dict) or description.get("version") != PLAN_VERSION:
        raise _other_version(out)


def _other_version(out: Path, why: str = "") -> StudyError:
    return StudyError(
        f"the plan was written by another version of this program{why}",
        where=out,
        remedy="Start the study anew in another folder, or use the version that wrote it",
    )


def _described(expanded: Expanded) -> dict[str, Any]:
    description = {
        "version": PLAN_VERSION,
        "plan": question(expanded.plan),
        "downstreams": [_told(downstream, expanded.plan) for downstream in expanded.downstreams],
        "upstreams": [_origin(start) for start in expanded.starts],
        "primary": [dataclasses.asdict(contrast) for contrast in expanded.primary],
    }
    description["hash"] = _hash(description, expanded.planned)
    content: dict[str, Any] = json.loads(json.dumps(description))
    return content


def _hash(description: Mapping[str, Any], planned: tuple[Planned, ...]) -> str:
    content = {key: value for key, value in description.items() if key != "hash"}
    return hash_json([json.loads(json.dumps(content)), [_meant(run) for run in planned]])


def _listed(planned: tuple[Planned, ...]) -> list[dict[str, Any]]:
    """Return the list of runs as ``runs.json`` has it."""
    listed: list[dict[str, Any]] = json.loads(
        json.dumps([{**_meant(run), "spec": run.spec.as_dict()} for run in planned])
    )
    return listed


def _meant(run: Planned) -> dict[str, Any]:
    """Return a run by its id, and what the study wants it for."""
    return {
        "id": run.spec.id,
        "purpose": run.purpose,
        "downstream": run.downstream,
        "upstream": run.upstream,
        "pretraining_seed": run.pretraining_seed,
    }


def question(plan: StudyPlan) -> dict[str, Any]:
    """Return the plan as JSON-able values, without its paths: a study may move, and content names content."""
    asked = dataclasses.asdict(plan)
    for key, paths in (("upstreams", ("store", "models")), ("downstreams", ("store",))):
        asked[key] = [{k: v for k, v in each.items() if k not in paths} for each in asked[key]]
    told: dict[str, Any] = json.loads(json.dumps(asked))
    return told


def _told(downstream: Downstream, plan: StudyPlan) -> dict[str, Any]:
    store, info = downstream.store, downstream.store.info
    how, folds = _tested(downstream, plan)
    return {
        "name": downstream.plan.name,
        "task": downstream.task,
        "records": store.n_records,
        "patients": int(store.records["patient_id"].nunique()) if info.patients_known else None,
        "patients_known": info.patients_known,
        "leads": list(info.leads),
        "sampling_rate": info.sampling_rate,
        "seconds": info.n_samples / info.sampling_rate,
        "duplicate_pairs": len(store.duplicates),
        "fingerprint": store.fingerprint,
        "recipe": info.recipe["name"],
        "licence": info.licence,
        "citation": info.citation,
        "split": how,
        "folds": folds,
        "macro_targets": list(downstream.macro.targets),
        "left_out": [{"target": target, "why": why} for target, why in downstream.macro.left_out],
    }


def _tested(downstream: Downstream, plan: StudyPlan) -> tuple[str, int]:
    """Return how the test parts come about, in words, and how many of a partition are tested."""
    name, store = downstream.plan.name, downstream.store
    if plan.protocol == "paper":
        return f"{name} was divided as the published study did, by record", 1
    if store.info.official_folds:
        return f"of {name}, the official fold {OFFICIAL_TEST_FOLD} was tested at every seed", 1
    if store.n_records >= FIXED_TEST_FROM:
        return f"of {name}, one of {N_FOLDS} stratified folds by patient was tested at every seed", 1
    return (
        f"the patients of {name} were divided into {N_FOLDS} stratified folds, of which each seed tests "
        f"another; every {N_FOLDS} seeds they are drawn afresh",
        min(N_FOLDS, plan.seeds),
    )


def _origin(start: Start) -> dict[str, Any]:
    return {
        "name": start.upstream,
        "network": start.network,
        "task": start.task,
        "fingerprint": start.fingerprint,
        "downstreams": list(start.downstreams),
        "starts": list(start.names),
        "downloaded": start.folders is not None and start.flops is None,
        "flops": start.flops,
        "records": start.records,
        "auroc": start.score,
        "left_out": start.left_out,
        "overlap_sought": start.overlap_sought,
    }


def _records_path(out: Path, fingerprint: str) -> Path:
    return out / RECORDS / f"{fingerprint[:16]}.parquet"


def _twice_path(out: Path, fingerprint: str, task: str) -> Path:
    return out / RECORDS / f"{hash_json([fingerprint, task])}-labelled-twice.parquet"


def _labelled_twice(downstream: Downstream) -> pd.DataFrame:
    """Return both labels of each duplicate and of each record with a second opinion, by target."""
    import pandas as pd

    store, pairs = downstream.store, downstream.store.duplicates
    task = store.task(downstream.task)
    labels, second = store.labels(task), task.labels(store.second)
    a, b = (labels[pairs[side].to_numpy(dtype="int64")] for side in ("a", "b"))
    parts = []
    for by, first, other in (("duplicates", a, b), ("second opinions", labels, second)):
        for column, target in enumerate(task.target_names):
            row = {"by": by, "target": target, "first": first[:, column], "second": other[:, column]}
            parts.append(pd.DataFrame(row).dropna())
    return pd.concat(parts, ignore_index=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # what pyarrow raises is one of these
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> StudyError:
    return StudyError(
        f"the file cannot be read ({error})",
        where=path,
        remedy="Restore it, or start the study anew in another folder",
    )
