"""The audit's findings as tables for the terminal; the page and the JSON have everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ecgtransfer.signals import quality

# Rows of a table on the terminal; what is left out is counted in its last row.
_ROWS = 12


def audit_tables(findings: dict[str, Any]) -> list[Table]:
    """Return a terminal table for each kind of finding that there is.

    Parameters
    ----------
    findings : dict
        As `datasets.audit.audit` returns them.
    """
    tables = [
        _table(
            "Duplicates",
            ("a", "b", "kind", "correlation", "shift", "gain", "patient"),
            (
                (
                    _record(row["a"]),
                    _record(row["b"]),
                    row["kind"],
                    f"{row['similarity']:.3f}",
                    f"{row['shift_s']:+.2f} s" if row["shift_s"] else "",
                    f"x {row['gain']:.3g}" if abs(row["gain"] - 1) > 0.01 else "",
                    {True: "the same", False: "another", None: ""}[row["same_patient"]],
                )
                for row in findings["duplicates"]
            ),
        ),
        _table(
            "Flags",
            ("record", "flag", "evidence"),
            (
                (_record(row["record"]), row["flag"], row["evidence"])
                # What the signal shows before what the dataset itself remarks.
                for row in sorted(findings["flags"], key=lambda row: row["flag"] not in quality.NAMES)
            ),
        ),
        _table(
            "Patients in more than one store",
            ("patient", "source", "records"),
            (
                (
                    row["patient"],
                    row["source"],
                    ", ".join(f"{count} in {name}" for name, count in row["stores"]),
                )
                for row in findings["patients_in_two_stores"]
            ),
        ),
        _table(
            "Labels that duplicates disagree on",
            ("a", "b", "statement", "values"),
            (
                (
                    _record(row["a"]),
                    _record(row["b"]),
                    row["statement"],
                    " and ".join(map(str, row["values"])),
                )
                for row in findings["label_disagreement"]
            ),
        ),
        _table(
            "Statements with few positives or negatives",
            ("store", "statement", "positives", "negatives", "unknown"),
            (
                (
                    row["store"],
                    row["statement"],
                    *map(str, (row["positives"], row["negatives"], row["unknown"])),
                )
                for row in findings["few_positives"]
            ),
        ),
        _table(
            "Statements that go with their origin",
            ("statement", "between", "prevalence", "Cramér's V"),
            (
                (
                    row["statement"],
                    row["between"],
                    ", ".join(f"{share:.0%} in {origin}" for origin, share in row["prevalences"].items()),
                    f"{row['cramers_v']:.2f}",
                )
                for row in findings["confounding"]["statements"]
            ),
        ),
    ]
    return [table for table in tables if table is not None]


def _record(place: Sequence[str]) -> str:
    return f"{place[0]} {place[1]}"


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table | None:
    found = list(rows)
    if not found:
        return None
    table = Table(title=f"{title} ({len(found):,})", title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in found[:_ROWS]:
        # As text: what a dataset calls its records must not be read as markup.
        table.add_row(*map(Text, row))
    if len(found) > _ROWS:
        table.add_row(
            Text(f"… and {len(found) - _ROWS:,} more: see --json or -o"), *[""] * (len(columns) - 1)
        )
    return table
