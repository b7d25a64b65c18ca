"""The same ECG twice (placeholder until the real one replaces this file)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store


@dataclass(frozen=True)
class Pair:
    """Two records that are the same ECG."""

    a: tuple[int, int]
    b: tuple[int, int]
    kind: Literal["exact", "near"]
    similarity: float
    shift: float
    gain: float


def find(stores: Sequence[Store], *, across_only: bool = False, quiet: bool = True) -> list[Pair]:
    """Return the pairs of records that are the same ECG."""
    return []
