"""The report: one self-contained page that begins with the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgtransfer.files import write_text
from ecgtransfer.report import view
from ecgtransfer.report.figures import differences, learning_curves
from ecgtransfer.report.tables import cost_rows, describe_downstream, report_notes

if TYPE_CHECKING:
    from jinja2 import Template


def write_report(evidence: view.Evidence, path: Path) -> None:
    """Write the page atomically; it needs no other file, no network and no script.

    Parameters
    ----------
    evidence : mapping
        The content of evidence.json.
    path : Path
        The HTML file to write; its folder is made where it is missing.
    """
    write_text(path, render(evidence))


def render(evidence: view.Evidence) -> str:
    """Return the page as text: answer, figures, tables, settings, notes; the same bytes every time."""
    from markupsafe import Markup

    figures = {
        f"{name}{'_narrow' * narrow}": Markup(draw(evidence, narrow=narrow))
        for name, draw in (("curves", learning_curves), ("forest", differences))
        for narrow in (False, True)
    }
    return page_template("report.html.j2").render(
        evidence=evidence,
        comparisons=view.comparisons(evidence),
        contrasts=evidence.get("contrasts", []),
        judged=[item for item in evidence.get("contrasts", []) if item.get("verdict")],
        baselines=evidence.get("baselines", []),
        against_baselines=evidence.get("against_baselines", []),
        per_target=_per_target(evidence),
        tuning=evidence.get("tuning", []),
        left_out=evidence.get("left_out", []),
        protocol=[(key, _setting(value)) for key, value in evidence.get("protocol", {}).items()],
        downstream=describe_downstream(evidence),
        cost=cost_rows(evidence) if evidence.get("cost") else [],
        notes=report_notes(evidence),
        figures=figures,
        curves_text=_curves_text(evidence),
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
    environment.globals.update(
        number=view.number,
        signed=view.signed,
        difference=view.difference,
        duration=view.duration,
        verdict=view.verdict,
    )
    return environment.get_template(name)


def _per_target(evidence: view.Evidence) -> list[dict[str, Any]]:
    """Return a table per network: targets and sizes down, arms across."""
    items = evidence.get("per_target", [])
    tables = []
    for network in view.unique(item["network"] for item in items):
        own = [item for item in items if item["network"] == network]
        arms = view.ordered_arms(item["arm"] for item in own)
        rows = []
        for target, n in view.unique((item["target"], item["n"]) for item in own):
            here = [item for item in own if (item["target"], item["n"]) == (target, n)]
            values = {item["arm"]: item["auroc"] for item in here}
            positives = "/".join(view.unique(view.number(item["positives"]) for item in here))
            rows.append(
                {"target": target, "n": n, "positives": positives, "values": [values.get(a) for a in arms]}
            )
        tables.append({"network": network, "arms": arms, "rows": rows})
    return tables


def _curves_text(evidence: view.Evidence) -> str:
    """Return the learning curves in words, for those who do not see them."""
    parts = []
    for panel in view.comparisons(evidence):
        for arm in panel.arms:
            cells = [(row.label, row.cells[arm]["auroc"]) for row in panel.rows if arm in row.cells]
            values = ", ".join(f"{view.number(auroc)} at n = {label}" for label, auroc in cells)
            parts.append(f"{panel.title}, {arm}: {values}.")
    return "Macro AUROC against the number of labels. " + " ".join(parts)


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_setting(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
