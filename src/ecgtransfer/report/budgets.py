"""What smaller budgets say: how soon each arm reaches a target, and how they differ at each budget."""

from __future__ import annotations

import dataclasses

import numpy as np

from ecgtransfer.evidence import BudgetRun, convergence, paired_difference, word
from ecgtransfer.report.breadth import Context, Row
from ecgtransfer.report.gather import Cell, Done, Gathered, paired, scratch, singles


def convergences(context: Context) -> list[Row]:
    """Return, where smaller budgets were run, how soon each arm reaches the target that tuning runs named."""
    rows = []
    for cell in context.runs.shorter:
        if cell.arm == "scratch":
            continue
        target = convergence_target(context.runs, cell)
        if target is None:
            continue
        arms = {arm: budget_runs(context, of) for arm, of in ((cell.arm, cell), ("scratch", scratch(cell)))}
        found = convergence(
            arms, target=target, level=context.level, resamples=context.resamples, seed=context.stream
        )
        row = {**context.named(cell), **dataclasses.asdict(found)}
        row["arms"][cell.arm]["differences"] = [
            _difference(context, cell, updates) for updates in found.budgets
        ]
        rows.append(row)
    return rows


def _difference(context: Context, cell: Cell, updates: int) -> Row:
    """Return by how much an arm is better than scratch where both had so many updates."""
    mine, theirs = (_with_budget(context.runs, of, updates) for of in (cell, scratch(cell)))
    found = paired_difference(
        paired(mine, theirs, context.macro[cell.downstream]),
        resamples=context.resamples,
        level=context.level,
        seed=context.stream,
    )
    return {
        "updates": updates,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "word": word(found, context.margin),
        "note": found.note,
    }


def _with_budget(runs: Gathered, cell: Cell, updates: int) -> list[Done]:
    """Return a cell's runs with so many updates, from the first pre-training."""
    whole = [run for run in runs.cells[cell] if run.pretraining_seed in (None, 0)]
    return whole if whole[0].spec.budget.updates == updates else runs.shorter[cell][updates]


def convergence_target(runs: Gathered, cell: Cell) -> float | None:
    """Return the validation loss that scratch reached on average in its tuning runs: no evidence.

    It is that of the rate which they chose together, as the evidence has one rate: a mean of each one's best
    rate would be a target that scratch itself reaches less often than not.
    """
    tuned = runs.cells[scratch(cell)][0].result["learning_rate"]
    losses = [
        item["validation_loss"]
        for run in runs.tunings.get(scratch(cell), [])
        for item in run.result["search"]
        if item["rate"] == tuned
    ]
    # A mean over the runs that happened not to diverge would be a mean over the lucky ones.
    known = [float(loss) for loss in losses if loss is not None]
    return float(np.mean(known)) if known and len(known) == len(losses) else None


def budget_runs(context: Context, cell: Cell) -> list[BudgetRun]:
    """Return the runs of a cell at every budget, from the first pre-training."""
    whole = context.runs.cells[cell][0].spec.budget.updates
    budgets = (whole, *context.runs.shorter[cell])
    every = [run for updates in budgets for run in _with_budget(context.runs, cell, updates)]
    targets = context.macro[cell.downstream]
    return [
        BudgetRun(
            seed=run.spec.seed,
            updates=run.spec.budget.updates,
            validation_loss=run.result["validation_loss"],
            test=test,
        )
        for run, test in zip(every, singles(every, targets), strict=True)
    ]
