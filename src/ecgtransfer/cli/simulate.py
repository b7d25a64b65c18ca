"""`ecgtransfer simulate`: recordings of a simulated hospital, as files to prepare like one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecgtransfer.cli import options


def simulate(
    site: Annotated[str, typer.Argument(help="A, B (hospitals that differ) or C (a hand-held device).")],
    records: Annotated[int, typer.Argument(metavar="N", help="How many recordings.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="A new folder for the recordings.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same files.")] = 0,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of each recording.")] = 10.0,
    json: options.Json = False,
) -> None:
    """Write simulated 12-lead ECGs with their labels, for `prepare folder`."""
    from ecgtransfer.datasets.simulation import SITES, STATEMENTS
    from ecgtransfer.datasets.simulation import simulate as write

    write(site, records, out, seed=seed, seconds=seconds)
    if json:
        found = {"path": str(out), "n_records": records, "site": site, "seed": seed, "seconds": seconds}
        rate = SITES[site].sampling_rate
        options.print_json({**found, "sampling_rate": rate, "statements": list(STATEMENTS)})
        return
    print(f"{out}: {records} recordings and labels.csv")
    print(f"Next: ecgtransfer prepare folder {out} -o {out.name}.ecgs")
