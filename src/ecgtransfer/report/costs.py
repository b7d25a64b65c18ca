"""What the arms cost, and after how many projects a pre-training has paid for itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecgtransfer.evidence import BreakEven, break_even, energy_wh
from ecgtransfer.report.budgets import convergence_target
from ecgtransfer.report.gather import Cell, Done, Gathered, scratch
from ecgtransfer.study.forecasts.pace import run_flops

Row = dict[str, Any]
# A busy core of a server with its share of memory and supply; nothing here is read from a meter.
WATTS = 10.0
POWER_NOTE = f"Energy is estimated, not measured: {WATTS:g} W for each core that works."
_GPU_NOTE = " What a GPU took is not in it."


def cost(
    runs: Gathered, sizes: Mapping[tuple[str, int | None], int], origins: Sequence[Mapping[str, Any]]
) -> Row:
    """Return cost per arm, of pre-training, and the break-even.

    Parameters
    ----------
    runs : Gathered
    sizes : mapping
        (downstream, n) → labels used.
    origins : sequence of mapping
        ``upstreams`` of the study's description.
    """
    every = list(runs.all)
    return {
        "rows": [_cell_cost(cell, done, sizes) for cell, done in runs.cells.items()],
        "pretraining": [
            {
                "upstream": upstream,
                "network": network,
                "flops": _mean([_flops(run) for run in done]),
                "seconds": _mean([run.measured["seconds"] for run in done]),
                "energy_wh": _mean([_energy(run) for run in done]),
                "runs": len(done),
            }
            for (upstream, network), done in runs.pretrainings.items()
        ],
        "break_even": [
            row
            for cell in runs.cells
            if cell.arm == "full"
            for row in _break_even(cell, runs, sizes, origins)
        ],
        "total_seconds": round(sum(run.measured["seconds"] for run in every), 1),
        "runs": len(every),
        "trainings": sum(_trainings(run) for run in every),
        "power_watts": WATTS,
        "power_note": POWER_NOTE + (_GPU_NOTE if any(_on_gpu(run) for run in every) else ""),
    }


def _cell_cost(cell: Cell, runs: Sequence[Done], sizes: Mapping[tuple[str, int | None], int]) -> Row:
    return {
        "downstream": cell.downstream,
        "network": cell.network,
        "upstream": cell.upstream,
        "arm": cell.arm,
        "n": sizes[cell.downstream, cell.n],
        "n_is_all": cell.n is None,
        "flops_per_training": _mean([_flops(run) / max(1, _trainings(run)) for run in runs]),
        "trainings": sum(_trainings(run) for run in runs),
        "seconds": float(np.median([run.measured["seconds"] for run in runs])),
        "energy_wh": _mean([_energy(run) for run in runs]),
    }


def _break_even(
    cell: Cell,
    runs: Gathered,
    sizes: Mapping[tuple[str, int | None], int],
    origins: Sequence[Mapping[str, Any]],
) -> list[Row]:
    origin = next(o for o in origins if (o["name"], o["network"]) == (cell.upstream, cell.network))
    made = runs.pretrainings.get((str(cell.upstream), cell.network), [])
    spent = _mean([_flops(run) for run in made]) if made else origin.get("flops")
    measure = _to_target if cell in runs.shorter else _unmeasured
    found = measure(cell, runs, spent, origin["downloaded"])
    named = {
        "downstream": cell.downstream,
        "network": cell.network,
        "upstream": cell.upstream,
        "arm": cell.arm,
        "n": sizes[cell.downstream, cell.n],
        "n_is_all": cell.n is None,
    }
    return [{**named, **dataclasses.asdict(found)}]


def _to_target(cell: Cell, runs: Gathered, pretraining: float | None, downloaded: bool) -> BreakEven:
    """Count operations up to the smallest budget that reaches the target, once per rate of the search."""
    target = convergence_target(runs, cell)
    spent: dict[str, list[float]] = {}
    least: dict[str, list[float]] = {}
    reached: dict[str, list[bool]] = {}
    for name, of in (("scratch", scratch(cell)), ("arm", cell)):
        whole = [run for run in runs.cells[of] if run.pretraining_seed in (None, 0)]
        budgets = [*(runs.shorter[of][updates] for updates in sorted(runs.shorter[of])), whole]
        spent[name], least[name], reached[name] = [], [], []
        for seed in [run.spec.seed for run in whole]:
            own = [run for budget in budgets for run in budget if run.spec.seed == seed]
            enough = [at for at, run in enumerate(own) if _at_most(run.result["validation_loss"], target)]
            costs = [0.0, *(_flops(run) * len(own[-1].spec.rates) for run in own)]
            # The budget before was not enough; what never got there took at least the whole.
            spent[name].append(costs[enough[0] + 1] if enough else costs[-1])
            least[name].append(costs[enough[0]] if enough else costs[-1])
            reached[name].append(bool(enough))
    return break_even(
        spent["scratch"],
        spent["arm"],
        pretraining=pretraining,
        unit="FLOPs",
        per_project="to the same validation loss, search of the rate included",
        scratch_least=least["scratch"],
        arm_least=least["arm"],
        scratch_reached=reached["scratch"],
        arm_reached=reached["arm"],
        downloaded=downloaded,
    )


def _unmeasured(cell: Cell, runs: Gathered, pretraining: float | None, downloaded: bool) -> BreakEven:
    """Say that nothing was measured: where both arms have the same budget, they cost the same by design."""
    if downloaded:
        whole = [_flops(run) for run in runs.reference(cell)]
        return break_even(whole, whole, pretraining=pretraining, unit="FLOPs", downloaded=True)
    return BreakEven(
        state="unclear",
        projects=None,
        low=None,
        high=None,
        saving=None,
        saving_low=None,
        saving_high=None,
        pretraining=pretraining,
        unit="FLOPs",
        text="When pre-training pays for itself was not measured: both arms had the same budget. A plan "
        "that names the size in [convergence] runs smaller ones.",
    )


def _at_most(loss: float | None, target: float | None) -> bool:
    return loss is not None and target is not None and loss <= target


def _trainings(run: Done) -> int:
    """Return how many networks a run trained: one per rate, one where tuning runs had chosen."""
    return 1 if run.spec.tuned_by else len(run.spec.rates)


def _flops(run: Done) -> float:
    return run_flops(run.spec, run.result, run.measured)


def _energy(run: Done) -> float:
    return energy_wh(float(run.measured["seconds"]), WATTS * run.spec.threads)


def _on_gpu(run: Done) -> bool:
    return bool(run.measured.get("device", "cpu") != "cpu")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
