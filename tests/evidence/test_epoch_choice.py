"""Choosing the epoch on the test part: scikit-learn's F1, the same told slowly, and a known truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from sklearn.metrics import f1_score

from ecgtransfer.errors import DataError
from ecgtransfer.evidence.epoch_choice import choose_on_test, f1_by_epoch


def simulated(
    random: np.random.Generator, records: int, epochs: int, jitter: float, prevalence: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, logits and the epochs' true scores, from 4,000 further records of the same epochs."""
    shift = random.normal(0, jitter, (epochs, 1, len(prevalence)))

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = random.random((n, len(prevalence))) < prevalence
        shared = np.where(labels, 1.0, -1.2) + random.normal(size=labels.shape)
        return labels.astype(float), shared + shift + 0.5 * random.normal(size=(epochs, *labels.shape))

    truth = f1_by_epoch(*draw(4_000))
    return *draw(records), truth


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    epochs=st.integers(1, 4),
    records=st.integers(1, 30),
    targets=st.integers(2, 5),
)
def test_agrees_with_scikit_learn(seed: int, epochs: int, records: int, targets: int) -> None:
    random = np.random.default_rng(seed)
    labels = (random.random((records, targets)) < random.random(targets)).astype(float)
    logits = random.normal(size=(epochs, records, targets))
    for average, theirs in (("weighted", "weighted"), ("mean", "macro")):
        expected = [f1_score(labels, each >= 0, average=theirs, zero_division=0) for each in logits]
        assert f1_by_epoch(labels, logits, average=average) == pytest.approx(expected)  # type: ignore[arg-type]


def test_unknown_labels_are_left_out() -> None:
    random = np.random.default_rng(1)
    labels = (random.random((40, 2)) < 0.4).astype(float)
    logits = random.normal(size=(3, 40, 2))
    more = np.concatenate([labels, np.full((10, 2), np.nan)])
    longer = np.concatenate([logits, random.normal(size=(3, 10, 2))], axis=1)
    assert f1_by_epoch(more, longer).tolist() == f1_by_epoch(labels, logits).tolist()


def test_as_told_slowly() -> None:
    """Halve by group, choose on each half, let the other half be called, score all calls together."""
    random = np.random.default_rng(5)
    labels, logits, _ = simulated(random, 50, 6, 0.5, (0.5, 0.2))
    groups = np.arange(50) // 2
    found = choose_on_test(labels, logits, groups, np.random.default_rng(9), halvings=7)
    rng = np.random.default_rng(9)
    crossfitted, halves = [], []
    for _ in range(7):
        one = rng.permutation(25)[groups] < 12
        called = np.empty_like(labels, dtype=bool)
        for half in (one, ~one):
            scores = [
                f1_score(labels[half], z[half] >= 0, average="weighted", zero_division=0) for z in logits
            ]
            called[~half] = logits[int(np.argmax(scores)), ~half] >= 0
            halves.append(max(scores))
        crossfitted.append(f1_score(labels, called, average="weighted", zero_division=0))
    assert found.crossfitted == pytest.approx(np.mean(crossfitted))
    assert found.halves_reported == pytest.approx(np.mean(halves))
    scores = f1_by_epoch(labels, logits)
    assert found.scores == tuple(scores)
    assert (found.reported, found.best_epoch, found.last) == (scores.max(), scores.argmax() + 1, scores[-1])
    assert found.inflation == found.reported - found.crossfitted
    assert found.plateau == pytest.approx(scores[3:].mean())
    assert json.loads(json.dumps(found.as_dict()))["inflation"] == found.inflation


def test_a_run_of_one_epoch_or_of_equal_ones_is_not_inflated() -> None:
    labels, logits, _ = simulated(np.random.default_rng(2), 60, 1, 0.3, (0.5, 0.2))
    for epochs in (1, 8):
        found = choose_on_test(
            labels, np.repeat(logits, epochs, axis=0), np.arange(60), np.random.default_rng(0)
        )
        assert found.inflation == pytest.approx(0, abs=1e-12)
        assert found.best_epoch == 1
        assert found.jitter in (None, pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize(
    ("records", "jitter", "prevalence"),
    [(66, 0.3, (0.7, 0.1, 0.5, 0.3, 0.1)), (273, 0.1, (0.82, 0.03, 0.04, 0.04, 0.02, 0.02, 0.05))],
)
def test_it_finds_the_true_inflation(records: int, jitter: float, prevalence: tuple[float, ...]) -> None:
    """True: the highest score minus what that very epoch is worth on ever so many other records."""
    random = np.random.default_rng(11)
    true, found, halves = [], [], []
    for _ in range(40):
        labels, logits, truth = simulated(random, records, 20, jitter, prevalence)
        choice = choose_on_test(labels, logits, np.arange(records), random, halvings=30)
        true.append(choice.reported - truth[choice.best_epoch - 1])
        found.append(choice.inflation)
        halves.append(choice.halves_reported - choice.crossfitted)
    error = np.std(true) / np.sqrt(len(true))
    assert np.mean(true) > 4 * error, "the case is of no use: nothing is inflated"
    assert abs(np.mean(found) - np.mean(true)) < 3 * error
    # The halves alone are fooled more, which is why the inflation is not taken from them.
    assert np.mean(halves) > 1.2 * np.mean(found)


def test_halves_divide_no_patient() -> None:
    """Two records per patient with equal errors: divided by record, each half would know the other."""
    labels, logits, _ = simulated(np.random.default_rng(3), 80, 30, 0.2, (0.5, 0.2))
    doubled, twice = np.repeat(labels, 2, axis=0), np.repeat(logits, 2, axis=1)
    by_patient = choose_on_test(doubled, twice, np.arange(160) // 2, np.random.default_rng(0))
    by_record = choose_on_test(doubled, twice, np.arange(160), np.random.default_rng(0))
    alone = choose_on_test(labels, logits, np.arange(80), np.random.default_rng(0))
    assert by_patient.crossfitted == pytest.approx(alone.crossfitted)
    assert by_record.inflation < 0.8 * by_patient.inflation


def scored(hits: ArrayLike, positives: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, logits and groups of one target whose F1 after each epoch is ``hits / positives``.

    As many records are called as are positive, and F1 = 2 hits / (calls + positives).
    """
    labels = np.repeat([1.0, 0.0], positives)[:, None]
    record = np.arange(2 * positives)
    right = np.asarray(hits)[:, None]
    called = (record < right) | ((record >= positives) & (record < 2 * positives - right))
    return labels, np.where(called, 1.0, -1.0)[:, :, None], record


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        # A zigzag of 0.1 around its mean: of the squares, 4 x 0.01, the line of slope 0.04 takes 5 x 0.04^2.
        ([0, 9, 0, 1, 5, 7, 5, 7], (0.032 / 2) ** 0.5),
        # The same on a line that rises by 0.1 per epoch: what is learnt is no jitter.
        ([9, 9, 0, 1, 3, 6, 5, 8], (0.032 / 2) ** 0.5),
        # Three epochs leave one degree of freedom: |a - 2b + c| / sqrt(6).
        ([1, 9, 2, 6, 4], 0.6 / 6**0.5),
        ([10, 0, 2, 4, 6, 8], 0.0),
    ],
)
def test_the_jitter_is_what_a_line_through_the_second_half_of_the_epochs_leaves(
    hits: list[int], expected: float
) -> None:
    found = choose_on_test(*scored(hits, 10), np.random.default_rng(0), halvings=1)
    assert found.scores == pytest.approx([hit / 10 for hit in hits])
    assert found.jitter == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("epochs", "known"), [(1, False), (4, False), (5, True)])
def test_fewer_than_three_settled_epochs_have_no_jitter(epochs: int, known: bool) -> None:
    found = choose_on_test(*scored([3, 1, 4, 1, 5][:epochs], 10), np.random.default_rng(0), halvings=1)
    assert (found.jitter is not None) == known


def test_the_square_of_the_jitter_is_on_average_the_variance_around_the_trend() -> None:
    """Scores that scatter by 0.04 around a rising line, in steps of 1/1000; six of twelve have settled."""
    random = np.random.default_rng(21)
    scores = 0.4 + 0.02 * np.arange(12) + 0.04 * random.normal(size=(400, 12))
    squares = []
    for hits in np.rint(1000 * scores).astype(int):
        found = choose_on_test(*scored(hits, 1000), random, halvings=1)
        assert found.jitter is not None
        squares.append(found.jitter**2)
    # 400 times 4 degrees of freedom: known to 3.5 %. Divided by 5 or 6 instead of 4 it would be 20 % off.
    assert np.mean(squares) == pytest.approx(0.04**2, rel=0.1)


def test_what_cannot_be_measured_is_said() -> None:
    labels, logits = np.ones((4, 2)), np.ones((3, 4, 2))
    with pytest.raises(DataError, match="all of one patient"):
        choose_on_test(labels, logits, np.zeros(4), np.random.default_rng(0))
    with pytest.raises(DataError, match="3 groups for 4 test records"):
        choose_on_test(labels, logits, np.arange(3), np.random.default_rng(0))
    for wrong in (logits[0], logits[:, :2], logits[:0]):
        with pytest.raises(DataError, match="have to be"):
            f1_by_epoch(labels, wrong)
