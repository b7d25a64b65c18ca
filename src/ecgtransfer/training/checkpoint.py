"""Going on after an interruption: one safetensors file, whole or not there, nothing pickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ecgtransfer.errors import StudyError
from ecgtransfer.files import write_bytes

FORMAT = 2


@dataclass
class Snapshot:
    """Everything a fit needs to go on: tensors by group, and what JSON can hold.

    ``logits`` are those of the held-out records at each validation, where they are kept.
    """

    network: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]
    logits: list[Tensor]
    progress: dict[str, Any]


def save_snapshot(path: Path, snapshot: Snapshot, identity: Mapping[str, Any]) -> None:
    """Write the snapshot atomically; ``identity`` says which fit it belongs to.

    Tensors and JSON share one file (the JSON lies in the safetensors header), because two files could not be
    replaced at one instant.
    """
    logits = {f"{index:06d}": tensor for index, tensor in enumerate(snapshot.logits)}
    groups = {"network": snapshot.network, "best": snapshot.best, "logits": logits} | {
        f"optimizer.{index}": state for index, state in snapshot.optimizer.items()
    }
    tensors = {
        f"{group}/{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for group, named in groups.items()
        for name, tensor in named.items()
    }
    header = {"format": FORMAT, "identity": dict(identity), "progress": snapshot.progress}
    write_bytes(path, save(tensors, metadata={"ecgtransfer": json.dumps(header)}))


def load_snapshot(path: Path, identity: Mapping[str, Any]) -> Snapshot | None:
    """Return the snapshot, or None where there is none.

    Raises
    ------
    StudyError
        The file cannot be read, or belongs to a fit with other settings, data, weights or threads: going on
        from there would give a result that neither fit would have given.
    """
    if not path.exists():
        return None
    remedy = "Remove the file to start this training anew"
    try:
        with safe_open(path, framework="pt") as stored:
            header = json.loads(stored.metadata()["ecgtransfer"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a mapping)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"the checkpoint cannot be read ({error})", where=path, remedy=remedy) from error
    if header.get("format") != FORMAT:
        raise StudyError("the checkpoint has another format", where=path, remedy=remedy)
    wanted = json.loads(json.dumps(dict(identity)))
    found = header["identity"]
    differing = [key for key in wanted | found if wanted.get(key) != found.get(key)]
    if differing:
        listing = "; ".join(f"{key}: {found.get(key)} there, {wanted.get(key)} here" for key in differing)
        raise StudyError(f"the checkpoint belongs to another training ({listing})", where=path, remedy=remedy)
    snapshot = Snapshot({}, {}, {}, [], header["progress"])
    for full_name, tensor in sorted(tensors.items()):
        group, name = full_name.split("/", 1)
        if group.startswith("optimizer."):
            snapshot.optimizer.setdefault(int(group.removeprefix("optimizer.")), {})[name] = tensor
        elif group == "logits":
            snapshot.logits.append(tensor)
        else:
            (snapshot.network if group == "network" else snapshot.best)[name] = tensor
    return snapshot


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of names, types, shapes and bits."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]
