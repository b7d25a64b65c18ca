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
LABELS = {
    REFERENCE: "from scratch",
    "full": "fine-tuned",
    "linear-probe": "linear probe",
    "frozen-random": "frozen random encoder",
}
"""What each arm is called."""
ARMS = {
    REFERENCE: "all weights random, all trained",
    "full": "pre-trained encoder, new head, all weights trained",
    "linear-probe": "pre-trained encoder frozen, regularised logistic head",
    "frozen-random": "random encoder frozen, batch-norm statistics from the training signals, regularised "
    "logistic head",
}
"""What each arm is, in a line."""
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
    """One downstream and network with one upstream (None where nothing was pre-trained): arms x sizes."""

    downstream: str
    network: str
    upstream: str | None
    arms: tuple[str, ...]
    rows: tuple[Row, ...]
    several: bool = False

    @property
    def title(self) -> str:
        """``lstm, pre-trained on cinc2017``; with several downstreams ``ludb: lstm, …``."""
        text = self.network if self.upstream is None else f"{self.network}, pre-trained on {self.upstream}"
        return f"{self.downstream}: {text}" if self.several else text


def comparisons(evidence: Evidence) -> list[Comparison]:
    """Return a comparison for each downstream, network and upstream, in the evidence's own order.

    Arms without an upstream (scratch, frozen-random) stand beside every upstream of their network.
    """
    cells, contrasts = evidence.get("cells", []), evidence.get("contrasts", [])
    places = unique((cell["downstream"], cell["network"]) for cell in cells)
    several = len({down for down, _ in places}) > 1
    found = []
    for down, network in places:
        own = [cell for cell in cells if _place(cell) == (down, network)]
        against = [contrast for contrast in contrasts if _place(contrast) == (down, network)]
        for upstream in unique(cell["upstream"] for cell in own if cell["upstream"] is not None) or [None]:
            here = [cell for cell in own if cell["upstream"] in (None, upstream)]
            beside = [contrast for contrast in against if contrast["upstream"] in (None, upstream)]
            arms = ordered_arms(cell["arm"] for cell in here)
            found.append(Comparison(down, network, upstream, arms, _rows(here, beside), several))
    return found


def ordered_arms(arms: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct arms, the reference first."""
    return tuple(sorted(set(arms), key=lambda arm: (_ARMS.index(arm) if arm in _ARMS else len(_ARMS), arm)))


def unique(values: Iterable[Any]) -> list[Any]:
    """Return the distinct values in the order in which they first appear."""
    return list(dict.fromkeys(values))


def arm_label(arm: str) -> str:
    """Return what people call an arm: ``fine-tuned`` for ``full``."""
    return LABELS.get(arm, arm)


def size_label(row: Mapping[str, Any]) -> str:
    """Return a row's number of labels: ``50``, or ``all 1,700``."""
    return f"all {row['n']:,}" if row["n_is_all"] else f"{row['n']:,}"


def headline(evidence: Evidence) -> Mapping[str, Any] | None:
    """Return what the answer is about: of the first pair that the plan named, the one with most labels."""
    contrasts: Sequence[Mapping[str, Any]] = evidence.get("contrasts", [])
    named = [row for row in contrasts if row.get("primary")] or list(contrasts)
    pair = [row for row in named if _pair(row) == _pair(named[0])]
    return max(pair, key=lambda row: int(row["n"]), default=None)


def budget_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """Return the rows of convergence, arms of one network, upstream and size together."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in evidence.get("convergence", []):
        place = tuple(row[key] for key in ("downstream", "network", "upstream", "n", "n_is_all"))
        if place in found:
            found[place]["arms"] = {**found[place]["arms"], **row["arms"]}
        else:
            found[place] = dict(row)
    return list(found.values())


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


def interval(low: Any, high: Any, digits: int = 3) -> str:
    """Return ``+0.012 to +0.049``, or a dash where there is none."""
    if missing(low) or missing(high):
        return _NONE
    return f"{signed(low, digits)} to {signed(high, digits)}"


def share(value: Any, digits: int = 0) -> str:
    """Return a part of one as ``93 %``."""
    return _NONE if missing(value) else f"{100 * value:.{digits}f} %"


def level(value: float) -> str:
    """Return a confidence level as ``98.8 %``."""
    return f"{100 * value:.3g} %"


def scientific(value: Any) -> str:
    """Return a large number as ``2.1·10¹³``, a smaller one as it is."""
    if missing(value):
        return _NONE
    if value == 0 or 0.01 <= abs(value) < 1e5:
        return number(float(value), 0 if abs(value) >= 100 else 2)
    power = math.floor(math.log10(abs(value)))
    raised = str(power).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))
    return f"{value / 10**power:.1f}·10{raised}"


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


def _place(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["downstream"]), str(row["network"])


def _pair(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["downstream"], row["network"], row["upstream"], row["arm"]


def _rows(cells: Sequence[Mapping[str, Any]], contrasts: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    sizes = sorted({(bool(cell["n_is_all"]), int(cell["n"])) for cell in cells})

    def at(items: Sequence[Mapping[str, Any]], is_all: bool, n: int) -> dict[str, Mapping[str, Any]]:
        return {i["arm"]: i for i in items if (bool(i["n_is_all"]), int(i["n"])) == (is_all, n)}

    return tuple(Row(n, is_all, at(cells, is_all, n), at(contrasts, is_all, n)) for is_all, n in sizes)
