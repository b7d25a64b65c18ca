"""A study's runs, read once and put where they belong: cells of runs that differ by their seeds alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ecgtransfer.errors import StudyError
from ecgtransfer.evidence import PairedRun, SingleRun
from ecgtransfer.study.folder import Study
from ecgtransfer.study.ledger import Ledger, Predictions
from ecgtransfer.study.planned import Planned
from ecgtransfer.study.spec import RunSpec


class Cell(NamedTuple):
    """What runs have in common that differ by seeds alone."""

    downstream: str
    network: str
    upstream: str | None
    arm: str
    n: int | None


class Done:
    """A run that was carried out; predictions are read when they are first asked for."""

    def __init__(self, planned: Planned, ledger: Ledger) -> None:
        self.spec: RunSpec = planned.spec
        self.pretraining_seed = planned.pretraining_seed
        self._ledger = ledger
        if not ledger.has(self.spec):
            raise StudyError(
                f"the run {self.spec.id} ({self.spec.network} {self.spec.arm} {self.spec.seed}) is missing",
                where=ledger.path,
                remedy="Run the study to its end first: the same command goes on where it stopped",
            )
        self.result: dict[str, Any] = ledger.result(self.spec)
        self.measured: dict[str, Any] = ledger.measured(self.spec)

    @cached_property
    def test(self) -> Predictions:
        """What the run said of its test part."""
        return self._ledger.predictions(self.spec, "test")

    @cached_property
    def validation(self) -> Predictions:
        """What the run said of its validation part."""
        return self._ledger.predictions(self.spec, "validation")

    def macro(self, name: str) -> float | None:
        """Return a macro metric of the test part."""
        value = self.result["test"]["macro"][name]
        return None if value is None else float(value)

    @property
    def labels_used(self) -> int:
        """Training and validation records."""
        return int(self.result["records"]["train"] + self.result["records"]["validation"])

    def columns(self, targets: Sequence[str]) -> list[int]:
        """Return where these targets stand in labels and logits."""
        names = [name for name, _ in self.spec.targets]
        return [names.index(target) for target in targets]


@dataclass(frozen=True)
class Gathered:
    """All runs of a study.

    Attributes
    ----------
    cells : dict
        Networks' evidence; within a cell by pre-training seed, then seed.
    baselines : dict
        The same for baselines, the arm ``baseline``.
    shorter : dict
        Cell → updates → runs of smaller budgets.
    tunings : dict
        Cell → tuning runs.
    pretrainings : dict
        (upstream, network) → runs.
    """

    cells: dict[Cell, list[Done]]
    baselines: dict[Cell, list[Done]]
    shorter: dict[Cell, dict[int, list[Done]]]
    tunings: dict[Cell, list[Done]]
    pretrainings: dict[tuple[str, str], list[Done]]

    @property
    def all(self) -> Iterator[Done]:
        """Every run, whatever it was for."""
        for runs in (*self.cells.values(), *self.baselines.values(), *self.tunings.values()):
            yield from runs
        for budgets in self.shorter.values():
            for runs in budgets.values():
                yield from runs
        for runs in self.pretrainings.values():
            yield from runs

    def reference(self, cell: Cell) -> list[Done]:
        """Return the runs from scratch that a cell is compared with."""
        return self.cells[scratch(cell)]


def gather(study: Study) -> Gathered:
    """Read every run of a study.

    Raises
    ------
    StudyError
        A run is missing or broken.
    """
    ledger = study.ledger
    found = Gathered({}, {}, {}, {}, {})
    for planned in study.planned:
        done, spec = Done(planned, ledger), planned.spec
        if planned.purpose == "pretraining":
            found.pretrainings.setdefault((str(planned.upstream), spec.network), []).append(done)
            continue
        cell = Cell(str(planned.downstream), spec.network, planned.upstream, spec.arm, spec.n)
        if planned.purpose == "tuning":
            found.tunings.setdefault(cell, []).append(done)
        elif planned.purpose == "convergence":
            budgets = found.shorter.setdefault(cell, {})
            budgets.setdefault(spec.budget.updates, []).append(done)
        else:
            kind = found.baselines if spec.arm == "baseline" else found.cells
            kind.setdefault(cell, []).append(done)
    return found


def scratch(cell: Cell) -> Cell:
    """Return the cell from scratch with the same network and as many labels."""
    return cell._replace(upstream=None, arm="scratch")


def paired(runs: Sequence[Done], others: Sequence[Done], targets: Sequence[str]) -> list[PairedRun]:
    """Return each run beside the other cell's run of the same seed, macro targets only.

    Raises
    ------
    StudyError
        Two runs that are to be paired tested different records.
    """
    by_seed: Mapping[int, Done] = {other.spec.seed: other for other in others}
    pairs = []
    for ours in runs:
        theirs = by_seed[ours.spec.seed]
        if not np.array_equal(ours.test.record_id, theirs.test.record_id):
            raise StudyError(f"runs {ours.spec.id} and {theirs.spec.id} tested different records")
        columns = ours.columns(targets)
        pairs.append(
            PairedRun(
                seed=ours.spec.seed,
                pretraining_seed=ours.pretraining_seed,
                patient=ours.test.patient_id,
                labels=ours.test.labels[:, columns],
                scores_a=ours.test.logits[:, columns],
                scores_b=theirs.test.logits[:, columns],
            )
        )
    return pairs


def singles(runs: Sequence[Done], targets: Sequence[str]) -> list[SingleRun]:
    """Return runs as the evidence takes one arm."""
    return [
        SingleRun(
            seed=run.spec.seed,
            pretraining_seed=run.pretraining_seed,
            patient=run.test.patient_id,
            labels=run.test.labels[:, run.columns(targets)],
            scores=run.test.logits[:, run.columns(targets)],
        )
        for run in runs
    ]
