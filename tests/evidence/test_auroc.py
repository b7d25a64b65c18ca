"""The weighted AUROC against scikit-learn, its definition and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ecgtransfer.errors import DataError
from ecgtransfer.evidence import weighted_auroc


@pytest.mark.parametrize("prevalence", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("levels", [3, 10_000])
def test_agrees_with_scikit_learn_with_and_without_ties(prevalence: float, levels: int) -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(200) < prevalence).astype(float)
    scores = rng.integers(0, levels, 200) / levels + 0.2 * labels
    weights = rng.exponential(size=(300, 200)) * rng.integers(0, 3, (300, 200))
    expected = [roc_auc_score(labels, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(weighted_auroc(labels, scores, weights), expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 25))
def test_is_the_weighted_share_of_pairs_won(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice([0.0, 1.0, np.nan], n)
    scores = rng.integers(0, 5, n).astype(float)
    weights = rng.integers(0, 3, (4, n)).astype(float)
    pos, neg = labels == 1, labels == 0
    won = (scores[pos][:, None] > scores[neg]) + 0.5 * (scores[pos][:, None] == scores[neg])
    for got, row in zip(weighted_auroc(labels, scores, weights), weights, strict=True):
        pairs = row[pos].sum() * row[neg].sum()
        if pairs == 0:
            assert np.isnan(got)
        else:
            assert got == pytest.approx(row[pos] @ won @ row[neg] / pairs)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_integer_weights_are_repetitions_and_monotone_maps_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0.0, 1.0, rng.integers(0, 2, 20)]
    scores = rng.normal(size=22)
    counts = rng.integers(1, 4, 22)
    ones = np.ones((1, counts.sum()))
    repeated = weighted_auroc(np.repeat(labels, counts), np.repeat(scores, counts), ones)
    weighted = weighted_auroc(labels, scores, counts[None].astype(float))
    assert weighted == pytest.approx(repeated)
    assert weighted_auroc(labels, np.exp(scores), counts[None]) == pytest.approx(weighted)
    assert weighted_auroc(labels, -scores, counts[None]) == pytest.approx(1 - weighted)


def test_unknown_labels_count_for_nothing_even_with_unusable_scores() -> None:
    labels, scores = np.array([0, 1, 0, 1, np.nan]), np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    assert weighted_auroc(labels, scores, np.ones((1, 5))) == pytest.approx([0.75])


@pytest.mark.parametrize(
    ("labels", "scores", "weights", "said"),
    [
        ([0, 1], [0.0, np.nan], [[1, 1]], "1 of 2 scores are not finite"),
        ([0, 2], [0.0, 1.0], [[1, 1]], "labels must be"),
        ([0, 1], [0.0, 1.0], [[1, 1, 1]], "do not fit together"),
        ([0, 1], [0.0, 1.0], [[1, -1]], "not negative"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels: list, scores: list, weights: list, said: str) -> None:
    with pytest.raises(DataError, match=said):
        weighted_auroc(labels, scores, weights)
