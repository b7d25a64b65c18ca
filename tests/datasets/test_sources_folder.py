"""A user's own files and table: what is accepted, what is refused with one clear sentence, what is noted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, DataError
from ecgtransfer.signals import STANDARD_LEADS, Stated
from ecgtransfer.signals.writer import write_wfdb


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with four 12-lead recordings of 10 s at 250 Hz."""
    root = tmp_path / "mine"
    (root / "sub").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name in ("a", "b", "c", "sub/d"):
        signal = rng.normal(0, 0.3, (12, 2500)).astype(np.float32)
        place = root / Path(name).parent
        write_wfdb(place, Path(name).name, signal, 250, STANDARD_LEADS, ("Age: 70", "Sex: F"))
    return root


def write(folder: Path, *lines: str) -> Path:
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def run(folder: Path, **options: object) -> tuple[Store, object]:
    out = folder.parent / "mine.ecgs"
    summary = prepare("folder", folder, out, quiet=True, **options)
    return Store.open(out), summary


def test_one_zero_and_nothing(folder: Path):
    write(
        folder,
        "file,patient,age,sex,AF,LVH",
        "a.hea,P1,61,m,1,",
        "b.dat,P1,,,0,1",
        "c,P2,,F,,0",
        "sub/d,P3,,,1.0,0.0",
    )
    store, summary = run(folder)
    assert summary.sentence() == "4 of 4 records, 4 windows"
    assert store.records["record_id"].tolist() == ["a", "b", "c", "sub/d"]
    assert store.records["patient_id"].tolist() == ["P1", "P1", "P2", "P3"]
    # The table comes first, the header's comments fill in.
    assert store.records["age"].tolist() == [61, 70, 70, 70]
    assert store.records["sex"].tolist() == ["male", "female", "female", "female"]
    np.testing.assert_array_equal(
        store.labels(store.task("all")),
        np.array([[1, np.nan], [0, 1], [np.nan, 0], [1, 0]], dtype=np.float32),
    )
    assert store.info.patients_known
    assert store.info.leads == STANDARD_LEADS


def test_a_second_readers_opinion_is_kept_beside_the_statement(folder: Path):
    write(folder, "file,patient,AF,AF (second),LVH", "a,P1,1,0,", "b,P2,0,,1", "c,P3,,1,0", "sub/d,P4,1,1,0")
    store, summary = run(folder)
    assert summary.sentence() == "4 of 4 records, 4 windows"
    assert store.info.annotated == ("AF", "LVH")
    assert store.second.columns.tolist() == ["AF"]
    assert store.second["AF"].to_list() == [0, pd.NA, 1, 1]
    # What networks learn is the first reader's.
    np.testing.assert_array_equal(store.labels(store.task("all"))[:, 0], np.float32([1, 0, np.nan, 1]))
    out = folder.parent / "again.ecgs"
    prepare("folder", folder, out, quiet=True)
    assert Store.open(out).fingerprint == store.fingerprint


def test_without_second_opinions_a_store_has_no_table_of_them(folder: Path):
    write(folder, "file,AF", "a,1", "b,0")
    store, _ = run(folder)
    assert store.second.shape == (2, 0)
    assert not (store.path / "second.parquet").exists()


def test_without_patients_separation_cannot_be_verified(folder: Path):
    write(folder, "file,AF", "a,1", "b,0")
    store, summary = run(folder)
    assert not store.info.patients_known
    assert any("patient separation cannot be verified" in note for note in summary.notes)


def test_rows_without_a_file_are_rejected_and_the_good_ones_kept(folder: Path):
    write(folder, "file,patient,AF", "a,P1,1", ",P2,0", "gone.hea,P3,0", "b,P4,0", "c,P5,yes", "sub/d,P6")
    store, summary = run(folder)
    assert store.records["record_id"].tolist() == ["a", "b"]
    assert summary.sentence() == "2 of 6 records, 2 windows, 4 rejected (see rejected.csv)"
    reasons = {row["record_id"]: (row["file"], row["reason"]) for row in summary.rejected}
    assert reasons["line 3"] == ("", "labels.csv, line 3: it names no file (patient P2)")
    assert reasons["line 4"] == (
        "gone.hea",
        "labels.csv, line 4: it names a file that is not there, gone.hea",
    )
    assert reasons["line 6"][0] == "c"
    assert "line 6: column 'AF' has 'yes', which is neither 1, 0 nor empty" in reasons["line 6"][1]
    assert reasons["line 7"] == ("sub/d", "labels.csv, line 7: 2 cells where the header has 3")
    text = (store.path / "rejected.csv").read_text()
    assert "gone.hea" in text
    assert "names no file (patient P2)" in text


def test_recordings_that_the_table_does_not_name_are_listed(folder: Path):
    write(folder, "file,patient,AF", "a,P1,1", "b,P2,0")
    store, summary = run(folder)
    assert any(note.startswith("2 recordings in the folder are not in labels.csv") for note in summary.notes)
    reasons = {row["file"]: row["reason"] for row in summary.rejected}
    assert reasons == dict.fromkeys(("c", "sub/d"), "labels.csv does not list it")
    assert "sub/d" in (store.path / "rejected.csv").read_text()


def test_another_table_is_no_recording(folder: Path):
    """Recordings may be CSV files too; a table of files beside them is told by its header."""
    for name in ("x", "y", "left"):
        (folder / f"{name}.csv").write_text("I [mV],II [mV]\n" + "0.1,0.2\n" * 2600, encoding="utf-8")
    write(folder, "file,AF", "x.csv,1", "y.csv,0")
    (folder / "other.csv").write_text("file;AF\nx.csv;1\n", encoding="utf-8")
    store, summary = run(folder, table=folder / "labels.csv", stated=Stated(sampling_rate=250.0))
    assert store.records["record_id"].tolist() == ["x", "y"]
    named = {row["file"] for row in summary.rejected}
    assert "left" in named
    assert "other" not in named


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("patient,AF", "P1,1"), r"there is no column 'file'.*columns are patient, AF"),
        (("file,AF", "a,yes", "b,no"), r"labels\.csv, line 2: column 'AF' has 'yes'.*neither 1, 0 nor empty"),
        (("file,patient_id,AF", "a,P1,1"), r"column 'patient_id' has 'P1'.*Did you mean patient"),
        (("file,hospital,AF", "a,Nice,1"), r"column 'hospital' has 'Nice'.*rename or remove it"),
        (("file,AF", "a,1", "a.hea,0"), r"line 3: a\.hea is also in line 2"),
        (("file,AF,AF", "a,1,1"), r"column 'AF' occurs twice"),
        (("file,patient", "a,P1"), r"no statement column"),
        (("file,AF,LVH (second)", "a,1,0"), r"column 'LVH \(second\)' and none 'LVH'"),
        (("file,AF,AF (second)", "a,1,yes"), r"column 'AF \(second\)' has 'yes'"),
        (("file,AF", "a"), r"line 2: 1 cells where the header has 2"),
        (("file,age,AF", "a,old,1"), r"line 2: age 'old' is not a number"),
        (("file,sex,AF", "a,2,1"), r"line 2: sex '2' is not male or female"),
        ((), r"the table is empty"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(folder: Path, lines: tuple[str, ...], message: str):
    write(folder, *lines)
    with pytest.raises(DataError, match=message):
        run(folder)
    assert not (folder.parent / "mine.ecgs").exists()


def test_which_table(folder: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"no CSV table.*the column 'file'.*--table"):
        run(folder)
    elsewhere = tmp_path / "tables"
    elsewhere.mkdir()
    write(elsewhere, "file;AF", "a;1", "sub/d;0")  # semicolons, as some spreadsheets write
    store, _ = run(folder, table=elsewhere / "labels.csv")
    assert store.records["file"].tolist() == ["a.hea", "sub/d.hea"]
    with pytest.raises(DataError, match="no such table"):
        prepare("folder", folder, tmp_path / "x.ecgs", table=tmp_path / "no.csv", quiet=True)


def test_leads_are_those_of_the_first_recording_where_it_has_no_twelve(folder: Path):
    write_wfdb(folder, "a", np.zeros((2, 2500), dtype=np.float32), 250, ("II", "V5"))
    write(folder, "file,AF", "a,1", "b,0")
    store, summary = run(folder)
    assert store.info.leads == ("II", "V5")
    assert any("leads are those of a.hea: II, V5" in note for note in summary.notes)


def test_leads_that_are_absent_or_derived_are_flagged(folder: Path):
    rng = np.random.default_rng(2)
    signal = rng.normal(0, 0.3, (3, 1000)).astype(np.float32)
    write_wfdb(folder, "a", signal, 100, ("I", "II", "V1"))
    write(folder, "file,AF", "a,1", "b,0")
    store, summary = run(folder, leads=("I", "ii", "III", "V1", "V6"))
    assert store.info.leads == ("I", "II", "III", "V1", "V6")
    flags = [[flag for flag in text.split(";") if "lead " in flag[:5]] for text in store.records["flags"]]
    assert flags == [["lead V6 missing", "lead III derived"], []]
    window = store.read(np.array([0]))[0]
    assert (window[4] == -32768).all()
    np.testing.assert_allclose(window[2] / 1000, signal[1] - signal[0], atol=0.0011)
    assert "1 record flagged 'lead V6 missing'" in summary.notes
    with pytest.raises(
        DataError, match=r"none of the 4 records can be prepared; the first: a\.hea: it has none of"
    ):
        prepare("folder", folder, folder.parent / "x.ecgs", leads=("X1",), quiet=True)


def test_options_that_make_no_window_are_refused(folder: Path, tmp_path: Path):
    write(folder, "file,AF", "a,1")
    out = tmp_path / "x.ecgs"
    for options, message in [
        ({"rate": 0}, "0 Hz is not possible"),
        ({"seconds": 0.001}, "0.1 samples"),
        ({"seconds": 1.005}, "100.5 samples"),
        ({"recipe": "defualt"}, "Did you mean default"),
        ({"length": "covr"}, "Did you mean cover"),
        ({"workers": 0}, "0 workers"),
        ({"leads": ("I", "I")}, "none twice"),
    ]:
        with pytest.raises(ConfigError, match=message):
            prepare("folder", folder, out, quiet=True, **options)
    with pytest.raises(ConfigError, match="has its own table"):
        prepare("ludb", folder, out, table=folder / "labels.csv", quiet=True)
    with pytest.raises(ConfigError, match="ludb has no lead 'V7'"):
        prepare("ludb", folder, out, leads=("V7",), quiet=True)
