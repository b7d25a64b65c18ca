"""A GPU that is not there: tensors on "cuda" lie in main memory, and are refused where a real one refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

# What takes tensors of two devices: copies, and how a module replaces its weights.
_BRIDGES = {"copy_", "__setitem__", "__set__", "_has_compatible_shallow_copy_type"}


class PretendGpu(TorchFunctionMode):
    """While it is entered, what is made on or moved to "cuda" stays apart from what is not.

    An operation on tensors of both sides, a CPU generator for a tensor on "cuda", and NumPy's look at one are
    errors, as they are with a GPU. The sums are those of the CPU, so a computation that moves everything
    properly ends with the bits of the CPU. What autograd does within ``backward`` is not watched.

    Attributes
    ----------
    operations : int
        How many were made with a tensor on "cuda".
    """

    def __init__(self) -> None:
        super().__init__()
        # Held, so that no address is used again.
        self._there: dict[int, torch.UntypedStorage] = {}
        self.operations = 0

    def is_there(self, tensor: Tensor) -> bool:
        """Say whether a tensor lies on "cuda"."""
        return tensor.untyped_storage().data_ptr() in self._there

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if func is torch.device or name == "_parse_to":  # they only speak of devices
            return func(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [self.is_there(tensor) for tensor in tensors]
        if func == Tensor.device.__get__ and there[0]:
            return torch.device("cuda")
        if name in ("numpy", "__array__") and there[0]:
            raise TypeError("can't convert cuda device type tensor to numpy")
        asked = _device_of(args, kwargs) if name != "cpu" else torch.device("cpu")
        goal = any(there) if asked is None else asked.type == "cuda"
        if name == "to" and len(tensors) == 2:
            goal = there[1]
        elif asked is None and name not in _BRIDGES:
            sides = {side for tensor, side in zip(tensors, there, strict=True) if tensor.ndim or side}
            if len(sides) > 1:
                raise RuntimeError(f"Expected all tensors to be on the same device ({name})")
        generator = kwargs.get("generator")
        if generator is not None and goal:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        here_args, here_kwargs = tree_map(_here, (args, kwargs))
        result = func(*here_args, **here_kwargs)
        if isinstance(result, Tensor) and name in ("to", "cpu") and goal != there[0]:
            # A device of its own has memory of its own.
            shared = result.untyped_storage().data_ptr() == tensors[0].untyped_storage().data_ptr()
            result = result.clone() if shared else result
        self.operations += goal
        for made in tree_leaves(result):
            if goal and isinstance(made, Tensor) and made.untyped_storage().data_ptr():
                self._there[made.untyped_storage().data_ptr()] = made.untyped_storage()
        return result


def _device_of(args: Any, kwargs: dict[str, Any]) -> torch.device | None:
    """Return the device that a call names."""
    named = kwargs.get("device")
    for each in (named, *args):
        if isinstance(each, torch.device):
            return each
        if isinstance(each, str) and each in ("cpu", "cuda", "meta"):
            return torch.device(each)
    return None


def _here(value: Any) -> Any:
    """Return the CPU for the GPU, and everything else as it is."""
    if isinstance(value, torch.device) and value.type == "cuda":
        return torch.device("cpu")
    return "cpu" if isinstance(value, str) and value == "cuda" else value
