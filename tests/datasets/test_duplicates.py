"""Duplicates: every way in which an ECG comes twice is found, and nothing is invented."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import butter, iirnotch, sosfilt, sosfiltfilt, tf2sos

from ecgtransfer.datasets import duplicates
from ecgtransfer.datasets.duplicates import neighbours
from ecgtransfer.datasets.duplicates.verification import required
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.store import Store
from ecgtransfer.signals import STANDARD_LEADS, resample
from tests.datasets.hearts import RATE, heart, write_hearts

Signal = NDArray[Any]
PEOPLE = 24


@pytest.fixture(scope="module")
def hearts() -> list[Signal]:
    return [heart(seed) for seed in range(PEOPLE)]


@pytest.fixture(scope="module")
def original(hearts: list[Signal], tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_hearts(tmp_path_factory.mktemp("hearts") / "original.ecgs", hearts)


def at(rate: float) -> Callable[[Signal], Signal]:
    return lambda signal: resample(signal.astype(np.float32), RATE, rate)


def filtered(kind: Callable[..., Any], low: float, high: float) -> Callable[[Signal], Signal]:
    return lambda signal: kind(butter(2, (low, high), "bandpass", fs=RATE, output="sos"), signal)


def without_mains(signal: Signal) -> Signal:
    return sosfilt(tf2sos(*iirnotch(50, 20, fs=RATE)), signal)


def noisy(signal: Signal) -> Signal:
    return signal + np.random.default_rng(5).normal(0, 0.02, signal.shape)


# How the copy is made, its rate, its leads, and the shift and gain that must be told.
CHANGES: dict[str, tuple[Callable[[Signal], Signal], float, tuple[str, ...], float, float]] = {
    "100 Hz": (at(100), 100, STANDARD_LEADS, 0, 1),
    "250 Hz": (at(250), 250, STANDARD_LEADS, 0, 1),
    "360 Hz": (at(360), 360, STANDARD_LEADS, 0, 1),
    "128.2 Hz": (at(128.2), 128.2, STANDARD_LEADS, 0, 1),
    "5 times smaller": (lambda signal: 0.2 * signal, RATE, STANDARD_LEADS, 0, 0.2),
    "5 times larger": (lambda signal: 5 * signal, RATE, STANDARD_LEADS, 0, 5),
    "beyond 32.7 mV": (lambda signal: 5 * signal, 500.0, STANDARD_LEADS, 0, 5),
    "upside down": (lambda signal: -signal, RATE, STANDARD_LEADS, 0, -1),
    "first half": (lambda signal: signal[:, :2500], RATE, STANDARD_LEADS, 0, 1),
    "from 3 to 8 s": (lambda signal: signal[:, 1500:4000], RATE, STANDARD_LEADS, 3, 1),
    "monitor filter": (filtered(sosfilt, 0.5, 40), RATE, STANDARD_LEADS, 0, 1),
    "0.05 to 150 Hz": (filtered(sosfilt, 0.05, 150), RATE, STANDARD_LEADS, 0, 1),
    "without phase": (filtered(sosfiltfilt, 0.5, 40), RATE, STANDARD_LEADS, 0, 1),
    "notch": (without_mains, RATE, STANDARD_LEADS, 0, 1),
    "noise": (noisy, RATE, STANDARD_LEADS, 0, 1),
    "lead I": (lambda signal: signal[:1], RATE, ("I",), 0, 1),
    "leads in another order": (lambda signal: 2 * signal[::-1], RATE, STANDARD_LEADS[::-1], 0, 2),
    "all at once": (lambda signal: -3 * at(100)(signal[[0, 6], 1000:4500]), 100, ("I", "V1"), 2, -3),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_and_only_it(
    change: str, hearts: list[Signal], original: Store, tmp_path: Path
) -> None:
    make, rate, leads, shift, gain = CHANGES[change]
    wanted = [1, 7, 11, 18, 23]
    strangers = [make(heart(100 + i)) for i in range(15)]
    copies = [make(hearts[i]) for i in wanted]
    seconds = min(signal.shape[1] for signal in copies) / rate
    other = write_hearts(
        tmp_path / "other.ecgs",
        [*strangers, *copies],
        rate=rate,
        leads=leads,
        window_s=round(rate * seconds) / rate,
    )
    found = duplicates.find([original, other])
    assert [(pair.a, pair.b) for pair in found] == [((0, i), (1, 15 + n)) for n, i in enumerate(wanted)]
    for pair in found:
        assert pair.kind == "near"
        assert 0.96 < pair.similarity <= 1
        assert pair.shift == pytest.approx(shift, abs=0.025)
        assert pair.gain == pytest.approx(gain, rel=0.2)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.sampled_from([90.0, 100.0, 125.0, 200.0, 257.0, 300.0, 360.0, 400.0, 500.0, 1000.0]),
    gain=st.floats(0.1, 10) | st.floats(-10, -0.1),
    start=st.floats(0, 4.5),
    length=st.floats(5.5, 10),
    number=st.integers(0, PEOPLE - 1),
)
def test_any_rate_gain_and_crop(
    hearts: list[Signal], original: Store, tmp_path_factory: pytest.TempPathFactory,
    rate: float, gain: float, start: float, length: float, number: int,
) -> None:  # fmt: skip
    begin = round(start * RATE)
    part = gain * hearts[number][:, begin : begin + round(length * RATE)]
    folder = tmp_path_factory.mktemp("any")
    copy = write_hearts(folder / "copy.ecgs", [at(rate)(part)], rate=rate, window_s=round(5 * rate) / rate)
    [pair] = duplicates.find([original, copy])
    assert (pair.a, pair.b) == ((0, number), (1, 0))
    assert pair.shift == pytest.approx(begin / RATE, abs=0.01)
    assert pair.gain == pytest.approx(gain, rel=0.05)
    [turned] = duplicates.find([copy, original])
    assert (turned.a, turned.b) == ((0, 0), (1, number))
    assert turned.shift == pytest.approx(-pair.shift, abs=1e-3)
    assert turned.gain == pytest.approx(1 / pair.gain, rel=1e-3)
    assert turned.similarity == pytest.approx(pair.similarity, abs=1e-4)


class TestWithinAStore:
    def test_equal_samples_are_exact_and_others_near(self, hearts: list[Signal], tmp_path: Path) -> None:
        one_step = hearts[2].copy()
        one_step[3, 2000] += 0.001
        signals = [hearts[0], hearts[1], hearts[0], hearts[2], one_step, hearts[3], 2 * hearts[3]]
        store = write_hearts(tmp_path / "a.ecgs", signals)
        found = [(pair.a[1], pair.b[1], pair.kind) for pair in duplicates.find([store])]
        assert found == [(0, 2, "exact"), (3, 4, "near"), (5, 6, "near")]
        assert store.duplicates[["a", "b"]].to_numpy().tolist() == [[0, 2], [3, 4], [5, 6]]

    def test_equal_hashes_are_exact_whatever_the_store_made_of_them(
        self, hearts: list[Signal], tmp_path: Path
    ) -> None:
        one = write_hearts(tmp_path / "a.ecgs", hearts[:2], hashes=["x", "y"])
        low = [at(100)(signal[:1]) for signal in hearts[1:3]]
        two = write_hearts(tmp_path / "b.ecgs", low, rate=100, leads=["V6"], hashes=["y", "z"])
        [pair] = duplicates.find([one, two])
        assert (pair.a, pair.b, pair.kind, pair.similarity) == ((0, 1), (1, 0), "exact", 1.0)

    def test_what_is_near_one_of_equal_records_is_near_all(
        self, hearts: list[Signal], tmp_path: Path
    ) -> None:
        signals = [hearts[0], 3 * hearts[0], hearts[0], hearts[5]]
        store = write_hearts(tmp_path / "a.ecgs", signals, hashes=["x", "y", "x", "z"])
        found = {(pair.a[1], pair.b[1]): pair for pair in duplicates.find([store])}
        assert {key: pair.kind for key, pair in found.items()} == {
            (0, 1): "near", (0, 2): "exact", (1, 2): "near"
        }  # fmt: skip
        assert found[0, 1].gain == pytest.approx(3, rel=0.01)
        assert found[1, 2].gain == pytest.approx(1 / 3, rel=0.01)

    def test_across_only_leaves_a_stores_own_pairs_out(self, hearts: list[Signal], tmp_path: Path) -> None:
        one = write_hearts(tmp_path / "a.ecgs", [hearts[0], 2 * hearts[0], hearts[1]])
        two = write_hearts(tmp_path / "b.ecgs", [hearts[9], 3 * hearts[0], -hearts[9]])
        found = duplicates.find([one, two], across_only=True)
        assert [(pair.a, pair.b) for pair in found] == [((0, 0), (1, 1)), ((0, 1), (1, 1))]

    def test_of_many_copies_every_pair_is_found(self, hearts: list[Signal], tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        copies = [hearts[4] + rng.normal(0, 0.01, hearts[4].shape) for _ in range(30)]
        store = write_hearts(tmp_path / "a.ecgs", [*copies, *hearts[5:10]])
        assert len(store.duplicates) == 30 * 29 // 2

    def test_of_very_many_equal_records_not_every_pair_is_listed_and_that_is_said(
        self, hearts: list[Signal], tmp_path: Path
    ) -> None:
        short = [signal[:2, :2500] for signal in hearts[:3]]
        hashes = ["x"] * 70 + ["y", "z"]
        store = write_hearts(
            tmp_path / "a.ecgs", [short[0]] * 70 + short[1:], leads=("I", "II"), window_s=5, hashes=hashes
        )
        found = duplicates.search([store])
        assert [(pair.a[1], pair.b[1]) for pair in found.pairs] == [(0, i) for i in range(1, 70)]
        assert any("70 records are equal" in note for note in found.notes)

    def test_two_windows_of_a_record_are_no_duplicates(self, hearts: list[Signal], tmp_path: Path) -> None:
        store = write_hearts(tmp_path / "a.ecgs", [heart(1, 33.0), heart(2, 21.0)])
        assert store.n_windows == 7
        assert duplicates.find([store]) == []


class TestLengths:
    def test_a_crop_of_a_longer_recording_across_its_windows(self, tmp_path: Path) -> None:
        long = [heart(seed, 140.0) for seed in range(3)]
        one = write_hearts(tmp_path / "long.ecgs", long, window_s=7.0)
        crops = [long[1][:, 60_250:65_250], long[2][:, 1_000:41_000], heart(9)]
        two = write_hearts(tmp_path / "short.ecgs", crops, window_s=10)
        found = duplicates.find([one, two])
        assert [(pair.a, pair.b) for pair in found] == [((0, 1), (1, 0)), ((0, 2), (1, 1))]
        assert [pair.shift for pair in found] == pytest.approx([120.5, 2.0], abs=0.005)

    def test_recordings_that_share_their_middle(self, tmp_path: Path) -> None:
        whole = heart(3, 20.0)
        store = write_hearts(
            tmp_path / "a.ecgs", [whole[:, :6500], whole[:, 3500:], heart(4, 13.0)], window_s=13
        )
        [pair] = duplicates.find([store])
        assert (pair.a[1], pair.b[1]) == (0, 1)
        assert pair.shift == pytest.approx(7.0, abs=0.005)

    def test_short_recordings_are_compared_by_hash_alone_and_counted(
        self, hearts: list[Signal], tmp_path: Path
    ) -> None:
        short = [signal[:, :1000] for signal in hearts[:4]]
        store = write_hearts(tmp_path / "a.ecgs", [*short, 2 * short[0]], window_s=2, hashes=list("abcda"))
        found = duplicates.search([store])
        assert [(pair.a[1], pair.b[1], pair.kind) for pair in found.pairs] == [(0, 4, "exact")]
        assert any(note.startswith("4 records have no 3 s with beats") for note in found.notes)


class TestLeads:
    def test_a_copy_that_lost_leads_is_found_on_those_it_has(
        self, hearts: list[Signal], original: Store, tmp_path: Path
    ) -> None:
        lost, flat = hearts[6].copy(), hearts[8].copy()
        lost[[1, 7]] = np.nan
        flat[0] = 0.25
        other = write_hearts(tmp_path / "b.ecgs", [heart(50), lost, flat, heart(51)])
        found = duplicates.search([original, other])
        assert [(pair.a[1], pair.b) for pair in found.pairs] == [(6, (1, 1)), (8, (1, 2))]
        assert found.notes == ()

    def test_gaps_are_not_compared(self, hearts: list[Signal], original: Store, tmp_path: Path) -> None:
        gap = hearts[6].copy()
        gap[:, 2400:2600] = np.nan
        other = write_hearts(tmp_path / "b.ecgs", [heart(50), gap])
        [pair] = duplicates.find([original, other])
        assert (pair.a, pair.b) == ((0, 6), (1, 1))
        assert pair.similarity > 0.99

    def test_stores_without_a_common_lead_are_said_to_be(self, hearts: list[Signal], tmp_path: Path) -> None:
        one = write_hearts(tmp_path / "one.ecgs", [s[:1] for s in hearts[:4]], leads=("I",))
        two = write_hearts(tmp_path / "two.ecgs", [s[6:7] for s in hearts[:4]], leads=("V1",))
        found = duplicates.search([one, two])
        assert found.pairs == []
        assert found.notes == ("one and two have no lead in common: only equal recordings were looked for",)


class TestNothingIsInvented:
    def test_people_with_the_same_regular_rhythm(self, tmp_path: Path) -> None:
        regular = [heart(seed, rr=0.8, jitter=0.0) for seed in range(60)]
        store = write_hearts(tmp_path / "a.ecgs", [at(100)(signal) for signal in regular], rate=100)
        assert duplicates.find([store]) == []

    def test_one_person_twice_with_a_regular_rhythm(self, tmp_path: Path) -> None:
        """The same beat at the same interval is no evidence of the same recording."""
        paced = heart(3, 40.0, rr=0.8, jitter=0.0)
        parts = [paced[:, :5000], paced[:, 10_037:15_037]]
        store = write_hearts(tmp_path / "a.ecgs", parts)
        assert duplicates.find([store]) == []

    def test_one_person_twice(self, tmp_path: Path) -> None:
        sinus = heart(3, 60.0)
        store = write_hearts(tmp_path / "a.ecgs", [sinus[:, 6000 * i : 6000 * i + 5000] for i in range(4)])
        assert duplicates.find([store]) == []

    def test_noise_sines_and_flat_lines(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        time = np.arange(1000) / 100
        noise = [rng.normal(0, 0.2, (2, 1000)) for _ in range(20)]
        sines = [
            np.stack([np.sin(2 * np.pi * f * time), np.cos(2 * np.pi * f * time)]) for f in (1.0, 1.1, 7.3)
        ]
        flat = [np.full((2, 1000), level) for level in (0.0, 0.1, np.nan)]
        store = write_hearts(tmp_path / "a.ecgs", [*noise, *sines, *flat], rate=100, leads=("I", "II"))
        found = duplicates.search([store])
        assert found.pairs == []
        assert any("only equal recordings were looked for" in note for note in found.notes)

    def test_the_longer_and_the_more_leads_the_less_is_required(self) -> None:
        assert required(5, 1) == pytest.approx(0.99)
        assert required(5, 1) > required(10, 1) > required(10, 8) > required(30, 1) >= 0.93
        assert required(1000, 8) == 0.93


class TestNeighbours:
    def test_all_close_pairs_as_by_hand(self) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.normal(0, 1, (6000, 20)).astype(np.float32)
        vectors[3000:3400] = vectors[:400] + rng.normal(0, 0.02, (400, 20))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        apart = np.sqrt(np.maximum(0, 2 - 2 * vectors.astype(np.float64) @ vectors.T))
        wanted = set(zip(*np.nonzero(np.triu(apart < 0.1, 1)), strict=True))
        assert len(wanted) > 380
        everything = lambda one, other: one != other  # noqa: E731
        first, second, distance, crowded = neighbours.close_pairs(vectors, 0.1, everything)
        found = set(zip(first.tolist(), second.tolist(), strict=True))
        assert found <= wanted
        assert len(found) >= 0.99 * len(wanted)  # a pair on the border of cells may be missed
        assert distance == pytest.approx(apart[first, second], abs=2e-3)
        assert len(crowded) == 0

    def test_a_crowd_is_bounded_and_reported(self) -> None:
        rng = np.random.default_rng(0)
        vectors = np.full((9000, 8), 0.3, dtype=np.float32) + rng.normal(0, 1e-4, (9000, 8)).astype(
            np.float32
        )
        first, _, _, crowded = neighbours.close_pairs(
            vectors, 0.25, lambda one, other: one != other, near=0.1
        )
        assert len(first) <= 2 * 9000 * neighbours.NEAREST * 2**3
        assert len(crowded) == 9000


def test_the_result_depends_neither_on_processes_nor_on_order(hearts: list[Signal], tmp_path: Path) -> None:
    signals = [*hearts[:12], *(0.5 * signal for signal in hearts[3:6])]
    store = write_hearts(tmp_path / "a.ecgs", signals)
    one, two = (duplicates.find([store], workers=workers) for workers in (1, 2))
    assert one == two
    back = write_hearts(tmp_path / "b.ecgs", signals[::-1])
    last = len(signals) - 1
    turned = {(last - pair.b[1], last - pair.a[1]) for pair in duplicates.find([back])}
    assert turned == {(pair.a[1], pair.b[1]) for pair in one} == {(3, 12), (4, 13), (5, 14)}


class TestRealRecordings:
    """Ground truth: PTB-XL's and the Challenge's numbers, and what was looked at on paper."""

    def test_ptbxl_at_two_rates(self, data: Path, tmp_path: Path) -> None:
        for rate in (100, 500):
            prepare("ptbxl", data / "ptbxl500", tmp_path / f"{rate}.ecgs", rate=rate, quiet=True)
        low, high = (Store.open(tmp_path / f"{rate}.ecgs") for rate in (100, 500))
        ids = low.records["record_id"].tolist()
        own = {(ids[pair.a[1]], ids[pair.b[1]]): pair for pair in duplicates.find([low])}
        twins = {("137", "138"), ("143", "144"), ("145", "463"), ("456", "457"), ("459", "460")}
        assert set(own) == twins
        names = [ids, high.records["record_id"].tolist()]
        across = duplicates.find([low, high], across_only=True)
        found = {(names[0][pair.a[1]], names[1][pair.b[1]]) for pair in across}
        same = {(name, name) for name in names[1]}
        assert len(same) == 200
        both = {pair for a, b in twins for pair in ((a, b), (b, a)) if pair[1] in names[1]}
        assert found == same | both
        assert min(pair.similarity for pair in across) > 0.997

    def test_ludb_has_none(self, data: Path, tmp_path: Path) -> None:
        prepare("ludb", data / "ludb", tmp_path / "ludb.ecgs", quiet=True)
        assert duplicates.search([Store.open(tmp_path / "ludb.ecgs")]) == duplicates.Found([])

    def test_the_challenge_with_its_wrong_gains_against_lead_ii_of_ptbxl(
        self, data: Path, tmp_path: Path
    ) -> None:
        raw = tmp_path / "raw"
        raw.mkdir()
        for path in (data / "challenge2021").glob("HR*"):
            (raw / path.name).symlink_to(path)
        names = sorted(path.name for path in raw.glob("*.hea"))
        (raw / "labels.csv").write_text("file,X\n" + "".join(f"{name},\n" for name in names))
        prepare("folder", raw, tmp_path / "challenge.ecgs", rate=250, quiet=True)
        prepare("ptbxl", data / "ptbxl500", tmp_path / "ptbxl.ecgs", leads=("II",), quiet=True)
        stores = [Store.open(tmp_path / f"{name}.ecgs") for name in ("ptbxl", "challenge")]
        found = duplicates.find(stores, across_only=True)
        pairs = [tuple(stores[i].records["record_id"].iloc[k] for i, k in (pair.a, pair.b)) for pair in found]
        assert len(pairs) == 17
        assert all(b == f"HR{int(a):05d}" for a, b in pairs)
        assert {round(pair.gain) for pair in found} == {1, 5}

    def test_cinc_2017_holds_an_ecg_played_in_a_loop(self, data: Path, tmp_path: Path) -> None:
        """Ten records are one ECG of 9.55 s, repeated and recorded with other noise and filters."""
        loop = [f"A{i:05d}" for i in (227, 595, 908, 1014, 1176, 1925, 2213, 2288, 3242, 3717)]
        others = [f"A{i:05d}" for i in (2656, 3123, 3530, 385, 1980, 124, 3032)]
        names = sorted({*loop, *others, *(f"A{i:05d}" for i in range(1, 300, 2))})
        with zipfile.ZipFile(data / "cinc2017" / "training2017.zip") as archive:
            for name in names:
                for suffix in ("hea", "mat"):
                    (tmp_path / f"{name}.{suffix}").write_bytes(archive.read(f"training2017/{name}.{suffix}"))
        (tmp_path / "labels.csv").write_text("file,X\n" + "".join(f"{name}.hea,\n" for name in names))
        prepare("folder", tmp_path, tmp_path / "cinc.ecgs", quiet=True)
        store = Store.open(tmp_path / "cinc.ecgs")
        ids = store.records["record_id"].tolist()
        pairs = {(ids[pair.a[1]], ids[pair.b[1]]): pair for pair in duplicates.find([store])}
        assert {name for pair in pairs for name in pair} == {*loop, *others}
        groups = store.groups
        assert len({groups[ids.index(name)] for name in loop}) == 1
        assert len({groups[ids.index(name)] for name in others}) == 3
        exact = {pair for pair, told in pairs.items() if told.kind == "exact"}
        assert exact == {("A00227", "A01176"), ("A02656", "A03123")}
