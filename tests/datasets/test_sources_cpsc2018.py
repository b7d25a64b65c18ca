"""CPSC2018 in both distributions: the original structures with REFERENCE.csv, and the Challenge's headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from ecgtransfer import signals
from ecgtransfer.datasets import sources
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError, SignalError
from ecgtransfer.signals import STANDARD_LEADS
from ecgtransfer.signals.writer import write_wfdb

CPSC = sources.get("cpsc2018")
HEAD = "Recording,First_label,Second_label,Third_label\n"


def ecg(seconds: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.round(np.cumsum(rng.normal(0, 0.01, (12, round(500 * seconds))), axis=1), 3)


def structure(folder: Path, name: str, data: np.ndarray, sex: str = "Male", age: float = 61) -> None:
    """Write a recording as published: a structure ECG in a MATLAB 5 file."""
    folder.mkdir(exist_ok=True)
    savemat(folder / f"{name}.mat", {"ECG": {"sex": sex, "age": float(age), "data": data}})


@pytest.fixture
def original(tmp_path: Path) -> Path:
    root = tmp_path / "cpsc"
    root.mkdir()
    structure(root / "TrainingSet1", "A0001", ecg(15), "Male", 74)
    structure(root / "TrainingSet1", "A0002", ecg(10, 2), "Female", 49)
    structure(root / "TrainingSet2", "A0003", ecg(8, 3), "Female", float("nan"))
    (root / "REFERENCE.csv").write_text(HEAD + "A0001,5,,\nA0002,1,,\nA0003,2,7,8\n")
    return root


def test_the_original_distribution_says_the_nine_classes(original: Path):
    listing = CPSC.list_records(original, Request())
    first, second, third = (entry.statements for entry in listing.entries)
    assert {code for code, value in first.items() if value} == {"RBBB"}
    assert {code for code, value in second.items() if value} == {"NORM-CPSC2018", "SR"}
    assert {code for code, value in third.items() if value} == {"AF", "PVC", "STD"}
    assert "SR" not in first, "the class does not say whether a bundle branch block is in sinus rhythm"
    assert third["SR"] == 0
    assert first["NORM-CPSC2018"] == 0
    assert listing.annotates == CPSC.annotates
    assert not listing.patients_known
    assert set(listing.coverage) == {("RBBB", "RBBB", 1), ("Normal", "SR", 1)} | {
        (name, name, 1) for name in ("AF", "PVC", "STD")
    }


def test_its_structures_are_read_in_mv(original: Path):
    record = CPSC.load(original / "TrainingSet1/A0001.mat", {})
    assert record.leads == STANDARD_LEADS
    assert (record.sampling_rate, record.age, record.sex) == (500, 74, "male")
    np.testing.assert_array_equal(record.signal, ecg(15).astype(np.float32))


def test_both_distributions_become_the_same_store(original: Path, tmp_path: Path):
    other = tmp_path / "challenge"
    other.mkdir()
    codes = {"A0001": "59118001", "A0002": "426783006", "A0003": "164889003,164884008,429622005"}
    data = {"A0001": ecg(15), "A0002": ecg(10, 2), "A0003": ecg(8, 3)}
    people = {"A0001": "74 Male", "A0002": "49 Female", "A0003": "NaN Female"}
    for name, dx in codes.items():
        age, sex = people[name].split()
        write_wfdb(other, name, data[name], 500, STANDARD_LEADS, (f"Age: {age}", f"Sex: {sex}", f"Dx: {dx}"))
    for name, folder in (("original", original), ("challenge", other)):
        prepare("cpsc2018", folder, tmp_path / f"{name}.ecgs", quiet=True, workers=1)
    one, two = (Store.open(tmp_path / f"{name}.ecgs") for name in ("original", "challenge"))
    assert one.info.annotated == two.info.annotated
    for column in ("record_id", "sex", "source", "hash"):
        assert one.records[column].tolist() == two.records[column].tolist(), column
    np.testing.assert_array_equal(one.records["age"], [74, 49, np.nan])
    np.testing.assert_array_equal(two.records["age"], [74, 49, np.nan])
    rows = np.arange(one.n_windows)
    np.testing.assert_array_equal(one.read(rows), two.read(rows))
    for task in ("paper", "all"):
        np.testing.assert_array_equal(one.labels(one.task(task)), two.labels(two.task(task)))


def test_what_is_missing_on_either_side_is_listed(original: Path):
    (original / "TrainingSet2/A0003.mat").unlink()
    structure(original / "TrainingSet2", "A0004", ecg(6))
    listing = CPSC.list_records(original, Request())
    assert [entry.record_id for entry in listing.entries] == ["A0001", "A0002"]
    assert {(item.record_id, item.reason) for item in listing.rejected} == {
        ("A0003", "REFERENCE.csv names it, but it is not there"),
        ("A0004", "REFERENCE.csv has no class for it"),
    }


def test_a_class_that_does_not_exist_is_refused(original: Path):
    (original / "REFERENCE.csv").write_text(HEAD + "A0001,10,,\n")
    with pytest.raises(DataError, match=r"REFERENCE.csv, line 2: class '10' is none of 1 to 9"):
        CPSC.list_records(original, Request())


def test_two_tables_that_disagree_are_refused(original: Path):
    (original / "TrainingSet1/REFERENCE.csv").write_text(HEAD + "A0001,4,,\n")
    with pytest.raises(DataError, match="A0001 has other classes elsewhere"):
        CPSC.list_records(original, Request())


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"val": np.zeros((12, 10))}, "holds no structure ECG"),
        ({"ECG": {"sex": "Male", "age": 1.0, "data": np.zeros((8, 10))}}, r"shape \(8, 10\)"),
        ({"ECG": {"sex": "Male", "age": 1.0}}, "holds no structure ECG"),
    ],
)
def test_other_matlab_files_are_refused(content: dict, match: str, tmp_path: Path):
    savemat(tmp_path / "A0001.mat", content)
    with pytest.raises(SignalError, match=match):
        CPSC.load(tmp_path / "A0001.mat", {})


def test_a_damaged_matlab_file_is_refused(tmp_path: Path):
    (tmp_path / "A0001.mat").write_bytes(b"no MATLAB file at all" * 20)
    with pytest.raises(SignalError, match="holds no structure ECG"):
        CPSC.load(tmp_path / "A0001.mat", {})


def test_a_signal_file_with_a_header_is_read_by_its_header(data: Path):
    path = data / "challenge2021/A0001.mat"
    np.testing.assert_array_equal(CPSC.load(path, {}).signal, signals.read(path).signal)


def test_the_unit_is_that_of_the_challenges_release(data: Path):
    """The real counts are whole µV at 1000 per mV: the original's values times 1000."""
    listing = CPSC.list_records(data / "challenge2021", Request())
    assert len(listing.entries) == 56
    spans = [
        np.ptp(CPSC.load(data / "challenge2021" / e.file, e.how).signal, axis=1) for e in listing.entries
    ]
    assert 0.8 < np.median(spans) < 2
