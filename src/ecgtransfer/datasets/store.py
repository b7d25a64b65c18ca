"""Store: the windows of a dataset as memory-mapped int16 shards, with its tables and `dataset.json`.

A store is a folder: ``signals-00000.npy`` … (int16 ``[windows, leads, samples]``), ``windows.parquet`` (row →
record, start, has_missing), ``records.parquet``, ``statements.parquet`` (1 / 0 / null), ``rejected.csv`` and,
written last, ``dataset.json``. Same input, same bytes; the fingerprint depends on the content alone, not on
the path.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from ecgtransfer import files
from ecgtransfer.datasets import duplicates
from ecgtransfer.datasets.store_files import (
    DUPLICATES,
    MISSING,
    SHARD_ROWS,
    ShardWriter,
    TableWriter,
    check_file,
    damaged,
    map_shard,
    read_table,
    write_duplicates,
)
from ecgtransfer.datasets.tasks import Task
from ecgtransfer.errors import ConfigError, DataError, SignalError, nearest

FORMAT, VERSION = "ecgtransfer-store", 2

Rows = NDArray[np.integer[Any]]

_LIMIT_MV = float(np.float32(32.7))  # as signals hold it, which is a little more than 32.7


def quantise(signal: NDArray[np.float32]) -> tuple[NDArray[np.int16], float]:
    """Turn a signal into 16-bit steps without ever clipping it.

    Parameters
    ----------
    signal : float32 array [leads, samples]
        In mV; NaN where there is no sample.

    Returns
    -------
    steps : int16 array [leads, samples]
        ``signal = steps * scale_uv / 1000``; `MISSING` where there is no sample.
    scale_uv : float
        µV per step: 1 unless the signal goes beyond ±32.7 mV; then just enough for its largest value.

    Raises
    ------
    SignalError
        A sample is infinite.
    """
    peak = float(np.fmax.reduce(np.abs(signal), axis=None)) if signal.size else 0.0
    if np.isinf(peak):
        raise SignalError("a sample is infinite", remedy="Repair or leave out the record")
    # Rounded up to a thousandth of a µV, so that the largest value still fits after rounding.
    scale_uv = float(np.ceil(peak * 1e6 / 32767) / 1000) if peak > _LIMIT_MV else 1.0
    absent = np.isnan(signal)
    precision = np.float32 if scale_uv == 1.0 else np.float64
    scaled = np.multiply(signal, 1000 / scale_uv, dtype=precision)
    np.rint(scaled, out=scaled)
    if absent.any():
        scaled[absent] = MISSING
    return scaled.astype(np.int16), scale_uv


@dataclass(frozen=True)
class Chunk:
    """Some consecutive records and their windows on the way into a store.

    Parameters
    ----------
    windows : int16 array [windows, leads, samples]
        As `quantise` returns them; `MISSING` where there is no sample.
    window_record : int array [windows]
        Position, within this chunk, of the record each window belongs to; it never decreases, and every
        record has a window.
    starts : int array [windows]
        First sample of the window in the resampled record.
    records : list of dict
        ``record_id, file, patient_id | None, age, sex, fold, flags (tuple of str), source, device | None,
        hash, scale_uv``.
    statements : list of dict
        One per record: statement code → 1 present, 0 absent, None unknown; an omitted code is unknown. They
        are kept as they are, so that records with equal statements can share one.
    """

    windows: NDArray[np.int16]
    window_record: Rows
    starts: Rows
    records: list[dict[str, Any]]
    statements: Sequence[Mapping[str, int | None]]


@dataclass(frozen=True)
class StoreDescription:
    """What a store says about itself besides its signals and tables.

    ``sampling_rate`` is in Hz, ``n_samples`` is per window, ``tasks`` maps a name to
    ``[[target, [codes]], …]``, ``annotated`` lists the statement codes the source annotates, ``coverage`` has
    ``(label as the dataset writes it, code or None, records)``.
    """

    name: str
    source: str
    title: str
    leads: tuple[str, ...]
    sampling_rate: float
    n_samples: int
    licence: str
    citation: str
    address: str
    recipe: dict[str, Any]
    tasks: dict[str, list[list[Any]]]
    annotated: tuple[str, ...]
    official_folds: bool
    patients_known: bool
    polarity_uncertain: bool
    notes: tuple[str, ...] = ()
    coverage: tuple[tuple[str, str | None, int], ...] = ()


@dataclass(frozen=True)
class StoreInfo(StoreDescription):
    """The content of ``dataset.json``: the description, counts, and the hash of every file."""

    n_records: int = 0
    n_windows: int = 0
    n_rejected: int = 0
    shards: tuple[dict[str, Any], ...] = ()
    tables: tuple[dict[str, Any], ...] = ()
    fingerprint: str = ""


class Store:
    """A prepared dataset, opened for reading.

    Attributes
    ----------
    path : Path
    info : StoreInfo
    records : DataFrame
        One row per record: ``record_id``, ``file``, ``patient_id`` (``record:<record_id>`` where unknown),
        ``age`` (years), ``sex`` (male / female / null), ``fold`` (nullable), ``flags`` (joined by ``;``),
        ``source``, ``device`` (null where unknown), ``hash`` (SHA-256 of the decoded recording: rate, leads,
        samples), ``scale_uv`` (µV per step).
    windows : DataFrame
        One row per window: ``record`` (position in `records`), ``start`` (sample), ``has_missing``.
    statements : DataFrame
        One row per record, one nullable Int8 column per statement code.
    duplicates : DataFrame
        One row per pair of records that are the same ECG: ``a``, ``b`` (positions), ``kind``,
        ``similarity``.
    groups : int array [records]
        A number for what no split may divide: the records of a patient, and duplicates whoever they
        belong to.
    record_of_row : int array [windows]
    """

    def __init__(self, path: Path, info: StoreInfo) -> None:
        self.path, self.info = path, info
        self.records = read_table(path / "records.parquet", info.n_records)
        self.windows = read_table(path / "windows.parquet", info.n_windows)
        self.statements = read_table(path / "statements.parquet", info.n_records)
        self.record_of_row: NDArray[np.int64] = self.windows["record"].to_numpy(dtype=np.int64)
        self._has_missing: NDArray[np.bool_] = self.windows["has_missing"].to_numpy(dtype=bool)
        scale = self.records["scale_uv"].to_numpy(dtype=np.float64)
        self._scale_mv = (scale / 1000).astype(np.float32)[self.record_of_row]
        self._shards = [map_shard(path / shard["file"], self._shape(shard["rows"])) for shard in info.shards]

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> Store:
        """Open a store.

        Parameters
        ----------
        path : path
            The store's folder.
        verify : bool
            Read every file and compare its SHA-256. Without it only sizes and shapes are checked.

        Raises
        ------
        DataError
            The folder is no store, is of another format version, or a file of it is missing, truncated or
            altered; the error names the file.
        """
        path = Path(path)
        info = read_info(path)
        for entry in (*info.shards, *info.tables):
            check_file(path / entry["file"], entry, verify=verify)
        return cls(path, info)

    @cached_property
    def duplicates(self) -> pd.DataFrame:
        """Pairs of records of this store that are the same ECG."""
        rows = next(entry["rows"] for entry in self.info.tables if entry["file"] == DUPLICATES)
        return read_table(self.path / DUPLICATES, rows)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """A number per record for what no split may divide: its patient, and its duplicates."""
        patient = np.unique(self.records["patient_id"].to_numpy(dtype=str), return_inverse=True)[1]
        pairs = self.duplicates
        if not len(pairs):
            return patient.astype(np.int64)
        a, b = (patient[pairs[side].to_numpy(dtype=np.int64)] for side in ("a", "b"))
        shape = (patient.max() + 1,) * 2
        graph = scipy.sparse.coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=shape)
        group = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
        return np.asarray(group, dtype=np.int64)[patient]

    @property
    def fingerprint(self) -> str:
        """Identity of the content: equal for equal input and recipe, wherever the store lies."""
        return self.info.fingerprint

    @property
    def n_records(self) -> int:
        """Number of records."""
        return self.info.n_records

    @property
    def n_windows(self) -> int:
        """Number of windows."""
        return self.info.n_windows

    def rows_of(self, records: Rows) -> NDArray[np.int64]:
        """Return the window rows of these records, ascending, each once."""
        chosen = np.zeros(self.n_records, dtype=bool)
        chosen[_checked(records, self.n_records, "record")] = True
        return np.flatnonzero(chosen[self.record_of_row])

    def read(self, rows: Rows, out: NDArray[np.int16] | None = None) -> NDArray[np.int16]:
        """Return windows as they are stored.

        Parameters
        ----------
        rows : int array [windows]
            Rows of `windows`, in any order.
        out : int16 array, optional
            Where to put them; a buffer used again saves the operating system's work of finding fresh memory.

        Returns
        -------
        int16 array [windows, leads, samples]
            In steps of the record's ``scale_uv``; `MISSING` where there is no sample.
        """
        rows = _checked(rows, self.n_windows, "window")
        out = self._target(out, len(rows), np.dtype(np.int16))
        shards, within = np.divmod(rows, SHARD_ROWS)
        # Row by row: each is one contiguous copy, and a batch may hit every shard in any order.
        for position, (shard, row) in enumerate(zip(shards.tolist(), within.tolist(), strict=True)):
            out[position] = self._shards[shard][row]
        return out

    def millivolts(self, rows: Rows, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return windows in mV.

        Parameters
        ----------
        rows : int array [windows]
            Rows of `windows`, in any order.
        out : float32 array, optional
            Where to put them.

        Returns
        -------
        float32 array [windows, leads, samples]
            Where there is no sample (padding, an absent lead, NaN in the file) the value is 0 mV.
        """
        rows = _checked(rows, self.n_windows, "window")
        out = self._target(out, len(rows), np.dtype(np.float32))
        shards, within = np.divmod(rows, SHARD_ROWS)
        scales, missing = self._scale_mv[rows], self._has_missing[rows].tolist()
        for position, (shard, row) in enumerate(zip(shards.tolist(), within.tolist(), strict=True)):
            steps, window = self._shards[shard][row], out[position]
            np.copyto(window, steps)  # converted and scaled while the window is in the processor's cache
            window *= scales[position]
            if missing[position]:
                np.copyto(window, 0, where=steps == MISSING)
        return out

    def task(self, name: str) -> Task:
        """Return a task of this store.

        Raises
        ------
        ConfigError
            The store has no such task; the error lists those it has.
        """
        if name not in self.info.tasks:
            raise ConfigError(
                f"there is no task {name!r}", where=self.path, remedy=nearest(name, self.info.tasks)
            )
        return Task.from_list(name, self.info.tasks[name])

    def labels(self, task: Task) -> NDArray[np.float32]:
        """Return float32 labels [records, targets]: 1 present, 0 absent, NaN unknown."""
        return task.labels(self.statements)

    def _shape(self, rows: int) -> tuple[int, int, int]:
        return rows, len(self.info.leads), self.info.n_samples

    def _target(self, out: NDArray[Any] | None, rows: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        if out is None:
            return np.empty(self._shape(rows), dtype=dtype)
        if out.shape != self._shape(rows) or out.dtype != dtype:
            raise ValueError(f"out is {out.dtype} {out.shape}, not {dtype} {self._shape(rows)}")
        return out


def write(
    path: str | Path,
    description: StoreDescription,
    chunks: Iterable[Chunk],
    rejected: Sequence[Mapping[str, str]] = (),
) -> Store:
    """Write a store in one piece: either the whole folder appears under its name or nothing does.

    Parameters
    ----------
    path : path
        The folder to create.
    description : StoreDescription
        What the store says about itself.
    chunks : iterable of Chunk
        Records in the order in which they are to be stored; how they are cut into chunks leaves no trace.
    rejected : sequence of dict
        ``record_id, file, reason`` of every record that was left out. Read after the last chunk, so that a
        generator of chunks may still append to it.

    Returns
    -------
    Store

    Raises
    ------
    DataError
        The folder exists already, no record came, a record came twice, or a statement is not 1, 0 or None.
    """
    path = Path(path)
    if path.exists():
        raise DataError("already exists", where=path, remedy="Choose another name or remove it first")
    with files.atomic_folder(path) as folder:
        shards = ShardWriter(folder, (len(description.leads), description.n_samples))
        tables = TableWriter(description.annotated)
        for chunk in chunks:
            tables.add(chunk)
            shards.add(chunk.windows)
        shard_entries = shards.close()
        if not tables.records["record_id"]:
            raise DataError(
                f"not one record is left, {len(rejected)} were rejected",
                where=path,
                remedy="See the reasons; the first is: " + rejected[0]["reason"] if rejected else None,
            )
        content = asdict(description) | {
            "n_records": len(tables.records["record_id"]),
            "n_windows": len(tables.starts),
            "n_rejected": len(rejected),
            "shards": shard_entries,
            "tables": tables.write(folder, rejected),
        }
        # Looked for here, once, because every split of this store depends on it.
        pairs = duplicates.find([Store(folder, _info(content))])
        content["tables"].append(write_duplicates(folder, pairs))
        content["fingerprint"] = _fingerprint(content)
        files.write_json(folder / "dataset.json", {"format": FORMAT, "version": VERSION} | content)
    return Store.open(path, verify=False)


def read_info(path: Path) -> StoreInfo:
    """Read what a store says about itself, without opening its files.

    Raises
    ------
    DataError
        The folder is no store, of another format version, or its ``dataset.json`` was altered.
    """
    file = path / "dataset.json"
    if not file.is_file():
        raise DataError(
            "is not a store: it has no dataset.json", where=path, remedy="Make one with `ecgtransfer prepare`"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(file, f"is not JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise DataError("is not a store: its dataset.json is another program's", where=path)
    version = content.pop("version", None)
    if version != VERSION:
        raise DataError(
            f"is a store of format version {version}; this program reads version {VERSION}",
            where=path,
            remedy="Prepare it again with this version of ecgtransfer",
        )
    if set(content) != {field.name for field in fields(StoreInfo)}:
        raise damaged(file, "has missing or unknown keys")
    try:
        intact = content["fingerprint"] == _fingerprint(content)
    except (KeyError, TypeError):
        intact = False
    if not intact:
        raise damaged(file, "was altered after the store was written")
    return _info(content)


def find_stores(folder: Path) -> list[tuple[Path, StoreInfo]]:
    """Return the stores that lie in a folder, by name; what this version cannot read is passed over."""
    found = []
    for path in sorted(folder.glob("*/dataset.json")):
        with contextlib.suppress(DataError):
            found.append((path.parent, read_info(path.parent)))
    return found


def _info(content: Mapping[str, Any]) -> StoreInfo:
    lists = ("leads", "annotated", "notes", "shards", "tables")
    coverage = tuple((label, code, count) for label, code, count in content["coverage"])
    return StoreInfo(**{**content, **{name: tuple(content[name]) for name in lists}, "coverage": coverage})


def _fingerprint(content: Mapping[str, Any]) -> str:
    """Hash what determines results: signals, tables, and how they are to be read; no prose, no path."""
    reading = ("source", "leads", "sampling_rate", "n_samples", "recipe", "tasks", "annotated")
    keys = (*reading, "official_folds", "patients_known", "polarity_uncertain")
    entries = [entry for entry in (*content["shards"], *content["tables"]) if entry["file"] != "rejected.csv"]
    return files.hash_json({key: content[key] for key in keys} | {"files": [e["sha256"] for e in entries]})


def _checked(positions: Rows, count: int, what: str) -> NDArray[np.int64]:
    checked = np.asarray(positions, dtype=np.int64)
    if checked.size and (checked.min() < 0 or checked.max() >= count):
        raise IndexError(f"{what} positions go from 0 to {count - 1}, got {checked.min()} to {checked.max()}")
    return checked
