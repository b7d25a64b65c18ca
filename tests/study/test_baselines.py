"""The plain baselines: what they find, and what they do where there is little to find."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecgtransfer import signals
from ecgtransfer.errors import ConfigError, DataError
from ecgtransfer.study.baselines import BASELINES, STRENGTHS, fit_baseline
from ecgtransfer.study.rr import RR_FEATURES, r_peaks, rr_features

RATE = 100.0


def heart(beats: NDArray[np.float64], *, seconds: float = 10.0, rate: float = RATE) -> NDArray[np.float32]:
    """Return a lead of QRS-like spikes (QR and S) and T waves at these times in s, with a little noise."""
    t = np.arange(round(seconds * rate)) / rate
    away = t[:, None] - beats
    qrs = np.exp(-0.5 * (away / 0.012) ** 2) - 0.3 * np.exp(-0.5 * ((away - 0.035) / 0.015) ** 2)
    wave = 0.25 * np.exp(-0.5 * ((away - 0.28) / 0.05) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.01, len(t))
    return ((qrs + wave).sum(axis=1) + noise).astype(np.float32)


@dataclass
class FakeInfo:
    leads: tuple[str, ...] = ("I", "II")
    sampling_rate: float = RATE
    n_samples: int = 1000


class FakeStore:
    """Half the records irregular (labelled), in lead II alone; the irregular are older."""

    def __init__(self, fingerprint: str, n: int = 60, leads: tuple[str, ...] = ("I", "II")) -> None:
        random = np.random.default_rng(0)
        self.info, self.fingerprint, self.path, self.n_records = FakeInfo(leads), fingerprint, "fake.ecgs", n
        self.irregular = np.arange(n) % 2 == 1
        self.record_of_row = np.repeat(np.arange(n), 1 + np.arange(n) % 2)
        self.x = np.zeros((len(self.record_of_row), len(leads), 1000), dtype=np.float32)
        for row, record in enumerate(self.record_of_row):
            rr = (
                random.uniform(0.5, 1.3, 20)
                if self.irregular[record]
                else np.full(20, random.uniform(0.6, 1.1))
            )
            beats = 0.4 + np.cumsum(rr)
            self.x[row, leads.index("II") if "II" in leads else 0] = heart(beats[beats < 9.8])
        self.records = pd.DataFrame(
            {
                "age": np.where(self.irregular, 75.0, 40.0) + random.normal(0, 5, n),
                "sex": np.where(random.random(n) < 0.5, "male", "female"),
            }
        )
        self.reads = 0

    def rows_of(self, records: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.flatnonzero(np.isin(self.record_of_row, records))

    def millivolts(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        self.reads += len(rows)
        return self.x[rows]

    def labels(self) -> NDArray[np.float32]:
        return self.irregular[:, None].astype(np.float32)


PARTS = (np.arange(0, 30), np.arange(30, 40), np.arange(40, 60))


@pytest.fixture
def store(request: pytest.FixtureRequest) -> FakeStore:
    return FakeStore(request.node.nodeid)


def auroc(labels: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    positive, negative = logits[labels == 1], logits[labels == 0]
    return float((positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean())


class TestPeaks:
    @settings(max_examples=40, deadline=None)
    @given(
        st.floats(40, 180),
        st.sampled_from([1.0, -1.0]),
        st.floats(0.15, 5.0),
        st.sampled_from([60.0, 100.0, 250.0, 500.0]),
    )
    def test_finds_every_beat_whatever_polarity_gain_and_rate(
        self, per_minute: float, polarity: float, gain: float, rate: float
    ) -> None:
        beats = np.arange(0.5, 9.6, 60 / per_minute)
        found = r_peaks((polarity * gain * heart(beats, rate=rate))[None], rate)[0] / rate
        assert len(found) == len(beats)
        assert np.abs(np.diff(found) - np.diff(beats)).max(initial=0) < 0.012

    def test_padding_is_not_looked_at(self) -> None:
        beats = np.arange(0.5, 3.6, 0.8)
        signal = np.zeros(1000, dtype=np.float32)
        signal[300:700] = heart(beats, seconds=4.0)
        found = r_peaks(signal[None], RATE)[0] / RATE - 3.0
        assert np.allclose(found, beats, atol=0.03)

    @pytest.mark.parametrize(
        "signal",
        [np.zeros(1000), np.ones(1000), np.full(1000, 1e-4), np.zeros(3), np.empty(0), np.eye(1, 1000, 5)[0]],
    )
    def test_nothing_there(self, signal: NDArray[np.float64]) -> None:
        assert len(r_peaks(signal[None], RATE)[0]) < 3

    def test_one_artefact_does_not_hide_the_beats(self) -> None:
        beats = np.arange(0.5, 9.6, 0.8)
        signal = heart(beats)
        signal[480:484] += 20.0
        found = r_peaks(signal[None], RATE)[0] / RATE
        assert sum(np.abs(found - beat).min() < 0.05 for beat in beats) >= len(beats) - 2

    def test_too_coarse(self) -> None:
        with pytest.raises(DataError, match="30 Hz"):
            r_peaks(np.zeros((1, 300)), 30.0)

    @pytest.mark.filterwarnings("ignore:The inplace keyword")  # wfdb with pandas 3
    @pytest.mark.parametrize(("lead", "sensitivity", "precision"), [("I", 0.97, 0.97), ("II", 0.985, 0.985)])
    def test_against_the_delineations_of_ludb(
        self, lead: str, sensitivity: float, precision: float, data: Path
    ) -> None:
        import wfdb

        hit = missed = false = 0
        for header in sorted((data / "ludb").rglob("*.hea")):
            record = signals.read(header)
            one = record.signal[record.leads.index(lead)]
            found = r_peaks(signals.resample(one, record.sampling_rate, RATE)[None], RATE)[0]
            marks = wfdb.rdann(str(header.with_suffix("")), lead.lower())
            beats = marks.sample[np.array(marks.symbol) == "N"] * RATE / record.sampling_rate
            inside = found[(found >= beats[0] - 7.5) & (found <= beats[-1] + 7.5)]
            matched = sum(np.abs(inside - beat).min(initial=np.inf) <= 7.5 for beat in beats)
            hit, missed, false = hit + matched, missed + len(beats) - matched, false + len(inside) - matched
        assert hit > 1500
        assert hit / (hit + missed) > sensitivity
        assert hit / (hit + false) > precision


class TestFeatures:
    def test_say_what_the_beats_do(self, store: FakeStore) -> None:
        store.x[0, 1] = heart(np.arange(0.5, 9.8, 0.8))
        store.x[1:3, 1] = heart(np.cumsum([0.5, 0.6, 1.0] * 4))
        regular, irregular = (
            dict(zip(RR_FEATURES, row, strict=True)) for row in rr_features(store, np.array([0, 1]))
        )
        assert regular["mean RR (s)"] == pytest.approx(0.8, abs=0.002)
        assert regular["beats"] == 12
        assert regular["RMSSD / mean RR"] < 0.02
        assert regular["pNN50"] == 0
        assert irregular["shortest RR (s)"] == pytest.approx(0.5, abs=0.02)
        assert irregular["longest RR (s)"] == pytest.approx(1.0, abs=0.02)
        assert irregular["pNN50"] > 0.6

    def test_mean_over_the_windows_that_have_beats(self, store: FakeStore) -> None:
        store.x[1, 1], store.x[2, 1] = heart(np.arange(0.5, 9.8, 0.8)), heart(np.arange(0.5, 9.8, 1.2))
        assert rr_features(store, np.array([1]))[0, 0] == pytest.approx(1.0, abs=0.005)
        other = FakeStore("with one window empty")
        other.x[1, 1], other.x[2, 1] = heart(np.arange(0.5, 9.8, 0.8)), 0.0
        assert rr_features(other, np.array([1]))[0, 0] == pytest.approx(0.8, abs=0.005)

    def test_no_beats_is_missing_not_zero(self, store: FakeStore) -> None:
        store.x[0] = 0.0
        assert np.isnan(rr_features(store, np.array([0]))).all()
        assert np.isfinite(rr_features(store, np.array([1, 2]))).all()

    def test_order_and_repetition_of_the_records_asked_for(self, store: FakeStore) -> None:
        forwards = rr_features(store, np.arange(10))
        assert np.array_equal(rr_features(store, np.array([7, 2, 2])), forwards[[7, 2, 2]])
        assert forwards.dtype == np.float32
        assert rr_features(store, np.empty(0, dtype=np.int64)).shape == (0, len(RR_FEATURES))

    def test_computed_once_per_record(self, store: FakeStore) -> None:
        rr_features(store, np.array([0, 1]))
        assert store.reads == 3
        rr_features(store, np.array([1, 0, 2]))
        assert store.reads == 4
        rr_features(FakeStore("another store"), np.array([0]))
        rr_features(store, np.array([0]))
        assert store.reads == 4

    def test_first_lead_where_there_is_no_lead_ii(self) -> None:
        store = FakeStore("lead I alone", leads=("I",))
        assert np.isfinite(rr_features(store, np.arange(4))).all()


@pytest.mark.parametrize("name", BASELINES)
class TestFit:
    def test_finds_what_its_features_hold(self, name: str, store: FakeStore) -> None:
        found = fit_baseline(name, store, *PARTS, store.labels())
        assert found.validation_logits.shape == (10, 1)
        assert found.test_logits.shape == (20, 1)
        assert found.test_logits.dtype == np.float32
        assert auroc(store.labels()[PARTS[2], 0], found.test_logits[:, 0]) > 0.95
        assert found.strengths[0] in STRENGTHS
        assert found.imputed == {"train": 0, "validation": 0, "test": 0}

    def test_same_input_same_bits(self, name: str, store: FakeStore) -> None:
        one, two = (fit_baseline(name, store, *PARTS, store.labels()) for _ in range(2))
        assert np.array_equal(one.test_logits, two.test_logits)

    def test_strength_is_chosen_on_validation_not_on_test(self, name: str, store: FakeStore) -> None:
        labels = store.labels()
        labels[PARTS[1]] = 1 - labels[PARTS[1]]
        backwards = fit_baseline(name, store, *PARTS, labels)
        assert backwards.strengths == (STRENGTHS[0],), "validation says: trust the features least"
        labels = store.labels()
        labels[PARTS[2]] = 1 - labels[PARTS[2]]
        assert fit_baseline(name, store, *PARTS, labels).strengths == (STRENGTHS[-1],)

    @pytest.mark.parametrize(("value", "logit"), [(0.0, np.log(0.5 / 30.5)), (1.0, np.log(30.5 / 0.5))])
    def test_one_class_gives_the_prevalence(
        self, name: str, store: FakeStore, value: float, logit: float
    ) -> None:
        labels = np.concatenate([store.labels(), np.full((60, 1), value)], axis=1).astype(np.float32)
        found = fit_baseline(name, store, *PARTS, labels)
        assert found.constant_targets == (1,)
        assert found.strengths[1] is None
        assert np.allclose(found.test_logits[:, 1], logit)
        assert np.allclose(found.validation_logits[:, 1], logit)
        assert np.ptp(found.test_logits[:, 0]) > 1

    def test_no_label_at_all(self, name: str, store: FakeStore) -> None:
        found = fit_baseline(name, store, *PARTS, np.full((60, 2), np.nan, dtype=np.float32))
        assert found.constant_targets == (0, 1)
        assert (found.test_logits == 0).all()

    def test_unknown_labels_take_no_part(self, name: str, store: FakeStore) -> None:
        labels = store.labels()
        labels[labels == 0] = np.nan
        found = fit_baseline(name, store, *PARTS, labels)
        assert found.constant_targets == (0,), "unknown is not absent"
        assert np.allclose(found.test_logits, np.log(15.5 / 0.5))

    def test_no_validation_label_takes_the_middle_and_says_so(self, name: str, store: FakeStore) -> None:
        labels = store.labels()
        labels[PARTS[1]] = np.nan
        found = fit_baseline(name, store, *PARTS, labels)
        assert found.strengths == (STRENGTHS[1],)
        assert found.unvalidated_targets == (0,)

    def test_empty_test_part(self, name: str, store: FakeStore) -> None:
        empty = np.empty(0, dtype=np.int64)
        assert fit_baseline(name, store, *PARTS[:2], empty, store.labels()).test_logits.shape == (0, 1)

    def test_no_training_record(self, name: str, store: FakeStore) -> None:
        with pytest.raises(DataError, match="no training record"):
            fit_baseline(name, store, np.empty(0, dtype=np.int64), *PARTS[1:], store.labels())

    def test_missing_everywhere(self, name: str, store: FakeStore) -> None:
        store.records["age"], store.records["sex"], store.x[:] = np.nan, None, 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = fit_baseline(name, store, *PARTS, store.labels())
        assert np.ptp(found.test_logits) == 0
        assert found.imputed == {"train": 30, "validation": 10, "test": 20}


def test_missing_age_is_filled_and_flagged(store: FakeStore) -> None:
    """Ages that are missing where the label is present: the indicator carries it."""
    store.records["age"] = store.records["age"].mask(store.irregular).astype("Float64")
    found = fit_baseline("age-sex", store, *PARTS, store.labels())
    assert found.imputed == {"train": 15, "validation": 5, "test": 10}
    assert auroc(store.labels()[PARTS[2], 0], found.test_logits[:, 0]) == 1.0


def test_missing_in_test_alone_leaves_the_fit_as_it_was(store: FakeStore) -> None:
    before = fit_baseline("age-sex", store, *PARTS, store.labels())
    store.records.loc[50, "age"] = np.nan
    after = fit_baseline("age-sex", store, *PARTS, store.labels())
    assert np.array_equal(np.delete(before.test_logits, 10, 0), np.delete(after.test_logits, 10, 0))
    assert np.isfinite(after.test_logits).all()


def test_result_is_json(store: FakeStore) -> None:
    import json

    told = json.loads(json.dumps(fit_baseline("rr", store, *PARTS, store.labels()).as_dict()))
    assert set(told) == {"strengths", "constant_targets", "unvalidated_targets", "imputed"}


def test_unknown_baseline(store: FakeStore) -> None:
    with pytest.raises(ConfigError, match="Did you mean age-sex"):
        fit_baseline("age_sex", store, *PARTS, store.labels())
