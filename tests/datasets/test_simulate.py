"""The simulator: readable files, physics that holds, statements that show in the signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from scipy.signal import find_peaks

from ecgtransfer import signals
from ecgtransfer.datasets.simulate import STATEMENTS, simulate
from ecgtransfer.errors import ConfigError, DataError, SignalError
from ecgtransfer.signals.writer import write_wfdb


@pytest.fixture(scope="module")
def site_b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "B"
    simulate("B", 300, folder, seed=4)
    return folder


@pytest.fixture(scope="module")
def table(site_b: Path) -> pd.DataFrame:
    return pd.read_csv(site_b / "labels.csv")


@pytest.fixture(scope="module")
def ecgs(site_b: Path, table: pd.DataFrame) -> np.ndarray:
    return np.stack([signals.read(site_b / file).signal for file in table["file"]])


def test_every_row_has_a_recording_and_every_recording_a_row(site_b: Path, table: pd.DataFrame) -> None:
    assert list(table.columns) == ["file", "patient", "age", "sex", *STATEMENTS]
    assert sorted(table["file"]) == sorted(path.name for path in site_b.glob("*.hea"))
    record = signals.read(site_b / table["file"][7])
    assert record.leads == signals.STANDARD_LEADS
    assert record.sampling_rate == 250
    assert record.signal.shape == (12, 2500)
    assert (record.age, record.sex) == (table["age"][7], table["sex"][7])


def test_some_patients_have_two_recordings_that_agree(table: pd.DataFrame) -> None:
    counts = table["patient"].value_counts()
    assert set(counts) == {1, 2}
    assert 10 < (counts == 2).sum() < 60
    assert len(table[["patient", "age", "sex", "LVH"]].drop_duplicates()) == len(counts)


def test_limb_leads_obey_einthoven_and_goldberger(ecgs: np.ndarray) -> None:
    one, two, three, avr, avl, avf = ecgs[:, :6].transpose(1, 0, 2)
    step = 1 / 200
    assert np.abs(one + three - two).max() <= 1.6 * step
    assert np.abs(avr + (one + two) / 2).max() <= 1.1 * step
    assert np.abs(avl - (one - three) / 2).max() <= 1.6 * step
    assert np.abs(avf - (two + three) / 2).max() <= 1.6 * step


def test_amplitudes_are_those_of_a_heart(ecgs: np.ndarray) -> None:
    largest = np.abs(ecgs).max(axis=(1, 2))
    assert 0.5 < np.median(largest) < 3
    assert largest.max() < 10


def test_statements_occur_and_are_sometimes_unknown(table: pd.DataFrame) -> None:
    for code in STATEMENTS:
        assert set(table[code].dropna()) == {0, 1}
        assert 0.04 < table[code].mean() < 0.85
    assert 0 < table[["LVH", "STD", "TINV"]].isna().mean(axis=None) < 0.06
    assert not table[["AF", "SR"]].isna().any(axis=None)
    assert not ((table["AF"] == 1) & (table["SR"] == 1)).any()


def separation(feature: np.ndarray, present: pd.Series) -> float:
    """Area under the ROC curve of one number for one statement."""
    ranks = pd.Series(feature)[present.notna().to_numpy()].rank()
    positive = present.dropna().to_numpy() == 1
    n = positive.sum()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def test_statements_show_in_the_signal_but_not_beyond_doubt(ecgs: np.ndarray, table: pd.DataFrame) -> None:
    slopes = np.square(ecgs[:, :, 6:] - ecgs[:, :, :-6]).sum(axis=1)
    irregular, late = np.empty(len(ecgs)), np.empty(len(ecgs))
    for i, (slope, ecg) in enumerate(zip(slopes, ecgs, strict=True)):
        smooth = np.convolve(slope, np.ones(25), "same")
        peaks, _ = find_peaks(smooth, height=0.4 * np.quantile(smooth, 0.97), distance=75)
        irregular[i] = np.std(np.diff(peaks)) / np.mean(np.diff(peaks))
        late[i] = np.mean([ecg[6, peak + 11 : peak + 21].mean() for peak in peaks[:-1]])
    assert 0.75 < separation(irregular, table["AF"]) < 0.995
    assert 0.75 < separation(late, table["RBBB"]) < 0.995
    assert 0.55 < separation(np.ptp(ecgs[:, 10], axis=1), table["LVH"]) < 0.9


def test_same_seed_same_files_other_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        simulate("A", 70, tmp_path / name, seed=seed, seconds=2.0)
    one, two, three = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("one", "two", "three")
    )
    assert one == two
    assert len(one) == 141
    assert all(one[name] != three[name] for name in one if name.endswith((".dat", ".csv")))


def test_mistakes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no simulated site 'C'"):
        simulate("C", 1, tmp_path / "c", seed=0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cannot simulate 0 records"):
        simulate("A", 0, tmp_path / "c", seed=0)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="not empty"):
        simulate("A", 1, tmp_path, seed=0)


def test_written_records_are_read_back_by_wfdb_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 1, (3, 500)).astype(np.float32)
    signal[1, 100:200] = np.nan
    header = write_wfdb(tmp_path, "x_1", signal, 257.5, ("I", "II", "V1"), ("Age: 44", "Sex: Female"), 500.0)
    for read in (
        signals.read(header, verify_checksums=True).signal,
        wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T,
    ):
        np.testing.assert_allclose(read, signal, atol=0.5 / 500 + 1e-6)
    record = signals.read(header)
    assert (record.sampling_rate, record.leads) == (257.5, ("I", "II", "V1"))
    assert (record.age, record.sex) == (44, "female")


def test_the_writer_refuses_rather_than_clips(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="does not fit 16 bits"):
        write_wfdb(tmp_path, "x", np.array([[40.0]]), 100, ("I",))
    with pytest.raises(SignalError, match="does not fit 16 bits"):
        write_wfdb(tmp_path, "x", np.array([[np.inf]]), 100, ("I",))
    with pytest.raises(SignalError, match="does not fit 2 leads"):
        write_wfdb(tmp_path, "x", np.zeros((1, 5)), 100, ("I", "II"))
    with pytest.raises(SignalError, match="record name"):
        write_wfdb(tmp_path, "a/b", np.zeros((1, 5)), 100, ("I",))
    assert not list(tmp_path.iterdir())
