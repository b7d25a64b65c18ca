"""What learns: networks by name, each an encoder and a head, and the folder a trained one is kept in."""

from ecgtransfer.networks import resnet1d, rnn  # noqa: F401  (they register their networks)
from ecgtransfer.networks.matching import check_signals
from ecgtransfer.networks.model import (
    LoadReport,
    annotate_card,
    is_model,
    load_encoder,
    load_model,
    read_card,
    save_model,
)
from ecgtransfer.networks.network import Encoder, Network, multiply_adds, n_parameters
from ecgtransfer.networks.registry import INPUT_SCALE_MV, Card, build, card, names

__all__ = [
    "INPUT_SCALE_MV",
    "Card",
    "Encoder",
    "LoadReport",
    "Network",
    "annotate_card",
    "build",
    "card",
    "check_signals",
    "is_model",
    "load_encoder",
    "load_model",
    "multiply_adds",
    "n_parameters",
    "names",
    "read_card",
    "save_model",
]
