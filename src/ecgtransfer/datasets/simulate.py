"""A small generator of labelled 12-lead ECGs from two sites: data for demonstrations and tests.

Every beat is a sum of Gaussian waves of a dipole in three dimensions (after McSharry et al. 2003,
10.1109/TBME.2003.808805, extended to a vector), seen by eight leads through Dower's matrix (Dower, Machado &
Osborne 1980, 10.1002/clc.4960030409); the other limb leads follow from I and II. Statements change the waves
by a severity that differs between patients, so that mild cases resemble normal variants.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecgtransfer import files, seeds
from ecgtransfer.errors import ConfigError, DataError, nearest
from ecgtransfer.signals.record import STANDARD_LEADS
from ecgtransfer.signals.writer import write_wfdb

Site = Literal["A", "B"]
STATEMENTS = ("SR", "AF", "LBBB", "RBBB", "LVH", "STD", "TINV")
"""SR means sinus rhythm at 60 to 100 beats per minute."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Site:
    """A hospital: its device and whom it sees. Prevalences are those of people of 60 years."""

    sampling_rate: float
    gain: float  # steps per mV in the file
    response: float  # of the device; 1 is exact
    noise_mv: float
    mains_hz: float
    age: tuple[float, float]  # mean and standard deviation, years
    prevalence: tuple[float, ...]  # of the statements below
    unknown: float  # share of each statement but the rhythm that nobody annotated


_SITES = {
    "A": _Site(500.0, 1000.0, 1.0, 0.015, 50.0, (58, 16), (0.12, 0.10, 0.12, 0.20, 0.18, 0.20), 0.0),
    "B": _Site(250.0, 200.0, 0.9, 0.025, 60.0, (66, 13), (0.20, 0.12, 0.10, 0.28, 0.22, 0.16), 0.02),
}
# Added log odds per 15 years of age above 60, and for men against women.
_RISKS = {
    "AF": (0.6, 0.2),
    "LBBB": (0.4, 0.1),
    "RBBB": (0.4, 0.4),
    "LVH": (0.2, 0.3),
    "STD": (0.2, 0.0),
    "TINV": (0.0, 0.0),
}
# Rows I, II, V1 … V6; columns left, down, back.
_DOWER = np.array(
    [
        *(0.632, -0.235, 0.059, 0.235, 1.066, -0.132, -0.515, 0.157, -0.917, 0.044, 0.164, -1.387),
        *(0.882, 0.098, -1.277, 1.213, 0.127, -0.601, 1.125, 0.127, -0.086, 0.831, 0.076, 0.230),
    ]
).reshape(8, 3)
# Centre (s after the R peak), width (s), and dipole (mV: left, down, back). The last three scale with √RR.
_WAVES = {
    "P": (-0.16, 0.022, (0.06, 0.11, 0.0)),
    "Q": (-0.026, 0.009, (-0.12, 0.02, -0.16)),
    "R": (0.0, 0.013, (0.85, 0.65, 0.25)),
    "S": (0.028, 0.012, (-0.12, -0.12, 0.42)),
    "late": (0.07, 0.018, (0.0, 0.0, 0.0)),
    "ST": (0.14, 0.040, (0.0, 0.0, 0.0)),
    "T": (0.27, 0.050, (0.26, 0.2, -0.14)),
    "T end": (0.31, 0.030, (0.12, 0.08, -0.06)),
}
_BATCH = 64


def simulate(site: Site, n_records: int, folder: str | Path, *, seed: int, seconds: float = 10.0) -> None:
    """Write simulated recordings as a hospital might hand them over.

    About one patient in eight has a second recording. A statement is never certain to show: its severity
    varies, and two labels in a hundred are wrong.

    Parameters
    ----------
    site : {'A', 'B'}
        A: 500 Hz, 1 µV per step, 50 Hz mains, little noise. B: 250 Hz, 5 µV per step, a device that shows
        amplitudes 10 % too small, 60 Hz mains, more noise, older and sicker patients, some labels unknown.
    n_records : int
    folder : path
        Receives ``A00000.hea``, ``A00000.dat``, … (WFDB format 16) and ``labels.csv`` with the columns file,
        patient, age (years), sex, and one per statement (1 / 0 / empty = unknown).
    seed : int
        Same seed, same files.
    seconds : float
        Length of each recording.

    Raises
    ------
    ConfigError
        The site is unknown, or a number is not positive.
    DataError
        The folder holds something already.
    """
    if site not in _SITES:
        raise ConfigError(f"there is no simulated site {site!r}", remedy=nearest(site, _SITES))
    if n_records < 1 or not seconds >= 1:
        raise ConfigError(
            f"cannot simulate {n_records} records of {seconds} s",
            remedy="Ask for at least one record of at least one second",
        )
    folder, place = Path(folder), _SITES[site]
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise DataError("is not empty", where=folder, remedy="Choose a new folder")
    rng = seeds.stream(seed, 0, "simulate", site, "patients")
    again = rng.random(n_records) < 0.12
    again[0] = False
    again[1:] &= ~again[:-1]
    patient = np.cumsum(~again) - 1
    people = _people(place, int(patient[-1]) + 1, rng)
    names = [f"{site}{record:05d}" for record in range(n_records)]
    for start in range(0, n_records, _BATCH):
        chosen = patient[start : start + _BATCH]
        batch = {key: values[chosen] for key, values in people.items()}
        signals = _record(place, batch, seconds, seeds.stream(seed, 0, "simulate", site, "record", start))
        for name, signal, age, male in zip(names[start:], signals, batch["age"], batch["male"], strict=False):
            comments = (f"Age: {age:.0f}", f"Sex: {'Male' if male else 'Female'}")
            write_wfdb(folder, name, signal, place.sampling_rate, STANDARD_LEADS, comments, place.gain)
    _write_labels(folder / "labels.csv", names, site, patient, people)


def _people(site: _Site, count: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Draw patients: age, sex, labels (NaN unknown), severities, and how their hearts and bodies differ."""
    people: dict[str, NDArray[Any]] = {
        "age": np.clip(rng.normal(*site.age, count), 18, 95).round(),
        "male": rng.random(count) < 0.55,
        "size": np.exp(rng.normal(0, 0.22, count)),
        "turn": np.deg2rad(rng.normal(0, 18, (count, 2))),
        "waves": np.exp(rng.normal(0, 0.2, (count, len(_WAVES)))),
        "rate": np.clip(rng.normal(72, 13, count), 45, 125),
    }
    has: dict[str, NDArray[np.bool_]] = {}
    for (code, (by_age, for_men)), prevalence in zip(_RISKS.items(), site.prevalence, strict=True):
        odds = np.log(prevalence / (1 - prevalence)) + by_age * (people["age"] - 60) / 15
        odds += for_men * (people["male"] - 0.5)
        has[code] = rng.random(count) < 1 / (1 + np.exp(-odds))
    has["RBBB"] &= ~has["LBBB"]
    for code, present in has.items():
        mild, marked = 0.3 * rng.beta(1, 4, count), 0.25 + 0.75 * rng.beta(1.6, 1.6, count)
        people[f"severity {code}"] = np.where(present, marked, mild)
        seen = present ^ (rng.random(count) < 0.02)
        unknown = rng.random(count) < (0 if code == "AF" else site.unknown)
        people[code] = np.where(unknown, np.nan, seen)
    people["fibrillates"] = has["AF"]
    people["SR"] = (people["AF"] == 0) & (people["rate"] >= 60) & (people["rate"] <= 100)
    return people


def _record(site: _Site, people: dict[str, NDArray[Any]], seconds: float, rng: np.random.Generator) -> Array:
    """Record each of these patients once: float32 [records, 12, samples] in mV."""
    count, n_samples = len(people["age"]), round(seconds * site.sampling_rate)
    time = np.arange(n_samples, dtype=np.float32) / np.float32(site.sampling_rate)
    since, root, strength = _beats(people, n_samples, site.sampling_rate, rng)
    dipoles, widths = _waves(people)
    shapes = np.empty((count, len(_WAVES) + 3, n_samples), dtype=np.float32)
    for row, (name, (centre, _, _)) in enumerate(_WAVES.items()):
        stretch = root if name in ("ST", "T", "T end") else np.float32(1)
        distance = (since - np.float32(centre) * stretch) / (widths[:, row, None] * stretch)
        np.exp(np.float32(-0.5) * distance * distance, out=shapes[:, row])
    shapes[:, : len(_WAVES)] *= strength[:, None]
    start = rng.uniform(0, 6, (3, count, 1)).astype(np.float32)
    cycles = (
        2 * np.pi * rng.uniform((4.5, 0.2, 0.1), (8, 0.8, 0.4), (count, 3)).astype(np.float32).T[..., None]
    )
    shapes[:, -3] = np.sin(
        cycles[0] * time + start[0] + 2 * np.sin(cycles[1] * time + start[1])
    )  # fibrillation
    shapes[:, -2] = np.sin(cycles[2] * time + start[2])  # the wander of the baseline
    shapes[:, -1] = np.sin(2 * np.pi * site.mains_hz * time)
    noise = site.noise_mv * np.exp(rng.normal(0, 0.4, (count, 1, 1)))
    disturbance = rng.normal(0, (2.5, 0.4), (count, len(_DOWER), 2)) * noise
    heart = site.response * (dipoles @ _DOWER.T).transpose(0, 2, 1)
    signal = np.concatenate([heart, disturbance], axis=2).astype(np.float32) @ shapes
    for own, level in zip(signal, noise.astype(np.float32).ravel(), strict=True):
        own += rng.standard_normal(own.shape, dtype=np.float32) * level  # muscle noise
    first, second = signal[:, 0], signal[:, 1]
    limbs = [first, second, second - first, -(first + second) / 2, first - second / 2, second - first / 2]
    return np.concatenate([np.stack(limbs, axis=1), signal[:, 2:]], axis=1)


def _beats(
    people: dict[str, NDArray[Any]], n_samples: int, sampling_rate: float, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Return, for each sample [records, samples], s since its beat's R peak, √RR, and the beat's strength."""
    count = len(people["rate"])
    n_beats = int(n_samples / sampling_rate * 4) + 6
    fibrillates = people["fibrillates"][:, None]
    mean = (
        60 / (people["rate"] * rng.normal(1, 0.05, count) * np.where(people["fibrillates"], 1.2, 1))[:, None]
    )
    breath = np.sin(0.25 * 2 * np.pi * mean * np.arange(n_beats) + rng.uniform(0, 6, (count, 1)))
    sinus = 1 + rng.uniform(0.005, 0.05, (count, 1)) * breath + rng.normal(0, 0.01, (count, n_beats))
    spread = rng.uniform(0.12, 0.24, (count, 1))
    chaos = np.clip(1 + spread * rng.standard_normal((count, n_beats)), 0.55, 1.8)
    interval = np.maximum(mean * np.where(fibrillates, chaos, sinus), 0.3)
    peak = np.cumsum(interval, axis=1) - 1 - rng.uniform(0, 1, (count, 1))
    # A beat owns the samples from before its P wave to before the next one's.
    begins = np.ceil((peak - 0.25 * np.sqrt(interval)) * sampling_rate).astype(np.int64)
    starts = np.zeros((count, n_samples), dtype=np.int64)
    rows = np.broadcast_to(np.arange(count)[:, None], begins.shape)
    inside = begins < n_samples
    np.add.at(starts, (rows[inside], np.maximum(begins[inside], 0)), 1)
    beat = np.maximum(np.cumsum(starts, axis=1) - 1, 0)
    time = np.arange(n_samples) / sampling_rate
    following = np.concatenate([interval[:, 1:], interval[:, -1:]], axis=1)
    strength = rng.normal(1, 0.03, (count, n_beats))
    since = time - np.take_along_axis(peak, beat, axis=1)
    root = np.take_along_axis(np.sqrt(following), beat, axis=1)
    return (
        since.astype(np.float32),
        root.astype(np.float32),
        np.take_along_axis(strength, beat, axis=1).astype(np.float32),
    )


def _waves(people: dict[str, NDArray[Any]]) -> tuple[Array, Array]:
    """Return the dipole [records, waves + 1, 3] (last: fibrillation) and width [records, waves]."""
    count, names = len(people["age"]), list(_WAVES)
    dipole = np.empty((count, len(names) + 1, 3))
    dipole[:, :-1] = np.array([vector for _, _, vector in _WAVES.values()])
    dipole[:, :-1] *= people["waves"][:, :, None]
    width = np.tile([width for _, width, _ in _WAVES.values()], (count, 1))
    row = {name: position for position, name in enumerate(names)}
    af, left, right, hypertrophy, depression, inversion = (
        people[f"severity {code}"][:, None] for code in ("AF", "LBBB", "RBBB", "LVH", "STD", "TINV")
    )
    fibrillates = people["fibrillates"][:, None]
    dipole[:, row["P"]] *= np.where(fibrillates, 0, 1)
    dipole[:, -1] = np.where(fibrillates, 0.02 + 0.05 * af, 0) * np.array([-0.4, 0.5, -0.7])
    dipole[:, row["R"]] += hypertrophy * np.array([0.7, 0.05, 0.35])
    dipole[:, row["S"]] += hypertrophy * np.array([0.0, 0.0, 0.3])
    dipole[:, row["Q"]] *= 1 - left
    dipole[:, row["S"]] *= 1 - 0.7 * left
    dipole[:, row["late"]] += left * np.array([0.75, 0.15, 0.55]) + right * np.array([-0.55, 0.0, -0.6])
    width[:, row["R"]] *= 1 + 0.9 * left[:, 0]
    width[:, row["late"]] *= 1 + 0.4 * left[:, 0]
    dipole[:, row["ST"]] += (depression + 0.3 * hypertrophy) * np.array([-0.14, -0.09, 0.05])
    dipole[:, row["ST"]] += left * np.array([-0.1, -0.03, -0.1])
    for wave in ("T", "T end"):
        dipole[:, row[wave]] *= 1 - 1.7 * inversion - 0.4 * hypertrophy - 1.3 * left
    # The heart lies differently in every chest: turn about the axis to the back, then about the vertical one.
    for angle, (first, second) in zip(people["turn"].T, ((0, 1), (0, 2)), strict=True):
        cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
        one, other = dipole[..., first].copy(), dipole[..., second].copy()
        dipole[..., first], dipole[..., second] = cosine * one - sine * other, sine * one + cosine * other
    dipole *= people["size"][:, None, None]
    return dipole.astype(np.float32), width.astype(np.float32)


def _write_labels(
    path: Path, names: list[str], site: str, patient: NDArray[Any], people: dict[str, NDArray[Any]]
) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "patient", "age", "sex", *STATEMENTS))
    for name, who in zip(names, patient.tolist(), strict=True):
        labels = ["" if np.isnan(people[code][who]) else int(people[code][who]) for code in STATEMENTS]
        sex = "male" if people["male"][who] else "female"
        table.writerow((f"{name}.hea", f"{site}-{who:05d}", int(people["age"][who]), sex, *labels))
    files.write_text(path, text.getvalue())
