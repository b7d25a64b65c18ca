"""Which precision a network computes in, and where bfloat16 is worth it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import torch

from ecgtransfer.errors import ConfigError, nearest

Precision = Literal["float32", "bfloat16", "float64"]

SUITS: dict[str, Precision] = {
    "float32": "float32",
    "bfloat16": "bfloat16",
    "convolutional": "bfloat16",
    "recurrent": "float32",
}


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which matrix products run in bfloat16 where asked for; weights stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def exact_cudnn() -> AbstractContextManager[None]:
    """Return the context in which a GPU chooses no algorithm by its speed, and float32 is float32.

    By default cuDNN rounds the factors of float32 convolutions and recurrences to ten bits (TF32), which
    would not be the precision that a run names. On a CPU it changes nothing.
    """
    context: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return context


def working_dtype(precision: Precision) -> torch.dtype:
    """Return the type of weights and signals during a training; float64 is there to repeat what used it."""
    return torch.float64 if precision == "float64" else torch.float32


def fast_bfloat16(device: str | torch.device = "cpu") -> bool:
    """Say whether the device multiplies bfloat16 in hardware.

    On a processor these are AVX-512 BF16 or AMX on x86 and ``bf16`` on Arm, read from Linux's
    ``/proc/cpuinfo``; elsewhere the answer is no, which costs time and never accuracy.
    """
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.device(device).type != "cpu":
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(value.split())
    return False


def precision_for(kind: str, device: str | torch.device = "cpu") -> Precision:
    """Return the faster precision for a network on this device.

    Measured on a processor with AVX-512 BF16 (forward and backward, 12 x 1000, one thread): residual networks
    run 1.5 to 1.7 times as fast in bfloat16, LSTMs twice as fast, GRUs at 0.8 of the speed.

    Parameters
    ----------
    kind : str
        What suits the network: ``networks.card(name).precision_hint``. Or, less precisely, its family:
        "convolutional" is taken as bfloat16, "recurrent" as float32, which is right for the GRU.
    device : str or torch.device
        Where it runs; without fast bfloat16 the answer is float32 for all.

    Raises
    ------
    ConfigError
        The kind is unknown.
    """
    if kind not in SUITS:
        raise ConfigError(f"there is no precision for {kind!r}", remedy=nearest(kind, SUITS))
    return SUITS[kind] if fast_bfloat16(device) else "float32"
