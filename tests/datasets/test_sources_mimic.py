"""MIMIC-IV-ECG: what a line of the report leaves open is unknown, and what is not there is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgtransfer import signals
from ecgtransfer.datasets import sources, statements
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request
from ecgtransfer.datasets.sources.mimic_iv_ecg import _CROSSWALK, _GROUPS, plain, statements_of
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError
from tests.datasets.format_files import write_mimic, write_table

MIMIC = sources.get("mimic-iv-ecg")
STUDIES = [
    (10000032, 40689238, ["Sinus rhythm", "", "Possible left anterior fascicular block", "Borderline ECG"]),
    (10000032, 44458630, ["Sinus rhythm.", "Normal ECG"]),
    (10000117, 45090959, ["Atrial fibrillation with rapid ventricular response", "Summary: abnormal ECG"]),
    (10010440, 41000000, ["Sinus bradycardia", "Dancing of the heart", "Abnormal ECG"]),
    (11000000, 42000000, ["Sinus rhythm", "Normal ECG"]),
]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_mimic(tmp_path / "mimic", STUDIES, absent=[42000000])


def said(*lines: str) -> tuple[set[str], set[str]]:
    values, _ = statements_of(tuple(map(plain, lines)))
    return (
        {code for code, value in values.items() if value == 1},
        {code for code, value in values.items() if value is None},
    )


@pytest.mark.parametrize(
    ("lines", "present", "unknown"),
    [
        (["Sinus rhythm", "Normal ECG"], {"SR", "NORM-MIMIC"}, set()),
        (["Sinus rhythm", "Abnormal ECG"], {"SR"}, set()),
        (["Sinus rhythm"], {"SR"}, {"NORM-MIMIC"}),
        (["Sinus rhythm with PAC(s) and PVC(s)", "Borderline ECG"], {"SR", "PAC", "PVC"}, set()),
        (["Sinus rhythm with borderline 1st degree A-V block", "Borderline ECG"], {"SR"}, {"1AVB"}),
        (["RBBB and LAFB", "Abnormal ECG"], {"RBBB", "LAFB"}, set()),
        (["Left ventricular hypertrophy by voltage only", "Abnormal ECG"], set(), {"LVH"}),
        (["--- Warning: data quality may affect interpretation ---", "Normal ECG"], {"NORM-MIMIC"}, set()),
        # Lines that no table knows leave open what they may speak of, and no more.
        (["Sinus rhythm", "Inferior ST-T changes are nonspecific", "Abnormal ECG"], {"SR"}, set()),
        (["Sinus rhythm", "Strange axis", "Abnormal ECG"], {"SR"}, {"LAD", "RAD"}),
        (["Sinus rhythm", "Weird PVCs", "Abnormal ECG"], {"SR"}, {"PVC", "PAC"}),
    ],
)
def test_lines_become_statements(lines: list[str], present: set[str], unknown: set[str]):
    assert said(*lines) == (present, unknown)


def test_a_study_without_a_patient_leaves_the_separation_unverified(tiny: Path):
    assert MIMIC.list_records(tiny, Request()).patients_known
    table = tiny / "record_list.csv"
    text = table.read_text()
    table.write_text(text.replace("\n10000117,", "\n,"))
    assert table.read_text() != text
    listing = MIMIC.list_records(tiny, Request())
    assert [entry.record_id for entry in listing.entries if entry.patient_id is None] == ["45090959"]
    assert not listing.patients_known


def test_a_line_of_which_nothing_is_understood_leaves_all_else_unknown():
    present, unknown = said("Sinus bradycardia", "Dancing of the heart", "Abnormal ECG")
    assert present == {"SB"}
    assert unknown == set(statements.annotated("mimic-iv-ecg")) - {"SB", "NORM-MIMIC"}


def test_without_a_report_nothing_is_known():
    assert said() == (set(), set(statements.annotated("mimic-iv-ecg")))


def test_groups_and_crosswalk_speak_of_the_same_statements():
    annotated = set(statements.annotated("mimic-iv-ecg"))
    grouped = {code for _, codes in _GROUPS for code in codes}
    assert grouped <= annotated
    named = {code.rstrip("?").removesuffix("=0") for codes in _CROSSWALK.values() for code in codes}
    assert named == annotated == grouped
    assert all(line == plain(line) for line in _CROSSWALK)


def test_what_is_not_there_is_counted(tiny: Path):
    listing = MIMIC.list_records(tiny, Request())
    assert [entry.record_id for entry in listing.entries] == ["40689238", "44458630", "45090959", "41000000"]
    assert any(
        "1 records are in folders that are not there: files/p1100 (1)" in note for note in listing.notes
    )
    assert listing.rejected == ()
    assert ("dancing of the heart", None, 1) in listing.coverage
    assert listing.coverage[0] == ("abnormal ecg", "NORM-MIMIC=0", 2)
    assert listing.entries[3].flags == ("report lines not in the crosswalk: 1",)
    assert listing.entries[0].patient_id == listing.entries[1].patient_id == "10000032"
    assert {entry.device for entry in listing.entries} == {"cart 6848296"}


def test_a_missing_file_in_a_folder_that_is_there_is_a_rejection(tiny: Path):
    place = "files/p1000/p10000032/s44458630/44458630.hea"
    (tiny / place).unlink()
    listing = MIMIC.list_records(tiny, Request())
    assert [(item.record_id, item.file) for item in listing.rejected] == [("44458630", place)]
    rows = (tiny / "machine_measurements.csv").read_text().splitlines()
    (tiny / "machine_measurements.csv").write_text("\n".join(rows[:-2] + rows[-1:]) + "\n")
    reasons = {item.record_id: item.reason for item in MIMIC.list_records(tiny, Request()).rejected}
    assert reasons["41000000"] == "machine_measurements.csv has no report of it"


def test_tables_are_needed(tiny: Path):
    (tiny / "machine_measurements.csv").unlink()
    with pytest.raises(DataError, match=r"no machine_measurements.csv.*physionet"):
        MIMIC.list_records(tiny, Request())
    write_table(tiny / "record_list.csv", ("subject_id", "path"), [])
    with pytest.raises(DataError, match="column study_id is missing"):
        MIMIC.list_records(tiny, Request())


def test_a_path_outside_the_dataset_is_refused(tiny: Path):
    write_table(tiny / "record_list.csv", ("subject_id", "study_id", "path"), [(1, 2, "files/../../secret")])
    with pytest.raises(DataError, match="outside the dataset"):
        MIMIC.list_records(tiny, Request())


def test_prepare(tiny: Path, tmp_path: Path):
    summary = prepare("mimic-iv-ecg", tiny, tmp_path / "mimic.ecgs", quiet=True)
    assert (summary.n_records, summary.n_rejected) == (4, 0)
    store = Store.open(tmp_path / "mimic.ecgs")
    assert store.info.leads == signals.STANDARD_LEADS
    assert any("machine's readings" in note for note in store.info.notes)
    assert store.records["flags"].str.contains("lead V1: no sample in 0.1 %").all()
    window = store.millivolts(np.array([0]))[0]
    aVL, aVF = (window[signals.STANDARD_LEADS.index(lead)] for lead in ("aVL", "aVF"))
    np.testing.assert_allclose(aVL, window[0] - window[1] / 2, atol=0.02)
    np.testing.assert_allclose(aVF, window[1] - window[0] / 2, atol=0.02)
    assert store.statements["NORM-MIMIC"].tolist() == [0, 1, 0, 0]
    assert store.statements["LAFB"].isna().tolist() == [True, False, False, True]
