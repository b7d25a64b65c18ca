"""LUDB: diagnosis lines, the common gain, and the lines that no table knows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ecgtransfer import signals
from ecgtransfer.datasets import sources
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request
from ecgtransfer.datasets.sources.ludb import diagnosis_lines
from ecgtransfer.datasets.store import Store
from ecgtransfer.signals.readers.wfdb import read_header

LUDB = sources.get("ludb")
HEADER = """1 2 500 8
1.dat 16 1716(6)/mV 0 0 0 0 0 i
1.dat 16 1206(2)/mV 0 0 0 0 0 ii
#<age>: {age}
#<sex>: {sex}
#<diagnoses>:
{lines}
"""


@pytest.fixture
def tiny(tmp_path: Path):
    """Return a function that writes a LUDB of one record with the given diagnosis lines."""

    def write(*lines: str, age: str = "51", sex: str = "F") -> Path:
        (tmp_path / "data").mkdir(exist_ok=True)
        text = HEADER.format(age=age, sex=sex, lines="\n".join(f"#{line}" for line in lines))
        (tmp_path / "data/1.hea").write_text(text)
        counts = np.array([[100 * i, -50 * i] for i in range(7)] + [[-32768, 0]], dtype="<i2")
        (tmp_path / "data/1.dat").write_bytes(counts.tobytes())
        (tmp_path / "RECORDS").write_text("data/1\n")
        return tmp_path

    return write


def test_lines_become_statements(tiny):
    root = tiny(
        "Rhythm: Sinus bradycardia.", "Electric axis of the heart: left axis deviation. ", "STEMI: septal. "
    )
    (entry,) = LUDB.list_records(root, Request()).entries
    assert {code for code, value in entry.statements.items() if value == 1} == {"SB", "LAD", "STEMI-SEP"}
    assert set(entry.statements.values()) == {0, 1}
    assert (entry.age, entry.sex, entry.patient_id) == (51.0, "female", "1")


def test_an_axis_that_was_not_assessed_is_unknown(tiny):
    (entry,) = LUDB.list_records(tiny("Rhythm: Atrial fibrillation.", "P-synchrony. "), Request()).entries
    unknown = {code for code, value in entry.statements.items() if value is None}
    assert unknown == {"AXNORM", "LAD", "RAD", "AXVERT", "AXHORIZ"}
    assert entry.statements["PACE"] == 1


def test_a_line_that_no_table_knows_is_listed(tiny):
    listing = LUDB.list_records(tiny("Rhythm: Sinus rhythm.", "Dancing of the heart. "), Request())
    assert any("Dancing of the heart" in note and "(1)" in note for note in listing.notes)
    assert any("Dancing of the heart" in flag for flag in listing.entries[0].flags)
    assert listing.coverage == (("Dancing of the heart", None, 1), ("Rhythm: Sinus rhythm", "SR", 1))


def test_ages_above_89_are_kept_and_flagged(tiny):
    (entry,) = LUDB.list_records(tiny("Rhythm: Sinus rhythm.", age=">89"), Request()).entries
    assert entry.age == 90
    assert "age over 89" in entry.flags


def test_a_record_in_the_list_without_a_header_is_rejected(tiny):
    root = tiny("Rhythm: Sinus rhythm.")
    (root / "RECORDS").write_text("data/1\ndata/2\n")
    listing = LUDB.list_records(root, Request())
    assert [entry.record_id for entry in listing.entries] == ["1"]
    assert [(item.record_id, item.file) for item in listing.rejected] == [("2", "data/2.hea")]
    assert "not there" in listing.rejected[0].reason


def test_counts_have_one_gain_and_an_invalid_code(tiny):
    record = LUDB.load(tiny("Rhythm: Sinus rhythm.") / "data/1.hea", {})
    assert record.leads == ("I", "II")
    np.testing.assert_allclose(record.signal[0, :7], 0.1 * np.arange(7), atol=1e-6)
    np.testing.assert_allclose(record.signal[1, :7], -0.05 * np.arange(7), atol=1e-6)
    assert np.isnan(record.signal[0, 7])


def test_headers_and_table_agree(data: Path):
    """The headers are read; ludb.csv says the same but for two columns' habits."""

    def plain(line: str) -> str:
        return " ".join(line.strip().rstrip(".").split()).casefold().removeprefix("rhythm: ")

    with (data / "ludb/ludb.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 200
    for row in rows:
        cells = [cell for name, cell in row.items() if name not in ("ID", "Sex", "Age")]
        table = {plain(line) for cell in cells for line in cell.splitlines() if line.strip()}
        comments = read_header(data / f"ludb/data/{row['ID'].strip()}.hea").comments
        header = {plain(line) for line in diagnosis_lines(comments)}
        # The table adds this to nine paced records whose header names the kind of pacing.
        assert table - header <= {"pacemaker presence, undefined"}, row["ID"]
        assert header <= table, row["ID"]


def test_every_line_of_the_dataset_is_in_the_crosswalk(data: Path):
    listing = LUDB.list_records(data / "ludb", Request())
    assert len(listing.entries) == 200
    assert listing.complete
    assert listing.notes == (LUDB.signal_note,)
    assert listing.rejected == ()
    assert sum(entry.sex == "female" for entry in listing.entries) == 85
    counts = {label: (code, count) for label, code, count in listing.coverage}
    assert counts["Left ventricular hypertrophy"] == ("LVH", 108)
    assert counts["Rhythm: Atrial fibrillation"] == ("AF", 15)
    assert counts["I degree AV block"] == ("1AVB", 10)
    assert None not in {code for code, _ in counts.values()}
    assert all(entry.age is not None for entry in listing.entries)


def test_all_has_every_statement_with_ten_positives(data: Path):
    entries = LUDB.list_records(data / "ludb", Request()).entries
    counts = {code: sum(entry.statements[code] == 1 for entry in entries) for code in LUDB.annotates}
    assert {code: counts[code] for code in ("LVH", "LAH", "LAD", "SB", "AF", "1AVB")} == {
        "LVH": 108,
        "LAH": 102,
        "LAD": 66,
        "SB": 25,
        "AF": 15,
        "1AVB": 10,
    }
    assert {target for target, _ in LUDB.tasks["all"]} == {code for code, n in counts.items() if n >= 10}
    for target, codes in LUDB.tasks["findings"]:
        assert sum(any(entry.statements[code] == 1 for code in codes) for entry in entries) >= 10, target


def test_the_common_gain_fulfils_einthoven(data: Path):
    """II = I + III within one count of each; the header's gains violate it by a third of a millivolt."""
    worst, by_header = 0.0, 0.0
    for number in (1, 8, 100, 200):
        path = data / f"ludb/data/{number}.hea"
        for read in (lambda path: LUDB.load(path, {}), signals.read):
            one, two, three = read(path).signal[:3]
            error = float(np.abs(two - one - three).max())
            if read is LUDB.load:
                worst = max(worst, error)
            else:
                by_header = max(by_header, error)
    assert worst <= 0.0031
    assert by_header > 0.1


def test_prepare_whole_dataset(data: Path, tmp_path: Path):
    summary = prepare("ludb", data / "ludb", tmp_path / "ludb.ecgs", quiet=True)
    assert (summary.n_records, summary.n_listed, summary.n_windows, summary.n_rejected) == (200, 200, 200, 0)
    store = Store.open(tmp_path / "ludb.ecgs")
    assert store.info.patients_known
    assert not store.info.official_folds
    assert store.info.leads == signals.STANDARD_LEADS
    assert "1000/mV" in store.info.recipe["source_signal"]
    labels = store.labels(store.task("all"))
    assert np.nansum(labels[:, store.task("all").target_names.index("LVH")]) == 108
    expected = signals.resample(LUDB.load(data / "ludb/data/1.hea", {}).signal, 500, 100)
    np.testing.assert_allclose(store.millivolts(np.array([0]))[0], expected, atol=0.00051)
