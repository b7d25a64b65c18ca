"""When the heart beats, and how: sinus rhythm and its variability, fibrillation, flutter, block, ectopy.

The rate of sinus rhythm varies with the breath, at about 0.1 Hz and slowly (the three bands of Task Force
1996, 10.1161/01.CIR.93.5.1043). In atrial fibrillation the intervals are a shifted gamma distribution without
memory. A ventricular premature beat leaves the sinus node alone, so that its pause compensates; an atrial one
resets it. Flutter conducts every second to fourth wave; in second-degree block (Wenckebach) PQ grows until a
P wave stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.simulation.people import RHYTHM, People

NORMAL, ATRIAL, VENTRICULAR, PACED = range(4)
SINUS, AF, AFL, SVTAC, WAP, PACE, BLOCK = range(len(RHYTHM))
_START_S = 1.6  # the first beat lies this much before the recording
_SHORTEST_S = 0.27


@dataclass(frozen=True)
class Beats:
    """Beats of a batch: arrays [recordings, beats], times in s from the start of the recording.

    Attributes
    ----------
    onset : float array
        Of the QRS complex, or where it would be.
    before : float array
        RR interval before the beat, smoothed over some beats: what the QT interval follows.
    pq : float array
        From the onset of P to ``onset``.
    kind : int array
        ``NORMAL``, ``ATRIAL``, ``VENTRICULAR`` or ``PACED``.
    has_p, has_qrs : bool array
    p_size : float array [recordings, beats, 2]
        Factors of the two halves of the P wave.
    sinus_rate, flutter_hz : float array [recordings]
    """

    onset: NDArray[np.float64]
    before: NDArray[np.float64]
    pq: NDArray[np.float64]
    kind: NDArray[np.int64]
    has_p: NDArray[np.bool_]
    has_qrs: NDArray[np.bool_]
    p_size: NDArray[np.float64]
    sinus_rate: NDArray[np.float64]
    flutter_hz: NDArray[np.float64]


def beats(p: People, seconds: float, rng: np.random.Generator) -> Beats:
    """Time the beats of every recording, from before its start to after its end."""
    rhythm, count = p["rhythm"], len(p["rate"])
    ratio = np.array([2, 3, 4, 3])[p["conduction"]]
    rate = np.select(
        [rhythm == AF, rhythm == AFL, rhythm == SVTAC, rhythm == PACE],
        [p["AF rate"], p["flutter rate"] / ratio, p["SVT rate"], np.clip(p["rate"], 60, 95)],
        p["rate"],
    )
    mean = (60 / rate)[:, None]
    n = int(np.ceil((seconds + _START_S + 2.5) / (0.72 * mean.min()))) + 2
    shape = (count, n)
    noise = rng.standard_normal(shape)
    sinus = _sinus(p, mean, noise, rng)
    atrial_rate = 60 / sinus[:, : max(3, n // 2)].mean(axis=1)
    interval = sinus
    _replace(
        interval, rhythm == AF, lambda w: _fibrillating(mean[w], p["AF spread"][w, None], (w.sum(), n), rng)
    )
    flutter_hz = p["flutter rate"] / 60
    _replace(interval, rhythm == AFL, lambda w: _fluttering(p["conduction"][w], flutter_hz[w], n, rng))
    _replace(interval, rhythm == SVTAC, lambda w: mean[w] * (1 + 0.006 * noise[w]))
    _replace(interval, rhythm == WAP, lambda w: mean[w] * (1 + 0.11 * noise[w]).clip(0.7, 1.5))
    _replace(interval, rhythm == PACE, lambda w: mean[w] * (1 + 0.002 * noise[w]))

    kind, has_p = np.full(shape, NORMAL), np.isin(rhythm, (SINUS, WAP, BLOCK))[:, None] & np.ones(shape, bool)
    paced = rhythm == PACE
    kind[paced] = PACED
    has_p[paced] = (p["vagal"][paced] > 0.4)[:, None]  # some pacemakers follow the atria
    has_qrs = np.ones(shape, bool)
    premature = _premature(p, n, mean, seconds, rng)
    p_size = np.ones((*shape, 2))
    _replace(p_size, rhythm == WAP, lambda w: rng.uniform(-0.7, 1.3, (w.sum(), n, 2)))
    atrial = premature["PAC"] & (rhythm == SINUS)[:, None]
    ventricular = premature["PVC"] & (np.isin(rhythm, (SINUS, AF, WAP)))[:, None] & ~atrial
    if atrial.any() or ventricular.any():
        _shift(p, interval, atrial, ventricular, rng)
        kind[atrial], kind[ventricular] = ATRIAL, VENTRICULAR
        has_p[ventricular] = False
        has_qrs[atrial & p["blocked"][:, None] & (rng.random(shape) < 0.6)] = False
        p_size[atrial] = np.broadcast_to(1 - p["odd"][:, None, 60:62].clip(-0.5, 1.8), p_size.shape)[atrial]

    pq = p["PQ"][:, None] / 1000 * (1 + 0.012 * rng.standard_normal(shape))
    pq = np.where(kind == ATRIAL, pq * (1 + 0.15 * p["odd"][:, 62:63]).clip(0.75, 1.3), pq)
    onset = np.cumsum(interval, axis=1) - interval[:, :1] - _START_S + mean * rng.random((count, 1))
    if (rhythm == BLOCK).any():
        group = rng.integers(3, 6, (count, 1))
        position = (np.arange(n) + rng.integers(0, 6, (count, 1))) % group
        longer = np.where((rhythm == BLOCK)[:, None], 0.13 * (1 - 0.5**position), 0.0)
        pq, onset = pq + longer, onset + longer
        has_qrs &= ~((rhythm == BLOCK)[:, None] & (position == group - 1))
    smooth = 0.75 * mean + 0.25 * np.concatenate([interval[:, :1], interval[:, :-1]], axis=1)
    pq = np.minimum(pq, np.maximum(0.6 * interval, 0.09))
    return Beats(onset, smooth, pq, kind, has_p, has_qrs, p_size, atrial_rate, flutter_hz)


def _replace(values: NDArray[Any], where: NDArray[np.bool_], by: Any) -> None:
    """Draw anew where a rhythm is present; most batches lack most rhythms."""
    if where.any():
        values[where] = by(where)


def _sinus(p: People, mean: Any, noise: Any, rng: np.random.Generator) -> NDArray[np.float64]:
    time = mean * np.arange(noise.shape[1])
    phase = p["phases"]
    breath = np.sin(2 * np.pi * p["breath"][:, None] * (time - _START_S) + phase[:, :1])
    low = np.sin(2 * np.pi * (0.095 + 0.012 * p["odd"][:, 63:]) * time + phase[:, 1:2])
    slow = np.sin(2 * np.pi * 0.033 * time + phase[:, 2:3])
    depth = np.where(p["sinus arrhythmia"], 0.07 + 0.08 * p["vagal"], p["HRV"].clip(0.004, 0.06))[:, None]
    share = np.where(p["sinus arrhythmia"], 0.85, p["vagal"])[:, None]
    wave = np.sqrt(share) * breath + np.sqrt((1 - share) * 0.6) * low + np.sqrt((1 - share) * 0.4) * slow
    return np.asarray(mean * (1 + depth * (1.3 * wave + 0.25 * noise)).clip(0.6, 1.6))


def _fibrillating(mean: Any, spread: Any, shape: Any, rng: np.random.Generator) -> NDArray[np.float64]:
    least = np.maximum(0.52, 1 - 2.6 * spread)  # the refractory time of the AV node, as a share of the mean
    gamma = rng.standard_gamma(np.broadcast_to(((1 - least) / spread) ** 2, shape))
    interval = mean * (least + spread**2 / (1 - least) * gamma)
    return np.asarray(interval.clip(_SHORTEST_S, 2.6))


def _fluttering(conduction: Any, hertz: Any, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    varying = rng.choice((2, 3, 4), (len(conduction), n), p=(0.4, 0.2, 0.4))
    ratio = np.where((conduction == 3)[:, None], varying, np.array([2, 3, 4, 0])[conduction][:, None])
    return np.asarray((ratio + 0.02 * rng.standard_normal(ratio.shape)) / hertz[:, None])


def _premature(
    p: People, n: int, mean: Any, seconds: float, rng: np.random.Generator
) -> dict[str, NDArray[np.bool_]]:
    """Say which beats come too early: where a patient has them, at least one amid the recording."""
    found, number = {}, np.arange(n)
    midst = (_START_S + seconds * rng.uniform(0.15, 0.85, (len(mean), 1))) / mean
    for code in ("PAC", "PVC"):
        pattern, start = p[f"{code} pattern"][:, None], rng.integers(0, 6, (len(mean), 1))
        at_random = (rng.random((len(mean), n)) < p[f"{code} burden"][:, None]) | (
            number == midst.astype(int)
        )
        early = np.select(
            [pattern == 1, pattern == 2],
            [(number + start) % 2 == 0, (number + start) % 3 == 0],
            at_random,
        )
        early[:, 1:] &= ~(early[:, :-1] & (pattern == 0))
        early[:, 1:] |= early[:, :-1] & (pattern == 3) & (rng.random((len(mean), n - 1)) < 0.5)
        found[code] = early & p[code][:, None]
    return found


def _shift(p: People, interval: Any, atrial: Any, ventricular: Any, rng: np.random.Generator) -> None:
    """Bring premature beats forward, and let the sinus node resume after them."""
    sinus = interval.copy()
    fibrillating = (p["rhythm"] == AF)[:, None]
    coupling = np.where(atrial, p["PAC coupling"][:, None], p["PVC coupling"][:, None])
    coupling = coupling + 0.012 * rng.standard_normal(interval.shape)
    early = atrial | ventricular
    # In fibrillation a premature beat is coupled to the beat before it, whatever the next interval were.
    usual = np.where(fibrillating, sinus.mean(axis=1, keepdims=True), sinus)
    interval[early] = np.maximum(coupling * np.where(early, usual, 0), _SHORTEST_S + 0.05)[early]
    after = np.zeros_like(early)
    after[:, 1:] = early[:, :-1] & ~early[:, 1:]
    compensates = np.zeros_like(early)
    compensates[:, 1:] = ventricular[:, :-1]
    lost = np.zeros_like(sinus)
    lost[:, 1:] = (usual - interval)[:, :-1]
    pause = np.where(
        compensates, sinus + np.where(fibrillating, 0.5, 1.0) * lost, sinus * p["reset"][:, None]
    )
    interval[after] = pause[after]
