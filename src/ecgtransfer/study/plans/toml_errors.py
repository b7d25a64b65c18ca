"""What is wrong with a `study.toml`, in one sentence, and in which line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgtransfer.errors import ConfigError, EcgTransferError, nearest
from ecgtransfer.study.plans.toml_keys import LISTS, TABLES, TOP, shown

Place = tuple[str | int, ...]


class MisplacedError(Exception):
    """Something wrong at a place of the file: keys and positions, as pydantic names them."""

    def __init__(self, what: str, place: Place, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what, self.place, self.remedy = what, place, remedy

    def at(self, path: Path, text: str) -> ConfigError:
        """Return the error that names the line."""
        return ConfigError(self.what, where=_where(path, _line(text, self.place)), remedy=self.remedy)


def not_toml(path: Path, error: tomllib.TOMLDecodeError) -> ConfigError:
    """Return what the parser complains of."""
    found = re.fullmatch(r"(?s)(.*?) \(at (?:line (\d+), column \d+|end of document)\)", str(error))
    what, line = (found[1], found[2]) if found else (str(error), None)
    where = _where(path, int(line) if line else None)
    return ConfigError(
        f"is not TOML: {what[0].lower()}{what[1:]}",
        where=where,
        remedy='Write NAME = VALUE, text in "quotes"',
    )


def refused(path: Path, text: str, error: EcgTransferError) -> EcgTransferError:
    """Return what the plan refuses with the line of the first value that the message names in quotes."""
    line = None
    for value in re.findall(r"'([^']+)'", error.what):
        for at, written in enumerate(text.splitlines(), start=1):
            if line is None and (f'"{value}"' in written or f"'{value}'" in written):
                line = at
    return type(error)(error.what, where=_where(path, line), remedy=error.remedy)


def complaint(path: Path, text: str, error: Mapping[str, Any]) -> ConfigError:
    """Turn pydantic's first complaint (an entry of ``ValidationError.errors()``) into one sentence."""
    place = tuple(error["loc"])
    table = str(place[0])
    key = next((str(part) for part in reversed(place) if isinstance(part, str)), table)
    where = _where(path, _line(text, place))
    inside = len(place) > 1 and (table in TABLES or table in LISTS)
    if error["type"] == "extra_forbidden":
        return _unknown(key, table if inside else None, error["input"], where)
    if error["type"] in ("missing", "too_short") and key in LISTS:
        return ConfigError(f"there is no [[{key}]]", where=where, remedy=_MISSING[key])
    if error["type"] == "missing":
        what = f"'{key}' is missing" + (f" in {_header(table)}" if inside else "")
        return ConfigError(what, where=where, remedy=_MISSING.get(key))
    if key in LISTS and error["type"] in ("list_type", "model_type", "dict_type"):
        return ConfigError(f"'{key}' is a table of which there may be several: write [[{key}]]", where=where)
    if key in TABLES and error["type"] in ("model_type", "dict_type"):
        return ConfigError(f"'{key}' is a table that is there once: write [{key}]", where=where)
    return ConfigError(f"'{key}' {_misfit(error)}", where=where)


_MISSING = {
    "networks": 'Name at least one, such as networks = ["resnet1d18-w16"]',
    "downstream": 'Name the store you care for: [[downstream]] with store = "NAME.ecgs"',
    "store": 'Give store = "NAME.ecgs"',
    "sizes": 'Give the labels to use, such as sizes = [50, 200, "all"]',
    "size": 'Give the labels of this contrast, such as size = 50, or size = "all"',
}
_NEEDED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text in quotes",
    "list_type": "a list in brackets",
    "finite_number": "a finite number",
}


def _unknown(key: str, table: str | None, value: Any, where: str) -> ConfigError:
    tables = {**TABLES, **LISTS}
    written_as_table = isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    )
    if table is not None:
        what, known = f"unknown key '{key}' in {_header(table)}", list(tables[table].model_fields)
    elif written_as_table:
        what, known = f"unknown table [{key}]", list(tables)
    else:
        what, known = f"unknown key '{key}'", list(TOP)
    remedy = nearest(key, known)
    homes = [_header(name) for name, home in tables.items() if key in home.model_fields]
    # TOML puts every key below a header into that table: the usual way of being in the wrong one.
    if key in TOP:
        remedy = f"'{key}' belongs at the top of the file, before the first table"
    elif homes:
        remedy = f"'{key}' belongs in {' or '.join(homes)}"
    return ConfigError(what, where=where, remedy=remedy)


def _header(table: str) -> str:
    return f"[[{table}]]" if table in LISTS else f"[{table}]"


def _misfit(error: Mapping[str, Any]) -> str:
    kind, value = error["type"], shown(error["input"])
    if kind == "value_error":
        return f"does not fit: {error['ctx']['error']}"
    if kind in _NEEDED:
        return f"is {value}, and {_NEEDED[kind]} is needed"
    if kind == "too_short":
        return "is empty, and at least one is needed"
    message = str(error["msg"]).removeprefix("Input should be ").replace("'", '"')
    return f"is {value}, and has to be {message}"


def _where(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}, line {line}"


def _line(text: str, place: Sequence[str | int]) -> int | None:
    """Return the line of a place: of the key if it is found there, else of its table's header.

    TOML's own parser keeps no lines. This scan knows headers and ``key =`` at the start of a line, which is
    how people write them; where it finds nothing, no line is named.
    """
    table = str(place[0])
    number = next((part for part in place[1:] if isinstance(part, int)), 0) if table in LISTS else 0
    keys = [part for part in place if isinstance(part, str)]
    current: tuple[str, int] | None = None
    seen: dict[str, int] = {}
    header = None
    for at, line in enumerate(text.splitlines(), start=1):
        if found := re.match(r"\s*(\[\[?)\s*([\w-]+)\s*\]", line):
            name = found[2]
            seen[name] = seen.get(name, -1) + 1
            current = (name, seen[name])
            if current == (table, number):
                header = at
        elif found := re.match(r"""\s*["']?([\w-]+)["']?\s*=""", line):
            inside = current == (table, number) and len(keys) > 1 and found[1] == keys[1]
            if inside or (current is None and found[1] == table):
                return at
    return header
