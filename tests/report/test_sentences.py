"""What a comparison's findings say in words: a gain, a loss, or that these data cannot tell."""

from __future__ import annotations

from typing import Any

import pytest

from ecgtransfer.report.sentences import sentence


def verdict(word: str = "helps", **changes: Any) -> dict[str, Any]:
    return {
        "word": word, "level": 0.975, "low": 0.005, "high": 0.075, "equivalence_low": -0.002,
        "equivalence_high": 0.006, "margin": 0.01, "p": 0.01, "minimum_detectable": 0.03,
        "settles": "more patients would" if word == "undecided" else "",
    } | changes  # fmt: skip


def contrast(**changes: Any) -> dict[str, Any]:
    return {
        "network": "lstm", "upstream": "up", "arm": "full", "reference": "scratch", "n": 50,
        "n_is_all": False, "difference": 0.04, "low": 0.01, "high": 0.07, "level": 0.95, "note": "",
        "verdict": verdict(),
    } | changes  # fmt: skip


def findings(*contrasts: dict[str, Any], upstreams: tuple[str, ...] = ("up",)) -> dict[str, Any]:
    return {
        "contrasts": list(contrasts),
        "downstream": {"name": "mine"},
        "upstreams": [{"name": name} for name in upstreams],
    }


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("helps", "it gains 0.040 macro AUROC (97.5 % interval +0.005 to +0.075)"),
        ("harms", "it loses 0.040 macro AUROC (97.5 % interval +0.005 to +0.075)"),
        (
            "equivalent",
            "it makes no difference beyond ±0.01 (+0.040 macro AUROC, 90 % interval -0.002 to +0.006)",
        ),
        (
            "undecided",
            "these data cannot tell (+0.040 macro AUROC, 97.5 % interval +0.005 to +0.075): "
            "more patients would",
        ),
    ],
)
def test_the_verdict_decides_what_is_said(word: str, says: str) -> None:
    """The interval of each contrast by itself excludes zero here; only the verdict counts."""
    said = sentence(findings(contrast(verdict=verdict(word))))
    assert said.startswith("On mine, fine-tuning from up against scratch – lstm: with 50 labels ")
    assert says in said
    assert said.endswith(".")
    told = [word for word in ("it gains", "it loses", "cannot tell", "no difference") if word in said]
    assert len(told) == 1


def test_what_the_plan_did_not_name_is_exploratory() -> None:
    said = sentence(findings(contrast(verdict=None)))
    assert "+0.040 macro AUROC (95 % interval +0.010 to +0.070, exploratory)" in said
    assert "it gains" not in said


def test_where_there_is_no_interval_nothing_is_claimed() -> None:
    said = sentence(findings(contrast(low=None, high=None, note="no interval: the scarcest target has 4")))
    assert "+0.040 macro AUROC (no interval: the scarcest target has 4)" in said
    assert "it gains" not in said
    said = sentence(findings(contrast(difference=None, low=None, high=None, note="none can be measured")))
    assert "no difference could be estimated (none can be measured)" in said


def test_the_fewest_and_the_most_labels_are_told() -> None:
    said = sentence(
        findings(
            contrast(n=400, n_is_all=True, verdict=verdict("undecided")),
            contrast(n=50),
            contrast(n=100, verdict=verdict("harms")),
        )
    )
    assert said.index("with 50 labels it gains") < said.index("with 400 labels these data cannot tell")
    assert "100 labels" not in said


def test_each_network_and_each_upstream_is_named() -> None:
    said = sentence(findings(contrast(), contrast(network="gru"), upstreams=("a", "b")))
    assert "from a and b against scratch" in said
    assert "lstm: with 50 labels" in said
    assert " | gru: with 50 labels" in said


def test_fine_tuning_goes_before_the_other_arms() -> None:
    said = sentence(findings(contrast(arm="linear-probe", difference=0.4, low=0.3, high=0.5), contrast()))
    assert "0.400" not in said
    said = sentence(findings(contrast(arm="linear-probe")))
    assert "the arm linear-probe from up against scratch" in said


def test_scratch_alone_is_compared_with_nothing() -> None:
    assert "nothing to compare it with" in sentence(findings())


def test_a_network_that_does_not_beat_a_baseline_is_named() -> None:
    def against(**changes: Any) -> dict[str, Any]:
        return contrast(reference="rr", **changes)

    clear = findings(contrast()) | {"against_baselines": [against(), against(arm="scratch")]}
    assert "beat" not in sentence(clear)
    unclear = findings(contrast()) | {
        "against_baselines": [against(), against(arm="scratch", low=-0.01, n=100)]
    }
    assert sentence(unclear).endswith(
        " Not shown to beat a baseline without a network: lstm scratch with 100 labels (rr)."
    )
    many = findings(contrast()) | {"against_baselines": [against(low=None, n=n) for n in range(6)]}
    assert "with 3 labels (rr) and 2 more." in sentence(many)
    frozen = findings(contrast()) | {"against_baselines": [against(arm="frozen-random", low=-0.2)]}
    assert "beat" not in sentence(frozen)
