"""What a file says about its own arrays under the names that people use: fs, units, leads."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers.stated import split_leads
from ecgtransfer.signals.record import standard_lead

# Compared without case, blanks and signs: SamplingRate, sampling_rate and "sampling rate" are one name.
_RATE = frozenset(
    ("fs", "fshz", "sfreq", "srate", "samplerate", "samplingrate", "samplingratehz", "samplefrequency",
     "samplingfreq", "samplingfrequency", "samplingfrequencyhz")
)  # fmt: skip
_UNITS = frozenset(("unit", "units", "signalunit", "signalunits", "physicalunit", "physicalunits"))
_LEADS = frozenset(
    ("lead", "leads", "leadname", "leadnames", "signame", "signames", "signalnames", "channels", "chnames",
     "channelnames")
)  # fmt: skip
# Steps per mV for some, mV per step for others: shown to the owner, never used.
_UNCLEAR = frozenset(
    ("gain", "gains", "adcgain", "resolution", "lsb", "scale", "scalefactor", "baseline", "adczero", "offset")
)


@dataclass(frozen=True)
class Facts:
    """What a file says; None where it does not.

    ``sampling_rate`` is in Hz; ``units`` has one entry, or one per lead; ``unclear`` quotes what may be a
    scale but does not say which.
    """

    sampling_rate: float | None = None
    units: tuple[str, ...] | None = None
    leads: tuple[str, ...] | None = None
    unclear: tuple[str, ...] = ()

    def over(self, general: Facts) -> Facts:
        """Return these facts, and those of ``general`` where these say nothing: the nearest counts."""
        return Facts(
            general.sampling_rate if self.sampling_rate is None else self.sampling_rate,
            self.units or general.units,
            self.leads or general.leads,
            self.unclear or general.unclear,
        )


NO_FACTS = Facts()


def is_fact(name: str) -> bool:
    """Say whether a variable of this name describes the signal instead of being one."""
    return _key(name) in _RATE | _UNITS | _LEADS | _UNCLEAR


def facts_of(pairs: Iterable[tuple[str, Any]], where: str) -> Facts:
    """Collect the facts among named values of one level of a file; names that are none are passed over.

    Raises
    ------
    SignalError
        If two names say different things, or a rate cannot be understood.
    """
    rates: dict[str, float] = {}
    units: dict[str, tuple[str, ...]] = {}
    leads: dict[str, tuple[str, ...]] = {}
    unclear: list[str] = []
    for name, value in pairs:
        key = _key(name)
        if key in _RATE:
            rate = _rate(value)
            if rate is None:
                unclear.append(f"{name} that is not one number")
            else:
                rates[name] = rate
        elif key in _UNITS and (texts := texts_of(value)):
            units[name] = texts
        elif key in _LEADS and (texts := texts_of(value)):
            leads[name] = tuple(
                standard_lead(text) for text in (split_leads(texts[0]) if len(texts) == 1 else texts)
            )
        elif key in _UNCLEAR and (number := _rate(value)) is not None:
            unclear.append(f"{name} = {number:g}")
    for found in (rates, units, leads):
        if len(set(found.values())) > 1:
            said = " and ".join(f"{name} = {_shown(value)}" for name, value in found.items())
            raise SignalError(f"it contradicts itself: {said}", where=where)
    return Facts(
        next(iter(rates.values()), None),
        next(iter(units.values()), None),
        next(iter(leads.values()), None),
        tuple(unclear),
    )


def texts_of(value: Any) -> tuple[str, ...]:
    """Return the texts of a string, bytes, or an array or list of them; none of anything else."""
    if isinstance(value, bytes):
        return (value.decode("utf-8", "replace").strip(),)
    if isinstance(value, str):
        return (value.strip(),)
    if isinstance(value, np.ndarray):
        # A cell of a MAT file is an array in an array; a string of no length has no element.
        value = value.ravel().tolist() if value.dtype.kind in "SUO" else None
    if not isinstance(value, list | tuple) or not value:
        return ()
    parts = [texts_of(item) for item in value]
    return tuple(part[0] for part in parts) if all(len(part) == 1 for part in parts) else ()


def _rate(value: Any) -> float | None:
    """Return the one number that a value is, also where it is repeated or written ``500 Hz``."""
    if texts := texts_of(value):
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(k?hz)?", texts[0].lower()) if len(texts) == 1 else None
        return None if found is None else float(found[1]) * (1000 if found[2] == "khz" else 1)
    try:
        numbers = np.asarray(value, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
    same = numbers.size > 0 and bool(np.all(numbers == numbers[0])) and math.isfinite(numbers[0])
    return float(numbers[0]) if same else None


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.rpartition("/")[2].rpartition(".")[2].lower())


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else f"{value:g}"
