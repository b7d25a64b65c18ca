import numpy as np
import pytest
import torch

from ecgtransfer.errors import ConfigError
from ecgtransfer.training import Feed, FitSettings, fast_bfloat16, fit, precision_for, predict_logits
from ecgtransfer.training.precision import working_dtype


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_only_where_it_suits_and_is_fast(fast, monkeypatch):
    monkeypatch.setattr("ecgtransfer.training.precision.fast_bfloat16", lambda device: fast)
    quick = "bfloat16" if fast else "float32"
    assert [precision_for(kind) for kind in ("bfloat16", "convolutional")] == [quick, quick]
    assert [precision_for(kind) for kind in ("float32", "recurrent")] == ["float32", "float32"]
    with pytest.raises(ConfigError, match="Did you mean recurrent"):
        precision_for("recurent")


def test_only_float64_changes_what_weights_are():
    assert working_dtype("float64") == torch.float64
    assert working_dtype("float32") == working_dtype("bfloat16") == torch.float32


def test_a_gpu_would_neither_round_to_ten_bits_nor_choose_by_speed(network, store):
    seen = set()

    def look(*_):
        now = torch.backends.cudnn
        seen.add((network.training, now.allow_tf32, now.deterministic, now.benchmark))

    feed = Feed(store, np.arange(30), store.truth)
    network.register_forward_hook(look)
    before = torch.backends.cudnn.allow_tf32
    fit(network, feed, feed, FitSettings(updates=1, batch_size=8, learning_rate=0.01, validate_every=1))
    predict_logits(network, feed)
    assert seen == {(True, False, True, False), (False, False, True, False)}
    assert torch.backends.cudnn.allow_tf32 == before


def test_other_devices_have_none():
    assert fast_bfloat16("meta") is False


@pytest.mark.parametrize(
    ("line", "fast"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", True),
        ("flags\t\t: fpu avx2 amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("model name\t: bf16", False),
    ],
)
def test_the_flags_of_the_processor_decide(line, fast, monkeypatch):
    monkeypatch.setattr("pathlib.Path.read_text", lambda self: f"processor\t: 0\n{line}\nbugs\t:\n")
    assert fast_bfloat16() is fast
