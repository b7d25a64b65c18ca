"""What a person states about files that do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stated:
    """Facts about a recording that come from its owner and not from its file.

    Parameters
    ----------
    sampling_rate : float, optional
        In Hz.
    units : str, optional
        ``mV``, ``uV``, ``V``, or steps per mV such as ``1000/mV``.
    leads : tuple of str, optional
        Names in the order of the file.
    variable : str, optional
        Which array of a file that holds several.
    """

    sampling_rate: float | None = None
    units: str | None = None
    leads: tuple[str, ...] | None = None
    variable: str | None = None
