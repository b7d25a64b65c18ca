"""What sources with tables share: rows with the columns they must have, and the counting of labels."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ecgtransfer.errors import DataError

Coverage = tuple[tuple[str, str | None, int], ...]


def read_rows(
    table: Path, columns: Sequence[str], *, address: str = ""
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the cells of every row, by the names of the columns in lower case.

    Parameters
    ----------
    table : path
        A CSV file with a header, UTF-8.
    columns : sequence of str
        Columns that it must have, in any case.
    address : str
        Where the dataset is published, for the remedy.

    Raises
    ------
    DataError
        The file is missing or no such table, or a row has another number of cells than the header.
    """
    remedy = f"Download it from {address}" if address else None
    if not table.is_file():
        raise DataError(f"there is no {table.name}", where=table.parent, remedy=remedy)
    with table.open(newline="", encoding="utf-8-sig") as stream:
        try:
            reader = csv.reader(stream)
            header = [name.strip().lower() for name in next(reader, [])]
            missing = [name for name in columns if name.lower() not in header]
            if missing:
                raise DataError(f"column {', '.join(missing)} is missing", where=table, remedy=remedy)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise DataError(
                        f"{len(cells)} cells where the header has {len(header)}",
                        where=f"{table}, line {reader.line_num}",
                        remedy=remedy,
                    )
                yield reader.line_num, dict(zip(header, cells, strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"the table cannot be read: {error}", where=table, remedy=remedy) from None


def coverage(counts: Mapping[str, int], codes: Mapping[str, str | None]) -> Coverage:
    """Return label, code and number of records, the most frequent first; a label without a code has None."""
    rows = [(label, codes.get(label), count) for label, count in counts.items()]
    return tuple(sorted(rows, key=lambda row: (-row[2], row[0])))


def binary(text: str, *, where: str) -> bool:
    """Return a cell that says yes or no (``True``, ``False``, ``1``, ``0``, ``1.0``, ``0.0``).

    Raises
    ------
    DataError
        For anything else.
    """
    value = text.strip().lower()
    if value not in ("true", "false", "1", "0", "1.0", "0.0"):
        raise DataError(f"{text!r} is neither yes nor no", where=where, remedy="Use the table as published")
    return value in ("true", "1", "1.0")


def listed(counts: Counter[str], *, most: int = 5) -> str:
    """Return the most frequent of what was counted, as ``name (count), …``."""
    named = [f"{name} ({count:,})" for name, count in counts.most_common(most)]
    return ", ".join(named) + (f" and {len(counts) - most} more" if len(counts) > most else "")
