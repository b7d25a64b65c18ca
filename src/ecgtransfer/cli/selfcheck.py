"""`ecgtransfer selfcheck`: whether the verdicts can be trusted, on simulated tables whose truth is known."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ecgtransfer.cli import options


def selfcheck(
    what: Annotated[str, typer.Argument(help="What is checked: evidence.")] = "evidence",
    tables: Annotated[
        int,
        typer.Option(
            "--tables",
            min=1,
            help="Simulated tables per case, five times as many where nothing may be claimed; needs 2,000.",
        ),
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
    from ecgtransfer.selfcheck.bounds import ENOUGH

    for row in found["cases"]:
        case, words = row["case"], row["words"]
        told = f"{case['about']}; true difference {case['truth']:+.4f}; {row['outcomes']:,} tables"
        print(f"\n{case['name']}\n  {told}")
        said = ", ".join(f"{word} {100 * share:.1f} %" for word, share in words.items())
        print(f"  {said}")
        figures = [
            ("interval holds the truth", row["coverage"]),
            ("Wilcoxon over seeds p < 0.05", row["wilcoxon"]),
            ("power the plan expects", case["power"]),
        ]
        rates = [f"{name} {100 * value:.1f} %" for name, value in figures if value is not None]
        if row["minimum_detectable"] is not None:
            rates.append(f"minimum detectable {row['minimum_detectable']:.4f}")
        print(f"  {'; '.join(rates)}")
        for check in row["checks"]:
            _say(check)
    if found["trainings"] is not None:
        _print_trainings(found["trainings"])
    if not found["passed"]:
        print("\nA bound is broken.")
    elif found["tables"] >= ENOUGH:
        print("\nEvery bound holds.")
    else:
        print(f"\nNo bound is contradicted; {ENOUGH:,} tables per case would be needed to say that all hold.")


def _print_trainings(trained: dict[str, Any]) -> None:
    truth = trained["truth"]
    print(f"\nReal trainings: {trained['trainings']:,} in {trained['experiments']} experiments")
    print(f"  true differences {truth['least']:+.3f} to {truth['most']:+.3f}, mean {truth['mean']:+.3f}")
    said = ", ".join(f"{word} {100 * share:.1f} %" for word, share in trained["words"].items())
    print(f"  {said}; {trained['wrong_direction']} in the wrong direction")
    _say(trained["check"])


def _say(check: dict[str, Any]) -> None:
    print(
        f"  {'ok' if check['passed'] else 'BROKEN'}: {check['what']} {100 * check['rate']:.1f} % "
        f"({100 * check['low']:.1f} to {100 * check['high']:.1f}; {check['count']} of {check['of']}), "
        f"asked: {check['bound']}"
    )
