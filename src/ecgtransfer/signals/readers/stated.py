"""What a person states about files that do not say it themselves, and how units are written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from ecgtransfer.errors import ConfigError, SignalError, nearest
from ecgtransfer.signals.record import standard_lead

FORMS_OF_UNITS = "mV, uV, V, or steps per mV such as 1000/mV"

# Both micro signs of Unicode; case does not matter, as in WFDB headers.
_PER_MV = {
    "mv": 1.0, "millivolt": 1.0, "millivolts": 1.0,
    "uv": 1000.0, "\u00b5v": 1000.0, "\u03bcv": 1000.0, "microvolt": 1000.0, "microvolts": 1000.0,
    "v": 0.001, "volt": 0.001, "volts": 0.001,
}  # fmt: skip

# What files write where they mean that they do not know.
_NO_UNITS = frozenset(
    ("", "?", "-", "none", "unknown", "n/a", "na", "nu", "a.u.", "au", "adu", "counts", "raw", "digital", "1")
)

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_STEPS = re.compile(rf"({_NUMBER})\s*(?:\(([-+]?\d+)\))?\s*/\s*(\S+)")
_STEP = re.compile(rf"({_NUMBER})\s*([^\s\d/(].*)")


class Scale(NamedTuple):
    """How numbers become mV: ``(number - baseline) / per_mv``."""

    per_mv: float
    baseline: float = 0.0


@dataclass(frozen=True)
class Stated:
    """Facts about a recording that come from its owner and not from its file.

    What the file says itself must agree; what neither says is not guessed, the file is refused.

    Parameters
    ----------
    sampling_rate : float, optional
        In Hz.
    units : str, optional
        ``mV``, ``uV`` (or ``µV``), ``V``; for integers steps per unit such as ``1000/mV``, with the step that
        means 0 where it is not 0, ``200(1024)/mV``, as in WFDB headers; or the size of a step, ``4.88uV``.
    leads : tuple of str, optional
        Names in the order of the file.
    variable : str, optional
        Which array of a file that holds several.

    Raises
    ------
    ConfigError
        For a rate that is not positive, a unit that is no voltage, or a lead that is named twice.
    """

    sampling_rate: float | None = None
    units: str | None = None
    leads: tuple[str, ...] | None = None
    variable: str | None = None

    def __post_init__(self) -> None:
        # A frozen dataclass is set through object: what is stored is what the docstring promises.
        store = object.__setattr__
        if self.sampling_rate is not None:
            rate = _number(self.sampling_rate)
            if not (math.isfinite(rate) and rate > 0):
                raise ConfigError(
                    f"a sampling rate of {self.sampling_rate} Hz is not possible", remedy="State it in Hz"
                )
            store(self, "sampling_rate", rate)
        if self.units is not None and parse_units(self.units) is None:
            raise ConfigError(f"the unit {self.units!r} is unknown", remedy=f"State {FORMS_OF_UNITS}")
        if self.leads is not None:
            names = (self.leads,) if isinstance(self.leads, str) else self.leads
            leads = tuple(standard_lead(str(name)) for name in names)
            if not leads or "" in leads or len(set(leads)) < len(leads):
                raise ConfigError(
                    f"the leads stated are {', '.join(leads) or 'none'}",
                    remedy="Name every lead of the file in its order, each once",
                )
            store(self, "leads", leads)

    def __bool__(self) -> bool:
        return any(getattr(self, item.name) is not None for item in fields(self))

    def over(self, general: Stated) -> Stated:
        """Return these facts, and those of ``general`` where these say nothing."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        return Stated(
            **{key: getattr(general, key) if value is None else value for key, value in own.items()}
        )

    def to_json(self) -> dict[str, Any]:
        """Return what is stated as values that JSON knows; `from_json` is the way back."""
        content = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in content.items()
            if value is not None
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Stated:
        """Return what `to_json` wrote; `ConfigError` for a key that is none."""
        known = [item.name for item in fields(cls)]
        for key in content:
            if key not in known:
                raise ConfigError(f"nothing called {key!r} can be stated", remedy=nearest(key, known))
        leads = content.get("leads")
        return cls(**{**content, "leads": None if leads is None else tuple(leads)})


NOTHING = Stated()


class UnstatedError(SignalError):
    """A file does not say something, and nobody states it; ``facts`` are fields of `Stated`, or 'row'."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        remedy: str | None = None,
        facts: tuple[str, ...] = (),
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.facts = facts


def parse_units(text: str) -> Scale | None:
    """Return the scale of a unit in one of the forms of `Stated`, or None where it is no voltage."""
    text = text.strip()
    if steps := _STEPS.fullmatch(text):
        number, baseline, unit = steps.groups()
        factor, base = float(number), float(baseline or 0)
        per_mv = _PER_MV.get(unit.lower())
        scale = None if per_mv is None else Scale(factor * per_mv, base)
    elif step := _STEP.fullmatch(text):
        size, per_mv = float(step[1]), _PER_MV.get(step[2].lower())
        scale = None if per_mv is None or size == 0 else Scale(per_mv / size)
    else:
        per_mv = _PER_MV.get(text.lower())
        scale = None if per_mv is None else Scale(per_mv)
    if scale is None or not (math.isfinite(scale.per_mv) and scale.per_mv > 0):
        return None
    return scale


def says_nothing(units: str) -> bool:
    """Say whether a file's unit is one of the ways to write that there is none."""
    return units.strip().lower() in _NO_UNITS


def split_leads(text: str) -> tuple[str, ...]:
    """Return lead names from one text: separated by commas or semicolons, or else by blanks."""
    parts = re.split(r"[,;]", text) if re.search(r"[,;]", text) else text.split()
    return tuple(part.strip() for part in parts if part.strip())


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
