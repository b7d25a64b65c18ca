"""Made-up ECGs that differ from person to person and from beat to beat, and stores of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets import store
from ecgtransfer.datasets.store import Chunk, Store
from ecgtransfer.datasets.store_info import StoreDescription
from ecgtransfer.signals import STANDARD_LEADS

RATE = 500.0
# Centre (s from R), width (s) and usual dipole of P, Q, R, S and T.
_WAVES = (
    (-0.17, 0.025, (0.12, 0.14, 0.0)),
    (-0.03, 0.009, (-0.10, -0.08, 0.15)),
    (0.00, 0.011, (0.9, 1.0, -0.2)),
    (0.03, 0.010, (-0.2, -0.15, 0.5)),
    (0.26, 0.050, (0.25, 0.25, 0.15)),
)


def heart(seed: int, seconds: float = 10.0, *, rr: float | None = None, jitter: float = 0.04) -> NDArray[Any]:
    """Return the ECG of one person: float64 [12, samples] in mV at `RATE`.

    Parameters
    ----------
    seed : int
        The person and the moment.
    seconds : float
    rr : float, optional
        Mean time between beats, s; drawn where not given.
    jitter : float
        Standard deviation of the time between beats as a share of ``rr``; 0 for a pacemaker.
    """
    rng = np.random.default_rng(seed)
    rr = rng.uniform(0.6, 1.1) if rr is None else rr
    time = np.arange(round(seconds * RATE)) / RATE
    beats = np.cumsum(rr * (1 + jitter * rng.standard_normal(int(seconds / rr * 2) + 4))) - rng.uniform(0, rr)
    project = rng.normal(0, 1, (8, 3)) * 0.4 + np.resize(np.eye(3), (8, 3))
    eight = np.zeros((8, len(time)))
    for centre, width, usual in _WAVES:
        dipole = np.array(usual) * rng.uniform(0.6, 1.4, 3)
        centre, width = centre * rng.uniform(0.85, 1.15), width * rng.uniform(0.8, 1.3)
        for beat in beats:
            size = 1 + 0.04 * rng.standard_normal()
            near = slice(*np.searchsorted(time, beat + centre + np.array([-6, 6]) * width))
            bump = np.exp(-0.5 * ((time[near] - beat - centre) / width) ** 2)
            eight[:, near] += size * np.outer(project @ dipole, bump)
    eight += 0.1 * np.sin(2 * np.pi * rng.uniform(0.15, 0.3) * time)
    eight += rng.normal(0, 0.008, eight.shape)
    one, two = eight[:2]
    limbs = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.concatenate([np.stack(limbs), eight[2:]])


def write_hearts(
    path: Path,
    signals: Sequence[NDArray[Any]],
    *,
    rate: float = RATE,
    leads: Sequence[str] = STANDARD_LEADS,
    window_s: float = 10.0,
    hashes: Sequence[str] | None = None,
) -> Store:
    """Write a store of signals [leads, samples] in mV; NaN is no sample; a long one has several windows."""
    n = round(window_s * rate)
    windows, owner, starts = [], [], []
    for number, signal in enumerate(signals):
        steps = np.where(np.isnan(signal), store.MISSING, np.rint(np.nan_to_num(signal) * 1000)).astype(
            np.int16
        )
        length = steps.shape[1]
        if length < n:
            steps = np.pad(steps, ((0, 0), (0, n - length)), constant_values=store.MISSING)
        begins = [*range(0, steps.shape[1] - n + 1, n)]
        if begins[-1] + n < steps.shape[1]:
            begins.append(steps.shape[1] - n)
        windows += [steps[:, begin : begin + n] for begin in begins]
        owner += [number] * len(begins)
        starts += begins
    records = [
        {
            "record_id": f"{path.stem}-{i:03d}", "file": f"{i}", "patient_id": None, "age": None, "sex": None,
            "fold": None, "flags": (), "source": "made", "device": None, "scale_uv": 1.0,
            "hash": f"{path} {i}" if hashes is None else hashes[i],
        }
        for i in range(len(signals))
    ]  # fmt: skip
    description = StoreDescription(
        name=path.stem, source="made", title="", leads=tuple(leads), sampling_rate=rate, n_samples=n,
        licence="", citation="", address="", recipe={"name": "default"}, tasks={}, annotated=(),
        official_folds=False, patients_known=False, polarity_uncertain=False, coverage=(),
    )  # fmt: skip
    chunk = Chunk(np.stack(windows), np.array(owner), np.array(starts), records, [{} for _ in records])
    return store.write(path, description, [chunk])
