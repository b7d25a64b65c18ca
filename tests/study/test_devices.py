"""Where a run computes: on the device that is asked for, in all its parts, or not at all."""

from __future__ import annotations

import dataclasses
import json
import platform
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, StudyError
from ecgtransfer.files import hash_file
from ecgtransfer.progress import Progress
from ecgtransfer.study import learn
from ecgtransfer.study import run as runner
from ecgtransfer.study.execution import crews, devices
from ecgtransfer.study.execution.executors import execute
from ecgtransfer.study.ledger import Ledger
from ecgtransfer.study.protocols import paper_spec
from ecgtransfer.study.run import Locations, run
from ecgtransfer.study.spec import RunSpec
from tests.pretend_gpu import PretendGpu
from tests.small import NETWORK, contents, make_spec, train_model, write_store

ARMS = ("scratch", "full", "linear-probe", "frozen-random")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return write_store(folder / "down.ecgs")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    train_model(folder / "model", write_store(folder / "up.ecgs", seed=5))
    return folder / "model"


@pytest.fixture(scope="module")
def upstream(model: Path) -> str:
    return f"model:{hash_file(model / 'model.safetensors')}"


@pytest.fixture(scope="module")
def locations(store: Store, model: Path, upstream: str) -> Locations:
    return Locations({store.fingerprint: store.path}, {upstream: model})


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> PretendGpu:
    """Return a GPU that a run finds, and that notices what has been left behind."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Pretend GPU")
    return PretendGpu()


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def spec_of(store: Store, **changes: Any) -> RunSpec:
    # Autocast to a device that is not there does nothing: only float32 can be compared.
    return dataclasses.replace(make_spec(store, **changes), precision="float32")


def result_apart(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return {key: value for key, value in content.items() if key != "measured"}


@pytest.mark.parametrize(("arm", "network"), [*((arm, NETWORK) for arm in ARMS), ("scratch", "gru")])
def test_everything_moves_and_the_draws_are_those_of_the_processor(
    arm: str,
    network: str,
    store: Store,
    locations: Locations,
    upstream: str,
    gpu: PretendGpu,
    tmp_path: Path,
) -> None:
    # Two rates: the weights are put aside and come back.
    spec = spec_of(store, arm=arm, network=network, upstream=upstream, rates=(1e-3, 1e-2))
    run(spec, tmp_path / "cpu", locations)
    with gpu:
        content = run(spec, tmp_path / "gpu", locations, device="cuda")
    assert gpu.operations > 100
    assert content["measured"]["device"] == "Pretend GPU"
    # What a pretended GPU sums up is what the processor does; a draw, a part or a record amiss would show.
    assert result_apart(tmp_path / "gpu") == result_apart(tmp_path / "cpu")
    for name, content_there in contents(tmp_path / "gpu").items():
        assert name == "result.json" or content_there == (tmp_path / "cpu" / name).read_bytes()


def test_the_published_protocol_moves_too(gpu: PretendGpu, tmp_path: Path) -> None:
    store = write_store(tmp_path / "down.ecgs", recipe="paper")
    locations = Locations({store.fingerprint: store.path})
    spec = paper_spec(
        store, network="gru", arm="scratch", task="waves", n=40, seed=0, study_seed=0, threads=1, epochs=2
    )
    assert spec.precision == "float64"
    run(spec, tmp_path / "cpu", locations)
    with gpu:
        run(spec, tmp_path / "gpu", locations, device="cuda")
    assert result_apart(tmp_path / "gpu") == result_apart(tmp_path / "cpu")


def test_the_pretended_gpu_notices_what_a_real_one_refuses(gpu: PretendGpu) -> None:
    here = torch.ones(3)
    with gpu:
        there = here.to("cuda")
        assert (there.device.type, (there + 1).device.type, here.device.type) == ("cuda", "cuda", "cpu")
        assert (2 * there).cpu().numpy().tolist() == [2.0, 2.0, 2.0]
        for wrong in (
            lambda: there + here,
            lambda: torch.rand(3, device="cuda", generator=torch.Generator()),
            lambda: torch.nn.Linear(3, 2)(there),
        ):
            with pytest.raises(RuntimeError, match="Expected"):
                wrong()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        layer = torch.nn.Linear(3, 2).to("cuda")
        assert layer(there).device.type == "cuda"


def test_the_weights_of_a_finished_run_are_the_processor_s(
    store: Store, locations: Locations, gpu: PretendGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[learn.Outcome] = []
    real = learn.learn

    def watching(*args: Any, **options: Any) -> learn.Outcome:
        left.append(real(*args, **options))
        return left[-1]

    monkeypatch.setattr(runner, "learn", watching)
    with gpu:
        run(spec_of(store, network="gru"), tmp_path / "run", locations, device="cuda")
        network = left[0].network
        assert network is not None
        assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}
    assert load_file(tmp_path / "run" / "model.safetensors").keys() == network.state_dict().keys()


@pytest.mark.parametrize(
    ("cuda", "visible", "why"),
    [
        (None, None, r"torch \S+ is built without CUDA\). Install a build of torch with CUDA there"),
        ("12.8", None, r"torch \S+ is built with CUDA\). See there what `nvidia-smi` finds"),
        ("12.8", "", r"torch \S+ is built with CUDA, and CUDA_VISIBLE_DEVICES is ''\). See there"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_and_leaves_nothing(
    cuda: str | None,
    visible: str | None,
    why: str,
    blind: None,
    store: Store,
    locations: Locations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    said = f"^machine {platform.node()}: a run is to use a GPU, and torch sees none \\({why}"
    with pytest.raises(StudyError, match=said):
        run(make_spec(store), tmp_path / "runs" / "run", locations, device="cuda")
    assert not (tmp_path / "runs").exists()


def test_an_unknown_device(store: Store, locations: Locations, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no device 'tpu'\. Known: cpu, cuda"):
        run(make_spec(store), tmp_path / "run", locations, device="tpu")  # type: ignore[arg-type]


def test_the_device_is_measured_and_not_part_of_the_run(
    store: Store, locations: Locations, gpu: PretendGpu, tmp_path: Path
) -> None:
    spec = spec_of(store, arm="frozen-random")
    baseline = make_spec(store, network="age-sex", arm="baseline")
    assert run(spec, tmp_path / "cpu", locations)["measured"]["device"] == "cpu"
    with gpu:
        there = run(spec, tmp_path / "gpu", locations, device="cuda")
        plain = run(baseline, tmp_path / "baseline", locations, device="cuda")
    assert there["id"] == spec.id
    assert "device" not in there["spec"]
    assert plain["measured"]["device"] == "cpu", "a baseline has nothing to do there"


class Stop(Progress):
    """Stands for a kill: ends the process's work at an update."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__("", quiet=True)
        self.at, self.updates = at, 0

    def update(self, *_: Any, **__: Any) -> None:
        self.updates += 1
        if self.updates == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("before", "after", "left"), [("cuda", "cuda", 2), ("cpu", "cuda", 4)])
def test_a_killed_run_goes_on_where_its_checkpoint_is_of_that_kind_of_device(
    before: Any,
    after: Any,
    left: int,
    store: Store,
    locations: Locations,
    gpu: PretendGpu,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learn, "CHECKPOINT_SECONDS", 0.0)
    spec = spec_of(store, network="gru")
    run(spec, tmp_path / "straight", locations)
    second = Stop()
    with gpu:
        with pytest.raises(KeyboardInterrupt):
            run(spec, tmp_path / "killed", locations, progress=Stop(2), device=before)
        run(spec, tmp_path / "killed", locations, progress=second, device=after)
    assert second.updates == left
    assert result_apart(tmp_path / "killed") == result_apart(tmp_path / "straight")


def test_a_full_gpu_is_no_bug(
    store: Store, locations: Locations, gpu: PretendGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(learn, "fit", fit)
    said = r"the memory of the GPU \(Pretend GPU\) is full. Put fewer runs on it: a larger --gpus-per-run"
    with gpu, pytest.raises(StudyError, match=said):
        run(spec_of(store), tmp_path / "run", locations, device="cuda")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "expected"), [({}, "cpu"), ({"device": "cuda"}, "cuda")])
def test_an_executor_hands_the_device_on(
    options: dict[str, Any],
    expected: str,
    store: Store,
    locations: Locations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def watching(*_: Any, device: str, **__: Any) -> dict[str, Any]:
        asked.append(device)
        return {"measured": {}}

    monkeypatch.setattr(crews, "run", watching)
    assert execute([make_spec(store)], Ledger(tmp_path), locations, quiet=True, **options) == 1
    assert asked == [expected]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_processes_hand_the_device_on_and_the_refusal_back(
    store: Store, locations: Locations, tmp_path: Path
) -> None:
    specs = [make_spec(store, seed=seed) for seed in range(2)]
    with pytest.raises(StudyError, match="a run is to use a GPU, and torch sees none"):
        execute(specs, Ledger(tmp_path), locations, workers=2, device="cuda", quiet=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("arm", ARMS)
def test_a_real_gpu_says_nearly_what_the_processor_says(
    arm: str, store: Store, locations: Locations, upstream: str, tmp_path: Path
) -> None:
    spec = spec_of(store, arm=arm, upstream=upstream)
    here = run(spec, tmp_path / "cpu", locations)
    there = run(spec, tmp_path / "gpu", locations, device="cuda")
    assert there["measured"]["device"] == devices.device_name(torch.device("cuda")) != "cpu"
    loss, other = (each["result"]["validation_loss"] for each in (here, there))
    assert other == pytest.approx(loss, rel=1e-2)
