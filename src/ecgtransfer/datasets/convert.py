"""One chunk of a dataset: raw files in, windows out. This is what the worker processes of `prepare` run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecgtransfer import signals
from ecgtransfer.datasets import recipes, sources
from ecgtransfer.datasets.sources import Source
from ecgtransfer.datasets.steps import MISSING
from ecgtransfer.errors import EcgTransferError, SignalError
from ecgtransfer.signals import Record, quality


@dataclass(frozen=True)
class Shape:
    """What every window of a store has in common; ``rate`` in Hz, ``n_samples`` per window."""

    leads: tuple[str, ...]
    rate: float
    n_samples: int
    length: Literal["cover", "first"]
    recipe: str = "default"


@dataclass(frozen=True)
class Job:
    """The records of one chunk: files relative to ``root``, and what `Source.load` is told of each.

    ``key`` stands for the state of the files, what is told, and the recipe.
    """

    source: str
    root: Path
    names: tuple[str, ...]
    hows: tuple[Mapping[str, Any], ...]
    shape: Shape
    target: Path
    key: str


@dataclass(frozen=True)
class Converted:
    """A chunk as it lies in the working folder.

    ``kept`` has one dictionary per record that was kept (``position`` in the job, ``flags``, ``hash``,
    ``scale_uv``, ``age``, ``sex``), ``rejected`` one pair (position, reason) per record that was not.
    """

    windows: NDArray[np.int16]
    window_record: NDArray[np.int64]
    starts: NDArray[np.int64]
    kept: list[dict[str, Any]]
    rejected: list[tuple[int, str]]


def convert(job: Job) -> int:
    """Convert the files of a job and leave the result at ``job.target``; return the number of files."""
    source = sources.get(job.source)
    windows: list[NDArray[np.int16]] = []
    owners: list[int] = []
    starts: list[int] = []
    kept: list[dict[str, Any]] = []
    rejected: list[tuple[int, str]] = []
    with _one_thread():
        for position, (name, how) in enumerate(zip(job.names, job.hows, strict=True)):
            try:
                record = source.load(job.root / name, how)
                flags = _rate_flags(record, source.rates)
                flags += [f"{flag.name}: {flag.evidence}" for flag in quality.check(record)]
                cut, at, scale_uv, more = _windows(record, job.shape, source)
                digest = _hash(record)
            except MemoryError:
                raise
            except Exception as error:  # a reader's bug on a strange file must not cost the other records
                rejected.append((position, _reason(error, job.root, name)))
                continue
            windows.extend(cut)
            owners.extend([len(kept)] * len(cut))
            starts.extend(at)
            kept.append(
                {
                    "position": position,
                    "flags": flags + more,
                    "hash": digest,
                    "scale_uv": scale_uv,
                    "age": record.age,
                    "sex": record.sex,
                }
            )
    shape = (0, len(job.shape.leads), job.shape.n_samples)
    stacked = np.stack(windows) if windows else np.empty(shape, dtype=np.int16)
    meta = json.dumps({"key": job.key, "kept": kept, "rejected": rejected}).encode()
    _save(
        job.target,
        windows=stacked,
        window_record=np.array(owners, dtype=np.int64),
        starts=np.array(starts, dtype=np.int64),
        meta=np.frombuffer(meta, dtype=np.uint8),
    )
    return len(job.names)


def is_done(job: Job) -> bool:
    """Say whether the working folder has the result of this very job."""
    try:
        with np.load(job.target, allow_pickle=False) as content:
            return bool(json.loads(content["meta"].tobytes())["key"] == job.key)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


def load(job: Job) -> Converted:
    """Read a chunk back."""
    with np.load(job.target, allow_pickle=False) as content:
        meta = json.loads(content["meta"].tobytes())
        return Converted(
            windows=content["windows"],
            window_record=content["window_record"],
            starts=content["starts"],
            kept=meta["kept"],
            rejected=[(position, reason) for position, reason in meta["rejected"]],
        )


def rejections(job: Job) -> list[tuple[int, str]]:
    """Read back only which records of a chunk were rejected, and why."""
    with np.load(job.target, allow_pickle=False) as content:  # arrays are read when asked for
        return [(position, reason) for position, reason in json.loads(content["meta"].tobytes())["rejected"]]


def _windows(
    record: Record, shape: Shape, source: Source
) -> tuple[list[NDArray[np.int16]], list[int], float, list[str]]:
    """Return a record's windows, their starts, µV per step, and what there is to remark."""
    if record.n_samples == 0:
        raise SignalError("it has no samples")
    signal, derived, missing = signals.arrange(record, shape.leads)
    if len(missing) == len(shape.leads):
        raise SignalError(
            f"it has none of the leads {', '.join(shape.leads)}, only {', '.join(record.leads)}"
        )
    flags = [f"lead {lead} missing" for lead in missing]
    flags += [f"lead {lead} derived" for lead in derived]
    # One sum instead of a mask: it is NaN where any sample of a lead is.
    if missing or not np.isfinite(signal.sum()):
        absent = np.isnan(signal)
        if absent.all():
            raise SignalError("it has no sample in any of the leads asked for")
        for lead, share in zip(shape.leads, absent.mean(axis=1), strict=True):
            if lead not in missing and share > 0:
                flags.append(f"lead {lead}: no sample in {100 * share:.3g} %")
    if shape.recipe == "paper":
        steps, scale_uv, more = recipes.as_published(
            signal,
            record.sampling_rate,
            shape.leads,
            scaled=source.paper_scaled,
            centred=source.paper_centred,
        )
        return [steps], [0], scale_uv, flags + more
    steps, scale_uv = recipes.to_rate(signal, record.sampling_rate, shape.rate)
    if scale_uv != 1.0:
        flags.append(f"beyond 32.7 mV: {scale_uv:g} uV per step")
    n_samples = steps.shape[1]
    if n_samples < shape.n_samples:
        flags.append(f"short: {n_samples / shape.rate:.1f} s")
        padded = np.full((len(shape.leads), shape.n_samples), MISSING, dtype=np.int16)
        padded[:, :n_samples] = steps
        return [padded], [0], scale_uv, flags
    starts = [int(start) for start in signals.windows(n_samples, shape.n_samples, shape.length)]
    if shape.length == "first" and n_samples > shape.n_samples:
        flags.append(f"cut: {n_samples / shape.rate:.1f} s")
    return [steps[:, start : start + shape.n_samples] for start in starts], starts, scale_uv, flags


def _rate_flags(record: Record, rates: tuple[float, ...]) -> list[str]:
    """Return the reader's remarks, and one for a rate that is not the dataset's."""
    flags = [f"{key}: {_text(record.metadata[key])}" for key in _REMARKS if record.metadata.get(key)]
    if rates and record.sampling_rate not in rates:
        known = " or ".join(f"{rate:g}" for rate in rates)
        flags.append(f"rate {record.sampling_rate:g} Hz instead of {known} Hz")
    return flags


_REMARKS = ("uncalibrated", "renamed", "unread_bytes", "infinite")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _hash(record: Record) -> str:
    """Return the SHA-256 of what was recorded: rate, leads and samples, whatever file they came in."""
    digest = hashlib.sha256(f"{record.sampling_rate:.10g} Hz {' '.join(record.leads)}\n".encode())
    # Adding zero makes -0.0 and 0.0, which are the same sample, the same bytes.
    digest.update(np.ascontiguousarray(record.signal + np.float32(0), dtype="<f4").data)
    return digest.hexdigest()


def _reason(error: Exception, root: Path, name: str) -> str:
    """Return an error as one sentence without this machine's paths."""
    if not isinstance(error, EcgTransferError):
        text = f"{type(error).__name__}: {error}"
    else:
        text = error.what
        if error.where is not None and (where := _relative(error.where, root)) != name:
            text = f"{where}: {text}"
    return " ".join(_relative(text, root).split())


def _relative(text: str, root: Path) -> str:
    return text.replace(f"{root}{os.sep}", "")


def _save(target: Path, **arrays: NDArray[Any]) -> None:
    """Write atomically. Without fsync: what a power cut leaves behind does not load and is made again."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".chunk-")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep matrix products on one thread: the workers share the cores, and the last bit must not vary."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield
