from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgtransfer import signals
from ecgtransfer.errors import ConfigError, SignalError


def record(leads, signal=None, rate=500.0, **rest):
    if signal is None:
        signal = np.random.default_rng(0).standard_normal((len(leads), 50))
    return signals.Record(signal, rate, tuple(leads), **rest)


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("AVR", "aVR"),
        ("avr", "aVR"),
        ("aVl", "aVL"),
        ("v1", "V1"),
        ("iii", "III"),
        (" II ", "II"),
        ("V6", "V6"),
        ("MLII", "MLII"),
        ("ECG", "ECG"),
        ("v10", "v10"),
        ("", ""),
    ],
)
def test_standard_lead(name, standard):
    assert signals.standard_lead(name) == standard
    assert signals.standard_lead(standard) == standard


def test_a_record_holds_float32_and_standard_names():
    one = record(["i", "AVR"], np.arange(6).reshape(2, 3), rate=300)
    assert one.signal.dtype == np.float32
    assert one.leads == ("I", "aVR")
    assert (one.n_samples, one.seconds) == (3, 0.01)


@pytest.mark.parametrize(
    ("leads", "signal", "rest", "words"),
    [
        (["I", "II"], np.zeros((3, 5)), {}, "does not fit 2 leads"),
        (["I"], np.zeros(5), {}, "does not fit 1 leads"),
        (["V1", "v1"], np.zeros((2, 5)), {}, "lead V1 occurs more than once"),
        (["I"], np.zeros((1, 5)), {"rate": 0.0}, "0 Hz"),
        (["I"], np.zeros((1, 5)), {"rate": float("nan")}, "nan Hz"),
        (["I"], np.zeros((1, 5)), {"sex": "m"}, "'m'"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(leads, signal, rest, words):
    with pytest.raises(SignalError, match=words):
        record(leads, signal, **rest)


def test_leads_come_in_the_order_asked_for():
    one = record(["V1", "I", "II"])
    signal, derived, missing = signals.arrange(one, ["ii", "v1"])
    np.testing.assert_array_equal(signal, one.signal[[2, 0]])
    assert (signal.dtype, derived, missing) == (np.float32, (), ())


def test_an_arranged_signal_is_a_copy():
    one = record(signals.STANDARD_LEADS)
    signal, _, _ = signals.arrange(one, signals.STANDARD_LEADS)
    np.testing.assert_array_equal(signal, one.signal)
    signal[:] = 0
    assert one.signal.any()


def test_limb_leads_follow_from_two_electrode_pairs():
    right, left, foot = np.random.default_rng(1).standard_normal((3, 50))
    truth = {
        "I": left - right,
        "II": foot - right,
        "III": foot - left,
        "aVR": right - (left + foot) / 2,
        "aVL": left - (right + foot) / 2,
        "aVF": foot - (right + left) / 2,
    }
    one = record(["II", "I"], np.stack([truth["II"], truth["I"]]))
    signal, derived, missing = signals.arrange(one, signals.STANDARD_LEADS)
    assert derived == ("III", "aVR", "aVL", "aVF")
    assert missing == ("V1", "V2", "V3", "V4", "V5", "V6")
    assert np.isnan(signal[6:]).all()
    np.testing.assert_allclose(signal[:6], np.stack(list(truth.values())), atol=1e-5)


def test_a_lead_of_the_record_is_not_derived_and_one_that_cannot_be_is_missing():
    one = record(["I", "II", "aVF"])
    signal, derived, missing = signals.arrange(one, ["aVF", "III"])
    np.testing.assert_array_equal(signal[0], one.signal[2])
    assert (derived, missing) == (("III",), ())
    signal, derived, missing = signals.arrange(record(["II", "V1"]), ["III", "V1", "I"])
    assert (derived, missing) == ((), ("III", "I"))
    assert np.isnan(signal).any(axis=1).tolist() == [True, False, True]


def test_what_is_not_there_in_one_lead_is_not_there_in_a_derived_one():
    values = np.ones((2, 4))
    values[0, 2] = np.nan
    signal, _, _ = signals.arrange(record(["I", "II"], values), ["aVR"])
    assert np.isnan(signal[0]).tolist() == [False, False, True, False]


@pytest.mark.parametrize("leads", [[], ["I", "i"]])
def test_a_list_of_leads_has_each_lead_once(leads):
    with pytest.raises(ConfigError, match="leads asked for"):
        signals.arrange(record(["I"]), leads)


def test_derived_leads_of_real_recordings_are_those_recorded(data):
    for path in sorted(data.glob("ptbxl500/records500/*/*.hea"))[:20]:
        full = signals.read(path)
        two = signals.Record(full.signal[:2], 500, ("I", "II"))
        signal, _, _ = signals.arrange(two, signals.STANDARD_LEADS[:6])
        # Stored to 1 uV, each of them rounded, and derived in the recorder from other roundings.
        assert np.abs(signal - full.signal[:6]).max() < 0.006


@given(st.integers(1, 5000), st.integers(1, 1200))
def test_windows_cover_every_sample(n_samples, length):
    starts = signals.windows(n_samples, length)
    covered = np.zeros(max(n_samples, length), dtype=bool)
    for start in starts:
        covered[start : start + length] = True
    assert covered[:n_samples].all()
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert (np.diff(starts)[:-1] == length).all()
    if n_samples >= length:
        assert starts[-1] + length == n_samples
    assert len(starts) == -(-n_samples // length)
    assert signals.windows(n_samples, length, "first").tolist() == [0]


def test_windows_of_nothing_are_refused():
    with pytest.raises(SignalError, match="no samples"):
        signals.windows(0, 10)
    with pytest.raises(ConfigError, match="0 samples"):
        signals.windows(10, 0)
    with pytest.raises(ConfigError, match="'all'"):
        signals.windows(10, 5, "all")
