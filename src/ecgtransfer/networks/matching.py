"""Whether a kept model and what it is about to meet belong together; where not, an error names both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgtransfer.errors import ModelError
from ecgtransfer.networks.network import Network


def check_signals(
    card: Mapping[str, Any], folder: str | Path, *, leads: Sequence[str], sampling_rate: float
) -> None:
    """Refuse signals of other leads or another rate than the model was trained on.

    Parameters
    ----------
    card : mapping
        As ``read_card`` returns it. Lead names are compared where the card has them, else their number.
    folder : path
        The model folder, for the message.
    leads : sequence of str
        In the order in which the model would see them.
    sampling_rate : float
        In Hz.

    Raises
    ------
    ModelError
        Naming both sides and how to prepare a store that fits.
    """
    names = card.get("leads")
    if list(leads) != list(names) if names else len(leads) != card["n_leads"]:
        raise _other_leads(card, folder, _counted(leads))
    _check_rate(card, folder, sampling_rate)


def check_encoder(
    network: Network, card: Mapping[str, Any], folder: str | Path, leads: Sequence[str] | None
) -> None:
    """Refuse a model whose encoder was trained on something else than ``network`` will see."""
    name, own = card["network"], network.card.name
    if name != own:
        raise ModelError(
            f"the model is {name}, the network to be filled is {own}",
            where=folder,
            remedy=f"Choose --network {name}, or a model of {own}",
        )
    if card["n_leads"] != network.n_leads:
        raise _other_leads(card, folder, str(network.n_leads) if leads is None else _counted(leads))
    if leads is not None:
        check_signals(card, folder, leads=leads, sampling_rate=network.sampling_rate)
    _check_rate(card, folder, network.sampling_rate)
    if network.card.fixed_length and card["n_samples"] != network.n_samples:
        raise ModelError(
            f"the model takes {card['n_samples']} samples, the network {network.n_samples}, and the head of "
            f"{name} sees every time step",
            where=folder,
            remedy=f"Prepare the store with --seconds {card['n_samples'] / card['sampling_rate']:g}, or "
            f"choose --network {name}-pooled and a model of it",
        )
    check_scale(network, card, folder)


def check_scale(network: Network, card: Mapping[str, Any], folder: str | Path) -> None:
    """Refuse weights that were trained on another input scale than the network now has."""
    if card["input_scale_mv"] != network.card.input_scale_mv:
        raise ModelError(
            f"the model was trained with mV / {card['input_scale_mv']:g}, but {network.card.name} now "
            f"divides by {network.card.input_scale_mv:g}",
            where=folder,
            remedy="Train it again",
        )


def _check_rate(card: Mapping[str, Any], folder: str | Path, sampling_rate: float) -> None:
    rate = card["sampling_rate"]
    if rate != sampling_rate:
        raise ModelError(
            f"the model was trained at {rate:g} Hz, the signals are at {sampling_rate:g} Hz",
            where=folder,
            remedy=f"Prepare the store with --rate {rate:g}",
        )


def _other_leads(card: Mapping[str, Any], folder: str | Path, given: str) -> ModelError:
    names = card.get("leads")
    takes = _counted(names) if names else str(card["n_leads"])
    how = f"--leads {','.join(names)}" if names else f"--leads and {card['n_leads']} names"
    return ModelError(
        f"the model takes other leads ({takes}) than the signals have ({given})",
        where=folder,
        remedy=f"Prepare the store with {how}, or train on the leads of the store",
    )


def _counted(leads: Sequence[str]) -> str:
    return f"{len(leads)} ({', '.join(leads)})"
