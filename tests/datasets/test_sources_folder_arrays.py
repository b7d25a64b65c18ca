"""A user's NumPy, MATLAB, HDF5 and CSV files: rows of one file, what is stated, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgtransfer import signals
from ecgtransfer.cli.main import main
from ecgtransfer.datasets import sources
from ecgtransfer.datasets.prepare import PrepareSummary, prepare
from ecgtransfer.datasets.sources import Request
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, DataError
from ecgtransfer.signals import STANDARD_LEADS, Stated
from ecgtransfer.signals.writer import write_wfdb
from tests.signals.array_files import write

h5py = pytest.importorskip("h5py")
pytest.importorskip("scipy")

ALL = Stated(250, "mV", STANDARD_LEADS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def waves(*shape: int, seed: int = 0) -> np.ndarray:
    """Return whole µV, so that a store keeps them exactly."""
    rng = np.random.default_rng(seed)
    return (np.cumsum(rng.integers(-9, 10, shape), axis=-1) / 1000).astype(np.float32)


def table(folder: Path, *lines: str) -> None:
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(folder: Path, **options: Any) -> tuple[Store, PrepareSummary]:
    out = folder.parent / "mine.ecgs"
    summary = prepare(
        "folder", folder, out, quiet=True, **{"rate": 250, "seconds": 2, "workers": 1, **options}
    )
    return Store.open(out), summary


def kept(store: Store) -> np.ndarray:
    """Return the windows in mV."""
    return np.asarray(store.read(np.arange(store.n_windows))) / 1000


def test_what_many_rows_say_alike_is_worked_out_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """100,000 rows of one file took 20 s and 1 GB."""
    np.save(folder / "all.npy", waves(50, 12, 500))
    table(folder, "file,row,AF", *(f"all.npy,{place},1" for place in range(50)))
    looked: list[Path] = []
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: looked.append(path) or is_file(path))
    entries = sources.get("folder").list_records(folder, Request(stated=ALL)).entries
    assert len(entries) == 50
    assert looked.count(folder / "all.npy") == 1
    assert len({id(entry.how["stated"]) for entry in entries}) == 1


def test_one_array_of_all_records(folder):
    values = waves(300, 12, 500)
    np.save(folder / "X.npy", values.transpose(0, 2, 1))
    table(
        folder, "file,row,patient,AF", *(f"X.npy,{row},P{row // 2},{row % 2}" for row in reversed(range(300)))
    )
    store, summary = run(folder, stated=ALL)
    assert summary.sentence() == "300 of 300 records, 300 windows"
    assert store.records["record_id"].tolist() == [f"X/{row:05d}" for row in range(300)]
    assert set(store.records["file"]) == {"X.npy"}
    np.testing.assert_allclose(kept(store), values, atol=1e-6)
    np.testing.assert_array_equal(store.labels(store.task("all"))[:, 0], np.arange(300) % 2)
    note = "stated for all files where the table says nothing else: sampling_rate 250, units mV, leads I II"
    assert any(text.startswith(note) for text in summary.notes)
    assert not any("not in labels.csv" in text for text in summary.notes)


def test_two_workers_give_the_same(folder, tmp_path):
    np.save(folder / "X.npy", waves(200, 12, 500))
    table(folder, "file,row,AF", *(f"X.npy,{row}.0,1" for row in range(200)))
    one, _ = run(folder, stated=ALL)
    other = tmp_path / "other.ecgs"
    prepare("folder", folder, other, rate=250, seconds=2, stated=ALL, workers=2, quiet=True)
    assert one.fingerprint == Store.open(other).fingerprint


def test_rows_that_the_table_does_not_name_are_counted(folder):
    np.save(folder / "X.npy", waves(40, 12, 500))
    np.save(folder / "Y.npy", waves(12, 500))
    table(folder, "file,row,AF", "X.npy,3,1", "X.npy,39,0", "X.npy,40,0")
    store, summary = run(folder, stated=ALL)
    assert store.records["record_id"].tolist() == ["X/00003", "X/00039"]
    assert "38 of the 40 recordings in X.npy are not in labels.csv" in summary.notes
    assert "1 recording in the folder is not in labels.csv: see rejected.csv" in summary.notes
    assert {row["record_id"]: row["reason"] for row in summary.rejected} == {
        "Y": "labels.csv does not list it",
        "X/00040": "there is no row 40: it holds 40 recordings (rows 0 to 39)",
    }


@pytest.mark.parametrize(
    ("stated", "parts"),
    [
        (
            None,
            ["X.npy: the array [4, 12, 500] does not say its sampling rate, its unit and which leads it",
             "--file-rate or in a column 'sampling_rate'",
             "the unit (mV, uV, V, or steps per mV such as 1000/mV) with --file-units or in a column 'units'",
             "--file-leads or in a column 'leads'"],
        ),
        (Stated(250, leads=STANDARD_LEADS), ["does not say its unit: state the unit"]),
        (Stated(250, "mV", ("I", "II")), ["[4, 12, 500] does not fit 2 leads"]),
        (Stated(250, "mV", STANDARD_LEADS, "x"), ["no named variables"]),
    ],
)  # fmt: skip
def test_what_nobody_says_is_refused_with_the_way_to_say_it(folder, stated, parts):
    np.save(folder / "X.npy", waves(4, 12, 500))
    table(folder, "file,row,AF", "X.npy,0,1", "X.npy,1,0")
    with pytest.raises(DataError) as caught:
        run(folder, stated=stated)
    for part in ["none of the 2 records can be prepared; the first: X.npy: ", *parts]:
        assert part in str(caught.value)
    assert not (folder.parent / "mine.ecgs").exists()


def test_several_records_and_no_column_row(folder):
    np.save(folder / "X.npy", waves(4, 12, 500))
    table(folder, "file,AF", "X.npy,1")
    with pytest.raises(DataError, match=r"holds 4 recordings.*0, 1, 2, …, in a column 'row'"):
        run(folder, stated=ALL)
    table(folder, "file,AF", "X.npy,1", "X.npy,0")
    with pytest.raises(
        DataError, match=r"line 3: X\.npy is also in line 2.*If it holds several: .*column 'row'"
    ):
        run(folder, stated=ALL)
    table(folder, "file,row,AF", "X.npy,0,1", "X.npy,0,0")
    with pytest.raises(DataError, match=r"line 3: X\.npy is also in line 2\. Keep one row per recording$"):
        run(folder, stated=ALL)


def test_names_that_would_be_one(folder):
    np.save(folder / "a.npy", waves(12, 500))
    write(folder, "mat5", waves(12, 500), name="a")
    table(folder, "file,AF", "a.npy,1", "a.mat,0")
    with pytest.raises(DataError, match=r"a\.npy \(line 2\) and a\.mat would both be called a"):
        run(folder, stated=ALL)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("X.npy,-1,,,,1", "line 3: row '-1' is no place in a file"),
        ("X.npy,first,,,,1", "line 3: row 'first' is no place in a file"),
        ("X.npy,1,fast,,,1", "line 3: a sampling rate of fast Hz is not possible"),
        ("X.npy,1,,mmHg,,1", "line 3: the unit 'mmHg' is unknown"),
        ("X.npy,1,,,I;I,1", "line 3: the leads stated are I, I"),
        ("X.npy,1,,,I II III,1", "the array [4, 12, 500] does not fit 3 leads"),
    ],
)
def test_a_cell_that_cannot_be_meant_costs_its_row_only(folder, line, reason):
    np.save(folder / "X.npy", waves(4, 12, 500))
    table(folder, "file,row,fs,units,leads,AF", "X.npy,0,,,,1", line)
    store, summary = run(folder, stated=ALL)
    assert store.records["record_id"].tolist() == ["X/00000"]
    assert reason in summary.rejected[0]["reason"]


def test_a_mixture_of_formats_with_what_each_row_states(folder):
    values = waves(12, 500)
    microvolts = np.rint(values * 1000)
    write_wfdb(folder, "wfdb", values, 250, STANDARD_LEADS)
    write(folder, "mat4", microvolts.astype(np.int16), name="old")
    write(folder, "npz", values, name="full", fs=250, units="mV", leads=list(STANDARD_LEADS))
    with h5py.File(folder / "many.h5", "w") as file:
        for name in ("one", "two"):
            file[f"{name}/ecg"] = values.T
    np.savetxt(
        folder / "sheet.csv",
        values.T,
        delimiter=",",
        comments="",
        header=",".join(STANDARD_LEADS),
        fmt="%.3f",
    )
    leads = " ".join(STANDARD_LEADS)
    table(
        folder,
        "file,sampling_rate,units,leads,variable,AF",
        "wfdb,,,,,1",
        f'old.mat,250,1000/mV,"{",".join(STANDARD_LEADS)}",ecg,0',
        "full.npz,,,,,1",
        f"many.h5,250,mV,{leads},one/ecg,0",
        f"many.h5,250,mV,{leads},two/ecg,0",
        "sheet.csv,250,mV,,,1",
    )
    store, summary = run(folder, table=folder / "labels.csv")
    assert summary.n_rejected == 0
    assert store.records["record_id"].tolist() == [
        "full", "many/one/ecg", "many/two/ecg", "old/ecg", "sheet", "wfdb",
    ]  # fmt: skip
    for window in kept(store):
        np.testing.assert_allclose(window, values, atol=1e-6)
    assert len(set(store.records["hash"])) == 1


def test_a_general_statement_is_no_excuse_for_a_contradiction(folder):
    write_wfdb(folder, "a", waves(12, 500), 250, STANDARD_LEADS)
    np.save(folder / "b.npy", waves(12, 1000))
    table(folder, "file,fs,AF", "a,,1", "b.npy,,1")
    store, summary = run(folder, stated=Stated(500, "mV", STANDARD_LEADS))
    assert store.records["record_id"].tolist() == ["b"]
    assert summary.rejected[0]["reason"].endswith("its WFDB header says 250 Hz, but 500 Hz is stated")


def test_the_leads_of_the_store_are_those_of_the_first_readable_file(folder):
    np.save(folder / "a.npy", waves(5, 500))
    np.save(folder / "b.npy", waves(2, 500))
    table(folder, "file,AF", "a.npy,1", "b.npy,0")
    store, summary = run(folder, stated=Stated(250, "mV", ("II", "V5")))
    assert store.info.leads == ("II", "V5")
    assert "leads are those of b.npy: II, V5" in summary.notes


def test_the_command(folder, tmp_path, capsys, monkeypatch):
    def command(*words: str) -> int:
        start = ["ecgtransfer", "prepare", "folder", str(folder), "-o", str(tmp_path / "x.ecgs"), "--quiet"]
        monkeypatch.setattr("sys.argv", [*start, "--rate", "250", "--seconds", "2", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    counts = (waves(3, 12, 500) * 1000).astype(np.int16)
    np.save(folder / "X.npy", counts)
    np.savez(folder / "Z.npz", X=counts[0], y=np.zeros(12))
    table(folder, "file,row,variable,AF", "X.npy,0,,1", "X.npy,2,,0", "Z.npz,,X,1")
    assert command() == 2
    assert "--file-units" in capsys.readouterr().err
    stated = ["--file-rate", "250", "--file-leads", ",".join(STANDARD_LEADS), "--file-units"]
    assert command(*stated, "mmHg") == 2
    assert "the unit 'mmHg' is unknown" in capsys.readouterr().err
    assert command(*stated, "1000/mV", "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_records"] == 3
    table(folder, "file,row,AF", "Z.npz,,1")
    (tmp_path / "x.ecgs").rename(tmp_path / "y.ecgs")
    assert command(*stated, "1000/mV", "--file-variable", "X") == 0


def test_only_ones_own_files_need_statements(tmp_path):
    with pytest.raises(ConfigError):
        prepare("ludb", tmp_path, tmp_path / "x.ecgs", stated=ALL, quiet=True)


def test_real_recordings_of_the_challenge(data, folder):
    """With and without their header: WFDB where there is one, MAT v4 with what is stated where not."""
    files = sorted((data / "challenge2021").rglob("A*.mat"))[:6]
    lines = []
    for place, file in enumerate(files):
        (folder / file.name).write_bytes(file.read_bytes())
        if place % 2:
            (folder / file.name).with_suffix(".hea").write_bytes(file.with_suffix(".hea").read_bytes())
        lines.append(f"{file.name},1")
    table(folder, "file,AF", *lines)
    expected = [signals.read(file) for file in files]
    store, summary = run(
        folder, rate=500, seconds=5, length="first", stated=Stated(500, leads=STANDARD_LEADS)
    )
    assert store.n_records == 3
    assert {row["file"] for row in summary.rejected} == {file.name for file in files[::2]}
    assert all("val [12, " in row["reason"] and "--file-units" in row["reason"] for row in summary.rejected)
    table(
        folder,
        "file,units,AF",
        *(f"{file.name},{'' if i % 2 else '1000/mV'},1" for i, file in enumerate(files)),
    )
    out = folder.parent / "all.ecgs"
    prepare(
        "folder", folder, out, rate=500, seconds=5, length="first", quiet=True,
        stated=Stated(500, leads=STANDARD_LEADS),
    )  # fmt: skip
    store = Store.open(out)
    assert store.n_records == 6
    for window, record in zip(kept(store), expected, strict=True):
        np.testing.assert_allclose(window, record.signal[:, :2500], atol=1e-6)
