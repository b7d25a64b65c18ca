"""Gains held against each other, on the same test patients: between networks, and between sizes."""

from __future__ import annotations

from ecgtransfer.evidence import difference_of_gains, word
from ecgtransfer.report.breadth import Context, Row
from ecgtransfer.report.gather import Cell, paired


def gains(context: Context) -> list[Row]:
    """Return by how much one network gains more than another, and more with fewer labels than with most."""
    cells = [cell for cell in context.runs.cells if cell.arm != "scratch" and cell.upstream is not None]
    most: dict[Cell, Cell] = {}
    for cell in sorted(cells, key=lambda cell: context.sizes[cell.downstream, cell.n]):
        most[cell._replace(n=None)] = cell
    pairs = [
        (cell, other)
        for number, cell in enumerate(cells)
        for other in cells[number + 1 :]
        if cell == other._replace(network=cell.network)
    ]
    pairs += [(cell, most[cell._replace(n=None)]) for cell in cells if cell != most[cell._replace(n=None)]]
    return [_gain(context, *pair) for pair in pairs]


def _gain(context: Context, cell: Cell, other: Cell) -> Row:
    targets = context.macro[cell.downstream]
    ours, theirs = (
        {
            (run.seed, run.pretraining_seed): run
            for run in paired(context.runs.cells[each], context.runs.reference(each), targets)
        }
        for each in (cell, other)
    )
    # Only the first network may have several pre-trainings.
    both = [key for key in ours if key in theirs]
    found = difference_of_gains(
        [ours[key] for key in both],
        [theirs[key] for key in both],
        resamples=context.resamples,
        level=context.level,
        seed=context.stream,
    )
    said = {"helps": "gains more", "harms": "gains less", "equivalent": "gains the same"}
    alone = word(found, context.margin)
    fewer = f"itself with {context.sizes[other.downstream, other.n]:,} labels"
    return {
        **context.named(cell),
        "against": other.network if other.network != cell.network else fewer,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "n_seeds": found.n_seeds,
        "n_pretraining_seeds": found.n_pretraining_seeds,
        "word": None if alone is None else said.get(alone, "cannot be told"),
        "note": found.note,
    }
