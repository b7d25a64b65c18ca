"""MIT-BIH: half-hour recordings become segments, each with the rhythms and beats annotated in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ecgtransfer.datasets import sources
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request, mitbih
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError, SignalError
from tests.datasets.format_files import ecg, write_mitbih

MITBIH = sources.get("mitbih")
MARKS = [
    (0.2, "+", "(N"),
    (0.5, "N", ""),
    (3.0, "V", ""),
    (11.0, "N", ""),
    (14.0, "~", ""),
    (15.0, "+", "(AFIB"),
    (22.0, "L", ""),
    (24.0, '"', "MISSB"),
    (25.0, "a", ""),
    (32.0, "/", ""),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    write_mitbih(root, "100", MARKS)
    write_mitbih(root, "114", MARKS, leads=("V5", "MLII"))
    write_mitbih(root, "201", MARKS, person="68 M 1960 2851 x1")
    write_mitbih(root, "202", MARKS, person="68 M 1960 2851 x1")
    write_mitbih(root, "102", MARKS, leads=("V5", "V2"), person="84 F 2091 654 x1")
    write_mitbih(root, "219", MARKS, person="-1 F 1 N/A x2")
    return root


@pytest.fixture
def tiny(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "mitdb"))


def of(listing: sources.Listing, name: str) -> list[sources.Entry]:
    return [entry for entry in listing.entries if entry.file == f"{name}.hea"]


def test_segments_have_their_own_statements(tiny: Path):
    entries = of(MITBIH.list_records(tiny, Request()), "100")
    assert [entry.record_id for entry in entries] == ["100/0000", "100/0010", "100/0020"]
    said = [{code for code, value in entry.statements.items() if value} for entry in entries]
    assert said == [{"SR", "PVC"}, {"SR", "AF"}, {"AF", "LBBB", "PAC"}]
    assert all(set(entry.statements.values()) == {0, 1} for entry in entries)
    assert entries[1].how == {"start": 3600, "samples": 3600}


def test_what_is_left_over_and_left_out_is_said(tiny: Path):
    listing = MITBIH.list_records(tiny, Request())
    assert any("the last 3.0 s are left out" in note for note in listing.notes)
    assert any("42 of the 48 records are not there" in note for note in listing.notes)
    assert {item.record_id: item.reason for item in listing.rejected} == {
        "102": "it has none of the leads II, V1, only V5, V2"
    }
    assert ("rhythm N", "SR", 10) in listing.coverage
    assert ("beat V", "PVC", 5) in listing.coverage
    assert not any(label == "beat /" for label, _, _ in listing.coverage)  # after the last whole segment


def test_people_and_recorders(tiny: Path):
    listing = MITBIH.list_records(tiny, Request())
    first, unknown = of(listing, "100")[0], of(listing, "219")[0]
    assert (first.age, first.sex, first.device) == (69.0, "male", "recorder 1629")
    assert (unknown.age, unknown.sex, unknown.device) == (None, "female", None)
    assert {of(listing, name)[0].patient_id for name in ("201", "202")} == {"201"}


def test_leads_go_by_name(tiny: Path):
    segment = MITBIH.load(tiny / "114.hea", {"start": 3600, "samples": 3600})
    assert segment.leads == ("V5", "II")
    whole = ecg(33, 360, seed=114, leads=("V5", "MLII"))
    np.testing.assert_allclose(segment.signal, whole[:, 3600:7200], atol=0.0026)
    listing = MITBIH.list_records(tiny, Request(leads=("V5",)))
    assert {entry.file for entry in listing.entries} == {"102.hea", "114.hea"}


def test_a_record_is_read_once_for_all_its_segments(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []
    read = mitbih.signals.read
    monkeypatch.setattr(mitbih.signals, "read", lambda path: calls.append(path) or read(path))
    for entry in MITBIH.list_records(tiny, Request()).entries:
        MITBIH.load(tiny / entry.file, entry.how)
    assert len(calls) == len(set(calls)) == 5


def test_an_annotation_that_no_table_knows_is_counted_and_flagged(tiny: Path):
    write_mitbih(tiny, "103", [(0.2, "+", "(N"), (2.0, "B", ""), (12.0, "+", "(XYZ")])
    listing = MITBIH.list_records(tiny, Request())
    first, second, third = of(listing, "103")
    assert first.flags == ("annotation not in the crosswalk: beat B",)
    assert second.flags == third.flags == ("annotation not in the crosswalk: rhythm XYZ",)
    assert ("rhythm XYZ", None, 2) in listing.coverage


@pytest.mark.parametrize("seconds", [2.5, 8.0, 11.0, 1 / 3])
def test_segments_of_any_length_tile_the_record(tiny: Path, seconds: float):
    entries = of(MITBIH.list_records(tiny, Request(seconds=seconds)), "100")
    assert len(entries) == int(33 / seconds + 1e-9)
    assert len({entry.record_id for entry in entries}) == len(entries)
    for i, entry in enumerate(entries):
        assert abs(entry.how["start"] - i * seconds * 360) <= 1
        record = MITBIH.load(tiny / "100.hea", entry.how)
        assert 0 <= record.n_samples - seconds * 360 < 1
    present = {code for entry in entries for code, value in entry.statements.items() if value}
    assert {"SR", "AF", "PVC", "LBBB", "PAC"} <= present


def test_missing_or_damaged_annotations_are_rejections(tiny: Path):
    (tiny / "100.atr").unlink()
    write_mitbih(tiny, "114", [(1.0, "N", "")], leads=("V5", "MLII"))
    (tiny / "201.atr").write_bytes(b"\x00\x00" * 3 + b"\xff")
    reasons = {item.record_id: item.reason for item in MITBIH.list_records(tiny, Request()).rejected}
    assert reasons["100"] == "its annotations are not there: 100.atr"
    assert reasons["114"] == "its annotations name no rhythm"
    assert "annotations" in reasons["201"]


def test_a_truncated_recording_is_a_rejection(tiny: Path):
    mitbih._whole.cache_clear()
    with pytest.raises(SignalError, match="the segment ends at 15000"):
        MITBIH.load(tiny / "100.hea", {"start": 11400, "samples": 3600})


def test_prepare(tiny: Path, tmp_path: Path):
    summary = prepare("mitbih", tiny.parent, tmp_path / "mit.ecgs", quiet=True)
    assert (summary.n_records, summary.n_windows, summary.n_rejected) == (15, 15, 1)
    store = Store.open(tmp_path / "mit.ecgs")
    assert store.info.leads == ("II", "V1")
    assert store.records["patient_id"].nunique() == 4
    assert not store.records["flags"].str.contains("short").any()
    labels = store.labels(store.task("all"))
    assert np.isfinite(labels).all()
    assert len(set(store.groups[store.records["patient_id"] == "201"])) == 1


def test_another_lead_may_be_asked_for(tiny: Path, tmp_path: Path):
    prepare("mitbih", tiny, tmp_path / "v5.ecgs", leads=("V5",), quiet=True)
    assert set(Store.open(tmp_path / "v5.ecgs").records["file"]) == {"102.hea", "114.hea"}


def test_another_folder_is_not_this_dataset(tmp_path: Path):
    with pytest.raises(DataError, match="this is not MIT-BIH"):
        prepare("mitbih", tmp_path, tmp_path / "x.ecgs", quiet=True)
