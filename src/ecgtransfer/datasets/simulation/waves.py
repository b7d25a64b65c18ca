"""The moving dipole: when each wave is, how wide, how strong in three dimensions, and what the leads see.

A beat is a sum of Gaussian waves (after McSharry et al. 2003, 10.1109/TBME.2003.808805, extended to a vector
that moves: every wave has its place in the heart). Eight leads see a dipole in the middle of the heart
through Dower's matrix (Dower, Machado & Osborne 1980, 10.1002/clc.4960030409). Where a wave lies elsewhere,
the chest electrodes near it see more of it, as in an unbounded conductor, tempered for the bounded body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.simulation.people import PRESENT, People

Array = NDArray[np.float32]

# Rows I, II, V1 … V6; columns left, down, back.
LEADS = np.array(
    [
        *(0.632, -0.235, 0.059, 0.235, 1.066, -0.132, -0.515, 0.157, -0.917, 0.044, 0.164, -1.387),
        *(0.882, 0.098, -1.277, 1.213, 0.127, -0.601, 1.125, 0.127, -0.086, 0.831, 0.076, 0.230),
    ]
).reshape(8, 3)
_I, _AVF = LEADS[0], LEADS[1] - LEADS[0] / 2
# Chest electrodes and waves, cm from the middle of the heart: left, down, back.
_CHEST = np.array(
    [(-3.5, 0, -7.5), (1.5, 0, -8.0), (5, 1.5, -8), (8.5, 3, -7.5), (11.5, 3, -3.5), (13, 3, 1.0)]
)
_BOUNDED = 0.5

# Place in the heart (cm) and dipole (mV) of each wave of a normal beat.
_WAVES = {
    "P1": ((-4.0, -4.0, 3.0), (0.060, 0.080, -0.035)),
    "P2": ((-3.0, -4.0, 6.0), (0.095, 0.055, 0.050)),
    "q": ((-0.5, -0.5, -0.5), (-0.09, -0.03, -0.20)),
    "R1": ((1.5, 2.0, -1.5), (0.70, 0.60, -0.27)),
    "R2": ((3.3, 1.2, -0.5), (0.74, 0.42, 0.66)),
    "S": ((2.2, -1.5, 0.5), (-0.14, -0.10, 0.50)),
    "late": ((-1.0, -2.0, -1.0), (-0.05, -0.06, 0.04)),
    "n1": ((4.0, 1.5, -4.5), (0.0, 0.0, 0.0)),
    "n2": ((3.0, 1.0, -4.5), (0.0, 0.0, 0.0)),
    "J": ((1.5, 0.5, -0.5), (0.0, 0.0, 0.0)),
    "ST": ((1.5, 0.5, -0.5), (0.025, 0.012, -0.055)),
    "T1": ((-0.5, 0.5, 1.5), (0.120, 0.055, -0.105)),
    "T2": ((-0.5, 0.5, 1.5), (0.245, 0.115, -0.190)),
    "T3": ((-0.5, 1.0, 1.5), (0.155, 0.085, -0.095)),
    "U": ((1.0, 0.0, -1.0), (0.010, 0.008, -0.014)),
    "V1": ((0.0, 1.0, -1.5), (0.0, 0.0, 0.0)),
    "V2": ((1.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    "V3": ((1.5, -1.0, 1.0), (0.0, 0.0, 0.0)),
    "VT": ((1.0, 0.5, 0.0), (0.0, 0.0, 0.0)),
    "spike": ((1.0, 3.0, -2.0), (0.0, 0.0, 0.0)),
    "f1": ((-4.0, -2.0, -1.0), (-0.012, 0.030, -0.060)),
    "f2": ((-1.0, -3.5, 2.0), (0.020, 0.022, 0.010)),
}
NAMES = tuple(_WAVES)
ROW = {name: row for row, name in enumerate(NAMES)}
_QRS = slice(ROW["q"], ROW["n2"] + 1)
_T = slice(ROW["T1"], ROW["T3"] + 1)
_VENTRICLES = slice(ROW["V1"], ROW["spike"] + 1)

# Centres and widths of the waves of the QRS complex, as shares of its duration: normal, left and right bundle
# branch block. What cardiologists mark begins about three deviations before the first wave's centre (and ends
# so after the last one's): docs/simulator.md.
_ORDER = ("q", "R1", "R2", "S", "late")
_NORMAL = np.array([(0.20, 0.065), (0.36, 0.076), (0.48, 0.070), (0.61, 0.078), (0.79, 0.062)])
_LEFT = np.array([(0.17, 0.08), (0.33, 0.10), (0.52, 0.11), (0.70, 0.105), (0.80, 0.093)])
_RIGHT = np.array([(0.11, 0.045), (0.25, 0.044), (0.34, 0.044), (0.44, 0.05), (0.72, 0.11)])
_LEFT_DIPOLE = {
    "q": (0.14, 0.05, 0.03), "R1": (0.44, 0.16, 0.42), "R2": (0.50, 0.14, 0.66),
    "S": (0.54, 0.09, 0.52), "late": (0.24, 0.02, 0.24),
}  # fmt: skip
_RIGHT_DIPOLE = {
    "q": (-0.10, -0.03, -0.18), "R1": (0.72, 0.60, -0.16), "R2": (0.75, 0.45, 0.60),
    "S": (-0.08, -0.08, 0.25), "late": (-0.42, -0.02, -0.50),
}  # fmt: skip
# Where the ST segment points when the wall of that name is injured.
_TERRITORY = np.array([(0.35, -0.05, -0.93), (-0.1, 0.97, 0.15), (0.93, -0.25, 0.1)])


@dataclass(frozen=True)
class Waves:
    """Waves of a batch of recordings.

    Attributes
    ----------
    seen : float32 array [recordings, 8, waves]
        mV in the leads I, II, V1 … V6 at the centre of each wave.
    centre, width : float array [recordings, waves]
        s; the centre after the onset of P (P1, P2), of the QRS complex (to J), or before the end of T (ST to
        U, VT; there both are for a QT interval of 0.4 s).
    axis : float array [recordings]
        Degrees in the frontal plane, of the area of the QRS complex in I and aVF.
    """

    seen: Array
    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    axis: NDArray[np.float64]


def waves(p: People) -> Waves:
    """Return the waves of every recording."""
    count, odd = len(p["age"]), p["odd"]
    dipole = np.tile(np.array([vector for _, vector in _WAVES.values()]), (count, 1, 1))
    centre, width = _timing(p)
    left, right = p["LBBB"][:, None, None], p["RBBB"][:, None, None]
    for name in _ORDER:
        row = dipole[:, ROW[name]]
        row += np.minimum(1.6 * left[:, 0], 1) * (np.array(_LEFT_DIPOLE[name]) - row)
        row += np.minimum(1.6 * right[:, 0], 1) * (np.array(_RIGHT_DIPOLE[name]) - row)
    magnitude = np.linalg.norm(dipole, axis=2, keepdims=True)
    dipole += 0.16 * magnitude * _own(odd, len(NAMES))
    dipole[:, ROW["n1"] : ROW["n2"] + 1] = 0.042 * odd[:, 40:46].reshape(count, 2, 3)
    _hypertrophy(p, dipole)
    axis = _turn(p, dipole, width)
    _repolarisation(p, dipole)
    _ectopic(p, dipole)
    dipole[:, ROW["P1"] : ROW["P2"] + 1] *= p["P size"][:, None, None]
    dipole[:, ROW["f1"] : ROW["f2"] + 1] *= p["f size"][:, None, None]
    dipole *= p["size"][:, None, None]
    seen = np.einsum("wls,rws->rlw", _lead_field(), dipole)
    seen *= 1 + 0.05 * p["chest"][:, :, None]
    # No heart is one dipole at a time: what several do together, seen by near electrodes.
    strength = np.linalg.norm(dipole, axis=2)[:, None, :]
    seen[:, 2:] += 0.17 * strength * p["several"]
    seen[:, :2] += 0.03 * strength * p["several"][:, :2]
    # An electrode placed towards its neighbour sees some of what the neighbour would.
    chest, moved = seen[:, 2:].copy(), p["placement"].clip(-0.5, 0.5)
    for lead in range(6):
        other = np.where(moved[:, lead] > 0, min(lead + 1, 5), max(lead - 1, 0))
        share = np.abs(moved[:, lead])[:, None]
        seen[:, 2 + lead] = (1 - share) * chest[:, lead] + share * chest[np.arange(count), other]
    return Waves(seen.astype(np.float32), centre, width, axis)


def _own(odd: NDArray[np.float64], n_waves: int) -> NDArray[np.float64]:
    """Return three numbers per wave, of those that are the patient's own."""
    pick = (7 * np.arange(3 * n_waves) + np.arange(3 * n_waves) // 60) % 60
    return np.asarray(odd[:, pick].reshape(len(odd), n_waves, 3).clip(-2, 2))


def _timing(p: People) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count, odd = len(p["age"]), p["odd"]
    centre, width = np.zeros((count, len(NAMES))), np.full((count, len(NAMES)), 0.01)

    def put(name: str, at: Any, wide: Any) -> None:
        centre[:, ROW[name]], width[:, ROW[name]] = at, wide

    atria, qrs = p["P width"] / 1000, p["QRS"] / 1000
    put("P1", 0.46 * atria, 0.165 * atria)
    put("P2", 0.74 * atria, 0.16 * atria)
    left, right = np.minimum(1.6 * p["LBBB"], 1)[:, None], np.minimum(1.6 * p["RBBB"], 1)[:, None]
    for number, name in enumerate(_ORDER):
        share = (1 - left - right) * _NORMAL[number] + left * _LEFT[number] + right * _RIGHT[number]
        inner = name in ("R1", "R2", "S")
        put(
            name,
            qrs * (share[:, 0] + (0.025 * odd[:, 46 + number].clip(-1.5, 1.5) if inner else 0)),
            qrs * share[:, 1] * (np.exp(0.1 * odd[:, 50 + number].clip(-1.5, 1.5)) if inner else 1),
        )
    for name, number in (("n1", 55), ("n2", 56)):
        put(
            name,
            qrs * (0.45 + 0.12 * odd[:, number].clip(-1.8, 1.8)),
            0.0021 + 0.0012 * (odd[:, number + 2] > 0),
        )
    put("J", qrs + 0.010, 0.018)
    stretch = np.exp(0.08 * odd[:, 57].clip(-2, 2))
    put("T3", 0.086, 0.032)
    put("T2", 0.116, 0.036 * stretch)
    put("T1", 0.162, 0.044 * stretch)
    put("ST", 0.235, 0.042)
    put("U", -0.075, 0.040)
    slow = 0.150 + 0.012 * odd[:, 58].clip(-1.5, 2)
    put("V1", 0.24 * slow, 0.105 * slow)
    put("V2", 0.48 * slow, 0.13 * slow)
    put("V3", 0.73 * slow, 0.12 * slow)
    put("VT", 0.125, 0.055)
    put("spike", -0.002, 0.0012)
    return centre, width


def _hypertrophy(p: People, dipole: NDArray[np.float64]) -> None:
    thick = p["LVH"][:, None]
    dipole[:, ROW["R1"]] += thick * np.array([0.35, 0.10, 0.15])
    dipole[:, ROW["R2"]] += thick * np.array([0.75, 0.15, 0.75])
    dipole[:, ROW["S"]] += thick * np.array([0.05, 0.0, 0.35])
    strain = np.maximum(thick - PRESENT, 0)
    dipole[:, ROW["J"]] += strain * np.array([-0.05, -0.03, 0.03])
    dipole[:, ROW["ST"]] += strain * np.array([-0.16, -0.08, 0.08])


def _turn(p: People, dipole: NDArray[np.float64], width: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn ventricular waves in the frontal plane to the patient's axis; return the axis that they have."""
    area = width[:, _QRS, None]

    def axis() -> NDArray[np.float64]:
        total = (dipole[:, _QRS] * area).sum(axis=1)
        # aVF is 2/√3 times as sensitive as I for axes: it is derived, not measured between two limbs.
        return np.asarray(np.degrees(np.arctan2(total @ _AVF * 1.1547, total @ _I)))

    for _ in range(4):
        missing = (p["axis"] - axis() + 180) % 360 - 180
        angle = np.radians(missing)[:, None]
        rest = 0.35 * angle  # the T wave follows the QRS complex part of the way
        for rows, by in ((_QRS, angle), (_T, rest)):
            cosine, sine = np.cos(by), np.sin(by)
            x, y = dipole[:, rows, 0].copy(), dipole[:, rows, 1].copy()
            dipole[:, rows, 0], dipole[:, rows, 1] = cosine * x - sine * y, sine * x + cosine * y
    return axis()


def _repolarisation(p: People, dipole: NDArray[np.float64]) -> None:
    left, right, thick = (np.minimum(1.6 * p[code], 1)[:, None, None] for code in ("LBBB", "RBBB", "LVH"))
    waves_t = dipole[:, _T]
    waves_t *= p["T size"][:, None, None]
    waves_t *= 1 - 0.9 * np.maximum(thick - 0.5, 0)
    shape = np.array([0.3, 0.4, 0.3])[None, :, None]
    waves_t += left * (shape * np.array([-0.36, -0.08, -0.62]) - 0.9 * waves_t)
    waves_t += right * shape * np.array([0.08, 0.02, 0.28])
    dipole[:, ROW["ST"]] += left[:, 0] * np.array([-0.10, -0.02, -0.20])
    inverted, where = p["INVT"], p["INVT in"]
    towards = _TERRITORY[where][:, None, :]
    along = np.abs((waves_t * towards).sum(axis=2, keepdims=True))
    waves_t -= (2.4 * inverted)[:, None, None] * np.maximum(along, shape * 0.22) * towards
    for code, sign in (("STE", 1.0), ("STD", -1.0)):
        level = (sign * np.where(p[code] > 0, 0.03 + 0.24 * p[code], 0))[:, None]
        towards = _TERRITORY[p[f"{code} in"]]
        if code == "STD":  # the inner layer: away from the apex wherever it is
            towards = 0.6 * towards + 0.5 * np.array([0.6, 0.5, -0.6])
        dipole[:, ROW["J"]] += 0.75 * level * towards
        dipole[:, ROW["ST"]] += level * towards
        dipole[:, ROW["T1"]] += 0.6 * level * towards
    dipole[:, ROW["J"]] += 0.10 * p["early"][:, None] * np.array([0.6, 0.5, -0.6])
    dipole[:, ROW["ST"]] += 0.05 * p["early"][:, None] * np.array([0.6, 0.5, -0.6])


def _ectopic(p: People, dipole: NDArray[np.float64]) -> None:
    """Ventricular beats spread from where they begin: away from it, through working muscle, slowly."""
    odd = p["odd"]
    away = np.array([0.3, 0.5, 0.4]) + 0.9 * odd[:, 20:23]
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    paced = (p["rhythm"] == 5)[:, None]
    apex = np.array([0.35, -0.80, 0.45]) + 0.12 * odd[:, 20:23]  # from the apex of the right ventricle
    away = np.where(paced, apex, away)
    across = np.cross(away, odd[:, 23:26])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    size = p["ectopic size"][:, None]
    dipole[:, ROW["V1"]] = 0.6 * size * (away + 0.6 * across)
    dipole[:, ROW["V2"]] = 0.9 * size * away
    dipole[:, ROW["V3"]] = 0.5 * size * (away - 0.8 * across)
    dipole[:, ROW["VT"]] = -0.45 * size * (away + 0.25 * odd[:, 26:29])
    dipole[:, ROW["spike"]] = np.array([1.6, 2.8, -1.0]) * (1 + 0.4 * odd[:, 29:30])


def _lead_field() -> NDArray[np.float64]:
    """Return what the eight leads see of each wave's dipole [waves, 8, 3]."""
    field = np.tile(LEADS, (len(NAMES), 1, 1))

    def unbounded(place: NDArray[np.float64]) -> NDArray[np.float64]:
        towards = _CHEST - place
        return np.asarray(towards / np.linalg.norm(towards, axis=1, keepdims=True) ** 3)

    middle = unbounded(np.zeros(3))
    scale = np.linalg.norm(LEADS[2:], axis=1) / np.linalg.norm(middle, axis=1)
    for row, (place, _) in enumerate(_WAVES.values()):
        share = 1.0 if row < ROW["q"] else _BOUNDED  # the atria are far from every chest electrode
        field[row, 2:] += share * scale[:, None] * (unbounded(np.array(place)) - middle)
    return field
