"""What holds for every registered network, and what the study says about its six."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ecgtransfer import networks
from ecgtransfer.errors import ModelError

NAMES = networks.names()
SMALL = [name for name in NAMES if name not in ("resnet1d50", "resnet1d101")]
FIXED = [name for name in NAMES if networks.card(name).fixed_length]
FLEXIBLE = [name for name in SMALL if not networks.card(name).fixed_length]

# parameters with 5 and 9 classes, share of weights in the head, multiply-adds: the study's table.
TABLE = {
    "resnet1d18": (4_114_053, 4_116_105, "0.06%", 175.5),
    "resnet1d50": (17_010_821, 17_012_873, "0.02%", 793.9),
    "resnet1d101": (29_318_277, 29_320_329, "0.01%", 1565.9),
    "gru": (534_205, 934_209, "93.6%", 34.1),
    "lstm": (545_605, 945_609, "91.6%", 45.3),
    "bilstm": (1_091_205, 1_891_209, "91.6%", 90.6),
}


def build(
    name: str, *, n_leads: int = 2, n_outputs: int = 3, n_samples: int = 64, **seeds: int
) -> networks.Network:
    return networks.build(
        name, n_leads=n_leads, n_outputs=n_outputs, n_samples=n_samples, sampling_rate=100, **seeds
    )


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_registered() -> None:
    assert {*TABLE, "gru-pooled", "lstm-pooled", "bilstm-pooled", "resnet1d18-w16"} == set(NAMES)
    assert set(FIXED) == {"gru", "lstm", "bilstm"}


@pytest.mark.parametrize("name", TABLE)
def test_study_table(name: str) -> None:
    five, nine, share, work = TABLE[name]
    network = build(name, n_leads=12, n_outputs=5, n_samples=1000)
    assert networks.n_parameters(network) == five
    digits = 2 if name.startswith("resnet") else 1
    assert f"{networks.n_parameters(network.head) / five:.{digits}%}" == share
    assert round(networks.multiply_adds(network) / 1e6, 1) == work
    assert networks.n_parameters(build(name, n_leads=12, n_outputs=9, n_samples=1000)) == nine


@pytest.mark.parametrize("name", ["gru-pooled", "lstm-pooled", "bilstm-pooled"])
def test_pooled_heads_throw_little_away(name: str) -> None:
    network = build(name, n_leads=12, n_outputs=5, n_samples=1000)
    assert networks.n_parameters(network.head) < 0.03 * networks.n_parameters(network)


def test_narrow_network_says_what_it_is() -> None:
    card = networks.card("resnet1d18-w16")
    assert "small machines and tests" in card.title
    assert "128 instead of 512 features" in card.note
    network = build("resnet1d18-w16")
    widths = [m.out_channels for m in network.encoder.modules() if isinstance(m, nn.Conv1d)]
    assert widths[0] == 16
    assert sorted(set(widths)) == [16, 32, 64, 128]


@pytest.mark.parametrize("name", NAMES)
def test_card(name: str) -> None:
    card = networks.card(name)
    assert card.name == name
    assert "10." in card.paper, "a DOI"
    assert card.licence == "Apache-2.0"
    assert card.input_scale_mv == networks.INPUT_SCALE_MV == 0.25
    assert card.precision_hint in ("float32", "bfloat16")


@pytest.mark.parametrize("name", SMALL)
def test_forward_and_features(name: str) -> None:
    network = build(name).eval()
    x = 0.3 * torch.randn(4, 2, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, logits = network.features(x), network(x)
    assert logits.shape == (4, 3)
    assert torch.equal(network.head(features), logits)
    assert features.shape == (4, network.head.in_features)
    assert len(torch.unique(logits[:, 0])) == 4, "the signal has to matter"


@pytest.mark.parametrize("name", SMALL)
def test_input_is_millivolts_over_a_quarter(name: str) -> None:
    network = build(name).eval()
    x = 0.3 * torch.randn(2, 2, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network.features(x), network.encoder(x / 0.25))
        assert not torch.allclose(network.features(x), network.encoder(x))


@pytest.mark.parametrize("name", [name for name in SMALL if name != "resnet1d18"])
def test_learns(name: str) -> None:
    """Every parameter gets a gradient, and a few steps fit four records."""
    network = build(name, n_outputs=1).train()
    x = 0.25 * torch.randn(4, 2, 64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(25):
        loss = nn.functional.binary_cross_entropy_with_logits(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters()) or losses
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_global_generator_is_neither_read_nor_moved(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    network = build(name)
    networks.multiply_adds(network)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert equal(build(name).encoder, network.encoder)


@pytest.mark.parametrize("name", SMALL)
def test_encoder_and_head_have_their_own_streams(name: str) -> None:
    one = build(name, n_outputs=3, encoder_seed=5, head_seed=1)
    assert equal(one.encoder, build(name, n_outputs=8, encoder_seed=5, head_seed=2).encoder)
    assert not equal(one.encoder, build(name, encoder_seed=6, head_seed=1).encoder)
    assert equal(one.head, build(name, n_outputs=3, encoder_seed=9, head_seed=1).head)
    assert not equal(one.head, build(name, n_outputs=3, encoder_seed=5, head_seed=2).head)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**64 - 1))
def test_same_seed_gives_encoder_and_head_unrelated_numbers(seed: int) -> None:
    network = build("lstm-pooled", n_outputs=2, encoder_seed=seed, head_seed=seed)
    first = network.encoder.state_dict()["layer.weight_ih_l0"].flatten()[:200]
    assert abs(np.corrcoef(first, network.head.weight.detach().flatten()[:200])[0, 1]) < 0.4


def test_convolutions_are_he_normal_by_fan_out() -> None:
    network = build("resnet1d18", n_leads=12)
    for module in network.encoder.modules():
        if isinstance(module, nn.Conv1d) and module.weight.numel() > 10_000:
            expected = (2 / (module.out_channels * module.kernel_size[0])) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.03)
            assert abs(module.weight.mean().item()) < 0.02 * expected * 2


@pytest.mark.parametrize("name", NAMES)
def test_blocks_hold_each_parameter_once_in_order(name: str) -> None:
    network = build(name)
    blocks = network.blocks()
    assert blocks[-1] == ("head", network.head)
    assert len({block for block, _ in blocks}) == len(blocks)
    inside = [id(p) for _, module in blocks for p in module.parameters()]
    assert len(inside) == len(set(inside))
    assert inside == [id(p) for p in network.parameters()], "in the order of the forward pass"


def test_counting_leaves_the_network_alone() -> None:
    network = build("resnet1d18-w16").train()
    network.encoder.stem.eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    networks.multiply_adds(network)
    assert network.training
    assert not network.encoder.stem.training
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(4, 3, 64), (4, 2), (4, 1, 2, 64), (4, 2, 0)])
def test_refuses_another_shape(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"\[batch, 2, .*\[4, "):
        build(name)(torch.zeros(shape))


@pytest.mark.parametrize("name", FIXED)
def test_flattened_heads_refuse_another_length(name: str) -> None:
    with pytest.raises(ModelError, match=r"\[batch, 2, 64\], not \[1, 2, 65\]"):
        build(name)(torch.zeros(1, 2, 65))


@pytest.mark.parametrize("name", FLEXIBLE)
def test_pooled_networks_take_any_length(name: str) -> None:
    network = build(name).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 2, 117)).shape == network(torch.zeros(2, 2, 1)).shape == (2, 3)


def test_refuses_raw_integers() -> None:
    with pytest.raises(ModelError, match="int16"):
        build("gru")(torch.zeros(1, 2, 64, dtype=torch.int16))


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(ModelError, match="Did you mean resnet1d18"):
        build("resnet18")
    with pytest.raises(ModelError, match="Known: "):
        networks.card("transformer")


@pytest.mark.parametrize(
    "sizes", [{"n_leads": 0}, {"n_outputs": -1}, {"n_samples": 10.5}, {"n_outputs": True}]
)
def test_refuses_sizes_that_make_no_sense(sizes: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=next(iter(sizes))):
        build("resnet1d18-w16", **sizes)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_rates_that_make_no_sense(rate: float) -> None:
    with pytest.raises(ModelError, match="sampling_rate"):
        networks.build("gru", n_leads=1, n_outputs=1, n_samples=10, sampling_rate=rate)


def test_numpy_sizes_are_sizes() -> None:
    network = build("gru", n_leads=np.int64(2), n_samples=np.int32(64))
    assert type(network.n_leads) is int


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_is_close(name: str) -> None:
    network = build(name).eval()
    x = 0.25 * torch.randn(8, 2, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            close = network(x).float()
    assert (exact - close).abs().max() < 0.05 * exact.abs().max()


def test_resnet_is_the_one_dimensional_network_it_claims_to_be() -> None:
    """The same weights through plain Conv1d arithmetic on [batch, channels, time]."""
    network = build("resnet1d18-w16", n_leads=1).eval()
    x = torch.randn(3, 1, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1))
                module.running_var.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(2))
        assert torch.allclose(network.encoder(x), _plain(network.encoder.state_dict(), x), atol=1e-5)


def _plain(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    def step(x: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = w[f"{conv}.weight"]
        x = nn.functional.conv1d(x, weight, stride=stride, padding=weight.shape[2] // 2)
        mean, var = w[f"{norm}.running_mean"], w[f"{norm}.running_var"]
        return nn.functional.batch_norm(x, mean, var, w[f"{norm}.weight"], w[f"{norm}.bias"])

    x = nn.functional.max_pool1d(step(x, "stem.0", "stem.1", 2).relu(), 3, 2, 1)
    for stage in range(4):
        for block in range(2):
            at, stride = f"stages.{stage}.{block}", 2 if stage and not block else 1
            y = step(x, f"{at}.path.0", f"{at}.path.1", stride).relu()
            y = step(y, f"{at}.path.3", f"{at}.path.4")
            short = f"{at}.shortcut"
            x = (y + (step(x, f"{short}.0", f"{short}.1", 2) if f"{short}.0.weight" in w else x)).relu()
    return nn.functional.linear(x.mean(dim=2), w["project.0.weight"], w["project.0.bias"]).relu()


@pytest.mark.parametrize("kind", ["gru", "lstm", "bilstm"])
def test_recurrent_heads_see_the_same_steps(kind: str) -> None:
    flat, pooled = build(kind).eval(), build(f"{kind}-pooled").eval()
    assert equal(flat.encoder.layer, pooled.encoder.layer)
    x = torch.randn(3, 2, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        steps = flat.features(x).reshape(3, 64, -1)
        assert torch.allclose(pooled.features(x), torch.cat([steps.mean(1), steps.amax(1)], 1), atol=1e-6)
