"""Every table of the report: what stands on the page, in `tables/`, and in the Markdown report."""

from ecgtransfer.report.sheets.curves import curves, means
from ecgtransfer.report.sheets.data import data, leads_phrase, setting, settings
from ecgtransfer.report.sheets.differences import described, judged, parts
from ecgtransfer.report.sheets.table import LONG, Column, Sheet, pipe, plain, to_csv, to_latex, to_markdown
from ecgtransfer.report.sheets.trainings import calibration, convergence, costs
from ecgtransfer.report.view import Evidence

__all__ = [
    "LONG",
    "Column",
    "Sheet",
    "leads_phrase",
    "pipe",
    "plain",
    "setting",
    "sheets",
    "to_csv",
    "to_latex",
    "to_markdown",
]


def sheets(evidence: Evidence) -> dict[str, Sheet]:
    """Return the tables by name, in the order of the page; one without rows has nothing to show."""
    made = (judged, curves, means, parts, described, convergence, costs, calibration, data, settings)
    return {sheet.name: sheet for make in made for sheet in make(evidence)}
