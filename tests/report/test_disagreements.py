"""The recordings on which two models disagree: the ones by most, each once, with their signals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.report.disagreements import SHOWN, find_disagreements
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import Study, freeze
from ecgtransfer.study.planned import Planned
from ecgtransfer.study.plans.plan import Contrast, DownstreamPlan
from tests.report.invented import Floats, Said, fill
from tests.small import NETWORK, make_plan, make_upstream, write_store

TARGETS = ("slow", "fast", "rare")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disagreements")


@pytest.fixture(scope="module")
def down(folder: Path) -> Store:
    return write_store(folder / "down.ecgs")


@pytest.fixture(scope="module")
def up(folder: Path) -> Store:
    return write_store(folder / "up.ecgs", seed=5)


@pytest.fixture
def made(down: Store, up: Store, tmp_path: Path) -> Callable[..., Study]:
    """Return a function that makes a study of five seeds: each cell tests every record once."""

    def make(said: Said, **changes: Any) -> Study:
        plan = make_plan(
            down.path, up.path, **{"arms": ("scratch", "full"), "seeds": 5, "baselines": (), **changes}
        )
        study = freeze(expand(plan), tmp_path / "study")
        fill(study, {store.fingerprint: store for store in (down, up)}, said)
        return study

    return make


def labelled(down: Store, target: str, value: int) -> list[str]:
    labels = down.labels(down.task("waves"))[:, TARGETS.index(target)]
    return [str(name) for name in down.records["record_id"].to_numpy()[labels == value]]


def except_for(arm: str, wrong: dict[tuple[str, str], float]) -> Said:
    """Return predictions that are right by two in all but these (record, target) of one arm."""

    def say(planned: Planned, records: Any, labels: Floats) -> Floats:
        logits: Floats = np.where(labels == 1, 2.0, -2.0)
        if planned.spec.arm == arm and planned.spec.n is None:
            for (name, target), logit in wrong.items():
                logits[records == name, TARGETS.index(target)] = logit
        return logits

    return say


def probability(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def test_the_two_by_most_for_each_arm_the_most_of_all_first(made: Any, down: Store) -> None:
    """Scratch is wrong about three positives of "slow", by different much, and the arm about none."""
    names = labelled(down, "slow", 1)[:3]
    wrong = {(name, "slow"): logit for name, logit in zip(names, (-1.0, -3.0, -2.0), strict=True)}
    rows = find_disagreements(made(except_for("scratch", wrong)), {"down": down})
    assert len(rows) == SHOWN == 2
    assert [row["record_id"] for row in rows] == [names[1], names[2]]
    for row, logit in zip(rows, (-3.0, -2.0), strict=True):
        assert (row["target"], row["label"]) == ("slow", 1)
        assert row["arm_probability"] == pytest.approx(probability(2.0), abs=1e-4)
        assert row["reference_probability"] == pytest.approx(probability(logit), abs=1e-4)
        assert (row["downstream"], row["network"], row["upstream"], row["arm"], row["n_is_all"]) == (
            "down", NETWORK, "up", "full", True,
        )  # fmt: skip


def test_where_the_arm_is_wrong_is_shown_as_well(made: Any, down: Store) -> None:
    negative = labelled(down, "fast", 0)[0]
    rows = find_disagreements(made(except_for("full", {(negative, "fast"): 1.5})), {"down": down})
    [row] = rows
    assert (row["record_id"], row["target"], row["label"]) == (negative, "fast", 0)
    assert row["arm_probability"] == pytest.approx(probability(1.5), abs=1e-4)
    assert row["reference_probability"] == pytest.approx(probability(-2.0), abs=1e-4)


def test_to_be_more_or_less_sure_is_no_disagreement(made: Any, down: Store) -> None:
    wrong = {(name, "slow"): 0.1 for name in labelled(down, "slow", 1)[:3]}
    assert find_disagreements(made(except_for("scratch", wrong)), {"down": down}) == []


def test_a_recording_is_shown_once_whatever_else_is_wrong_with_it(made: Any, down: Store) -> None:
    both = [name for name in labelled(down, "slow", 1) if name in labelled(down, "fast", 1)][:2]
    wrong = {(name, target): -4.0 for name in both for target in ("slow", "fast")}
    rows = find_disagreements(made(except_for("scratch", wrong)), {"down": down})
    assert sorted(row["record_id"] for row in rows) == sorted(both)


def test_a_recording_that_divides_the_models_both_ways_is_shown_once(made: Any, down: Store) -> None:
    """Scratch is wrong about one target of it and the arm about another."""
    both = [name for name in labelled(down, "slow", 1) if name in labelled(down, "fast", 1)]
    arm, scratch = (except_for(name, {}) for name in ("full", "scratch"))

    def say(planned: Planned, records: Any, labels: Floats) -> Floats:
        logits = (arm if planned.spec.arm == "full" else scratch)(planned, records, labels)
        if planned.spec.n is None:
            column = TARGETS.index("fast" if planned.spec.arm == "full" else "slow")
            logits[np.isin(records, both), column] = -4.0
        return logits

    rows = find_disagreements(made(say), {"down": down})
    names = [row["record_id"] for row in rows]
    assert len(both) >= 2 * SHOWN
    assert sorted(set(names)) == sorted(names)
    assert [row["target"] for row in rows] == ["slow"] * SHOWN + ["fast"] * SHOWN


def test_unknown_labels_and_targets_outside_the_macro_are_not_shown(made: Any, down: Store) -> None:
    labels = down.labels(down.task("waves"))
    unknown = down.records["record_id"].to_numpy()[np.isnan(labels[:, 0])]
    rare = labelled(down, "rare", 1)
    wrong = {(str(name), "slow"): 4.0 for name in unknown} | {(name, "rare"): -4.0 for name in rare}
    assert len(unknown) > 1
    assert find_disagreements(made(except_for("scratch", wrong)), {"down": down}) == []


def test_the_signal_is_the_recording_s_own_in_microvolts(made: Any, down: Store) -> None:
    name = labelled(down, "slow", 1)[0]
    [row] = find_disagreements(made(except_for("scratch", {(name, "slow"): -3.0})), {"down": down})
    position = down.records["record_id"].tolist().index(name)
    window = down.millivolts(down.rows_of(np.array([position]))[:1])[0]
    assert (row["leads"], row["sampling_rate"]) == (["I", "II"], 100.0)
    np.testing.assert_array_equal(np.array(row["signal"]), np.rint(1000 * window))
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_probabilities_are_means_over_all_that_tested_the_recording(
    made: Any, down: Store, up: Store
) -> None:
    """Two pre-trainings of the headline pair: one is right, the other less than it is wrong."""
    name = labelled(down, "slow", 1)[0]

    def say(planned: Planned, records: Any, labels: Floats) -> Floats:
        logits: Floats = np.where(labels == 1, 2.0, -2.0)
        if planned.spec.arm == "full" and planned.pretraining_seed == 1:
            logits[records == name, 0] = -4.0
        return logits

    study = made(say, upstreams=(make_upstream(up.path, seeds=2),))
    [row] = find_disagreements(study, {"down": down})
    mean = (probability(2.0) + probability(-4.0)) / 2
    assert row["arm_probability"] == pytest.approx(mean, abs=1e-4)
    assert row["reference_probability"] == pytest.approx(probability(2.0), abs=1e-4)


def test_of_the_first_primary_pair_with_the_most_labels(made: Any, down: Store) -> None:
    names = labelled(down, "slow", 1)[:2]
    named = (Contrast("down", NETWORK, "up", "full", 20),)

    def say(planned: Planned, records: Any, labels: Floats) -> Floats:
        logits: Floats = np.where(labels == 1, 2.0, -2.0)
        if planned.spec.arm == "scratch":
            logits[records == names[0 if planned.spec.n == 20 else 1], 0] = -4.0
        return logits

    [row] = find_disagreements(made(say, primary=named), {"down": down})
    assert (row["record_id"], row["n"], row["n_is_all"]) == (names[0], 20, False)


def test_a_downstream_without_a_primary_contrast_shows_none(made: Any, down: Store, tmp_path: Path) -> None:
    other = write_store(tmp_path / "other.ecgs", seed=3)
    name = labelled(down, "slow", 1)[0]
    plan = make_plan(
        down.path,
        None,
        arms=("scratch", "frozen-random"),
        downstreams=tuple(
            DownstreamPlan(each.path.stem, each.path, "waves", (None,)) for each in (down, other)
        ),
        primary=(Contrast("down", NETWORK, None, "frozen-random", None),),
        seeds=5,
        baselines=(),
    )
    study = freeze(expand(plan), tmp_path / "both")
    stores = {store.fingerprint: store for store in (down, other)}
    fill(study, stores, except_for("scratch", {(name, "slow"): -3.0}))
    rows = find_disagreements(study, {"down": down, "other": other})
    assert [(row["downstream"], row["upstream"], row["arm"]) for row in rows] == [
        ("down", None, "frozen-random")
    ]
