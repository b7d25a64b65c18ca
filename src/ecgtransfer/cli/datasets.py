"""`ecgtransfer datasets`: what can be prepared and what is prepared here, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecgtransfer.cli import options

if TYPE_CHECKING:
    from rich.console import Console


def datasets(
    folder: Annotated[
        Path, typer.Option("--in", help="Where to look for stores that are prepared already.")
    ] = Path(),
    json: options.Json = False,
) -> None:
    """List the sources: size, leads, rate, statements annotated, licence, address, and the stores here."""
    from ecgtransfer.datasets import sources
    from ecgtransfer.datasets.store_info import find_stores

    prepared: dict[str, list[dict[str, Any]]] = {}
    for path, info in find_stores(folder):
        prepared.setdefault(info.source, []).append(
            {"path": str(path), "records": info.n_records, "sampling_rate": info.sampling_rate}
        )
    rows: list[dict[str, Any]] = []
    for name in sources.names():
        source = sources.get(name)
        rows.append(
            {
                "name": source.name,
                "title": source.title,
                "records": source.records,
                "patients": source.patients,
                "leads": list(source.leads),
                "sampling_rate": source.sampling_rate,
                "annotates": list(source.annotates),
                "tasks": list(source.tasks),
                "licence": source.licence,
                "citation": source.citation,
                "address": source.address,
                "prepared": prepared.get(source.name, []),
            }
        )
    if json:
        options.print_json(rows)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    title = "Sources that `ecgtransfer prepare` knows, and the stores here"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("source", "records", "patients", "leads", "Hz", "annotated", "licence", "here"):
        table.add_column(
            column,
            justify="left" if column in ("source", "licence") else "right",
            no_wrap=column != "licence",
        )
    for row in rows:
        own = row["records"] is None
        table.add_row(
            str(row["name"]),
            "yours" if own else f"{row['records']:,}",
            "yours" if own else "unknown" if row["patients"] is None else f"{row['patients']:,}",
            "yours" if own else str(len(row["leads"])),
            "yours" if own else f"{row['sampling_rate']:g}",
            "yours" if own else str(len(row["annotates"])),
            "yours" if own else str(row["licence"]),
            str(len(row["prepared"]) or ""),
        )
    console = Console()
    console.print(table)
    for row in rows:
        tasks = f" Tasks: {', '.join(row['tasks'])}." if row["tasks"] else ""
        address = f" {row['address']}" if row["records"] is not None else ""
        console.print(f"{row['name']}: {row['title']}.{tasks}{address}", highlight=False, soft_wrap=True)
        _show(console, row["prepared"])  # not in the table, which would cut a long path
    others = [store for name in sorted(prepared.keys() - set(sources.names())) for store in prepared[name]]
    if others:
        console.print("Stores here of other sources:")
        _show(console, others)


def _show(console: Console, stores: list[dict[str, Any]]) -> None:
    for store in stores:
        said = f"  {store['path']}: {store['records']:,} records, {store['sampling_rate']:g} Hz"
        console.print(said, highlight=False, soft_wrap=True, markup=False)
