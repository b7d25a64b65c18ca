"""prepare: the same bytes however it came about, and a reason for every record that is left out."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ecgtransfer.datasets import pool
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError
from ecgtransfer.signals import STANDARD_LEADS
from ecgtransfer.signals.writer import write_wfdb


def write_dataset(folder: Path, n: int, *, samples: int = 1000, rate: int = 200) -> Path:
    """Write ``n`` recordings of 12 leads with a table for the source ``folder``."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    rows = ["file,patient,AF"]
    for number in range(n):
        voltage = rng.normal(0, 0.4, (12, samples)).astype(np.float32)
        write_wfdb(folder, f"r{number:04d}", voltage, rate, STANDARD_LEADS)
        rows.append(f"r{number:04d},P{number // 2},{number % 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def content(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.iterdir())}


def test_the_number_of_workers_changes_no_byte(tmp_path: Path):
    root = write_dataset(tmp_path / "raw", 2 * pool.CHUNK + 5)
    (root / "r0003.dat").write_bytes(b"too short")
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        prepare("folder", root, folder / "s.ecgs", seconds=5.0, workers=workers, quiet=True)
    assert content(tmp_path / "1/s.ecgs") == content(tmp_path / "2/s.ecgs")
    store = Store.open(tmp_path / "1/s.ecgs")
    assert store.n_records == 2 * pool.CHUNK + 4
    assert store.records["record_id"].is_monotonic_increasing


PROGRAM = """
import sys
from ecgtransfer.datasets.prepare import prepare
if __name__ == "__main__":
    prepare("folder", sys.argv[1], sys.argv[2], seconds=5.0, workers=int(sys.argv[3]), quiet=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_started_again(tmp_path: Path, workers: int):
    root = write_dataset(tmp_path / "raw", 6 * pool.CHUNK)
    (tmp_path / "program.py").write_text(PROGRAM)
    out = tmp_path / "killed.ecgs"
    chunks = tmp_path / "killed.ecgs.partial/chunks"
    command = [sys.executable, str(tmp_path / "program.py"), str(root), str(out), str(workers)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while len(list(chunks.glob("chunk-*"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was finished before it could be killed"
    assert not out.exists()

    def finished() -> list[tuple[str, int]]:
        return sorted((path.name, path.stat().st_mtime_ns) for path in chunks.glob("chunk-*"))

    # The workers end with their parent: after a while nothing changes any more.
    before = None
    while before != (before := finished()):
        time.sleep(1.0)
    assert 2 <= len(before) < 6
    for leftover in chunks.glob("chunk-*"):
        os.utime(leftover, ns=(1, 1))
    seen: list[int] = []
    original = shutil.rmtree

    def spy(path: Path, **options: object) -> None:
        if Path(path).name == "killed.ecgs.partial":
            seen.extend(item.stat().st_mtime_ns for item in chunks.glob("chunk-*"))
        original(path, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", spy)
        prepare("folder", root, out, seconds=5.0, workers=1, quiet=True)
    assert sum(time_ns == 1 for time_ns in seen) == len(before), "finished chunks were made again"
    assert len(seen) == 6
    assert not chunks.parent.exists()
    prepare("folder", root, tmp_path / "whole.ecgs", seconds=5.0, workers=1, quiet=True)
    assert Store.open(out).fingerprint == Store.open(tmp_path / "whole.ecgs").fingerprint


@pytest.mark.parametrize("change", ["recipe", "input"])
def test_a_half_done_store_of_another_recipe_or_input_is_not_used(tmp_path: Path, change: str):
    root = write_dataset(tmp_path / "raw", 4)
    out = tmp_path / "s.ecgs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecgtransfer.datasets.store.write", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare("folder", root, out, seconds=2.0, quiet=True)
    assert list((tmp_path / "s.ecgs.partial/chunks").iterdir())
    if change == "input":
        write_wfdb(root, "r0000", np.full((12, 1000), 0.5, dtype=np.float32), 200, STANDARD_LEADS)
    seconds = 2.5 if change == "recipe" else 2.0
    prepare("folder", root, out, seconds=seconds, quiet=True)
    prepare("folder", root, tmp_path / "fresh.ecgs", seconds=seconds, quiet=True)
    assert Store.open(out).fingerprint == Store.open(tmp_path / "fresh.ecgs").fingerprint


def _interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return eight recordings, six of them broken, each in its own way."""
    root = write_dataset(tmp_path / "raw", 8)
    (root / "r0001.dat").write_bytes((root / "r0001.dat").read_bytes()[:-100])
    (root / "r0002.dat").unlink()
    nothing = np.full((12, 1000), np.nan, dtype=np.float32)
    write_wfdb(root, "r0003", nothing, 200, STANDARD_LEADS)
    header = (root / "r0004.hea").read_text()
    (root / "r0004.hea").write_text(header.replace("/mV", "/mmHg"))
    (root / "r0005.hea").write_text("this is not a header\n")
    partly = np.full((12, 1000), 0.25, dtype=np.float32)
    partly[3, :500] = np.nan
    write_wfdb(root, "r0006", partly, 200, STANDARD_LEADS)
    (root / "r0007.hea").write_text((root / "r0007.hea").read_text().replace("r0007.dat", "elsewhere.dat"))
    return root


def test_every_broken_record_has_its_reason_and_the_good_ones_are_kept(broken: Path, tmp_path: Path):
    summary = prepare("folder", broken, tmp_path / "s.ecgs", seconds=5.0, quiet=True)
    assert summary.sentence() == "2 of 8 records, 2 windows, 6 rejected (see rejected.csv)"
    with (tmp_path / "s.ecgs/rejected.csv").open(newline="") as stream:
        rows = {row["file"]: row["reason"] for row in csv.DictReader(stream)}
    assert set(rows) == {f"r000{number}.hea" for number in (1, 2, 3, 4, 5, 7)}
    for file, words in {
        "r0001.hea": "samples",
        "r0002.hea": "r0002.dat",
        "r0003.hea": "no sample in any of the leads",
        "r0004.hea": "mmHg",
        "r0005.hea": "WFDB record line",
        "r0007.hea": "elsewhere.dat",
    }.items():
        assert words in rows[file], rows[file]
        assert "\n" not in rows[file]
        assert str(tmp_path) not in rows[file], "a machine's path says nothing to the next reader"
    store = Store.open(tmp_path / "s.ecgs")
    assert store.records["record_id"].tolist() == ["r0000", "r0006"]
    noise, partly = (text.split(";") for text in store.records["flags"])
    # Independent noise on twelve leads is what the quality of a signal is looked at for.
    assert {flag.split(":")[0] for flag in noise} == {"limb leads", "electrode off"}
    assert "lead aVR: no sample in 50 %" in partly
    window = store.read(np.array([1]))[0]
    assert (window[3, :250] == -32768).all()
    assert (window[3, 255:] == 250).all()
    assert (window[4] == 250).all()


def test_a_readers_surprise_costs_one_record_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = write_dataset(tmp_path / "raw", 3)
    from ecgtransfer.datasets import convert
    from ecgtransfer.signals import resample

    calls = []

    def surprising(voltage, rate_in, rate_out):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError("by zero")
        return resample(voltage, rate_in, rate_out)

    monkeypatch.setattr(convert.signals, "resample", surprising)
    summary = prepare("folder", root, tmp_path / "s.ecgs", workers=1, quiet=True)
    assert [row["reason"] for row in summary.rejected] == ["ZeroDivisionError: by zero"]
    assert summary.n_records == 2


def test_nothing_left_is_an_error_with_the_first_reason(broken: Path, tmp_path: Path):
    (broken / "labels.csv").write_text("file,AF\nr0002,1\nr0003,0\n")
    with pytest.raises(
        DataError, match=r"none of the 8 records can be prepared; the first: r0002\.hea: .*r0002\.dat"
    ):
        prepare("folder", broken, tmp_path / "s.ecgs", quiet=True)
    assert not (tmp_path / "s.ecgs").exists()
    assert not (tmp_path / "s.ecgs.partial").exists()


def test_a_missing_folder_a_wrong_folder_and_a_store_that_is_there(tmp_path: Path):
    with pytest.raises(DataError, match="there is no such file or folder"):
        prepare("ludb", tmp_path / "nowhere", tmp_path / "s.ecgs", quiet=True)
    root = write_dataset(tmp_path / "raw", 2)
    with pytest.raises(DataError, match=r"this is not Lobachevsky.*physionet\.org"):
        prepare("ludb", root, tmp_path / "s.ecgs", quiet=True)
    prepare("folder", root, tmp_path / "s.ecgs", quiet=True)
    before = content(tmp_path / "s.ecgs")
    with pytest.raises(DataError, match="is there already"):
        prepare("folder", root, tmp_path / "s.ecgs", quiet=True)
    assert content(tmp_path / "s.ecgs") == before


def test_first_window_only_and_own_scale(tmp_path: Path):
    root = write_dataset(tmp_path / "raw", 1, samples=6000)
    huge = np.zeros((12, 6000), dtype=np.float32)
    huge[2, 1000:3000] = 60.0
    write_wfdb(root, "r0000", huge, 200, STANDARD_LEADS, gain=100.0)
    summary = prepare("folder", root, tmp_path / "first.ecgs", length="first", quiet=True)
    assert summary.n_windows == 1
    store = Store.open(tmp_path / "first.ecgs")
    flags = store.records["flags"][0].split(";")
    assert "cut: 30.0 s" in flags
    assert any(flag.startswith("beyond 32.7 mV") for flag in flags)
    assert store.millivolts(np.array([0]))[0, 2, 900] == pytest.approx(60.0, abs=0.005)
    prepare("folder", root, tmp_path / "cover.ecgs", quiet=True)
    assert Store.open(tmp_path / "cover.ecgs").windows["start"].tolist() == [0, 1000, 2000]


def test_the_hash_is_of_the_raw_files_and_finds_copies(tmp_path: Path):
    root = write_dataset(tmp_path / "raw", 3)
    (root / "copy").mkdir()
    for suffix in (".hea", ".dat"):
        shutil.copy(root / f"r0001{suffix}", root / "copy" / f"r0001{suffix}")
    with (root / "labels.csv").open("a") as stream:
        stream.write("copy/r0001,P9,1\n")
    prepare("folder", root, tmp_path / "s.ecgs", quiet=True)
    records = Store.open(tmp_path / "s.ecgs").records.set_index("record_id")
    assert records["hash"]["copy/r0001"] == records["hash"]["r0001"]
    assert records["hash"].nunique() == 3


def test_real_records_with_one_broken(data: Path, tmp_path: Path):
    """The way of a new user: the dataset, three of its files damaged."""
    root = tmp_path / "ludb"
    (root / "data").mkdir(parents=True)
    for number in range(1, 21):
        for suffix in (".hea", ".dat"):
            shutil.copyfile(data / f"ludb/data/{number}{suffix}", root / f"data/{number}{suffix}")
    shutil.copyfile(data / "ludb/ludb.csv", root / "ludb.csv")
    (root / "RECORDS").write_text("".join(f"data/{number}\n" for number in range(1, 22)))
    (root / "data/5.dat").write_bytes((root / "data/5.dat").read_bytes()[:60_000])
    (root / "data/6.dat").unlink()
    np.full(60_000, -32768, dtype="<i2").tofile(root / "data/7.dat")
    summary = prepare("ludb", root, tmp_path / "s.ecgs", quiet=True)
    assert summary.sentence() == "17 of 21 records, 17 windows, 4 rejected (see rejected.csv)"
    assert sorted(row["record_id"] for row in summary.rejected) == ["21", "5", "6", "7"]
    whole = tmp_path / "whole.ecgs"
    prepare("ludb", data / "ludb", whole, quiet=True)
    store, complete = Store.open(tmp_path / "s.ecgs"), Store.open(whole)
    kept = complete.records["record_id"].isin(store.records["record_id"]).to_numpy().nonzero()[0]
    np.testing.assert_array_equal(store.read(np.arange(17)), complete.read(kept))
