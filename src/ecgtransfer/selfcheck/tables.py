"""Simulated prediction tables whose true difference is known in closed form. Nothing is trained.

This is the other side of the check: it imports nothing of `evidence`, not even its names.

A record's score for a target is ::

    present and visible: separation of the arm + seed effect + pre-training effect      else: 0
    + patient effect (the same at every seed; partly common to both arms) + residual (new at every seed)

Patient effect and residual are normal with variances that add up to one, so an arm's expected AUROC over
patients, seeds and pre-trainings is (1 - h) Φ(separation / sqrt(2 + v)) + h / 2, with v the variance of the
effects of seed and pre-training and h the share of positives that nobody can see: they look like negatives to
both arms, which gives the long tails that real tables have. Separations follow from the AUROCs asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Design:
    """How a simulated comparison is laid out, and what is true of it.

    Attributes
    ----------
    patients : int
    positives : tuple of int
        Patients with each target.
    seeds : int
    folds : int
        Seed s tests fold s modulo ``folds``, divided anew after every ``folds`` seeds; 1: all seeds test all.
    auroc : float
        Expected AUROC of arm b, the same for every target.
    difference : float
        Expected AUROC of arm a less that of arm b.
    persistent : float
        The patient effect's share in a score's variance.
    common : float
        The share of the patient effect that is the same in both arms. 1 without interaction of patient and
        arm: two runs of one procedure.
    seed_noise : float
        Standard deviation of an arm's separation between seeds, drawn for each target.
    pretrainings : int
        Each crossed with all seeds; arm b does not know them.
    pretraining_noise, joint_noise : float
        Standard deviation of arm a's separation between pre-trainings, and between runs beyond both.
    hidden : float
        Share of positives that look like negatives.
    twice : float
        Share of patients with two records.
    """

    patients: int = 400
    positives: tuple[int, ...] = (40, 80, 140)
    seeds: int = 10
    folds: int = 1
    auroc: float = 0.85
    difference: float = 0.0
    persistent: float = 0.6
    common: float = 0.5
    seed_noise: float = 0.1
    pretrainings: int = 1
    pretraining_noise: float = 0.0
    joint_noise: float = 0.0
    hidden: float = 0.05
    twice: float = 0.0


class Predictions(NamedTuple):
    """One run's test predictions; arrays [records] and [records, targets]."""

    seed: int
    pretraining: int
    patient: NDArray[np.int64]
    labels: Floats
    scores_a: Floats
    scores_b: Floats


def predictions(design: Design, random: np.random.Generator) -> list[Predictions]:
    """Draw one table: patients, their folds, and every run's scores."""
    patients, targets = design.patients, len(design.positives)
    labels = np.zeros((patients, targets))
    for target, count in enumerate(design.positives):
        labels[random.permutation(patients)[:count], target] = 1.0
    visible = labels * (random.random(labels.shape) >= design.hidden)
    patient = np.repeat(np.arange(patients), 1 + (random.random(patients) < design.twice))
    both, own = random.normal(size=labels.shape), random.normal(size=(2, *labels.shape))
    effect = np.sqrt(design.persistent) * (np.sqrt(design.common) * both + np.sqrt(1.0 - design.common) * own)
    pretraining = design.pretraining_noise * random.normal(size=(design.pretrainings, targets))
    separation_a, separation_b = separations(design)

    def scores(arm: int, separation: Floats, rows: NDArray[np.int64]) -> Floats:
        residual = np.sqrt(1.0 - design.persistent) * random.normal(size=(len(rows), targets))
        return np.asarray(visible[rows] * separation + effect[arm][rows] + residual)

    runs = []
    fold = np.zeros(patients, np.int64)
    for seed in range(design.seeds):
        if design.folds > 1 and seed % design.folds == 0:
            fold = _folds(labels, design.folds, random)
        rows = patient[fold[patient] == seed % design.folds]
        noise = design.seed_noise * random.normal(size=(2, targets))
        against = scores(1, separation_b + noise[1], rows)
        for u in range(design.pretrainings):
            joint = design.joint_noise * random.normal(size=targets)
            arm = scores(0, separation_a + noise[0] + pretraining[u] + joint, rows)
            runs.append(Predictions(seed, u, rows, labels[rows], arm, against))
    return runs


def separations(design: Design) -> tuple[float, float]:
    """Return the separation of each arm that has the AUROC asked for, as the top of this file says."""
    common = 2.0 + design.seed_noise**2
    of_a = common + design.pretraining_noise**2 + design.joint_noise**2
    return (
        of_a**0.5 * _separation(design.auroc + design.difference, design.hidden),
        common**0.5 * _separation(design.auroc, design.hidden),
    )


def training_noise(design: Design) -> float:
    """Return the standard deviation that training noise gives one seed's macro difference, to first order."""
    separation, variance = separations(design)[1], 2.0 + design.seed_noise**2
    slope = (1.0 - design.hidden) * _NORMAL.pdf(separation / variance**0.5) / variance**0.5
    return float(slope * design.seed_noise * (2.0 / len(design.positives)) ** 0.5)


def _separation(auroc: float, hidden: float) -> float:
    return _NORMAL.inv_cdf((auroc - hidden / 2.0) / (1.0 - hidden))


def _folds(labels: Floats, folds: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Divide the patients so that each pattern of labels is spread evenly, the rarest target first."""
    # Sorted by their labels, patients are dealt out like cards; each round of a deal goes in random order.
    order = np.lexsort((random.random(len(labels)), *labels.T[np.argsort(-labels.sum(axis=0))]))
    rounds = -(-len(labels) // folds)
    dealt = np.concatenate([random.permutation(folds) for _ in range(rounds)])[: len(labels)]
    fold = np.empty(len(labels), np.int64)
    fold[order] = dealt
    return fold
