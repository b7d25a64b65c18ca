"""The WFDB writer: what it writes, we and wfdb read back; what does not fit, it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgtransfer import signals
from ecgtransfer.errors import SignalError
from ecgtransfer.signals.writer import write_wfdb


def test_written_records_are_read_back_by_wfdb_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 1, (3, 500)).astype(np.float32)
    signal[1, 100:200] = np.nan
    header = write_wfdb(tmp_path, "x_1", signal, 257.5, ("I", "II", "V1"), ("Age: 44", "Sex: Female"), 500.0)
    for read in (
        signals.read(header, verify_checksums=True).signal,
        wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T,
    ):
        np.testing.assert_allclose(read, signal, atol=0.5 / 500 + 1e-6)
    record = signals.read(header)
    assert (record.sampling_rate, record.leads) == (257.5, ("I", "II", "V1"))
    assert (record.age, record.sex) == (44, "female")


def test_the_writer_refuses_rather_than_clips(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="does not fit 16 bits"):
        write_wfdb(tmp_path, "x", np.array([[40.0]]), 100, ("I",))
    with pytest.raises(SignalError, match="does not fit 16 bits"):
        write_wfdb(tmp_path, "x", np.array([[np.inf]]), 100, ("I",))
    with pytest.raises(SignalError, match="does not fit 2 leads"):
        write_wfdb(tmp_path, "x", np.zeros((1, 5)), 100, ("I", "II"))
    with pytest.raises(SignalError, match="record name"):
        write_wfdb(tmp_path, "a/b", np.zeros((1, 5)), 100, ("I",))
    assert not list(tmp_path.iterdir())
