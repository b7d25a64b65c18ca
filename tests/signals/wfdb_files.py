"""Writes WFDB records byte by byte from the published format, independently of any reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

LIMITS = {16: 2**15 - 1, 32: 2**31 - 1, 61: 2**15 - 1, 80: 2**7 - 1, 212: 2**11 - 1}
"""The largest digital value of each format; the smallest valid one is its negative."""


def encode(digital: np.ndarray, kind: int) -> bytes:
    """Return the bytes of ``digital [samples, leads]`` in a format, frame by frame."""
    flat = [int(value) for value in digital.reshape(-1)]
    if kind == 212:
        out = bytearray()
        for first, second in zip(
            flat[::2], [*flat[1::2], None] if len(flat) % 2 else flat[1::2], strict=True
        ):
            out += bytes([first & 0xFF, (first >> 8 & 0x0F) | ((second or 0) >> 8 & 0x0F) << 4])
            if second is not None:
                out.append(second & 0xFF)
        return bytes(out)
    if kind == 80:
        return bytes(value + 128 for value in flat)
    width, order = {16: (2, "little"), 32: (4, "little"), 61: (2, "big")}[kind]
    return b"".join(value.to_bytes(width, order, signed=True) for value in flat)


def checksum(column: np.ndarray) -> int:
    """Return the 16-bit signed checksum of one lead."""
    return (int(column.astype(np.int64).sum()) + 32768) % 65536 - 32768


def write_record(
    folder: Path,
    digital: np.ndarray,
    *,
    name: str = "rec",
    leads: Sequence[str] = ("I", "II", "V1"),
    kind: int = 16,
    suffix: str = "",
    prefix: bytes = b"",
    scale: str = "1000/mV",
    zero: int = 0,
    rate: str = "500",
    record_line: str | None = None,
    comments: Sequence[str] = (),
    file: str | None = None,
) -> Path:
    """Write one record with all leads in one file and return the header's path."""
    file = file or f"{name}.dat"
    (folder / file).write_bytes(prefix + encode(digital, kind))
    lines = [record_line or f"{name} {len(leads)} {rate} {len(digital)}"]
    for column, lead in zip(digital.T, leads, strict=True):
        lines.append(f"{file} {kind}{suffix} {scale} 16 {zero} {column[0]} {checksum(column)} 0 {lead}")
    return write_header(folder, lines + [f"#{comment}" for comment in comments], name=name)


def write_header(folder: Path, lines: Sequence[str], *, name: str = "rec") -> Path:
    path = folder / f"{name}.hea"
    path.write_bytes(("\n".join(lines) + "\n").encode())
    return path
