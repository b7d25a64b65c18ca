"""The vocabulary of statements, and how each source's own words are translated into it (CSV tables).

A statement is one label of a record: present (1), absent (0) or unknown (``None``: not annotated there).
Its short code is the field's own (AF, LAFB, LVH, …); the SNOMED CT concept stands beside it where it is
certain and stays empty where it is not. Two sources share a code only where both mean the same concept: the
``NORM`` of PTB-XL (a normal ECG) is never sinus rhythm, and ``SR`` means that the source named sinus rhythm
itself (a record that it calls sinus bradycardia has SB, not SR).

What a source annotates is in one table (`annotated`): such a statement is absent where a record does not name
it, and every other statement is unknown there. Which codes mean the same is in another (`canonical`).
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


@dataclass(frozen=True)
class Equivalence:
    """A code that stands for the same as another.

    Parameters
    ----------
    code, canonical : str
        The code, and the one under which both are kept together.
    kind : str
        ``official`` where the Challenges 2020 and 2021 score the two as one diagnosis; ``extra`` where this
        project says so: it is used only where a dataset's own code has to be read, and named where it was.
    reason : str
        Why they mean the same.
    """

    code: str
    canonical: str
    kind: str
    reason: str


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, Statement]:
    """Return every statement that a registered source uses, by its code.

    A user's own table (the source ``folder``) may use further codes: its column names.
    """
    return {row["code"]: Statement(**row) for row in read_table("vocabulary")}


@lru_cache(maxsize=1)
def equivalences() -> dict[str, Equivalence]:
    """Return the codes that stand for the same as another, by code."""
    return {row["code"]: Equivalence(**row) for row in read_table("equivalences")}


def canonical(code: str, *, extra: bool = True) -> str:
    """Return the one code under which all that mean the same are kept together.

    Parameters
    ----------
    code : str
        Any code; one that no table knows (of a user's own table) stands for itself.
    extra : bool
        Whether the equivalences that are not the Challenges' own count too.

    Returns
    -------
    str
        ``RBBB`` for ``CRBBB``, ``LBBB`` for ``CLBBB``, ``PAC`` for ``SVPB``, ``PVC`` for ``VPB`` and, as an
        extra, for ``VEB``; every other code itself. ``NORM`` (a normal ECG) and ``SR`` stay apart.
    """
    found = equivalences().get(code)
    return code if found is None or (found.kind != "official" and not extra) else found.canonical


@lru_cache(maxsize=1)
def broader() -> dict[str, tuple[str, ...]]:
    """Return the codes that a code is a kind of: rapid atrial fibrillation is atrial fibrillation.

    A list of codes that names the kind alone does not say that the rest is absent.
    """
    found: dict[str, tuple[str, ...]] = {}
    for row in read_table("broader"):
        found[row["code"]] = (*found.get(row["code"], ()), row["broader"])
    return found


@lru_cache(maxsize=64)
def annotated(source: str) -> tuple[str, ...]:
    """Return the statements that a source annotates: absent where a record does not name them.

    Parameters
    ----------
    source : str
        A source, or a part of a mixture: ``incart``, ``ningbo``, ``challenge2021/ptbxl`` (PTB-XL as the
        Challenge translated it, which is not `ptbxl` with its own statements), …

    Returns
    -------
    tuple of str
        Codes in the order of the table; empty for a source that it does not list.
    """
    return tuple(row["code"] for row in read_table("annotates") if row["source"] == source)


def from_snomed(concept: str) -> str | None:
    """Return the code of a SNOMED CT concept, before `canonical`; None for a concept that no table knows."""
    return _of_snomed().get(concept)


def crosswalk(source: str) -> list[dict[str, str]]:
    """Return the rows that translate a source's words into codes; the columns are the source's own."""
    return read_table(f"crosswalk_{source}")


@lru_cache(maxsize=1)
def _of_snomed() -> dict[str, str]:
    # A few concepts occur under two identifiers; the second is only in the crosswalk.
    codes = {row["snomed"]: row["code"] for row in crosswalk("challenge")}
    return codes | {entry.snomed: code for code, entry in vocabulary().items() if entry.snomed}


@lru_cache(maxsize=32)
def _table_text(name: str) -> str:
    return (resources.files("ecgtransfer.datasets") / f"{name}.csv").read_text(encoding="utf-8")


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV table that ships with the package (``vocabulary``, ``tasks``, …)."""
    return list(csv.DictReader(io.StringIO(_table_text(name))))
