"""`ecgtransfer evaluate`: what a trained model says of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    store: Annotated[Path, typer.Argument(help="A store with the model's leads and rate.")],
    json: options.Json = False,
) -> None:
    """Test a model on a store; on the store it was trained on, only its own test part is used."""
    from ecgtransfer.study.evaluation import evaluate_model

    result = evaluate_model(model, store)
    if json:
        options.print_json(result)
        return
    from rich.console import Console

    from ecgtransfer.report.tables import remarks, result_table

    console = Console()
    console.print(result_table(result))
    for remark in remarks(result):
        console.print(remark, highlight=False)
    console.print(f"{result['records']['test']} records: {result['split']}.", highlight=False)
