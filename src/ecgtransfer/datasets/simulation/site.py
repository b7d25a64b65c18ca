"""A hospital (or a device in people's hands): whom it sees, how it records, and how well it labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ecgtransfer.errors import ConfigError, nearest

RHYTHMS = ("SR", "SB", "STACH", "SA", "AF", "AFL", "SVTAC", "WAP", "PACE", "2AVB", "1AVB", "PAC", "PVC")
"""Statements on rhythm and conduction to the ventricles; SR, SB and STACH exclude each other."""

STATEMENTS = (
    *RHYTHMS,
    *("LBBB", "RBBB", "LAD", "RAD", "LVH"),
    *("STE", "STE-ANT", "STE-INF", "STE-LAT", "STD", "STD-ANT", "STD-INF", "STD-LAT", "INVT", "LNGQT"),
)
"""Every statement of a simulated record. STE and STD are the unions over their territories."""

_DRAWN = tuple(code for code in STATEMENTS if code != "SR" and "-" not in code)


@dataclass(frozen=True)
class Site:
    """Where simulated recordings come from.

    Parameters
    ----------
    name : str
        Letters and digits; begins the names of its files and patients.
    prevalence : mapping of str to float
        Share of 60-year-olds with each statement of ``STATEMENTS`` but SR and the territories; 0 if not
        named. Of rhythms that exclude each other, the one named first in ``RHYTHMS`` after SA is kept.
    sampling_rate : float
        In Hz, 100 to 2000.
    gain : float
        Steps per mV of the files.
    response : float
        What the device shows of 1 mV.
    highpass_hz, lowpass_hz : float
        Corners (−3 dB) of its first-order high-pass and Gaussian low-pass.
    mains_hz, mains_mv : float
        Frequency of the mains, and the median of the amplitude it leaves at an electrode.
    wander_mv, muscle_mv : float
        Medians of the standard deviations at an electrode.
    motion : float
        Share of recordings with a motion artefact.
    settling : float
        Share of recordings that begin before the electrodes lie still.
    swapped : float
        Share of recordings with the two arm electrodes exchanged.
    age : tuple of float
        Mean and standard deviation in years, of adults from 18 to 95.
    male, repeats : float
        Share of men, and of recordings that are a further one of the patient before.
    label_noise : float
        Share of labels that are those of another patient.
    unknown : float
        Share of labels that nobody gave, of statements other than ``RHYTHMS``.
    annotates : tuple of str
        The statements that the site labels at all; its patients have the others nevertheless.

    Raises
    ------
    ConfigError
        A statement is unknown, or a number is out of its range.
    """

    name: str
    prevalence: Mapping[str, float] = field(default_factory=dict)
    sampling_rate: float = 500.0
    gain: float = 1000.0
    response: float = 1.0
    highpass_hz: float = 0.05
    lowpass_hz: float = 150.0
    mains_hz: float = 50.0
    mains_mv: float = 0.0015
    wander_mv: float = 0.035
    muscle_mv: float = 0.008
    motion: float = 0.05
    settling: float = 0.0
    swapped: float = 0.005
    age: tuple[float, float] = (60.0, 16.0)
    male: float = 0.52
    repeats: float = 0.12
    label_noise: float = 0.02
    unknown: float = 0.0
    annotates: tuple[str, ...] = STATEMENTS

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]+", self.name):
            self._refuse("name", self.name, "letters and digits")
        for code in self.annotates:
            if code not in STATEMENTS:
                raise ConfigError(
                    f"a site cannot annotate {code!r}", where=self.name, remedy=nearest(code, STATEMENTS)
                )
        if not self.annotates or len(set(self.annotates)) < len(self.annotates):
            self._refuse("annotates", self.annotates, "one or more statements, each once")
        for code, share in self.prevalence.items():
            if code not in _DRAWN:
                raise ConfigError(
                    f"a site has no prevalence of {code!r}", where=self.name, remedy=nearest(code, _DRAWN)
                )
            if not 0 <= share <= 1:
                self._refuse(f"prevalence of {code}", share, "0 to 1")
        shares = {
            "motion": 1.0,
            "swapped": 1.0,
            "male": 1.0,
            "repeats": 0.9,
            "label_noise": 1.0,
            "unknown": 1.0,
        }
        noise = {"mains_mv": 1.0, "wander_mv": 2.0, "muscle_mv": 1.0}
        for name, most in (shares | noise).items():
            if not 0 <= getattr(self, name) <= most:
                self._refuse(name, getattr(self, name), f"0 to {most:g}")
        limits = {
            "sampling_rate": (100, 2000),
            "gain": (50, 2500),  # 16 bits hold more than 13 mV
            "response": (0.2, 2),
            "highpass_hz": (0, 1),
            "lowpass_hz": (25, 1000),
            "mains_hz": (45, 65),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                self._refuse(name, getattr(self, name), f"{least:g} to {most:g}")
        if not (18 <= self.age[0] <= 95 and 0 <= self.age[1] <= 40):
            self._refuse("age", self.age, "a mean of 18 to 95 and a deviation of 0 to 40 years")

    def _refuse(self, name: str, value: object, allowed: str) -> None:
        raise ConfigError(f"{name} of a site is {value}", where=self.name, remedy=f"It can be {allowed}")


# Prevalence at the sites A, B and C.
_SEEN = {
    "SB": (0.13, 0.10, 0.14),
    "STACH": (0.08, 0.13, 0.12),
    "SA": (0.05, 0.03, 0.10),
    "AF": (0.11, 0.19, 0.30),
    "AFL": (0.03, 0.05, 0.03),
    "SVTAC": (0.012, 0.02, 0.03),
    "WAP": (0.012, 0.02, 0.03),
    "PACE": (0.025, 0.06, 0.0),
    "2AVB": (0.012, 0.02, 0.03),
    "1AVB": (0.09, 0.12, 0.06),
    "PAC": (0.09, 0.12, 0.16),
    "PVC": (0.09, 0.13, 0.16),
    "LBBB": (0.08, 0.12, 0.03),
    "RBBB": (0.10, 0.12, 0.06),
    "LAD": (0.13, 0.18, 0.10),
    "RAD": (0.05, 0.07, 0.05),
    "LVH": (0.16, 0.24, 0.08),
    "STE": (0.08, 0.12, 0.03),
    "STD": (0.13, 0.20, 0.08),
    "INVT": (0.14, 0.15, 0.10),
    "LNGQT": (0.06, 0.10, 0.04),
}
SITES = {
    "A": Site("A", {code: shares[0] for code, shares in _SEEN.items()}, age=(58.0, 17.0)),
    "B": Site(
        "B",
        {code: shares[1] for code, shares in _SEEN.items()},
        sampling_rate=250.0,
        gain=200.0,
        response=0.9,
        highpass_hz=0.15,
        lowpass_hz=40.0,
        mains_hz=60.0,
        mains_mv=0.006,
        wander_mv=0.07,
        muscle_mv=0.014,
        motion=0.12,
        age=(66.0, 14.0),
        unknown=0.03,
    ),
    "C": Site(
        "C",
        {code: shares[2] for code, shares in _SEEN.items()},
        sampling_rate=300.0,
        highpass_hz=0.6,
        lowpass_hz=40.0,
        mains_mv=0.002,
        wander_mv=0.12,
        muscle_mv=0.012,
        motion=0.35,
        settling=0.6,
        swapped=0.15,
        age=(55.0, 18.0),
        label_noise=0.0,
    ),
}
"""A: a large hospital with a diagnostic device. B: older, sicker patients, a coarse and filtered device. C: a
device in people's hands (its lead I alone is what such a device would store)."""


def named(site: Site | str) -> Site:
    """Return the site, or the one of this name.

    Raises
    ------
    ConfigError
        There is no site of this name.
    """
    if isinstance(site, Site):
        return site
    if site not in SITES:
        raise ConfigError(f"there is no simulated site {site!r}", remedy=nearest(site, SITES))
    return SITES[site]
