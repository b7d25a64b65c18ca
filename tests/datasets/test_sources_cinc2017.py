"""CinC 2017: what each class says, and does not say, about each statement."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ecgtransfer.datasets import sources
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError

CINC = sources.get("cinc2017")
LABELS = {"A00001": "N", "A00002": "A", "A00003": "O", "A00004": "~"}


def write_record(folder: Path, name: str, seconds: float) -> None:
    """Write a record as the Challenge has it: 16-bit samples behind the 24-byte header of a MATLAB 4 file."""
    rng = np.random.default_rng(int(name[1:]))
    time = np.arange(int(300 * seconds)) / 300
    beats = 900 * np.exp(-(((time % 1) - 0.4) ** 2) / 0.0004)
    samples = (beats + rng.normal(0, 10, len(time))).astype("<i2")
    head = struct.pack("<5i", 30, 1, len(samples), 0, 4) + b"val\0"
    (folder / f"{name}.mat").write_bytes(head + samples.tobytes())
    (folder / f"{name}.hea").write_text(
        f"{name} 1 300 {len(samples)} 05:05:15 1/05/2000 \n"
        f"{name}.mat 16+24 1000/mV 16 0 {samples[0]} 0 0 ECG \n"
    )


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    root = tmp_path / "training2017"
    root.mkdir()
    for position, name in enumerate(LABELS):
        write_record(root, name, (30, 61, 9, 10)[position])
    (root / "REFERENCE.csv").write_text("".join(f"{name},{label}\n" for name, label in LABELS.items()))
    return root


def test_what_the_classes_say(tiny: Path):
    said = {entry.record_id: dict(entry.statements) for entry in CINC.list_records(tiny, Request()).entries}
    assert said["A00001"] == {"SR": 1, "AF": 0, "OTHER": 0, "NOISY": 0}
    assert said["A00002"] == {"SR": 0, "AF": 1, "OTHER": 0, "NOISY": 0}
    assert said["A00003"] == {"SR": None, "AF": 0, "OTHER": 1, "NOISY": 0}
    assert said["A00004"] == {"SR": None, "AF": None, "OTHER": None, "NOISY": 1}
    assert CINC.list_records(tiny, Request()).coverage == (
        *(("A", "AF", 1), ("N", "SR", 1), ("O", "OTHER", 1), ("~", "NOISY", 1)),
    )


def test_windows_labels_and_flags(tiny: Path, tmp_path: Path):
    prepare("cinc2017", tiny, tmp_path / "c.ecgs", quiet=True)
    store = Store.open(tmp_path / "c.ecgs")
    assert store.info.leads == ("I",)
    assert not store.info.patients_known
    assert store.info.polarity_uncertain
    # 30 s: three windows; 61 s: seven, the last aligned to the end; 9 s: one, padded; 10 s: one.
    assert store.windows.groupby("record")["start"].apply(list).tolist() == [
        [0, 1000, 2000],
        [0, 1000, 2000, 3000, 4000, 5000, 5100],
        [0],
        [0],
    ]
    short = store.read(store.rows_of(np.array([2])))[0, 0]
    assert (short[900:] == -32768).all()
    assert (short[:900] != -32768).all()
    assert store.records["flags"].tolist() == ["", "", "short: 9.0 s", "noisy"]
    np.testing.assert_array_equal(store.labels(store.task("af"))[:, 0], [0, 1, 0, np.nan])


def test_recordings_without_a_label_and_labels_without_a_recording(tiny: Path, tmp_path: Path):
    write_record(tiny, "A00009", 10)
    (tiny / "A00002.mat").unlink()
    (tiny / "A00003.hea").unlink()
    summary = prepare("cinc2017", tiny, tmp_path / "c.ecgs", quiet=True)
    assert summary.sentence() == "2 of 5 records, 4 windows, 3 rejected (see rejected.csv)"
    assert {row["record_id"] for row in summary.rejected} == {"A00002", "A00003", "A00009"}


def test_the_archive_and_the_folder_around_it_give_the_same_store(tiny: Path, tmp_path: Path):
    download = tmp_path / "download"
    download.mkdir()
    with zipfile.ZipFile(download / "training2017.zip", "w") as bundle:
        for file in sorted(tiny.iterdir()):
            if file.name != "REFERENCE.csv":
                bundle.write(file, f"training2017/{file.name}")
    (download / "REFERENCE.csv").write_bytes((tiny / "REFERENCE.csv").read_bytes())
    prints = set()
    for number, path in enumerate((tiny, download, download / "training2017.zip")):
        out = tmp_path / f"{number}.ecgs"
        prepare("cinc2017", path, out, quiet=True)
        prints.add(Store.open(out).fingerprint)
        assert not out.with_name(out.name + ".partial").exists()
    assert len(prints) == 1


@pytest.mark.parametrize("name", ["../outside.hea", "/outside.hea", "a/../../outside.hea"])
def test_an_archive_that_climbs_out_is_refused(tmp_path: Path, name: str):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bundle:
        bundle.writestr(name, "x")
    with pytest.raises(DataError, match="outside its own folder"):
        prepare("cinc2017", tmp_path / "bad.zip", tmp_path / "in" / "c.ecgs", quiet=True)
    assert not list(tmp_path.rglob("outside.hea"))


def test_a_damaged_archive_is_named(tmp_path: Path):
    (tmp_path / "training2017.zip").write_bytes(b"PK\3\4 but no more")
    with pytest.raises(DataError, match=r"training2017\.zip: the archive cannot be read"):
        prepare("cinc2017", tmp_path / "training2017.zip", tmp_path / "c.ecgs", quiet=True)


def test_labels_of_the_real_archive(data: Path, tmp_path: Path):
    """The counts of the revised labels, on headers alone; the signals are prepared elsewhere."""
    with zipfile.ZipFile(data / "cinc2017/training2017.zip") as bundle:
        names = [name for name in bundle.namelist() if name.endswith(("REFERENCE.csv", "A00001.mat"))]
        names += [name for name in bundle.namelist() if name.endswith(".hea")]
        bundle.extractall(tmp_path, names)
    root = CINC.find(tmp_path)
    assert root is not None
    listing = CINC.list_records(root, Request())
    assert listing.complete
    assert len(listing.entries) == CINC.records == 8528
    values = [entry.statements for entry in listing.entries]
    assert sum(value["SR"] == 1 for value in values) == 5050
    assert sum(value["AF"] == 1 for value in values) == 738
    assert sum(value["AF"] == 0 for value in values) == 5050 + 2456
    assert sum(value["OTHER"] == 1 for value in values) == 2456
    assert sum(value["AF"] is None for value in values) == 284
    assert CINC.load(root / "A00001.hea", {}).leads == ("I",)
