"""Who carries out a task: this process, several local processes, or a cluster.

On one kind of device the results are the same; between processors and GPUs they differ by rounding.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ecgtransfer.errors import ConfigError, StudyError
from ecgtransfer.progress import Progress
from ecgtransfer.study.execution.devices import DeviceKind
from ecgtransfer.study.leases import Lease
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.run import Locations, run
from ecgtransfer.study.spec import RUNNER_VERSION, RunSpec
from ecgtransfer.workers import Done, Pool


@dataclass(frozen=True)
class Task:
    """A run that is ours to do.

    Attributes
    ----------
    spec : RunSpec
    lease : Lease
    keep : bool
        Whether its folder keeps the weights.
    """

    spec: RunSpec
    lease: Lease
    keep: bool


class Crew(Protocol):
    """Whoever carries out tasks: begins what there is room for, and says what has come to its end."""

    @property
    def room(self) -> int:
        """How many tasks can be begun now."""

    def begin(self, task: Task) -> None:
        """Begin a task."""

    def finished(self, timeout: float | None) -> list[Done[Task, dict[str, Any]]]:
        """Wait, ``timeout`` seconds at most, and return what has come to its end: perhaps nothing."""

    def close(self) -> None:
        """Send everyone home when the last task is done."""

    def kill(self) -> None:
        """Stop at once, whatever is at work."""


def gather(
    ledger: Ledger,
    locations: Locations,
    *,
    workers: int,
    executor: Literal["local", "ray"],
    address: str | None,
    gpus_per_run: float,
    device: DeviceKind,
    line: Progress | None,
) -> Crew:
    """Return the crew that an `execute` asks for, see there; ``line`` shows the progress of a crew of one."""
    if executor == "ray":
        try:
            from ecgtransfer.study.execution.ray_executor import RayCrew
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise ConfigError(
                "the executor 'ray' needs the package ray, which is not installed",
                remedy="Install it with: pip install 'ecgtransfer[cluster]'",
            ) from None
        return RayCrew(ledger, locations, address=address, gpus_per_run=gpus_per_run)
    if executor != "local":
        raise ConfigError(f"there is no executor '{executor}'", remedy="Known: local, ray")
    if workers > 1:
        job = functools.partial(carry_out, ledger=ledger, locations=locations, device=device)
        return Pool(job, workers)
    return _Here(ledger, locations, device, line)


def carry_out(
    task: Task,
    *,
    ledger: Ledger,
    locations: Locations,
    device: DeviceKind = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Carry out one task, wherever this is called, and return the content of its result.json."""
    check_version(task.spec)
    folder = ledger.folder(task.spec.id)
    return run(
        task.spec,
        folder,
        locations,
        keep_model=task.keep,
        progress=progress,
        lease=task.lease,
        device=device,
    )


def describe(spec: RunSpec) -> str:
    """Return a run in a few words, for progress lines."""
    size = "all" if spec.n is None else f"n={spec.n}"
    return f"{spec.network} {spec.arm} {size} seed {spec.seed}"


def check_version(spec: RunSpec) -> None:
    """Refuse a run that another version of the recipe would carry out."""
    if spec.version != RUNNER_VERSION:
        raise StudyError(
            f"the run was planned by version {spec.version} of the recipe, and here is version "
            f"{RUNNER_VERSION}",
            remedy="Use the ecgtransfer that planned the study, on every machine, or plan it anew",
        )


class _Here:
    """The crew of one: this very process."""

    def __init__(
        self, ledger: Ledger, locations: Locations, device: DeviceKind, line: Progress | None
    ) -> None:
        self.ledger, self.locations, self.device, self.line = ledger, locations, device, line
        self.task: Task | None = None

    @property
    def room(self) -> int:
        return 0 if self.task else 1

    def begin(self, task: Task) -> None:
        self.task = task

    def finished(self, timeout: float | None) -> list[Done[Task, dict[str, Any]]]:
        assert self.task is not None
        task, self.task = self.task, None
        inner = None
        if self.line is not None:
            inner = Progress(f"{self.line.label} ({describe(task.spec)})", quiet=self.line.quiet)
        try:
            content = carry_out(
                task, ledger=self.ledger, locations=self.locations, device=self.device, progress=inner
            )
        except Exception as error:
            return [Done(task, error=error)]
        return [Done(task, content)]

    def close(self) -> None:
        pass

    kill = close
