"""PTB-XL: every code whatever its likelihood, folds only when complete, missing files named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgtransfer.datasets import sources
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request, ptbxl
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError

PTBXL = sources.get("ptbxl")
COLUMNS = "ecg_id,patient_id,age,sex,scp_codes,strat_fold,static_noise,filename_lr,filename_hr"


def table(root: Path, *rows: str) -> Path:
    (root / "ptbxl_database.csv").write_text("\n".join([COLUMNS, *rows]) + "\n")
    return root


def row(
    number: int, codes: str, *, age: str = "56.0", sex: str = "1", fold: str = "3", noise: str = ""
) -> str:
    files = f"records100/{number}_lr,records500/{number}_hr"
    return f'{number},157{number}.0,{age},{sex},"{codes}",{fold},{noise},{files}'


def test_a_code_is_present_whatever_its_likelihood(tmp_path: Path):
    root = table(
        tmp_path, row(1, "{'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}"), row(2, "{'AFIB': 0.0, 'IMI': 15.0}")
    )
    first, second = PTBXL.list_records(root, Request()).entries
    assert {code for code, value in first.statements.items() if value} == {"NORM", "LVOLT", "SR"}
    assert {code for code, value in second.statements.items() if value} == {"AF", "IMI"}
    assert set(first.statements.values()) == {0, 1}
    assert len(first.statements) == 71


def test_sex_age_patient_fold_and_quality(tmp_path: Path):
    root = table(
        tmp_path,
        row(1, "{'SR': 0.0}", sex="0", age="300.0", noise='", I-V1,  "'),
        row(2, "{'SR': 0.0}", sex="1", age=""),
    )
    first, second = PTBXL.list_records(root, Request()).entries
    assert (first.sex, first.age, first.patient_id, first.fold) == ("male", 90.0, "1571", 3)
    assert first.flags == ("age over 89", "static noise: I-V1")
    assert (second.sex, second.age, second.flags) == ("female", None, ())


def test_a_row_without_a_patient_leaves_the_separation_unverified(tmp_path: Path):
    rows = [row(1, "{'SR': 0.0}"), row(2, "{'SR': 0.0}")]
    assert PTBXL.list_records(table(tmp_path, *rows), Request()).patients_known
    listing = PTBXL.list_records(table(tmp_path, rows[0], rows[1].replace(",1572.0,", ",,")), Request())
    assert [entry.patient_id for entry in listing.entries] == ["1571", None]
    assert not listing.patients_known


def test_the_rate_decides_between_the_two_sets_of_files(tmp_path: Path):
    root = table(tmp_path, row(1, "{'SR': 0.0}"))
    assert PTBXL.list_records(root, Request(rate=100)).entries[0].file == "records100/1_lr.hea"
    assert PTBXL.list_records(root, Request(rate=250)).entries[0].file == "records500/1_hr.hea"


def test_rows_that_cannot_be_read_are_rejected_and_unknown_codes_listed(tmp_path: Path):
    root = table(
        tmp_path, row(1, "not a dictionary"), row(2, "{'SR': 0.0, 'NEW': 50.0}"), row(3, "{'SR': 0.0}")
    )
    listing = PTBXL.list_records(root, Request())
    assert [entry.record_id for entry in listing.entries] == ["2", "3"]
    assert [item.record_id for item in listing.rejected] == ["1"]
    assert "scp_codes" in listing.rejected[0].reason
    assert listing.notes == ("SCP code 'NEW' is not in the crosswalk and left unlabelled in 1 records",)
    assert listing.coverage == (("SR", "SR", 2), ("NEW", None, 1))


def test_a_table_without_a_needed_column_is_refused(tmp_path: Path):
    (tmp_path / "ptbxl_database.csv").write_text("ecg_id,age\n1,50\n")
    with pytest.raises(DataError, match="column patient_id, sex"):
        PTBXL.list_records(tmp_path, Request())


def test_official_folds_need_the_complete_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = table(tmp_path, row(1, "{'SR': 0.0}"), row(2, "{'SR': 0.0}"))
    assert not PTBXL.list_records(root, Request()).complete
    monkeypatch.setattr(ptbxl, "COMPLETE", (2,))
    assert PTBXL.list_records(root, Request()).complete


def test_the_superclasses_of_the_subset(data: Path, tmp_path: Path):
    summary = prepare("ptbxl", data / "ptbxl500", tmp_path / "p.ecgs", quiet=True)
    assert (summary.n_records, summary.n_listed, summary.n_windows) == (500, 500, 500)
    store = Store.open(tmp_path / "p.ecgs")
    assert not store.info.official_folds
    assert store.records["patient_id"].nunique() == 466
    assert (store.records["sex"] == "male").sum() == 249
    task = store.task("superclass")
    assert task.target_names == ("NORM", "MI", "STTC", "HYP", "CD")
    assert store.task("paper").target_names == task.target_names
    labels = store.labels(task)
    assert dict(zip(task.target_names, labels.sum(axis=0).tolist(), strict=True)) == {
        "NORM": 297,
        "MI": 73,
        "STTC": 96,
        "HYP": 40,
        "CD": 78,
    }
    assert (labels.sum(axis=1) == 0).sum() == 12
    rhythm = store.task("rhythm")
    assert len(rhythm.targets) == 12
    assert np.nansum(store.labels(rhythm)[:, rhythm.target_names.index("AF")]) == 13
    assert len(store.task("all").targets) == 71
    coverage = {label: (code, count) for label, code, count in store.info.coverage}
    assert coverage["AFIB"] == ("AF", 13)
    assert None not in {code for code, _ in coverage.values()}


def test_files_that_are_not_there_are_rejected(data: Path, tmp_path: Path):
    summary = prepare("ptbxl", data / "ptbxl500", tmp_path / "p.ecgs", rate=250.0, quiet=True)
    assert summary.sentence() == "200 of 500 records, 200 windows, 300 rejected (see rejected.csv)"
    assert summary.rejected[0]["file"] == "records500/00000/00201_hr.hea"
    assert "no such file" in summary.rejected[0]["reason"]
