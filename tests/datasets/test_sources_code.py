"""CODE test and CODE-15 %: rows of HDF5 files, whose leads and unit the signal itself must confirm."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from ecgtransfer import signals
from ecgtransfer.datasets import sources
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request, code
from ecgtransfer.datasets.sources.code_test import LEADS
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError, EcgTransferError, SignalError
from ecgtransfer.signals import STANDARD_LEADS
from tests.datasets.format_files import ecg, tracings, write_code15, write_code_test, write_hdf5, write_table

TEST, CODE15 = sources.get("code-test"), sources.get("code15")
GOLD = [(0, 0, 0, 0, 0, 0), (1, 0, 0, 1, 0, 0), (0, 1, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1)]
PEOPLE = [(63, "F"), (71, "M"), (20, "F"), ("", "M")]
PART0, PART1 = "exams_part0.hdf5", "exams_part1.hdf5"
EXAMS = [
    {"exam_id": 11, "patient_id": 1, "trace_file": PART0, "AF": True},
    {"exam_id": 12, "patient_id": 1, "trace_file": PART0, "is_male": False, "age": 77},
    {"exam_id": 13, "patient_id": 2, "trace_file": PART0, "normal_ecg": True},
    {"exam_id": 21, "patient_id": 3, "trace_file": PART1, "RBBB": True},
    {"exam_id": 22, "patient_id": 4, "trace_file": PART1},
    {"exam_id": 101, "patient_id": 4, "trace_file": "exams_part10.hdf5", "SB": True},
]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_code_test(tmp_path / "data", GOLD, tracings(4, LEADS), PEOPLE)


def test_none_of_the_six_is_a_statement_of_its_own(tiny: Path):
    listing = TEST.list_records(tiny, Request())
    said = [{name for name, value in entry.statements.items() if value} for entry in listing.entries]
    assert said == [{"NORM-CODE"}, {"1AVB", "SB"}, {"RBBB"}, {"STACH"}]
    assert all(set(entry.statements.values()) == {0, 1} for entry in listing.entries)
    assert [(entry.age, entry.sex) for entry in listing.entries] == [
        (63.0, "female"),
        (71.0, "male"),
        (20.0, "female"),
        (None, "male"),
    ]
    assert not listing.patients_known
    assert listing.coverage[0] == ("1dAVb", "1AVB", 1)
    assert ("none of the six", "NORM-CODE", 1) in listing.coverage
    assert ("AF", "AF", 0) in listing.coverage


def test_the_task_of_the_study_in_its_order():
    names = [name for name, _ in TEST.tasks["paper"]]
    assert names == ["NORM", "1dAVb", "RBBB", "LBBB", "SB", "AF", "ST"]
    assert dict(map(tuple, ((name, codes[0]) for name, codes in TEST.tasks["paper"])))["ST"] == "STACH"


def test_leads_by_name_and_padding_stripped(tiny: Path):
    first = TEST.load(tiny / "ecg_tracings.hdf5", {"row": 0})
    second = TEST.load(tiny / "ecg_tracings.hdf5", {"row": 1})
    assert (first.n_samples, second.n_samples) == (2800, 4000)
    assert first.leads == LEADS
    np.testing.assert_allclose(second.signal, ecg(10, 400, seed=1, leads=LEADS), atol=1e-6)
    padded = TEST.load(tiny / "ecg_tracings.hdf5", {"row": 0, "padded": True})
    assert padded.n_samples == 4096
    assert not padded.signal[:, :648].any()
    np.testing.assert_array_equal(padded.signal[:, 648:-648], first.signal)


def test_zeros_within_an_exam_stay(tmp_path: Path):
    values = tracings(1, LEADS, seconds=(10,))
    values[0, 500:700] = 0
    path = write_hdf5(tmp_path / "ecg_tracings.hdf5", tracings=values)
    assert code.load_row(path, 0, LEADS).n_samples == 4000


def test_prepare_code_test(tiny: Path, tmp_path: Path):
    summary = prepare("code-test", tiny.parent, tmp_path / "code.ecgs", quiet=True)
    assert (summary.n_records, summary.n_windows, summary.n_rejected) == (4, 4, 0)
    store = Store.open(tmp_path / "code.ecgs")
    assert store.info.leads == STANDARD_LEADS
    assert any("patient separation cannot be verified" in note for note in store.info.notes)
    assert np.nansum(store.labels(store.task("paper")), axis=0).tolist() == [1, 1, 1, 0, 1, 0, 1]
    window = store.millivolts(np.array([1]))[0]
    one, two, a_vl = window[0], window[1], window[STANDARD_LEADS.index("aVL")]
    np.testing.assert_allclose(a_vl, one - two / 2, atol=0.003)  # it was the fourth column
    assert store.records["flags"].str.contains("short: 7.0 s").tolist() == [True, False, True, False]


def test_the_studys_recipe_keeps_the_padding_and_cuts_both_sides(tiny: Path, tmp_path: Path):
    prepare("code-test", tiny, tmp_path / "paper.ecgs", recipe="paper", quiet=True)
    store = Store.open(tmp_path / "paper.ecgs")
    assert store.n_records == 4
    padded = (
        TEST.load(tiny / "ecg_tracings.hdf5", {"row": 0, "padded": True}).signal[0, ::4][12:-12].astype(float)
    )
    expected = 2 * (padded - padded.min()) / np.ptp(padded) - 1
    np.testing.assert_allclose(store.millivolts(np.array([0]))[0, 0], expected, atol=1e-4)


@pytest.mark.parametrize(
    "order", [STANDARD_LEADS, ("I", "II", "III", "aVF", "aVL", "aVR", *STANDARD_LEADS[6:])]
)
def test_another_order_of_the_leads_is_refused_and_named(tmp_path: Path, order: tuple[str, ...]):
    root = write_code_test(tmp_path, GOLD, tracings(4, order), PEOPLE)
    with pytest.raises(DataError, match=f"leads 4 to 6 are {', '.join(order[3:6])} and not aVL, aVF, aVR"):
        TEST.list_records(root, Request())


def test_a_rescaled_limb_lead_is_refused(tmp_path: Path):
    values = tracings(4, LEADS)
    values[:, :, 2] *= 1.5
    root = write_code_test(tmp_path, GOLD, values, PEOPLE)
    with pytest.raises(DataError, match="III differs from what I and II say by 33 %"):
        TEST.list_records(root, Request())


def test_real_ecgs_tell_the_order_of_their_leads(data: Path, tmp_path: Path):
    values = np.zeros((40, 4096, 12), np.float32)
    for row, path in enumerate(sorted((data / "ptbxl500/records500").rglob("*.hea"))[:40]):
        record = signals.read(path)
        columns = [record.leads.index(lead) for lead in LEADS]
        values[row, 48:-48] = signals.resample(record.signal[columns], 500, 400).T
    path = write_hdf5(tmp_path / "real.hdf5", tracings=values)
    with code.open_file(path) as file:
        for order in itertools.permutations(("aVL", "aVF", "aVR")):
            named = (*LEADS[:3], *order, *LEADS[6:])
            if named == LEADS:
                code.verify(file["tracings"], range(40), named, path)
            else:
                with pytest.raises(DataError, match="leads 4 to 6 are aVL, aVF, aVR and not"):
                    code.verify(file["tracings"], range(40), named, path)


def test_noise_of_the_published_size_passes(tmp_path: Path):
    values = tracings(4, LEADS)
    sizes = values.std(axis=1, keepdims=True)
    noise = np.random.default_rng(0).normal(size=values.shape) * 0.03 * sizes * (values != 0)
    root = write_code_test(tmp_path, GOLD, (values + noise).astype(np.float32), PEOPLE)
    assert len(TEST.list_records(root, Request()).entries) == 4


@pytest.mark.parametrize("scale", [1e-3, 0.1, 10, 1000])
def test_another_unit_is_refused(tmp_path: Path, scale: float):
    root = write_code_test(tmp_path, GOLD, tracings(4, LEADS, scale=scale), PEOPLE)
    with pytest.raises(DataError, match="lead II spans"):
        TEST.list_records(root, Request())


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.5])
def test_the_amplitudes_of_the_published_files_pass(tmp_path: Path, scale: float):
    root = write_code_test(tmp_path, GOLD, tracings(4, LEADS, scale=scale), PEOPLE)
    assert TEST.list_records(root, Request()).entries


def test_an_exam_with_a_dead_lead_does_not_refuse_the_file(tmp_path: Path):
    values = tracings(4, LEADS)
    values[0, :, 0] = 0
    root = write_code_test(tmp_path, GOLD, values, PEOPLE)
    assert len(TEST.list_records(root, Request()).entries) == 4
    values[:, :, 0] = 0
    root = write_code_test(tmp_path / "all", GOLD, values, PEOPLE)
    with pytest.raises(DataError, match="cannot be verified"):
        TEST.list_records(root, Request())


def test_tables_of_another_length_are_refused(tiny: Path):
    write_table(tiny / "attributes.csv", ("age", "sex"), PEOPLE[:3])
    with pytest.raises(DataError, match=r"attributes.csv has 3 rows for 4 tracings"):
        TEST.list_records(tiny, Request())
    write_table(tiny / "annotations/gold_standard.csv", ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST"), GOLD[:2])
    with pytest.raises(DataError, match=r"gold_standard.csv has 2 rows for 4 tracings"):
        TEST.list_records(tiny, Request())


def test_missing_tables(tiny: Path):
    (tiny / "attributes.csv").unlink()
    listing = TEST.list_records(tiny, Request())
    assert all(entry.age is None and entry.sex is None for entry in listing.entries)
    assert any("no attributes.csv" in note for note in listing.notes)
    (tiny / "annotations/gold_standard.csv").unlink()
    with pytest.raises(DataError, match=r"no gold_standard.csv.*zenodo"):
        TEST.list_records(tiny, Request())


def test_a_value_that_is_neither_yes_nor_no_is_refused(tiny: Path):
    write_table(
        tiny / "annotations/gold_standard.csv",
        ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST"),
        [*GOLD[:3], (0, 0, 2, 0, 0, 0)],
    )
    with pytest.raises(DataError, match=r"gold_standard.csv, line 5: '2' is neither"):
        TEST.list_records(tiny, Request())


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"signal": np.zeros((2, 3, 4))}, "no dataset 'tracings', only signal"),
        ({"tracings": np.zeros((2, 12, 4096), np.float32)}, r"shape \(2, 12, 4096\)"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, datasets: dict[str, np.ndarray], message: str):
    write_hdf5(tmp_path / "ecg_tracings.hdf5", **datasets)
    with pytest.raises(DataError, match=message):
        TEST.list_records(tmp_path, Request())


def test_a_truncated_file_is_refused(tiny: Path):
    path = tiny / "ecg_tracings.hdf5"
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(EcgTransferError, match=r"ecg_tracings.hdf5"):
        TEST.list_records(tiny, Request())


def test_rows_that_hold_nothing(tmp_path: Path):
    path = write_hdf5(tmp_path / "x.hdf5", tracings=np.zeros((3, 4096, 12), np.float32))
    with pytest.raises(SignalError, match="zero"):
        code.load_row(path, 0, LEADS)
    with pytest.raises(SignalError, match="no row 3"):
        code.load_row(path, 3, LEADS)


def test_the_open_file_is_replaced_when_the_file_is(tmp_path: Path):
    path = write_hdf5(tmp_path / "x.hdf5", tracings=tracings(3, LEADS))
    before = code.load_row(path, 2, LEADS).signal
    write_hdf5(tmp_path / "y.hdf5", tracings=tracings(5, LEADS, seed=9)).replace(path)
    after = code.load_row(path, 2, LEADS).signal
    assert before.shape != after.shape or not np.array_equal(before, after)
    np.testing.assert_allclose(
        code.load_row(path, 4, LEADS).signal, ecg(7, 400, seed=13, leads=LEADS), atol=1e-6
    )


@pytest.fixture
def tiny15(tmp_path: Path) -> Path:
    return write_code15(tmp_path / "code15", EXAMS, (PART0, PART1))


def test_exams_are_found_by_id_not_by_position(tiny15: Path):
    listing = CODE15.list_records(tiny15, Request())
    rows = {entry.record_id: (entry.file, entry.how["row"]) for entry in listing.entries}
    assert rows == {"11": (PART0, 2), "12": (PART0, 1), "13": (PART0, 0), "21": (PART1, 1), "22": (PART1, 0)}
    assert [entry.record_id for entry in listing.entries] == ["13", "12", "11", "22", "21"]  # as they lie
    said = {e.record_id: {code for code, value in e.statements.items() if value} for e in listing.entries}
    assert said == {"11": {"AF"}, "12": set(), "13": {"NORM-CODE15"}, "21": {"RBBB"}, "22": set()}
    people = {entry.record_id: (entry.patient_id, entry.age, entry.sex) for entry in listing.entries}
    assert people["12"] == ("1", 77.0, "female")


def test_a_part_that_is_not_there_is_counted_not_rejected(tiny15: Path):
    listing = CODE15.list_records(tiny15, Request())
    assert listing.rejected == ()
    assert not listing.complete
    assert listing.notes == ("exams_part10.hdf5 is not there: 1 exams are left out",)
    (tiny15 / "exams_part10.zip").write_bytes(b"PK")
    assert "only its zip archive" in CODE15.list_records(tiny15, Request()).notes[0]


def test_exams_without_a_row_and_rows_without_an_exam_are_rejections(tiny15: Path):
    extra = [*EXAMS[1:], {"exam_id": 14, "patient_id": 9, "trace_file": PART0}]
    table = write_code15(tiny15.parent / "other", extra, ()) / "exams.csv"
    (tiny15 / "exams.csv").write_bytes(table.read_bytes())
    listing = CODE15.list_records(tiny15, Request())
    assert {item.record_id: item.reason for item in listing.rejected} == {
        "14": "exams_part0.hdf5 has no exam 14 (or it is listed twice)",
        "11": "exams.csv does not list it",
    }


def test_prepare_code15(tiny15: Path, tmp_path: Path):
    summary = prepare("code15", tiny15, tmp_path / "c15.ecgs", quiet=True)
    assert (summary.n_records, summary.n_rejected) == (5, 0)
    store = Store.open(tmp_path / "c15.ecgs")
    assert store.info.patients_known
    assert any("exams_part10.hdf5 is not there" in note for note in store.info.notes)
    assert ["AF", "AF", 1] in [list(row) for row in store.info.coverage]
    row = store.records["record_id"].tolist().index("22")  # first in its part: written last to first
    assert store.statements["RBBB"].tolist()[row] == 0
    raw = CODE15.load(tiny15 / PART1, {"row": 0})
    np.testing.assert_allclose(raw.signal, ecg(7, 400, seed=100), atol=1e-6)


def test_a_part_in_the_order_of_the_test_set_is_refused(tiny15: Path):
    values = np.concatenate([tracings(2, LEADS), np.zeros((1, 4096, 12), np.float32)])
    write_hdf5(tiny15 / PART1, exam_id=np.array([21, 22, 0]), tracings=values)
    with pytest.raises(DataError, match="leads 4 to 6 are aVL, aVF, aVR and not aVR, aVL, aVF"):
        CODE15.list_records(tiny15, Request())


@pytest.mark.parametrize(
    ("ids", "message"),
    [(None, "dataset 'exam_id' has the shape"), ([21, 21, 22], "an exam occurs twice")],
)
def test_damaged_ids_are_refused(tiny15: Path, ids: list[int] | None, message: str):
    extra = {} if ids is None else {"exam_id": np.array(ids)}
    write_hdf5(tiny15 / PART1, tracings=tracings(3, STANDARD_LEADS), **extra)
    with pytest.raises(DataError, match=message):
        CODE15.list_records(tiny15, Request())


def test_a_table_without_its_columns_is_refused(tiny15: Path):
    write_table(tiny15 / "exams.csv", ("exam_id", "age", "trace_file"), [(1, 2, PART0)])
    with pytest.raises(DataError, match="column is_male, patient_id, 1dAVb"):
        CODE15.list_records(tiny15, Request())


def test_a_table_of_another_dataset_is_not_this_one(tmp_path: Path):
    write_table(tmp_path / "exams.csv", ("exam_id", "age"), [(1, 2)])
    assert not CODE15.contains(tmp_path)
