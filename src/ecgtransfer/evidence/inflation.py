"""The inflation of many runs: what the published protocol reports, what that is worth, and the difference.

What it is for a single run, and how it is measured, says `epoch_choice`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.evidence.elementary import student_interval

# What names a row: the runs of a row differ in their seeds alone.
KEYS = ("downstream", "network", "upstream", "arm", "n")


def prevalence_weighted(f1: Sequence[float | None], positives: Sequence[int]) -> float | None:
    """Average F1 that were computed elsewhere with the positives as weights, to lay beside the study's score.

    Targets without a value (too few positives to judge) are left out; None where none has one.
    """
    known = [(value, count) for value, count in zip(f1, positives, strict=True) if value is not None]
    total = sum(count for _, count in known)
    return sum(value * count for value, count in known) / total if total else None


def inflation_rows(
    runs: Sequence[Mapping[str, Any]],
    *,
    sound: Mapping[tuple[Any, ...], float] | None = None,
    level: float = 0.95,
) -> list[dict[str, Any]]:
    """Gather runs into rows: what was reported, what it is worth, and the inflation with its interval.

    Parameters
    ----------
    runs : sequence of mapping
        ``downstream, network, upstream, arm, n`` and ``paper``, the dict that `EpochChoice.as_dict` made;
        the runs of a row differ in their seeds. Runs whose ``paper`` is None (training diverged before its
        first epoch) are counted as ``diverged``.
    sound : mapping, optional
        The five values of a row → the score of the same cell under the sound protocol.
    level : float
        Of the interval of the mean inflation over the seeds (Student). All seeds share one test part: the
        interval says what another training would give on it, not what other patients would.

    Returns
    -------
    list of dict
        In the order in which rows first occur; means over the runs. ``inflation_low`` and ``inflation_high``
        are None for a single run.
    """
    cells: dict[tuple[Any, ...], list[Mapping[str, Any] | None]] = {}
    for run in runs:
        cells.setdefault(tuple(run[key] for key in KEYS), []).append(run["paper"])
    rows = []
    for cell, found in cells.items():
        known = [paper for paper in found if paper is not None]
        values = np.array([paper["inflation"] for paper in known])
        low, high = student_interval(values, level)
        rows.append(
            {
                **dict(zip(KEYS, cell, strict=True)),
                **{
                    name: _mean([paper[name] for paper in known if paper[name] is not None])
                    for name in ("reported", "last", "crossfitted", "halves_reported", "jitter")
                },
                "sound": (sound or {}).get(cell),
                "inflation": _mean(values),
                "inflation_low": low,
                "inflation_high": high,
                "runs": len(known),
                "diverged": len(found) - len(known),
            }
        )
    return rows


def inflation_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what the rows say of choosing the epoch on the test part, in one sentence."""
    known = [row for row in rows if row["inflation"] is not None]
    if not known:
        return "No run of the published protocol was scored, so its inflation was not measured."
    runs = sum(row["runs"] for row in known)
    values = [row["inflation"] for row in known]
    mean = sum(row["inflation"] * row["runs"] for row in known) / runs
    spread = f" ({min(values):+.3f} to {max(values):+.3f} by cell)" if len(known) > 1 else ""
    if len(known) == 1 and known[0]["inflation_low"] is not None:
        spread = f" ({known[0]['inflation_low']:+.3f} to {known[0]['inflation_high']:+.3f})"
    return (
        f"Choosing the epoch on the test part, as the published protocol does, changed the reported F1 by "
        f"{mean:+.3f}{spread}, measured in {runs} run{'s' * (runs != 1)} against records that did not choose."
    )


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if len(values) else None
