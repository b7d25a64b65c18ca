"""Numbers and lists in English sentences."""

from __future__ import annotations

from collections.abc import Sequence


def count(value: int) -> str:
    """Return a number as people write it: in words up to eight."""
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
    return words[value] if value < len(words) else str(value)


def listed(items: Sequence[str], mark: str = ",") -> str:
    """Return ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    # Items that hold commas are set off by semicolons, before the last one too.
    last = f"{mark} and" if mark != "," and len(items) > 2 else " and"
    return f"{f'{mark} '.join(items[:-1])}{last} {items[-1]}"


def either(items: Sequence[str]) -> str:
    """Return ``a, or on b``."""
    return ", or on ".join(items)


def capital(text: str) -> str:
    """Return text that begins with a capital letter."""
    return text[:1].upper() + text[1:]
