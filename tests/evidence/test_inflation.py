"""Rows of inflation: means and intervals over seeds, what diverged, and the sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ecgtransfer.evidence.epoch_choice import EpochChoice
from ecgtransfer.evidence.inflation import inflation_rows, inflation_sentence, prevalence_weighted


def run(seed: int, inflation: float | None, **changes: object) -> dict[str, object]:
    paper = None
    if inflation is not None:
        paper = EpochChoice(
            "weighted", 3, (0.1, 0.5, 0.4), 0.5, 2, 0.4, 0.5 - inflation, 0.55, 10, 0.45, 0.02
        ).as_dict()
    row = {"downstream": "d", "network": "w", "upstream": None, "arm": "scratch", "n": None}
    return {**row, "seed": seed, "paper": paper, **changes}


def test_rows_have_the_mean_and_its_interval_over_seeds() -> None:
    runs = [run(0, 0.01), run(1, 0.03), run(2, 0.05), run(0, 0.2, arm="full", upstream="u")]
    first, second = inflation_rows(runs, sound={("d", "w", None, "scratch", None): 0.41})
    assert first["runs"] == 3
    assert first["inflation"] == pytest.approx(0.03)
    # Student: t(2, 0.975) = 4.3027, standard deviation 0.02.
    half = 4.302653 * 0.02 / np.sqrt(3)
    assert first["inflation_low"] == pytest.approx(0.03 - half, rel=1e-6)
    assert first["inflation_high"] == pytest.approx(0.03 + half, rel=1e-6)
    assert (first["reported"], first["last"], first["sound"]) == (0.5, pytest.approx(0.4), 0.41)
    assert first["crossfitted"] == pytest.approx(0.47)
    assert (second["arm"], second["upstream"], second["runs"], second["sound"]) == ("full", "u", 1, None)
    assert second["inflation_low"] is second["inflation_high"] is None
    assert json.loads(json.dumps([first, second])) == [first, second]


def test_runs_that_diverged_are_counted() -> None:
    (row,) = inflation_rows([run(0, 0.02), run(1, None)])
    assert (row["runs"], row["diverged"], row["inflation"]) == (1, 1, pytest.approx(0.02))
    (none,) = inflation_rows([run(0, None)])
    assert (none["runs"], none["inflation"], none["reported"]) == (0, None, None)
    assert "not measured" in inflation_sentence([none])


def test_the_sentence() -> None:
    rows = inflation_rows([run(0, 0.01), run(1, 0.03), run(0, 0.05, arm="full")])
    assert inflation_sentence(rows) == (
        "Choosing the epoch on the test part, as the published protocol does, changed the reported F1 by "
        "+0.030 (+0.020 to +0.050 by cell), measured in 3 runs against records that did not choose."
    )
    assert "+0.020 (-0.107 to +0.147), measured in 2 runs" in inflation_sentence(rows[:1])
    assert "+0.050, measured in 1 run against" in inflation_sentence(rows[1:])


def test_the_sound_score_in_the_same_currency() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((50, 3)) < 0.4).astype(int)
    calls = random.random((50, 3)) < 0.5
    each = [f1_score(labels[:, k], calls[:, k]) for k in range(3)]
    expected = f1_score(labels, calls, average="weighted")
    assert prevalence_weighted(each, labels.sum(axis=0).tolist()) == pytest.approx(expected)
    assert prevalence_weighted([0.5, None], [3, 1]) == 0.5
    assert prevalence_weighted([None], [4]) is None
