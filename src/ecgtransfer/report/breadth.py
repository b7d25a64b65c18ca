"""What lies beside the verdicts: statements, subgroups, operating points, curves, calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgtransfer.evidence import (
    OperatingRun,
    SizeRuns,
    TargetSize,
    age_groups,
    learning_curves,
    negative_transfer,
    noise_ceiling,
    per_statement,
    reliability,
    sensitivity_difference,
    subgroups,
)
from ecgtransfer.report.gather import Cell, Done, Gathered, paired, scratch, singles
from ecgtransfer.study.folder import Study
from ecgtransfer.training import specificity_thresholds

Row = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """What every section needs.

    Attributes
    ----------
    runs : Gathered
    macro : mapping
        Downstream → its macro targets.
    sizes : mapping
        (downstream, n) → labels used.
    family : sequence of Cell
        The primary contrasts: subgroups, operating points and calibration are given for these.
    margin, level : float
    resamples, stream : int
    specificity : float
        The user's operating point.
    """

    runs: Gathered
    macro: Mapping[str, Sequence[str]]
    sizes: Mapping[tuple[str, int | None], int]
    family: Sequence[Cell]
    margin: float
    level: float
    resamples: int
    stream: int
    specificity: float

    def named(self, cell: Cell) -> Row:
        """Return how a row of this cell begins."""
        return {
            "downstream": cell.downstream,
            "network": cell.network,
            "upstream": cell.upstream,
            "arm": cell.arm,
            "n": self.sizes[cell.downstream, cell.n],
            "n_is_all": cell.n is None,
        }

    @property
    def settings(self) -> Row:
        """Keyword arguments that every interval takes."""
        return {
            "margin": self.margin,
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.stream,
        }


def per_target(context: Context) -> list[Row]:
    """Return each target by itself, its difference to scratch unadjusted, every cell."""
    rows = []
    for cell, runs in context.runs.cells.items():
        targets = [name for name, _ in runs[0].spec.targets]
        if cell.arm == "scratch":
            rows += [_alone(context, cell, runs, target) for target in targets]
            continue
        pairs = paired(runs, context.runs.reference(cell), targets)
        found = per_statement(pairs, targets, **context.settings)
        rows += [{**context.named(cell), **dataclasses.asdict(row)} for row in found]
    return rows


def _alone(context: Context, cell: Cell, runs: Sequence[Done], target: str) -> Row:
    found = [run.result["test"]["targets"][target] for run in runs]
    scores = [row["auroc"] for row in found]
    known = [score for score in scores if score is not None]
    return {
        **context.named(cell),
        "target": target,
        "auroc": float(np.mean(known)) if len(known) == len(scores) else None,
        "positives": len(_patients_with(runs, target)),
        "difference": None,
        "low": None,
        "high": None,
        "word": None,
        "note": "",
    }


def _patients_with(runs: Sequence[Done], target: str) -> set[Any]:
    """Return the distinct test patients with a target, over all folds."""
    tested = singles(runs, [target])
    return {who for run in tested for who in np.asarray(run.patient)[run.labels[:, 0] == 1].tolist()}


def in_subgroups(context: Context, study: Study) -> list[Row]:
    """Return the primary contrasts within sexes, ages and sources; exploratory."""
    rows = []
    for cell in context.family:
        records = study.records(cell.downstream).set_index("record_id")
        targets = context.macro[cell.downstream]
        runs = context.runs.cells[cell]
        pairs = paired(runs, context.runs.reference(cell), targets)
        groups = {
            "sex": records["sex"].fillna("").astype(str),
            "age": records["age"].map(lambda age: age_groups([age])[0]),
            "source": records["source"].fillna("").astype(str),
        }
        for group, column in groups.items():
            known = dict(zip(column.index, column, strict=True))
            values = [np.array([known[name] for name in run.test.record_id], dtype=str) for run in runs]
            # One value throughout is no subgroup.
            if len({value for each in values for value in each} - {""}) < 2:
                continue
            found = subgroups(pairs, group, values, targets, **context.settings)
            rows += [{**context.named(cell), **dataclasses.asdict(row)} for row in found]
    return rows


def at_operating_points(context: Context) -> list[Row]:
    """Return sensitivities of the primary contrasts at the fixed specificity; thresholds from validation."""
    rows = []
    for cell in context.family:
        runs = context.runs.cells[cell]
        reference = {run.spec.seed: run for run in context.runs.reference(cell)}
        names = [name for name, _ in runs[0].spec.targets]
        for target in context.macro[cell.downstream]:
            column = names.index(target)
            found = sensitivity_difference(
                [
                    OperatingRun(
                        seed=run.spec.seed,
                        pretraining_seed=run.pretraining_seed,
                        patient=run.test.patient_id,
                        labels=run.test.labels[:, column],
                        scores_a=run.test.logits[:, column],
                        scores_b=reference[run.spec.seed].test.logits[:, column],
                        threshold_a=_threshold(run, column, context.specificity),
                        threshold_b=_threshold(reference[run.spec.seed], column, context.specificity),
                    )
                    for run in runs
                ],
                target=target,
                specificity=context.specificity,
                level=context.level,
            )
            rows.append({**context.named(cell), **dataclasses.asdict(found)})
    return rows


def _threshold(run: Done, column: int, specificity: float) -> float | None:
    """Return where a run's validation part has the specificity; the test part has no say in it."""
    known = run.validation
    found = specificity_thresholds(
        known.labels[:, [column]], known.logits[:, [column]], specificity=specificity
    )
    return found[0]


def curves(context: Context) -> list[Row]:
    """Return a learning curve for each arm with two sizes or more."""
    rows = []
    for line in _unique(cell._replace(n=None) for cell in context.runs.cells if cell.arm != "scratch"):
        cells = [cell for cell in context.runs.cells if cell._replace(n=None) == line]
        if len(cells) < 2:
            continue
        targets = context.macro[line.downstream]
        points = [
            SizeRuns(
                context.sizes[cell.downstream, cell.n],
                tuple(paired(context.runs.cells[cell], context.runs.reference(cell), targets)),
            )
            for cell in cells
        ]
        # 'all' may be as many labels as a size that was asked for; it stands for both.
        by_size = {point.n: point for point in points}
        if len(by_size) < 2:
            continue
        found = learning_curves([by_size[n] for n in sorted(by_size)], **context.settings)
        name = {key: getattr(line, key) for key in ("downstream", "network", "upstream", "arm")}
        rows.append({**name, **dataclasses.asdict(found)})
    return rows


def calibrations(context: Context) -> list[Row]:
    """Return the reliability of both arms of each primary contrast, macro targets pooled."""
    rows = []
    both = (each for primary in context.family for each in (scratch(primary), primary))
    for cell in _unique(both):
        runs = singles(context.runs.cells[cell], context.macro[cell.downstream])
        found = reliability(runs, level=context.level)
        rows.append({**context.named(cell), **dataclasses.asdict(found)})
    return rows


def negative(context: Context, statements: Sequence[Row]) -> list[Row]:
    """Return the statements and sizes at which pre-training seems to harm, from `per_target`."""
    rows = []
    # A frozen random encoder was not pre-trained: what it loses is no transfer.
    found = [row for row in statements if row["difference"] is not None and row["upstream"] is not None]
    lines = _unique((row["downstream"], row["network"], row["upstream"], row["arm"]) for row in found)
    for line in lines:
        mine = [row for row in found if _line(row) == line]
        told = negative_transfer(
            [TargetSize(row["target"], row["n"], row["difference"], row["low"], row["high"]) for row in mine],
            margin=context.margin,
            level=context.level,
        )
        every = {(row["target"], row["n"]): row["n_is_all"] for row in mine}
        name = dict(zip(("downstream", "network", "upstream", "arm"), line, strict=True))
        rows += [
            {**name, **dataclasses.asdict(row), "n_is_all": every[row.target, row.n]} for row in told.rows
        ]
    return rows


def ceilings(study: Study, context: Context) -> list[Row]:
    """Return what duplicates and second opinions say about the best that any model could reach."""
    rows = []
    for downstream, targets in context.macro.items():
        twice = study.labelled_twice(downstream)
        for by, target in _unique(zip(twice["by"], twice["target"], strict=True)):
            if target not in targets:
                continue
            own = twice[(twice["by"] == by) & (twice["target"] == target)]
            found = noise_ceiling(
                own["first"].to_numpy(dtype=float),
                own["second"].to_numpy(dtype=float),
                target=target,
                basis=f"{by} within {downstream}",
                prevalence=_prevalence(context, downstream, target),
                level=context.level,
            )
            rows.append({"downstream": downstream, **dataclasses.asdict(found)})
    return rows


def _prevalence(context: Context, downstream: str, target: str) -> float | None:
    """Return the share of positive labels in a downstream's test parts: pairs may be a choice of records."""
    runs = [run for cell, runs in context.runs.cells.items() if cell.downstream == downstream for run in runs]
    labels = [run.labels[:, 0] for run in singles(runs, [target])]
    return float(np.nanmean(np.concatenate(labels))) if labels else None


def _line(row: Row) -> tuple[Any, ...]:
    return row["downstream"], row["network"], row["upstream"], row["arm"]


def _unique(values: Iterator[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
