"""Draw the beats: every wave only where it is, as rows that the leads then mix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.simulation import rhythm as r
from ecgtransfer.datasets.simulation.device import Upsample
from ecgtransfer.datasets.simulation.people import People
from ecgtransfer.datasets.simulation.waves import NAMES, ROW, Array, Waves

_REACH = 3.1  # deviations from its centre, where a wave is cut: at 0.8 % of its height
_TABLE = 1024


def qt(p: People, beats: r.Beats) -> NDArray[np.float64]:
    """Return the QT interval of each beat in s: Fridericia's cube root of the RR interval of late."""
    return np.asarray(p["QTc"][:, None] / 1000 * np.cbrt(beats.before))


def draw(
    rows: Array, pad: int, fs: float, p: People, beats: r.Beats, waves: Waves, low_pass_s: float,
    around: Upsample, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Fill ``rows`` [recordings, waves, samples] with the waves of every beat; sample ``pad`` is at 0 s.

    The low-pass of the device is Gaussian, so that a wave behind it is a wave again: wider and lower.
    """
    rows[...] = 0
    _atria(rows, pad, fs, p, beats, low_pass_s, around, rng)
    interval = qt(p, beats)
    end = beats.onset + interval
    stretch = interval / 0.4
    shape = beats.onset.shape
    strength = 1 + 0.045 * rng.standard_normal((*shape, 4))
    normal = beats.has_qrs & (beats.kind <= r.ATRIAL)
    slow = beats.kind >= r.VENTRICULAR
    slow_end = beats.onset + np.maximum(interval + 0.03, 0.36)
    seconds = rows.shape[2] / fs
    for name in NAMES:
        row = ROW[name]
        if name in ("f1", "f2"):
            continue
        begin, centre = beats.onset, waves.centre[:, row]
        scale: Any = 1.0
        if name in ("P1", "P2"):
            where, size = beats.has_p, strength[..., 0] * beats.p_size[..., int(name[1]) - 1]
            begin = beats.onset - beats.pq
        elif name in ("ST", "T1", "T2", "T3", "U"):
            where, size = normal, strength[..., 2]
            begin, centre, scale = end, -centre, stretch
        elif name == "VT":
            where, size = slow, strength[..., 3]
            begin, centre, scale = slow_end, -centre, stretch
        elif name in ("V1", "V2", "V3"):
            where, size = slow, strength[..., 3]
        elif name == "spike":
            where, size = beats.kind == r.PACED, strength[..., 3]
        else:
            where, size = normal, strength[..., 1]
        at = begin + centre[:, None] * scale
        where = where & (at > -pad / fs) & (at < seconds)
        record, beat = np.nonzero(where)
        if not len(record):
            continue
        own = waves.width[record, row] * (scale[record, beat] if np.ndim(scale) else 1.0)
        seen = np.sqrt(own**2 + low_pass_s**2)
        _place(
            rows, row, pad, record, beat, at[record, beat] * fs, seen * fs, size[record, beat] * own / seen
        )


def _place(
    rows: Array, row: int, pad: int, record: NDArray[np.int64], beat: NDArray[np.int64],
    centre: NDArray[np.float64], width: NDArray[np.float64], height: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add Gaussian waves (in samples) to one row of their recordings."""
    reach = int(np.ceil(_REACH * width.max()))
    nearest = np.rint(centre).astype(np.int64)
    inside = (nearest - reach >= -pad) & (nearest + reach < rows.shape[2] - pad)
    record, beat, centre, width, height, nearest = (
        values[inside] for values in (record, beat, centre, width, height, nearest)
    )
    offset = np.arange(-reach, reach + 1)
    distance = offset.astype(np.float32) - (centre - nearest).astype(np.float32)[:, None]
    distance *= (np.sqrt(0.5) / width).astype(np.float32)[:, None]
    distance *= distance
    np.negative(distance, out=distance)
    wave = np.exp(distance, out=distance)
    wave *= height.astype(np.float32)[:, None]
    flat = rows.reshape(-1)
    place = ((record * rows.shape[1] + row) * rows.shape[2] + pad + nearest)[:, None] + offset
    same = record[1:] == record[:-1]
    if np.diff(nearest)[same].min(initial=rows.shape[2]) > 2 * reach:
        flat[place] = wave
        return
    # Waves of neighbouring beats overlap, those of every other beat do not: no place twice in one addition.
    for parity in (0, 1):
        chosen = beat % 2 == parity
        flat[place[chosen]] += wave[chosen]


def _atria(
    rows: Array, pad: int, fs: float, p: People, beats: r.Beats, low_pass_s: float, around: Upsample,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add fibrillation or flutter waves to the two rows of the atria.

    Saw teeth whose rate and height vary (Stridh & Sörnmo 2001, 10.1109/10.900266): fibrillation at 4 to 9 Hz
    with phases that wander; flutter with the ventricles in a fixed ratio.
    """
    fibrillating = (p["rhythm"] == r.AF) | ((p["rhythm"] == r.PACE) & (p["vagal"] <= 0.4))
    which = np.flatnonzero(fibrillating | (p["rhythm"] == r.AFL))
    if not len(which):
        return
    wild = fibrillating[which, None]
    base = np.where(wild[:, 0], (6.2 + 0.9 * p["odd"][which, 59]).clip(4.2, 9), beats.flutter_hz[which])[
        :, None
    ]
    time = (np.arange(rows.shape[2]) - pad) / fs
    for name, faster in (("f1", 1.0), ("f2", 1.03)):
        hertz = base * np.where(wild, faster, 1.0)
        slow, fast = (around(rng.standard_normal((len(which), around.count)), hz) for hz in (0.35, 1.2))
        phase = hertz * time + np.where(wild, 0.45, 0.004) * slow + rng.random((len(which), 1))
        height = np.where(wild, 1 + 0.35 * fast.clip(-2, 2), 2.4 if name == "f1" else -0.8)
        attenuation = np.exp(-0.5 * (2 * np.pi * base * low_pass_s) ** 2)
        index = (phase * _TABLE).astype(np.int64) % _TABLE
        rows[which, ROW[name]] = (height * attenuation * _SAW[index]).astype(np.float32)


def _saw_tooth() -> Array:
    angle = 2 * np.pi * np.arange(_TABLE) / _TABLE
    wave = sum(np.sin(n * angle) / n * (-1) ** (n + 1) for n in range(1, 5))
    return np.asarray(wave, dtype=np.float32)


_SAW = _saw_tooth()
