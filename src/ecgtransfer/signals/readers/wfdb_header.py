"""The text header of a WFDB record (header(5) of the WFDB Applications Guide, https://wfdb.io/spec/header-files)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.record import Sex

DEFAULT_GAIN = 200.0
DEFAULT_RATE = 250.0

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"

# Every optional field starts with blanks and is followed by blanks or the end, so that there is little to try
# twice; a field that is not a number where one belongs begins the free text that ends the line.
_RECORD = re.compile(
    rf"(?P<name>[^\s/]+)(?:/(?P<segments>\d+))?[ \t]+(?P<n_signals>\d+)"
    rf"(?:[ \t]+(?P<rate>{_NUMBER})(?:/{_NUMBER}(?:\({_NUMBER}\))?)?)?"
    r"(?:[ \t]+(?P<n_samples>\d+))?(?:[ \t]+(?P<start>\S.*))?$"
)
_SIGNAL = re.compile(
    r"(\S+)[ \t]+(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?"
    rf"(?:[ \t]+({_NUMBER})(?:\(([-+]?\d+)\))?(?:/(\S+))?)?"
    r"(?:[ \t]+(\d+))?(?:[ \t]+([-+]?\d+))?(?:[ \t]+([-+]?\d+))?(?:[ \t]+([-+]?\d+))?(?:[ \t]+(\d+))?"
    r"(?:[ \t]+(\S.*))?$"
)
_AGE = re.compile(r"<?age>?\s*:\s*(\d+\.?\d*)\b", re.IGNORECASE)
_SEX = re.compile(r"<?(?:sex|gender)>?\s*:\s*(male|female|m|f)\b", re.IGNORECASE)


class SignalSpec(NamedTuple):
    """One signal line of a header: where the samples of a lead are and what they mean.

    ``gain`` is in digital steps per ``units`` (200 where the header has none: ``calibrated`` is then False),
    ``baseline`` the step that means 0 (the ADC zero where the header has none). ``initial_value`` and
    ``checksum`` are None where the header has none. ``name`` is the lead in the header's own spelling.
    """

    file: str
    format: int
    byte_offset: int
    gain: float
    baseline: int
    units: str
    adc_zero: int
    initial_value: int | None
    checksum: int | None
    name: str
    samples_per_frame: int = 1
    skew: int = 0
    calibrated: bool = True


@dataclass(frozen=True)
class WfdbHeader:
    """A parsed header.

    ``n_samples`` is None where the header does not say; ``start`` is its time and date as text;
    ``n_segments`` is 0 for an ordinary record; ``path`` is the header's own: the signal files lie beside it.
    """

    record_name: str
    n_signals: int
    sampling_rate: float
    n_samples: int | None
    signals: tuple[SignalSpec, ...]
    comments: tuple[str, ...]
    start: str = ""
    n_segments: int = 0
    path: str = ""

    @property
    def age(self) -> float | None:
        """Age in years from a comment such as ``#Age: 67`` or ``#<age>: 51``."""
        for comment in self.comments:
            if found := _AGE.match(comment):
                return float(found[1])
        return None

    @property
    def sex(self) -> Sex | None:
        """Sex from a comment such as ``#Sex: Male`` or ``#<sex>: F``."""
        for comment in self.comments:
            if found := _SEX.match(comment):
                return "female" if found[1][0] in "fF" else "male"
        return None


def looks_like_header(head: bytes) -> bool:
    """Say whether the beginning of a file is a record line followed by a signal or segment line."""
    if b"\0" in head:
        return False
    lines = [line for line in _lines(head) if line.strip() and not line.lstrip().startswith("#")]
    record = _RECORD.match(lines[0].strip()) if lines else None
    if record is None or len(lines) < 2:
        return False
    if record["segments"]:
        return len(lines[1].split()) == 2
    return _SIGNAL.match(lines[1].strip()) is not None


def parse_header(path: str, content: bytes) -> WfdbHeader:
    """Parse a header's bytes; ``path`` is for messages and to find the signal files.

    Raises
    ------
    SignalError
        Naming the file and the line that is wrong.
    """
    lines: list[tuple[int, str]] = []
    comments: list[str] = []
    for number, line in enumerate(_lines(content), start=1):
        text = line.strip()
        if text.startswith("#"):
            comments.append(text.strip("# \t"))
        elif text:
            lines.append((number, text))
    if not lines:
        raise SignalError("the header is empty", where=path, remedy="Copy or download the record again")
    number, text = lines[0]
    record = _RECORD.match(text)
    if record is None:
        raise SignalError(
            f"not a WFDB record line: {_shown(text)}",
            where=f"{path}, line {number}",
            remedy="It should read NAME SIGNALS RATE SAMPLES",
        )
    rate = DEFAULT_RATE if record["rate"] is None else float(record["rate"])
    if not 0 < rate < float("inf"):
        raise SignalError(
            f"a sampling rate of {record['rate']} Hz is not possible", where=f"{path}, line {number}"
        )
    n_signals, n_segments = int(record["n_signals"]), int(record["segments"] or 0)
    if n_segments:
        signals: tuple[SignalSpec, ...] = ()
    elif n_signals == 0:
        raise SignalError("the header describes no signal", where=path)
    elif len(lines) - 1 != n_signals:
        raise SignalError(
            f"the header announces {n_signals} signals but describes {len(lines) - 1}",
            where=path,
            remedy="Copy or download the record again",
        )
    else:
        signals = tuple(_signal(path, number, text) for number, text in lines[1:])
    return WfdbHeader(
        # Headers of the Challenges 2020 and 2021 carry the signal file's suffix in the record name.
        record_name=record["name"].removesuffix(".mat"),
        n_signals=n_signals,
        sampling_rate=rate,
        # Zero means "not specified", as in the WFDB library.
        n_samples=int(record["n_samples"] or 0) or None,
        signals=signals,
        comments=tuple(comments),
        start=record["start"] or "",
        n_segments=n_segments,
        path=path,
    )


def _signal(path: str, number: int, text: str) -> SignalSpec:
    found = _SIGNAL.match(text)
    if found is None:
        raise SignalError(
            f"not a WFDB signal line: {_shown(text)}",
            where=f"{path}, line {number}",
            remedy="It should read FILE FORMAT GAIN(BASELINE)/UNITS BITS ZERO FIRST CHECKSUM BLOCK LEAD",
        )
    file, kind, per_frame, skew, offset, gain, baseline, units, _, zero, first, checksum, _, name = (
        found.groups()
    )
    if "/" in file or "\\" in file:
        # A header must not make a program read files from elsewhere on the machine.
        raise SignalError(
            f"the header names a signal file outside its own folder: {file}", where=f"{path}, line {number}"
        )
    adc_zero = int(zero or 0)
    value = float(gain or 0.0)
    return SignalSpec(
        file,
        int(kind),
        int(offset or 0),
        value or DEFAULT_GAIN,
        adc_zero if baseline is None else int(baseline),
        units or "mV",
        adc_zero,
        None if first is None else int(first),
        None if checksum is None else int(checksum),
        name or "",
        int(per_frame or 1),
        int(skew or 0),
        value != 0.0,
    )


def _lines(content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Old headers are Latin-1, where every byte is a character: "µV" must not become "V".
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
