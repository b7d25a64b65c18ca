"""One RunSpec, start to result: the only way a training is ever started."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import EcgTransferError, StudyError
from ecgtransfer.files import write_json
from ecgtransfer.networks import multiply_adds, read_card, save_model
from ecgtransfer.progress import Progress
from ecgtransfer.study.baselines import BASELINES
from ecgtransfer.study.execution.devices import DeviceKind, device_name, enough_memory, find_device
from ecgtransfer.study.judge import check_recipe, describe_model, history_csv, judge, predictions
from ecgtransfer.study.learn import choose_rate, learn
from ecgtransfer.study.leases import Lease, LeaseLostError
from ecgtransfer.study.ledger import commit, read_result, working_folder, write_predictions
from ecgtransfer.study.protocols import protocol
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.transfer import get_arm
from ecgtransfer.workers import only_here


@dataclass(frozen=True)
class Locations:
    """Where the things that a RunSpec names by content lie on this machine.

    Attributes
    ----------
    stores : mapping
        Fingerprint → store.
    upstreams : mapping
        ``RunSpec.upstream`` → model folder.
    tunings : mapping
        Id in ``RunSpec.tuned_by`` → run folder.
    """

    stores: Mapping[str, Path]
    upstreams: Mapping[str, Path] = field(default_factory=dict)
    tunings: Mapping[str, Path] = field(default_factory=dict)


def run(
    spec: RunSpec,
    folder: Path,
    locations: Locations,
    *,
    keep_model: bool = True,
    progress: Progress | None = None,
    lease: Lease | None = None,
    device: DeviceKind = "cpu",
) -> dict[str, Any]:
    """Carry out one run, or return what is there when ``folder`` holds it already.

    Parameters
    ----------
    spec : RunSpec
    folder : Path
        Gets ``result.json``, ``predictions.npz`` and, when ``keep_model``, the model folder's files. It
        appears whole or not at all; a run that was killed goes on from its checkpoints beside it.
    locations : Locations
    lease : Lease, optional
        What makes the run ours in a ledger that several processes share.
    device : {'cpu', 'cuda'}
        Where its network computes. Not part of the spec: seeds draw the same on both, and results differ by
        rounding alone. A checkpoint made on the other kind is not gone on from.

    Returns
    -------
    dict
        The content of ``result.json``: ``id``, ``spec``, ``result`` (compared between machines of a kind)
        and ``measured`` (seconds, device, host).

    Raises
    ------
    StudyError
        When ``folder`` holds another run, or a store or model is not what the spec names, or the model has
        seen the store in its own training, or a GPU is asked for and torch sees none, or its memory is full.
    EcgTransferError
        When another process is at work on this run.
    LeaseLostError
        When another process took the run over meanwhile: what was learnt here is given up.
    """
    if os.path.lexists(folder):
        if not (folder / "result.json").exists():
            raise StudyError(
                "the folder exists and is not a run", where=folder, remedy="Choose another name, or remove it"
            )
        return read_result(folder, spec)
    found = find_device(device)
    store = _store(spec, locations)
    upstream = _upstream(spec, locations, store)
    rates, tuned = _rates(spec, locations)
    # First, because a size that is refused leaves no folder behind.
    parts = protocol(spec.protocol).divide(spec, store)
    working = working_folder(folder, adopt=lease is not None)
    with only_here(working / "lock"), _threads(spec.threads), _tidy(working), enough_memory(found):
        _begin(working, spec, device)
        started = time.perf_counter()
        start = None if spec.upstream is None else locations.upstreams[spec.upstream]
        outcome = learn(spec, store, parts, start, working, progress, rates=rates, device=found)
        logits = {"validation": outcome.validation_logits}
        records = {"validation": parts.validation}
        if spec.tests:
            logits["test"], records["test"] = outcome.test_logits, parts.test
        result = {
            "records": {
                "train": len(parts.train),
                "validation": len(parts.validation),
                "test": len(parts.test),
                "without_any_label": parts.unlabelled,
            },
            "split": parts.how,
            **outcome.details,
            **({} if outcome.network is None else {"multiply_adds": multiply_adds(outcome.network)}),
            **tuned,
            **judge(spec, parts.labels, records, logits),
        }
        # A resumed training knows what it took before; the rest was timed here.
        resumed = outcome.training_seconds - outcome.trained_here
        measured = {
            "seconds": round(time.perf_counter() - started + resumed, 3),
            "training_seconds": round(outcome.training_seconds, 3),
            "records_seen": outcome.records_seen,
            "records_per_second": round(outcome.records_seen / max(outcome.training_seconds, 1e-9), 1),
            # A baseline has nothing that a GPU could do.
            "device": device_name(torch.device("cpu") if spec.network in BASELINES else found),
            "host": _host(spec),
        }
        content = {"id": spec.id, "spec": spec.as_dict(), "result": result, "measured": measured}
        write_predictions(working, predictions(store, records, logits, parts.labels))
        if keep_model and outcome.network is not None:
            save_model(working, outcome.network, describe_model(spec, store, result, upstream))
            (working / "history.csv").write_text(history_csv(outcome.history), encoding="utf-8")
        write_json(working / "result.json", content)
        for leftover in working.iterdir():
            if leftover.name not in _KEPT:
                leftover.unlink()
        if lease is not None:
            lease.check()
        commit(working, folder)
    return read_result(folder, spec)


_KEPT = {"result.json", "predictions.npz", "model.safetensors", "card.json", "history.csv"}


@contextlib.contextmanager
def _tidy(working: Path) -> Iterator[None]:
    """Remove the working folder of a run that was lost, or refused before it has anything to go on from."""
    try:
        yield
    except EcgTransferError as error:
        if isinstance(error, LeaseLostError) or not any(working.glob("checkpoint-*")):
            shutil.rmtree(working, ignore_errors=True)
        raise


def _begin(working: Path, spec: RunSpec, device: DeviceKind) -> None:
    """Empty the working folder of all but the checkpoints of this very spec, made on this kind of device."""
    note = working / "spec.json"
    described = json.loads(json.dumps(spec.as_dict())) | ({} if device == "cpu" else {"device": device})
    ours = note.exists() and json.loads(note.read_text(encoding="utf-8")) == described
    for leftover in working.iterdir():
        checkpoint = leftover.name.startswith("checkpoint-") and leftover.suffix == ".safetensors"
        if leftover.name != "lock" and not (ours and (checkpoint or leftover == note)):
            leftover.unlink()
    write_json(note, described)


class _threads:  # noqa: N801 – used as a function
    """Hold torch and every other numerical library to a number of threads: their bits depend on it."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        self.limits = threadpool_limits(self.threads)

    def __exit__(self, *_: object) -> None:
        self.limits.restore_original_limits()
        torch.set_num_threads(self.before)


def _store(spec: RunSpec, locations: Locations) -> Store:
    path = locations.stores.get(spec.store)
    if path is None:
        raise StudyError(f"no store with the fingerprint {spec.store} was given")
    # Whoever planned the runs verified every byte; here the sizes are enough.
    store = Store.open(path, verify=False)
    if store.fingerprint != spec.store:
        raise StudyError(
            "the store has changed since the run was planned",
            where=path,
            remedy="Start the study anew in another folder: results of two datasets are not mixed",
        )
    return store


def _upstream(spec: RunSpec, locations: Locations, store: Store) -> dict[str, Any] | None:
    """Return the card of the model that the run starts from, checked against what the spec names."""
    if spec.upstream is None:
        if spec.network not in BASELINES and get_arm(spec.arm).start == "pretrained":
            raise StudyError(f"arm '{spec.arm}' needs a pre-trained model and the run names none")
        return None
    folder = locations.upstreams.get(spec.upstream)
    if folder is None:
        raise StudyError(f"the pre-trained model {spec.upstream} was not given")
    card = read_card(folder)
    kind, _, name = spec.upstream.partition(":")
    if name != (card["weights_sha256"] if kind == "model" else card["run"]):
        raise StudyError(
            "the pre-trained model has changed since the run was planned",
            where=folder,
            remedy="Start the study anew in another folder",
        )
    if spec.store in [data["fingerprint"] for data in card["data"]]:
        raise StudyError(
            "the model was trained on this very store",
            where=folder,
            remedy="It may have seen the test part: choose a model from another store",
        )
    check_recipe(card, store, folder)
    return card


def _rates(spec: RunSpec, locations: Locations) -> tuple[tuple[float, ...], dict[str, Any]]:
    """Return the rates to try here, and what the tuning runs found, where they chose."""
    if not spec.tuned_by:
        return spec.rates, {}
    losses: dict[float, list[float | None]] = {rate: [] for rate in spec.rates}
    for name in spec.tuned_by:
        if name not in locations.tunings:
            raise StudyError(f"the tuning run {name} was not given")
        found = read_result(locations.tunings[name])
        if found["id"] != name or not found["spec"]["tuning"]:
            raise StudyError("the folder is not the tuning run", where=locations.tunings[name])
        for item in found["result"]["search"]:
            losses[item["rate"]].append(item["validation_loss"])
    # A rate at which one tuning run diverged is not chosen for its luck in the others.
    means = {
        rate: None if None in known else sum(loss for loss in known if loss is not None) / len(known)
        for rate, known in losses.items()
    }
    tuning = [
        {"rate": rate, "validation_loss": mean, "runs": len(losses[rate])} for rate, mean in means.items()
    ]
    return (choose_rate(means),), {"tuning": tuning}


def _host(spec: RunSpec) -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "threads": spec.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
