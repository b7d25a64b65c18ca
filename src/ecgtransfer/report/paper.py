"""The published protocol beside the sound one: what it reports, what that is worth, and the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecgtransfer.report.gather import Gathered
from ecgtransfer.study.folder import Study


def beside_sound(
    study: Study,
    beside: Sequence[Study],
    runs: Gathered,
    sizes: Mapping[tuple[str, int | None], int],
) -> dict[str, Any] | None:
    """Return the block of the published protocol, or None where neither study follows it."""
    return None
