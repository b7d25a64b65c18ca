"""Simulated recordings in memory, or written as a hospital might hand them over."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer import files, seeds
from ecgtransfer.datasets.simulation import device, heart, people, rhythm
from ecgtransfer.datasets.simulation.people import GRADED, PRESENT, TERRITORIES, People
from ecgtransfer.datasets.simulation.site import RHYTHMS, STATEMENTS, Site, named
from ecgtransfer.datasets.simulation.waves import NAMES, Array, Waves, waves
from ecgtransfer.errors import ConfigError, DataError
from ecgtransfer.signals.record import STANDARD_LEADS
from ecgtransfer.signals.writer import write_wfdb

if TYPE_CHECKING:
    import pandas as pd

_BATCH, _AT_ONCE = 128, 32
_MARGIN_S = 0.75  # waves of beats before and after the recording reach into it
_INTERVALS = ("rate", "PQ", "QRS", "QT", "QTc", "axis")


@dataclass(frozen=True)
class Simulated:
    """Simulated recordings.

    Attributes
    ----------
    signals : float32 array [records, 12, samples]
        In mV, in the order of ``signals.STANDARD_LEADS``; whole steps of the site's converter.
    sampling_rate : float
        In Hz.
    table : DataFrame [records]
        ``record``, ``patient``, ``age``, ``sex`` and a column per statement that the site annotates: 1, 0,
        NaN where it gave no label; with its label noise.
    truth : DataFrame [records]
        The statements as they are (1, 0), and ``rate`` (of the ventricles, per minute), ``PQ`` (NaN without P
        waves), ``QRS``, ``QT``, ``QTc`` (Fridericia) in ms of the usual beat, ``axis`` in degrees.
    beats : list of structured arrays
        Per record its beats: ``time`` (s) of the onset of QRS, ``kind`` (normal, atrial, ventricular, paced).
    """

    signals: Array
    sampling_rate: float
    table: pd.DataFrame
    truth: pd.DataFrame
    beats: list[NDArray[np.void]]


@dataclass(frozen=True)
class _Batch:
    """Recordings that are planned in full; `record` draws their signals."""

    site: Site
    seconds: float
    rng: np.random.Generator
    p: People
    patient: NDArray[np.int64]
    labels: NDArray[np.float32]
    true: NDArray[np.bool_]
    intervals: NDArray[np.float64]
    beats: rhythm.Beats
    shapes: Waves

    @property
    def shape(self) -> tuple[int, int]:
        return 12, round(self.seconds * self.site.sampling_rate)

    def record(self, out: Array) -> Array:
        """Write the signals into ``out`` [records, 12, samples], float32 in mV."""
        fs, n_samples = self.site.sampling_rate, self.shape[1]
        pad = int(_MARGIN_S * fs)
        machine = device.Device(self.site, _AT_ONCE, n_samples)
        around = device.Upsample(fs, n_samples + 2 * pad)
        rows = np.empty((_AT_ONCE, len(NAMES), n_samples + 2 * pad), dtype=np.float32)
        last = np.empty((_AT_ONCE, *self.shape), dtype=np.float32)
        for start in range(0, len(out), _AT_ONCE):
            # Always as many at once, so that a longer request begins with a shorter one.
            part = slice(start, start + _AT_ONCE)
            p = _rows(self.p, part)
            shapes = Waves(**_rows(vars(self.shapes), part))
            beats = rhythm.Beats(**_rows(vars(self.beats), part))
            heart.draw(rows, pad, fs, p, beats, shapes, machine.blur, around, self.rng)
            whole = start + _AT_ONCE <= len(out)
            target = out[part] if whole else last
            machine.record(rows[:, :, pad : pad + n_samples], shapes.seen, p, target, self.rng)
            if not whole:
                out[start:] = last[: len(out) - start]
        return out


def generate(site: Site | str, n_records: int, *, seed: int, seconds: float = 10.0) -> Simulated:
    """Simulate recordings in memory.

    The same arguments give the same recordings; more records begin with those of fewer.

    Parameters
    ----------
    site : Site or str
        A `Site`, or the name of one in ``SITES``.
    n_records : int
    seed : int
    seconds : float
        Length of each, 1 to 120.

    Returns
    -------
    Simulated

    Raises
    ------
    ConfigError
        The site is unknown, or a number is out of its range.
    """
    import pandas as pd

    place = named(site)
    batches = list(_batches(place, n_records, seed, seconds))
    signals = np.empty((n_records, *batches[0].shape), dtype=np.float32)
    for number, batch in enumerate(batches):
        batch.record(signals[number * _BATCH : (number + 1) * _BATCH])
    patient = np.concatenate([batch.patient for batch in batches])

    def trait(name: str) -> NDArray[Any]:
        return np.concatenate([batch.p[name] for batch in batches])[:n_records]

    table: dict[str, Any] = {
        "record": [_name(place, number) for number in range(n_records)],
        "patient": [f"{place.name}-{number:05d}" for number in patient],
        "age": trait("age").astype(int),
        "sex": np.where(trait("male"), "male", "female"),
    }
    labels = np.concatenate([batch.labels for batch in batches])
    table |= {code: labels[:, STATEMENTS.index(code)] for code in place.annotates}
    true = np.concatenate([batch.true for batch in batches]).astype(int)
    intervals = np.concatenate([batch.intervals for batch in batches])
    truth = {code: true[:, column] for column, code in enumerate(STATEMENTS)}
    truth |= {name: intervals[:, column] for column, name in enumerate(_INTERVALS)}
    return Simulated(
        signals,
        place.sampling_rate,
        pd.DataFrame(table),
        pd.DataFrame(truth),
        [found for batch in batches for found in _seen(batch.beats, seconds)][:n_records],
    )


def simulate(
    site: Site | str, n_records: int, folder: str | Path, *, seed: int, seconds: float = 10.0
) -> None:
    """Write simulated recordings as a hospital might hand them over.

    Parameters
    ----------
    site : Site or str
        A `Site`, or the name of one in ``SITES``.
    n_records : int
    folder : path
        Receives ``A00000.hea``, ``A00000.dat``, … (WFDB format 16) and ``labels.csv`` with the columns file,
        patient, age (years), sex, and one per statement the site annotates (1 / 0 / empty = unknown).
    seed : int
        Same seed, same files.
    seconds : float
        Length of each, 1 to 120.

    Raises
    ------
    ConfigError
        The site is unknown, or a number is out of its range.
    DataError
        The folder holds something already.
    """
    place, folder = named(site), Path(folder)
    batches = _batches(place, n_records, seed, seconds)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("is not empty", where=folder, remedy="Choose a new folder")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "patient", "age", "sex", *place.annotates))
    annotated = [STATEMENTS.index(code) for code in place.annotates]
    number = 0
    # All of it or nothing: half a hospital would look like a smaller one.
    with files.atomic_folder(folder) as whole:
        for batch in batches:
            for row, signal in enumerate(
                batch.record(np.empty((len(batch.patient), *batch.shape), np.float32))
            ):
                name, age = _name(place, number), int(batch.p["age"][row])
                sex = "male" if batch.p["male"][row] else "female"
                comments = (f"Age: {age}", f"Sex: {sex.capitalize()}")
                write_wfdb(whole, name, signal, place.sampling_rate, STANDARD_LEADS, comments, place.gain)
                labels = ["" if np.isnan(label) else int(label) for label in batch.labels[row, annotated]]
                table.writerow((f"{name}.hea", f"{place.name}-{batch.patient[row]:05d}", age, sex, *labels))
                number += 1
        files.write_text(whole / "labels.csv", text.getvalue())


def _name(site: Site, number: int) -> str:
    return f"{site.name}{number:05d}"


def _batches(site: Site, n_records: int, seed: int, seconds: float) -> Iterator[_Batch]:
    if n_records < 1 or not 1 <= seconds <= 120:
        raise ConfigError(
            f"cannot simulate {n_records} records of {seconds} s",
            remedy="Ask for at least one record of 1 to 120 s",
        )
    return _iterate(site, n_records, seed, seconds)


def _iterate(site: Site, n_records: int, seed: int, seconds: float) -> Iterator[_Batch]:
    before = 0
    for start in range(0, n_records, _BATCH):
        rng = seeds.stream(seed, 0, "simulate", site.name, start)
        again = rng.random(_BATCH) < site.repeats
        again[0] = False
        of = np.cumsum(~again) - 1
        p = people.recorded(site, people.draw(site, int(of[-1]) + 1, rng), of, rng)
        beats = rhythm.beats(p, seconds, rng)
        shapes = waves(p)
        true, intervals = _truth(p, beats, shapes, seconds)
        labels = _labels(site, true, rng)
        n = min(_BATCH, n_records - start)
        yield _Batch(
            site, seconds, rng, p, before + of[:n], labels[:n], true[:n], intervals[:n], beats, shapes
        )
        before += int(of[-1]) + 1


def _rows(arrays: dict[str, Any], part: slice) -> dict[str, Any]:
    return {name: values[part] for name, values in arrays.items()}


_KINDS = np.array(("normal", "atrial", "ventricular", "paced"))


def _seen(beats: rhythm.Beats, seconds: float) -> Iterator[NDArray[np.void]]:
    """Yield the beats of each record that lie in it."""
    inside = beats.has_qrs & (beats.onset >= 0) & (beats.onset < seconds)
    for onset, kind, chosen in zip(beats.onset, beats.kind, inside, strict=True):
        found = np.empty(int(chosen.sum()), dtype=[("time", "f8"), ("kind", _KINDS.dtype)])
        found["time"], found["kind"] = onset[chosen], _KINDS[kind[chosen]]
        yield found


def _truth(
    p: People, beats: rhythm.Beats, shapes: Waves, seconds: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return what is the case: statements [records, statements] and intervals [records, intervals]."""
    inside = (beats.onset >= 0.1) & (beats.onset <= seconds - 0.15)
    counted = inside & beats.has_qrs
    first = np.where(counted, beats.onset, np.inf).min(axis=1)
    last = np.where(counted, beats.onset, -np.inf).max(axis=1)
    intervals = counted.sum(axis=1) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.where(intervals > 0, 60 * intervals / (last - first), beats.sinus_rate)
    rhythms = p["rhythm"]
    sinus = np.isin(rhythms, (rhythm.SINUS, rhythm.BLOCK))
    usual = inside & (beats.kind == rhythm.NORMAL)
    pq = 1000 * _median(beats.pq, usual & beats.has_p)
    qt = 1000 * _median(heart.qt(p, beats), usual)
    slow = rhythms == rhythm.PACE
    qrs = np.where(slow, np.nan, p["QRS"])
    qt = np.where(slow, np.nan, qt)
    is_true: dict[str, NDArray[Any]] = {
        "SR": sinus & (beats.sinus_rate >= 60) & (beats.sinus_rate <= 100),
        "SB": sinus & (beats.sinus_rate < 60),
        "STACH": sinus & (beats.sinus_rate > 100),
        "SA": (rhythms == rhythm.SINUS) & p["sinus arrhythmia"],
        "AF": (rhythms == rhythm.AF) | (slow & (p["vagal"] <= 0.4)),
        "AFL": rhythms == rhythm.AFL,
        "SVTAC": rhythms == rhythm.SVTAC,
        "WAP": rhythms == rhythm.WAP,
        "PACE": slow,
        "2AVB": rhythms == rhythm.BLOCK,
        "1AVB": (rhythms == rhythm.SINUS) & (pq > 200),
        "PAC": (inside & (beats.kind == rhythm.ATRIAL)).any(axis=1),
        "PVC": (inside & (beats.kind == rhythm.VENTRICULAR)).any(axis=1),
        "LAD": ~slow & (shapes.axis < -30) & (shapes.axis > -90),
        "RAD": ~slow & ((shapes.axis > 90) | (shapes.axis <= -90)),
        "LNGQT": ~slow & p["LNGQT"],
    }
    for code in GRADED:  # beats that a pacemaker makes show nothing of how the heart would conduct
        is_true[code] = ~slow & (p[code] >= PRESENT)
    for code in ("STE", "STD"):
        for number, territory in enumerate(TERRITORIES):
            is_true[f"{code}-{territory}"] = is_true[code] & (p[f"{code} in"] == number)
    axis = np.where(slow, np.nan, shapes.axis)
    found = np.stack([rate, pq, qrs, qt, np.where(slow, np.nan, p["QTc"]), axis], axis=1)
    return np.stack([is_true[code] for code in STATEMENTS], axis=1), found


def _median(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    found = np.full(len(values), np.nan)
    some = where.any(axis=1)
    found[some] = np.nanmedian(np.where(where, values, np.nan)[some], axis=1)
    return found


def _labels(site: Site, true: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the labels that the site gives: wrong ones are another patient's, so that shares stay."""
    labels = true.astype(np.float32)
    rhythms, count = len(RHYTHMS), len(true)
    other = labels[rng.permutation(count)]
    mistaken = rng.random((count, 1)) < site.label_noise
    labels[:, :rhythms] = np.where(mistaken, other[:, :rhythms], labels[:, :rhythms])
    # A statement and its territories, or their union, go together.
    group = np.array(
        [{"STE": 0, "STD": 1}.get(code.split("-")[0], 2 + n) for n, code in enumerate(STATEMENTS)]
    )
    for mask, value in ((site.label_noise, None), (site.unknown, np.nan)):
        drawn = (rng.random((count, 2 + len(STATEMENTS))) < mask)[:, group[rhythms:]]
        labels[:, rhythms:] = np.where(
            drawn, other[:, rhythms:] if value is None else value, labels[:, rhythms:]
        )
    return labels
