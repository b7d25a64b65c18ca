"""Errors the user can cause: each says in one paragraph what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from os import PathLike


class EcgTransferError(Exception):
    """Something the user can mend.

    Parameters
    ----------
    what : str
        What is wrong, as a clause without a full stop.
    where : str or path, optional
        The file, record, line or option it concerns.
    remedy : str, optional
        What to do about it, as a sentence without a full stop.
    """

    def __init__(
        self, what: str, *, where: str | PathLike[str] | None = None, remedy: str | None = None
    ) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.remedy = remedy
        text = what if self.where is None else f"{self.where}: {what}"
        super().__init__(text if remedy is None else f"{text}. {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes hand errors back pickled; keyword-only arguments need help there.
        return _rebuild, (type(self), self.what, self.where, self.remedy)


class SignalError(EcgTransferError):
    """A recording cannot be read or is not what it claims to be."""


class DataError(EcgTransferError):
    """A dataset, table or store is missing something or contradicts itself."""


class ConfigError(EcgTransferError):
    """An option, name or setting is unknown or does not fit the others."""


class ModelError(EcgTransferError):
    """A network or model folder does not fit the signals, the task or its own card."""


class StudyError(EcgTransferError):
    """A run, ledger or study contradicts what is already on disk."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which names are known, the nearest first: the remedy for a misspelt name."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listing = ", ".join(known) if known else "none"
    return f"Did you mean {close[0]}? Known: {listing}" if close else f"Known: {listing}"


def _rebuild(
    kind: type[EcgTransferError], what: str, where: str | None, remedy: str | None
) -> EcgTransferError:
    return kind(what, where=where, remedy=remedy)
