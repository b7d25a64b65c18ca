"""Every number of a report as files: CSV, LaTeX and Markdown tables, in a folder and as links of the page."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ecgtransfer.files import write_text
from ecgtransfer.report.methods import methods
from ecgtransfer.report.sheets import LONG, Sheet, sheets, to_csv, to_latex, to_markdown
from ecgtransfer.report.view import Evidence

_FORMS = (("csv", to_csv), ("tex", to_latex), ("md", to_markdown))
_TYPES = {
    "csv": "text/csv;charset=utf-8",
    "tex": "application/x-tex;charset=utf-8",
    "md": "text/markdown;charset=utf-8",
    "json": "application/json",
    "zip": "application/zip",
}
# Browsers refuse to save longer links; what does not fit is in the archive all the same.
_LONGEST_LINK = 1_500_000
_README = """What the report shows, as files.
NAME.csv        each table, raw and in full precision
NAME.tex        the same as LaTeX; needs the packages booktabs, longtable and graphicx
NAME.md         the same as Markdown
methods.md      the methods, with references
evidence.json   everything
"""


@dataclass(frozen=True)
class Link:
    """A download of the page: what it is called, its file's name, and its content as ``data:`` address."""

    text: str
    name: str
    address: str


def write_tables(evidence: Evidence, folder: Path) -> list[Path]:
    """Write each table that has rows as CSV, LaTeX and Markdown, and the methods as Markdown.

    Parameters
    ----------
    evidence : mapping
        The content of evidence.json.
    folder : Path
        Made where it is missing; tables of an earlier report that have no rows any more are removed.

    Returns
    -------
    list of Path
        The files written.
    """
    known = sheets(evidence)
    for name, sheet in known.items():
        if not sheet.rows:
            for ending, _ in _FORMS:
                (folder / f"{name}.{ending}").unlink(missing_ok=True)
    written = []
    for name, content in _files(evidence):
        write_text(folder / name, content)
        written.append(folder / name)
    return written


def archive(evidence: Evidence) -> bytes:
    """Return a ZIP archive of all tables, the methods and the evidence; the same bytes every time."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name, content in [
            *_files(evidence),
            ("evidence.json", as_json(evidence)),
            ("README.txt", _README),
        ]:
            # Without a date of its own, which would differ between two reports of the same study.
            packed.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def as_json(evidence: Evidence) -> str:
    """Return the evidence without the signals that are drawn on the page."""
    rows = [{k: v for k, v in row.items() if k != "signal"} for row in evidence.get("disagreements", [])]
    return json.dumps({**evidence, "disagreements": rows}, ensure_ascii=False) + "\n"


def archive_link(evidence: Evidence) -> Link:
    """Return the link to everything."""
    return Link("Everything (ZIP)", "report-tables.zip", _address("zip", archive(evidence)))


def json_link(evidence: Evidence) -> Link | None:
    """Return the link to evidence.json, None where it is too long for one."""
    return _link("evidence.json", "evidence.json", as_json(evidence))


def links(sheet: Sheet) -> list[Link]:
    """Return a table's links: CSV, and LaTeX and Markdown where it would fit a page of a paper."""
    forms = [form for form in _FORMS if form[0] == "csv" or len(sheet.rows) <= LONG]
    titles = {"csv": "CSV", "tex": "LaTeX", "md": "Markdown"}
    found = (_link(titles[ending], f"{sheet.name}.{ending}", write(sheet)) for ending, write in forms)
    return [link for link in found if link is not None]


def _files(evidence: Evidence) -> Iterator[tuple[str, str]]:
    for sheet in sheets(evidence).values():
        if sheet.rows:
            for ending, write in _FORMS:
                yield f"{sheet.name}.{ending}", write(sheet)
    yield "methods.md", str(methods(evidence))


def _link(text: str, name: str, content: str) -> Link | None:
    address = _address(name.rsplit(".", 1)[-1], content.encode())
    return Link(text, name, address) if len(address) <= _LONGEST_LINK else None


def _address(ending: str, content: bytes) -> str:
    return f"data:{_TYPES[ending]};base64,{base64.b64encode(content).decode('ascii')}"
