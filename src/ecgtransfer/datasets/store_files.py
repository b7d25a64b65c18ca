"""The files of a store, written and checked: `.npy` shards, Parquet tables, the hash of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecgtransfer import files
from ecgtransfer.datasets.steps import MISSING
from ecgtransfer.errors import DataError

if TYPE_CHECKING:
    from ecgtransfer.datasets.duplicates import Pair
    from ecgtransfer.datasets.store import Chunk

SHARD_ROWS = 4096

DUPLICATES = "duplicates.parquet"
SECOND = "second.parquet"
_TABLES = ("records.parquet", "windows.parquet", "statements.parquet", "rejected.csv")
_RECORDS = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("age", pa.float64()),
        pa.field("sex", pa.string()),
        pa.field("fold", pa.int64()),
        pa.field("flags", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("device", pa.string()),
        pa.field("hash", pa.string(), nullable=False),
        pa.field("scale_uv", pa.float64(), nullable=False),
    ]
)


class ShardWriter:
    """Append windows ``[windows, *shape]`` to `.npy` files of `SHARD_ROWS` rows; the last may be shorter."""

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        self.folder, self.shape = folder, shape
        self.stream: IO[bytes] | None = None
        self.rows = 0
        self.entries: list[dict[str, Any]] = []

    def add(self, windows: NDArray[np.int16]) -> None:
        """Append int16 windows [windows, leads, samples]."""
        if windows.dtype != np.int16 or windows.shape[1:] != self.shape:
            raise ValueError(
                f"windows are {windows.dtype} {windows.shape}, not int16 {('windows', *self.shape)}"
            )
        while len(windows):
            if self.stream is None:
                self.stream = (self.folder / f"signals-{len(self.entries):05d}.npy").open("wb")
                self._header(SHARD_ROWS)
            piece = np.ascontiguousarray(windows[: SHARD_ROWS - self.rows], dtype="<i2")
            piece.tofile(self.stream)
            self.rows += len(piece)
            windows = windows[len(piece) :]
            if self.rows == SHARD_ROWS:
                self._finish()

    def close(self) -> list[dict[str, Any]]:
        """Finish the last shard and return file, rows, bytes and SHA-256 of each."""
        if self.stream is not None:
            self._finish()
        return self.entries

    def _header(self, rows: int) -> None:
        # numpy leaves room in the header for the first axis to grow: a smaller number later fits in place.
        assert self.stream is not None
        header = {"descr": "<i2", "fortran_order": False, "shape": (rows, *self.shape)}
        np.lib.format.write_array_header_1_0(self.stream, header)

    def _finish(self) -> None:
        assert self.stream is not None
        if self.rows != SHARD_ROWS:
            self.stream.seek(0)
            self._header(self.rows)
        self.stream.close()
        self.entries.append(_entry(Path(self.stream.name), self.rows))
        self.stream, self.rows = None, 0


class TableWriter:
    """Collect the rows of the tables and write them with fixed settings: equal rows give equal bytes.

    Statement columns are the ``annotated`` codes in their order, then others that occur, sorted.
    """

    def __init__(self, annotated: Sequence[str]) -> None:
        self.annotated = annotated
        self.records: dict[str, list[Any]] = {name: [] for name in _RECORDS.names}
        self.statements: list[Mapping[str, int | None]] = []
        self.second: list[Mapping[str, int | None]] = []
        self.record: list[int] = []
        self.starts: list[int] = []
        self.has_missing: list[bool] = []
        self.seen: set[str] = set()

    def add(self, chunk: Chunk) -> None:
        """Append the records of a chunk and the places of their windows."""
        if not len(chunk.windows) == len(chunk.window_record) == len(chunk.starts):
            raise ValueError("windows, window_record and starts differ in length")
        second = chunk.second or [{}] * len(chunk.records)
        if not len(chunk.records) == len(chunk.statements) == len(second):
            raise ValueError("records, statements and second opinions differ in length")
        position = np.asarray(chunk.window_record, dtype=np.int64)
        every = np.array_equal(np.unique(position), np.arange(len(chunk.records)))
        if not every or (np.diff(position) < 0).any():
            raise ValueError("window_record must go through all records of the chunk, in order")
        first = len(self.records["record_id"])
        for record, statements, opinions in zip(chunk.records, chunk.statements, second, strict=True):
            self._add_record(record, statements, opinions)
        self.record.extend((position + first).tolist())
        self.starts.extend(np.asarray(chunk.starts).tolist())
        self.has_missing.extend((chunk.windows == MISSING).any(axis=(1, 2)).tolist())

    def _add_record(
        self,
        record: Mapping[str, Any],
        statements: Mapping[str, int | None],
        second: Mapping[str, int | None],
    ) -> None:
        record_id, age = str(record["record_id"]), record["age"]
        if record_id in self.seen:
            raise DataError(
                f"the record {record_id!r} comes twice",
                where=record["file"],
                remedy="Give each record its own id",
            )
        if any(value not in (0, 1, None) for value in (*statements.values(), *second.values())):
            raise DataError(f"statements of {record_id!r} are not all 1, 0 or unknown", where=record["file"])
        self.seen.add(record_id)
        patient = record["patient_id"]
        row = dict(record) | {
            "record_id": record_id,
            "patient_id": f"record:{record_id}" if patient is None else str(patient),
            "age": None if age is None or np.isnan(age) else float(age),
            "flags": ";".join(record["flags"]),
        }
        for name, column in self.records.items():
            column.append(row[name])
        self.statements.append(statements)
        self.second.append(second)

    def write(self, folder: Path, rejected: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """Write the tables and return file, rows, bytes and SHA-256 of each."""
        extra = {code for statements in self.statements for code in statements} - set(self.annotated)
        codes = [*self.annotated, *sorted(extra)]
        _write_table(folder / "records.parquet", pa.table(self.records, schema=_RECORDS))
        _write_table(folder / "statements.parquet", _values(self.statements, codes))
        given = {code for opinions in self.second for code in opinions}
        opinions = [code for code in codes if code in given]
        if opinions:
            _write_table(folder / SECOND, _values(self.second, opinions))
        windows = {
            "record": pa.array(self.record, pa.int64()),
            "start": pa.array(self.starts, pa.int64()),
            "has_missing": pa.array(self.has_missing, pa.bool_()),
        }
        _write_table(folder / "windows.parquet", pa.table(windows))
        text = io.StringIO()
        rows = csv.DictWriter(
            text, ("record_id", "file", "reason"), extrasaction="ignore", lineterminator="\n"
        )
        rows.writeheader()
        rows.writerows(rejected)
        files.write_text(folder / "rejected.csv", text.getvalue())
        counts = (len(self.statements), len(self.starts), len(self.statements), len(rejected))
        entries = [_entry(folder / name, count) for name, count in zip(_TABLES, counts, strict=True)]
        return [*entries, _entry(folder / SECOND, len(self.second))] if opinions else entries


def write_duplicates(folder: Path, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Write the pairs of records of this store that are the same ECG; return the table's entry."""
    table = pa.table(
        {
            "a": pa.array([pair.a[1] for pair in pairs], pa.int64()),
            "b": pa.array([pair.b[1] for pair in pairs], pa.int64()),
            "kind": pa.array([pair.kind for pair in pairs], pa.string()),
            # Two digits: beyond them processors differ, and the same input must give the same bytes.
            "similarity": pa.array([round(pair.similarity, 2) for pair in pairs], pa.float64()),
        }
    )
    _write_table(folder / DUPLICATES, table)
    return _entry(folder / DUPLICATES, len(pairs))


def _values(rows: Sequence[Mapping[str, int | None]], codes: Sequence[str]) -> pa.Table:
    columns = {code: [row.get(code) for row in rows] for code in codes}
    return pa.table(columns, schema=pa.schema([pa.field(code, pa.int8()) for code in codes]))


def read_table(path: Path, rows: int) -> pd.DataFrame:
    """Read a Parquet table of so many rows; integers become nullable columns."""
    types = {pa.int8(): pd.Int8Dtype(), pa.int64(): pd.Int64Dtype()}
    try:
        table = pq.read_table(path).to_pandas(types_mapper=types.get)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, f"is not a readable table ({error})") from error
    if path.name == "statements.parquet" and not len(table.columns):
        return pd.DataFrame(index=pd.RangeIndex(rows))
    if len(table) != rows:
        raise damaged(path, f"has {len(table)} rows, not {rows}")
    return cast(pd.DataFrame, table)


def map_shard(path: Path, shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """Map a shard of this shape into memory."""
    try:
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise damaged(path, f"is not a readable array ({error})") from error
    if shard.shape != shape or shard.dtype != np.int16:
        raise damaged(path, f"is {shard.dtype} {shard.shape}, not int16 {shape}")
    # A plain array over the same memory: indexing numpy's memmap class costs more than copying a window.
    return np.asarray(shard)


def check_file(path: Path, entry: Mapping[str, Any], *, verify: bool) -> None:
    """Refuse a file of the store that is missing, of another size or, with ``verify``, of other content."""
    if not path.is_file():
        raise damaged(path, "is missing from the store")
    size = path.stat().st_size
    if size != entry["bytes"]:
        change = "is truncated" if size < entry["bytes"] else "has grown"
        raise damaged(path, f"{change}: {size} bytes, not {entry['bytes']}")
    if verify and files.hash_file(path) != entry["sha256"]:
        raise damaged(path, "was altered after the store was written")


def damaged(path: Path, what: str) -> DataError:
    """Return the error for a file that is no longer as the store wrote it."""
    return DataError(what, where=path, remedy="Prepare the store again from the raw files")


def _write_table(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd", compression_level=3, version="2.6", use_dictionary=True)


def _entry(path: Path, rows: int) -> dict[str, Any]:
    return {"file": path.name, "rows": rows, "bytes": path.stat().st_size, "sha256": files.hash_file(path)}
