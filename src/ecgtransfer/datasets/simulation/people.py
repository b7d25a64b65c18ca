"""Patients and their recordings: who has what, how marked it is, and how hearts and bodies differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.simulation.site import Site

People = dict[str, NDArray[Any]]
"""One array per trait, its first axis the patients (or, after `recorded`, the recordings)."""

PRESENT = 0.35
"""Severities from here to 1 are present; below lie the variants that nobody would name."""

RHYTHM = ("sinus", "AF", "AFL", "SVTAC", "WAP", "PACE", "2AVB")
GRADED = ("LBBB", "RBBB", "LVH", "STE", "STD", "INVT")
TERRITORIES = ("ANT", "INF", "LAT")

# Added log odds per 15 years of age above 60, and for men against women.
_RISKS = {
    "AF": (0.6, 0.2),
    "AFL": (0.4, 0.5),
    "PACE": (0.9, 0.2),
    "2AVB": (0.5, 0.2),
    "1AVB": (0.6, 0.3),
    "WAP": (0.5, 0.0),
    "PAC": (0.5, 0.0),
    "PVC": (0.3, 0.2),
    "SA": (-0.7, 0.0),
    "LBBB": (0.5, 0.0),
    "RBBB": (0.5, 0.5),
    "LAD": (0.4, 0.3),
    "RAD": (-0.4, 0.2),
    "LVH": (0.2, 0.3),
    "STE": (0.0, 0.5),
    "STD": (0.2, -0.1),
    "LNGQT": (0.1, -0.2),
}


def draw(site: Site, count: int, rng: np.random.Generator) -> People:
    """Draw patients.

    Heart rate, PQ, QRS and corrected QT are spread as in adults (Rijnbeek et al. 2014,
    10.1016/j.jelectrocard.2014.07.022: medians of about 68/min, 160 ms, 92 ms and 410 ms); the axis turns to
    the left with age.
    """

    def normal(mean: Any, deviation: float, low: float, high: float) -> NDArray[np.float64]:
        return np.asarray(np.clip(mean + deviation * rng.standard_normal(count), low, high))

    def spread(deviation: float) -> NDArray[np.float64]:
        return np.exp(deviation * np.clip(rng.standard_normal(count), -2.5, 2.5))

    p: People = {"age": normal(*site.age, 18, 95).round(), "male": rng.random(count) < site.male}
    age, male = p["age"], p["male"]
    has: dict[str, NDArray[np.bool_]] = {}
    for code in (*RHYTHM[1:], "SB", "STACH", "SA", "1AVB", "PAC", "PVC", *GRADED, "LAD", "RAD", "LNGQT"):
        per_years, for_men = _RISKS.get(code, (0.0, 0.0))
        share = np.clip(site.prevalence.get(code, 0.0), 0, 1 - 1e-9)
        with np.errstate(divide="ignore"):
            odds = np.log(share / (1 - share)) + per_years * (age - 60) / 15 + for_men * (male - 0.5)
        has[code] = rng.random(count) < 1 / (1 + np.exp(-odds))
    has["RBBB"] &= ~has["LBBB"]
    has["RAD"] &= ~has["LAD"]
    p["rhythm"] = np.zeros(count, dtype=np.int64)
    for number in range(len(RHYTHM) - 1, 0, -1):
        p["rhythm"][has[RHYTHM[number]]] = number
    p["sinus arrhythmia"] = has["SA"]
    for code in GRADED:
        variants = 0.12 if code in ("LBBB", "RBBB") else 0.25
        marked = PRESENT + (1 - PRESENT) * rng.beta(1.2, 2.0, count)
        mild = np.where(rng.random(count) < variants, PRESENT * rng.beta(1.5, 1.5, count), 0.0)
        p[code] = np.where(has[code], marked, mild)
    # A patient has one of the two bundle branch blocks, however mild, not both.
    p["RBBB"][p["LBBB"] > 0] *= has["RBBB"][p["LBBB"] > 0]
    p["LBBB"][p["RBBB"] >= PRESENT] = 0
    for code in ("STE", "STD", "INVT"):
        p[f"{code} in"] = rng.choice(3, count, p=(0.4, 0.35, 0.25))

    # Beats per minute of sinus rhythm at rest, of the ventricles in fibrillation, of atria in flutter.
    slow, fast = 60 - 22 * rng.beta(1.1, 2.4, count), 100 + 60 * rng.beta(1, 3.2, count)
    usual = normal(74.0 - 2.0 * male, 9.5, 60.5, 99)
    p["rate"] = np.where(has["SB"], slow, np.where(has["STACH"], fast, usual))
    p["AF rate"] = np.clip(88 * spread(0.25), 48, 170)
    p["AF spread"] = normal(0.205, 0.05, 0.09, 0.36)
    p["flutter rate"] = normal(290, 25, 230, 350)
    p["conduction"] = rng.choice(4, count, p=(0.3, 0.12, 0.28, 0.3))  # 2:1, 3:1, 4:1, varying
    p["SVT rate"] = normal(175, 20, 145, 220)
    p["HRV"] = 0.034 * np.exp(-(age - 45) / 38) * spread(0.45)
    p["breath"] = normal(0.25, 0.05, 0.13, 0.42)  # Hz
    p["vagal"] = rng.beta(2.5, 2.5, count)  # share of the breath in the variability of the rate

    p["PQ"] = np.where(
        has["1AVB"], 202 + 110 * rng.beta(1, 2.4, count), normal(157 + 0.15 * (age - 50), 19, 112, 199)
    )
    qrs = normal(89 + 6 * male, 7.5, 72, 112)
    left, right = p["LBBB"], p["RBBB"]
    p["QRS"] = qrs + np.where(left > 0, 14 + 58 * left, 0) + np.where(right > 0, 12 + 50 * right, 0)
    p["QRS"] = np.where(
        (left >= PRESENT) | (right >= PRESENT), np.maximum(p["QRS"], 120), np.minimum(p["QRS"], 118)
    )
    limit = np.where(male, 450.0, 460.0)  # AHA/ACCF/HRS 2009, 10.1161/CIRCULATIONAHA.108.191096
    usual_qt = np.minimum(normal(405 + 9 * ~male + 0.15 * (age - 50), 18, 350, 460), limit - 2)
    p["QTc"] = np.where(has["LNGQT"], limit + 4 + 80 * rng.beta(1.1, 2.2, count), usual_qt)
    p["LNGQT"] = has["LNGQT"]
    axis = normal(46 - 0.55 * (age - 50), 24, -29, 89)
    p["axis"] = np.where(has["LAD"], -31 - 45 * rng.beta(1, 2, count), axis)
    p["axis"] = np.where(has["RAD"], 91 + 45 * rng.beta(1, 2, count), p["axis"])

    for code in ("PAC", "PVC"):
        p[code] = has[code]
        p[f"{code} burden"] = 0.03 + 0.25 * rng.beta(1, 3, count)
        # Single, bigeminy, trigeminy, pairs.
        p[f"{code} pattern"] = rng.choice(4, count, p=(0.72, 0.12, 0.1, 0.06))
        p[f"{code} coupling"] = normal(0.66, 0.08, 0.48, 0.86)
    p["blocked"] = rng.random(count) < 0.12
    p["reset"] = 1 + np.where(rng.random(count) < 0.25, 0.35, 0.12) * rng.random(count)

    p["size"] = spread(0.24) * (1 + 0.06 * (male - 0.5)) * np.exp(-0.002 * (age - 50))
    for wave, deviation in (("P", 0.32), ("T", 0.34), ("f", 0.45), ("ectopic", 0.25)):
        p[f"{wave} size"] = spread(deviation)
    p["T size"] *= 0.9 + 0.3 * male * np.exp(-(age - 18) / 40)
    p["P width"] = normal(106, 11, 80, 140)
    p["early"] = np.where(rng.random(count) < 0.3 * male * np.exp(-(age - 20) / 30), rng.random(count), 0)
    p["odd"] = rng.standard_normal((count, 64))  # what makes this heart's waves its own: see `waves`
    p["chest"] = rng.standard_normal((count, 8))
    p["several"] = rng.standard_normal((count, 6, 22)).clip(-2, 2)  # chest leads and waves
    return p


def recorded(site: Site, patients: People, of: NDArray[np.int64], rng: np.random.Generator) -> People:
    """Return one row per recording: the patient's traits, and what differs from one day to the next."""
    p = {name: values[of] for name, values in patients.items()}
    count = len(of)
    for name in ("rate", "AF rate", "SVT rate"):
        p[name] = p[name] * np.exp(0.03 * rng.standard_normal(count))
    p["PQ"] = p["PQ"] + 0.018 * (60000 / p["rate"] - 850).clip(-300, 300)  # longer where the heart is slow
    p["size"] = p["size"] * np.exp(0.05 * rng.standard_normal(count))
    p["placement"] = 0.16 * rng.standard_normal((count, 6))  # of a chest electrode: towards its neighbour
    p["swapped"] = rng.random(count) < site.swapped
    p["phases"] = rng.random((count, 8)) * 2 * np.pi
    return p
