"""The nodes of a Ray cluster say what local processes say, also when one of them is lost on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import StudyError
from ecgtransfer.study.execution.crews import Task, carry_out
from ecgtransfer.study.execution.executors import execute
from ecgtransfer.study.leases import Leases, holders
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.run import Locations
from ecgtransfer.study.spec import RunSpec
from tests.small import BUDGET, contents, make_spec, write_store

INTERRUPTED = Path(__file__).with_name("interrupted_study.py")

# Where tests are to be complete, Ray has to be there.
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="ends nodes by way of /proc"),
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None and not os.environ.get("CI"), reason="needs ray"
    ),
]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Return the folder that Ray writes to; its processes are known by that folder, and end with it."""
    # Not pytest's own, because paths of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_TMPDIR", str(folder))
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.delenv("RAY_ADDRESS", raising=False)
        yield folder
    end(processes(folder))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cluster(place: Path) -> Iterator[Any]:
    """Return three nodes with one CPU each, and be connected to them."""
    import ray
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    # A node that is lost is missed after a second and a half instead of half a minute.
    health = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    patient = {"health_check_timeout_ms": 5000, "health_check_failure_threshold": 3}
    cluster = Cluster(True, head_node_args={**small, "_system_config": {**health, **patient}})
    cluster.add_node(**small)
    cluster.add_node(**small)
    cluster.wait_for_nodes()
    # Once for all tests, so that the nodes need not begin new processes for each.
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster
    ray.shutdown()
    with contextlib.suppress(Exception):
        cluster.shutdown()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("ray-stores") / "down.ecgs")


@pytest.fixture(scope="module")
def locations(store: Store) -> Locations:
    return Locations({store.fingerprint: store.path})


@pytest.fixture(scope="module")
def specs(store: Store) -> list[RunSpec]:
    long = dataclasses.replace(BUDGET, updates=60)
    return [make_spec(store, seed=seed, budget=long) for seed in range(3)] + [
        make_spec(store, network="age-sex", arm="baseline", rates=()),
        make_spec(store, network="lstm-pooled"),
        make_spec(store, arm="frozen-random", rates=()),
    ]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "study")


def processes(place: Path) -> list[int]:
    """Return every process but this one whose environment names Ray's folder."""
    mark = f"RAY_TMPDIR={place}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
    return found


def end(found: list[int]) -> None:
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def command_of(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
    return Path(command.decode()).name


def at_work(ledger: Ledger) -> set[tuple[str, str]]:
    """Return the runs that are being done, with the name of each attempt."""
    found = ledger.runs.glob(".*.partial/spec.json")
    return {(name[1], name[2]) for name in (path.parent.name.split(".") for path in found)}


def ray_nodes() -> list[dict[str, Any]]:
    import ray

    return list(ray.nodes())


class Told:
    """A listener that keeps what nodes hand back."""

    def __init__(self) -> None:
        self.contents: list[dict[str, Any]] = []

    def started(self, spec: RunSpec) -> None:
        pass

    def finished(self, spec: RunSpec, content: dict[str, Any]) -> None:
        self.contents.append(content)

    def elsewhere(self, specs: Sequence[RunSpec]) -> None:
        pass


def test_a_node_is_lost_and_the_ledger_is_that_of_local_processes(
    cluster: Any, specs: list[RunSpec], locations: Locations, ledger: Ledger, tmp_path: Path
) -> None:
    local = Ledger(tmp_path / "local")
    execute(specs, local, locations, keep_models=True, quiet=True)
    attempts: set[tuple[str, str]] = set()
    over = threading.Event()

    def lose_a_node() -> None:
        while not over.is_set():
            attempts.update(at_work(ledger))
            if len(attempts) >= 3 and len(cluster.worker_nodes) == 2:
                node = sorted(cluster.worker_nodes, key=lambda node: node.node_id)[0]
                raylet = node.all_processes["raylet"][0].process.pid
                workers = children(raylet)
                cluster.remove_node(node, allow_graceful=False)
                end(workers)  # a machine does not leave its processes behind
            time.sleep(0.02)

    other = threading.Thread(target=lose_a_node)
    other.start()
    try:
        done = execute(specs, ledger, locations, executor="ray", keep_models=True, quiet=True)
    finally:
        over.set()
        other.join()
    assert done == len(specs)
    assert len(cluster.worker_nodes) == 1
    # One run was begun twice, on two nodes.
    assert len(attempts) > len({run_id for run_id, _ in attempts})
    for spec in specs:
        assert ledger.result(spec) == local.result(spec)
        ours, theirs = (contents(each.folder(spec.id)) for each in (ledger, local))
        assert ours.keys() == theirs.keys()
        assert {name for name in ours if ours[name] != theirs[name]} <= {"result.json"}
    assert sorted(path.name for path in ledger.runs.iterdir()) == sorted(spec.id for spec in specs)
    assert holders(ledger.path / "leases") == []
    assert execute(specs, ledger, locations, executor="ray", quiet=True) == 0


def test_errors_of_a_node_come_through_and_cost_nothing(
    cluster: Any, specs: list[RunSpec], store: Store, locations: Locations, ledger: Ledger
) -> None:
    bad = make_spec(store, arm="full", upstream="model:abc")
    with pytest.raises(StudyError, match="the pre-trained model model:abc was not given"):
        execute([specs[3], bad], ledger, locations, executor="ray", quiet=True)
    assert ledger.has(specs[3])
    assert holders(ledger.path / "leases") == []


def test_a_share_of_a_gpu_for_each_run(
    cluster: Any, specs: list[RunSpec], locations: Locations, ledger: Ledger
) -> None:
    from ecgtransfer.study.execution import ray_executor

    with pytest.raises(StudyError, match="a run needs 1 CPUs and 2 GPUs, and no node of the cluster has the"):
        execute(specs[3:4], ledger, locations, executor="ray", gpus_per_run=2, quiet=True)
    assert holders(ledger.path / "leases") == []
    cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 * 2**20, include_dashboard=False)

    # A node whose GPU is one in name only, so the work itself is left to the processor.
    def on_node(task: Any, ledger: Any, locations: Any, device: str) -> tuple[dict[str, Any], None]:
        import os

        content = carry_out(task, ledger=ledger, locations=locations)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return {**content, "asked": device, "visible": visible, "process": os.getpid()}, None

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ray_executor, "_on_node", on_node)
        told = Told()
        options: dict[str, Any] = {"executor": "ray", "listener": told}
        assert execute(specs[3:5], ledger, locations, gpus_per_run=0.5, **options) == 2
        assert [each["asked"] for each in told.contents] == ["cuda", "cuda"]
        assert [each["visible"] for each in told.contents] == ["0", "0"]
        assert len({each["process"] for each in told.contents}) == 2, "a process kept a GPU after its run"
        told.contents.clear()
        assert execute(specs[:1], ledger, locations, **options) == 1
        assert [each["asked"] for each in told.contents] == ["cpu"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_node_with_a_gpu_that_its_torch_does_not_see(
    cluster: Any, specs: list[RunSpec], locations: Locations, ledger: Ledger
) -> None:
    if not any(node["Resources"].get("GPU") for node in ray_nodes()):
        cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 * 2**20, include_dashboard=False)
    with pytest.raises(StudyError, match=r"^machine \S+: a run is to use a GPU, and torch sees none \(torch"):
        execute(specs[4:5], ledger, locations, executor="ray", gpus_per_run=0.5, quiet=True)
    assert holders(ledger.path / "leases") == []
    assert list(ledger.runs.glob("*")) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_gpu_is_used(cluster: Any, specs: list[RunSpec], locations: Locations, ledger: Ledger) -> None:
    if not any(node["Resources"].get("GPU") for node in ray_nodes()):
        cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 * 2**20, include_dashboard=False)
    assert execute(specs[3:5], ledger, locations, executor="ray", gpus_per_run=0.5, quiet=True) == 2
    assert ledger.measured(specs[3])["device"] == "cpu"
    assert ledger.measured(specs[4])["device"] == torch.cuda.get_device_name(0)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "127.0.0.1:1: no Ray cluster answers at this address. Check that"),
        ("ray://head:10001", "ray://head:10001: this is not the address of a Ray cluster. Give HOST:PORT"),
        ("head", "head: this is not the address of a Ray cluster. Give HOST:PORT"),
    ],
)
def test_addresses_that_lead_nowhere(
    address: str,
    said: str,
    specs: list[RunSpec],
    locations: Locations,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(StudyError) as refused:
        execute(specs[:1], ledger, locations, executor="ray", address=address, quiet=True)
    assert str(refused.value).startswith(said)
    assert not ledger.path.exists()


def test_a_node_that_does_not_see_the_disk(
    store: Store, locations: Locations, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecgtransfer.study.execution import ray_executor

    monkeypatch.setattr(ray_executor, "SETTLING", 0.0)
    spec = make_spec(store, arm="full", upstream="model:abc")
    with Leases(ledger.path / "leases") as leases:
        lease = leases.claim(spec.id)
        assert lease is not None
        task = Task(spec, lease, False)
        models = {"model:abc": tmp_path}
        ray_executor.check_disk(task, ledger, Locations(locations.stores, models))
        for lacking, what in (
            (Locations({store.fingerprint: tmp_path / "gone"}, models), "the store"),
            (Locations(locations.stores, {"model:abc": tmp_path / "gone"}), "the pre-trained model"),
        ):
            with pytest.raises(StudyError, match=f"gone: {what} cannot be seen from node .* all nodes share"):
                ray_executor.check_disk(task, ledger, lacking)
    with pytest.raises(StudyError, match=r"the study's folder .*study cannot be seen from node"):
        ray_executor.check_disk(task, ledger, locations)


@contextlib.contextmanager
def endless_study(
    store: Store, ledger: Ledger, folder: Path, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Yield a process in which a run without end is at work on a cluster."""
    spec = make_spec(store, budget=dataclasses.replace(BUDGET, updates=10**7))
    setup = {"specs": [spec.as_dict()], "stores": {store.fingerprint: str(store.path)}}
    (folder / "setup.json").write_text(json.dumps(setup))
    command = [sys.executable, str(INTERRUPTED), str(folder / "setup.json"), str(ledger.path)]
    with subprocess.Popen(
        [*command, json.dumps({"executor": "ray", **options})],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            until = time.monotonic() + 120
            while not at_work(ledger):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def test_interrupted_it_stops_and_gives_its_runs_back(
    cluster: Any, store: Store, ledger: Ledger, tmp_path: Path
) -> None:
    with endless_study(store, ledger, tmp_path, address=cluster.address) as process:
        os.killpg(process.pid, signal.SIGINT)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert err == ""
    assert holders(ledger.path / "leases") == []


def test_a_cluster_that_is_started_for_a_study_and_whose_head_dies(
    store: Store, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        monkeypatch.setenv("HOME", folder)  # Ray keeps the key of such a cluster there
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        try:
            with endless_study(store, ledger, tmp_path, patience=3) as process:
                end([pid for pid in processes(Path(folder)) if command_of(pid) == "gcs_server"])
                err = process.communicate(timeout=60)[1]
        finally:
            end(processes(Path(folder)))
    assert process.returncode == 1
    assert "the head of the Ray cluster has not answered for 3 s. Start the cluster again" in err
    assert "Traceback" not in err
    assert holders(ledger.path / "leases") == []
