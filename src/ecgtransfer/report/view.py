"""The evidence in reading order: what tables, figures and page share, so that they cannot disagree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Evidence = Mapping[str, Any]
"""The content of evidence.json."""

REFERENCE = "scratch"
# The reference first, then by how much of the network may move.
_ARMS = (REFERENCE, "frozen-random", "linear-probe", "full")
_MINUS = "\N{MINUS SIGN}"
_NONE = "\N{EN DASH}"


@dataclass(frozen=True)
class Row:
    """One size of a comparison: a cell per arm, and each arm's contrast with the reference."""

    n: int
    is_all: bool
    cells: Mapping[str, Mapping[str, Any]]
    contrasts: Mapping[str, Mapping[str, Any]]

    @property
    def label(self) -> str:
        """``50``, or ``all 1,700``."""
        return f"all {self.n:,}" if self.is_all else f"{self.n:,}"


@dataclass(frozen=True)
class Comparison:
    """One network with one upstream (None where nothing was pre-trained): arms x sizes."""

    network: str
    upstream: str | None
    arms: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """``lstm, pre-trained on cinc2017``."""
        return self.network if self.upstream is None else f"{self.network}, pre-trained on {self.upstream}"


def comparisons(evidence: Evidence) -> list[Comparison]:
    """Return a comparison for each network and upstream, in the order in which the evidence names them.

    Arms without an upstream (scratch, frozen-random) stand beside every upstream of their network.
    """
    cells, contrasts = evidence.get("cells", []), evidence.get("contrasts", [])
    found = []
    for network in unique(cell["network"] for cell in cells):
        own = [cell for cell in cells if cell["network"] == network]
        upstreams = unique(cell["upstream"] for cell in own if cell["upstream"] is not None) or [None]
        for upstream in upstreams:
            here = [cell for cell in own if cell["upstream"] in (None, upstream)]
            against = [c for c in contrasts if c["network"] == network and c["upstream"] in (None, upstream)]
            found.append(
                Comparison(network, upstream, ordered_arms(c["arm"] for c in here), _rows(here, against))
            )
    return found


def ordered_arms(arms: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct arms, the reference first."""
    return tuple(sorted(set(arms), key=lambda arm: (_ARMS.index(arm) if arm in _ARMS else len(_ARMS), arm)))


def unique(values: Iterable[Any]) -> list[Any]:
    """Return the distinct values in the order in which they first appear."""
    return list(dict.fromkeys(values))


def number(value: Any, digits: int = 3) -> str:
    """Return a number with fixed digits and thousands commas, or a dash where there is none."""
    if missing(value):
        return _NONE
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"
    return text.replace("-", _MINUS)


def signed(value: Any, digits: int = 3) -> str:
    """Return a difference with its sign, or a dash where there is none."""
    if missing(value):
        return _NONE
    return f"{value:+.{digits}f}".replace("-", _MINUS)


def difference(contrast: Mapping[str, Any] | None) -> str:
    """Return ``+0.031 (+0.012 to +0.049)``, ``+0.031 (no interval)``, or nothing."""
    if contrast is None or missing(contrast["difference"]):
        return ""
    if missing(contrast["low"]) or missing(contrast["high"]):
        return f"{signed(contrast['difference'])} (no interval)"
    return f"{signed(contrast['difference'])} ({signed(contrast['low'])} to {signed(contrast['high'])})"


def verdict(contrast: Mapping[str, Any] | None) -> str:
    """Return the word of a contrast's verdict, or nothing where none was given (exploratory)."""
    if contrast is None or contrast.get("verdict") is None:
        return ""
    return str(contrast["verdict"]["word"])


def duration(seconds: Any) -> str:
    """Return seconds as ``42 s``, ``3 min 05 s`` or ``2 h 10 min``."""
    if missing(seconds):
        return _NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def missing(value: Any) -> bool:
    """Return whether a figure is absent: None or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def decided(contrast: Mapping[str, Any]) -> bool:
    """Return whether the interval excludes zero."""
    low, high = contrast["low"], contrast["high"]
    return not missing(low) and not missing(high) and (low > 0 or high < 0)


def _rows(cells: Sequence[Mapping[str, Any]], contrasts: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    sizes = sorted({(bool(cell["n_is_all"]), int(cell["n"])) for cell in cells})

    def at(items: Sequence[Mapping[str, Any]], is_all: bool, n: int) -> dict[str, Mapping[str, Any]]:
        return {i["arm"]: i for i in items if (bool(i["n_is_all"]), int(i["n"])) == (is_all, n)}

    return tuple(Row(n, is_all, at(cells, is_all, n), at(contrasts, is_all, n)) for is_all, n in sizes)
