"""What is wrong with a signal (placeholder until the real one replaces this file)."""

from __future__ import annotations

from dataclasses import dataclass

from ecgtransfer.signals.record import Record


@dataclass(frozen=True)
class Flag:
    """A finding."""

    name: str
    evidence: str
    leads: tuple[str, ...] = ()


NAMES: dict[str, str] = {}


def check(record: Record) -> tuple[Flag, ...]:
    """Return what is wrong with a record."""
    return ()
