"""Where a run's network computes: on the processor, or on a GPU that torch sees here."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from typing import Literal

import torch

from ecgtransfer.errors import ConfigError, StudyError

DeviceKind = Literal["cpu", "cuda"]
"""What may be asked for. Of several GPUs 'cuda' is the first one in $CUDA_VISIBLE_DEVICES."""


def find_device(kind: DeviceKind) -> torch.device:
    """Return the device of this kind on this machine.

    Raises
    ------
    ConfigError
        There is no such kind.
    StudyError
        A GPU is asked for and torch sees none. The processor does not stand in for it: that would take many
        times as long, and nobody would know why.
    """
    if kind == "cpu":
        return torch.device(kind)
    if kind != "cuda":
        raise ConfigError(f"there is no device '{kind}'", remedy="Known: cpu, cuda")
    if not torch.cuda.is_available():
        why, remedy = _reason()
        raise StudyError(
            f"a run is to use a GPU, and torch sees none ({why})",
            where=f"machine {platform.node()}",
            remedy=f"{remedy}, or ask for none: leave out --gpus-per-run and --device",
        )
    return torch.device(kind)


def device_name(device: torch.device) -> str:
    """Return what a device is called: 'cpu', or the maker's name of the GPU."""
    return device.type if device.type == "cpu" else torch.cuda.get_device_name(device)


@contextlib.contextmanager
def enough_memory(device: torch.device) -> Iterator[None]:
    """Say in a sentence that a GPU's memory is full, which is no bug where several runs share it."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise StudyError(
            f"the memory of the GPU ({device_name(device)}) is full",
            where=f"machine {platform.node()}",
            remedy="Put fewer runs on it: a larger --gpus-per-run, or fewer --workers",
        ) from None


def _reason() -> tuple[str, str]:
    """Return why torch sees no GPU, as far as can be told, and what to do about it."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built without CUDA", "Install a build of torch with CUDA there"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    shown = "" if visible is None else f", and CUDA_VISIBLE_DEVICES is '{visible}'"
    return f"torch {torch.__version__} is built with CUDA{shown}", "See there what `nvidia-smi` finds"
