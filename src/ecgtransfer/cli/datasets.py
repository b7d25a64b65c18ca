"""`ecgtransfer datasets`: what can be prepared, as a table."""

from __future__ import annotations

from typing import Any

from ecgtransfer.cli import options


def datasets(json: options.Json = False) -> None:
    """List the sources: records, patients, leads, rate, statements annotated, licence, address."""
    from ecgtransfer.datasets import sources

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
            }
        )
    if json:
        options.print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Sources that `ecgtransfer prepare` knows")
    for column in ("source", "records", "patients", "leads", "Hz", "statements", "licence"):
        table.add_column(column, justify="right" if column in ("records", "patients") else "left")
    for row in rows:
        own = row["records"] is None
        table.add_row(
            str(row["name"]),
            "yours" if own else f"{row['records']:,}",
            "yours" if own else "unknown" if row["patients"] is None else f"{row['patients']:,}",
            "yours" if own else str(len(row["leads"])),
            "yours" if own else f"{row['sampling_rate']:g}",
            "your columns" if own else str(len(row["annotates"])),
            "yours" if own else str(row["licence"]),
        )
    console = Console()
    console.print(table)
    for row in rows:
        tasks = f" Tasks: {', '.join(row['tasks'])}." if row["tasks"] else ""
        address = f" {row['address']}" if row["records"] is not None else ""
        console.print(f"{row['name']}: {row['title']}.{tasks}{address}", highlight=False, soft_wrap=True)
