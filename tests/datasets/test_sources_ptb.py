"""PTB: reasons for admission are statements of their own, patients are folders, Frank leads are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgtransfer import signals
from ecgtransfer.datasets import sources, statements
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request
from ecgtransfer.datasets.sources.ptb import clinical_fields
from ecgtransfer.datasets.store import Store
from tests.datasets.format_files import ecg, write_ptb

PTB = sources.get("ptb")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    root = tmp_path / "ptbdb"
    write_ptb(root, "patient001/s0010_re", "Myocardial infarction")
    write_ptb(root, "patient001/s0014lre", "Myocardial infarction")
    write_ptb(root, "patient104/s0306lre", "Healthy control", age="45", sex="male")
    write_ptb(root, "patient285/s0544_re", "n/a", age="n/a", sex="")
    write_ptb(root, "patient200/s0400_re", "Heart failure (NYHA 3)")
    return root


def test_reasons_become_statements(tiny: Path):
    entries = {entry.record_id: entry for entry in PTB.list_records(tiny, Request()).entries}
    healthy, infarct = entries["patient104/s0306lre"], entries["patient001/s0010_re"]
    assert {code for code, value in healthy.statements.items() if value} == {"NORM-PTB"}
    assert {code for code, value in infarct.statements.items() if value} == {"ADM-MI"}
    assert set(infarct.statements.values()) == {0, 1}  # a patient has one reason
    assert (healthy.age, healthy.sex, healthy.patient_id) == (45.0, "male", "patient104")
    assert entries["patient001/s0014lre"].patient_id == infarct.patient_id == "patient001"


def test_a_reason_that_is_not_known_leaves_all_unknown(tiny: Path):
    listing = PTB.list_records(tiny, Request())
    entry = next(entry for entry in listing.entries if entry.patient_id == "patient285")
    assert set(entry.statements.values()) == {None}
    assert (entry.age, entry.sex) == (None, None)
    assert any("1 records have no known reason" in note for note in listing.notes)


def test_a_reason_in_other_words_is_counted_and_flagged_not_guessed(tiny: Path):
    write_ptb(tiny, "patient201/s0410_re", "Myocardial infarct")
    listing = PTB.list_records(tiny, Request())
    entry = next(entry for entry in listing.entries if entry.patient_id == "patient201")
    assert set(entry.statements.values()) == {None}
    assert "Myocardial infarct" in entry.flags[0]
    assert listing.coverage == (
        ("Myocardial infarction", "ADM-MI", 2),
        ("Healthy control", "NORM-PTB", 1),
        ("Heart failure (NYHA 3)", "ADM-HF", 1),
        ("Myocardial infarct", None, 1),
    )


def test_none_of_its_statements_is_shared_with_what_an_ecg_shows():
    for source in sources.names():
        if source != "ptb":
            assert not set(statements.annotated("ptb")) & set(statements.annotated(source)), source
    assert PTB.tasks["paper"] == [["NORM", ["NORM-PTB"]], ["MI", ["ADM-MI"]]]


def test_the_first_of_two_equal_keys_counts():
    assert clinical_fields(("# Catheterization date: 1", "#  Catheterization date: n/a", "# Therapy:")) == {
        "catheterization date": "1",
        "therapy": "",
    }


def test_frank_leads_are_left_out_and_the_rest_is_in_mv(tiny: Path):
    record = PTB.load(tiny / "patient001/s0010_re.hea", {})
    assert record.leads == signals.STANDARD_LEADS
    expected = ecg(12, 1000, seed=0, leads=(*signals.STANDARD_LEADS, "vx", "vy", "vz"))[:12]
    np.testing.assert_allclose(record.signal, expected, atol=0.00026)


def test_a_missing_file_of_a_record_is_a_rejection(tiny: Path, tmp_path: Path):
    (tiny / "patient001/s0014lre.xyz").unlink()
    (tiny / "RECORDS").write_text("patient001/s0010_re\npatient001/s0016lre\n")
    summary = prepare("ptb", tiny, tmp_path / "ptb.ecgs", quiet=True)
    reasons = {row["record_id"]: row["reason"] for row in summary.rejected}
    assert set(reasons) == {"patient001/s0014lre", "patient001/s0016lre"}
    assert "s0014lre.xyz" in reasons["patient001/s0014lre"]
    assert "not there" in reasons["patient001/s0016lre"]


def test_prepare(tiny: Path, tmp_path: Path):
    summary = prepare("ptb", tiny.parent, tmp_path / "ptb.ecgs", quiet=True)
    assert (summary.n_records, summary.n_listed, summary.n_rejected) == (5, 5, 0)
    store = Store.open(tmp_path / "ptb.ecgs")
    assert store.info.patients_known
    assert store.records["patient_id"].nunique() == 4
    assert store.info.n_windows == 10  # 12 s give two windows each
    labels = store.labels(store.task("paper"))
    by_record = dict(zip(store.records["record_id"], labels.tolist(), strict=True))
    assert by_record["patient104/s0306lre"] == [1, 0]
    assert by_record["patient200/s0400_re"] == [0, 0]
    assert np.isnan(by_record["patient285/s0544_re"]).all()
    assert not any("vx" in flags for flags in store.records["flags"])


def test_paper_recipe_takes_every_tenth_sample_unscaled(tiny: Path, tmp_path: Path):
    prepare("ptb", tiny, tmp_path / "paper.ecgs", recipe="paper", quiet=True)
    store = Store.open(tmp_path / "paper.ecgs")
    row = store.records["record_id"].tolist().index("patient001/s0010_re")
    raw = PTB.load(tiny / "patient001/s0010_re.hea", {}).signal
    np.testing.assert_allclose(
        store.millivolts(store.rows_of(np.array([row])))[0], raw[:, :10000:10], atol=0.00051
    )


def test_a_real_recording_comes_through_as_the_challenge_has_it(data: Path, tmp_path: Path):
    """The Challenge's S records are PTB's, at 1000 Hz and 1000 steps per mV: written back as PTB has them."""
    paths = sorted((data / "challenge2021").glob("S*.hea"))
    assert len(paths) == 10
    for number, path in enumerate(paths[:3], start=1):
        original = signals.read(path)
        assert original.sampling_rate == 1000
        cut = original.signal[:, :15000]
        write_ptb(
            tmp_path / "ptbdb",
            f"patient{number:03d}/s{number:04d}_re",
            "Myocardial infarction",
            signal=np.concatenate([cut, 0.5 * cut[:3]]),
        )
    prepare("ptb", tmp_path, tmp_path / "real.ecgs", quiet=True)
    store = Store.open(tmp_path / "real.ecgs")
    assert store.n_records == 3
    for record, path in enumerate(paths[:3]):
        cut = signals.read(path).signal[:, :15000]
        expected = signals.resample(cut, 1000, 100)[:, :1000]
        np.testing.assert_allclose(
            store.millivolts(store.rows_of(np.array([record])))[0], expected, atol=0.0008
        )
