"""The store: what goes in comes out, the same input gives the same bytes, and damage is refused by name."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ecgtransfer.datasets import store
from ecgtransfer.datasets.steps import MISSING, quantise
from ecgtransfer.datasets.store import Chunk, Store
from ecgtransfer.datasets.store_files import TableWriter
from ecgtransfer.datasets.store_info import StoreDescription
from ecgtransfer.errors import ConfigError, DataError, SignalError

DESCRIPTION = StoreDescription(
    name="mine",
    source="folder",
    title="Mine",
    leads=("I", "II"),
    sampling_rate=100.0,
    n_samples=5,
    licence="none",
    citation="nobody",
    address="nowhere",
    recipe={"name": "default"},
    tasks={"all": [["AF", ["AF"]], ["any", ["AF", "XX"]]], "other": [["SR", ["SR"]]]},
    annotated=("SR", "AF"),
    official_folds=False,
    patients_known=True,
    polarity_uncertain=False,
)


def record(name: str, **changes: Any) -> dict[str, Any]:
    known = {
        "record_id": name,
        "file": f"{name}.hea",
        "patient_id": "p",
        "age": 50.0,
        "sex": "male",
        "fold": None,
    }
    return (
        known
        | {"flags": (), "source": "made", "device": None, "hash": f"hash of {name}", "scale_uv": 1.0}
        | changes
    )


def chunks(sizes: tuple[int, ...], windows_each: int = 1, start: int = 0) -> Iterator[Chunk]:
    """Records whose every sample tells its window's number; the last sample of every third is missing."""
    for size in sizes:
        number = (start + np.arange(size)).repeat(windows_each) * windows_each
        number += np.tile(np.arange(windows_each), size)
        windows = np.broadcast_to((number % 30000)[:, None, None], (len(number), 2, 5)).astype(np.int16)
        windows[number % 3 == 0, 1, 4] = MISSING
        yield Chunk(
            windows,
            np.arange(size).repeat(windows_each),
            np.tile(np.arange(windows_each) * 5, size),
            [record(f"r{start + i}", patient_id=f"p{(start + i) // 2}") for i in range(size)],
            [{"SR": (start + i) % 2, "AF": None} for i in range(size)],
        )
        start += size


@pytest.fixture
def small(tmp_path: Path) -> Store:
    return store.write(tmp_path / "small.ecgs", DESCRIPTION, chunks((3, 4), windows_each=2))


def test_records_that_share_their_statements_share_them_while_a_store_is_written():
    """A report that occurs in many of 800,000 records must not be copied for each."""
    writer, said = TableWriter(("SR", "AF")), {"SR": 1, "AF": None}
    windows = np.zeros((2, 2, 5), dtype=np.int16)
    writer.add(Chunk(windows, np.arange(2), np.zeros(2), [record("a"), record("b")], [said, said]))
    assert writer.statements[0] is writer.statements[1] is said


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.one_of(
            st.floats(-40, 40, width=32), st.just(np.float32("nan")), st.floats(-1e6, 1e6, width=32)
        ),
    )
)
def test_quantised_signals_come_back_within_half_a_step_and_are_never_clipped(signal: np.ndarray) -> None:
    steps, scale_uv = quantise(signal)
    assert steps.dtype == np.int16
    np.testing.assert_array_equal(steps == MISSING, np.isnan(signal))
    known = ~np.isnan(signal)
    error = np.abs(steps[known] * scale_uv / 1000 - signal[known].astype(np.float64))
    assert (error <= scale_uv / 1000 * 0.503).all()
    if not (np.abs(signal[known]) > 32.7).any():
        assert scale_uv == 1.0


def test_microvolts_survive_exactly_and_infinity_is_refused() -> None:
    counts = np.arange(-32700, 32701, dtype=np.int32)
    steps, scale_uv = quantise((counts / 1000).astype(np.float32)[None])
    np.testing.assert_array_equal(steps[0], counts)
    assert scale_uv == 1.0
    with pytest.raises(SignalError, match="infinite"):
        quantise(np.array([[0, np.inf]], dtype=np.float32))


def test_what_goes_in_comes_out(small: Store) -> None:
    assert (small.n_records, small.n_windows) == (7, 14)
    rows = np.array([13, 0, 5, 5])
    steps = small.read(rows)
    np.testing.assert_array_equal(steps[:, 0, 0], rows)
    np.testing.assert_array_equal(steps[:, 1, 4] == MISSING, rows % 3 == 0)
    millivolts = small.millivolts(rows)
    assert millivolts.dtype == np.float32
    np.testing.assert_allclose(millivolts, np.where(steps == MISSING, 0, steps) / 1000, rtol=1e-6)
    out = np.full((4, 2, 5), 7, dtype=np.float32)
    assert small.millivolts(rows, out) is out
    np.testing.assert_array_equal(out, millivolts)
    np.testing.assert_array_equal(small.record_of_row, np.arange(7).repeat(2))
    np.testing.assert_array_equal(small.windows["start"], np.tile([0, 5], 7))
    np.testing.assert_array_equal(small.rows_of(np.array([6, 1])), [2, 3, 12, 13])
    assert small.records["record_id"].tolist() == [f"r{i}" for i in range(7)]
    assert small.read(np.array([], dtype=int)).shape == (0, 2, 5)


def test_rows_beyond_the_store_are_no_rows(small: Store) -> None:
    for rows in ([14], [-1]):
        with pytest.raises(IndexError):
            small.millivolts(np.array(rows))
    with pytest.raises(IndexError):
        small.rows_of(np.array([7]))


def test_a_record_has_its_own_scale(tmp_path: Path) -> None:
    signal = np.array([[100.0, -50, 0, 1, np.nan], [0, 0, 0, 0, 0]], dtype=np.float32)
    steps, scale_uv = quantise(signal)
    chunk = Chunk(steps[None], np.array([0]), np.array([0]), [record("loud", scale_uv=scale_uv)], [{}])
    written = store.write(tmp_path / "s.ecgs", DESCRIPTION, [*chunks((2,)), chunk])
    assert scale_uv > 1
    np.testing.assert_allclose(
        written.millivolts(np.array([2]))[0], np.nan_to_num(signal), atol=scale_uv / 1000
    )
    assert written.millivolts(np.array([1]))[0, 0, 0] == np.float32(0.001)


def test_columns_and_their_types(tmp_path: Path) -> None:
    chunk = Chunk(
        np.zeros((2, 2, 5), np.int16),
        np.arange(2),
        np.zeros(2, int),
        [
            record("a", patient_id=None, age=None, sex=None, flags=("noisy", "short")),
            record("b", age=float("nan"), fold=3),
        ],
        [{"ZZ": 1, "AF": 0, "BB": None}, {"SR": 1}],
    )
    written = store.write(tmp_path / "s.ecgs", DESCRIPTION, [chunk])
    assert list(written.statements.columns) == ["SR", "AF", "BB", "ZZ"]  # annotated first, then others sorted
    assert {str(dtype) for dtype in written.statements.dtypes} == {"Int8"}
    assert written.statements["AF"].tolist() == [0, pd.NA]
    records = written.records
    assert records["patient_id"].tolist() == ["record:a", "p"]
    assert records["age"].isna().all()
    assert records["sex"].isna().tolist() == [True, False]
    assert records["flags"].tolist() == ["noisy;short", ""]
    assert records["fold"].tolist() == [pd.NA, 3]
    assert isinstance(records.index, pd.RangeIndex)


def test_tasks_and_labels(small: Store) -> None:
    np.testing.assert_array_equal(small.labels(small.task("other"))[:, 0], [0, 1, 0, 1, 0, 1, 0])
    assert np.isnan(small.labels(small.task("all"))).all()
    with pytest.raises(ConfigError, match="Did you mean other"):
        small.task("othre")


def test_same_input_same_bytes_however_it_is_cut(tmp_path: Path) -> None:
    one = store.write(tmp_path / "one.ecgs", DESCRIPTION, chunks((3000, 1, 2200)))
    two = store.write(tmp_path / "deep" / "two.ecgs", DESCRIPTION, chunks((5201,)))
    names = sorted(path.name for path in one.path.iterdir())
    assert names == sorted(path.name for path in two.path.iterdir())
    assert "signals-00001.npy" in names  # more than one shard
    for name in names:
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes(), name
    rows = np.array([0, 4095, 4096, 5200])
    np.testing.assert_array_equal(one.read(rows)[:, 0, 0], rows)
    shape = np.load(one.path / "signals-00001.npy").shape
    assert shape == (5201 - 4096, 2, 5)


def test_the_fingerprint_follows_the_content_not_the_path(tmp_path: Path, small: Store) -> None:
    shutil.copytree(small.path, tmp_path / "copy.ecgs")
    assert Store.open(tmp_path / "copy.ecgs").fingerprint == small.fingerprint
    prints = {small.fingerprint}
    for number, changed in enumerate(
        (
            dataclasses.replace(DESCRIPTION, sampling_rate=200.0),
            dataclasses.replace(DESCRIPTION, tasks={}),
            dataclasses.replace(DESCRIPTION, recipe={"name": "raw"}),
        )
    ):
        prints.add(store.write(tmp_path / f"{number}", changed, chunks((3, 4), windows_each=2)).fingerprint)
    prints.add(store.write(tmp_path / "rows", DESCRIPTION, chunks((3, 4), 2, start=1)).fingerprint)
    assert len(prints) == 5
    renamed = dataclasses.replace(DESCRIPTION, title="Another title")
    again = store.write(tmp_path / "renamed", renamed, chunks((3, 4), windows_each=2))
    assert again.fingerprint == small.fingerprint


FILES = ("signals-00000.npy", "records.parquet", "windows.parquet", "statements.parquet", "rejected.csv")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused_by_name(small: Store, name: str) -> None:
    file = small.path / name
    file.write_bytes(file.read_bytes()[:-3])
    for verify in (True, False):
        with pytest.raises(DataError, match=rf"{name}.*truncated"):
            Store.open(small.path, verify=verify)


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_refused_by_name(small: Store, name: str) -> None:
    file = small.path / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}.*altered"):
        Store.open(small.path)


def test_a_missing_shard_is_refused_by_name(small: Store) -> None:
    (small.path / "signals-00000.npy").unlink()
    with pytest.raises(DataError, match=r"signals-00000\.npy.*missing"):
        Store.open(small.path)


def test_a_folder_without_dataset_json_is_no_store(small: Store, tmp_path: Path) -> None:
    (small.path / "dataset.json").unlink()
    for path in (small.path, tmp_path):
        with pytest.raises(DataError, match="is not a store"):
            Store.open(path)
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        Store.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "format version 99"),
        ({"format": "something"}, "another program"),
        ({"leads": ["II", "I"]}, "altered"),
        ({"tasks": {}}, "altered"),
        ({"shards": [{}]}, "altered"),
        ({"colour": "red"}, "missing or unknown keys"),
        ({"n_windows": 13}, r"windows\.parquet.*14 rows, not 13"),
    ],
)
def test_an_altered_description_is_refused(small: Store, change: dict[str, Any], message: str) -> None:
    file = small.path / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=message):
        Store.open(small.path)
    file.write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        Store.open(small.path)


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def breaking() -> Iterator[Chunk]:
        yield from chunks((3,))
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        store.write(tmp_path / "s.ecgs", DESCRIPTION, breaking())
    assert not list(tmp_path.iterdir())


def test_contradictions_are_refused(tmp_path: Path) -> None:
    good = next(chunks((3,)))
    with pytest.raises(DataError, match="'r0' comes twice"):
        store.write(tmp_path / "s", DESCRIPTION, [good, good])
    with pytest.raises(DataError, match="not all 1, 0 or unknown"):
        store.write(tmp_path / "s", DESCRIPTION, [dataclasses.replace(good, statements=[{"AF": 2}] * 3)])
    with pytest.raises(ValueError, match="all records"):
        store.write(
            tmp_path / "s", DESCRIPTION, [dataclasses.replace(good, window_record=np.array([0, 0, 1]))]
        )
    with pytest.raises(ValueError, match="windows are"):
        store.write(tmp_path / "s", DESCRIPTION, [dataclasses.replace(good, windows=good.windows[:, :1])])
    rejected = [{"record_id": "x", "file": "x.hea", "reason": "is empty"}]
    with pytest.raises(DataError, match=r"not one record is left, 1 were rejected.*is empty"):
        store.write(tmp_path / "s", DESCRIPTION, [], rejected)
    assert not list(tmp_path.iterdir())
    store.write(tmp_path / "s", DESCRIPTION, [good])
    with pytest.raises(DataError, match="already exists"):
        store.write(tmp_path / "s", DESCRIPTION, [good])


def test_rejected_records_are_listed(tmp_path: Path) -> None:
    rejected = [{"record_id": "x", "file": "x.hea", "reason": "two, reasons"}]
    written = store.write(tmp_path / "s", DESCRIPTION, chunks((2,)), rejected)
    assert written.info.n_rejected == 1
    assert pd.read_csv(written.path / "rejected.csv").to_dict("records") == rejected


def test_a_store_may_have_no_statement_at_all(tmp_path: Path) -> None:
    bare = dataclasses.replace(DESCRIPTION, annotated=())
    chunk = dataclasses.replace(next(chunks((3,))), statements=[{}] * 3)
    written = store.write(tmp_path / "s", bare, [chunk])
    assert written.statements.shape == (3, 0)
    assert np.isnan(Store.open(written.path).labels(written.task("all"))).all()
