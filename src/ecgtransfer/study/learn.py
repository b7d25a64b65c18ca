"""What a run learns: a baseline, a head on a frozen encoder, or a network, trained once per rate."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgtransfer.datasets.store import Store
from ecgtransfer.evidence.epoch_choice import choose_on_test
from ecgtransfer.networks import Network, build, load_encoder
from ecgtransfer.progress import Progress
from ecgtransfer.seeds import entropy, stream
from ecgtransfer.study.baselines import BASELINES, fit_baseline
from ecgtransfer.study.parts import Floats, Parts
from ecgtransfer.study.protocols import protocol
from ecgtransfer.study.spec import RunSpec
from ecgtransfer.training import Feed, FitSettings, fit, predict_logits
from ecgtransfer.transfer import PRETRAIN, Arm, estimate_normalisation, fit_head, freeze, get_arm

# How often a training leaves a checkpoint from which a killed run goes on.
CHECKPOINT_SECONDS = 30.0


@dataclass
class Outcome:
    """What a network or a baseline leaves behind before it is judged."""

    validation_logits: Floats
    test_logits: Floats
    details: dict[str, Any]
    network: Network | None = None
    history: tuple[dict[str, float], ...] = ()
    logits_by_epoch: Floats | None = None
    training_seconds: float = 0.0
    trained_here: float = 0.0
    records_seen: int = 0


def learn(
    spec: RunSpec,
    store: Store,
    parts: Parts,
    upstream: Path | None,
    working: Path,
    progress: Progress | None,
    *,
    rates: tuple[float, ...],
    device: torch.device,
) -> Outcome:
    """Learn from the training part, choose where the protocol says, and say what that makes of the others.

    Parameters
    ----------
    upstream : Path or None
        The model folder that a pre-trained arm starts from.
    working : Path
        Where checkpoints are left, and found again after a kill.
    rates : tuple of float
        Learning rates to try here: the run's own, or the one that its tuning runs chose.
    device : torch.device
        Where the network computes; what comes back lies in main memory. Baselines and logistic heads are the
        processor's.
    """
    if spec.network in BASELINES:
        return _run_baseline(spec, store, parts)
    return _run_network(spec, store, parts, upstream, working, progress, rates, device)


def _run_baseline(spec: RunSpec, store: Store, parts: Parts) -> Outcome:
    fitted = fit_baseline(spec.network, store, parts.train, parts.validation, parts.test, parts.labels)
    return Outcome(fitted.validation_logits, fitted.test_logits, {"baseline": fitted.as_dict()})


def _run_network(
    spec: RunSpec,
    store: Store,
    parts: Parts,
    upstream: Path | None,
    working: Path,
    progress: Progress | None,
    rates: tuple[float, ...],
    device: torch.device,
) -> Outcome:
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
    rules = protocol(spec.protocol)
    train = parts.feed(store, parts.train, device)
    held_out = parts.feed(store, getattr(parts, rules.chosen_on), device)
    details: dict[str, Any] = {}
    if arm.start == "pretrained":
        assert upstream is not None  # the runner saw to it
        report = load_encoder(network, upstream, leads=store.info.leads)
        details["load"] = {
            "matched": len(report.matched),
            "reinitialised": list(report.reinitialised),
            "unexpected": list(report.unexpected),
        }
    # Drawn and loaded on the CPU, so that every device starts from the same bits.
    network.to(device)
    outcome = Outcome(np.empty(0, np.float32), np.empty(0, np.float32), details, network)
    if arm.moves == "head":
        _fit_head(outcome, arm, network, train, held_out)
    else:
        _search_rate(outcome, spec, network, train, held_out, working, progress, rates)
    # In float32 whatever the training's precision: rounded logits tie, and ties move ranks.
    if rules.chosen_on == "validation":
        outcome.validation_logits = predict_logits(network, held_out)
        if spec.tests:
            outcome.test_logits = predict_logits(network, parts.feed(store, parts.test, device))
    else:
        outcome.validation_logits = np.empty((0, len(spec.targets)), np.float32)
        outcome.test_logits = predict_logits(network, held_out)
        outcome.details["paper"] = _epoch_choice(outcome, spec, store, parts)
    network.to("cpu")
    return outcome


def _epoch_choice(outcome: Outcome, spec: RunSpec, store: Store, parts: Parts) -> dict[str, Any] | None:
    """Say what choosing the epoch on the test part did; None where training diverged before its first."""
    if outcome.logits_by_epoch is None:
        return None
    return choose_on_test(
        parts.labels[parts.test],
        outcome.logits_by_epoch,
        store.groups[parts.test],
        stream(spec.study_seed, spec.seed, "bootstrap", "halves"),
        average="mean" if spec.arm == PRETRAIN.name else "weighted",
    ).as_dict()


def _fit_head(outcome: Outcome, arm: Arm, network: Network, train: Feed, validation: Feed) -> None:
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
    outcome: Outcome,
    spec: RunSpec,
    network: Network,
    train: Feed,
    held_out: Feed,
    working: Path,
    progress: Progress | None,
    rates: tuple[float, ...],
) -> None:
    """Train once per rate from the same start, and leave the network with the lowest validation loss."""
    budget, rules = spec.budget, protocol(spec.protocol)
    start = copy.deepcopy(network.state_dict())
    found = []
    for number, rate in enumerate(rates):
        network.load_state_dict(start)
        settings = FitSettings(
            updates=budget.updates,
            batch_size=budget.batch_size,
            learning_rate=rate,
            weight_decay=budget.weight_decay,
            warmup_fraction=budget.warmup_fraction,
            clip_norm=math.inf if budget.clip_norm is None else budget.clip_norm,
            schedule=budget.schedule,
            optimizer=budget.optimizer,
            validate_every=max(1, budget.updates // budget.validations),
            whole_epochs=rules.whole_epochs,
            precision=spec.precision,
            augment=budget.augment,
            study_seed=spec.study_seed,
            seed=spec.seed,
        )
        tick = time.perf_counter()
        fitted = fit(
            network,
            train,
            held_out,
            settings,
            selection=rules.selection_of(spec.arm),
            keep_logits=rules.chosen_on == "test",
            checkpoint=working / f"checkpoint-{number}.safetensors",
            checkpoint_every=CHECKPOINT_SECONDS,
            progress=_told(progress, budget.updates, rate),
        )
        outcome.trained_here += time.perf_counter() - tick
        outcome.training_seconds += fitted.seconds
        outcome.records_seen += fitted.records_seen
        found.append((rate, fitted, copy.deepcopy(network.state_dict())))
    # What was chosen on the test part is no validation loss; that protocol has a single rate.
    validated = rules.chosen_on == "validation"
    losses = {rate: fitted.score if validated else None for rate, fitted, _ in found}
    chosen = choose_rate(losses)
    fitted, weights = next((fitted, weights) for rate, fitted, weights in found if rate == chosen)
    network.load_state_dict(weights)
    network.eval()
    outcome.history = tuple(fitted.history)
    outcome.logits_by_epoch = fitted.held_out_logits
    outcome.details |= {
        "learning_rate": chosen,
        "search": [
            {"rate": rate, "validation_loss": losses[rate], "diverged_at": each.diverged_at}
            for rate, each, _ in found
        ],
        "best_update": fitted.best_update,
        "batch_size": fitted.batch_size,
        "diverged_at": fitted.diverged_at,
    }


def choose_rate(losses: Mapping[float, float | None]) -> float:
    """Return the rate with the lowest validation loss; ties take the rate nearest to the middle one.

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
    rates = sorted(losses)
    middle = (len(rates) - 1) / 2
    tied = sorted(rate for rate, loss in known.items() if loss <= best)
    among = (len(tied) - 1) / 2
    return min(tied, key=lambda rate: (abs(rates.index(rate) - middle), abs(tied.index(rate) - among)))


def _told(progress: Progress | None, updates: int, rate: float) -> Callable[[int, float, float], None] | None:
    """Turn the loop's report after every update into a progress line with loss and throughput."""
    if progress is None:
        return None

    def tell(done: int, loss: float, speed: float) -> None:
        progress.update(done, updates, f"rate {rate:g}  loss {loss:.4f}  {speed:.0f} records/s")

    return tell
