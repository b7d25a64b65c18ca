"""Recurrent networks: one layer of 100 units over the leads, flattened (the study) or pooled over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecgtransfer.networks.network import Encoder
from ecgtransfer.networks.registry import Card, register

_STUDY = "as in Nguyen & Do, PLoS ONE 2025 (10.1371/journal.pone.0316043)"
_KINDS: dict[str, tuple[str, str, int]] = {
    "gru": ("GRU", "Cho et al., EMNLP 2014 (10.3115/v1/D14-1179)", 2014),
    "lstm": ("LSTM", "Hochreiter & Schmidhuber, Neural Computation 1997 (10.1162/neco.1997.9.8.1735)", 1997),
    "bilstm": (
        "Bidirectional LSTM",
        "Graves & Schmidhuber, Neural Networks 2005 (10.1016/j.neunet.2005.06.042)",
        2005,
    ),
}


class Recurrent(Encoder):
    """One recurrent layer whose outputs of all time steps are flattened, or pooled by mean and maximum.

    Parameters
    ----------
    kind : {'gru', 'lstm', 'bilstm'}
        The layer.
    n_leads : int
        Input features per time step.
    n_samples : int
        Time steps; matters only where they are flattened.
    pooled : bool
        Mean and maximum over time rather than all steps.
    hidden : int
        Units per direction.
    """

    def __init__(self, kind: str, n_leads: int, n_samples: int, *, pooled: bool, hidden: int = 100) -> None:
        super().__init__()
        layer = nn.GRU if kind == "gru" else nn.LSTM
        self.layer = layer(n_leads, hidden, batch_first=True, bidirectional=kind == "bilstm")
        self.pooled = pooled
        width = hidden * (2 if kind == "bilstm" else 1)
        self.n_features = width * (2 if pooled else n_samples)

    def forward(self, x: Tensor) -> Tensor:
        """Return features ``[batch, n_features]`` of scaled signals ``[batch, leads, samples]``."""
        steps: Tensor = self.layer(x.transpose(1, 2))[0]
        if self.pooled:
            return torch.cat([steps.mean(dim=1), steps.amax(dim=1)], dim=1)
        return steps.flatten(1)

    def blocks(self) -> list[tuple[str, nn.Module]]:
        """Return the recurrent layer."""
        return [("recurrent", self.layer)]


def _register(kind: str, pooled: bool) -> None:
    title, paper, year = _KINDS[kind]
    card = Card(
        name=f"{kind}-pooled" if pooled else kind,
        title=f"{title}, {'pooled over time' if pooled else 'all time steps flattened'}",
        paper=f"{paper}{'' if pooled else ', ' + _STUDY}",
        year=year,
        inputs=f"mV, [batch, leads, samples]; {'any' if pooled else 'the'} number of samples"
        + ("" if pooled else " given at build"),
        licence="Apache-2.0",
        note="Mean and maximum over time before the head: nearly all weights transfer."
        if pooled
        else "The head sees every time step and holds over 90 % of the weights, which transfer throws away.",
        family="recurrent",
        pooled=pooled,
        fixed_length=not pooled,
        # oneDNN has an LSTM in bfloat16, twice as fast; the GRU is PyTorch's own and gains nothing.
        precision_hint="float32" if kind == "gru" else "bfloat16",
    )

    @register(card)
    def build(n_leads: int, n_samples: int) -> Encoder:
        return Recurrent(kind, n_leads, n_samples, pooled=pooled)


for _pooled in (False, True):
    for _kind in _KINDS:
        _register(_kind, _pooled)
