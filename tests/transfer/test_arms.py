"""Arms: frozen parts do not move by a bit, heads are what a reference solver finds, starts are separate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ecgtransfer.errors import ConfigError, ModelError
from ecgtransfer.networks import build, load_encoder, save_model
from ecgtransfer.training import Feed, predict_features, predict_logits
from ecgtransfer.transfer import ARMS, estimate_normalisation, fit_head, freeze, get_arm
from ecgtransfer.transfer.strategies import PENALTIES


class ArrayStore:
    """Windows held in memory, as a feed asks for them."""

    def __init__(self, signals: np.ndarray, windows_per_record: int = 1) -> None:
        self.signals = signals
        self.n_records = len(signals) // windows_per_record
        self.record_of_row = np.repeat(np.arange(self.n_records), windows_per_record)
        self.info = type(
            "Info", (), {"leads": ("I", "II"), "sampling_rate": 100.0, "n_samples": signals.shape[2]}
        )()

    def rows_of(self, records: np.ndarray) -> np.ndarray:
        return np.flatnonzero(np.isin(self.record_of_row, records))

    def millivolts(self, rows: np.ndarray) -> np.ndarray:
        return self.signals[rows]


@pytest.fixture
def feeds() -> tuple[Feed, Feed]:
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 2)) < 0.4).astype(np.float32)
    signals = rng.normal(size=(120, 2, 200)).astype(np.float32) * 0.2
    slow = np.sin(np.linspace(0, 20, 200)).astype(np.float32)
    signals += slow * np.repeat(labels[:, 0], 2)[:, None, None] * 0.3
    labels[::7, 1] = np.nan
    store = ArrayStore(signals, windows_per_record=2)
    train, validation = np.arange(45), np.arange(45, 60)
    return Feed(store, train, labels[train]), Feed(store, validation, labels[validation])


def small(seed: int = 0, name: str = "resnet1d18-w16"):
    return build(
        name, n_leads=2, n_outputs=2, n_samples=200, sampling_rate=100.0, encoder_seed=seed, head_seed=seed
    )


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_an_unknown_arm_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean linear-probe"):
        get_arm("linear-prob")
    assert {arm.start for arm in ARMS.values()} == {"random", "pretrained"}


@pytest.mark.parametrize("name", ["resnet1d18-w16", "lstm", "lstm-pooled"])
def test_a_frozen_encoder_is_numerically_unchanged_by_fitting_its_head(name, feeds) -> None:
    network = small(name=name)
    freeze(network.encoder)
    before, head = state(network.encoder), state(network.head)
    fit_head(network, *feeds)
    after = state(network.encoder)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not torch.equal(head["weight"], network.head.weight)


def test_a_head_is_not_fitted_on_an_encoder_that_moves(feeds) -> None:
    with pytest.raises(ModelError, match="not frozen"):
        fit_head(small(), *feeds)


@pytest.mark.parametrize("name", ["resnet1d18-w16", "lstm"])
def test_the_head_says_what_logistic_regression_on_the_features_says(name, feeds) -> None:
    """For few features and for more features than records (the flattened LSTM: 20,000)."""
    train, validation = feeds
    network = small(name=name)
    freeze(network.encoder)
    found = fit_head(network, train, validation)
    features = predict_features(network, train, precision="float32").astype(np.float64)
    spread = features.std(axis=0)
    used = spread > 1e-8
    scaled = (features - features.mean(axis=0))[:, used] / spread[used] / np.sqrt(features.shape[1])
    for target in range(2):
        known = ~np.isnan(train.labels[:, target])
        reference = LogisticRegression(C=1 / found.penalty, max_iter=5000, tol=1e-9)
        reference.fit(scaled[known], train.labels[known, target])
        np.testing.assert_allclose(
            predict_logits(network, train, precision="float32")[:, target],
            reference.decision_function(scaled),
            atol=1e-3,
        )
    assert found.penalty in PENALTIES


def test_a_target_with_one_class_gets_a_constant_finite_head(feeds) -> None:
    train, validation = feeds
    labels = train.labels.copy()
    labels[:, 1] = 0
    network = small()
    freeze(network.encoder)
    found = fit_head(network, Feed(train.store, train.records, labels), validation)
    assert found.constant_targets == (1,)
    assert torch.count_nonzero(network.head.weight[1]) == 0
    assert network.head.bias[1].item() == pytest.approx(np.log((1 / 47) / (46 / 47)), abs=1e-5)


def test_normalisation_is_estimated_from_the_training_signals_and_moves_no_weight(feeds) -> None:
    network = small()
    parameters = {name: p.clone() for name, p in network.named_parameters()}
    assert estimate_normalisation(network, feeds[0]) > 0
    assert all(torch.equal(p, parameters[name]) for name, p in network.named_parameters())
    # The first convolution, redone by hand over all training windows at once.
    weight = next(p for name, p in network.named_parameters() if p.ndim == 3)
    stem = next(m for m in network.encoder.modules() if hasattr(m, "running_mean"))
    windows = torch.cat(list(feeds[0].windows(64)))
    with torch.no_grad():
        response = torch.nn.functional.conv1d(
            windows / network.card.input_scale_mv, weight, stride=2, padding=3
        )
    torch.testing.assert_close(stem.running_mean, response.mean(dim=(0, 2)), atol=1e-4, rtol=1e-3)
    assert stem.momentum is not None  # a later training goes on as usual


def test_networks_without_batch_norm_have_nothing_to_estimate(feeds) -> None:
    assert estimate_normalisation(small(name="lstm-pooled"), feeds[0]) == 0


def test_loading_weights_changes_neither_head_nor_batches(tmp_path, feeds) -> None:
    """The streams of head and order are their own: a pre-trained arm sees what scratch sees."""
    upstream = build(
        "resnet1d18-w16",
        n_leads=2,
        n_outputs=4,
        n_samples=200,
        sampling_rate=100.0,
        encoder_seed=9,
        head_seed=9,
    )
    save_model(tmp_path / "model", upstream, {"leads": ["I", "II"]})
    scratch, tuned = small(seed=3), small(seed=3)
    report = load_encoder(tuned, tmp_path / "model")
    assert torch.equal(scratch.head.weight, tuned.head.weight)
    assert torch.equal(scratch.head.bias, tuned.head.bias)
    assert len(report.matched) == len(tuned.encoder.state_dict())
    encoder = upstream.encoder.state_dict()
    assert all(torch.equal(value, encoder[key]) for key, value in tuned.encoder.state_dict().items())
