from __future__ import annotations

import builtins
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ecgtransfer import signals
from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers import wfdb as reader
from tests.signals.wfdb_files import LIMITS, checksum, encode, write_header, write_record

wfdb = pytest.importorskip("wfdb")


def samples(kind: int = 16, n: int = 101, leads: int = 3, seed: int = 0) -> np.ndarray:
    limit = min(LIMITS[kind], 2**30)
    return np.random.default_rng(seed).integers(-limit, limit + 1, size=(n, leads))


def assert_like_wfdb(header: Path) -> None:
    """Digital samples are identical to wfdb's, mV within one unit in the last place of float32."""
    name = str(header)[:-4]
    digital, parsed = reader.read_digital(header)
    record = signals.read(header)
    theirs = wfdb.rdrecord(name)
    np.testing.assert_array_equal(digital, wfdb.rdrecord(name, physical=False).d_signal)
    units = {"mV": 1.0, "mv": 1.0, "uV": 1000.0, "V": 0.001}
    expected = np.stack([theirs.p_signal[:, k] / units[unit] for k, unit in enumerate(theirs.units)])
    np.testing.assert_array_max_ulp(record.signal, expected.astype(np.float32), maxulp=1)
    assert record.signal.dtype == np.float32
    assert record.sampling_rate == parsed.sampling_rate == theirs.fs
    assert list(record.comments) == theirs.comments
    assert record.leads == tuple(signals.standard_lead(lead) for lead in theirs.sig_name)


@pytest.mark.parametrize("kind", sorted(LIMITS))
@pytest.mark.parametrize(("n", "leads"), [(1, 1), (2, 3), (101, 3), (100, 1), (101, 1)])
def test_every_format_gives_the_samples_that_were_written(tmp_path, kind, n, leads):
    digital = samples(kind, n, leads)
    header = write_record(tmp_path, digital, kind=kind, leads=("I", "II", "V1")[:leads], scale="37.5(-12)/mV")
    np.testing.assert_array_equal(reader.read_digital(header)[0], digital)
    np.testing.assert_allclose(signals.read(header).signal, (digital.T + 12) / 37.5, rtol=1e-6)
    assert_like_wfdb(header)


@pytest.mark.parametrize("suffix", ["+24", "x1+24", "+1", "x1", "x1:0+24"])
@pytest.mark.parametrize("kind", sorted(LIMITS))
def test_byte_offsets_and_one_sample_per_frame(tmp_path, kind, suffix):
    offset = int(suffix.partition("+")[2] or 0)
    header = write_record(tmp_path, samples(kind), kind=kind, suffix=suffix, prefix=b"\x55" * offset)
    np.testing.assert_array_equal(reader.read_digital(header)[0], samples(kind))
    assert_like_wfdb(header)


def test_one_file_per_lead_and_files_of_several_formats(tmp_path):
    lines, columns = ["rec 5 250 40"], []
    for kind, leads in ((16, ("I",)), (212, ("II", "III")), (61, ("V1",)), (80, ("V2",))):
        digital = samples(kind, 40, len(leads), seed=kind)
        (tmp_path / f"rec_{kind}.dat").write_bytes(encode(digital, kind))
        lines += [f"rec_{kind}.dat {kind} 200(3)/mV 12 0 0 0 0 {lead}" for lead in leads]
        columns.append(digital)
    header = write_header(tmp_path, lines)
    digital, parsed = reader.read_digital(header)
    np.testing.assert_array_equal(digital, np.concatenate(columns, axis=1))
    assert parsed.n_signals == 5
    assert_like_wfdb(header)


def test_a_32_bit_file_beside_a_16_bit_one_keeps_its_width(tmp_path):
    wide, narrow = samples(32, 30, 1), samples(16, 30, 1)
    (tmp_path / "a.dat").write_bytes(encode(wide, 32))
    (tmp_path / "b.dat").write_bytes(encode(narrow, 16))
    header = write_header(
        tmp_path, ["rec 2 250 30", "a.dat 32 1e5/mV 0 0 0 0 0 I", "b.dat 16 200/mV 0 0 0 0 0 II"]
    )
    np.testing.assert_array_equal(reader.read_digital(header)[0], np.concatenate([wide, narrow], axis=1))
    assert_like_wfdb(header)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=npst.arrays(
        np.int64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(-2047, 2047)
    )
)
def test_format_212_round_trip(tmp_path, pairs):
    leads = ("I", "II", "III", "V1")[: pairs.shape[1]]
    header = write_record(tmp_path, pairs, kind=212, leads=leads)
    np.testing.assert_array_equal(reader.read_digital(header, verify_checksums=True)[0], pairs)


@pytest.mark.parametrize("kind", sorted(LIMITS))
def test_the_invalid_value_of_a_format_is_nan(tmp_path, kind):
    digital = samples(kind)
    digital[5, 1] = digital[0, 2] = -LIMITS[kind] - 1
    header = write_record(tmp_path, digital, kind=kind)
    nan = np.isnan(signals.read(header).signal)
    assert nan[1, 5]
    assert nan[2, 0]
    assert nan.sum() == 2
    assert_like_wfdb(header)


def test_the_invalid_value_of_another_format_is_a_sample(tmp_path):
    (tmp_path / "a.dat").write_bytes(encode(np.array([[-128], [1]]), 80))
    (tmp_path / "b.dat").write_bytes(encode(np.array([[-128], [1]]), 16))
    header = write_header(
        tmp_path, ["rec 2 250 2", "a.dat 80 200/mV 0 0 0 0 0 I", "b.dat 16 200/mV 0 0 0 0 0 II"]
    )
    assert np.isnan(signals.read(header).signal).tolist() == [[True, False], [False, False]]
    assert_like_wfdb(header)


@pytest.mark.parametrize(
    ("scale", "zero", "gain", "baseline"),
    [
        ("1716(6)/mV", 0, 1716, 6),
        ("1000.0(0)/mV", 9, 1000, 0),
        ("1000/mv", 1024, 1000, 1024),
        ("200", 0, 200, 0),
        ("0", 0, 200, 0),
        ("0.5(-3)/uV", 0, 500, -3),
        ("2e5/V", 0, 200, 0),
        ("4.88/UV", 0, 4880, 0),
        ("1.5/µV", 0, 1500, 0),
        ("1.5/μV", 0, 1500, 0),
        ("123.456789(70000)/mV", 0, 123.456789, 70000),
    ],
)
def test_gain_baseline_zero_and_units(tmp_path, scale, zero, gain, baseline):
    digital = samples(16)
    header = write_record(tmp_path, digital, scale=scale, zero=zero)
    expected = ((digital.T.astype(float) - baseline) / gain).astype(np.float32)
    np.testing.assert_array_max_ulp(signals.read(header).signal, expected, maxulp=1)


def test_a_latin1_micro_sign_is_not_lost(tmp_path):
    header = write_record(tmp_path, samples(), scale="1.5/µV")
    expected = signals.read(header).signal
    header.write_bytes(header.read_text(encoding="utf-8").encode("latin-1"))
    np.testing.assert_array_equal(signals.read(header).signal, expected)


def test_defaults_of_a_short_header(tmp_path):
    digital = samples(16, 30, 2)
    (tmp_path / "rec.dat").write_bytes(encode(digital, 16))
    header = write_header(tmp_path, ["# before", "rec 2", "rec.dat 16", "rec.dat 16"])
    record = signals.read(header)
    assert record.sampling_rate == 250
    assert record.leads == ("signal 1", "signal 2")
    np.testing.assert_allclose(record.signal, digital.T / 200, rtol=1e-6)
    assert len(record.metadata["uncalibrated"]) == 2
    assert record.comments == ("before",)


@pytest.mark.parametrize(
    "line",
    [
        "rec.mat 3 500 101",
        "rec 3 500/100(0) 101",
        "rec 3 500/100 101 12:33:59",
        "rec 3 500 101 12-May-2020 12:33:59",
        "rec 3 500 101 05:05:15 1/05/2000",
        "rec 3 500.0",
        "rec\t3\t500\t101",
        "rec 3 500 0",
    ],
)
def test_record_lines(tmp_path, line):
    digital = samples(16)
    header = write_record(tmp_path, digital, record_line=line)
    np.testing.assert_array_equal(reader.read_digital(header)[0], digital)
    record = signals.read(header)
    assert (record.sampling_rate, record.metadata["record_name"]) == (500.0, "rec")


@pytest.mark.parametrize("kind", sorted(LIMITS))
def test_the_number_of_samples_is_inferred_from_the_file(tmp_path, kind):
    for n in (100, 101):
        header = write_record(tmp_path, samples(kind, n), kind=kind, record_line="rec 3 500")
        np.testing.assert_array_equal(reader.read_digital(header)[0], samples(kind, n))


def test_line_ends_of_other_systems(tmp_path):
    header = write_record(tmp_path, samples(), comments=["Age: 67", "Sex: Male"])
    header.write_bytes(header.read_bytes().replace(b"\n", b"\r\n"))
    record = signals.read(header)
    assert (record.age, record.sex, record.leads) == (67.0, "male", ("I", "II", "V1"))


@pytest.mark.parametrize(
    ("comments", "age", "sex"),
    [
        (["Age: 67", "Sex: Male"], 67.0, "male"),
        (["<age>: 51", "<sex>: F"], 51.0, "female"),
        ([" Age: 43.5", " Sex: Female"], 43.5, "female"),
        (["Age: NaN", "Sex: Unknown"], None, None),
        (["Dx: 1", "Manager: 5", "Age: >89"], None, None),
        ([], None, None),
    ],
)
def test_age_and_sex_from_comments(tmp_path, comments, age, sex):
    record = signals.read(write_record(tmp_path, samples(), comments=comments))
    assert (record.age, record.sex) == (age, sex)
    assert record.comments == tuple(comment.strip() for comment in comments)


def test_a_record_is_found_by_any_of_its_names(tmp_path):
    header = write_record(tmp_path, samples(), name="a.b")
    expected = signals.read(header).signal
    for name in ("a.b.hea", "a.b.dat", "a.b"):
        np.testing.assert_array_equal(signals.read(tmp_path / name).signal, expected)
        np.testing.assert_array_equal(signals.read(str(tmp_path / name)).signal, expected)


def test_content_decides_and_not_the_suffix(tmp_path):
    header = write_record(tmp_path, samples())
    expected = signals.read(header).signal
    renamed = header.rename(tmp_path / "rec.txt")
    np.testing.assert_array_equal(signals.read(renamed).signal, expected)


def test_lead_names_that_occur_twice_are_told_apart(tmp_path):
    record = signals.read(write_record(tmp_path, samples(), leads=("ECG", "ecg lead", "ECG")))
    assert record.leads == ("ECG", "ecg lead", "ECG (3)")
    assert record.metadata["renamed"] == ("ECG (3)",)
    with pytest.raises(SignalError, match="lead aVR occurs more than once"):
        signals.read(write_record(tmp_path, samples(), leads=("AVR", "avr", "I")))


def test_bytes_beyond_the_announced_samples_are_reported(tmp_path):
    header = write_record(tmp_path, samples(n=101), record_line="rec 3 500 90")
    record = signals.read(header)
    np.testing.assert_allclose(record.signal, samples(n=101)[:90].T / 1000, rtol=1e-6)
    assert record.metadata["unread_bytes"] == {"rec.dat": 11 * 3 * 2}
    assert "unread_bytes" not in signals.read(write_record(tmp_path, samples())).metadata


def refused(path: Path, *parts: str, **options: bool) -> None:
    with pytest.raises(SignalError) as caught:
        signals.read(path, **options)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [*sorted(LIMITS), 24, 160])
@pytest.mark.parametrize("missing", [1, 7, 60])
def test_a_truncated_file_is_refused_with_the_counts(tmp_path, kind, missing):
    known = kind if kind in LIMITS else 32 if kind == 24 else 16
    header = write_record(tmp_path, samples(known), kind=known)
    header.write_text(header.read_text().replace(f".dat {known}", f".dat {kind}"))
    bits = {16: 16, 32: 32, 61: 16, 80: 8, 212: 12, 24: 24, 160: 16}[kind]
    content = (tmp_path / "rec.dat").read_bytes()[: -(-101 * 3 * bits // 8)]
    (tmp_path / "rec.dat").write_bytes(content[:-missing])
    there = (len(content) - missing) * 8 // (3 * bits)
    refused(header, "rec.hea", "rec.dat is truncated", f"{there} of 101 samples")


def test_a_truncated_file_is_refused_where_only_its_length_tells(tmp_path):
    header = write_record(tmp_path, samples(), record_line="rec 3 500")
    content = (tmp_path / "rec.dat").read_bytes()
    (tmp_path / "rec.dat").write_bytes(content[:-2])
    refused(header, "rec.dat ends in the middle of a frame")
    (tmp_path / "rec.dat").write_bytes(b"")
    refused(header, "rec.dat holds no samples")


def test_damage_is_named(tmp_path):
    header = write_record(tmp_path, samples())
    good = header.read_text()
    (tmp_path / "rec.dat").rename(tmp_path / "other.dat")
    refused(header, "rec.hea", "rec.dat, which does not exist")
    (tmp_path / "other.dat").rename(tmp_path / "rec.dat")
    cases = {
        good.replace("1000/mV 16 0 ", "1000/mmHg 16 0 ", 2).replace("1000/mmHg", "1000/mV", 1): (
            "'mmHg'",
            "lead II",
            "unknown",
        ),
        "": ("the header is empty",),
        "# only a comment\n": ("the header is empty",),
        "\n".join(good.splitlines()[:-1]): ("announces 3 signals but describes 2",),
        good + "rec.dat 16 1000/mV 16 0 0 0 0 V2\n": ("announces 3 signals but describes 4",),
        good.replace("rec 3 500", "rec 3 0"): ("0 Hz", "line 1"),
        good.replace("rec 3 500 101", "rec three 500 101"): ("record line", "line 1"),
        good.replace("rec.dat 16", "rec.dat sixteen", 1): ("signal line", "line 2"),
        good.replace("rec.dat 16", "../rec.dat 16", 1): ("outside its own folder", "../rec.dat"),
        good.replace("rec.dat 16", "/etc/passwd 16", 1): ("outside its own folder",),
        good.replace("rec.dat 16", "rec.dat 61", 1): ("another format or byte offset", "lead II"),
        good.replace("rec.dat 16", "rec.dat 99"): ("format 99",),
        "rec 0 500 100\n": ("no signal",),
    }
    for content, parts in cases.items():
        header.write_text(content)
        refused(header, str(header), *parts)


def test_files_that_are_no_ecg(tmp_path):
    refused(tmp_path / "nothing", "no such file")
    refused(tmp_path / "nothing.hea", "no such file")
    refused(tmp_path, "folder")
    for name, content in (("photo.jpg", b"\xff\xd8\xff\xe0" * 50), ("notes.txt", b"hello 12\nworld\n")):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, name, "not an ECG file of a known format")
    (tmp_path / "void").write_bytes(b"")
    refused(tmp_path / "void", "the file is empty")
    (tmp_path / "x.dat").write_bytes(b"\0\1" * 100)
    refused(tmp_path / "x.dat", "needs its .hea header")
    (tmp_path / "y.hea").write_bytes(b"\0\1" * 100)
    refused(tmp_path / "y.hea", "binary")


@pytest.mark.parametrize("signed", [True, False])
def test_checksums_are_verified_on_request(tmp_path, signed):
    digital = samples(16)
    header = write_record(tmp_path, digital)
    if not signed:
        text = header.read_text()
        for column in digital.T:
            text = text.replace(f" {checksum(column)} 0 ", f" {checksum(column) % 65536} 0 ")
        header.write_text(text)
    signals.read(header, verify_checksums=True)
    content = bytearray((tmp_path / "rec.dat").read_bytes())
    content[2 * (3 * 7 + 1)] ^= 1  # one bit of lead II
    (tmp_path / "rec.dat").write_bytes(content)
    signals.read(header)
    refused(header, "checksum of lead II", "rec.dat", verify_checksums=True)


def test_a_checksum_that_was_never_computed_is_not_a_fault_but_said(tmp_path):
    header = write_record(tmp_path, samples(16))
    header.write_text(header.read_text().replace(f" {checksum(samples(16)[:, 1])} 0 II", " 0 0 II"))
    assert signals.read(header, verify_checksums=True).metadata["unverified"] == ("II",)
    assert "unverified" not in signals.read(header).metadata


def write_frames(folder: Path, per_frame: tuple[int, int], frames: int = 40) -> tuple[Path, np.ndarray]:
    digital = samples(16, frames * sum(per_frame), 1)
    (folder / "rec.dat").write_bytes(encode(digital, 16))
    lines = [f"rec 2 125 {frames}"]
    lines += [
        f"rec.dat 16x{n} 200/mV 12 0 0 0 0 {lead}" for n, lead in zip(per_frame, ("I", "II"), strict=True)
    ]
    return write_header(folder, lines), digital.reshape(frames, sum(per_frame))


def test_several_samples_per_frame_are_read_at_their_own_rate(tmp_path):
    header, frames = write_frames(tmp_path, (4, 4))
    record = signals.read(header)
    assert record.sampling_rate == 500
    np.testing.assert_allclose(record.signal[1], frames[:, 4:].reshape(-1) / 200, rtol=1e-6)
    header, _ = write_frames(tmp_path, (4, 1))
    refused(header, "different sampling rates (125, 500 Hz)")


@pytest.mark.parametrize("kind", ["24", "516"])
def test_other_formats_are_read_with_wfdb(tmp_path, kind):
    digital = samples(80, 60, 2).astype(np.int64)
    wfdb.wrsamp(
        "rec",
        fs=250,
        units=["mV", "uV"],
        sig_name=["I", "avf"],
        d_signal=digital,
        fmt=[kind] * 2,
        adc_gain=[200.0, 0.2],
        baseline=[0, 5],
        write_dir=str(tmp_path),
    )
    header = tmp_path / "rec.hea"
    np.testing.assert_array_equal(reader.read_digital(header)[0], digital)
    assert_like_wfdb(header)


@pytest.mark.parametrize("kind", [8, 160])
def test_old_formats_are_read_with_wfdb(tmp_path, kind):
    digital = np.cumsum(np.random.default_rng(0).integers(-100, 101, size=(60, 3)), axis=0)
    header = write_record(tmp_path, digital)
    header.write_text(header.read_text().replace("rec.dat 16", f"rec.dat {kind}"))
    if kind == 8:
        stored = np.diff(digital, axis=0, prepend=digital[:1]).astype("i1")
    else:
        stored = (digital + 32768).astype("<u2")
    (tmp_path / "rec.dat").write_bytes(stored.tobytes())
    np.testing.assert_array_equal(reader.read_digital(header)[0], digital)
    signals.read(header, verify_checksums=True)
    assert_like_wfdb(header)


def test_skewed_signals_are_read_with_wfdb(tmp_path):
    header = write_record(tmp_path, samples())
    header.write_text(header.read_text().replace("rec.dat 16", "rec.dat 16:3", 1))
    assert np.isnan(signals.read(header).signal).sum() == 3
    assert_like_wfdb(header)


def test_a_multi_segment_record_is_read_with_wfdb(tmp_path):
    parts = [samples(16, 30, 2, seed=1), samples(16, 50, 2, seed=2)]
    for k, part in enumerate(parts):
        write_record(tmp_path, part, name=f"part{k}", leads=("I", "II"))
    header = write_header(tmp_path, ["whole/2 2 500 80", "part0 30", "part1 50", "#Age: 5"], name="whole")
    record = signals.read(header)
    np.testing.assert_allclose(record.signal, np.concatenate(parts).T / 1000, rtol=1e-6)
    assert (record.leads, record.sampling_rate, record.age) == (("I", "II"), 500.0, 5.0)
    with pytest.raises(SignalError, match="multi-segment"):
        reader.read_digital(header)


def test_without_wfdb_the_rest_says_what_to_install(tmp_path, monkeypatch):
    header = write_record(tmp_path, samples())
    text = header.read_text()
    real = builtins.__import__

    def no_wfdb(name, *args, **kwargs):
        if name == "wfdb":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_wfdb)
    signals.read(header)
    header.write_text(text.replace("rec.dat 16", "rec.dat 160"))
    refused(header, "format 160", "pip install wfdb")


def test_real_records_are_those_of_wfdb(data):
    headers = [
        *sorted(data.glob("ludb/data/*.hea"))[::8],
        *sorted(data.glob("ptbxl500/records500/*/*.hea"))[::8],
        *sorted(data.glob("ptbxl500/records100/*/*.hea"))[::12],
    ]
    assert len(headers) >= 80
    for header in headers:
        assert_like_wfdb(header)
        record = signals.read(header, verify_checksums=True)
        assert record.leads == signals.STANDARD_LEADS


def test_challenge_records_are_those_of_wfdb_where_it_reads_them(data):
    headers = sorted(data.glob("challenge2021/*.hea"))
    read_by_both = 0
    for header in headers:
        record = signals.read(header, verify_checksums=True)
        assert record.leads == signals.STANDARD_LEADS
        assert record.comments
        if re.match(r"\S+\.mat ", header.read_text()) is None:
            assert_like_wfdb(header)
            read_by_both += 1
    assert len(headers) - read_by_both == 63


def test_cinc2017_records_are_those_of_wfdb(data, tmp_path):
    with zipfile.ZipFile(data / "cinc2017" / "training2017.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".hea"))[::40]
        assert len(names) > 200
        for name in names:
            archive.extract(name, tmp_path)
            archive.extract(name[:-4] + ".mat", tmp_path)
            assert_like_wfdb(tmp_path / name)
