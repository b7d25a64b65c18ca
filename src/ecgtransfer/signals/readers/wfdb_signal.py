"""The signal files of a WFDB record: digital samples, exactly as stored, or an error.

Formats 16, 32, 61, 80 and 212 with one sample per frame and no skew are decoded here; everything else is left
to the wfdb package. Layout: signal(5) of the WFDB Applications Guide, https://wfdb.io/spec/signal-files.
"""

from __future__ import annotations

import io
import os
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import SignalError
from ecgtransfer.signals.readers.wfdb_header import SignalSpec, WfdbHeader

Digital: TypeAlias = "NDArray[np.int16] | NDArray[np.int32]"

# The digital value that means "no sample"; format 8 stores differences and has none.
NO_SAMPLE = {
    16: -(2**15), 24: -(2**23), 32: -(2**31), 61: -(2**15), 80: -(2**7), 160: -(2**15), 212: -(2**11),
    310: -(2**9), 311: -(2**9), 508: -(2**7), 516: -(2**15), 524: -(2**23),
}  # fmt: skip

# What the formats decoded here store: 212 is unpacked from bytes, 80 is offset by 128.
_STORED = {16: "<i2", 32: "<i4", 61: ">i2", 80: "u1", 212: "u1"}

# Bits per sample of the formats of fixed size: enough to see that a file is too short.
_BITS = {8: 8, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12}


def decode(header: WfdbHeader) -> tuple[Digital, float, dict[str, Any]]:
    """Return the digital samples ``[samples, leads]``, their rate in Hz, and what is worth noting.

    Raises
    ------
    SignalError
        If a signal file is missing, shorter than the header says, or in a format nothing here can read.
    """
    groups = _groups(header)
    sizes = {file: _size(header, file) for file in groups}
    notes: dict[str, Any] = {}
    native = all(s.format in _STORED and s.samples_per_frame == 1 and s.skew == 0 for s in header.signals)
    n_samples = _n_samples(header, groups, sizes)
    unread = {}
    for file, specs in groups.items():
        needed = _bytes(specs, n_samples)
        if needed is not None:
            if sizes[file] - specs[0].byte_offset < needed:
                raise _truncated(header, file, specs, sizes[file], n_samples)
            if sizes[file] - specs[0].byte_offset > needed:
                unread[file] = sizes[file] - specs[0].byte_offset - needed
    if unread:
        notes["unread_bytes"] = unread
    if not native:
        digital, rate = _with_wfdb(header)
        return digital, rate, notes
    parts = [_decode_file(header, file, specs, n_samples) for file, specs in groups.items()]
    if len(parts) == 1:
        return parts[0], header.sampling_rate, notes
    # The samples stay 16 bit wide unless one of the files needs 32.
    digital = np.concatenate(parts, axis=1, dtype=np.result_type(*parts))
    return digital, header.sampling_rate, notes


def decode_segments(header: WfdbHeader) -> tuple[NDArray[np.float64], float, list[str], list[str]]:
    """Return a multi-segment record's signal ``[leads, samples]``, rate, lead names and units."""
    record = _rdrecord(header, physical=True)
    signals, rate = _one_rate(header, record.e_p_signal, record.samps_per_frame)
    return np.stack(signals), rate, list(record.sig_name), list(record.units)


def _groups(header: WfdbHeader) -> dict[str, list[SignalSpec]]:
    groups: dict[str, list[SignalSpec]] = {}
    last = None
    for spec in header.signals:
        if spec.file != last and spec.file in groups:
            raise SignalError(
                f"the signals of {spec.file} do not follow one another in the header, so their order in the "
                "file is not known",
                where=header.path,
            )
        group = groups.setdefault(spec.file, [])
        group.append(spec)
        last = spec.file
        if (spec.format, spec.byte_offset) != (group[0].format, group[0].byte_offset):
            raise SignalError(
                f"lead {spec.name or len(group)} of {spec.file} has another format or byte offset than the "
                "leads before it in the same file",
                where=header.path,
            )
    return groups


def _size(header: WfdbHeader, file: str) -> int:
    path = _beside(header, file)
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        raise SignalError(
            f"the header names the signal file {file}, which does not exist",
            where=header.path,
            remedy=f"Put {file} beside the header",
        ) from None
    except OSError as error:
        raise SignalError(f"cannot be opened ({error.strerror})", where=path) from None


def _n_samples(header: WfdbHeader, groups: dict[str, list[SignalSpec]], sizes: dict[str, int]) -> int:
    if header.n_samples is not None:
        return header.n_samples
    counts = {}
    for file, specs in groups.items():
        bits = _BITS.get(specs[0].format)
        if bits is None:
            raise SignalError(
                f"the header does not say how many samples there are, and format {specs[0].format} does not "
                "show it",
                where=header.path,
            )
        n_bytes = max(sizes[file] - specs[0].byte_offset, 0)
        per_frame = sum(spec.samples_per_frame for spec in specs)
        counts[file] = n_bytes * 8 // (bits * per_frame)
        # What is over may be the padding of format 212, but not a whole sample.
        if n_bytes * 8 - counts[file] * bits * per_frame >= bits + 8 * (bits % 8 > 0):
            raise SignalError(
                f"{file} ends in the middle of a frame of {per_frame} samples: it is truncated",
                where=header.path,
                remedy="Copy or download the record again",
            )
    if len(set(counts.values())) > 1:
        listing = ", ".join(f"{file} {count}" for file, count in counts.items())
        raise SignalError(
            f"the header does not say how many samples there are, and the files differ: {listing}",
            where=header.path,
        )
    count = next(iter(counts.values()))
    if count == 0:
        raise SignalError(f"{next(iter(groups))} holds no samples", where=header.path)
    return count


def _bytes(specs: list[SignalSpec], n_samples: int) -> int | None:
    bits = _BITS.get(specs[0].format)
    if bits is None:
        return None
    return (n_samples * sum(spec.samples_per_frame for spec in specs) * bits + 7) // 8


def _truncated(
    header: WfdbHeader, file: str, specs: list[SignalSpec], size: int, n_samples: int
) -> SignalError:
    per_frame = sum(spec.samples_per_frame for spec in specs)
    there = max(size - specs[0].byte_offset, 0) * 8 // (_BITS[specs[0].format] * per_frame)
    return SignalError(
        f"{file} is truncated: {there} of {n_samples} samples per lead are there",
        where=header.path,
        remedy="Copy or download the record again",
    )


def _decode_file(header: WfdbHeader, file: str, specs: list[SignalSpec], n_samples: int) -> Digital:
    kind, n_leads = specs[0].format, len(specs)
    total = n_samples * n_leads
    count = (total * 12 + 7) // 8 if kind == 212 else total
    raw: NDArray[Any] = np.empty(count, dtype=_STORED[kind])
    path = _beside(header, file)
    try:
        # Half the time of numpy.fromfile, which opens the file twice over.
        with open(path, "rb", buffering=0) as stream:
            stream.seek(specs[0].byte_offset)
            there = _fill(stream, raw)
    except OSError as error:
        raise SignalError(f"cannot be read ({error.strerror})", where=path) from None
    if there != raw.nbytes:
        # The file shrank since its size was taken.
        raise _truncated(header, file, specs, specs[0].byte_offset + there, n_samples)
    if kind == 212:
        samples = _unpack_212(raw, total)
    elif kind == 80:
        samples = raw.astype(np.int16) - np.int16(128)
    else:
        samples = raw.astype(np.int32 if kind == 32 else np.int16, copy=False)
    return samples.reshape(n_samples, n_leads)


def _fill(stream: io.FileIO, raw: NDArray[Any]) -> int:
    """Read until the array is full or the file ends: one read is limited to 2 GiB. Return the bytes read."""
    view = memoryview(raw.data).cast("B")
    there = 0
    while there < raw.nbytes and (n_bytes := stream.readinto(view[there:])):
        there += n_bytes
    return there


def _unpack_212(raw: NDArray[np.uint8], total: int) -> NDArray[np.int16]:
    # Two 12-bit samples in three bytes: low byte of the first, high nibbles of second and first, low byte of
    # the second.
    if raw.size % 3:
        raw = np.concatenate([raw, np.zeros(3 - raw.size % 3, dtype=np.uint8)])
    triplets = raw.reshape(-1, 3).astype(np.int16)
    middle = triplets[:, 1]
    samples = np.empty((len(triplets), 2), dtype=np.int16)
    samples[:, 0] = triplets[:, 0] | (middle & 0x0F) << 8
    samples[:, 1] = triplets[:, 2] | (middle & 0xF0) << 4
    # Sign of 12 bits: up to the top of 16 and back.
    samples <<= 4
    samples >>= 4
    return samples.reshape(-1)[:total]


def _with_wfdb(header: WfdbHeader) -> tuple[Digital, float]:
    record = _rdrecord(header, physical=False)
    signals, rate = _one_rate(header, record.e_d_signal, record.samps_per_frame)
    digital = np.stack(signals, axis=1)
    if digital.itemsize < 2:
        return digital.astype(np.int16), rate
    return digital, rate


def _rdrecord(header: WfdbHeader, *, physical: bool) -> Any:
    kinds = ", ".join(str(kind) for kind in sorted({spec.format for spec in header.signals}))
    what = "a multi-segment record" if header.n_segments else f"a record of this kind (format {kinds})"
    try:
        import wfdb
    except ImportError:
        raise SignalError(
            f"{what} is read with the wfdb package, which is not installed",
            where=header.path,
            remedy="Install it: pip install wfdb",
        ) from None
    try:
        # Frames are not smoothed: an average of several samples would be a silent resampling.
        return wfdb.rdrecord(header.path.removesuffix(".hea"), physical=physical, smooth_frames=False)
    except Exception as error:
        raise SignalError(f"{what} that the wfdb package cannot read ({error})", where=header.path) from error


def _one_rate(
    header: WfdbHeader, signals: list[NDArray[Any]], per_frame: list[int]
) -> tuple[list[NDArray[Any]], float]:
    if len({len(signal) for signal in signals}) != 1 or len(set(per_frame)) != 1:
        rates = ", ".join(f"{header.sampling_rate * count:g}" for count in sorted(set(per_frame)))
        raise SignalError(
            f"its signals have different sampling rates ({rates} Hz)",
            where=header.path,
            remedy="Write the ECG leads, which share one rate, to a record of their own",
        )
    return signals, header.sampling_rate * per_frame[0]


def _beside(header: WfdbHeader, file: str) -> str:
    return os.path.join(os.path.dirname(header.path), file)
