"""Splits: no patient on two sides, every label counted, every record tested once in five seeds."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecgtransfer.datasets import store
from ecgtransfer.datasets.splits import Split, folds, split, subset, support_in_tests
from ecgtransfer.datasets.store import Chunk, Store
from ecgtransfer.datasets.store_info import StoreDescription
from ecgtransfer.errors import ConfigError, DataError


def make_store(
    path: Path,
    patients: Sequence[str | None],
    labels: np.ndarray,
    fold: Sequence[int | None] | None = None,
    hashes: Sequence[str] | None = None,
    **changes: Any,
) -> Store:
    """Write a store whose task "t" has exactly these labels (NaN unknown); signals are all zero."""
    codes = tuple(f"S{column}" for column in range(labels.shape[1]))
    known: dict[str, Any] = {
        "name": "s",
        "source": "folder",
        "title": "",
        "leads": ("I",),
        "sampling_rate": 100.0,
        "n_samples": 2,
        "licence": "",
        "citation": "",
        "address": "",
        "recipe": {},
        "tasks": {"t": [[code, [code]] for code in codes]},
        "annotated": codes,
        "official_folds": False,
        "patients_known": True,
        "polarity_uncertain": False,
    }
    count = len(patients)
    records = [
        {"record_id": str(i), "file": f"{i}.hea", "patient_id": patients[i], "age": None, "sex": None}
        | {
            "fold": fold[i] if fold else None,
            "flags": (),
            "source": "made",
            "device": None,
            "hash": hashes[i] if hashes else f"hash of {i}",
            "scale_uv": 1.0,
        }
        for i in range(count)
    ]
    statements = [
        {code: None if np.isnan(value) else int(value) for code, value in zip(codes, row, strict=True)}
        for row in labels
    ]
    windows = np.zeros((count, 1, 2), dtype=np.int16)
    chunk = Chunk(windows, np.arange(count), np.zeros(count, dtype=int), records, statements)
    return store.write(path, StoreDescription(**known | changes), [chunk])


def random_store(path: Path, seed: int, n_patients: int = 80, n_targets: int = 3) -> Store:
    """Build a store of patients with one to four records, targets from rare to common, a tenth unknown."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 5, n_patients))
    labels = (rng.random((len(patients), n_targets)) < np.linspace(0.05, 0.6, n_targets)).astype(float)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    labels[rng.random(len(labels)) < 0.05] = np.nan
    return make_store(path, [f"p{patient}" for patient in patients], labels)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return random_store(tmp_path_factory.mktemp("splits") / "s.ecgs", 0)


def patients_of(opened: Store, positions: np.ndarray) -> set[str]:
    return set(opened.records["patient_id"].iloc[positions])


label_arrays = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None)
@given(label_arrays, st.integers(0, 30), st.integers(0, 5))
def test_no_patient_is_on_two_sides(made_from: int, seed: int, study_seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        opened = random_store(Path(folder) / "s.ecgs", made_from)
        task = opened.task("t")
        parts = split(opened, task, study_seed=study_seed, seed=seed)
        assert not patients_of(opened, parts.pool) & patients_of(opened, parts.test)
        labelled = np.flatnonzero(~np.isnan(opened.labels(task)).all(axis=1))
        np.testing.assert_array_equal(np.sort(np.concatenate([parts.pool, parts.test])), labelled)
        assert parts.unlabelled == opened.n_records - len(labelled)
        chosen = subset(opened, task, parts.pool, 40, study_seed=study_seed, seed=seed)
        sides = [patients_of(opened, part) for part in (chosen.train, chosen.validation, parts.test)]
        for one, other in combinations(sides, 2):
            assert not one & other


def twins(count: int, pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Return hashes that make these pairs of records the same recording."""
    hashes = [f"hash of {i}" for i in range(count)]
    for a, b in pairs:
        hashes[b] = hashes[a]
    return hashes


def test_duplicates_and_all_records_of_their_patients_share_a_side(tmp_path: Path) -> None:
    """r0 and r50 are the same ECG under two patients, each of whom has another record; so are r10 and r60."""
    patients = [f"p{i // 2}" for i in range(100)]
    labels = (np.random.default_rng(3).random((100, 2)) < 0.4).astype(float)
    pairs = [(0, 50), (10, 60)]
    opened = make_store(tmp_path / "s", patients, labels, hashes=twins(100, pairs))
    assert opened.duplicates[["a", "b"]].to_numpy().tolist() == [list(pair) for pair in pairs]
    assert opened.duplicates["kind"].tolist() == ["exact", "exact"]
    together = [{0, 1, 50, 51}, {10, 11, 60, 61}]
    for seed in range(10):
        parts = split(opened, opened.task("t"), study_seed=0, seed=seed)
        assert "2 pairs of duplicates" in parts.how
        chosen = subset(opened, opened.task("t"), parts.pool, None, study_seed=0, seed=seed)
        for side in (chosen.train, chosen.validation, parts.test):
            for group in together:
                assert len(group & set(side.tolist())) in (0, 4)


def test_official_folds_keep_the_tested_duplicate_and_lose_the_other(tmp_path: Path) -> None:
    fold = [1 + i % 10 for i in range(60)]
    labels = (np.random.default_rng(3).random((60, 2)) < 0.4).astype(float)
    patients = [f"p{i}" for i in range(60)]
    patients[1] = "p0"  # a second record of the patient whose ECG is tested under another name
    opened = make_store(
        tmp_path / "s", patients, labels, fold, hashes=twins(60, [(0, 9)]), official_folds=True
    )
    parts = split(opened, opened.task("t"), study_seed=0, seed=0)
    assert 9 in parts.test
    assert not {0, 1} & set(parts.pool.tolist())
    assert "2 records were left out of the pool" in parts.how
    assert len(parts.pool) == 60 - 6 - 2


def test_the_store_says_what_the_search_for_duplicates_could_not_compare(tmp_path: Path) -> None:
    """Windows of two samples have no beats: what splits rely on there is equality alone."""
    opened = make_store(tmp_path / "s", ["a", "b", "c"], np.ones((3, 1)))
    [note] = [note for note in opened.info.notes if note.startswith("duplicates: ")]
    assert "only equal recordings were looked for" in note


def test_excluded_records_take_no_part(example: Store) -> None:
    task = example.task("t")
    whole = split(example, task, study_seed=0, seed=0)
    away = [*whole.pool[:3].tolist(), *whole.test[:2].tolist()]
    ids = [str(example.records["record_id"].iloc[i]) for i in away]
    parts = split(example, task, study_seed=0, seed=0, excluded=ids)
    assert not set(away) & {*parts.pool.tolist(), *parts.test.tolist()}
    assert len(parts.pool) + len(parts.test) == len(whole.pool) + len(whole.test) - 5
    assert parts.unlabelled == whole.unlabelled
    assert "5 records excluded" in parts.how


def test_five_seeds_test_every_labelled_record_once(example: Store) -> None:
    task = example.task("t")
    labelled = np.flatnonzero(~np.isnan(example.labels(task)).all(axis=1))
    for first in (0, 5):
        tested = [split(example, task, study_seed=1, seed=first + s).test for s in range(5)]
        np.testing.assert_array_equal(np.sort(np.concatenate(tested)), labelled)


def test_every_five_seeds_have_a_partition_of_their_own(example: Store) -> None:
    task = example.task("t")
    tests = {split(example, task, study_seed=1, seed=seed).test.tobytes() for seed in range(15)}
    assert len(tests) == 15
    other = split(example, task, study_seed=2, seed=0)
    assert other.test.tobytes() not in tests
    again = split(example, task, study_seed=2, seed=0)
    np.testing.assert_array_equal(other.test, again.test)


def test_ten_positive_patients_give_two_to_each_fold(tmp_path: Path) -> None:
    labels = np.zeros((200, 1))
    labels[np.random.default_rng(1).choice(200, 10, replace=False)] = 1
    opened = make_store(tmp_path / "s", [f"p{i}" for i in range(200)], labels)
    counts = support_in_tests(opened, opened.task("t"), 3, range(10)).records
    assert counts.shape == (10, 1, 2)
    np.testing.assert_array_equal(counts[:, 0, 0], 2)
    np.testing.assert_array_equal(counts[:, 0, 1], 38)


def test_counts_per_fold_leave_out_the_unknown(example: Store) -> None:
    task = example.task("t")
    counts = support_in_tests(example, task, 1, range(5)).records
    labels = example.labels(task)
    np.testing.assert_array_equal(counts[..., 0].sum(axis=0), (labels == 1).sum(axis=0))
    np.testing.assert_array_equal(counts[..., 1].sum(axis=0), (labels == 0).sum(axis=0))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(5, 120),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(2, 5),
)
def test_folds_keep_groups_together_and_sizes_alike(
    made_from: int, n_groups: int, largest: int, n_targets: int, k: int
) -> None:
    rng = np.random.default_rng(made_from)
    groups = rng.permutation(np.repeat(np.arange(n_groups), rng.integers(1, largest + 1, n_groups)))
    labels = (rng.random((len(groups), n_targets)) < rng.random(n_targets)).astype(float)
    labels[rng.random(labels.shape) < 0.2] = np.nan
    fold = folds(labels, groups, k, np.random.default_rng(1))
    np.testing.assert_array_equal(fold, folds(labels, groups, k, np.random.default_rng(1)))
    for group in range(n_groups):
        assert len(set(fold[groups == group])) == 1
    sizes = np.bincount(fold, minlength=k)
    assert sizes.min() > 0
    assert sizes.max() - sizes.min() <= largest


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_single_records_are_stratified_to_within_two(made_from: int) -> None:
    rng = np.random.default_rng(made_from)
    labels = (rng.random((200, 5)) < [0.04, 0.08, 0.2, 0.4, 0.7]).astype(float)
    fold = folds(labels, np.arange(200), 5, rng)
    counts = np.array([(labels[fold == f] == 1).sum(axis=0) for f in range(5)])
    assert (np.abs(counts - counts.mean(axis=0)) <= [1, 1.5, 2.5, 3, 3]).all()


def test_stratified_folds_are_better_than_chance(example: Store) -> None:
    labels = example.labels(example.task("t"))
    known = ~np.isnan(labels).all(axis=1)
    groups = example.records["patient_id"].to_numpy(dtype=str)[known]
    rng = np.random.default_rng(0)

    def spread(fold: np.ndarray) -> float:
        return float(np.std([(labels[known][fold == f] == 1).sum(axis=0) for f in range(5)], axis=0).sum())

    stratified = spread(folds(labels[known], groups, 5, rng))
    _, number = np.unique(groups, return_inverse=True)
    chance = np.mean([spread(rng.integers(0, 5, number.max() + 1)[number]) for _ in range(50)])
    assert stratified < chance / 3


def test_too_few_patients_for_the_folds(tmp_path: Path) -> None:
    opened = make_store(tmp_path / "s", ["a", "b", "c", "d"] * 10, np.ones((40, 1)))
    with pytest.raises(DataError, match="4 patients"):
        split(opened, opened.task("t"), study_seed=1, seed=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10), st.integers(10, 140), st.integers(10, 140))
def test_subsets_are_exact_and_nested(example: Store, seed: int, one: int, other: int) -> None:
    task = example.task("t")
    pool = split(example, task, study_seed=1, seed=seed).pool
    assume(max(one, other) <= len(pool))
    drawn = {}
    for n in (one, other):
        chosen = subset(example, task, pool, n, study_seed=1, seed=seed)
        positions = np.concatenate([chosen.train, chosen.validation])
        assert len(positions) == len(set(positions)) == n
        assert set(positions) <= set(pool)
        for part in (chosen.train, chosen.validation):
            np.testing.assert_array_equal(part, np.sort(part))
        assert abs(len(chosen.validation) - n / 5) <= 2
        assert len(chosen.validation) >= 2
        drawn[n] = set(positions)
    assert drawn[min(one, other)] <= drawn[max(one, other)]


def test_subsets_differ_between_seeds_and_the_whole_pool_is_one(example: Store) -> None:
    task = example.task("t")
    pool = split(example, task, study_seed=1, seed=0).pool

    def drawn(n: int | None, study_seed: int, seed: int) -> tuple[bytes, bytes]:
        chosen = subset(example, task, pool, n, study_seed=study_seed, seed=seed)
        return chosen.train.tobytes(), chosen.validation.tobytes()

    assert len({drawn(40, study, seed) for study in (1, 2) for seed in (0, 1, 2)}) == 6
    assert drawn(None, 1, 0) == drawn(len(pool), 1, 0)
    chosen = subset(example, task, pool[::-1], None, study_seed=1, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate([chosen.train, chosen.validation])), pool)


@pytest.mark.parametrize("n", [9, 0, -1, 100_000])
def test_impossible_sizes_are_refused(example: Store, n: int) -> None:
    task = example.task("t")
    pool = split(example, task, study_seed=1, seed=0).pool
    with pytest.raises(ConfigError, match=f"n = {n} .*pool of {len(pool)}"):
        subset(example, task, pool, n, study_seed=1, seed=0)


def test_rare_classes_leave_something_to_validate_on(tmp_path: Path) -> None:
    labels = np.eye(5).repeat(2, axis=0)  # every label twice in ten records: each alone would go to training
    opened = make_store(tmp_path / "s", [f"p{i}" for i in range(10)], labels)
    chosen = subset(opened, opened.task("t"), np.arange(10), 10, study_seed=1, seed=0)
    assert (len(chosen.train), len(chosen.validation)) == (8, 2)


def test_large_patients_are_kept_whole(tmp_path: Path) -> None:
    opened = make_store(tmp_path / "s", ["a"] * 6 + ["b"] * 6, np.ones((12, 1)))
    chosen = subset(opened, opened.task("t"), np.arange(12), 12, study_seed=1, seed=0)
    assert (len(chosen.train), len(chosen.validation)) == (6, 6)
    one = make_store(tmp_path / "one", ["a"] * 12, np.ones((12, 1)))
    with pytest.raises(DataError, match="one patient"):
        subset(one, one.task("t"), np.arange(12), 12, study_seed=1, seed=0)


def official(path: Path, patients: list[str | None], fold: list[int | None]) -> Split:
    opened = make_store(path, patients, np.ones((len(fold), 1)), fold, official_folds=True)
    parts = [split(opened, opened.task("t"), study_seed=1, seed=seed) for seed in (0, 1)]
    np.testing.assert_array_equal(parts[0].test, parts[1].test)
    return parts[0]


def test_official_folds_are_used_where_the_source_is_complete(tmp_path: Path) -> None:
    fold: list[int | None] = [1, 10, 3, 10, 9, 2]
    parts = official(tmp_path / "s", list("abcdef"), fold)
    np.testing.assert_array_equal(parts.test, [1, 3])
    np.testing.assert_array_equal(parts.pool, [0, 2, 4, 5])
    assert "official" in parts.how


@pytest.mark.parametrize(
    ("patients", "fold", "message"),
    [
        (list("abca"), [1, 2, 3, 10], "1 patients on both sides"),
        (list("abcd"), [1, 2, 3, 4], "0 labelled records to test"),
        (list("abcd"), [1, 2, None, 10], "1 records have no official fold"),
    ],
)
def test_official_folds_that_contradict_themselves_are_refused(
    tmp_path: Path, patients: list[str | None], fold: list[int | None], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        official(tmp_path / "s", patients, fold)


def test_official_folds_of_an_incomplete_source_are_not_used(tmp_path: Path) -> None:
    opened = make_store(tmp_path / "s", list("abcdefghij"), np.ones((10, 1)), [10] * 10)
    assert len(split(opened, opened.task("t"), study_seed=1, seed=0).test) == 2


def test_a_large_store_has_one_test_part_for_all_seeds(tmp_path: Path) -> None:
    labels = (np.random.default_rng(0).random((5000, 2)) < 0.3).astype(float)
    opened = make_store(tmp_path / "s", [None] * 5000, labels, patients_known=False)
    parts = [split(opened, opened.task("t"), study_seed=1, seed=seed) for seed in (0, 3, 7)]
    for part in parts[1:]:
        np.testing.assert_array_equal(part.test, parts[0].test)
    assert len(parts[0].test) == 1000
    assert "cannot be verified" in parts[0].how


def test_records_of_known_patients_stay_together_even_if_others_are_unknown(tmp_path: Path) -> None:
    patients = ["a"] * 4 + [None] * 20
    opened = make_store(tmp_path / "s", patients, np.ones((24, 1)), patients_known=False)
    for seed in range(5):
        test = split(opened, opened.task("t"), study_seed=1, seed=seed).test
        assert len(set(test) & {0, 1, 2, 3}) in (0, 4)
