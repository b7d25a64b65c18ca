"""What a store says about itself: ``dataset.json``, its version, and its fingerprint."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ecgtransfer import files
from ecgtransfer.datasets.store_files import damaged
from ecgtransfer.errors import DataError

FORMAT, VERSION = "ecgtransfer-store", 2


@dataclass(frozen=True)
class StoreDescription:
    """What a store says about itself besides its signals and tables.

    ``sampling_rate`` is in Hz, ``n_samples`` is per window, ``tasks`` maps a name to
    ``[[target, [codes]], …]``, ``annotated`` lists the statement codes the source annotates, ``coverage`` has
    ``(label as the dataset writes it, code or None, records)``.
    """

    name: str
    source: str
    title: str
    leads: tuple[str, ...]
    sampling_rate: float
    n_samples: int
    licence: str
    citation: str
    address: str
    recipe: dict[str, Any]
    tasks: dict[str, list[list[Any]]]
    annotated: tuple[str, ...]
    official_folds: bool
    patients_known: bool
    polarity_uncertain: bool
    notes: tuple[str, ...] = ()
    coverage: tuple[tuple[str, str | None, int], ...] = ()


@dataclass(frozen=True)
class StoreInfo(StoreDescription):
    """The content of ``dataset.json``: the description, counts, and the hash of every file."""

    n_records: int = 0
    n_windows: int = 0
    n_rejected: int = 0
    shards: tuple[dict[str, Any], ...] = ()
    tables: tuple[dict[str, Any], ...] = ()
    fingerprint: str = ""


def read_info(path: Path) -> StoreInfo:
    """Read what a store says about itself, without opening its files.

    Raises
    ------
    DataError
        The folder is no store, of another format version, or its ``dataset.json`` was altered.
    """
    file = path / "dataset.json"
    if not path.exists():
        remedy = "Check the path. Make one with `ecgtransfer prepare`"
        raise DataError("there is no such folder", where=path, remedy=remedy)
    if not file.is_file():
        raise DataError(
            "is not a store: it has no dataset.json", where=path, remedy="Make one with `ecgtransfer prepare`"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(file, f"is not JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise DataError("is not a store: its dataset.json is another program's", where=path)
    version = content.pop("version", None)
    if version != VERSION:
        raise DataError(
            f"is a store of format version {version}; this program reads version {VERSION}",
            where=path,
            remedy="Prepare it again with this version of ecgtransfer",
        )
    if set(content) != {field.name for field in fields(StoreInfo)}:
        raise damaged(file, "has missing or unknown keys")
    try:
        intact = content["fingerprint"] == fingerprint_of(content)
    except (KeyError, TypeError):
        intact = False
    if not intact:
        raise damaged(file, "was altered after the store was written")
    return info_of(content)


def find_stores(folder: Path) -> list[tuple[Path, StoreInfo]]:
    """Return the stores that lie in a folder, by name; what this version cannot read is passed over."""
    found = []
    for path in sorted(folder.glob("*/dataset.json")):
        with contextlib.suppress(DataError):
            found.append((path.parent, read_info(path.parent)))
    return found


def info_of(content: Mapping[str, Any]) -> StoreInfo:
    """Return the content of ``dataset.json`` as a `StoreInfo`."""
    lists = ("leads", "annotated", "notes", "shards", "tables")
    coverage = tuple((label, code, count) for label, code, count in content["coverage"])
    return StoreInfo(**{**content, **{name: tuple(content[name]) for name in lists}, "coverage": coverage})


def fingerprint_of(content: Mapping[str, Any]) -> str:
    """Hash what determines results: signals, tables, and how they are to be read; no prose, no path."""
    reading = ("source", "leads", "sampling_rate", "n_samples", "recipe", "tasks", "annotated")
    keys = (*reading, "official_folds", "patients_known", "polarity_uncertain")
    entries = [entry for entry in (*content["shards"], *content["tables"]) if entry["file"] != "rejected.csv"]
    return files.hash_json({key: content[key] for key in keys} | {"files": [e["sha256"] for e in entries]})
