"""The model folder: what is kept comes back, and what does not belong is refused by name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from ecgtransfer import networks
from ecgtransfer.errors import ModelError

NAMES = [name for name in networks.names() if name not in ("resnet1d50", "resnet1d101")]
CARD = {"leads": ["I", "II"], "targets": ["AF", "SB", "STE"], "task": "rhythm"}


def build(name: str = "resnet1d18-w16", **changes: Any) -> networks.Network:
    facts = {"n_leads": 2, "n_outputs": 3, "n_samples": 64, "sampling_rate": 100.0} | changes
    return networks.build(name, **facts)


def trained(name: str = "resnet1d18-w16") -> networks.Network:
    """Return a network whose batch-norm buffers have moved, as after training."""
    network = build(name, encoder_seed=11, head_seed=12).train()
    with torch.no_grad():
        network(torch.randn(8, 2, 64, generator=torch.Generator().manual_seed(0)))
    return network.eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    networks.save_model(tmp_path / "model", trained(), CARD)
    return tmp_path / "model"


def rewrite(folder: Path, tensors: dict[str, torch.Tensor] | None = None, **card: Any) -> None:
    """Change a model folder and make its card agree with the weights again."""
    if tensors is not None:
        (folder / "model.safetensors").write_bytes(safetensors.torch.save(tensors))
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    content = json.loads((folder / "card.json").read_text()) | {"weights_sha256": digest} | card
    (folder / "card.json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name: str, tmp_path: Path) -> None:
    network = trained(name)
    networks.save_model(tmp_path / "a" / "model", network, CARD)
    back, card = networks.load_model(tmp_path / "a" / "model")
    assert not back.training
    x = torch.randn(2, 2, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(network(x), back(x))
    assert card["network"] == name
    assert (card["n_leads"], card["n_outputs"], card["n_samples"], card["sampling_rate"]) == (2, 3, 64, 100.0)
    assert card["input_scale_mv"] == 0.25
    assert card["targets"] == CARD["targets"]
    assert networks.read_card(tmp_path / "a" / "model") == card
    assert sorted(p.name for p in (tmp_path / "a" / "model").iterdir()) == ["card.json", "model.safetensors"]


def test_same_network_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        networks.save_model(tmp_path / name, trained(), CARD)
    for file in ("model.safetensors", "card.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_saving_over_a_loaded_model(folder: Path) -> None:
    network, card = networks.load_model(folder)
    with torch.no_grad():
        network.head.bias.add_(1.0)
    networks.save_model(folder, network, card | {"score": 0.9})
    again, kept = networks.load_model(folder)
    assert torch.equal(again.head.bias, network.head.bias)
    assert kept["score"] == 0.9


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"network": "gru"}, "network 'gru'"),
        ({"n_outputs": 4}, "n_outputs 4"),
        ({"leads": ["I"]}, "1 leads"),
        ({"targets": ["AF"]}, "1 targets"),
        ({"score": float("nan")}, "not JSON"),
        ({"where": Path("x")}, "not JSON"),
    ],
)
def test_a_card_that_contradicts_is_not_written(card: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=said):
        networks.save_model(tmp_path / "model", trained(), CARD | card)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", NAMES)
def test_load_encoder(name: str, tmp_path: Path) -> None:
    source = trained(name)
    networks.save_model(tmp_path / "model", source, CARD)
    network = build(name, n_outputs=9, encoder_seed=1, head_seed=2)
    head = {key: value.clone() for key, value in network.head.state_dict().items()}
    torch.manual_seed(7)
    before = torch.get_rng_state()
    report = networks.load_encoder(network, tmp_path / "model", leads=["I", "II"])
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(head[key], value) for key, value in network.head.state_dict().items())
    expected = source.encoder.state_dict()
    assert all(torch.equal(expected[key], value) for key, value in network.encoder.state_dict().items())
    assert report.matched == tuple(f"encoder.{key}" for key in expected)
    assert report.reinitialised == ("head.weight", "head.bias")
    assert all("head" in report.reasons[tensor] for tensor in report.reinitialised)
    assert report.unexpected == ()
    assert str(report) == f"{len(expected)} tensors matched, 2 re-initialised, 0 unexpected"


def test_running_means_are_loaded(folder: Path) -> None:
    network = build()
    report = networks.load_encoder(network, folder)
    buffers = [tensor for tensor in report.matched if tensor.endswith("running_mean")]
    assert len(buffers) == 20
    assert network.encoder.stem[1].running_mean.abs().sum() > 0


def test_what_is_missing_or_unknown_is_reported(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    del tensors["encoder.project.0.bias"]
    tensors["encoder.project.0.weight"] = torch.zeros(3, 3)
    tensors["encoder.attention"] = torch.zeros(1)
    rewrite(folder, tensors)
    network = build(encoder_seed=3)
    kept = network.encoder.project[0].weight.clone()
    report = networks.load_encoder(network, folder)
    lost = {"encoder.project.0.weight", "encoder.project.0.bias", "head.weight", "head.bias"}
    assert set(report.reinitialised) == lost
    assert report.unexpected == ("encoder.attention",)
    assert "[3, 3]" in report.reasons["encoder.project.0.weight"]
    assert torch.equal(network.encoder.project[0].weight, kept)
    assert {*report.matched, *report.reinitialised} == set(network.state_dict())
    with pytest.raises(ModelError, match="3 tensors do not fit"):
        networks.load_model(folder)


def test_no_match_is_an_error(folder: Path) -> None:
    rewrite(folder, {"head.weight": torch.zeros(3, 128), "module.encoder.stem.0.weight": torch.zeros(1)})
    network = build()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ModelError, match="not one tensor matches"):
        networks.load_encoder(network, folder)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (build("lstm-pooled"), "model is resnet1d18-w16.*is lstm-pooled.*--network resnet1d18-w16"),
        (build(n_leads=1), r"takes other leads \(2 \(I, II\)\) than the signals have \(1\).*--leads I,II"),
        (build(sampling_rate=250.0), "100 Hz.*250 Hz.*--rate 100"),
    ],
)
def test_other_signals_are_refused(network: networks.Network, said: str, folder: Path) -> None:
    with pytest.raises(ModelError, match=said):
        networks.load_encoder(network, folder)


def test_other_lead_names_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"I, II\)\) than the signals have \(2 \(II, I\)\).*--leads I,II"):
        networks.load_encoder(build(), folder, leads=("II", "I"))
    card = networks.read_card(folder)
    with pytest.raises(ModelError, match=r"2 \(I, V1\)"):
        networks.check_signals(card, folder, leads=("I", "V1"), sampling_rate=100.0)
    with pytest.raises(ModelError, match="500 Hz"):
        networks.check_signals(card, folder, leads=("I", "II"), sampling_rate=500.0)
    networks.check_signals(card, folder, leads=("I", "II"), sampling_rate=100.0)


def test_length_matters_only_where_the_head_sees_every_step(tmp_path: Path) -> None:
    for name in ("lstm", "lstm-pooled"):
        networks.save_model(tmp_path / name, trained(name), CARD)
    with pytest.raises(ModelError, match=r"64 samples, the network 128.*--seconds 0\.64"):
        networks.load_encoder(build("lstm", n_samples=128), tmp_path / "lstm")
    networks.load_encoder(build("lstm-pooled", n_samples=128), tmp_path / "lstm-pooled")


@pytest.mark.parametrize("load", [networks.load_model, lambda f: networks.load_encoder(build(), f)])
class TestDamage:
    def test_no_folder(self, load: Any, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="no such model folder"):
            load(tmp_path / "nowhere")

    @pytest.mark.parametrize("file", ["model.safetensors", "card.json"])
    def test_missing_file(self, load: Any, file: str, folder: Path) -> None:
        (folder / file).unlink()
        with pytest.raises(ModelError, match=f"{file} is missing"):
            load(folder)

    def test_flipped_byte(self, load: Any, folder: Path) -> None:
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="SHA-256"):
            load(folder)

    def test_truncated(self, load: Any, folder: Path) -> None:
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
        with pytest.raises(ModelError, match="SHA-256"):
            load(folder)
        rewrite(folder)
        with pytest.raises(ModelError, match="not a safetensors file"):
            load(folder)

    def test_card_of_another_model(self, load: Any, folder: Path) -> None:
        rewrite(folder, weights_sha256="0" * 64)
        with pytest.raises(ModelError, match="not the weights of this card"):
            load(folder)

    @pytest.mark.parametrize(
        ("text", "said"), [("{", "not JSON"), ("[1]", "format None"), ('{"format": 2}', "format 2")]
    )
    def test_card_is_no_card(self, load: Any, text: str, said: str, folder: Path) -> None:
        (folder / "card.json").write_text(text)
        with pytest.raises(ModelError, match=said):
            load(folder)

    @pytest.mark.parametrize(
        ("key", "value"), [("n_leads", "two"), ("network", None), ("sampling_rate", True)]
    )
    def test_card_lacks_a_fact(self, load: Any, key: str, value: object, folder: Path) -> None:
        rewrite(folder, **{key: value})
        with pytest.raises(ModelError, match=f"{key} is"):
            load(folder)

    def test_another_input_scale(self, load: Any, folder: Path) -> None:
        rewrite(folder, input_scale_mv=1.0)
        with pytest.raises(ModelError, match=r"mV / 1, .* by 0\.25"):
            load(folder)


def test_a_network_that_is_no_more(folder: Path) -> None:
    rewrite(folder, network="resnet1d19")
    with pytest.raises(ModelError, match="no network 'resnet1d19'"):
        networks.load_model(folder)
