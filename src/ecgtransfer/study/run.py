"""One RunSpec, start to result: the only way a training is ever started."""

from __future__ import annotations

import csv
import io
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgtransfer import __version__
from ecgtransfer.datasets.splits import split, subset
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import EcgTransferError, StudyError
from ecgtransfer.files import hash_file, write_json, write_text
from ecgtransfer.networks import Network, build, load_encoder, save_model
from ecgtransfer.progress import Progress
from ecgtransfer.seeds import entropy
from ecgtransfer.study.baselines import BASELINES, fit_baseline
from ecgtransfer.study.ledger import Predictions, commit, read_result, working_folder, write_predictions
from ecgtransfer.study.plan import RunSpec
from ecgtransfer.training import (
    Feed,
    FitSettings,
    evaluate,
    fit,
    known_bce,
    predict_logits,
    specificity_thresholds,
    thresholds,
)
from ecgtransfer.transfer import estimate_normalisation, fit_head, freeze, get_arm

# How often a training leaves a checkpoint from which a killed run goes on.
CHECKPOINT_SECONDS = 30.0

# Where the sensitivity of a target is read off: the threshold comes from the validation part.
SPECIFICITY = 0.9


@dataclass(frozen=True)
class Sources:
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
    sources: Sources,
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
        appears whole or not at all; a run that was killed goes on from its checkpoint beside it.
    sources : Sources

    Returns
    -------
    dict
        The content of ``result.json``: ``id``, ``spec``, ``result`` (compared between machines of a kind)
        and ``measured`` (seconds, host).

    Raises
    ------
    StudyError
        When ``folder`` holds another run, or a store or model is not what the spec names.
    """
    if folder.exists():
        if not (folder / "result.json").exists():
            raise StudyError(
                "the folder exists and is not a run", where=folder, remedy="Choose another name, or remove it"
            )
        return read_result(folder, spec)
    store = _store(spec, sources)
    _check_upstream(spec, sources)
    working = working_folder(folder)
    # A killed run of another spec may have left its checkpoint under this name; never continue that one.
    note = working / "spec.json"
    described = json.loads(json.dumps(spec.as_dict()))
    if note.exists() and json.loads(note.read_text()) != described:
        for leftover in working.iterdir():
            leftover.unlink()
    write_json(note, described)

    torch.set_num_threads(spec.threads)
    started = time.perf_counter()
    parts = _Parts.of(spec, store)
    outcome = (
        _run_baseline(spec, store, parts)
        if spec.network in BASELINES
        else _run_network(spec, store, parts, sources, working, progress)
    )
    result, predictions = _judge(spec, store, parts, outcome)
    measured = {
        "seconds": round(time.perf_counter() - started, 3),
        **outcome.measured,
        "host": {
            "machine": platform.machine(),
            "processor_threads": spec.threads,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }
    content = {"id": spec.id, "spec": spec.as_dict(), "result": result, "measured": measured}
    write_predictions(working, predictions)
    if keep_model and outcome.network is not None:
        save_model(working, outcome.network, _card(spec, store, result))
        write_text(working / "history.csv", _history_csv(outcome.history))
    write_json(working / "result.json", content)
    for leftover in (*working.glob("checkpoint*"), note):
        leftover.unlink()
    commit(working, folder)
    return read_result(folder, spec)


@dataclass(frozen=True)
class _Parts:
    """Record positions of the three parts, and the labels of the whole store."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    labels: np.ndarray
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
            test=division.test if spec.open_test else np.empty(0, dtype=np.int64),
            labels=store.labels(task),
            how=division.how,
            unlabelled=division.unlabelled,
        )


@dataclass(frozen=True)
class _Outcome:
    """What a network or a baseline leaves behind before it is judged."""

    validation_logits: np.ndarray
    test_logits: np.ndarray
    details: dict[str, Any]
    measured: dict[str, Any]
    network: Network | None = None
    history: tuple[dict[str, float], ...] = ()


def _run_baseline(spec: RunSpec, store: Store, parts: _Parts) -> _Outcome:
    fitted = fit_baseline(spec.network, store, parts.train, parts.validation, parts.test, parts.labels)
    return _Outcome(fitted.validation_logits, fitted.test_logits, {"baseline": fitted.as_dict()}, {})


def _run_network(
    spec: RunSpec,
    store: Store,
    parts: _Parts,
    sources: Sources,
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
        encoder_seed=entropy(spec.study_seed, spec.seed, "encoder"),
        head_seed=entropy(spec.study_seed, spec.seed, "head"),
    )
    details: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    history: tuple[dict[str, float], ...] = ()
    train = Feed(store, parts.train, parts.labels[parts.train])
    validation = Feed(store, parts.validation, parts.labels[parts.validation])
    if arm.start == "pretrained":
        assert spec.upstream is not None  # _check_upstream saw to it
        report = load_encoder(network, sources.upstreams[spec.upstream], leads=store.info.leads)
        details["load"] = {
            "matched": len(report.matched),
            "reinitialised": list(report.reinitialised),
            "unexpected": list(report.unexpected),
        }
    if arm.moves == "head":
        if arm.start == "random":
            estimate_normalisation(network, train)
        freeze(network.encoder)
        head = fit_head(network, train, validation)
        details["head"] = {"penalty": head.penalty, "constant_targets": list(head.constant_targets)}
    else:
        assert spec.learning_rate is not None
        budget = spec.budget
        settings = FitSettings(
            updates=budget.updates,
            batch_size=budget.batch_size,
            learning_rate=spec.learning_rate,
            weight_decay=budget.weight_decay,
            warmup_fraction=budget.warmup_fraction,
            clip_norm=budget.clip_norm,
            validate_every=max(1, budget.updates // budget.validations),
            precision=spec.precision,
            augment=budget.augment,
            study_seed=spec.study_seed,
            seed=spec.seed,
        )
        fitted = fit(
            network,
            train,
            validation,
            settings,
            checkpoint=working / "checkpoint.safetensors",
            checkpoint_every=CHECKPOINT_SECONDS,
            progress=_told(progress, budget.updates),
        )
        history = tuple(fitted.history)
        details["best_update"] = fitted.best_update
        details["diverged_at"] = fitted.diverged_at
        measured["records_per_second"] = round(fitted.records_per_second, 1)
        measured["training_seconds"] = round(fitted.seconds, 3)
    return _Outcome(
        validation_logits=predict_logits(network, validation, precision=spec.precision),
        test_logits=(
            predict_logits(
                network, Feed(store, parts.test, parts.labels[parts.test]), precision=spec.precision
            )
            if spec.open_test
            else np.empty((0, len(spec.targets)), dtype=np.float32)
        ),
        details=details,
        measured=measured,
        network=network,
        history=history,
    )


def _told(progress: Progress | None, updates: int) -> Callable[[int, float, float], None] | None:
    """Turn the loop's report after every update into a progress line with loss and throughput."""
    if progress is None:
        return None

    def tell(done: int, loss: float, rate: float) -> None:
        progress.update(done, updates, f"loss {loss:.4f}  {rate:.0f} records/s")

    return tell


def _judge(
    spec: RunSpec, store: Store, parts: _Parts, outcome: _Outcome
) -> tuple[dict[str, Any], dict[str, Predictions]]:
    """Metrics: thresholds from the validation part, then the test part once."""
    names = [name for name, _ in spec.targets]
    validation_labels = parts.labels[parts.validation]
    points: dict[str, Any] = {
        "thresholds": thresholds(validation_labels, outcome.validation_logits),
        "specificity_thresholds": specificity_thresholds(
            validation_labels, outcome.validation_logits, specificity=SPECIFICITY
        ),
        "specificity": SPECIFICITY,
    }
    predictions = {
        "validation": _predictions(store, parts.validation, outcome.validation_logits, parts.labels)
    }
    diverged = outcome.details.get("diverged_at") is not None
    result: dict[str, Any] = {
        "records": {
            "train": len(parts.train),
            "validation": len(parts.validation),
            "test": len(parts.test),
            "without_any_label": parts.unlabelled,
        },
        "split": parts.how,
        **outcome.details,
        "validation_loss": (None if diverged else known_bce(validation_labels, outcome.validation_logits)),
        "operating_points": points,
        "test": None,
    }
    if spec.open_test:
        predictions["test"] = _predictions(store, parts.test, outcome.test_logits, parts.labels)
        result["test"] = evaluate(
            parts.labels[parts.test],
            outcome.test_logits,
            names,
            **points,
            macro_targets=spec.macro_targets,
        )
    return result, predictions


def _predictions(store: Store, records: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> Predictions:
    table = store.records
    return Predictions(
        record_id=table["record_id"].to_numpy(dtype=str)[records],
        patient_id=table["patient_id"].to_numpy(dtype=str)[records],
        logits=logits.astype(np.float32),
        labels=labels[records].astype(np.float32),
    )


def _card(spec: RunSpec, store: Store, result: dict[str, Any]) -> dict[str, Any]:
    """Return what a person or program that finds the model alone needs to know."""
    return {
        "task": spec.task,
        "targets": [{"name": name, "any_of": list(codes)} for name, codes in spec.targets],
        "run": spec.id,
        "spec": spec.as_dict(),
        "leads": list(store.info.leads),
        "data": {
            "name": store.info.name,
            "source": store.info.source,
            "fingerprint": store.fingerprint,
            "licence": store.info.licence,
            "citation": store.info.citation,
            "recipe": store.info.recipe,
            "records": result["records"],
            "split": result["split"],
        },
        "operating_points": result["operating_points"],
        "score": None if result["test"] is None else result["test"]["macro"],
        "made_with": f"ecgtransfer {__version__}",
    }


def _history_csv(history: tuple[dict[str, float], ...]) -> str:
    stream = io.StringIO()
    if history:
        writer = csv.DictWriter(stream, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    return stream.getvalue()


def _store(spec: RunSpec, sources: Sources) -> Store:
    path = sources.stores.get(spec.store)
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


def _check_upstream(spec: RunSpec, sources: Sources) -> None:
    if spec.upstream is None:
        if spec.network not in BASELINES and get_arm(spec.arm).start == "pretrained":
            raise StudyError(f"arm '{spec.arm}' needs a pre-trained model and the run names none")
        return
    folder = sources.upstreams.get(spec.upstream)
    if folder is None:
        raise StudyError(f"the pre-trained model {spec.upstream} was not given")
    kind, _, name = spec.upstream.partition(":")
    try:
        found = (
            hash_file(folder / "model.safetensors")
            if kind == "model"
            else json.loads((folder / "result.json").read_text(encoding="utf-8"))["id"]
        )
    except (OSError, ValueError, KeyError) as error:
        raise EcgTransferError(f"the pre-trained model cannot be read ({error})", where=folder) from None
    if found != name:
        raise StudyError(
            "the pre-trained model has changed since the run was planned",
            where=folder,
            remedy="Start the study anew in another folder",
        )
