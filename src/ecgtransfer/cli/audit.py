"""`ecgtransfer audit`: what is wrong with prepared data, within a store and between several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ecgtransfer.cli import options


def audit(
    stores: Annotated[list[Path], typer.Argument(help="One store or several, made by `prepare`.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write the findings as a page with the ECGs drawn.")
    ] = None,
    minimum_positives: Annotated[
        int,
        typer.Option("--minimum-positives", min=1, help="Statements with fewer of either class are named."),
    ] = 10,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find duplicates, leakage between stores, damaged signals, wrong units, few positives, confounding."""
    from ecgtransfer.datasets.audit import audit as run_audit
    from ecgtransfer.datasets.store import Store
    from ecgtransfer.errors import ConfigError

    resolved = [path.resolve() for path in stores]
    if len(set(resolved)) < len(resolved):
        twice = next(path for path, place in zip(stores, resolved, strict=True) if resolved.count(place) > 1)
        raise ConfigError("the store is named twice", where=twice, remedy="Name each store once")
    if out is not None and (out.suffix.lower() not in (".html", ".htm") or out.is_dir()):
        raise ConfigError(
            "the page is an HTML file", where=out, remedy="Name a file that ends in .html, such as audit.html"
        )
    opened, names = [Store.open(path) for path in stores], [str(path) for path in stores]
    findings = run_audit(opened, names, minimum_positives=minimum_positives, quiet=quiet)
    if out is not None:
        from ecgtransfer.report.audit_page import write_audit_page

        write_audit_page(findings, opened, names, out)
    if json:
        options.print_json(findings)
        return
    _print(findings)
    if out is not None:
        print(f"Page: {out}")


def _print(findings: dict[str, Any]) -> None:
    from rich.console import Console

    from ecgtransfer.report.audit_tables import audit_tables

    console = Console()
    for line in findings["summary"]:
        console.print(f"- {line}", highlight=False, markup=False, soft_wrap=True)
    for table in audit_tables(findings):
        console.print()
        console.print(table)
