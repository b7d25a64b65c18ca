import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from ecgtransfer.errors import ConfigError, DataError, ModelError
from ecgtransfer.training import (
    Augmentation,
    Feed,
    FitSettings,
    Order,
    Selection,
    default_groups,
    fit,
    known_bce,
    learning_rate,
    predict_features,
    predict_logits,
)

SETTINGS = FitSettings(updates=24, batch_size=8, learning_rate=0.02, validate_every=5)


@pytest.fixture
def feeds(store):
    return Feed(store, np.arange(20), store.truth[:20]), Feed(store, np.arange(20, 30), store.truth[20:])


def weights(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns(make_network, make_store):
    store = make_store(200)
    train, validation = (
        Feed(store, part, store.truth[part]) for part in (np.arange(150), np.arange(150, 200))
    )
    network = make_network()
    result = fit(network, train, validation, dataclasses.replace(SETTINGS, updates=150, batch_size=32))
    assert result.score < 0.35
    called = predict_logits(network, validation) > 0
    assert np.mean(called == (validation.labels == 1)) > 0.85


def test_history_and_measurements(network, feeds):
    result = fit(network, *feeds, SETTINGS)
    assert [entry["update"] for entry in result.history] == [5, 10, 15, 20, 24]
    assert result.records_seen == 24 * 8
    assert result.batch_size == 8
    assert result.diverged_at is None
    assert result.records_per_second > 0
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_selected_weights_are_in_the_network(make_network, feeds):
    # A rate this high does not end where it was best.
    settings = dataclasses.replace(SETTINGS, learning_rate=0.3, updates=40, validate_every=1)
    seen = {}
    first = make_network()
    result = fit(first, *feeds, settings)
    losses = [entry["validation_loss"] for entry in result.history]
    assert result.best_update == 1 + int(np.argmin(losses))
    assert result.best_update < settings.updates, "the case is of no use: the last update is the best"
    assert result.score == min(losses)
    assert known_bce(feeds[1].labels, predict_logits(first, feeds[1])) == min(losses)

    last = make_network()
    kept = fit(last, *feeds, settings, selection="last", on_update=lambda u, n: seen.update({u: weights(n)}))
    assert kept.best_update == settings.updates
    assert kept.history == result.history
    assert kept.score == losses[-1]
    assert same(weights(first), seen[result.best_update])
    assert not same(weights(last), weights(first))


def test_chosen_on_the_part_that_is_reported(make_network, feeds):
    """The published study's way: its score is the maximum of all that the part was looked at for."""
    train, test = feeds
    settings = dataclasses.replace(SETTINGS, learning_rate=0.02, updates=30, validate_every=1)
    network = make_network()
    result = fit(network, train, test, settings, selection="test-optimistic", keep_logits=True)
    scores = [entry["test_f1"] for entry in result.history]
    assert result.held_out_logits.shape == (30, 10, 2)
    assert result.held_out_logits.dtype == np.float32
    assert scores == [
        pytest.approx(f1_score(test.labels, logits >= 0, average="weighted", zero_division=0))
        for logits in result.held_out_logits
    ]
    assert result.score == max(scores)
    assert result.best_update == 1 + int(np.argmax(scores)), "the first of those that are tied"
    assert 1 < result.best_update < 30, "the case is of no use"
    np.testing.assert_array_equal(
        predict_logits(network, test), result.held_out_logits[result.best_update - 1]
    )
    # What is looked at changes nothing in how it trains.
    other = fit(make_network(), train, test, settings, selection="last", keep_logits=True)
    np.testing.assert_array_equal(other.held_out_logits, result.held_out_logits)
    assert fit(make_network(), train, test, settings).held_out_logits is None


def test_a_selection_of_ones_own(make_network, feeds):
    train, validation = feeds

    def share_called(labels, logits):
        return float((logits > 0).mean())

    fewest = Selection("fewest-calls", "called", share_called, lambda new, best: new < best)
    result = fit(make_network(), train, validation, SETTINGS, selection=fewest)
    called = [entry["called"] for entry in result.history]
    assert result.score == min(called)
    assert set(result.history[0]) == {"update", "learning_rate", "training_loss", "called"}


def test_same_seed_same_bits_and_no_global_generator(make_network, feeds):
    state = torch.get_rng_state()
    np_state = np.random.get_state()[1].copy()  # noqa: NPY002  (what must not move)
    networks, results = [], []
    for seed, read in ((0, 1), (0, 100), (1, 1)):
        torch.rand(read)
        networks.append(make_network())
        results.append(fit(networks[-1], *feeds, dataclasses.replace(SETTINGS, seed=seed)))
    assert same(weights(networks[0]), weights(networks[1]))
    assert results[0].history == results[1].history
    assert not same(weights(networks[0]), weights(networks[2]))
    network = make_network()
    torch.set_rng_state(state)
    fit(network, *feeds, SETTINGS)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], np_state)  # noqa: NPY002


def test_batches_depend_neither_on_weights_nor_on_the_head(make_network, store):
    def batches(network, labels):
        seen = []
        network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
        train, validation = (
            Feed(store, np.arange(20), labels[:20]),
            Feed(store, np.arange(20, 30), labels[20:]),
        )
        fit(network, train, validation, dataclasses.replace(SETTINGS, updates=6, validate_every=6))
        return seen

    plain = batches(make_network(), store.truth)
    loaded = make_network(encoder_seed=77)
    other_weights = batches(loaded, store.truth)
    wider = batches(make_network(5), np.tile(store.truth[:, :1], (1, 5)))
    assert len(plain) >= 6
    for one, two, three in zip(plain, other_weights, wider, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_records_without_a_known_label_change_nothing_but_statistics(make_network, store):
    labels = store.truth[:20].copy()
    labels[:, 1] = np.nan
    validation = Feed(store, np.arange(20, 30), store.truth[20:])
    network = make_network()
    before = weights(network)
    groups = [{"params": list(network.parameters()), "weight_decay": 0.0}]
    fit(network, Feed(store, np.arange(20), labels), validation, SETTINGS, parameter_groups=groups)
    after = weights(network)
    assert torch.equal(after["head.weight"][1], before["head.weight"][1]), (
        "an unknown target has moved its row"
    )
    assert not torch.equal(after["head.weight"][0], before["head.weight"][0])


def test_frozen_does_not_move_by_a_bit(make_network, feeds):
    network = make_network()
    network.encoder.requires_grad_(False)
    before = weights(network)
    fit(network, *feeds, SETTINGS)
    after = weights(network)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"head.weight", "head.bias"}, "batch statistics included"


def test_partly_frozen_batch_norm(make_network, feeds):
    network = make_network()
    network.encoder[1].requires_grad_(False)
    before = weights(network)
    fit(network, *feeds, SETTINGS, selection="last")
    moved = {name for name, tensor in weights(network).items() if not torch.equal(before[name], tensor)}
    assert not any(name.startswith("encoder.1.") for name in moved)
    assert {"encoder.0.weight", "encoder.4.running_mean"} <= moved


def test_on_update_may_thaw(make_network, feeds):
    network = make_network()
    network.encoder.requires_grad_(False)
    seen = {}

    def thaw(update, network):
        network.encoder.requires_grad_(update >= 10)
        seen[update] = weights(network)

    fit(network, *feeds, SETTINGS, on_update=thaw, selection="last")
    assert sorted(seen) == list(range(24))
    assert torch.equal(seen[10]["encoder.0.weight"], seen[0]["encoder.0.weight"])
    assert torch.equal(seen[10]["encoder.1.running_mean"], seen[0]["encoder.1.running_mean"])
    assert not torch.equal(seen[11]["encoder.0.weight"], seen[0]["encoder.0.weight"])
    assert not torch.equal(seen[11]["encoder.1.running_mean"], seen[0]["encoder.1.running_mean"])


def test_parameter_groups_scale_the_rate_and_decay(make_network, feeds):
    def groups(network, scale):
        return [
            {"params": network.encoder.parameters(), "lr_scale": scale, "weight_decay": 0.0},
            {"params": network.head.parameters()},
        ]

    network = make_network()
    before = weights(network)
    fit(network, *feeds, SETTINGS, parameter_groups=groups(network, 0.0), selection="last")
    assert torch.equal(weights(network)["encoder.0.weight"], before["encoder.0.weight"])
    assert not torch.equal(weights(network)["head.weight"], before["head.weight"])

    one = dataclasses.replace(SETTINGS, updates=1, validate_every=1)
    steps = {}
    for scale in (1.0, 0.1):
        network = make_network()
        fit(network, *feeds, one, parameter_groups=groups(network, scale), selection="last")
        steps[scale] = weights(network)["encoder.0.weight"] - before["encoder.0.weight"]
    torch.testing.assert_close(steps[0.1], 0.1 * steps[1.0], rtol=1e-3, atol=1e-7)


def test_decay_spares_biases_and_normalisations(network):
    decayed, spared = default_groups(network, 0.05)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} == {
        "encoder.0.weight",
        "encoder.3.weight",
        "head.weight",
    }
    assert decayed["weight_decay"] == 0.05
    assert spared["weight_decay"] == 0.0
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def test_a_penalty_holds_the_weights_back(make_network, feeds):
    start = weights(make_network())

    def distance(network):
        return sum((p - start[name]).square().sum() for name, p in network.named_parameters())

    moved = {}
    for strength in (0.0, 100.0):
        network = make_network()
        fit(network, *feeds, SETTINGS, penalty=lambda n, s=strength: s * distance(n), selection="last")
        moved[strength] = distance(network).item()
    assert moved[100.0] < 0.5 * moved[0.0]


@pytest.mark.parametrize(("updates", "warmup"), [(100, 0.1), (37, 0.3), (5, 0.0), (1, 0.1), (8, 1.0)])
def test_schedule(updates, warmup):
    settings = FitSettings(updates=updates, learning_rate=0.5, warmup_fraction=warmup)
    rates = [learning_rate(update, settings) for update in range(updates)]
    rise = max(1, round(warmup * updates))
    assert rates[:rise] == pytest.approx([0.5 * (k + 1) / rise for k in range(rise)])
    assert max(rates) == 0.5
    assert all(a > b for a, b in zip(rates[rise - 1 :], rates[rise:], strict=False))
    assert all(rate > 0 for rate in rates)
    if updates == 100:
        assert rates[0] == pytest.approx(0.05)
        assert rates[-1] < 0.5e-3
        assert rates[9 + 45] == pytest.approx(0.5 * 0.5 * (1 + math.cos(math.pi * 45 / 91)))


def test_clipping_bounds_what_reaches_the_optimizer(make_network, feeds, monkeypatch):
    norms = []

    def watch(self, *args, **kwargs):
        gradients = [p.grad.norm() for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.stack(gradients).norm()))
        return step(self, *args, **kwargs)

    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    fit(make_network(), *feeds, dataclasses.replace(SETTINGS, clip_norm=0.01))
    assert norms
    assert max(norms) <= 0.01 + 1e-6


def test_divergence_is_reported_and_the_best_weights_kept(make_network, feeds):
    class Bomb(nn.Module):
        """Scales the logits beyond all bounds once the update has come."""

        def __init__(self, network, at):
            super().__init__()
            self.inner, self.at, self.calls = network, at, 0

        def forward(self, signals):
            self.calls += self.training
            return self.inner(signals) * (math.inf if self.training and self.calls > self.at else 1.0)

    network = Bomb(make_network(), 12)
    result = fit(network, *feeds, SETTINGS)
    assert result.diverged_at == 13
    assert [entry["update"] for entry in result.history] == [5, 10]
    assert result.best_update in (5, 10)
    assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())
    assert known_bce(feeds[1].labels, predict_logits(network, feeds[1])) == result.score

    at_once = Bomb(make_network(), 2)
    before = weights(at_once)
    result = fit(at_once, *feeds, SETTINGS)
    assert (result.diverged_at, result.best_update, result.score) == (3, 0, None)
    assert same(weights(at_once), before)


def test_batch_is_capped_at_the_records_there_are(make_network, feeds):
    result = fit(make_network(), *feeds, dataclasses.replace(SETTINGS, batch_size=64, updates=3))
    assert result.batch_size == 20
    assert result.records_seen == 60


def test_whole_epochs_end_with_a_smaller_batch(make_network, feeds):
    sizes = []
    network = make_network()
    network.register_forward_pre_hook(
        lambda module, inputs: sizes.append(len(inputs[0])) if module.training else None
    )
    settings = dataclasses.replace(SETTINGS, updates=6, validate_every=3, whole_epochs=True)
    result = fit(network, *feeds, settings)
    assert sizes == [8, 8, 4, 8, 8, 4]
    assert result.records_seen == 40
    assert [entry["update"] for entry in result.history] == [3, 6]


def test_plain_adam_without_anything_is_torchs_own_loop(make_network, feeds):
    """The published study's optimizer: rate constant from the first update on, no decay, no clipping."""
    train, validation = feeds
    settings = FitSettings(
        updates=7, batch_size=20, learning_rate=0.01, weight_decay=0.0, warmup_fraction=0.0,
        clip_norm=math.inf, schedule="constant", optimizer="adam", validate_every=7, whole_epochs=True,
        precision="float64", augment=Augmentation.none(),
    )  # fmt: skip
    ours = make_network()
    fit(ours, train, validation, settings, selection="last")

    plain = make_network().double().train()
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    order = Order(20, 20, study_seed=0, seed=0, whole_epochs=True)
    for update in range(7):
        signals, labels = train.batch(*order.at(update))
        loss = nn.functional.binary_cross_entropy_with_logits(plain(signals.double()), labels.double())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(
            ours.state_dict()[name], tensor.to(ours.state_dict()[name].dtype), msg=name
        )


def test_float64_is_used_and_left_behind(make_network, feeds):
    seen = set()

    def watch(module, inputs):
        seen.add((module.training, inputs[0].dtype, module.head.weight.dtype))

    settings = dataclasses.replace(SETTINGS, precision="float64", augment=Augmentation.none())
    exact, single = make_network(), make_network()
    exact.register_forward_pre_hook(watch)
    result = fit(exact, *feeds, settings)
    assert seen == {(True, torch.float64, torch.float64), (False, torch.float64, torch.float64)}
    assert all(p.dtype == torch.float32 for p in exact.parameters())
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in exact.state_dict().values())
    other = fit(single, *feeds, dataclasses.replace(settings, precision="float32"))
    assert result.score != other.score
    assert result.score == pytest.approx(other.score, rel=0.05)
    # Weights are rounded at the end, so the score is found again but for the last digits.
    found = known_bce(feeds[1].labels, predict_logits(exact, feeds[1]))
    assert found == pytest.approx(result.score, rel=1e-5)


def test_bfloat16_learns_and_stays_float32_outside(make_network, feeds):
    settings = dataclasses.replace(SETTINGS, precision="bfloat16", augment=Augmentation.none())
    exact, rounded = make_network(), make_network()
    losses = [
        fit(exact, *feeds, dataclasses.replace(settings, precision="float32")).score,
        fit(rounded, *feeds, settings).score,
    ]
    assert losses[0] != losses[1], "bfloat16 was not used"
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in rounded.parameters())
    assert predict_logits(rounded, feeds[1], precision="bfloat16").dtype == np.float32


def test_prediction_averages_windows_and_leaves_the_network_as_it_was(make_network, store):
    network = make_network()
    network.train()
    network.encoder[1].eval()
    before, modes = weights(network), [module.training for module in network.modules()]
    records = np.array([8, 3, 21])
    feed = Feed(store, records, store.truth[records])
    logits = predict_logits(network, feed, batch_size=2)
    features = predict_features(network, feed)
    assert [module.training for module in network.modules()] == modes
    assert same(weights(network), before)
    network.eval()
    with torch.no_grad():
        for row, record in enumerate(records):
            windows = torch.from_numpy(store.signals[store.record_of_row == record])
            np.testing.assert_allclose(logits[row], network(windows).mean(0), atol=1e-6)
            np.testing.assert_allclose(features[row], network.features(windows).mean(0), atol=1e-6)
        np.testing.assert_allclose(network.head(torch.from_numpy(features)), logits, atol=1e-5)


def test_what_cannot_be_trained_is_said(make_network, store, feeds):
    train, validation = feeds
    with pytest.raises(ConfigError, match="learning_rate is 0"):
        FitSettings(updates=3, learning_rate=0.0)
    with pytest.raises(ConfigError, match="batch_size is 1"):
        FitSettings(updates=3, batch_size=1)
    with pytest.raises(ConfigError, match=r"selection is 'test-optimist'\. Did you mean test-optimistic"):
        fit(make_network(), train, validation, SETTINGS, selection="test-optimist")
    network = make_network()
    with pytest.raises(ConfigError, match=r"head\.weight is trainable and in no"):
        fit(network, train, validation, SETTINGS, parameter_groups=[{"params": network.encoder.parameters()}])
    with pytest.raises(DataError, match="no label of the held-out"):
        fit(network, train, Feed(store, [25], [[np.nan, np.nan]]), SETTINGS)
    with pytest.raises(ModelError, match="no trainable"):
        fit(make_network().requires_grad_(False), train, validation, SETTINGS)
    with pytest.raises(ModelError, match="2 targets"):
        fit(make_network(3), train, validation, SETTINGS)
    with pytest.raises(ModelError, match=r"dropout 0\.1"):
        fit(nn.Sequential(make_network(), nn.Dropout(0.1)), train, validation, SETTINGS)
    with pytest.raises(ConfigError, match="at least 2"):
        fit(network, Feed(store, [3], store.truth[:1]), validation, SETTINGS)
