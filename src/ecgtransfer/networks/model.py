"""The model folder: ``model.safetensors`` and ``card.json``, and loading that says what it loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ecgtransfer.errors import ModelError
from ecgtransfer.files import write_bytes, write_json
from ecgtransfer.networks.matching import check_encoder, check_scale
from ecgtransfer.networks.network import Network
from ecgtransfer.networks.registry import build

WEIGHTS, CARD = "model.safetensors", "card.json"

_FORMAT = 1
# What a model folder has to say for its network to be built again, and of which type.
_FACTS: dict[str, type | tuple[type, ...]] = {
    "network": str,
    "n_leads": int,
    "n_outputs": int,
    "n_samples": int,
    "sampling_rate": (int, float),
    "input_scale_mv": (int, float),
    "weights_sha256": str,
}
_HEAD_REASON = "the head belongs to its targets and does not transfer"


@dataclass(frozen=True)
class LoadReport:
    """What became of each tensor when an encoder was loaded.

    Attributes
    ----------
    matched : tuple of str
        Loaded.
    reinitialised : tuple of str
        Left as the network had them: the head always, and what the folder lacks or has in another shape.
    unexpected : tuple of str
        In the folder, but unknown to the network.
    reasons : mapping of str to str
        Why, for each tensor in ``reinitialised`` and ``unexpected``.
    """

    matched: tuple[str, ...]
    reinitialised: tuple[str, ...]
    unexpected: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the counts in one line."""
        return (
            f"{len(self.matched)} tensors matched, {len(self.reinitialised)} re-initialised, "
            f"{len(self.unexpected)} unexpected"
        )


def save_model(folder: str | Path, network: Network, card: Mapping[str, Any]) -> None:
    """Write ``model.safetensors`` (float32) and ``card.json`` into ``folder``, which may exist.

    Each file is written atomically, the card last; it holds the SHA-256 of the weights, so that a folder
    caught between the two is refused when loaded rather than mistaken for a model.

    Parameters
    ----------
    folder : path
        Made if absent.
    network : Network
        To be kept.
    card : mapping
        JSON-able: leads, targets, task, recipe, data, licence, score … The network's own facts (name, sizes,
        rate, input scale, hash) are added.

    Raises
    ------
    ModelError
        The card contradicts the network, or is not JSON.
    """
    folder = Path(folder)
    weights = safetensors.torch.save({name: _stored(tensor) for name, tensor in network.state_dict().items()})
    own = {"format": _FORMAT, **_facts(network), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    for key in own.keys() & card.keys() - {"weights_sha256"}:
        if card[key] != own[key]:
            raise ModelError(
                f"the card says {key} {card[key]!r}, but the network {own[key]!r}",
                where=folder / CARD,
                remedy="Leave the network's own facts out of the card",
            )
    for key, size in (("leads", "n_leads"), ("targets", "n_outputs")):
        if key in card and len(card[key]) != own[size]:
            raise ModelError(
                f"the card names {len(card[key])} {key}, but the network has {size} {own[size]}",
                where=folder / CARD,
            )
    content = {**own, **{key: value for key, value in card.items() if key not in own}}
    try:
        json.dumps(content, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(f"the card is not JSON ({error})", where=folder / CARD) from None
    write_bytes(folder / WEIGHTS, weights)
    write_json(folder / CARD, content)


def load_model(folder: str | Path) -> tuple[Network, dict[str, Any]]:
    """Return the network of a model folder, on the CPU and in evaluation mode, and its card.

    Raises
    ------
    ModelError
        A file is missing, damaged, or does not belong to the other; or the network has changed since.
    """
    folder = Path(folder)
    card, state = _read(folder)
    network = _build(card, folder)
    expected = network.state_dict()
    wrong = sorted(expected.keys() ^ state.keys())
    wrong += [n for n in expected.keys() & state.keys() if not _same_kind(expected[n], state[n])]
    if wrong:
        raise ModelError(
            f"{len(wrong)} tensors do not fit {card['network']} ({', '.join(wrong[:3])} …)",
            where=folder / WEIGHTS,
            remedy="The model was saved by another version of this network; train it again",
        )
    network.load_state_dict(state)
    return network.eval(), card


def is_model(folder: Path) -> bool:
    """Say whether a folder holds a model."""
    return (folder / CARD).is_file()


def annotate_card(folder: Path, **more: Any) -> None:
    """Add to a model's card what was learnt of it after it was made; nothing that is there is changed.

    Raises
    ------
    ModelError
        The folder is no model, or its card says something else under one of these names.
    """
    card = read_card(folder)
    for name, value in more.items():
        if card.get(name, value) != value:
            raise ModelError(
                f"the card says something else under '{name}'", where=folder / CARD, remedy="Remove the model"
            )
    write_json(folder / CARD, {**card, **more})


def read_card(folder: str | Path) -> dict[str, Any]:
    """Return the card of a model folder whose weights are whole and are those of the card.

    Raises
    ------
    ModelError
        A file is missing, damaged, or does not belong to the other.
    """
    return _read(Path(folder))[0]


def load_encoder(network: Network, folder: str | Path, *, leads: Sequence[str] | None = None) -> LoadReport:
    """Copy the encoder of a model folder into ``network``; its head stays as it is.

    Parameters
    ----------
    network : Network
        Changed in place, buffers such as the running means of batch norm included. Untouched by an error.
    folder : path
        A model folder, of the same network for the same signals.
    leads : sequence of str, optional
        Names of the leads that ``network`` will be fed, in order. Where given, and known to the card, they
        have to be those of the model.

    Returns
    -------
    LoadReport
        Tensors matched, re-initialised, unexpected.

    Raises
    ------
    ModelError
        The folder is damaged; it holds another network, or one for other leads, another rate or (where the
        head sees every time step) another length; or not one tensor matches.
    """
    folder = Path(folder)
    card, state = _read(folder)
    check_encoder(network, card, folder, leads)
    matched, reinitialised, reasons = [], [], {}
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name.startswith("head."):
            reasons[name] = _HEAD_REASON
        elif name not in state:
            reasons[name] = f"not in {WEIGHTS}"
        elif not _same_kind(tensor, state[name]):
            reasons[name] = f"{WEIGHTS} has {_kind(state[name])}, the network {_kind(tensor)}"
        else:
            matched.append(name)
            continue
        reinitialised.append(name)
    unexpected = sorted(state.keys() - expected.keys())
    reasons.update(dict.fromkeys(unexpected, f"{network.card.name} has no such tensor"))
    if not matched:
        raise ModelError(
            f"not one tensor matches the encoder of {network.card.name}",
            where=folder / WEIGHTS,
            remedy="Give the folder of a model of the same network, or train from scratch",
        )
    with torch.no_grad():
        for name in matched:
            expected[name].copy_(state[name])
    return LoadReport(tuple(matched), tuple(reinitialised), tuple(unexpected), reasons)


def _facts(network: Network) -> dict[str, Any]:
    return {
        "network": network.card.name,
        "n_leads": network.n_leads,
        "n_outputs": network.n_outputs,
        "n_samples": network.n_samples,
        "sampling_rate": network.sampling_rate,
        "input_scale_mv": network.card.input_scale_mv,
    }


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not folder.is_dir():
        raise ModelError(
            "there is no such model folder", where=folder, remedy=f"It holds {WEIGHTS} and {CARD}"
        )
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"{name} is missing", where=folder, remedy="Give the folder of a saved model")
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"not JSON ({error})", where=folder / CARD, remedy=_AGAIN) from None
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise ModelError(f"format {found!r} rather than {_FORMAT}", where=folder / CARD, remedy=_AGAIN)
    for key, kind in _FACTS.items():
        if not isinstance(card.get(key), kind) or isinstance(card.get(key), bool):
            raise ModelError(f"{key} is {card.get(key)!r}", where=folder / CARD, remedy=_AGAIN)
    weights = (folder / WEIGHTS).read_bytes()
    if (digest := hashlib.sha256(weights).hexdigest()) != card["weights_sha256"]:
        raise ModelError(
            f"damaged, or not the weights of this card: SHA-256 {digest[:12]}… rather than "
            f"{card['weights_sha256'][:12]}…",
            where=folder / WEIGHTS,
            remedy=_AGAIN,
        )
    try:
        return card, safetensors.torch.load(weights)
    except SafetensorError as error:
        raise ModelError(f"not a safetensors file ({error})", where=folder / WEIGHTS, remedy=_AGAIN) from None


_AGAIN = "Copy the model folder again, or train it again"


def _build(card: dict[str, Any], folder: Path) -> Network:
    sizes = {key: card[key] for key in ("n_leads", "n_outputs", "n_samples", "sampling_rate")}
    try:
        network = build(card["network"], **sizes)
    except ModelError as error:
        raise ModelError(error.what, where=folder / CARD, remedy=error.remedy) from None
    check_scale(network, card, folder)
    return network


def _stored(tensor: Tensor) -> Tensor:
    # A clone: on a GPU the weights of a recurrent layer are views of one buffer, which safetensors refuses.
    tensor = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return tensor.float() if tensor.is_floating_point() else tensor


def _same_kind(expected: Tensor, found: Tensor) -> bool:
    return expected.shape == found.shape and expected.is_floating_point() == found.is_floating_point()


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
