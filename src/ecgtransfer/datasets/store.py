"""Store: the windows of a dataset as memory-mapped int16 shards, with its tables and `dataset.json`.

A store is a folder: ``signals-00000.npy`` … (int16 ``[windows, leads, samples]``), ``windows.parquet`` (row →
record, start, has_missing), ``records.parquet``, ``statements.parquet`` (1 / 0 / null), where a second reader
was given ``second.parquet`` (the same), ``rejected.csv`` and, written last, ``dataset.json``. Same input,
same bytes; the fingerprint depends on the content alone, not on the path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
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
from ecgtransfer.datasets.steps import MISSING
from ecgtransfer.datasets.store_files import (
    DUPLICATES,
    SECOND,
    SHARD_ROWS,
    ShardWriter,
    TableWriter,
    check_file,
    map_shard,
    read_table,
    write_duplicates,
)
from ecgtransfer.datasets.store_info import (
    FORMAT,
    VERSION,
    StoreDescription,
    StoreInfo,
    fingerprint_of,
    info_of,
    read_info,
)
from ecgtransfer.datasets.tasks import Task
from ecgtransfer.errors import ConfigError, DataError, nearest

Rows = NDArray[np.integer[Any]]


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
    second : list of dict
        A second reader's opinions the same way, or nothing where there are none.
    """

    windows: NDArray[np.int16]
    window_record: Rows
    starts: Rows
    records: list[dict[str, Any]]
    statements: Sequence[Mapping[str, int | None]]
    second: Sequence[Mapping[str, int | None]] = ()


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
    second : DataFrame
        A second reader's opinions in the same form: the columns of those statements that have one.
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
        rows = next((entry["rows"] for entry in info.tables if entry["file"] == SECOND), None)
        self.second = (
            pd.DataFrame(index=self.statements.index) if rows is None else read_table(path / SECOND, rows)
        )
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

    def task_name(self, name: str | None, *, remedy: str = "Choose one") -> str:
        """Return the task that was asked for, or the only one the store has.

        Raises
        ------
        ConfigError
            The store has no such task, or several and none was asked for; then ``remedy`` says what to do.
        """
        if name is not None:
            return self.task(name).name
        known = list(self.info.tasks)
        if len(known) == 1:
            return known[0]
        raise ConfigError(
            f"the store has {len(known)} tasks", where=self.path, remedy=f"{remedy}: {', '.join(known)}"
        )

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
        searched = duplicates.search([Store(folder, info_of(content))])
        content["tables"].append(write_duplicates(folder, searched.pairs))
        content["notes"] = (*content["notes"], *(f"duplicates: {note}" for note in searched.notes))
        content["fingerprint"] = fingerprint_of(content)
        files.write_json(folder / "dataset.json", {"format": FORMAT, "version": VERSION} | content)
    return Store.open(path, verify=False)


def _checked(positions: Rows, count: int, what: str) -> NDArray[np.int64]:
    checked = np.asarray(positions, dtype=np.int64)
    if checked.size and (checked.min() < 0 or checked.max() >= count):
        raise IndexError(f"{what} positions go from 0 to {count - 1}, got {checked.min()} to {checked.max()}")
    return checked
