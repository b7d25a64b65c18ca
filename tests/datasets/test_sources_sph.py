"""SPH: AHA statements with modifiers, each kept, refined, made unknown or counted."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from ecgtransfer.datasets import sources, statements
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request
from ecgtransfer.datasets.sources.sph import statements_of
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError, SignalError
from tests.datasets.format_files import ecg, write_hdf5, write_sph, write_table

SPH = sources.get("sph")
RECORDS = [
    ("A00001", "22;23", "S00001", 55, "M"),
    ("A00002", "60+310;147", "S00002", 32, "F"),
    ("A00003", "1;1", "S00003", 63, "M"),
    ("A00004", "50+346;145+362", "S00001", 81, "F"),
]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_sph(tmp_path / "SPH", RECORDS)


def said(cell: str) -> tuple[set[str], set[str]]:
    """Return what a cell says is present, and what it leaves unknown."""
    values, _ = statements_of(cell)
    return (
        {code for code, value in values.items() if value == 1},
        {code for code, value in values.items() if value is None},
    )


@pytest.mark.parametrize(
    ("cell", "present", "unknown"),
    [
        ("1", {"NORM-SPH"}, set()),
        ("22;23", {"SB", "SA"}, set()),
        ("60+310", {"PVC"}, {"VBig", "VTrig", "VPVC"}),  # frequent: whether in bigeminy is not said
        ("60+341", {"PVC", "VBig"}, {"VTrig", "VPVC"}),
        ("145", {"STDEV"}, {"STD", "STE"}),
        ("145+362", {"STDEV", "STD"}, {"STE"}),
        ("146+363", {"STDEV-T", "STE"}, {"STD"}),
        ("147+367", {"TAb", "INVT"}, {"LOWT"}),
        ("83", {"MoI", "2AVB"}, set()),
        ("106;101", {"RBBB", "LAFB"}, set()),
        ("160+332", {"AMI"}, set()),  # old: not kept
        ("142+312", set(), {"LVH"}),  # possible
        ("142+312;142", {"LVH"}, set()),
    ],
)
def test_codes_become_statements(cell: str, present: set[str], unknown: set[str]):
    assert said(cell) == (present, unknown)


def test_a_normal_ecg_of_sph_is_not_ptb_xls():
    assert "NORM" not in statements.annotated("sph")
    assert statements.canonical("NORM-SPH") != statements.canonical("NORM")


def test_unknown_codes_are_counted_and_flagged(tmp_path: Path):
    root = write_sph(tmp_path / "SPH", [("A1", "22;999", "S1", 50, "M"), ("A2", "74;1", "S2", 50, "F")])
    write_table(
        root / "code.csv", ("Category", "Code", "Description"), [("G", 74, "Ventricular fibrillation")]
    )
    listing = SPH.list_records(root, Request())
    assert listing.coverage == (
        ("1 Normal ECG", "NORM-SPH", 1),
        ("22 Sinus bradycardia", "SB", 1),
        ("74 Ventricular fibrillation", None, 1),
        ("999", None, 1),
    )
    assert listing.entries[0].flags == ("AHA code not in the crosswalk: 999",)
    assert listing.entries[0].statements["SB"] == 1
    assert any("74 Ventricular fibrillation" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("cell", "reason"), [("", "no AHA code"), ("22;x", "'x' is no AHA code"), ("1+", "")]
)
def test_cells_that_cannot_be_read_are_rejections(tmp_path: Path, cell: str, reason: str):
    root = write_sph(tmp_path / "SPH", [("A1", cell, "S1", 50, "M"), ("A2", "1", "S2", 50, "F")])
    listing = SPH.list_records(root, Request())
    assert [item.record_id for item in listing.rejected] == ["A1"]
    assert reason in listing.rejected[0].reason


def test_tables_must_be_there_and_whole(tiny: Path):
    write_table(tiny / "metadata.csv", ("ECG_ID", "AHA_Code", "Age"), [("A00001", "1", 3)])
    with pytest.raises(DataError, match="column Patient_ID, Sex, N is missing"):
        SPH.list_records(tiny, Request())
    write_sph(tiny, [RECORDS[0], RECORDS[0]])
    with pytest.raises(DataError, match="A00001 occurs twice"):
        SPH.list_records(tiny, Request())


def test_signals_must_have_the_shape_of_the_table(tiny: Path):
    path = tiny / "records/A00001.h5"
    record = SPH.load(path, {"samples": 5500})
    assert record.sampling_rate == 500
    np.testing.assert_allclose(record.signal, ecg(11, 500, seed=0), atol=0.001)
    with pytest.raises(SignalError, match=r"shape \(12, 5500\), metadata.csv says 12 leads of 5000"):
        SPH.load(path, {"samples": 5000})
    write_hdf5(path, data=np.zeros((12, 5500), np.float16))
    with pytest.raises(SignalError, match="no dataset 'ecg', only data"):
        SPH.load(path, {"samples": 5500})
    path.write_bytes(b"no HDF5")
    with pytest.raises(SignalError, match="cannot be read as HDF5"):
        SPH.load(path, {"samples": 5500})


def test_prepare(tiny: Path, tmp_path: Path):
    (tiny / "records/A00003.h5").unlink()
    write_hdf5(tiny / "records/A00009.h5", ecg=np.zeros((12, 5500), np.float16))
    summary = prepare("sph", tiny, tmp_path / "sph.ecgs", quiet=True)
    reasons = {row["record_id"]: row["reason"] for row in summary.rejected}
    assert reasons == {"A00003": "the file is not there", "A00009": "metadata.csv does not list it"}
    store = Store.open(tmp_path / "sph.ecgs")
    assert store.records["patient_id"].tolist() == ["S00001", "S00002", "S00001"]
    assert store.statements["AF"].tolist() == [0, 0, 1]
    assert store.statements["STD"].isna().tolist() == [False, False, False]
    assert store.info.n_windows == 6  # 11 s


def test_prepare_from_the_archive_beside_its_tables(tiny: Path, tmp_path: Path):
    """The published records.tar.gz is a plain tar in spite of its name."""
    folder = tmp_path / "download"
    folder.mkdir()
    with tarfile.open(folder / "records.tar.gz", "w") as tape:
        tape.add(tiny / "records", "records")
    (folder / "metadata.csv").write_bytes((tiny / "metadata.csv").read_bytes())
    summary = prepare("sph", folder, tmp_path / "sph.ecgs", quiet=True)
    assert (summary.n_records, summary.n_rejected) == (4, 0)
