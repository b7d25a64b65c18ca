"""The study's recipe, against its description written out step by step, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgtransfer import signals
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.recipes import as_published
from ecgtransfer.datasets.steps import MISSING
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, SignalError
from ecgtransfer.signals.writer import write_wfdb

LEADS = ("I", "II")
HALF_STEP = 0.5 / 32767 + 1e-12


def as_float(steps: np.ndarray, scale_uv: float) -> np.ndarray:
    return steps * scale_uv / 1000


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (2, samples)).astype(np.float32)


@pytest.mark.parametrize(("rate", "factor"), [(500, 5), (400, 4), (1000, 10), (100, 1)])
def test_every_kth_sample_of_the_first_ten_seconds_scaled_to_its_range(rate: int, factor: int):
    signal = noise(rate * 12)
    steps, scale_uv, remarks = as_published(signal, rate, LEADS, scaled=True, centred=False)
    kept = signal.astype(np.float64)[:, : rate * 10 : factor]
    low, high = kept.min(axis=1, keepdims=True), kept.max(axis=1, keepdims=True)
    assert steps.shape == (2, 1000)
    assert np.abs(as_float(steps, scale_uv) - (2 * (kept - low) / (high - low) - 1)).max() <= HALF_STEP
    assert as_float(steps, scale_uv).min(axis=1).tolist() == [-1, -1]
    assert remarks == ["cut: 12.0 s"]


def test_nothing_is_filtered_so_mains_fold_back():
    """60 Hz, taken every fifth sample of 500 Hz, is 40 Hz: what the default recipe would have removed."""
    t = np.arange(5000) / 500
    signal = np.stack([np.sin(2 * np.pi * 60 * t)] * 2).astype(np.float32)
    steps, scale_uv, _ = as_published(signal, 500, LEADS, scaled=False, centred=False)
    spectrum = np.abs(np.fft.rfft(as_float(steps, scale_uv)[0]))
    assert np.fft.rfftfreq(1000, 0.01)[spectrum.argmax()] == 40


def test_the_middle_where_the_study_took_the_middle():
    signal = noise(4096)
    steps, scale_uv, _ = as_published(signal, 400, LEADS, scaled=False, centred=True)
    assert np.abs(as_float(steps, scale_uv) - signal[:, ::4][:, 12:-12]).max() <= 0.0005 + 1e-6


def test_missing_samples_are_interpolated_and_a_constant_lead_is_said():
    signal = noise(1000)
    signal[0, [10, 11, 999]] = np.nan
    signal[1] = 0.5
    steps, scale_uv, remarks = as_published(signal, 100, LEADS, scaled=True, centred=False)
    got, kept = as_float(steps, scale_uv)[0], signal[0].astype(np.float64)
    whole = kept[~np.isnan(kept)]
    kept[10] = kept[9] + (kept[12] - kept[9]) / 3
    kept[11] = kept[9] + (kept[12] - kept[9]) * 2 / 3
    kept[999] = kept[998]
    assert np.abs(got - (2 * (kept - whole.min()) / np.ptp(whole) - 1)).max() < 1e-4
    assert (steps[1] == 0).all()
    assert remarks == [
        "interpolated: 3 missing samples of lead I",
        "not scaled: lead II is constant, set to 0",
    ]
    signal[1] = np.nan
    assert (as_published(signal, 100, LEADS, scaled=True, centred=False)[0][1] == MISSING).all()


def test_refusals():
    with pytest.raises(SignalError, match="250 Hz cannot be brought to 100 Hz by leaving out samples"):
        as_published(noise(2500), 250, LEADS, scaled=True, centred=False)
    with pytest.raises(SignalError, match=r"it lasts 9.5 s; the study left out what is shorter"):
        as_published(noise(4750), 500, LEADS, scaled=True, centred=False)


def test_prepared_by_the_studys_recipe(tmp_path: Path):
    (tmp_path / "raw").mkdir()
    for name, rate in (("a", 500), ("b", 250)):
        write_wfdb(tmp_path / "raw", name, noise(rate * 12), rate, LEADS)
    (tmp_path / "raw/labels.csv").write_text("file,AF\na,1\nb,0\n")
    made = prepare("folder", tmp_path / "raw", tmp_path / "s.ecgs", leads=LEADS, recipe="paper", quiet=True)
    assert made.n_windows == 1
    assert [row["record_id"] for row in made.rejected] == ["b"]
    store = Store.open(tmp_path / "s.ecgs")
    assert (store.info.recipe["name"], store.info.recipe["length"]) == ("paper", "first")
    kept = signals.read(tmp_path / "raw/a").signal.astype(np.float64)[:, :5000:5]
    low, high = kept.min(axis=1, keepdims=True), kept.max(axis=1, keepdims=True)
    assert np.abs(store.millivolts([0])[0] - (2 * (kept - low) / (high - low) - 1)).max() < 2e-5
    with pytest.raises(ConfigError, match="the recipe 'paper' is 10 s at 100 Hz"):
        prepare("folder", tmp_path / "raw", tmp_path / "t.ecgs", rate=250, recipe="paper", quiet=True)
