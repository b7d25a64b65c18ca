"""What a study will take and what it can show, before anything is run: runs, time, disk, interval widths."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgtransfer.errors import EcgTransferError
from ecgtransfer.study.forecasts.pace import Pace, records_seen, trainings
from ecgtransfer.study.forecasts.power import Expected, expected_intervals
from ecgtransfer.study.forecasts.speed import Rates, Workload, measure_rates, seconds_of, wall_seconds
from ecgtransfer.study.ledger import Ledger, read_result
from ecgtransfer.study.planned import PURPOSES, Expanded
from ecgtransfer.study.spec import RunSpec

__all__ = ["Expected", "Forecast", "Phase", "Rates", "forecast", "measure_rates", "seconds_of"]

FACTOR = 1.5
"""What a time from a few seconds' measurement may be wrong by, either way: other work on the machine, memory
that several processes share, and recordings that are read from disk rather than from memory."""

# Bytes that a run leaves besides its predictions: its spec and results, per target; rounded up by the disk.
_RESULT, _PER_TARGET, _BLOCK = 6_000, 1_200, 4_096
# The page, the audit and the ECGs that it shows; evidence, tables and the list of runs, per run.
_REPORT, _TOLD = 4_000_000, 15_000


@dataclass(frozen=True)
class Phase:
    """The runs of one purpose.

    Attributes
    ----------
    purpose : str
    runs, done : int
        In all, and those that are finished already.
    trainings : int
        Of whole networks; a search tries several rates in one run.
    records_seen : int
        That these trainings visit, repeats counted.
    seconds : float
        For those not done, one after the other.
    bytes : int
        That those not done will leave on disk.
    """

    purpose: str
    runs: int
    done: int
    trainings: int
    records_seen: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Forecast:
    """What a study will take and what it can show.

    Attributes
    ----------
    name, protocol : str
    seeds, pretraining_seeds, workers : int
    phases : tuple of Phase
    seconds : float
        On the clock, with these workers.
    factor : float
        It may be so many times more or less.
    how : str
        How the time was estimated, in a sentence.
    bytes, working_bytes : int
        That will stay on disk, and that checkpoints need besides while runs are at work.
    free_bytes : int
        On the disk that the study's folder is, or would be, on.
    primary : tuple of Expected
        What the intervals of the contrasts with a verdict will be like.
    """

    name: str
    protocol: str
    seeds: int
    pretraining_seeds: int
    workers: int
    phases: tuple[Phase, ...]
    seconds: float
    factor: float
    how: str
    bytes: int
    working_bytes: int
    free_bytes: int
    primary: tuple[Expected, ...]

    @property
    def fits(self) -> bool:
        """Whether the disk has room."""
        return self.bytes + self.working_bytes <= self.free_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values, with the sums over phases."""
        sums = {
            key: sum(getattr(phase, key) for phase in self.phases)
            for key in ("runs", "done", "trainings", "records_seen")
        }
        return {**dataclasses.asdict(self), **sums, "fits": self.fits}


def forecast(
    expanded: Expanded, out: Path | None = None, *, workers: int = 1, rates: Rates | None = None
) -> Forecast:
    """Say what a study will take on this machine, and what its intervals can be expected to show.

    Parameters
    ----------
    expanded : Expanded
    out : Path, optional
        The study's folder: runs that are finished there take no more time, and tell how long others take.
    workers : int
        Processes that share the runs.
    rates : Rates, optional
        What `measure_rates` found; measured here where it is needed and not given.
    """
    workload, pace = Workload(expanded), Pace()
    done = _finished(expanded, out, pace)
    left = [run.spec for run in expanded.planned if run.spec.id not in done]
    unknown = [spec for spec in left if not pace.knows(spec)]
    if unknown and rates is None:
        rates = measure_rates(expanded)

    def seconds(spec: RunSpec) -> float:
        if rates is not None and not pace.knows(spec):
            return workload.seconds(spec, rates)
        return pace.seconds(spec) or 0.0

    phases, clock = [], []
    for purpose in PURPOSES:
        runs = [run.spec for run in expanded.planned if run.purpose == purpose]
        waiting = [spec for spec in runs if spec.id not in done]
        each = [seconds(spec) for spec in waiting]
        clock.append(each)
        phases.append(
            Phase(
                purpose=purpose,
                runs=len(runs),
                done=len(runs) - len(waiting),
                trainings=sum(trainings(spec) for spec in runs),
                records_seen=sum(records_seen(spec) for spec in runs),
                seconds=sum(each),
                bytes=sum(
                    _run_bytes(spec, workload, rates, keeps=purpose == "pretraining") for spec in waiting
                ),
            )
        )
    heaviest = max((rate.parameters for rate in rates.known.values()), default=0) if rates else 0
    return Forecast(
        name=expanded.plan.name,
        protocol=expanded.plan.protocol,
        seeds=expanded.plan.seeds,
        pretraining_seeds=max((len(start.names) for start in expanded.starts), default=0),
        workers=workers,
        phases=tuple(phases),
        seconds=wall_seconds(clock, workers),
        factor=FACTOR,
        how=_how(pace, len(left), len(unknown), rates),
        bytes=sum(phase.bytes for phase in phases) + _REPORT + _TOLD * len(expanded.planned),
        # Weights, the best so far, and two moments of the optimizer.
        working_bytes=4 * 4 * heaviest * workers,
        free_bytes=_free(out or Path()),
        primary=expected_intervals(expanded),
    )


def _finished(expanded: Expanded, out: Path | None, pace: Pace) -> set[str]:
    """Return the ids of finished runs, and tell the pace what they took."""
    if out is None:
        return set()
    ledger, done = Ledger(out), set()
    for run in expanded.planned:
        if ledger.is_complete(run.spec.id):
            try:
                content = read_result(ledger.folder(run.spec.id), run.spec)
            except EcgTransferError:
                continue  # whoever runs the study is told; here it only counts as not done
            done.add(run.spec.id)
            pace.add(run.spec, float(content["measured"]["seconds"]))
    return done


def _how(pace: Pace, left: int, unknown: int, rates: Rates | None) -> str:
    if not left:
        return "Every run is finished"
    parts = []
    if unknown and rates is not None:
        networks = len(rates.known)
        short = f"a short training of {networks} network{'s' * (networks != 1)} on this machine"
        parts.append(f"{short} ({rates.took:.0f} s)")
    if unknown < left:
        parts.append(f"what {pace.runs} finished runs took")
    return f"Estimated from {' and '.join(parts)}"


def _run_bytes(spec: RunSpec, workload: Workload, rates: Rates | None, *, keeps: bool) -> int:
    """Return what a run leaves on disk: result, predictions and, where it keeps one, its model."""
    store, parts = workload.stores[spec.store], workload.parts(spec)
    records = parts.validation + (parts.test if spec.tests else 0)
    names = _name_bytes(workload, spec.store)
    sizes = [
        _RESULT + _PER_TARGET * len(spec.targets) + 2 * 24 * len(spec.excluded),
        records * (names + 2 * 4 * len(spec.targets)),
    ]
    if keeps and rates is not None:
        sizes += [4 * rates.of(spec, store).parameters, _RESULT]
    return sum(-(-size // _BLOCK) * _BLOCK for size in sizes)


def _name_bytes(workload: Workload, fingerprint: str) -> int:
    """Return the bytes that one record's ids take in ``predictions.npz``: four per letter of the longest."""
    records = workload.stores[fingerprint].records
    return 4 * sum(int(records[column].str.len().max()) for column in ("record_id", "patient_id"))


def _free(folder: Path) -> int:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
