"""A table of the report, once: raw rows for CSV, and columns as people read them in every other form."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

# Rows beyond which a LaTeX table is set as a longtable, columns beyond which it is shrunk to the line.
LONG, WIDE = 45, 7
_LATEX = {
    "[": "{[}", "]": "{]}", "*": "{*}",  # after a line's end they would be its options
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "−": r"$-$", "±": r"$\pm$", "·": r"$\cdot$", "×": r"$\times$",
    "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\rightarrow$", "…": r"\ldots{}", "µ": r"$\mu$", "–": "--",
    "—": "---", "\n": " ", "\N{NO-BREAK SPACE}": "~",
}  # fmt: skip
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"


@dataclass(frozen=True)
class Column:
    """A column as people read it.

    Attributes
    ----------
    head : str
    show : callable
        From a row to the cell's text.
    words : bool
        Text, set to the left and wrapped where it is long; otherwise a figure.
    """

    head: str
    show: Callable[[Row], str]
    words: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes
    ----------
    name : str
        Of its files.
    title : str
    columns : tuple of Column
    rows : sequence of mapping
        Raw: everything in them that is a figure or a word goes into the CSV file.
    note : str
        What a reader has to know of it.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Row]
    note: str = ""

    @property
    def heads(self) -> list[str]:
        """What stands above the columns."""
        return [column.head for column in self.columns]

    def cells(self, row: Row) -> list[str]:
        """Return a row as people read it."""
        return [column.show(row) for column in self.columns]


def to_csv(sheet: Sheet) -> str:
    """Return the raw rows in full precision: nested fields as ``verdict.word``, lists joined by blanks."""
    flat = [_flat(row) for row in sheet.rows]
    header = list(dict.fromkeys(key for row in flat for key in row))
    # A field that is nested in some rows and missing in others has its columns already.
    nested = {key.rsplit(".", depth)[0] for key in header for depth in range(1, key.count(".") + 1)}
    header = [
        key for key in header if key not in nested or any(row.get(key) not in (None, "") for row in flat)
    ]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, header, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return stream.getvalue()


def to_markdown(sheet: Sheet) -> str:
    """Return a pipe table."""
    return pipe(sheet.heads, [sheet.cells(row) for row in sheet.rows])


def to_latex(sheet: Sheet) -> str:
    """Return a table of the package booktabs, with caption and label; a long one needs longtable too."""
    kinds = ["l" if column.words else "r" for column in sheet.columns]
    # Sentences need a width, else they run off the page.
    widest = [
        max((len(cell) for cell in cells), default=0)
        for cells in zip(*map(sheet.cells, sheet.rows), strict=True)
    ]
    shape = "".join(
        r"p{0.3\linewidth}" if wide > 40 and kind == "l" else kind
        for kind, wide in zip(kinds, widest or [0] * len(kinds), strict=True)
    )
    head = " & ".join(map(latex, sheet.heads)) + r" \\"
    body = [" & ".join(map(latex, sheet.cells(row))) + r" \\" for row in sheet.rows]
    caption = rf"\caption{{{latex(' '.join(filter(None, (sheet.title + '.', sheet.note))))}}}"
    label = rf"\label{{tab:{sheet.name}}}"
    if len(sheet.rows) > LONG:
        top = [r"\toprule", head, r"\midrule"]
        lines = [
            rf"\begin{{longtable}}{{{shape}}}", caption + label + r"\\", *top, r"\endfirsthead", *top,
            r"\endhead", r"\bottomrule", r"\endfoot", *body, r"\end{longtable}",
        ]  # fmt: skip
    else:
        # A wide table is made to fit the line, in smaller letters.
        wide = len(sheet.columns) > WIDE
        lines = [
            r"\begin{table}", r"\centering", caption, label,
            *([r"\resizebox{\linewidth}{!}{%"] if wide else []),
            rf"\begin{{tabular}}{{{shape}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule",
            r"\end{tabular}" + ("}" if wide else ""), r"\end{table}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def latex(text: str) -> str:
    """Return text that LaTeX sets as it is."""
    escaped = "".join(_LATEX.get(letter, letter) for letter in text)

    def raised(found: re.Match[str]) -> str:
        digits = found[0].translate(str.maketrans(_SUPERSCRIPTS, "0123456789-"))
        return f"$^{{{digits}}}$"

    return re.sub(f"[{_SUPERSCRIPTS}]+", raised, escaped)


def pipe(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; no cell can leave its place."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(plain(value) for value in line) + " |" for line in lines)


def plain(value: object) -> str:
    """Return text that stays within its Markdown cell or heading."""
    return str(value).replace("|", "\\|").replace("\n", " ")


def _flat(row: Row, before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in row.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            found |= _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            # Lists of rows are sheets of their own.
            if not any(isinstance(item, Mapping | list | tuple) for item in value):
                found[name] = " ".join("" if item is None else str(item) for item in value)
        else:
            found[name] = value
    return found
