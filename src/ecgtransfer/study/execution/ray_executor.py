"""Runs on the nodes of a Ray cluster, which share a disk with the ledger and the stores.

Imported only where it is asked for. This process holds the leases and their heartbeats; a node carries out a
run and writes it to the ledger itself. A run whose node is lost is begun again on another node and goes on
from its checkpoints.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import LocalRayletDiedError, RayError, RayTaskError

from ecgtransfer.errors import EcgTransferError, StudyError
from ecgtransfer.study.execution.crews import Task, carry_out
from ecgtransfer.study.execution.devices import DeviceKind
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.run import Locations
from ecgtransfer.workers import Done, portable

# How often a run is begun again after its node or its process was lost.
RETRIES = 5
# Seconds between two looks at the cluster, and how long its head may be out of reach.
LOOK = 1.0
PATIENCE = 20.0
# How long a shared disk may take to show a node a file that has just been written.
SETTLING = 30.0

Ended = Done[Task, dict[str, Any]]


class RayCrew:
    """The nodes of a Ray cluster.

    Parameters
    ----------
    ledger : Ledger
    locations : Locations
        Paths that every node can see.
    address : str, optional
        Of a running cluster; see `execute`.
    gpus_per_run : float
        What is reserved for a run; above 0 its network computes there.

    Raises
    ------
    StudyError
        No cluster can be reached or started, or none of its nodes could ever carry out a run.
    """

    def __init__(
        self, ledger: Ledger, locations: Locations, *, address: str | None = None, gpus_per_run: float = 0.0
    ) -> None:
        self.ledger, self.locations = Ledger(ledger.path.absolute()), _absolute(locations)
        self.gpus = gpus_per_run
        self.device: DeviceKind = "cuda" if gpus_per_run > 0 else "cpu"
        # With a GPU a process ends with its run: torch stays with the GPU that it saw first and keeps the
        # memory that it had, and the next run of that process may have been given another one.
        self._remote = ray.remote(
            num_gpus=gpus_per_run, max_retries=RETRIES, max_calls=1 if gpus_per_run > 0 else 0
        )(_on_node)
        self._at_work: dict[ray.ObjectRef[Any], Task] = {}
        self._threads = 1
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(address)
        self._looked = self._reached = 0.0
        self._resources: dict[str, float] = {}
        self._look()

    @property
    def room(self) -> int:
        """How many tasks can be begun now: one more than fit, so that no node waits for us."""
        fits = self._resources.get("CPU", 0.0) // self._threads
        if self.gpus > 0:
            fits = min(fits, self._resources.get("GPU", 0.0) // self.gpus)
        return int(fits) + 1 - len(self._at_work)

    def begin(self, task: Task) -> None:
        """Send a task to the cluster."""
        if not self._at_work:
            self._check_fit(task)
        self._threads = task.spec.threads
        begun = self._remote.options(num_cpus=task.spec.threads).remote(
            task, self.ledger, self.locations, self.device
        )
        self._at_work[begun] = task

    def finished(self, timeout: float | None) -> list[Ended]:
        """Wait for one of the tasks, for a second at most, and return those that have come to their end."""
        ready, _ = ray.wait(list(self._at_work), num_returns=1, timeout=min(LOOK, timeout or LOOK))
        ended = [self._ended(reference) for reference in ready]
        if time.monotonic() - self._looked > LOOK:
            self._look()
        return ended

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._ours:
            ray.shutdown()

    def kill(self) -> None:
        """Stop what is at work."""
        for reference in self._at_work:
            ray.cancel(reference, force=True)

    def _check_fit(self, task: Task) -> None:
        """Say that a run does not fit on any node: Ray itself would wait for one."""
        needed = {"CPU": float(task.spec.threads), "GPU": self.gpus}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        if not any(all(node.get(name, 0.0) >= least for name, least in needed.items()) for node in nodes):
            raise StudyError(
                f"a run needs {task.spec.threads} CPUs and {self.gpus:g} GPUs, and no node of the cluster "
                "has them",
                remedy="Add such a node, or lower the threads or the GPUs of a run",
            )

    def _ended(self, reference: ray.ObjectRef[Any]) -> Ended:
        task = self._at_work.pop(reference)
        try:
            content, error = ray.get(reference)
        except RayError as lost:
            return Done(task, error=_explained(lost))
        return Done(task, content, error)

    def _look(self) -> None:
        """See what the cluster has, and that it is there: Ray itself would wait and then end this process."""
        self._looked = time.monotonic()
        if _answers(ray.get_runtime_context().gcs_address):
            # A head that dies just now would be waited for here, too.
            asking = threading.Thread(target=self._ask, daemon=True)
            asking.start()
            asking.join(PATIENCE)
        if time.monotonic() - self._reached > PATIENCE:
            raise StudyError(
                f"the head of the Ray cluster has not answered for {PATIENCE:.0f} s",
                remedy="Start the cluster again and run the command again: what is done is kept",
            )

    def _ask(self) -> None:
        with contextlib.suppress(RayError):
            self._resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
            self._reached = time.monotonic()


def _on_node(
    task: Task, ledger: Ledger, locations: Locations, device: DeviceKind
) -> tuple[dict[str, Any] | None, Exception | None]:
    """Carry out a task on a node, and return the content of result.json or what went wrong."""
    try:
        check_disk(task, ledger, locations)
        return carry_out(task, ledger=ledger, locations=locations, device=device), None
    except Exception as error:
        return None, portable(error)


def check_disk(task: Task, ledger: Ledger, locations: Locations) -> None:
    """Raise `StudyError` where this node does not see what a run needs: the lease, the store, the model."""
    spec = task.spec
    models = [spec.upstream] if spec.upstream is not None else []
    needed = {
        task.lease.path: f"the study's folder {ledger.path}",
        locations.stores.get(spec.store): "the store",
        **{locations.upstreams.get(name): "the pre-trained model" for name in models},
    }
    end = time.monotonic() + SETTLING
    for path, what in needed.items():
        while path is not None and not path.exists():
            if time.monotonic() > end:
                raise StudyError(
                    f"{what} cannot be seen from node {platform.node()} of the cluster",
                    where=path,
                    remedy="Keep the study, its stores and models on a disk that all nodes share",
                )
            time.sleep(0.5)


def _connect(address: str | None) -> None:
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address not in ("local", "auto"):
        _check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that this runs
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        what = "started" if address == "local" else "reached"
        raise StudyError(
            f"no Ray cluster could be {what} ({_first_line(error)})",
            where=None if address == "local" else address,
            remedy="Check that Ray and Python have the same version here and there",
        ) from None


def _check_address(address: str) -> None:
    """Say at once that an address leads nowhere: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "/" in host or not (host and port.isdigit()):
        raise StudyError(
            "this is not the address of a Ray cluster",
            where=address,
            remedy="Give HOST:PORT of its head, as `ray start --head` prints it",
        )
    if not _answers(address):
        raise StudyError(
            "no Ray cluster answers at this address",
            where=address,
            remedy="Check that the cluster runs and can be reached from here",
        )


def _answers(address: str) -> bool:
    """Say whether the head of a cluster accepts connections."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def _explained(error: RayError) -> EcgTransferError:
    """Say in a sentence why Ray gave a run up."""
    again = "Run the command again: what is done is kept"
    if isinstance(error, LocalRayletDiedError):
        return StudyError("the Ray node on this machine has ended", remedy=again)
    if isinstance(error, RayTaskError):  # errors of our own do not come this way
        return StudyError(
            f"a node of the Ray cluster cannot carry out runs ({_last_line(error)})",
            remedy="Install the same ecgtransfer on every node",
        )
    return StudyError(
        f"a run was lost {RETRIES + 1} times with its node or its process ({_first_line(error)})",
        remedy=f"See whether the nodes have enough memory. {again}",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].strip().rstrip(".:")


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip().rstrip(".:")


def _absolute(locations: Locations) -> Locations:
    """Return the same places by paths that do not depend on the working folder."""

    def absolute(paths: Mapping[str, Path]) -> dict[str, Path]:
        return {name: path.absolute() for name, path in paths.items()}

    return Locations(**{field.name: absolute(getattr(locations, field.name)) for field in fields(locations)})
