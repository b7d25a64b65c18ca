"""Networks by name: a card that says what each is, and ``build``, one signature for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from ecgtransfer.errors import ModelError, nearest
from ecgtransfer.networks.initialise import initialise
from ecgtransfer.networks.network import Encoder, Network, check_size

INPUT_SCALE_MV = 0.25
"""What a signal in mV is divided by, for every network: about one standard deviation of an ECG. Never
re-estimated from data, so that a voltage means the same to upstream and downstream."""

Builder: TypeAlias = Callable[[int, int], Encoder]


@dataclass(frozen=True)
class Card:
    """What a network is.

    Attributes
    ----------
    name, title : str
        In commands; for people.
    paper, year : str, int
        Where the architecture comes from.
    inputs : str
        What it takes.
    licence : str
        Of this implementation.
    note : str
        What one has to know before choosing it.
    family : {'convolutional', 'recurrent'}
        Kind of encoder.
    pooled : bool
        Features are pooled over time, so that the head is small.
    fixed_length : bool
        The head has weights for every time step: other lengths than the one at build are refused.
    input_scale_mv : float
        The signal in mV is divided by this.
    precision_hint : {'float32', 'bfloat16'}
        What trains fastest on a processor with bfloat16 instructions.
    """

    name: str
    title: str
    paper: str
    year: int
    inputs: str
    licence: str
    note: str
    family: Literal["convolutional", "recurrent"]
    pooled: bool
    fixed_length: bool
    input_scale_mv: float = INPUT_SCALE_MV
    precision_hint: Literal["float32", "bfloat16"] = "float32"


def names() -> tuple[str, ...]:
    """Return the names of all networks."""
    return tuple(_networks)


def card(name: str) -> Card:
    """Return what a network is.

    Raises
    ------
    ModelError
        There is no such network; the nearest name is given.
    """
    return _look_up(name)[0]


def build(
    name: str,
    *,
    n_leads: int,
    n_outputs: int,
    n_samples: int,
    sampling_rate: float,
    encoder_seed: int = 0,
    head_seed: int = 0,
) -> Network:
    """Make a network with random weights, on the CPU, in float32.

    Encoder and head draw from a stream each: the encoder is the same whatever the head, and the reverse. No
    global generator is read or moved.

    Parameters
    ----------
    name : str
        One of ``names()``.
    n_leads, n_samples : int
        Of a window ``[leads, samples]``.
    n_outputs : int
        Targets.
    sampling_rate : float
        In Hz.
    encoder_seed, head_seed : int
        Seeds of the two streams.

    Raises
    ------
    ModelError
        The name is unknown, or a size makes no sense.
    """
    found, builder = _look_up(name)
    n_leads = check_size("n_leads", n_leads)
    n_outputs = check_size("n_outputs", n_outputs)
    n_samples = check_size("n_samples", n_samples)
    if not (math.isfinite(sampling_rate) and sampling_rate > 0):
        raise ModelError(f"sampling_rate is {sampling_rate!r}, but has to be a positive number of Hz")
    # On the meta device the layers' own initialisation draws nothing; the weights are filled below.
    with torch.device("meta"):
        network = Network(
            found,
            builder(n_leads, n_samples),
            n_leads=n_leads,
            n_outputs=n_outputs,
            n_samples=n_samples,
            sampling_rate=float(sampling_rate),
        )
    network.to_empty(device="cpu")
    initialise(network.encoder, encoder_seed, "encoder")
    initialise(network.head, head_seed, "head")
    return network


def register(found: Card) -> Callable[[Builder], Builder]:
    """Add a network: decorates a function ``(n_leads, n_samples) -> Encoder``."""

    def add(builder: Builder) -> Builder:
        if found.name in _networks:
            raise ValueError(f"network {found.name} is registered twice")
        _networks[found.name] = (found, builder)
        return builder

    return add


_networks: dict[str, tuple[Card, Builder]] = {}


def _look_up(name: str) -> tuple[Card, Builder]:
    try:
        return _networks[name]
    except KeyError:
        raise ModelError(f"there is no network {name!r}", remedy=nearest(name, _networks)) from None
