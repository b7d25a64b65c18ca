"""One RunSpec, start to result: the only way a training is ever started."""

from __future__ import annotations

import contextlib
import copy
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ecgtransfer.datasets.splits import split, subset
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import EcgTransferError, StudyError
from ecgtransfer.files import write_json
from ecgtransfer.networks import Network, build, load_encoder, read_card, save_model
from ecgtransfer.progress import Progress
from ecgtransfer.seeds import entropy
from ecgtransfer.study.baselines import BASELINES, fit_baseline
from ecgtransfer.study.judge import describe_model, history_csv, judge, predictions
from ecgtransfer.study.ledger import commit, read_result, working_folder, write_predictions
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.training import Feed, FitSettings, fit, predict_logits
from ecgtransfer.transfer import PRETRAIN, Arm, estimate_normalisation, fit_head, freeze, get_arm
from ecgtransfer.workers import only_here

# How often a training leaves a checkpoint from which a killed run goes on.
CHECKPOINT_SECONDS = 30.0

Positions = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Locations:
    """Where the things that a RunSpec names by content lie on this machine.

    Attributes
    ----------
    stores : mapping
        Fingerprint → store.
    upstreams : mapping
        ``RunSpec.upstream`` → model folder.
    """

    stores: Mapping[str, Path]
    upstreams: Mapping[str, Path] = field(default_factory=dict)


def run(
    spec: RunSpec,
    folder: Path,
    locations: Locations,
    *,
    keep_model: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Carry out one run, or return what is there when ``folder`` holds it already.

    Parameters
    ----------
    spec : RunSpec
    folder : Path
        Gets ``result.json``, ``predictions.npz`` and, when ``keep_model``, the model folder's files. It
        appears whole or not at all; a run that was killed goes on from its checkpoints beside it.
    locations : Locations

    Returns
    -------
    dict
        The content of ``result.json``: ``id``, ``spec``, ``result`` (compared between machines of a kind)
        and ``measured`` (seconds, host).

    Raises
    ------
    StudyError
        When ``folder`` holds another run, or a store or model is not what the spec names, or the model has
        seen the store in its own training.
    EcgTransferError
        When another process is at work on this run.
    """
    if folder.exists():
        if not (folder / "result.json").exists():
            raise StudyError(
                "the folder exists and is not a run", where=folder, remedy="Choose another name, or remove it"
            )
        return read_result(folder, spec)
    store = _store(spec, locations)
    upstream = _upstream(spec, locations)
    parts = _Parts.of(spec, store)  # first, because a size that is refused leaves no folder behind
    working = working_folder(folder)
    with only_here(working / "lock"), _threads(spec.threads), _tidy(working):
        _begin(working, spec)
        started = time.perf_counter()
        if spec.network in BASELINES:
            outcome = _run_baseline(spec, store, parts)
        else:
            outcome = _run_network(spec, store, parts, locations, working, progress)
        logits = {"validation": outcome.validation_logits, "test": outcome.test_logits}
        records = {"validation": parts.validation, "test": parts.test}
        result = {
            "records": {
                "train": len(parts.train),
                "validation": len(parts.validation),
                "test": len(parts.test),
                "without_any_label": parts.unlabelled,
            },
            "split": parts.how,
            **outcome.details,
            **judge(spec, parts.labels, records, logits),
        }
        # A resumed training knows what it took before; the rest was timed here.
        resumed = outcome.training_seconds - outcome.trained_here
        measured = {
            "seconds": round(time.perf_counter() - started + resumed, 3),
            "training_seconds": round(outcome.training_seconds, 3),
            "records_seen": outcome.records_seen,
            "records_per_second": round(outcome.records_seen / max(outcome.training_seconds, 1e-9), 1),
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
        commit(working, folder)
    return read_result(folder, spec)


_KEPT = {"result.json", "predictions.npz", "model.safetensors", "card.json", "history.csv"}


@dataclass(frozen=True)
class _Parts:
    """Record positions of the three parts, the labels of the whole store [records, targets], and how."""

    train: Positions
    validation: Positions
    test: Positions
    labels: Floats
    how: str
    unlabelled: int

    @classmethod
    def of(cls, spec: RunSpec, store: Store) -> _Parts:
        task = store.task(spec.task)
        division = split(store, task, study_seed=spec.study_seed, seed=spec.seed)
        chosen = subset(store, task, division.pool, spec.n, study_seed=spec.study_seed, seed=spec.seed)
        return cls(
            train=chosen.train,
            validation=chosen.validation,
            test=division.test,
            labels=store.labels(task),
            how=division.how,
            unlabelled=division.unlabelled,
        )

    def feed(self, store: Store, records: Positions) -> Feed:
        return Feed(store, records, self.labels[records])


@dataclass
class _Outcome:
    """What a network or a baseline leaves behind before it is judged."""

    validation_logits: Floats
    test_logits: Floats
    details: dict[str, Any]
    network: Network | None = None
    history: tuple[dict[str, float], ...] = ()
    training_seconds: float = 0.0
    trained_here: float = 0.0
    records_seen: int = 0


def _run_baseline(spec: RunSpec, store: Store, parts: _Parts) -> _Outcome:
    fitted = fit_baseline(spec.network, store, parts.train, parts.validation, parts.test, parts.labels)
    return _Outcome(fitted.validation_logits, fitted.test_logits, {"baseline": fitted.as_dict()})


def _run_network(
    spec: RunSpec,
    store: Store,
    parts: _Parts,
    locations: Locations,
    working: Path,
    progress: Progress | None,
) -> _Outcome:
    arm = get_arm(spec.arm)
    network = build(
        spec.network,
        n_leads=len(store.info.leads),
        n_outputs=len(spec.targets),
        n_samples=store.info.n_samples,
        sampling_rate=store.info.sampling_rate,
        encoder_seed=entropy(
            spec.study_seed, spec.seed, "encoder", *(["upstream"] if arm is PRETRAIN else [])
        ),
        head_seed=entropy(spec.study_seed, spec.seed, "head"),
    )
    train, validation = parts.feed(store, parts.train), parts.feed(store, parts.validation)
    details: dict[str, Any] = {}
    if arm.start == "pretrained":
        assert spec.upstream is not None  # _upstream saw to it
        report = load_encoder(network, locations.upstreams[spec.upstream], leads=store.info.leads)
        details["load"] = {
            "matched": len(report.matched),
            "reinitialised": list(report.reinitialised),
            "unexpected": list(report.unexpected),
        }
    outcome = _Outcome(np.empty(0, np.float32), np.empty(0, np.float32), details, network)
    if arm.moves == "head":
        _fit_head(outcome, arm, network, train, validation)
    else:
        _search_rate(outcome, spec, network, train, validation, working, progress)
    # In float32 whatever the training's precision: rounded logits tie, and ties move ranks.
    outcome.validation_logits = predict_logits(network, validation)
    outcome.test_logits = predict_logits(network, parts.feed(store, parts.test))
    return outcome


def _fit_head(outcome: _Outcome, arm: Arm, network: Network, train: Feed, validation: Feed) -> None:
    if arm.start == "random":
        estimate_normalisation(network, train)
    freeze(network.encoder)
    head = fit_head(network, train, validation)
    outcome.details["head"] = {
        "penalty": head.penalty,
        "constant_targets": list(head.constant_targets),
        "unfinished_targets": list(head.unfinished_targets),
    }


def _search_rate(
    outcome: _Outcome,
    spec: RunSpec,
    network: Network,
    train: Feed,
    validation: Feed,
    working: Path,
    progress: Progress | None,
) -> None:
    """Train once per rate from the same start, and leave the network with the lowest validation loss."""
    budget = spec.budget
    start = copy.deepcopy(network.state_dict())
    found = []
    for number, rate in enumerate(spec.rates):
        network.load_state_dict(start)
        settings = FitSettings(
            updates=budget.updates,
            batch_size=budget.batch_size,
            learning_rate=rate,
            weight_decay=budget.weight_decay,
            warmup_fraction=budget.warmup_fraction,
            clip_norm=budget.clip_norm,
            validate_every=max(1, budget.updates // budget.validations),
            precision=spec.precision,
            augment=budget.augment,
            study_seed=spec.study_seed,
            seed=spec.seed,
        )
        tick = time.perf_counter()
        fitted = fit(
            network,
            train,
            validation,
            settings,
            checkpoint=working / f"checkpoint-{number}.safetensors",
            checkpoint_every=CHECKPOINT_SECONDS,
            progress=_told(progress, budget.updates, rate),
        )
        outcome.trained_here += time.perf_counter() - tick
        outcome.training_seconds += fitted.seconds
        outcome.records_seen += fitted.records_seen
        found.append((rate, fitted, copy.deepcopy(network.state_dict())))
    chosen = choose_rate({rate: fitted.validation_loss for rate, fitted, _ in found})
    fitted, weights = next((fitted, weights) for rate, fitted, weights in found if rate == chosen)
    network.load_state_dict(weights)
    network.eval()
    outcome.history = tuple(fitted.history)
    outcome.details |= {
        "learning_rate": chosen,
        "search": [
            {"rate": rate, "validation_loss": each.validation_loss, "diverged_at": each.diverged_at}
            for rate, each, _ in found
        ],
        "best_update": fitted.best_update,
        "batch_size": fitted.batch_size,
        "diverged_at": fitted.diverged_at,
    }


def choose_rate(losses: Mapping[float, float | None]) -> float:
    """Return the rate with the lowest validation loss; ties take the middle rate.

    Parameters
    ----------
    losses : mapping
        Rate → loss, None where training diverged before its first validation. When all did, the lowest rate
        is taken.
    """
    known = {rate: loss for rate, loss in losses.items() if loss is not None}
    if not known:
        return min(losses)
    best = min(known.values())
    tied = sorted(rate for rate, loss in known.items() if loss <= best)
    return tied[len(tied) // 2]


def _told(progress: Progress | None, updates: int, rate: float) -> Callable[[int, float, float], None] | None:
    """Turn the loop's report after every update into a progress line with loss and throughput."""
    if progress is None:
        return None

    def tell(done: int, loss: float, speed: float) -> None:
        progress.update(done, updates, f"rate {rate:g}  loss {loss:.4f}  {speed:.0f} records/s")

    return tell


@contextlib.contextmanager
def _tidy(working: Path) -> Iterator[None]:
    """Remove the working folder of a run that is refused before it has anything to go on from."""
    try:
        yield
    except EcgTransferError:
        if not any(working.glob("checkpoint-*")):
            shutil.rmtree(working, ignore_errors=True)
        raise


def _begin(working: Path, spec: RunSpec) -> None:
    """Empty the working folder of all but the checkpoints of this very spec."""
    note = working / "spec.json"
    described = json.loads(json.dumps(spec.as_dict()))
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


def _upstream(spec: RunSpec, locations: Locations) -> dict[str, Any] | None:
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
    return card


def _host(spec: RunSpec) -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "threads": spec.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
