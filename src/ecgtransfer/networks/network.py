"""What every network is: an encoder, a linear head, and the signals they were built for."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, SupportsIndex

import torch
from torch import Tensor, nn

from ecgtransfer.errors import ModelError

if TYPE_CHECKING:
    from ecgtransfer.networks.registry import Card


class Encoder(nn.Module, ABC):
    """What transfers: scaled signals ``[batch, leads, samples]`` to features ``[batch, n_features]``."""

    n_features: int

    @abstractmethod
    def blocks(self) -> list[tuple[str, nn.Module]]:
        """Return the named parts that hold parameters, from input to output; together they hold all."""


class Network(nn.Module):
    """An encoder and a head; ``networks.build`` makes one.

    Parameters
    ----------
    card : Card
        What the network is, its input scale among it.
    encoder : Encoder
        Everything but the last linear layer.
    n_leads, n_outputs, n_samples : int
        Leads and samples of one window; outputs (targets) of the head.
    sampling_rate : float
        Hz of the signals. The weights mean nothing at another rate, so it is part of the network.

    Attributes
    ----------
    encoder : Encoder
        What transfers.
    head : torch.nn.Linear
        What does not: features to logits.
    """

    encoder: Encoder
    head: nn.Linear

    def __init__(
        self,
        card: Card,
        encoder: Encoder,
        *,
        n_leads: int,
        n_outputs: int,
        n_samples: int,
        sampling_rate: float,
    ) -> None:
        super().__init__()
        self.card = card
        self.n_leads, self.n_outputs, self.n_samples = n_leads, n_outputs, n_samples
        self.sampling_rate = sampling_rate
        self.encoder = encoder
        self.head = nn.Linear(encoder.n_features, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``[batch, outputs]`` of signals ``[batch, leads, samples]`` in mV.

        Raises
        ------
        ModelError
            The signals have another shape than the network was built for.
        """
        logits: Tensor = self.head(self.features(x))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Return what the head sees, ``[batch, features]``, of signals ``[batch, leads, samples]`` in mV.

        Raises
        ------
        ModelError
            The signals have another shape than the network was built for, or are not floating point.
        """
        self._check(x)
        features: Tensor = self.encoder(x / self.card.input_scale_mv)
        return features

    def blocks(self) -> list[tuple[str, nn.Module]]:
        """Return ``(name, module)`` from the input to the head; each parameter is in exactly one of them."""
        return [*((name, part) for name, part in self.encoder.blocks()), ("head", self.head)]

    def _check(self, x: Tensor) -> None:
        fits = x.ndim == 3 and x.shape[1] == self.n_leads and x.shape[2] > 0
        if not fits or (self.card.fixed_length and x.shape[2] != self.n_samples):
            length = str(self.n_samples) if self.card.fixed_length else "samples"
            shape = f"[batch, {self.n_leads}, {length}]"
            raise ModelError(
                f"{self.card.name} takes signals of shape {shape}, not {list(x.shape)}",
                remedy="Build the network for these signals, or prepare the store with the leads and seconds "
                "the network was built for",
            )
        if not x.is_floating_point():
            raise ModelError(f"{self.card.name} takes mV as floating point numbers, not {x.dtype}")


def n_parameters(network: nn.Module) -> int:
    """Return how many weights are learnt (buffers such as running means are not)."""
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_adds(network: Network) -> int:
    """Return the multiply-adds of one forward pass of one record.

    Counted where they happen, by hooks on the convolutions, linear layers and recurrent layers: weights ×
    positions. Normalisation, activation, pooling and biases are not counted, as is the custom.
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, object]) -> None:
        nonlocal total
        if isinstance(module, nn.Conv1d):
            assert isinstance(output, Tensor)
            total += module.weight.numel() * output.shape[-1]
        elif isinstance(module, nn.Linear):
            total += module.weight.numel() * (inputs[0].numel() // module.in_features)
        elif isinstance(module, nn.RNNBase):
            weights = sum(p.numel() for name, p in module.named_parameters() if name.startswith("weight"))
            total += weights * inputs[0].shape[1 if module.batch_first else 0]

    modes = [(module, module.training) for module in network.modules()]
    hooks = [module.register_forward_hook(count) for module in network.modules()]
    weight = network.head.weight
    try:
        # In evaluation mode, so that counting leaves the running means of batch norm alone.
        network.eval()
        with torch.no_grad():
            network(
                torch.zeros(1, network.n_leads, network.n_samples, device=weight.device, dtype=weight.dtype)
            )
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return total


def check_size(name: str, value: SupportsIndex) -> int:
    """Return a size as an int (NumPy's integers are welcome), or refuse what is not a positive integer."""
    try:
        size = operator.index(value)
    except TypeError:
        size = 0
    if isinstance(value, bool) or size < 1:
        raise ModelError(f"{name} is {value!r}, but has to be a positive integer")
    return size
