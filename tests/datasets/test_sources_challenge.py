"""The Challenge's parts: which record is of which, what it says, and the gains that headers get wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ecgtransfer import signals
from ecgtransfer.datasets import sources, statements
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.sources import Request, challenge
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import DataError
from ecgtransfer.signals import STANDARD_LEADS
from ecgtransfer.signals.readers import wfdb
from ecgtransfer.signals.writer import write_wfdb

MIXTURE = sources.get("challenge2021")
GEORGIA = sources.get("georgia")
CHAPMAN = sources.get("chapman")


def ecg(seconds: float = 10, rate: float = 500, scale: float = 1.0, seed: int = 1) -> np.ndarray:
    """Return twelve leads [12, samples] in mV with a beat per second, about 1.2 mV peak to peak."""
    time = np.arange(round(seconds * rate)) / rate
    beat = np.exp(-(((time % 1) - 0.4) ** 2) / 0.0004) - 0.2 * np.exp(-(((time % 1) - 0.44) ** 2) / 0.0004)
    noise = np.random.default_rng(seed).normal(0, 0.01, (12, len(time)))
    return scale * (np.linspace(0.8, 1.2, 12)[:, None] * beat + noise)


def write(
    folder: Path,
    name: str,
    codes: str = "426783006",
    *,
    rate: float = 500,
    gain: float = 1000,
    says: float = 0,
    **of,
) -> Path:
    """Write a record as the Challenge has it; ``says`` is its header's gain, where that is another one."""
    comments = (
        f"Age: {of.get('age', '63')}",
        f"Sex: {of.get('sex', 'Female')}",
        f"Dx: {codes}",
        "Rx: Unknown",
    )
    signal = of.get("signal", ecg(rate=rate))
    header = write_wfdb(folder, name, signal, rate, STANDARD_LEADS, comments, gain=gain)
    if says:
        header.write_text(header.read_text().replace(f" {gain:g}(0)/mV", f" {says:g}/mV"))
    return header


def entries(source: str, folder: Path) -> dict:
    listing = sources.get(source).list_records(folder, Request())
    return {entry.record_id: entry for entry in listing.entries}


# Parts


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("A0001", "cpsc2018"),
        ("Q3581", "cpsc2018-extra"),
        ("I0075", "incart"),
        ("S0549", "ptb"),
        ("HR21837", "ptbxl"),
        ("E10344", "georgia"),
        ("JS00001", "chapman"),
        ("JS10646", "chapman"),
        ("JS10647", "ningbo"),
        ("JS45551", "ningbo"),
        ("S23074", "ningbo"),
        ("A00001", None),  # CinC 2017
        ("00001_hr", None),
        ("E1", None),
    ],
)
def test_a_record_is_of_the_part_that_its_name_says(name: str, part: str | None):
    found = challenge.part_of(name)
    assert (found.name if found else None) == part


@given(st.integers(1, 45551))
def test_chapman_and_ningbo_are_divided_at_one_number(number: int):
    part = challenge.part_of(f"JS{number:05d}")
    assert part is not None
    assert part.name == ("chapman" if number <= 10646 else "ningbo")


# What a record says


def test_absent_is_only_what_the_own_part_annotates(tmp_path: Path):
    write(tmp_path, "A0001", "164889003")
    write(tmp_path, "HR00007", "713427006,426783006")
    write(tmp_path, "E00001", "164909002")
    found = entries("challenge2021", tmp_path)
    a, hr, e = (found[name].statements for name in ("A0001", "HR00007", "E00001"))
    assert a["AF"] == 1
    assert a["RBBB"] == a["STE"] == 0
    assert "LAD" not in a, "CPSC2018 has nine classes, the axis is none of them"
    assert hr["RBBB"] == hr["SR"] == 1, "the canonical column, and sinus rhythm beside it"
    assert hr["LAD"] == hr["AF"] == 0
    assert "CRBBB" not in hr
    assert e["LBBB"] == 1
    assert e["LAD"] == 0
    assert "BBB" in e
    assert "AMI" not in e
    assert {name: entry.source for name, entry in found.items()} == {
        "A0001": "cpsc2018",
        "HR00007": "ptbxl",
        "E00001": "georgia",
    }


def test_what_is_named_by_its_kind_alone_is_not_absent(tmp_path: Path):
    """Rapid AF (314208002) is a kind of AF: where only that is named, AF is unknown."""
    write(tmp_path, "Q0001", "314208002")
    write(tmp_path, "Q0002", "314208002,164889003")
    write(tmp_path, "Q0003", "426783006")
    said = entries("challenge2021", tmp_path)
    assert [said[name].statements["AF"] for name in ("Q0001", "Q0002", "Q0003")] == [None, 1, 0]
    assert said["Q0001"].statements["RAF"] == 1


def test_every_broader_statement_is_in_the_vocabulary():
    known = statements.vocabulary()
    for code, wide in statements.broader().items():
        assert {code, *wide} <= known.keys()
        assert code not in wide


def test_sinus_rhythm_that_is_named_only_alone_is_unknown_where_it_is_not_named(tmp_path: Path):
    write(tmp_path, "E00001", "426783006")
    write(tmp_path, "E00002", "164889003")
    write(tmp_path, "E00003", "59118001")
    found = entries("georgia", tmp_path)
    assert [found[name].statements.get("SR") for name in sorted(found)] == [1, 0, None]
    assert [found[name].statements["NORM-GEORGIA"] for name in sorted(found)] == [1, 0, 0]
    listing = GEORGIA.list_records(tmp_path, Request())
    assert any("sinus rhythm is named only where nothing else is" in note for note in listing.notes)


def test_sinus_rhythm_that_stands_for_a_normal_ecg_too_is_told(tmp_path: Path):
    write(tmp_path, "E00001")
    assert not any("NORM" in note for note in MIXTURE.list_records(tmp_path, Request()).notes)
    write(tmp_path, "HR00002", "426177001,426783006")
    assert any(
        "for PTB-XL's SR and for its NORM" in n for n in MIXTURE.list_records(tmp_path, Request()).notes
    )


def test_a_code_that_no_table_knows_is_counted_and_flagged(tmp_path: Path):
    write(tmp_path, "E00001", "426783006,999999")
    write(tmp_path, "E00002", "999999,999999")
    listing = GEORGIA.list_records(tmp_path, Request())
    assert listing.coverage == (("999999", None, 2), ("426783006", "SR", 1))
    assert any("'999999' is in no table and left unlabelled in 2 records" in note for note in listing.notes)
    assert all("code not in the crosswalk: 999999" in entry.flags for entry in listing.entries)


def test_a_known_code_that_the_part_does_not_annotate_is_present_and_told(tmp_path: Path):
    write(tmp_path, "S0001", "164865005,251146004")
    write(tmp_path, "S0002", "164865005")
    listing = MIXTURE.list_records(tmp_path, Request())
    first, second = listing.entries
    assert first.statements["LVOLT"] == 1
    assert "LVOLT" not in second.statements
    assert any("LVOLT in ptb (1)" in note for note in listing.notes)


def test_ventricular_ectopics_become_pvc_and_the_notes_say_so(tmp_path: Path):
    write(tmp_path, "A0001", "164884008")
    write(tmp_path, "E00001", "17338001")
    listing = MIXTURE.list_records(tmp_path, Request())
    assert [entry.statements["PVC"] for entry in listing.entries] == [1, 1]
    (note,) = [note for note in listing.notes if "extra mapping" in note]
    assert "164884008 is taken for PVC in 1 record" in note
    assert "17338001" not in " ".join(listing.notes), "an official equivalence needs no remark"


def test_age_and_sex_are_those_of_the_header(tmp_path: Path):
    write(tmp_path, "E00001", age="NaN", sex="Male")
    write(tmp_path, "E00002", age="300", sex="Unknown")
    write(tmp_path, "E00003", age="soon", sex="F")
    found = entries("georgia", tmp_path)
    assert [(e.age, e.sex) for e in found.values()] == [(None, "male"), (90, None), (None, "female")]
    assert "age over 89" in found["E00002"].flags
    assert any("soon" in flag for flag in found["E00003"].flags)


def test_what_cannot_be_used_is_rejected_with_its_reason(tmp_path: Path):
    write(tmp_path, "E00001")
    (tmp_path / "more").mkdir()
    write(tmp_path / "more", "E00001")
    (tmp_path / "E00002.hea").write_text("E00002 12 500 5000\n")
    header = write(tmp_path, "E00003")
    header.write_text("\n".join(line for line in header.read_text().splitlines() if "Dx" not in line))
    write(tmp_path, "E00004", codes="")
    write(tmp_path, "strange")
    listing = GEORGIA.list_records(tmp_path, Request())
    assert [entry.record_id for entry in listing.entries] == ["E00001"]
    reasons = {item.file: item.reason for item in listing.rejected}
    assert "twice: E00001.hea was taken" in reasons["more/E00001.hea"]
    assert "12" in reasons["E00002.hea"]
    assert reasons["E00003.hea"] == "its header has no #Dx line"
    assert reasons["E00004.hea"] == "its #Dx line names no code"
    assert "no part of the Challenge" in reasons["strange.hea"]


def test_records_of_other_parts_are_counted_not_dropped_silently(tmp_path: Path):
    for name in ("E00001", "A0001", "A0002", "JS00001"):
        write(tmp_path, name)
    listing = GEORGIA.list_records(tmp_path, Request())
    assert [entry.record_id for entry in listing.entries] == ["E00001"]
    (note,) = [note for note in listing.notes if "other sources" in note]
    assert "cpsc2018 (2), chapman (1)" in note


def test_the_two_hospitals_of_chapman_annotate_their_own(tmp_path: Path):
    folder = tmp_path / "WFDBRecords/01/010"
    folder.mkdir(parents=True)
    write(folder, "JS00001", "426177001")
    write(folder, "JS10647", "426177001,713427006")
    root = CHAPMAN.find(tmp_path)
    assert root == tmp_path
    listing = CHAPMAN.list_records(root, Request())
    chapman, ningbo = listing.entries
    assert (chapman.source, ningbo.source) == ("chapman", "ningbo")
    assert chapman.statements["AF"] == 0
    assert "AF" not in ningbo.statements
    assert ningbo.statements["RBBB"] == 1
    assert chapman.file == "WFDBRecords/01/010/JS00001.hea"
    assert any("AFL doubtful" in note for note in listing.notes)


def test_the_broken_header_of_chapman_is_rejected(tmp_path: Path):
    """JS01052 and JS23074 are published with their first two lines run together."""
    write(tmp_path, "JS00001")
    header = write(tmp_path, "JS01052")
    header.write_text(header.read_text().replace("\n", "", 1))
    listing = CHAPMAN.list_records(tmp_path, Request())
    assert [entry.record_id for entry in listing.entries] == ["JS00001"]
    assert [item.record_id for item in listing.rejected] == ["JS01052"]


@pytest.mark.parametrize("name", ["georgia", "chapman", "challenge2021", "cpsc2018"])
def test_an_unrelated_folder_is_not_taken_for_the_dataset(name: str, tmp_path: Path):
    write(tmp_path, "A00001")
    with pytest.raises(DataError, match="nor a folder or archive that holds it"):
        prepare(name, tmp_path, tmp_path / "x.ecgs", quiet=True)


# Gains


@pytest.mark.parametrize(("name", "says"), [("HR00001", 200), ("E00001", 4880)])
def test_a_wrong_gain_gives_the_very_samples_of_a_right_header(name: str, says: float, tmp_path: Path):
    (tmp_path / "right").mkdir()
    right = write(tmp_path / "right", name)
    wrong = write(tmp_path, name, says=says)
    entry = entries("challenge2021", tmp_path)[name]
    assert entry.flags == (f"gain corrected: header {says:g}/mV, 1000/mV used",)
    assert MIXTURE.load(right, {}).signal.tobytes() == MIXTURE.load(wrong, entry.how).signal.tobytes()
    # The reader itself stays equal to the header.
    np.testing.assert_allclose(
        signals.read(wrong).signal * says / 1000, signals.read(right).signal, rtol=1e-5
    )


def test_no_sample_stays_no_sample(tmp_path: Path):
    signal = ecg()
    signal[3, 100:200] = np.nan
    wrong = write(tmp_path, "HR00001", says=200, signal=signal)
    entry = entries("challenge2021", tmp_path)["HR00001"]
    record = MIXTURE.load(wrong, entry.how)
    assert_array_equal(np.isnan(record.signal), np.isnan(signal))


def test_a_gain_that_the_samples_do_not_contradict_is_left_and_flagged(tmp_path: Path):
    """At 200/mV this is an ordinary ECG, and its samples show no steps of 5."""
    write(tmp_path, "HR00001", gain=200)
    listing = MIXTURE.list_records(tmp_path, Request())
    (entry,) = listing.entries
    assert entry.how == {}
    assert entry.flags == ("gain doubtful: header 200/mV, which is wrong in other records; it was used",)
    assert any("HR00001" in note for note in listing.notes)


def test_steps_of_the_recorder_confirm_what_the_amplitude_does_not(tmp_path: Path):
    """An ECG of 0.3 mV looks right at 200/mV, but it is made of multiples of 5 µV."""
    small = np.round(ecg(scale=0.25) * 200) / 200
    write(tmp_path, "HR00001", signal=small, says=200)
    assert entries("challenge2021", tmp_path)["HR00001"].how == {"gain": 1000.0}
    large = np.trunc(np.round(ecg(scale=3) * 1000 / 4.88) * 4.88) / 1000
    write(tmp_path, "E00001", signal=large, says=4880)
    assert entries("challenge2021", tmp_path)["E00001"].how == {"gain": 1000.0}


@pytest.mark.parametrize(
    ("name", "says"), [("E00001", 200), ("HR00001", 4880), ("A0001", 200), ("JS00001", 4880)]
)
def test_only_known_pairs_of_part_and_gain_are_doubted(name: str, says: float, tmp_path: Path):
    write(tmp_path, name, says=says)
    entry = entries("challenge2021", tmp_path)[name]
    assert (entry.how, entry.flags) == ({}, ())


# The real files


def test_exactly_58_real_records_are_corrected(data: Path):
    listing = MIXTURE.list_records(data / "challenge2021", Request())
    assert len(listing.entries) == 231
    assert listing.rejected == ()
    assert Counter(entry.source for entry in listing.entries) == {
        "cpsc2018": 56,
        "georgia": 73,
        "ptb": 10,
        "ptbxl": 92,
    }
    corrected = {entry.record_id: entry for entry in listing.entries if entry.how}
    assert len(corrected) == 58
    assert {name for name in corrected if name.startswith("E")} == {"E00015", "E00018", "E00793"}
    for entry in listing.entries:
        wrong = wfdb.read_header(data / "challenge2021" / entry.file).signals[0].gain != 1000
        assert bool(entry.how) == wrong == any("gain corrected" in flag for flag in entry.flags)
    # Their amplitude becomes that of the others, which it was five times above or below.
    spans = {name: [] for name in ("ptbxl", "georgia")}
    for entry in corrected.values():
        record = MIXTURE.load(data / "challenge2021" / entry.file, entry.how)
        spans[entry.source].append(float(np.median(np.ptp(record.signal, axis=1))))
    assert 1.0 < np.median(spans["ptbxl"]) < 1.5
    assert min(spans["ptbxl"]) > 0.5
    assert min(spans["georgia"]) > 0.8


def test_real_records_are_those_of_ptbxl_sample_by_sample(data: Path):
    listing = MIXTURE.list_records(data / "challenge2021", Request())
    compared = []
    for entry in listing.entries:
        number = entry.record_id.removeprefix("HR")
        original = data / f"ptbxl500/records500/00000/{number}_hr.hea"
        if entry.source == "ptbxl" and original.exists():
            ours = MIXTURE.load(data / "challenge2021" / entry.file, entry.how)
            assert ours.signal.tobytes() == signals.read(original).signal.tobytes(), entry.record_id
            compared.append(bool(entry.how))
    assert Counter(compared) == {False: 10, True: 2}


def test_every_real_code_is_known(data: Path):
    listing = MIXTURE.list_records(data / "challenge2021", Request())
    assert [label for label, code, _ in listing.coverage if code is None] == []
    assert listing.coverage[0] == ("426783006", "SR", 107)
    assert ("164889003", "AF", 57) in listing.coverage
    assert [count for *_, count in listing.coverage] == sorted(
        (c for *_, c in listing.coverage), reverse=True
    )
    # 47 of 57 are CPSC's.
    af = Counter(entry.source for entry in listing.entries if entry.statements.get("AF") == 1)
    assert (af["cpsc2018"], sum(af.values())) == (47, 57)


def test_the_real_mixture_becomes_a_store(data: Path, tmp_path: Path):
    summary = prepare("challenge2021", data / "challenge2021", tmp_path / "c.ecgs", quiet=True, workers=1)
    store = Store.open(tmp_path / "c.ecgs")
    assert store.n_records == 231
    assert not store.info.patients_known
    assert any("patient separation cannot be verified" in note for note in store.info.notes)
    assert any("gain corrected in 58 records" in note for note in store.info.notes)
    assert "58 records flagged 'gain corrected'" in summary.notes
    assert Counter(store.records["source"]) == {"georgia": 73, "cpsc2018": 56, "ptbxl": 92, "ptb": 10}
    assert len(store.info.coverage) == 40
    labels = store.labels(store.task("scored"))
    names = store.task("scored").target_names
    lad = labels[:, names.index("LAD")]
    unknown = store.records["source"].isin(["cpsc2018", "ptb"])
    assert_array_equal(np.isnan(lad), unknown)
    assert (labels[:, names.index("AF")] == 1).sum() == 57
    # What PTB-XL calls CRBBB is found under the Challenge's column.
    target = sources.get("ptbxl").tasks["all"]
    assert ["CRBBB", ["CRBBB"]] in target
    assert "CRBBB" not in store.statements.columns


@pytest.mark.parametrize(("source", "share"), [("georgia", 19 / 73), ("cpsc2018", 3 / 56)])
def test_the_studys_task_on_real_records(source: str, share: float, data: Path):
    listing = sources.get(source).list_records(data / "challenge2021", Request())
    (code,) = dict(listing.tasks["paper"])["NORM"]
    values = [entry.statements[code] for entry in listing.entries]
    assert sum(values) / len(values) == pytest.approx(share)
    assert listing.annotates == statements.annotated(source)
