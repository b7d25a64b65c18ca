"""The simulator: readable files, physics that holds, rhythms and statements that are in the signal."""

from __future__ import annotations

import dataclasses
import errno
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgtransfer import signals
from ecgtransfer.datasets.simulation import RHYTHMS, SITES, STATEMENTS, Simulated, Site, generate, simulate
from ecgtransfer.errors import ConfigError, DataError

CODES = list(STATEMENTS)
SILENT: dict[str, Any] = {
    "mains_mv": 0.0, "wander_mv": 0.0, "muscle_mv": 0.0, "motion": 0.0, "swapped": 0.0, "highpass_hz": 0.0,
}  # fmt: skip


def only(code: str, share: float = 1.0, **changes: Any) -> Site:
    """Return a site without noise where everybody has this statement and hardly anything else."""
    return Site("X", {code: share} if code else {}, **{**SILENT, "sampling_rate": 250.0, **changes})


@pytest.fixture(scope="module")
def hospital() -> Simulated:
    return generate("A", 768, seed=4)


@pytest.fixture(scope="module")
def plain() -> Simulated:
    """Return sinus rhythm without statements; other sites of `only` have the same people."""
    return generate(only(""), 128, seed=6)


def at_beats(made: Simulated, lead: str, start_s: float, stop_s: float) -> np.ndarray:
    """Return the median beat [records, samples] between two times after the onset of normal QRS complexes."""
    fs, row, found = made.sampling_rate, signals.STANDARD_LEADS.index(lead), []
    window = np.arange(round(start_s * fs), round(stop_s * fs))
    for signal, beats in zip(made.signals, made.beats, strict=True):
        onset = np.rint(beats["time"][beats["kind"] == "normal"] * fs).astype(int)
        onset = onset[(onset + window[0] >= 0) & (onset + window[-1] < signal.shape[1])]
        median = np.median(signal[row, onset[:, None] + window], axis=0) if len(onset) else np.nan
        found.append(np.broadcast_to(median, window.shape))
    return np.array(found)


# ---- files and physics


@pytest.fixture(scope="module")
def files_of_b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "B"
    simulate("B", 150, folder, seed=4)
    return folder


def test_every_row_has_a_recording_and_every_recording_a_row(files_of_b: Path) -> None:
    table = pd.read_csv(files_of_b / "labels.csv")
    assert list(table.columns) == ["file", "patient", "age", "sex", *STATEMENTS]
    assert sorted(table["file"]) == sorted(path.name for path in files_of_b.glob("*.hea"))
    record = signals.read(files_of_b / table["file"][7], verify_checksums=True)
    assert record.leads == signals.STANDARD_LEADS
    assert record.sampling_rate == 250
    assert record.signal.shape == (12, 2500)
    assert (record.age, record.sex) == (table["age"][7], table["sex"][7])


def test_files_are_what_memory_holds(files_of_b: Path) -> None:
    made, table = generate("B", 150, seed=4), pd.read_csv(files_of_b / "labels.csv")
    read = np.stack([signals.read(files_of_b / file).signal for file in table["file"]])
    np.testing.assert_allclose(read, made.signals, atol=1e-5)
    pd.testing.assert_frame_equal(
        table[CODES].astype(float), made.table[CODES].astype(float), check_exact=True
    )
    assert list(table["patient"]) == list(made.table["patient"])


@pytest.mark.parametrize("name", SITES)
def test_the_integers_obey_einthoven_and_goldberger(name: str, tmp_path: Path) -> None:
    simulate(name, 40, tmp_path / name, seed=3, seconds=5.0)
    for header in sorted((tmp_path / name).glob("*.hea")):
        digits = wfdb.rdrecord(str(header.with_suffix("")), physical=False).d_signal.T.astype(int)
        one, two, three, avr, avl, avf = digits[:6]
        assert np.abs(one + three - two).max() <= 2
        assert np.abs(avr + avl + avf).max() <= 2
        assert np.abs(2 * avr + one + two).max() <= 2
        assert np.abs(2 * avl - one + three).max() <= 2
        assert np.ptp(digits, axis=1).min() > 20


def test_some_patients_have_two_recordings_that_agree(hospital: Simulated) -> None:
    counts = hospital.table["patient"].value_counts()
    again = hospital.table["patient"].duplicated(keep=False)
    assert 0.15 < again.mean() < 0.35
    own = ["LVH", "LBBB", "RBBB", "AF", "PACE", "INVT", "LNGQT"]
    pair = pd.concat([hospital.table[["patient", "age", "sex"]], hospital.truth[own]], axis=1)
    assert len(pair.drop_duplicates()) == len(counts)
    spread = hospital.truth.groupby(hospital.table["patient"])["QRS"].std()
    assert spread.max() < 1e-6 < hospital.truth["QRS"].std()
    # Heart rate and noise are another day's.
    assert (hospital.truth.groupby(hospital.table["patient"])["rate"].nunique() == counts.sort_index()).all()


def test_same_seed_same_bytes_other_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        simulate("A", 20, tmp_path / name, seed=seed, seconds=2.0)
    one, two, three = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("one", "two", "three")
    )
    assert one == two
    assert len(one) == 41
    assert all(one[name] != three[name] for name in one if name.endswith((".dat", ".csv")))


@settings(max_examples=6, deadline=None)
@given(fewer=st.integers(1, 150), more=st.integers(1, 150), seed=st.integers(0, 9))
def test_more_records_begin_with_fewer(fewer: int, more: int, seed: int) -> None:
    fewer, more = sorted((fewer, more))
    a, b = (generate("B", n, seed=seed, seconds=1.5) for n in (fewer, more))
    np.testing.assert_array_equal(a.signals, b.signals[:fewer])
    pd.testing.assert_frame_equal(a.table, b.table[:fewer])
    assert len(a.beats) == fewer


def test_amplitudes_are_those_of_a_heart(hospital: Simulated) -> None:
    largest = np.abs(hospital.signals).max(axis=(1, 2))
    assert 1 < np.median(largest) < 3
    assert largest.max() < 12


# ---- rhythm


def test_statements_occur_as_often_as_the_site_says(hospital: Simulated) -> None:
    share = hospital.truth[CODES].mean()
    for code, wanted in SITES["A"].prevalence.items():
        assert 0.35 * wanted - 0.01 < share[code] < 1.8 * wanted + 0.02, code
    assert (hospital.truth[["SR", "SB", "STACH"]].sum(axis=1) <= 1).all()
    assert not (hospital.truth["AF"] & hospital.truth["SR"]).any()
    for code in ("STE", "STD"):
        parts = hospital.truth[[f"{code}-ANT", f"{code}-INF", f"{code}-LAT"]].sum(axis=1)
        assert (parts == hospital.truth[code]).all()


def test_intervals_are_those_of_adults_and_statements_follow_from_them(hospital: Simulated) -> None:
    truth = hospital.truth
    normal = truth[truth["SR"] == 1]
    for name, low, high in (("PQ", 145, 175), ("QRS", 84, 106), ("QTc", 398, 425)):
        assert low < normal[name].median() < high
    assert (normal["QT"] - normal["QTc"] * np.cbrt(60 / normal["rate"])).abs().median() < 8
    assert np.corrcoef(normal["QT"], normal["rate"])[0, 1] < -0.4
    assert ((truth["PQ"] > 200) == (truth["1AVB"] == 1))[(truth["2AVB"] == 0) & (truth["SR"] == 1)].all()
    assert ((truth["axis"] < -30) == (truth["LAD"] == 1))[truth["PACE"] == 0].all()
    assert (truth["QRS"][(truth["LBBB"] == 1) | (truth["RBBB"] == 1)] >= 120).all()
    assert truth["PQ"][truth["AF"] == 1].isna().all()


def irregularity(made: Simulated) -> np.ndarray:
    rr = [np.diff(beats["time"]) for beats in made.beats]
    return np.array([np.median(np.abs(np.diff(r))) / r.mean() for r in rr])


def test_fibrillation_is_irregular_has_no_p_and_f_waves(plain: Simulated) -> None:
    made = generate(only("AF"), 128, seed=6)
    af = (made.truth["AF"] == 1).to_numpy()
    assert af.mean() > 0.95
    assert np.median(irregularity(made)[af]) > 0.12
    assert np.median(irregularity(plain)) < 0.04
    assert np.median([np.diff(beats["time"]).min() for beats in made.beats]) > 0.3
    # What precedes each QRS at a fixed distance is gone, and between 4 and 9 Hz V1 has what sinus has not.
    before = [np.ptp(at_beats(x, "II", -0.2, -0.04), axis=1) for x in (plain, made)]
    assert np.median(before[0]) > 2 * np.median(before[1])
    for x, least, most in ((plain, 0.0, 0.02), (made, 0.02, 0.3)):
        rest = [
            np.std(signal[6, int((r - 0.28) * 250) : int((r - 0.2) * 250)])
            for signal, beats in zip(x.signals, x.beats, strict=True)
            for r in beats["time"][1:]
        ]
        assert least <= np.median(rest) < most


def test_flutter_waves_have_their_rate_and_lead_the_ventricles() -> None:
    made = generate(only("AFL"), 64, seed=1)
    spectrum = np.abs(np.fft.rfft(made.signals[:, 6] - made.signals[:, 6].mean(axis=1, keepdims=True)))
    hertz = np.fft.rfftfreq(made.signals.shape[2], 1 / 250)
    band = (hertz > 3.6) & (hertz < 6.2)
    regular = 0
    for power, beats in zip(spectrum, made.beats, strict=True):
        atria = hertz[band][power[band].argmax()]
        ratio = np.diff(beats["time"]) * atria
        regular += bool(np.abs(ratio - np.rint(ratio)).max() < 0.25 and ratio.min() > 1.5)
    assert regular > 0.6 * len(made.beats)  # in the others a harmonic of QRS is larger than the flutter


@pytest.mark.parametrize(("code", "kind"), [("PVC", "ventricular"), ("PAC", "atrial")])
def test_premature_beats_are_early_and_pause_as_they_should(code: str, kind: str) -> None:
    made = generate(only(code), 128, seed=2)
    both, early = [], []
    for beats in made.beats:
        time, kinds = beats["time"], beats["kind"]
        for i in range(2, len(time) - 1):
            if list(kinds[i - 2 : i + 2]) == ["normal", "normal", kind, "normal"]:
                usual = time[i - 1] - time[i - 2]
                early.append((time[i] - time[i - 1]) / usual)
                both.append((time[i + 1] - time[i - 1]) / usual)
    assert len(both) > 80
    assert 0.5 < np.median(early) < 0.8
    assert (1.97 < np.median(both) < 2.03) if code == "PVC" else (1.6 < np.median(both) < 1.9)
    assert (made.truth[code] == 1).mean() > 0.9
    seen = [(beats["kind"] == kind).any() for beats in made.beats]
    assert (np.array(seen) <= (made.truth[code] == 1) + 0.0).mean() > 0.9


def test_a_blocked_p_wave_costs_a_beat_and_block_lengthens_pq() -> None:
    made = generate(only("2AVB"), 64, seed=2)
    for beats in made.beats:
        rr = np.diff(beats["time"])
        assert rr.max() > 1.35 * rr.min()


def test_breath_moves_rate_and_amplitude(plain: Simulated) -> None:
    arrhythmia = generate(only("SA"), 128, seed=6)
    calm, moved = (np.median([np.std(np.diff(b["time"])) for b in x.beats]) for x in (plain, arrhythmia))
    assert 0.005 < calm < 0.06
    assert moved > 1.8 * calm
    tops = [
        np.std([np.abs(signal[7, int(t * 250) : int(t * 250) + 30]).max() for t in beats["time"][1:-1]])
        for signal, beats in zip(plain.signals, plain.beats, strict=True)
    ]
    assert 0.01 < np.median(tops) < 0.15


# ---- form


def change(plain: Simulated, code: str, lead: str, start_s: float, stop_s: float) -> float:
    """Return by how many mV a statement changes the mean of a lead between two times, in the same people."""
    made = generate(only(code), 128, seed=6)
    assert (made.truth[code] == 1).all()
    difference = at_beats(made, lead, start_s, stop_s) - at_beats(plain, lead, start_s, stop_s)
    return float(np.median(difference.mean(axis=1)))


def test_bundle_branch_blocks_have_their_forms(plain: Simulated) -> None:
    assert change(plain, "RBBB", "V1", 0.085, 0.12) > 0.2  # rsR'
    assert change(plain, "RBBB", "V6", 0.085, 0.12) < -0.1
    assert change(plain, "LBBB", "V1", 0.06, 0.11) < -0.3  # no r, a wide S
    assert change(plain, "LBBB", "V6", 0.06, 0.11) > 0.3
    assert change(plain, "LBBB", "V6", 0.28, 0.36) < -0.1  # T against QRS


def test_st_and_t_change_where_they_should(plain: Simulated) -> None:
    wall = {"ANT": "V3", "INF": "aVF", "LAT": "V6"}
    for code, sign in (("STE", 1), ("STD", -1)):
        made = generate(only(code), 128, seed=6)
        for territory, lead in wall.items():
            moved = (at_beats(made, lead, 0.13, 0.16) - at_beats(plain, lead, 0.13, 0.16)).mean(axis=1)
            here = (made.truth[f"{code}-{territory}"] == 1).to_numpy()
            assert 0.05 < sign * np.median(moved[here]) < 0.5
            assert sign * np.median(moved[here]) > sign * np.median(moved[~here])
    assert change(plain, "INVT", "V5", 0.26, 0.36) < -0.05
    assert change(plain, "LVH", "V5", 0.03, 0.06) > 0.2


def test_the_axis_is_that_of_the_signal() -> None:
    made = generate(only("LAD", 0.4), 128, seed=3)
    one, avf = (at_beats(made, lead, 0.0, 0.11).sum(axis=1) for lead in ("I", "aVF"))
    found = np.degrees(np.arctan2(avf * 1.1547, one))
    # ST begins before the complex has ended, and the chest is no perfect conductor.
    assert np.median(np.abs((found - made.truth["axis"] + 180) % 360 - 180)) < 8
    assert 0.25 < made.truth["LAD"].mean() < 0.55


def test_mild_cases_look_like_variants(hospital: Simulated) -> None:
    late = at_beats(hospital, "V1", 0.085, 0.12).mean(axis=1)
    tall = np.ptp(at_beats(hospital, "V5", 0.0, 0.1), axis=1)
    for feature, code, low, high in ((late, "RBBB", 0.85, 0.999), (tall, "LVH", 0.6, 0.93)):
        seen = (hospital.truth["PACE"] == 0).to_numpy() & np.isfinite(feature)
        ranks, present = (
            pd.Series(feature[seen]).rank().to_numpy(),
            hospital.truth[code].to_numpy()[seen] == 1,
        )
        n = present.sum()
        auroc = (ranks[present].sum() - n * (n + 1) / 2) / (n * (len(ranks) - n))
        assert low < auroc < high


# ---- the site


def test_a_pacemaker_shows_its_spike() -> None:
    made = generate(only("PACE", sampling_rate=500.0), 32, seed=0)
    assert (made.truth["PACE"] == 1).all()
    assert made.truth[["QRS", "QT", "axis"]].isna().all(axis=None)
    second = np.abs(np.diff(made.signals[:, 1], 2, axis=1))
    assert np.median(second.max(axis=1) / np.median(second, axis=1)) > 50


def test_devices_filter_scale_and_hum(plain: Simulated) -> None:
    def spectrum(**changes: Any) -> np.ndarray:
        made = generate(only("", **changes), 32, seed=6)
        faded = made.signals[:, 7] * np.hanning(made.signals.shape[2])
        return np.abs(np.fft.rfft(faded, axis=1)).mean(axis=0)  # bins of 0.1 Hz

    clean = spectrum()
    assert spectrum(lowpass_hz=30.0)[300:320].mean() == pytest.approx(0.707 * clean[300:320].mean(), rel=0.1)
    assert spectrum(highpass_hz=0.5)[:3].mean() < 0.5 * clean[:3].mean()
    assert spectrum(response=0.5)[10:200].mean() == pytest.approx(0.5 * clean[10:200].mean(), rel=0.01)
    hum = spectrum(mains_mv=0.02, mains_hz=60.0)
    assert hum[595:606].max() > 3 * clean[595:606].max()
    assert spectrum(muscle_mv=0.05)[800:1000].mean() > 5 * clean[800:1000].mean()
    assert spectrum(wander_mv=0.3)[1:4].mean() > 1.5 * clean[1:4].mean()
    steps = generate(only("", gain=200.0), 2, seed=6).signals * 200
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)


def test_exchanged_arms_turn_lead_one_over(plain: Simulated) -> None:
    made = generate(only("", swapped=1.0), 128, seed=6)
    np.testing.assert_allclose(made.signals[:, 0], -plain.signals[:, 0], atol=2e-3)
    np.testing.assert_allclose(made.signals[:, 1], plain.signals[:, 2], atol=3e-3)
    np.testing.assert_allclose(made.signals[:, 6:], plain.signals[:, 6:], atol=2e-3)


def test_labels_are_exact_before_the_sites_mistakes_and_gaps() -> None:
    site = dataclasses.replace(SITES["A"], label_noise=0.0, unknown=0.0)
    exact = generate(site, 256, seed=1, seconds=1.0)
    assert (exact.table[CODES] == exact.truth[CODES]).all(axis=None)
    wrong = generate(dataclasses.replace(site, label_noise=0.3), 512, seed=1, seconds=1.0)
    differ = wrong.table[CODES] != wrong.truth[CODES]
    assert 0.02 < differ["SR"].mean() < 0.3
    assert wrong.table["LVH"].mean() == pytest.approx(wrong.truth["LVH"].mean(), abs=0.05)
    assert (wrong.table[["SR", "SB", "STACH", "AFL"]].sum(axis=1) <= 1).all()
    unknown = generate(dataclasses.replace(site, unknown=0.2), 512, seed=1, seconds=1.0).table[CODES].isna()
    assert not unknown[list(RHYTHMS)].any(axis=None)
    assert 0.15 < unknown["LVH"].mean() < 0.25
    assert (unknown["STE"] == unknown["STE-ANT"]).all()


def test_a_site_labels_only_what_it_annotates(tmp_path: Path) -> None:
    site = dataclasses.replace(SITES["B"], annotates=("LVH", "AF"))
    simulate(site, 30, tmp_path / "b", seed=2, seconds=1.0)
    table, full = pd.read_csv(tmp_path / "b" / "labels.csv"), generate("B", 30, seed=2, seconds=1.0)
    assert list(table.columns) == ["file", "patient", "age", "sex", "LVH", "AF"]
    few = generate(site, 30, seed=2, seconds=1.0)
    for found in (table, few.table):
        pd.testing.assert_series_equal(found["LVH"].astype("f4"), full.table["LVH"])
    pd.testing.assert_frame_equal(few.truth, full.truth)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"annotates": ("AFIB",)}, "cannot annotate 'AFIB'"),
        ({"annotates": ("AF", "AF")}, "annotates of a site"),
        ({"prevalence": {"LBB": 0.1}}, "Did you mean LBBB"),
        ({"prevalence": {"AF": 1.5}}, "prevalence of AF"),
        ({"gain": 1e6}, "gain of a site"),
        ({"sampling_rate": 0.0}, "sampling_rate of a site"),
        ({"motion": float("nan")}, "motion of a site"),
        ({"age": (10.0, 5.0)}, "age of a site"),
        ({"name": "a/b"}, "letters and digits"),
    ],
)
def test_impossible_sites_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Site(**{"name": "X", **changes})


def test_mistakes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no simulated site 'D'"):
        simulate("D", 1, tmp_path / "c", seed=0)
    with pytest.raises(ConfigError, match="cannot simulate 0 records"):
        generate("A", 0, seed=0)
    with pytest.raises(ConfigError, match="of 500 s"):
        simulate("A", 1, tmp_path / "c", seed=0, seconds=500)
    assert not (tmp_path / "c").exists()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="not empty"):
        simulate("A", 1, tmp_path, seed=0)


def test_a_full_disk_leaves_nothing_and_the_same_command_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its name in the package is that of the function.
    module = sys.modules[generate.__module__]
    out, real, written = tmp_path / "b", module.write_wfdb, []

    def filling(*args: Any) -> None:
        written.append(args[1])
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*args)

    monkeypatch.setattr(module, "write_wfdb", filling)
    with pytest.raises(OSError, match="No space"):
        simulate("B", 5, out, seed=2, seconds=1.0)
    assert list(tmp_path.iterdir()) == []
    simulate("B", 5, out, seed=2, seconds=1.0)
    assert len(pd.read_csv(out / "labels.csv")) == 5
