"""What must not be learnt upstream because it is tested downstream: duplicates, and all of their patients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgtransfer.datasets import store
from ecgtransfer.datasets.overlap import overlap
from ecgtransfer.datasets.prepare import prepare
from ecgtransfer.datasets.store import Chunk, Store
from ecgtransfer.datasets.store_info import StoreDescription


def make(path: Path, rows: Sequence[tuple[str, str | None, str]], source: str) -> Store:
    """Write a store of (record id, patient, hash); the signals are noise of their own."""
    description: dict[str, Any] = {
        "name": path.name, "source": source, "title": "", "leads": ("I",), "sampling_rate": 100.0,
        "n_samples": 500, "licence": "", "citation": "", "address": "", "recipe": {},
        "tasks": {"t": [["A", ["A"]]]}, "annotated": ("A",), "official_folds": False,
        "patients_known": True, "polarity_uncertain": False,
    }  # fmt: skip
    records = [
        {
            "record_id": name, "file": name, "patient_id": patient, "age": None, "sex": None, "fold": None,
            "flags": (), "source": source, "device": None, "hash": digest, "scale_uv": 1.0,
        }
        for name, patient, digest in rows
    ]  # fmt: skip
    random = np.random.default_rng(sum(map(ord, path.name)))
    windows = random.normal(0, 100, (len(rows), 1, 500)).astype(np.int16)
    count = np.arange(len(rows))
    chunk = Chunk(windows, count, np.zeros(len(rows), dtype=int), records, [{"A": 1}] * len(rows))
    return store.write(path, StoreDescription(**description), [chunk])


def test_a_duplicate_takes_its_patient_with_it(tmp_path: Path):
    up = make(tmp_path / "up", [("u1", "p1", "same"), ("u2", "p1", "x"), ("u3", "p2", "y")], "one")
    down = make(tmp_path / "down", [("d1", "q1", "same"), ("d2", "q2", "z")], "other")
    found = overlap(up, [down])
    assert (found.record_ids, found.duplicates, found.patients) == (("u1", "u2"), 1, 1)
    assert "2 recordings of up take no part" in found.sentence("up")
    assert overlap(down, [up]).record_ids == ("d1",)


def test_patients_of_one_public_source_are_the_same_people_and_folders_are_not(tmp_path: Path):
    rows = [("u1", "p1", "a"), ("u2", "p2", "b"), ("u3", None, "c")]
    others = [("d1", "p1", "d"), ("d3", None, "e")]
    for source, expected in (("ptbxl", ("u1",)), ("folder", ())):
        up = make(tmp_path / f"{source}-up", rows, source)
        down = make(tmp_path / f"{source}-down", others, source)
        assert overlap(up, [down]).record_ids == expected
    assert "No recording" in overlap(up, [down]).sentence("up")


def test_the_challenge_holds_recordings_of_ptbxl(data: Path, tmp_path: Path):
    """17 of the Challenge's HR records are ECGs of the PTB-XL subset, some with a wrong gain."""
    prepare("ptbxl", data / "ptbxl500", tmp_path / "ptbxl.ecgs", quiet=True)
    prepare("challenge2021", data / "challenge2021", tmp_path / "challenge.ecgs", quiet=True)
    down, up = Store.open(tmp_path / "ptbxl.ecgs"), Store.open(tmp_path / "challenge.ecgs")
    found = overlap(up, [down])
    known = {f"HR{int(name):05d}" for name in down.records["record_id"]}
    expected = sorted(known & set(up.records["record_id"]))
    assert len(expected) == 17
    assert sorted(set(found.record_ids) & known) == expected
    assert found.duplicates >= 17


@pytest.mark.parametrize("count", [1, 3])
def test_several_downstream_stores(tmp_path: Path, count: int):
    up = make(tmp_path / "up", [(f"u{i}", f"p{i}", f"h{i}") for i in range(5)], "one")
    downs = [make(tmp_path / f"down{i}", [("d", "q", f"h{i}")], "other") for i in range(count)]
    assert overlap(up, downs).record_ids == tuple(f"u{i}" for i in range(count))
