"""CSV recordings as spreadsheets, data frames, MATLAB and the wfdb package write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgtransfer import signals
from ecgtransfer.errors import SignalError
from ecgtransfer.signals import Stated, UnstatedError

VALUES = np.array(
    [[0.5, -1.25, 3], [0.25, 0, -7e-3], [1, 2, 4], [0, 9, 8]], dtype=np.float32
)  # [samples, leads]
LEADS = ("I", "II", "V1")
ALL = Stated(500, "mV", LEADS)
ROWS = ["0.5,-1.25,3", "0.25,0,-7e-3", "1,2,4", "0,9,8"]


def write(folder: Path, *lines: str, encoding: str = "utf-8", name: str = "x.csv") -> Path:
    path = folder / name
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def refused(path: Path, *parts: str, stated: Stated | None = ALL) -> SignalError:
    with pytest.raises(SignalError) as caught:
        signals.read(path, stated=stated)
    for part in (str(path), *parts):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "lines",
    [
        ["I,II,V1", *ROWS],
        ["\ufeffi, ii ,v1\r", *(row + "\r" for row in ROWS)],
        ['"I","II","V1"', *ROWS],
        ["'I','II','V1'", "'mV','mV','mV'", *ROWS],
        ["I [mV],II [mV],V1 [mV]", *ROWS],
        ["I (mV),II (mV),V1 (mV)", *ROWS],
        ["I/mV,II/mV,V1/mV", *ROWS],
        ["I,II,V1", "mV,mV,mV", *ROWS],
        ["I;II;V1", *(row.replace(",", ";") for row in ROWS)],
        ["I;II;V1", *(row.replace(",", ";").replace(".", ",") for row in ROWS)],
        ["I\tII\tV1", *(row.replace(",", "\t") for row in ROWS)],
        ["I,II,V1,", *(row + "," for row in ROWS)],
        [",I,II,V1", *(f"{i},{row}" for i, row in enumerate(ROWS))],
        ["sample,I,II,V1", *(f"{i + 7},{row}" for i, row in enumerate(ROWS))],
        ["time,I,II,V1", *(f"{i / 500},{row}" for i, row in enumerate(ROWS))],
        ["time,I,II,V1", *(f"{i * 2},{row}" for i, row in enumerate(ROWS))],
        ["time (ms),I,II,V1", *(f"{i * 2},{row}" for i, row in enumerate(ROWS))],
        ["0,1,2,3", *(f"{i / 500},{row}" for i, row in enumerate(ROWS))][1:],
        ["'Elapsed time','I','II','V1'", "'hh:mm:ss.mmm','mV','mV','mV'",
         *(f"'0:00.00{2 * i}',{row}" for i, row in enumerate(ROWS))],
        [",0,1,2", *(f"{i},{row}" for i, row in enumerate(ROWS))],
        ["# fs = 500", "# units: mV", "I,II,V1", *ROWS],
        ROWS,
        [" ".join(row.split(",")) for row in ROWS],
        [*ROWS, "", ""],
    ],
)  # fmt: skip
def test_many_ways_to_write_the_same(tmp_path, lines):
    if len(lines[0].split(",")) == 4 and lines[0][:1].isdigit():
        # A column of times without a header cannot be told from a lead.
        refused(write(tmp_path, *lines), "[4, 4] does not fit 3 leads")
        return
    record = signals.read(write(tmp_path, *lines), stated=ALL)
    np.testing.assert_array_equal(record.signal, VALUES.T)
    assert (record.leads, record.sampling_rate) == (LEADS, 500)


def test_a_header_says_leads_units_and_rate(tmp_path):
    rows = [f"{i * 4},{row}" for i, row in enumerate(ROWS)]
    record = signals.read(write(tmp_path, "t [ms],I [mV],ii [\u00b5V],MLII [V]", *rows))
    np.testing.assert_allclose(record.signal, VALUES.T * [[1], [1e-3], [1e3]], rtol=1e-6)
    assert (record.leads, record.sampling_rate) == (("I", "II", "MLII"), 250)
    latin = write(tmp_path, "t [ms],I [\u00b5V],II [\u00b5V],V1 [\u00b5V]", *rows, encoding="latin-1")
    np.testing.assert_allclose(signals.read(latin).signal, VALUES.T / 1000, rtol=1e-6)


def test_facts_above_the_header(tmp_path):
    record = signals.read(
        write(tmp_path, "# Sampling rate: 360 Hz", "# units: uV", "#", "# by hand", "I,II,V1", *ROWS)
    )
    assert record.sampling_rate == 360
    np.testing.assert_allclose(record.signal, VALUES.T / 1000, rtol=1e-6)


def test_empty_cells_are_no_samples(tmp_path):
    record = signals.read(write(tmp_path, "I,II,V1", "0.5,,3", ",nan,-7e-3", "1,NA,inf"), stated=ALL)
    expected = np.array([[0.5, np.nan, 1], [np.nan] * 3, [3, -7e-3, np.nan]], dtype=np.float32)
    np.testing.assert_array_equal(record.signal, expected)
    assert record.metadata["infinite"] == 1


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (["I,II,V1", *ROWS, "1,x2,3"], ["line 6", "'x2' in column II is not a number"]),
        (["I,II,V1", *ROWS * 30_000, "1,2,lead off"], ["line 120002", "'lead off' in column V1"]),
        ([*ROWS, "1,2,three"], ["line 5", "'three' in column 3"]),
        (["I,II,V1", "1_0,2,3"], ["line 2", "'1_0'"]),
        (["I,II,V1", *ROWS, "1,2"], ["line 6", "2 cells where there are 3"]),
        (["I,II,V1", *ROWS, "1,2,3,4"], ["line 6", "4 cells where there are 3"]),
        (["I,II,V1", "1,2,3", "", "4,5,6"], ["line 3", "the line is empty"]),
        (["I,II,V1"], ["nothing below the header"]),
        (["# fs: 500"], ["no numbers"]),
        (["0,1,2", *ROWS], ["line 1", "counts 0, 1, 2", "column numbers"]),
        (["sample,I,II,V1", "0,1,2,3", "2,1,2,3"], ["line 3", "'sample'", "does not rise by 1"]),
        (["time (s),I,II,V1", "0,1,2,3", "0.002,1,2,3", "0.002,4,5,6"], ["line 4", "do not rise"]),
        (["I,II,V1 [mmHg]", *ROWS], ["unit 'mmHg' is unknown"]),
        (["I,II,V2", *ROWS], ["it says leads I, II, V2, but I, II, V1 is stated"]),
        (["I,I,V1", *ROWS], ["it says leads I, I, V1"]),
        (["time (s),I,II,V1", *(f"{i / 250},{row}" for i, row in enumerate(ROWS))], ["250 Hz, but 500 Hz"]),
        (["time,I,II,V1", *(f"{i / 250},{row}" for i, row in enumerate(ROWS))], ["rise by 0.004", "500 Hz"]),
        (["# fs: 250", "I,II,V1", *ROWS], ["250 Hz, but 500 Hz is stated"]),
        (["time (s)", "0", "1"], ["no column of the header is a lead"]),
    ],
)
def test_refusals(tmp_path, lines, parts):
    refused(write(tmp_path, *lines), *parts)


def test_an_empty_line_of_one_lead_is_no_sample_nor_nothing(tmp_path):
    refused(write(tmp_path, "I", "1", "", "4"), "line 3", "the line is empty", stated=Stated(500, "mV"))


def test_a_gap_in_the_times_is_found(tmp_path):
    for rate, decimals in ((1000, 3), (500, 3), (360, 3), (360, 9), (512, 6)):
        times = np.delete(np.arange(400) / rate, 200)
        lines = [f"{t:.{decimals}f},1" for t in times]
        refused(write(tmp_path, "time (s),I", *lines), "line 202", "do not rise evenly", stated=None)


@pytest.mark.parametrize(
    "rate", [100, 125, 128, 200, 240, 250, 256, 257, 300, 333, 360, 400, 500, 512, 257.5]
)
@pytest.mark.parametrize("decimals", [3, 4, 6, 9, None])
def test_rounded_times_give_the_rate(tmp_path, rate, decimals):
    times = 12 + np.arange(round(10 * rate)) / rate
    lines = [f"{t!r},1" if decimals is None else f"{t:.{decimals}f},1" for t in times.tolist()]
    record = signals.read(write(tmp_path, "time (s),I [mV]", *lines))
    assert record.sampling_rate == rate
    assert signals.read(write(tmp_path, "time,I [mV]", *lines), stated=Stated(rate)).sampling_rate == rate


def test_times_without_a_unit_say_no_rate(tmp_path):
    path = write(tmp_path, "time,I [mV]", "0,1", "2,3", "4,5")
    error = refused(path, "what column 'time' without a unit means is not clear", stated=None)
    assert isinstance(error, UnstatedError)
    assert error.facts == ("sampling_rate",)
    for rate in (500, 0.5, 300):
        if rate == 300:
            refused(path, "rise by 2", stated=Stated(rate))
        else:
            assert signals.read(path, stated=Stated(rate)).sampling_rate == rate


def test_text_that_is_no_recording(tmp_path):
    refused(write(tmp_path, "Dear colleague,", "here are", "the 3 files", name="letter.txt"), "known format")
    refused(write(tmp_path, "A00001,N", "A00002,A"), "line 2", "'A00002' in column A00001 is not a number")
    numbers = write(tmp_path, *ROWS * 375, name="numbers.txt")
    assert signals.read(numbers, stated=ALL).n_samples == 1500


def test_a_real_recording_with_its_times(data, tmp_path):
    file = sorted((data / "ptbxl500" / "records500").rglob("*.hea"))[0]
    expected = signals.read(file)
    lines = ["time [s]," + ",".join(f"{lead} [mV]" for lead in expected.leads)]
    for place, row in enumerate(expected.signal.T):
        lines.append(f"{place / 500:.3f}," + ",".join(f"{value:.4f}" for value in row))
    record = signals.read(write(tmp_path, *lines))
    np.testing.assert_allclose(record.signal, expected.signal, atol=5.1e-5)
    assert (record.leads, record.sampling_rate) == (expected.leads, expected.sampling_rate)
