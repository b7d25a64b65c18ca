"""In which places two studies part, in words: why a folder is not gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def differing(there: Any, here: Any) -> Iterator[str]:
    """Yield the places at which two descriptions part, the first three; causes before consequences."""
    found: list[str] = []
    if "plan" in there and "plan" in here:
        # Other recordings change everything that follows from them, and other settings every run.
        found = list(_changed(there, here)) or list(_parts(there["plan"], here["plan"], "plan"))
        found = found or list(_other_starts(there, here))
    found = found or list(_parts(there, here, ""))
    yield from found[:3]
    if len(found) > 3:
        yield f"and {len(found) - 3} more"


def _changed(there: dict[str, Any], here: dict[str, Any]) -> Iterator[str]:
    """Yield which recordings of the same name are others."""
    known = {row["name"]: row for row in there["downstreams"]}
    for row in here["downstreams"]:
        old = known.get(row["name"])
        if old is not None and old["fingerprint"] != row["fingerprint"]:
            then, now = old["records"], row["records"]
            counted = f" ({then:,} records then, {now:,} now)" if then != now else ""
            yield f"the recordings of '{row['name']}' changed since{counted}"


def _other_starts(there: dict[str, Any], here: dict[str, Any]) -> Iterator[str]:
    """Yield which upstreams of the same name would start from other networks."""
    known = {(row["name"], row["network"]): row for row in there["upstreams"]}
    for row in here["upstreams"]:
        old = known.get((row["name"], row["network"]))
        if old is not None and (old["fingerprint"], old["starts"]) != (row["fingerprint"], row["starts"]):
            yield f"the pre-trained {row['network']} of '{row['name']}' would be another"


def _parts(there: Any, here: Any, where: str) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in [*there, *(key for key in here if key not in there)]:
            if key not in ("hash", "id"):
                yield from _parts(there.get(key), here.get(key), f"{where}.{key}" if where else key)
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for number, (a, b) in enumerate(zip(there, here, strict=True)):
            yield from _parts(a, b, f"{where}[{number}]")
    elif there != here:
        yield f"{where}: {_short(there)} there, {_short(here)} asked for"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
