"""The datasets that can be prepared; each has its own file, and is found by its name."""

from __future__ import annotations

from ecgtransfer.datasets.sources import (
    challenge2021,
    chapman,
    cinc2017,
    code15,
    code_test,
    cpsc2018,
    folder,
    georgia,
    ludb,
    mimic_iv_ecg,
    mitbih,
    ptb,
    ptbxl,
    sph,
)
from ecgtransfer.datasets.sources.source import Entry, Listing, Rejection, Request, Source
from ecgtransfer.errors import ConfigError, nearest

__all__ = ["Entry", "Listing", "Rejection", "Request", "Source", "get", "names"]

_SOURCES = {
    source.name: source
    for source in (
        ptbxl.SOURCE,
        cpsc2018.SOURCE,
        georgia.SOURCE,
        ptb.SOURCE,
        code_test.SOURCE,
        chapman.SOURCE,
        challenge2021.SOURCE,
        sph.SOURCE,
        code15.SOURCE,
        mimic_iv_ecg.SOURCE,
        ludb.SOURCE,
        cinc2017.SOURCE,
        mitbih.SOURCE,
        folder.SOURCE,
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all sources."""
    return tuple(_SOURCES)


def get(name: str) -> Source:
    """Return a source by its name.

    Raises
    ------
    ConfigError
        For an unknown name; the message names the nearest known one.
    """
    if name not in _SOURCES:
        raise ConfigError(f"there is no source {name!r}", remedy=nearest(name, _SOURCES))
    return _SOURCES[name]
