import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from ecgtransfer.errors import StudyError
from ecgtransfer.training import Feed, FitSettings, fit, predict_logits

SETTINGS = FitSettings(updates=21, batch_size=8, learning_rate=0.05, validate_every=4)


KILLED = Path(__file__).with_name("killed.py")


class InterruptionError(Exception):
    pass


def feeds(store):
    return Feed(store, np.arange(20), store.truth[:20]), Feed(store, np.arange(20, 30), store.truth[20:])


def stop_at(update):
    def progress(done, loss, records_per_second):
        if done == update:
            raise InterruptionError

    return progress


def outcome(network, result, validation):
    kept = None if result.held_out_logits is None else result.held_out_logits.tobytes()
    measured = {"seconds": 0.0, "records_per_second": 0.0, "held_out_logits": kept}
    tensors = {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}
    return tensors, dataclasses.replace(result, **measured), predict_logits(network, validation).tobytes()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("selection", ["validation-loss", "last"])
def test_interrupted_anywhere_and_started_again_gives_the_same_bits(
    make_network, store, tmp_path, selection, precision
):
    train, validation = feeds(store)
    settings = dataclasses.replace(SETTINGS, precision=precision)
    straight = make_network()
    expected = outcome(straight, fit(straight, train, validation, settings, selection=selection), validation)
    path = tmp_path / "checkpoint.safetensors"
    for update in (1, 3, 4, 5, 13, 20):
        with pytest.raises(InterruptionError):
            fit(
                make_network(), train, validation, settings,
                selection=selection, checkpoint=path, checkpoint_every=0, progress=stop_at(update),
            )  # fmt: skip
    network = make_network()
    result = fit(
        network, train, validation, settings, selection=selection, checkpoint=path, checkpoint_every=0
    )
    assert outcome(network, result, validation) == expected
    again = make_network()
    result = fit(again, train, validation, settings, selection=selection, checkpoint=path)
    assert outcome(again, result, validation) == expected, "a finished training is taken up at its end"
    assert sorted(tmp_path.iterdir()) == [path]


def test_the_published_way_survives_an_interruption_with_its_logits(make_network, store, tmp_path):
    train, test = feeds(store)
    settings = dataclasses.replace(
        SETTINGS, updates=15, validate_every=3, whole_epochs=True, precision="float64", optimizer="adam"
    )
    options = {"selection": "test-optimistic", "keep_logits": True}
    straight = make_network()
    fitted = fit(straight, train, test, settings, **options)
    assert fitted.held_out_logits.shape == (5, 10, 2)
    expected = outcome(straight, fitted, test)
    path = tmp_path / "checkpoint.safetensors"
    for update in (2, 3, 7, 12):
        with pytest.raises(InterruptionError):
            fit(
                make_network(), train, test, settings,
                checkpoint=path, checkpoint_every=0, progress=stop_at(update), **options,
            )  # fmt: skip
    with pytest.raises(StudyError, match="logits kept"):
        fit(make_network(), train, test, settings, selection="test-optimistic", checkpoint=path)
    with pytest.raises(StudyError, match="selection: test-optimistic there, validation-loss here"):
        fit(make_network(), train, test, settings, keep_logits=True, checkpoint=path)
    network = make_network()
    result = fit(network, train, test, settings, checkpoint=path, checkpoint_every=0, **options)
    assert outcome(network, result, test) == expected


def test_hooks_and_frozen_parts_survive_an_interruption(make_network, store, tmp_path):
    train, validation = feeds(store)

    def thaw(update, network):
        network.encoder.requires_grad_(update >= 6)

    def run(**options):
        network = make_network()
        network.encoder.requires_grad_(False)
        return outcome(
            network, fit(network, train, validation, SETTINGS, on_update=thaw, **options), validation
        )

    expected = run()
    path = tmp_path / "checkpoint.safetensors"
    for update in (2, 6, 9):
        with pytest.raises(InterruptionError):
            run(checkpoint=path, checkpoint_every=0, progress=stop_at(update))
    assert run(checkpoint=path) == expected


def test_killed_in_the_middle_and_started_again_gives_the_same_bits(tmp_path, capsys):
    run_path(str(KILLED))["main"](tmp_path / "straight", tmp_path / "straight.npz", 0.0)
    assert capsys.readouterr().out.split() == [str(update) for update in range(1, 41)]
    command = [sys.executable, str(KILLED), str(tmp_path / "killed"), str(tmp_path / "killed.npz"), "30"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 9:
            break
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert not (tmp_path / "killed.npz").exists()
    run_path(str(KILLED))["main"](tmp_path / "killed", tmp_path / "killed.npz", 0.0)
    resumed = [int(line) for line in capsys.readouterr().out.split()]
    assert 9 <= resumed[0] <= 40, "the checkpoint was not used, or the kill came too late"
    with np.load(tmp_path / "straight.npz") as one, np.load(tmp_path / "killed.npz") as other:
        assert set(one) == set(other)
        for name in one:
            assert one[name].tobytes() == other[name].tobytes(), name


def test_a_checkpoint_of_another_training_is_refused(make_network, store, tmp_path):
    train, validation = feeds(store)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InterruptionError):
        fit(
            make_network(),
            train,
            validation,
            SETTINGS,
            checkpoint=path,
            checkpoint_every=0,
            progress=stop_at(3),
        )
    other = dataclasses.replace(SETTINGS, learning_rate=0.01)
    with pytest.raises(StudyError, match=r"another training.*learning_rate"):
        fit(make_network(), train, validation, other, checkpoint=path)
    with pytest.raises(StudyError, match="weights at the start"):
        fit(make_network(encoder_seed=5), train, validation, SETTINGS, checkpoint=path)
    with pytest.raises(StudyError, match="held-out records"):
        fit(make_network(), train, train, SETTINGS, checkpoint=path)
    torch.set_num_threads(2)
    with pytest.raises(StudyError, match="threads: 1 there, 2 here"):
        fit(make_network(), train, validation, SETTINGS, checkpoint=path)


def test_a_broken_checkpoint_is_refused(make_network, store, tmp_path):
    train, validation = feeds(store)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InterruptionError):
        fit(
            make_network(),
            train,
            validation,
            SETTINGS,
            checkpoint=path,
            checkpoint_every=0,
            progress=stop_at(3),
        )
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"nonsense" * 100):
        path.write_bytes(content)
        with pytest.raises(StudyError, match="cannot be read"):
            fit(make_network(), train, validation, SETTINGS, checkpoint=path)
    path.write_bytes(whole)
    fit(make_network(), train, validation, SETTINGS, checkpoint=path)


def test_written_at_the_interval_asked_for(make_network, store, tmp_path):
    train, validation = feeds(store)
    path = tmp_path / "checkpoint.safetensors"
    fit(make_network(), train, validation, SETTINGS, checkpoint=path, checkpoint_every=3600)
    assert not path.exists()
    began = time.time()
    fit(make_network(), train, validation, SETTINGS, checkpoint=path, checkpoint_every=0)
    assert path.stat().st_mtime >= began - 1
    with safe_open(path, framework="pt") as stored:
        assert "network/head.weight" in stored.keys()  # noqa: SIM118  (not a mapping)
