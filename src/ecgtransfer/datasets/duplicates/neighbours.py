"""Neighbours: which vectors lie close together, among very many, without comparing all with all.

The vectors are divided into cells, each around a vector drawn at random, and every vector belongs to its two
nearest cells. Within a cell all are compared, by matrix products. Cells follow the density, so a crowd of
similar vectors is cut into many cells, and the work is bounded whatever the vectors are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from ecgtransfer.datasets.duplicates.recordings import Floats, Ints, Mask

CELL = 512
"""Vectors per cell that are aimed at."""
LARGEST = 4096
"""A cell with more vectors is cut: more are all but equal, and are told apart by nothing here."""
NEAREST = 24
"""How many neighbours of a vector are kept."""

_BLOCK = 8192
_DEPTH = 3


def close_pairs(
    vectors: Floats,
    radius: float,
    may_pair: Callable[[Ints, Ints], Mask],
    *,
    near: float = 0.0,
    threads: int = 1,
) -> tuple[Ints, Ints, Floats, Ints]:
    """Return pairs of vectors that are at most ``radius`` apart.

    Parameters
    ----------
    vectors : float32 array [vectors, numbers]
    radius, near : float
        Greatest distance, and the one within which no neighbour may be missed without a word.
    may_pair : callable
        Two arrays of positions → whether each pair of these counts.
    threads : int
        At work at once; the result does not depend on it.

    Returns
    -------
    first, second : int arrays [pairs]
        Positions; ``first < second``, sorted, each pair once.
    distance : float32 array [pairs]
    crowded : int array
        Positions of vectors with more than `NEAREST` neighbours, of which the nearest were kept, where even
        these are within ``near``, and of those in a cell that was cut.
    """
    half = 0.5 * np.einsum("ij,ij->i", vectors, vectors)[:, None]
    one = np.ones_like(half)
    # left @ right.T is minus half the squared distance: one matrix product says all.
    left, right = np.hstack([vectors, -half, one]), np.hstack([vectors, one, -half])
    keys, distances, crowded = [], [], []
    look = partial(
        _within, left=left, right=right, least=-0.5 * radius**2, near=-0.5 * near**2, may_pair=may_pair
    )
    # By direction: the short ones among projected vectors would be everybody's nearest.
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    cells = list(_cells(directions, np.arange(len(vectors))))
    members = [members for members, _ in cells]
    with ThreadPoolExecutor(threads) as pool:
        looked = list(map(look, members)) if threads == 1 else list(pool.map(look, members))
    for (cell, cut), (first, second, score, many) in zip(cells, looked, strict=True):
        keys.append(first * len(vectors) + second)
        distances.append(score)
        crowded += [many, cell] if cut else [many]
    if not keys:
        empty = np.empty(0, np.int64)
        return empty, empty, np.empty(0, np.float32), empty
    key, index = np.unique(np.concatenate(keys), return_index=True)
    score = np.concatenate(distances)[index]
    found = np.sqrt(np.maximum(0, -2 * score)).astype(np.float32)
    return key // len(vectors), key % len(vectors), found, np.unique(np.concatenate(crowded))


def _cells(directions: Floats, members: Ints, depth: int = 0) -> Iterator[tuple[Ints, bool]]:
    """Yield the members of each cell, ascending, and whether they are a part of a cell that was too large."""
    if len(members) <= (4 * CELL if depth == 0 else LARGEST):
        yield members, False
        return
    if depth == _DEPTH:
        for part in np.array_split(members, -(-len(members) // LARGEST)):
            yield part, True
        return
    n_cells = -(-len(members) // CELL)
    rng = np.random.default_rng(depth)
    centres = directions[np.sort(rng.choice(members, n_cells, replace=False))]
    cell = np.empty((len(members), 2), dtype=np.int64)
    for start in range(0, len(members), _BLOCK):
        score = directions[members[start : start + _BLOCK]] @ centres.T
        rows = np.arange(len(score))
        for which in range(2):
            cell[start : start + _BLOCK, which] = best = score.argmax(axis=1)
            score[rows, best] = -np.inf
    flat = cell.reshape(-1)
    order = np.argsort(flat, kind="stable")
    bounds = np.searchsorted(flat[order], np.arange(n_cells + 1))
    for begin, end in itertools.pairwise(bounds):
        yield from _cells(directions, members[order[begin:end] // 2], depth + 1)


def _within(
    members: Ints,
    left: Floats,
    right: Floats,
    least: float,
    near: float,
    may_pair: Callable[[Ints, Ints], Mask],
) -> tuple[Ints, Ints, Floats, Ints]:
    """Return the close pairs of a cell, and the members that have more than are kept."""
    if not len(members):
        nobody = np.empty(0, np.int64)
        return nobody, nobody, np.empty(0, left.dtype), nobody
    others = right[members]
    first, second, scores, crowded = [], [], [], []
    for start in range(0, len(members), 1024):
        block = members[start : start + 1024]
        score = left[block] @ others.T
        row, column = np.nonzero(score >= least)
        fine = may_pair(block[row], members[column])
        row, column = row[fine], column[fine]
        many = np.bincount(row, minlength=len(block)) > NEAREST
        if many.any():
            row, column = row[~many[row]], column[~many[row]]
            rows = np.flatnonzero(many)
            allowed = may_pair(np.repeat(block[rows], len(members)), np.tile(members, len(rows)))
            ranked = np.where(allowed.reshape(len(rows), -1), score[rows], -np.inf)
            nearest = np.argpartition(-ranked, NEAREST, axis=1)[:, :NEAREST]
            crowded.append(block[rows[np.take_along_axis(ranked, nearest, axis=1).min(axis=1) >= near]])
            row = np.concatenate([row, np.repeat(rows, NEAREST)])
            column = np.concatenate([column, nearest.reshape(-1)])
        first.append(block[row])
        second.append(members[column])
        scores.append(score[row, column])
    one, other = np.concatenate(first), np.concatenate(second)
    many_of_them = np.concatenate(crowded) if crowded else np.empty(0, np.int64)
    return np.minimum(one, other), np.maximum(one, other), np.concatenate(scores), many_of_them
