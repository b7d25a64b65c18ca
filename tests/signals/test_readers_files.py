"""What is particular to NumPy, MATLAB and HDF5 files, and to WFDB records about which something is stated."""

from __future__ import annotations

import builtins
import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgtransfer import signals
from ecgtransfer.errors import SignalError
from ecgtransfer.signals import STANDARD_LEADS, Stated, UnstatedError
from ecgtransfer.signals.readers import hdf5
from ecgtransfer.signals.writer import write_wfdb
from tests.signals.array_files import write

h5py = pytest.importorskip("h5py")
scipy_io = pytest.importorskip("scipy.io")

THREE = ("I", "II", "V1")
ALL = Stated(500, "mV", THREE)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def refused(path: Path, *parts: str, stated: Stated | None = ALL, row: int | None = None) -> SignalError:
    with pytest.raises(SignalError) as caught:
        signals.read(path, stated=stated, row=row)
    for part in (str(path), *parts):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


class Trap:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("trapped"),))


def test_pickles_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trap = np.array([Trap(), Trap()], dtype=object)
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "b.npz", ecg=trap, allow_pickle=True)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(trap))
    np.savez(tmp_path / "d.npz", ecg=noise(3, 40), fs=trap)
    refused(tmp_path / "a.npy", "holds objects", "pickles", "one file each")
    refused(tmp_path / "b.npz", "ecg holds objects", stated=Stated(500, "mV", THREE, "ecg"))
    refused(tmp_path / "c.npy", "this is a Python pickle", "numpy.save")
    np.testing.assert_array_equal(signals.read(tmp_path / "d.npz", stated=ALL).signal, noise(3, 40))
    assert not (tmp_path / "trapped").exists()


def test_a_format_is_known_by_its_content(tmp_path):
    for kind in ("npy", "npz", "mat5", "mat7.3", "hdf5", "csv"):
        path = write(tmp_path, kind, noise(3, 40))
        plain = path.rename(tmp_path / f"{kind}-without")
        np.testing.assert_array_equal(signals.read(plain, stated=ALL).signal, noise(3, 40))


@pytest.mark.parametrize("kind", ["npy", "npz", "npz-small", "mat4", "mat5", "mat7.3", "hdf5", "hdf5-small"])
def test_damaged_files(tmp_path, kind):
    path = write(tmp_path, kind, noise(3, 4000))
    content = path.read_bytes()
    for cut in (len(content) - 9, len(content) // 2, 600, 200, 60, 9):
        path.write_bytes(content[:cut])
        refused(path)
    rng = np.random.default_rng(0)
    for _ in range(40):
        bad = bytearray(content)
        for place in rng.integers(0, min(len(bad), 700), 12):
            bad[place] = rng.integers(256)
        path.write_bytes(bytes(bad))
        with contextlib.suppress(SignalError):  # whatever else it raises fails the test
            signals.read(path, stated=ALL)


@pytest.mark.parametrize(
    "content", [b"\x8a\x13encrypted" * 99, b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"\xf3" * 900]
)
def test_mat_files_that_are_none(tmp_path, content):
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    assert "MATLAB file" in str(refused(path))


def test_an_archive_of_something_else(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(tmp_path / "x.npz", "holds no NumPy arrays")
    (tmp_path / "x.npz").rename(tmp_path / "x.zip")
    refused(tmp_path / "x.zip", "not an ECG file of a known format")


def test_structs_of_matlab(tmp_path):
    ecg = {"data": noise(3, 40), "srate": 250.0, "labels": "unused", "info": {"Units": "uV"}}
    path = tmp_path / "s.mat"
    scipy_io.savemat(path, {"ECG": ecg, "subject": "P1"})
    refused(path, "ECG.data [3, 40] does not say its unit", stated=None)
    record = signals.read(path, stated=Stated(units="mV", leads=THREE))
    assert (record.sampling_rate, record.metadata["variable"]) == (250, "ECG.data")
    np.testing.assert_array_equal(record.signal, noise(3, 40))
    ecg = {"data": noise(3, 40), "leads": np.array(["i", "ii", "v1"], dtype=object)}
    scipy_io.savemat(path, {"ECG": ecg, "fs": 250, "unit": "mV"})
    assert signals.read(path).leads == THREE
    # A char matrix pads its rows with blanks.
    scipy_io.savemat(path, {"val": noise(3, 40), "fs": 250, "unit": "mV", "leads": ["I", "II", "V1"]})
    assert signals.read(path).leads == THREE


def test_arrays_of_structs_are_not_searched(tmp_path):
    several = np.zeros(2, dtype=[("data", object)])
    several["data"] = [noise(3, 40), noise(3, 40)]
    scipy_io.savemat(tmp_path / "s.mat", {"records": several})
    refused(tmp_path / "s.mat", "no array of numbers")


def test_facts_of_hdf5_are_nearest_first(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.attrs["sampling_rate"], file.attrs["units"] = 1000, "uV"
        file["leads"] = ["I", "II", "V1"]
        one = file.create_dataset("site/one/ecg", data=noise(3, 40))
        file.create_dataset("site/two/ecg", data=noise(3, 50))
        one.attrs["units"] = "mV"
        file["site"].attrs["fs"] = 500
        file["site/two/fs"] = 250
    refused(path, "2 arrays (site/one/ecg [3, 40], site/two/ecg [3, 50])", stated=None)
    first = signals.read(path, stated=Stated(variable="site/one/ecg"))
    second = signals.read(path, stated=Stated(variable="site/two/ecg"))
    assert (first.sampling_rate, second.sampling_rate) == (500, 250)
    assert first.leads == second.leads == THREE
    np.testing.assert_array_equal(first.signal, noise(3, 40))
    np.testing.assert_array_equal(second.signal, noise(3, 50) / np.float32(1000))


def test_hdf5_does_not_lead_elsewhere(tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["ecg"] = noise(3, 40)
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["ecg"] = h5py.ExternalLink(str(other), "/ecg")
    refused(tmp_path / "link.h5", "no array of numbers")
    layout = h5py.VirtualLayout((3, 40), dtype="f4")
    layout[:] = h5py.VirtualSource(str(other), "ecg", (3, 40))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("ecg", layout)
    refused(tmp_path / "virtual.h5", "the samples of ecg lie in another file")
    noise(3, 40).tofile(tmp_path / "raw")
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("ecg", (3, 40), "f4", external=[(str(tmp_path / "raw"), 0, 480)])
    refused(tmp_path / "external.h5", "the samples of ecg lie in another file")
    with h5py.File(tmp_path / "circle.h5", "w") as file:
        file["ecg"] = noise(3, 40)
        file["group/up"] = file["/"]
    assert signals.read(tmp_path / "circle.h5", stated=ALL).n_samples == 40


def test_chunks_of_many_records_and_chunks_too_large_to_keep(tmp_path, monkeypatch):
    values = noise(50, 3, 40)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("ecg", data=values, chunks=(16, 2, 40), compression="gzip")
    for largest in (2**28, 1):
        monkeypatch.setattr(hdf5, "_LARGEST_BLOCK", largest)
        for row in (0, 15, 16, 49, 3):
            np.testing.assert_array_equal(
                signals.read(tmp_path / "x.h5", stated=ALL, row=row).signal, values[row]
            )


@pytest.mark.parametrize(("package", "kind"), [("scipy", "mat5"), ("h5py", "hdf5"), ("h5py", "mat7.3")])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, package, kind):
    path = write(tmp_path, kind, noise(3, 40))
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    refused(path, f"read with {package}, which is not installed", f"pip install {package}")


def test_what_is_stated_about_wfdb_must_be_what_its_header_says(tmp_path):
    header = write_wfdb(tmp_path, "a", noise(3, 40), 500, THREE)
    expected = signals.read(header)
    for stated in (
        Stated(500), Stated(units="mV"), Stated(units="1000/mV"), Stated(units="1/uV"), Stated(leads=THREE),
        ALL, Stated(),
    ):  # fmt: skip
        for path in (header, tmp_path / "a.dat", tmp_path / "a"):
            record = signals.read(path, stated=stated, row=0)
            np.testing.assert_array_equal(record.signal, expected.signal)
            assert (record.leads, record.metadata) == (expected.leads, expected.metadata)
    for stated, part in [
        (Stated(250), "its WFDB header says 500 Hz, but 250 Hz is stated"),
        (Stated(units="uV"), "mV for lead I, but uV is stated"),
        (Stated(units="200/mV"), "1000(0)/mV for lead I, but 200/mV is stated"),
        (Stated(leads=("II", "I", "V1")), "leads I, II, V1, but II, I, V1 is stated"),
        (Stated(leads=("I", "II")), "but I, II is stated"),
        (Stated(variable="val"), "no named variables, so 'val' is not in it"),
    ]:
        refused(header, part, stated=stated)
    refused(header, "no row 1", stated=None, row=1)
    assert signals.n_records(header) == signals.n_records(tmp_path / "a.dat") == 1


def test_a_wfdb_header_without_lead_names_takes_those_stated(tmp_path):
    header = write_wfdb(tmp_path, "a", noise(3, 40), 500, THREE)
    header.write_text(header.read_text().replace(" 0 V1", " 0"))
    assert signals.read(header).leads == ("I", "II", "signal 3")
    record = signals.read(header, stated=Stated(leads=THREE))
    assert record.leads == THREE
    assert record.metadata["stated"] == {"leads": list(THREE)}
    refused(header, "but I, V2, V1", stated=Stated(leads=("I", "V2", "V1")))


def challenge(data: Path) -> list[Path]:
    return sorted((data / "challenge2021").rglob("*.mat"))


def test_real_challenge_files_without_their_header(data, tmp_path):
    """A Challenge .mat is MAT v4: with what its header says stated, it gives the header's very record."""
    files = challenge(data)[::20]
    assert len(files) >= 10
    for file in files:
        expected = signals.read(file)
        assert expected.metadata["format"] == "WFDB"
        alone = tmp_path / file.name
        alone.write_bytes(file.read_bytes())
        header = (file.with_suffix(".hea")).read_text().split("\n")
        gain = header[1].split()[2].partition("(")[0].partition("/")[0]
        stated = Stated(expected.sampling_rate, f"{gain}/mV", expected.leads)
        record = signals.read(alone, stated=stated)
        assert record.metadata["format"] == "MAT v4"
        assert not np.isnan(expected.signal).any()
        np.testing.assert_array_equal(record.signal, expected.signal)
        refused(alone, "val [12, ", "does not say its sampling rate, its unit and which leads", stated=None)


@pytest.mark.parametrize(
    "kind", ["npy", "npz", "npz-small", "mat4", "mat5", "mat7.3", "hdf5", "hdf5-small", "csv"]
)
def test_real_recordings_in_every_format(data, tmp_path, kind):
    for file in sorted((data / "ptbxl500" / "records100").rglob("*.hea"))[:3]:
        expected = signals.read(file)
        path = write(tmp_path, kind, expected.signal.T)
        record = signals.read(path, stated=Stated(100, "mV", STANDARD_LEADS))
        np.testing.assert_array_equal(record.signal, expected.signal)
        assert record.leads == expected.leads
        with pytest.raises(UnstatedError):
            signals.read(path)
