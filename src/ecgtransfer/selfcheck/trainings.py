"""Small real trainings with a truth by brute force: 20 numbers per patient, one hidden layer, two starts.

An experiment is what a study is, in small: a related upstream task gives a network its weights; downstream a
pool of patients is trained on, by every seed with another random part of it, once from those weights and
once from random ones; one test part is predicted by all. The truth is the mean difference in AUROC over many
more seeds of the same experiment, on many thousands of further patients: conditional on pool and upstream
weights, as the interval is.

Like `tables` this imports nothing of `evidence`. All trainings of an experiment run side by side in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEATURES, HIDDEN = 20, 8
POOL, TEST, FURTHER = 300, 250, 20_000
SEEDS, MORE_SEEDS = 10, 60
# Few updates downstream, so that it matters where a network starts.
UPSTREAM_UPDATES, UPDATES, RATE, DECAY = 200, 50, 0.01, 1e-3


class Experiment(NamedTuple):
    """One experiment's test part and its truth.

    Attributes
    ----------
    labels : array [TEST]
    scores_a, scores_b : array [SEEDS, TEST]
        From the upstream weights, and from random ones.
    truth : float
        Mean difference in AUROC over all seeds of the experiment on further patients.
    trainings : int
    """

    labels: Floats
    scores_a: Floats
    scores_b: Floats
    truth: float
    trainings: int


def experiment(random: np.random.Generator) -> Experiment:
    """Run one experiment."""
    task = _Task.draw(random)
    labels = int(random.choice([30, 60, 120]))
    upstream = _Networks.start(random, 1)
    x, y = _Task.related(task, random).patients(2000, random)
    upstream.fit(x[None], y[None], UPSTREAM_UPDATES)

    pool, pool_labels = task.patients(POOL, random)
    test, test_labels = task.patients(TEST, random)
    further, further_labels = task.patients(FURTHER, random)
    seeds = SEEDS + MORE_SEEDS
    chosen = np.stack([random.permutation(POOL)[:labels] for _ in range(seeds)])
    scratch = _Networks.start(random, seeds)
    tuned = upstream.repeated(seeds, head=_Networks.start(random, seeds))
    for networks in (scratch, tuned):
        networks.fit(pool[chosen], pool_labels[chosen], UPDATES)
    gains = _aurocs(tuned.scores(further), further_labels) - _aurocs(scratch.scores(further), further_labels)
    return Experiment(
        labels=test_labels,
        scores_a=tuned.scores(test)[:SEEDS],
        scores_b=scratch.scores(test)[:SEEDS],
        truth=float(gains.mean()),
        trainings=2 * seeds + 1,
    )


@dataclass(frozen=True)
class _Task:
    """Who has the target: the logit is a bent function of the features."""

    straight: Floats
    bent: Floats

    @classmethod
    def draw(cls, random: np.random.Generator) -> _Task:
        return cls(random.normal(size=FEATURES) * 0.6, random.normal(size=(FEATURES, 2)) * 0.5)

    @classmethod
    def related(cls, task: _Task, random: np.random.Generator) -> _Task:
        """Return another task that has a random share of its weights in common with this one."""
        share, other = float(random.uniform(0.5, 1.0)), cls.draw(random)
        rest = (1.0 - share**2) ** 0.5
        return cls(share * task.straight + rest * other.straight, share * task.bent + rest * other.bent)

    def patients(self, count: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        x = random.normal(size=(count, FEATURES))
        logit = x @ self.straight + (np.tanh(x @ self.bent) ** 2).sum(axis=1) - 3.0
        return x, (random.random(count) < 1.0 / (1.0 + np.exp(-logit))).astype(np.float64)


@dataclass
class _Networks:
    """Several networks side by side: tanh hidden layer, one logit."""

    w: Floats  # [networks, FEATURES, HIDDEN]
    b: Floats  # [networks, 1, HIDDEN]
    v: Floats  # [networks, HIDDEN]

    @classmethod
    def start(cls, random: np.random.Generator, count: int) -> _Networks:
        return cls(
            random.normal(size=(count, FEATURES, HIDDEN)) / FEATURES**0.5,
            np.zeros((count, 1, HIDDEN)),
            random.normal(size=(count, HIDDEN)) / HIDDEN**0.5,
        )

    def repeated(self, count: int, head: _Networks) -> _Networks:
        """Return copies of the one encoder, each with a head of its own."""
        return _Networks(np.repeat(self.w, count, axis=0), np.repeat(self.b, count, axis=0), head.v.copy())

    def scores(self, x: Floats) -> Floats:
        """Return the logits [networks, patients] of the same patients [patients, FEATURES]."""
        return np.stack([np.tanh(x @ w + b) @ v for w, b, v in zip(self.w, self.b, self.v, strict=True)])

    def fit(self, x: Floats, y: Floats, updates: int) -> None:
        """Minimise the logistic loss of each on its own patients [networks, patients, FEATURES] by Adam."""
        weights = [self.w, self.b, self.v]
        first, second = ([np.zeros_like(each) for each in weights] for _ in range(2))
        for step in range(1, updates + 1):
            hidden = np.tanh(x @ self.w + self.b)
            logit = np.einsum("nph,nh->np", hidden, self.v)
            slope = (1.0 / (1.0 + np.exp(-logit)) - y) / y.shape[1]
            back = slope[:, :, None] * self.v[:, None, :] * (1.0 - hidden**2)
            of_w = np.swapaxes(x, 1, 2) @ back + DECAY * self.w
            of_b = back.sum(axis=1, keepdims=True)
            of_v = np.einsum("np,nph->nh", slope, hidden) + DECAY * self.v
            for each, m, s, gradient in zip(weights, first, second, (of_w, of_b, of_v), strict=True):
                m += 0.1 * (gradient - m)
                s += 0.001 * (gradient**2 - s)
                each -= RATE * (m / (1 - 0.9**step)) / (np.sqrt(s / (1 - 0.999**step)) + 1e-8)


def _aurocs(scores: Floats, labels: Floats) -> Floats:
    """Return the share of pairs won by positives, from ranks; scores are continuous, ties do not occur."""
    ranks = np.argsort(np.argsort(scores, axis=1), axis=1) + 1.0
    positives = labels == 1
    m, n = int(positives.sum()), int((~positives).sum())
    return np.asarray((ranks[:, positives].sum(axis=1) - m * (m + 1) / 2) / (m * n))
