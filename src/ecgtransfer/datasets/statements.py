"""The vocabulary of statements, and how each source's own words are translated into it (CSV tables).

A statement is one label of a record: present (1), absent (0) or unknown (``None``: not annotated there).
Its short code is the field's own (AF, LAFB, LVH, …); the SNOMED CT concept stands beside it where it is
certain and stays empty where it is not. Two sources share a code only where both mean the same concept: the
``NORM`` of PTB-XL (a normal ECG) is never sinus rhythm, and ``SR`` means that the source named sinus rhythm
itself (a record that it calls sinus bradycardia has SB, not SR).
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources


@dataclass(frozen=True)
class Statement:
    """One entry of the vocabulary.

    Parameters
    ----------
    code : str
        Short code, the name of the column in a store.
    snomed : str
        SNOMED CT concept identifier, empty where no concept is certain to fit.
    name : str
        What it says, in words.
    kind : str
        ``rhythm``, ``diagnostic``, ``form`` or ``quality``.
    """

    code: str
    snomed: str
    name: str
    kind: str


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, Statement]:
    """Return every statement that a registered source uses, by its code.

    A user's own table (the source ``folder``) may use further codes: its column names.
    """
    return {row["code"]: Statement(**row) for row in read_table("vocabulary")}


def crosswalk(source: str) -> list[dict[str, str]]:
    """Return the rows that translate a source's words into codes; the columns are the source's own."""
    return read_table(f"crosswalk_{source}")


@lru_cache(maxsize=32)
def _table_text(name: str) -> str:
    return (resources.files("ecgtransfer.datasets") / f"{name}.csv").read_text(encoding="utf-8")


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV table that ships with the package (``vocabulary``, ``tasks``, …)."""
    return list(csv.DictReader(io.StringIO(_table_text(name))))
