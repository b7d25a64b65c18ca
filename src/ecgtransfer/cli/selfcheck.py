"""`ecgtransfer selfcheck`: whether the verdicts can be trusted, on simulated tables whose truth is known."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ecgtransfer.cli import options


def selfcheck(
    what: Annotated[str, typer.Argument(help="What is checked: evidence.")] = "evidence",
    tables: Annotated[
        int, typer.Option("--tables", min=1, help="Simulated tables per case; the bounds need 2,000.")
    ] = 2000,
    trainings: Annotated[
        int, typer.Option("--trainings", min=0, help="Experiments with small real trainings; 0 for none.")
    ] = 100,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Local processes; 0 takes one per core.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same tables.")] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check verdicts against known truths: false claims, power, minimum detectable effect, coverage."""
    options.one_of(what, ["evidence"], "check")
    from ecgtransfer.selfcheck.run import check_evidence

    found = check_evidence(
        tables=tables,
        trainings=trainings,
        workers=options.threads_or_all(workers),
        seed=seed,
        quiet=quiet,
    )
    if json:
        options.print_json(found)
    else:
        _print(found)
    if not found["passed"]:
        options.note("selfcheck: a bound is broken, so these verdicts cannot be trusted; see above.")
        raise typer.Exit(1)


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{found['tables']:,} tables per case", title_justify="left", show_lines=True)
    for name in ("case", "truth", "helps", "harms", "equivalent", "undecided"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for name in ("covered", "detectable", "plan's power", "Wilcoxon p < 0.05"):
        table.add_column(name, justify="right")
    for row in found["cases"]:
        case, words = row["case"], row["words"]
        table.add_row(
            f"{case['name']}\n[dim]{case['about']}[/dim]",
            f"{case['truth']:+.4f}",
            *(f"{100 * words[word]:.1f} %" for word in ("helps", "harms", "equivalent", "undecided")),
            _percent(row["coverage"]),
            "" if row["minimum_detectable"] is None else f"{row['minimum_detectable']:.4f}",
            _percent(case["power"]),
            _percent(row["wilcoxon"]),
        )
    console.print(table)
    for row in found["cases"]:
        for check in row["checks"]:
            _say(console, row["case"]["name"], check)
    if found["trainings"] is not None:
        trained = found["trainings"]
        truth = trained["truth"]
        console.print(
            f"Real trainings: {trained['trainings']:,} in {trained['experiments']} experiments, true "
            f"differences {truth['least']:+.3f} to {truth['most']:+.3f}, half-width "
            f"{trained['half_width']:.3f}; "
            f"{trained['wrong_direction']} claims in the wrong direction",
            highlight=False,
        )
        _say(console, "Real trainings", trained["check"])


def _say(console: Any, name: str, check: dict[str, Any]) -> None:
    state = "[green]ok[/green]" if check["passed"] else "[red]BROKEN[/red]"
    console.print(
        f"{state} {name}: {check['what']} {100 * check['rate']:.1f} % ({100 * check['low']:.1f} to "
        f"{100 * check['high']:.1f}; {check['count']} of {check['of']}), asked: {check['bound']}",
        highlight=False,
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
