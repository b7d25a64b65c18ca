from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgtransfer.errors import SignalError
from ecgtransfer.signals import resample
from ecgtransfer.signals.resample import design_filter

RATES = [(500, 100), (300, 100), (1000, 100), (400, 100), (257, 100), (360, 500), (100, 500), (500, 257)]
ODD_RATES = [(128, 100), (100.5, 100), (99.99, 100), (250, 360)]
NO_SIMPLE_RATIO = [(499.98765, 100), (128.2051282051, 100), (100, 300 * math.pi)]
rates = st.sampled_from([50, 62.5, 100, 125, 128, 180, 200, 250, 256, 257, 300, 360, 400, 500, 977, 1000])


def tone(frequency: float, rate: float, n: int, phase: float = 0.3) -> np.ndarray:
    return np.cos(2 * np.pi * frequency * np.arange(n) / rate + phase).astype(np.float32)


def level(frequency: float, rate_in: float, rate_out: float) -> float:
    """Return what is left of a tone in dB: the largest output away from the ends."""
    n = int(20 * max(rate_in, rate_out))
    out = resample(tone(frequency, rate_in, n), rate_in, rate_out).astype(float)
    middle = out[len(out) // 4 : -len(out) // 4]
    return 20 * math.log10(np.sqrt(2 * np.mean(middle**2)) + 1e-12)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES + ODD_RATES + NO_SIMPLE_RATIO)
def test_tones_below_four_fifths_of_nyquist_pass_unchanged(rate_in, rate_out):
    nyquist = min(rate_in, rate_out) / 2
    for part in (0.013, 0.2, 0.41, 0.63, 0.77, 0.8):
        n = int(8 * rate_in)
        out = resample(tone(part * nyquist, rate_in, n), rate_in, rate_out)
        ideal = tone(part * nyquist, rate_out, len(out))
        inner = slice(int(rate_out), -int(rate_out))
        # The difference in every sample: amplitude and delay at once. 0.1 dB is 1.2 %.
        assert np.abs(out - ideal)[inner].max() < 0.0116


@pytest.mark.parametrize(("rate_in", "rate_out"), [pair for pair in RATES + ODD_RATES if pair[0] > pair[1]])
def test_tones_from_the_new_nyquist_frequency_up_are_60_db_down(rate_in, rate_out):
    nyquist = rate_out / 2
    frequencies = [nyquist, nyquist * 1.01, *np.linspace(nyquist * 1.03, rate_in / 2 * 0.999, 12)]
    assert max(level(f, rate_in, rate_out) for f in frequencies if f <= rate_in / 2) < -60


@pytest.mark.parametrize("mains", [50, 60])
@pytest.mark.parametrize("rate_in", [300, 360, 500, 1000])
def test_mains_does_not_fold_into_100_hz_data(rate_in, mains):
    assert level(mains, rate_in, 100) < -60


@pytest.mark.parametrize(("rate_in", "rate_out"), [(100, 500), (360, 500), (250, 360)])
def test_upsampling_leaves_no_image_of_a_tone(rate_in, rate_out):
    n = 40 * rate_in
    frequency = 0.3 * rate_in
    out = resample(tone(frequency, rate_in, n), rate_in, rate_out).astype(float)
    out = out[len(out) // 4 : -len(out) // 4]
    spectrum = np.abs(np.fft.rfft(out * np.blackman(len(out))))
    axis = np.fft.rfftfreq(len(out), 1 / rate_out)
    images = spectrum[axis >= rate_in / 2].max()
    assert 20 * math.log10(images / spectrum.max()) < -60


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES + ODD_RATES)
def test_the_response_of_the_taps(rate_in, rate_out):
    ratio = math.gcd(round(rate_in * 100), round(rate_out * 100))
    up, down = round(rate_out * 100) // ratio, round(rate_in * 100) // ratio
    taps = design_filter(up, down)
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-12)
    response = np.abs(np.fft.rfft(taps / up, 1 << int(np.ceil(np.log2(16 * len(taps))))))
    frequency = np.linspace(0, up * rate_in / 2, len(response))
    nyquist = min(rate_in, rate_out) / 2
    assert 20 * np.log10(response[frequency >= nyquist].max()) < -60
    assert np.abs(20 * np.log10(response[frequency <= 0.8 * nyquist])).max() < 0.1


@pytest.mark.parametrize(("rate_in", "rate_out"), [(500, 100), (300, 100), (257, 100), (360, 500)])
def test_an_impulse_stays_where_it_is(rate_in, rate_out):
    # At a whole second the two grids meet.
    signal = np.zeros(5 * rate_in, dtype=np.float32)
    signal[2 * rate_in] = 1
    out = resample(signal, rate_in, rate_out)
    assert np.argmax(out) == 2 * rate_out
    around = out[rate_out : 3 * rate_out + 1]
    np.testing.assert_allclose(around, around[::-1], atol=1e-6)


def test_a_slow_ramp_is_not_shifted():
    seconds = np.arange(5000) / 500
    out = resample(seconds.astype(np.float32), 500, 100)
    np.testing.assert_allclose(out[100:900], (np.arange(1000) / 100)[100:900], atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(rates, rates, st.integers(1, 700), st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_it_is_linear_and_has_the_length_promised(rate_in, rate_out, n, seed, factor):
    one, two = np.random.default_rng(seed).standard_normal((2, n)).astype(np.float32)
    together = resample(one + np.float32(factor) * two, rate_in, rate_out)
    apart = resample(one, rate_in, rate_out) + factor * resample(two, rate_in, rate_out)
    np.testing.assert_allclose(together, apart, atol=5e-5)
    assert together.dtype == np.float32
    assert len(together) == math.ceil(n * round(rate_out * 10) / round(rate_in * 10))


@settings(max_examples=60, deadline=None)
@given(rates, rates, st.integers(1, 700), st.floats(-300, 300, width=32))
def test_a_constant_stays_what_it_is_to_the_ends(rate_in, rate_out, n, value):
    out = resample(np.full(n, value, dtype=np.float32), rate_in, rate_out)
    np.testing.assert_allclose(out, value, rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES + ODD_RATES)
def test_leading_dimensions_are_filtered_one_by_one(rate_in, rate_out):
    signal = np.random.default_rng(0).standard_normal((3, 12, 1111)).astype(np.float32)
    together = resample(signal, rate_in, rate_out)
    assert together.shape[:2] == (3, 12)
    for record in range(3):
        for lead in range(12):
            np.testing.assert_allclose(
                together[record, lead], resample(signal[record, lead], rate_in, rate_out), atol=1e-5
            )
    strided = resample(signal.transpose(1, 0, 2)[:, :, ::2], rate_in, rate_out)
    np.testing.assert_allclose(strided[4, 1], resample(signal[1, 4, ::2], rate_in, rate_out), atol=1e-5)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_company_does_not_change_a_bit(rate_in, rate_out):
    signal = np.random.default_rng(0).standard_normal((7, 12, 5000)).astype(np.float32)
    together = resample(signal, rate_in, rate_out)
    np.testing.assert_array_equal(together[3], resample(signal[3], rate_in, rate_out))
    np.testing.assert_array_equal(together[6, 11], resample(signal[6, 11], rate_in, rate_out))


def test_matrix_and_row_by_row_agree_with_the_definition():
    # 100.5 to 100 Hz is 200/201; the sum over all taps at the upsampled rate is the definition.
    signal = np.random.default_rng(0).standard_normal(400).astype(np.float32)
    for rate_in, rate_out, up, down in (
        (100.5, 100, 200, 201),
        (500, 100, 1, 5),
        (360, 500, 25, 18),
        (99.99, 100, 10000, 9999),
    ):
        taps = design_filter(up, down)
        half = len(taps) // 2
        out = resample(signal, rate_in, rate_out)
        for m in (0, 1, len(out) // 3, len(out) // 2, len(out) - 1):
            inputs = np.arange((m * down - half) // up - 1, (m * down + half) // up + 2)
            index = m * down - inputs * up + half
            inside = (index >= 0) & (index < len(taps))
            values = signal[np.clip(inputs, 0, len(signal) - 1)]
            assert out[m] == pytest.approx(float(values[inside] @ taps[index[inside]]), abs=1e-5)


def test_equal_rates_give_a_copy():
    signal = np.random.default_rng(0).standard_normal((2, 10)).astype(np.float32)
    signal[0, 3] = np.nan
    out = resample(signal, 500, 500.0)
    np.testing.assert_array_equal(out, signal)
    assert not np.shares_memory(out, signal)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(500, 100), (257, 100), (360, 500), (99.99, 100)])
def test_nan_is_bridged_for_the_filter_and_marked_in_the_output(rate_in, rate_out):
    seconds = (np.arange(2000) / rate_in).astype(np.float32)
    signal = np.stack([seconds, seconds, seconds])
    bad = [0, 1, 2, 700, 1200, *range(1300, 1340), 1999]
    signal[1, bad] = np.nan
    signal[2] = np.nan
    out = resample(signal, rate_in, rate_out)
    clean = resample(seconds, rate_in, rate_out)
    marked = np.zeros(out.shape[1], dtype=bool)
    for k in bad:
        marked[min(round(k / rate_in * rate_out), len(marked) - 1)] = True
    for m in range(len(marked)):
        marked[m] |= min(round(m / rate_out * rate_in), 1999) in bad
    np.testing.assert_allclose(out[0], clean, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(out[1]), marked)
    # A ramp is bridged exactly, so away from the ends the gaps change nothing else.
    inner = slice(int(0.6 * rate_out), -int(0.6 * rate_out))
    np.testing.assert_allclose(out[1, inner][~marked[inner]], clean[inner][~marked[inner]], atol=1e-4)
    assert np.isnan(out[2]).all()


def test_infinity_is_no_sample_either():
    signal = np.zeros(1000, dtype=np.float32)
    signal[500] = np.inf
    signal[505] = -np.inf
    assert np.flatnonzero(np.isnan(resample(signal, 500, 100))).tolist() == [100, 101]


def test_huge_values_are_no_gap():
    signal = np.full(1000, 3e38, dtype=np.float32)
    assert not np.isnan(resample(signal, 500, 100)).any()


def test_the_input_is_left_alone():
    signal = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    signal[0, 5] = np.nan
    before = signal.copy()
    resample(signal, 300, 100)
    np.testing.assert_array_equal(signal, before)


def test_no_samples_give_none():
    assert resample(np.empty((3, 0), dtype=np.float32), 500, 100).shape == (3, 0)


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, 1e-9])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(SignalError, match="Hz"):
        resample(np.zeros(10, dtype=np.float32), rate, 100)
