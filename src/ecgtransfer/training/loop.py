"""fit(): the one loop that pre-training, fine-tuning and scratch share; it knows no strategy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgtransfer.errors import DataError, ModelError
from ecgtransfer.seeds import entropy
from ecgtransfer.training.augment import augment
from ecgtransfer.training.checkpoint import Snapshot, digest, load_snapshot, save_snapshot
from ecgtransfer.training.feed import Feed, Order
from ecgtransfer.training.objectives import masked_bce
from ecgtransfer.training.optimizer import ParameterGroup, build_optimizer
from ecgtransfer.training.precision import autocast, exact_cudnn, working_dtype
from ecgtransfer.training.predict import predict_logits
from ecgtransfer.training.selection import Selection, get_selection
from ecgtransfer.training.settings import FitSettings, learning_rate


@dataclass(frozen=True)
class FitResult:
    """What came of a training; ``seconds`` and ``records_per_second`` are measured, the rest is determined.

    ``history`` has one entry per validation: ``update`` (updates done), ``learning_rate`` (of the last),
    ``training_loss`` (mean since the last entry), and the score under the name of the selection's quantity,
    such as ``validation_loss``. ``score`` is that of the selected weights, taken after ``best_update``
    updates; 0 with ``score`` None means that training diverged before its first validation and the network
    has the weights it started from. ``held_out_logits`` are float32 ``[validations, records, targets]``, None
    unless they were to be kept. ``diverged_at`` is the update (counted from 1) whose loss, gradient or
    validation was not finite, else None. ``records_per_second`` counts the updates of this process alone,
    without validation.
    """

    history: list[dict[str, float]]
    best_update: int
    score: float | None
    held_out_logits: NDArray[np.float32] | None
    batch_size: int
    records_seen: int
    diverged_at: int | None
    seconds: float
    records_per_second: float


def fit(
    network: nn.Module,
    train: Feed,
    held_out: Feed,
    settings: FitSettings,
    *,
    parameter_groups: Sequence[ParameterGroup] | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    on_update: Callable[[int, nn.Module], None] | None = None,
    selection: Selection | str = "validation-loss",
    keep_logits: bool = False,
    checkpoint: Path | None = None,
    checkpoint_every: float = 60.0,
    progress: Callable[[int, float, float], None] | None = None,
) -> FitResult:
    """Train a network in place; at the end it has the selected weights and is in evaluation mode.

    What is frozen is said by ``requires_grad`` alone: such a parameter does not move by a bit, and a module
    whose parameters are all frozen runs in evaluation mode, so that its batch statistics do not move either.

    Parameters
    ----------
    network : nn.Module
        As it is before training, also when a checkpoint exists. Takes float32 mV ``[batch, leads, samples]``,
        returns logits ``[batch, targets]``; on the device of the feeds, without active dropout (which would
        draw from torch's global generator).
    train, held_out : Feed
        Training visits every record of an epoch once, by one random window. The held-out records choose the
        weights: all their windows are seen, and logits averaged per record. What is chosen on them is too
        good on them, so they are a validation part; to choose on the part that is reported is what a
        selection called ``test-optimistic`` is for.
    settings : FitSettings
        Budget, optimizer, precision, augmentation, seeds.
    parameter_groups : sequence of mappings, optional
        Each has ``params`` and may have ``lr_scale`` (a factor on the scheduled rate, default 1) and
        ``weight_decay`` (default that of the settings). Every trainable parameter has to be in one group.
    penalty : callable, optional
        A scalar added to the loss, computed from the network in float32.
    on_update : callable, optional
        Called before every update with its number (0, 1, …) and the network, for instance to thaw parameters.
        After an interruption the first call is that of the update to go on with: what it sets has to follow
        from the number alone, not from earlier calls.
    selection : Selection or str
        Which weights to end with, by the score of the held-out records, see `selection.SELECTIONS`; the
        default is the lowest masked cross-entropy.
    keep_logits : bool
        Whether to return the held-out records' logits at every validation.
    checkpoint : Path, optional
        A safetensors file. Where it exists, training goes on from it and ends with the same bits, given the
        same machine and number of threads; it is left there for the caller to remove with the result on disk.
    checkpoint_every : float
        Seconds between two checkpoints; 0 writes one after every update.
    progress : callable, optional
        Called after every update with the number of updates done, the loss and the records per second.

    Returns
    -------
    FitResult
        History and measurements. A rate at which training diverges is not an error, so that a search survives
        it: the loop stops, ``diverged_at`` says where, the best weights so far are kept.

    Raises
    ------
    ConfigError
        Fewer than 2 training records, an unknown selection, or a trainable parameter in no group.
    DataError
        No label of the held-out records is known.
    ModelError
        Active dropout, no trainable parameter, or outputs that do not fit the labels.
    StudyError
        The checkpoint cannot be read or belongs to another training.
    """
    selection = get_selection(selection) if isinstance(selection, str) else selection
    _check(network, held_out)
    order = Order(
        train.n_records,
        settings.batch_size,
        study_seed=settings.study_seed,
        seed=settings.seed,
        whole_epochs=settings.whole_epochs,
    )
    dtype = working_dtype(settings.precision)
    network.to(dtype)
    optimizer = build_optimizer(network, settings, parameter_groups)
    state: dict[str, Any] = {
        "update": 0, "losses": [], "history": [], "best_update": 0, "score": None, "seconds": 0.0
    }  # fmt: skip
    best, kept = _copy(network), list[Tensor]()
    identity = (
        _identity(network, train, held_out, settings, selection, keep_logits, optimizer) if checkpoint else {}
    )
    if checkpoint and (snapshot := load_snapshot(checkpoint, identity)):
        state, best, kept = snapshot.progress, snapshot.best, snapshot.logits
        network.load_state_dict(snapshot.network)
        _restore(optimizer, snapshot)

    began = saved = time.perf_counter()
    earlier, training_seconds, first_update = state["seconds"], 0.0, state["update"]
    visited_before, diverged_at = order.visits(first_update), None
    _set_modes(network)
    trainable = _trainable(network)
    with exact_cudnn():
        for update in range(first_update, settings.updates):
            tick = time.perf_counter()
            if on_update is not None:
                on_update(update, network)
                if trainable != (trainable := _trainable(network)):
                    _set_modes(network)
            rate = learning_rate(update, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["lr_scale"]

            signals, labels = train.batch(*order.at(update))
            signals = augment(
                signals,
                settings.augment,
                sampling_rate=train.sampling_rate,
                generator=_draws(settings, update),
            )
            with autocast(settings.precision, train.device):
                logits = network(signals.to(dtype))
            if logits.shape != labels.shape:
                raise ModelError(f"the network has {logits.shape[-1]} outputs for {train.n_targets} targets")
            loss = masked_bce(logits, labels)
            if penalty is not None:
                loss = loss + penalty(network)
            loss.backward()  # type: ignore[no-untyped-call]
            value = loss.item()
            norm = nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
            if not math.isfinite(value + norm.item()):
                diverged_at = update + 1
                break
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

            done = state["update"] = update + 1
            state["losses"].append(value)
            training_seconds += time.perf_counter() - tick
            if done % settings.validate_every == 0 or done == settings.updates:
                logits_now = predict_logits(network, held_out, precision=settings.precision)
                if not np.isfinite(logits_now).all():
                    diverged_at = done
                    break
                score = selection.score(held_out.labels, logits_now)
                state["history"].append(
                    {
                        "update": done,
                        "learning_rate": rate,
                        "training_loss": float(np.mean(state["losses"])),
                        selection.quantity: score,
                    }
                )
                state["losses"] = []
                if keep_logits:
                    kept.append(torch.from_numpy(logits_now))
                if state["score"] is None or selection.prefers(score, state["score"]):
                    best = _copy(network)
                    state["best_update"], state["score"] = done, score
            if checkpoint and time.perf_counter() - saved >= checkpoint_every:
                state["seconds"] = earlier + time.perf_counter() - began
                now = Snapshot(network.state_dict(), best, _moments(optimizer), kept, state)
                save_snapshot(checkpoint, now, identity)
                saved = time.perf_counter()
            if progress is not None:
                progress(done, value, (order.visits(done) - visited_before) / training_seconds)

    optimizer.zero_grad(set_to_none=True)
    network.load_state_dict(best)
    network.float().eval()
    visited = order.visits(state["update"])
    return FitResult(
        history=state["history"],
        best_update=state["best_update"],
        score=state["score"],
        held_out_logits=np.stack([each.numpy() for each in kept]) if kept else None,
        batch_size=order.batch_size,
        records_seen=visited,
        diverged_at=diverged_at,
        seconds=earlier + time.perf_counter() - began,
        records_per_second=(visited - visited_before) / max(training_seconds, 1e-9),
    )


def _check(network: nn.Module, held_out: Feed) -> None:
    if np.isnan(held_out.labels).all():
        raise DataError(
            "no label of the held-out records is known", remedy="Choose a larger n or another task"
        )
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ModelError("the network has no trainable parameter")
    for name, module in network.named_modules():
        rate = (
            getattr(module, "p", 0.0)
            if "Dropout" in type(module).__name__
            else getattr(module, "dropout", 0.0)
        )
        if isinstance(rate, int | float) and rate > 0:
            raise ModelError(
                f"module {name or 'network'} has dropout {rate:g}, which draws from a global generator",
                remedy="Set the dropout to 0",
            )


def _set_modes(network: nn.Module) -> None:
    """Training mode, except for modules all of whose parameters are frozen."""
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def _trainable(network: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in network.parameters()]


def _draws(settings: FitSettings, update: int) -> torch.Generator:
    # On the CPU wherever the batch lies: a GPU's generator would vary the signals in another way.
    seed = entropy(settings.study_seed, settings.seed, "augment", update)
    return torch.Generator().manual_seed(seed)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _moments(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return state


def _restore(optimizer: torch.optim.Optimizer, snapshot: Snapshot) -> None:
    optimizer.load_state_dict(optimizer.state_dict() | {"state": snapshot.optimizer})


def _identity(
    network: nn.Module,
    train: Feed,
    held_out: Feed,
    settings: FitSettings,
    selection: Selection,
    keep_logits: bool,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Any]:
    """Say which training a checkpoint belongs to (hooks excepted: code has no fingerprint)."""
    return {
        "settings": asdict(settings),
        "selection": selection.name,
        "logits kept": keep_logits,
        "groups": [
            [len(group["params"]), group["lr_scale"], group["weight_decay"]]
            for group in optimizer.param_groups
        ],
        "weights at the start": digest(network.state_dict()),
        "training records": train.digest(),
        "held-out records": held_out.digest(),
        "device": train.device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
