"""Which model to use: the verdicts on fine-tuning decide, the validation loss where they cannot."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ecgtransfer.report.recommendation import Recommendation, recommend

Row = dict[str, Any]


def cell(arm: str, loss: float | None, *, upstream: str | None = None, **changes: Any) -> Row:
    """Return a cell with all labels, whose AUROC says nothing of its loss."""
    return {
        "downstream": "mine", "network": "resnet", "upstream": upstream, "arm": arm, "n": 80,
        "n_is_all": True, "seeds": 5, "auroc": 0.8, "auroc_low": 0.7, "auroc_high": 0.9,
        "validation_loss": loss, **changes,
    }  # fmt: skip


def full(loss: float | None, upstream: str = "up", **changes: Any) -> Row:
    return cell("full", loss, upstream=upstream, **changes)


def scratch(loss: float | None, **changes: Any) -> Row:
    return cell("scratch", loss, **changes)


def judged(word: str | None, upstream: str = "up", **changes: Any) -> Row:
    """Return a contrast with scratch, with all labels; exploratory without a word."""
    return {
        "downstream": "mine", "network": "resnet", "upstream": upstream, "arm": "full", "n_is_all": True,
        "verdict": None if word is None else {"word": word}, **changes,
    }  # fmt: skip


def told(cells: list[Row], contrasts: list[Row] = []) -> Recommendation:  # noqa: B006
    names = dict.fromkeys(each["downstream"] for each in cells)
    found = recommend(
        {"downstreams": [{"name": name} for name in names], "cells": cells, "contrasts": contrasts}
    )
    assert found is not None
    return found


def choice(found: Recommendation) -> tuple[str, str | None, bool]:
    return found.arm, found.upstream, found.decided


@pytest.mark.parametrize("losses", [(0.3, 0.4), (0.4, 0.3)])
@pytest.mark.parametrize(
    ("word", "expected", "why"),
    [
        ("helps", ("full", "up", True), "it helps by the verdict of the study"),
        ("harms", ("scratch", None, True), "fine-tuning harms by the verdict of the study"),
        ("equivalent", ("scratch", None, True), "makes no difference that matters, and scratch needs no"),
    ],
)
def test_where_the_verdict_decides_the_validation_loss_does_not(
    losses: tuple[float, float], word: str, expected: tuple[str, str | None, bool], why: str
) -> None:
    found = told([scratch(losses[0]), full(losses[1])], [judged(word)])
    assert choice(found) == expected
    assert why in found.text


@pytest.mark.parametrize("word", ["undecided", None])
@pytest.mark.parametrize(
    ("losses", "expected"),
    [((0.3, 0.4), ("scratch", None, False)), ((0.4, 0.3), ("full", "up", False))],
)
def test_where_nothing_is_decided_it_is_a_bet_on_the_lower_validation_loss(
    word: str | None, losses: tuple[float, float], expected: tuple[str, str | None, bool]
) -> None:
    cells = [scratch(losses[0]), full(losses[1])]
    for contrasts in ([judged(word)], []):
        found = told(cells, contrasts)
        assert choice(found) == expected
        assert "a bet, not a finding" in found.text


@pytest.mark.parametrize("arm", ["linear-probe", "frozen-random"])
@pytest.mark.parametrize(
    ("word", "expected"), [("harms", ("scratch", None, True)), ("undecided", ("scratch", None, False))]
)
def test_a_verdict_on_another_arm_recommends_no_fine_tuning(
    arm: str, word: str, expected: tuple[str, str | None, bool]
) -> None:
    """A linear probe that helps says nothing for full fine-tuning, in whatever order they were named."""
    cells = [scratch(0.3), full(0.4), cell(arm, 0.1, upstream="up")]
    both = [judged(word), judged("helps", arm=arm)]
    for contrasts in (both, both[::-1]):
        assert choice(told(cells, contrasts)) == expected


def test_a_verdict_on_a_probe_alone_leaves_fine_tuning_open_and_condemns_it_as_little() -> None:
    cells = [scratch(0.4), full(0.3), cell("linear-probe", 0.1, upstream="up")]
    for word in ("helps", "harms", "equivalent"):
        found = told(cells, [judged(None), judged(word, arm="linear-probe")])
        assert choice(found) == ("full", "up", False)


def test_only_verdicts_with_all_labels_of_the_first_downstream_and_of_the_network_count() -> None:
    cells = [scratch(0.3), full(0.4)]
    elsewhere = [
        judged("helps", n_is_all=False),
        judged("helps", downstream="theirs"),
        judged("helps", network="lstm"),
        judged("helps", upstream="far"),
    ]
    for other in elsewhere:
        assert choice(told(cells, [other, judged("harms"), other])) == ("scratch", None, True)
        assert choice(told(cells, [other])) == ("scratch", None, False)


def test_among_upstreams_that_help_the_validation_loss_chooses_and_not_the_test_part() -> None:
    cells = [
        scratch(0.1),
        full(0.4, "a", auroc=0.99),
        full(0.3, "b", auroc=0.81),
        full(0.2, "c", auroc=0.95),
    ]
    words = [judged("helps", "a"), judged("helps", "b"), judged("undecided", "c")]
    found = told(cells, words)
    assert choice(found) == ("full", "b", True)
    assert (found.auroc, found.text) == (
        0.81, "Use resnet, fine-tune from b: it helps by the verdict of the study."
    )  # fmt: skip


def test_one_upstream_that_harms_does_not_close_another() -> None:
    words = [judged("harms", "a"), judged("undecided", "b")]
    # The lower loss of an upstream that harms is not bet on.
    found = told([scratch(0.4), full(0.1, "a"), full(0.3, "b")], words)
    assert choice(found) == ("full", "b", False)
    found = told([scratch(0.2), full(0.1, "a"), full(0.3, "b")], words)
    assert choice(found) == ("scratch", None, False)


def test_scratch_where_each_upstream_harms_or_makes_no_difference() -> None:
    cells = [scratch(0.4), full(0.2, "a"), full(0.3, "b")]
    assert choice(told(cells, [judged("harms", "a"), judged("equivalent", "b")])) == ("scratch", None, True)
    both = told(cells, [judged("harms", "a"), judged("harms", "b")])
    assert choice(both) == ("scratch", None, True)
    assert "fine-tuning harms" in both.text


def test_the_network_is_that_of_the_lowest_validation_loss_of_scratch_or_fine_tuning() -> None:
    cells = [
        scratch(0.35),
        full(0.45),
        scratch(0.4, network="lstm"),
        full(0.3, network="lstm"),
        # Neither a probe nor fewer labels nor another dataset have a say.
        cell("linear-probe", 0.01, upstream="up"),
        scratch(0.02, n_is_all=False, n=20),
        scratch(0.03, downstream="theirs"),
    ]
    found = told(cells, [judged("helps"), judged("harms", network="lstm")])
    assert (found.network, *choice(found)) == ("lstm", "scratch", None, True)


@pytest.mark.parametrize("word", ["helps", "undecided"])
def test_an_arm_that_is_not_weighed_is_named_where_its_loss_is_lower(word: str) -> None:
    probe, random = cell("linear-probe", 0.25, upstream="up"), cell("frozen-random", 0.26)
    found = told([scratch(0.4), full(0.3), probe, random], [judged(word)])
    assert choice(found)[0] == "full"
    assert found.text.endswith(
        "Only scratch and fine-tuning are weighed here: the linear probe from up had a lower validation loss "
        "yet (0.250 against 0.300), and ecgtransfer finetune --arm linear-probe makes one."
    )
    found = told([scratch(0.4), full(0.3), random], [judged(word)])
    assert found.text.endswith(
        "the frozen random encoder had a lower validation loss yet (0.260 against 0.300)."
    )
    elsewhere = {"downstream": "theirs"}, {"network": "lstm"}, {"n_is_all": False}, {"validation_loss": None}
    for other in (*elsewhere, {"validation_loss": 0.31}):
        assert "weighed" not in told([scratch(0.4), full(0.3), {**probe, **other}], [judged(word)]).text


def test_an_arm_whose_loss_is_not_known_is_not_bet_on() -> None:
    """It diverged at some seed; where no loss is known at all there is still an answer."""
    assert choice(told([scratch(None), full(0.9)], [judged("undecided")])) == ("full", "up", False)
    assert choice(told([scratch(0.9), full(None)], [judged("undecided")])) == ("scratch", None, False)
    assert choice(told([scratch(None), full(None)], [judged("helps")])) == ("full", "up", True)


def test_scratch_alone_is_no_finding() -> None:
    found = told([scratch(0.3)])
    assert choice(found) == ("scratch", None, False)
    assert found.text == "Use resnet, train from scratch: nothing else was run with all labels."


def test_without_a_run_with_all_labels_nothing_is_recommended() -> None:
    for cells in ([scratch(0.3, n_is_all=False)], [cell("linear-probe", 0.3, upstream="up")], []):
        found = recommend({"downstreams": [{"name": "mine"}], "cells": cells, "contrasts": []})
        assert found is None


def test_the_figure_is_that_of_the_arm_with_its_interval_and_says_what_it_is() -> None:
    tuned = full(0.4, auroc=0.91, auroc_low=0.88, auroc_high=0.94, seeds=7, n=120)
    found = told([scratch(0.3), tuned], [judged("helps")])
    assert dataclasses.asdict(found) == {
        "network": "resnet", "arm": "full", "upstream": "up", "decided": True,
        "auroc": 0.91, "auroc_low": 0.88, "auroc_high": 0.94,
        "basis": "mean over 7 seeds on their own test parts, with 120 labels",
        "text": "Use resnet, fine-tune from up: it helps by the verdict of the study.",
    }  # fmt: skip
    del tuned["auroc_low"], tuned["auroc_high"]
    bare = told([scratch(0.3), tuned], [judged("helps")])
    assert (bare.auroc, bare.auroc_low, bare.auroc_high) == (0.91, None, None)
