"""`ecgtransfer networks`: what can learn, as a table."""

from __future__ import annotations

from typing import Any

from ecgtransfer.cli import options


def networks(json: options.Json = False) -> None:
    """List the networks: family, parameters and multiply-adds with 12 leads, 10 s at 100 Hz, five outputs."""
    from ecgtransfer import networks as registry

    rows: list[dict[str, Any]] = []
    for name in registry.names():
        card = registry.card(name)
        built = registry.build(name, n_leads=12, n_outputs=5, n_samples=1000, sampling_rate=100.0)
        total = registry.n_parameters(built)
        head = sum(parameter.numel() for parameter in built.head.parameters())
        rows.append(
            {
                "name": name,
                "title": card.title,
                "family": card.family,
                "parameters": total,
                "head_share": round(head / total, 4),
                "multiply_adds": registry.multiply_adds(built),
                "fixed_length": card.fixed_length,
                "paper": card.paper,
                "note": card.note,
            }
        )
    if json:
        options.print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Networks (12 leads, 1000 samples, 5 outputs)", caption="head: replaced on transfer")
    for column in ("network", "family", "parameters", "head", "multiply-adds"):
        table.add_column(
            column, justify="right" if column in ("parameters", "head", "multiply-adds") else "left"
        )
    for row in rows:
        table.add_row(
            str(row["name"]),
            str(row["family"]),
            f"{row['parameters']:,}",
            f"{row['head_share']:.1%}",
            f"{row['multiply_adds'] / 1e6:,.1f} M",
        )
    Console().print(table)
