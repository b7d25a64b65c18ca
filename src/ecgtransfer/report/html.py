"""The report: one self-contained page that begins with the answer."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgtransfer.files import write_text
from ecgtransfer.report import export, sections, view
from ecgtransfer.report.charts import charts
from ecgtransfer.report.figures import drawings, legend
from ecgtransfer.report.methods import methods
from ecgtransfer.report.plot import swatch
from ecgtransfer.report.sheets import LONG, sheets, to_latex, to_markdown
from ecgtransfer.report.spec import DASHES, SYMBOLS, Chart
from ecgtransfer.report.tables import describe_downstreams, describe_study, report_notes

if TYPE_CHECKING:
    from jinja2 import Template

# What a paper would print; all the others are in the archive.
_PAPER_TABLES = ("verdicts", "differences", "catch_up", "time_to_target", "break_even", "calibration")


def write_report(evidence: view.Evidence, path: Path) -> None:
    """Write the page atomically; it needs no other file and no network, and is whole without scripts too.

    Parameters
    ----------
    evidence : mapping
        The content of evidence.json.
    path : Path
        The HTML file to write; its folder is made where it is missing.
    """
    write_text(path, render(evidence))


def render(evidence: view.Evidence) -> str:
    """Return the page as text, the same bytes every time."""
    from markupsafe import Markup

    tables, drawn = sheets(evidence), charts(evidence)
    template = page_template("report.html.j2")
    return template.render(
        evidence=evidence,
        answer=(*(evidence.get("answer") or (evidence["sentence"],)), "")[:2],
        published=evidence.get("study", {}).get("protocol") == "paper",
        recommended=(evidence.get("recommendation") or {}).get("text", ""),
        judged=tables["verdicts"].rows,
        several=len(evidence.get("downstreams", [])) > 1,
        downstreams_text=describe_downstreams(evidence),
        study_text=describe_study(evidence),
        comparisons=view.comparisons(evidence),
        sheets=tables,
        figures={name: _figure(chart) for name, chart in drawn.items()},
        why=sections.reasons(evidence),
        bands_text=sections.bands_text(evidence),
        negative_text=sections.negative_text(evidence),
        totals=sections.totals(evidence),
        power=sections.power(evidence),
        ecgs=sections.disagreements(evidence),
        audit=evidence.get("audit"),
        audit_counts=sections.audit_counts(evidence.get("audit") or {}),
        methods=methods(evidence),
        everything=[link for link in (export.archive_link(evidence), export.json_link(evidence)) if link],
        downloads=[(sheet, export.links(sheet)) for sheet in tables.values() if sheet.rows],
        paper_tables=[name for name in _PAPER_TABLES if 0 < len(tables[name].rows) <= LONG],
        long=LONG,
        to_latex=to_latex,
        to_markdown=to_markdown,
        notes=report_notes(evidence),
        arms=sections.arms(evidence),
        data=Markup(_data(drawn)),
        library=Markup(library()),
        script=Markup(_script()),
    )


def page_template(name: str) -> Template:
    """Return a template of `report/templates`: everything is escaped, a missing value is an error."""
    # Imported here because jinja2 is not among the core dependencies.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ecgtransfer.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = (
        "number",
        "signed",
        "difference",
        "interval",
        "duration",
        "verdict",
        "level",
        "arm_label",
        "size_label",
    )
    environment.globals.update({name: getattr(view, name) for name in names})
    return environment.get_template(name)


def library() -> str:
    """Return the charting library as it was published, with its licence at its head."""
    return (files("ecgtransfer.report") / "vendor" / "echarts" / "echarts.min.js").read_text(encoding="utf-8")


def _script() -> str:
    return (files("ecgtransfer.report") / "templates" / "report" / "report.js").read_text(encoding="utf-8")


def _figure(chart: Chart) -> dict[str, Any]:
    return {"name": chart.name, "drawings": drawings(chart), "legend": legend(chart)}


def _data(drawn: dict[str, Chart]) -> str:
    """Return what the page's script reads; no name in it can end the element that holds it."""
    styles = [
        {"symbol": symbol, "dash": dash, "swatch": swatch(number)}
        for number, (symbol, dash) in enumerate(zip(SYMBOLS, DASHES, strict=True))
    ]
    content = {"styles": styles, "charts": [chart.as_json() for chart in drawn.values()]}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
