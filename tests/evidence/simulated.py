"""Prediction tables with a known truth (patients x seeds x arms), sharing no code with the package."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np

from ecgtransfer.evidence import PairedRun


def paired_runs(
    rng: np.random.Generator,
    *,
    seeds: int,
    patients: int = 300,
    positives: int = 30,
    folds: int = 1,
    separation: tuple[float, float] = (1.5, 1.5),
    seed_noise: float = 0.0,
    patient_share: float = 0.7,
    targets: int = 1,
    pretrainings: int = 1,
    pretraining_noise: float = 0.0,
) -> list[PairedRun]:
    """Return runs of two arms.

    Each score is ``label * (separation + seed effect) + patient effect + residual``, all normal: the patient
    effect (variance ``patient_share``) is the same at every seed and the arm's own, the seed effect
    (standard deviation ``seed_noise``) raises or lowers all positives of one arm at one seed, and the
    residual fills the variance up to 1. With one fold all seeds test the same patients; with several, seed s
    tests fold ``s % folds``, drawn anew after every ``folds`` seeds. Every seed runs from every pre-training,
    whose effect on the first arm's positives has the standard deviation ``pretraining_noise``.
    """
    labels = np.zeros((patients, targets))
    for target in range(targets):
        labels[rng.choice(patients, positives, replace=False), target] = 1.0
    patient_effect = sqrt(patient_share) * rng.normal(size=(2, patients, targets))
    pretrained = pretraining_noise * rng.normal(size=pretrainings)
    runs = []
    for seed in range(seeds):
        if seed % folds == 0:
            fold = _stratified_folds(rng, labels[:, 0], folds)
        residual = sqrt(1.0 - patient_share) * rng.normal(size=(2, patients, targets))
        effect = seed_noise * rng.normal(size=2)
        scores = [
            labels * (separation[arm] + effect[arm]) + patient_effect[arm] + residual[arm] for arm in (0, 1)
        ]
        test = np.flatnonzero(fold == seed % folds)
        for u, shift in enumerate(pretrained):
            first = scores[0] + shift * labels
            runs.append(PairedRun(seed, u, test, labels[test], first[test], scores[1][test]))
    return runs


def true_difference(
    separation: tuple[float, float], seed_noise: float = 0.0, pretraining_noise: float = 0.0
) -> float:
    """Return the expected AUROC difference: E Phi((d + tau) / sqrt 2) = Phi(d / sqrt(2 + tau variance))."""
    variances = (2.0 + seed_noise**2 + pretraining_noise**2, 2.0 + seed_noise**2)
    values = [
        0.5 * (1.0 + erf(d / sqrt(2.0 * variance))) for d, variance in zip(separation, variances, strict=True)
    ]
    return values[0] - values[1]


def _stratified_folds(rng: np.random.Generator, labels: np.ndarray, folds: int) -> np.ndarray:
    fold = np.empty(len(labels), int)
    for value in (0.0, 1.0):
        members = rng.permutation(np.flatnonzero(labels == value))
        fold[members] = np.arange(len(members)) % folds
    return fold
