"""What a study's findings say in words: a gain, a loss, no difference, or that these data cannot tell."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ecgtransfer.report.sentences import answer, below_baselines


def verdict(word: str = "helps", **changes: Any) -> dict[str, Any]:
    return {
        "word": word, "level": 0.975, "low": 0.005, "high": 0.075, "equivalence_low": -0.002,
        "equivalence_high": 0.006, "margin": 0.01, "p": 0.01, "minimum_detectable": 0.03,
        "settles": "more patients would settle it" if word == "undecided" else "",
    } | changes  # fmt: skip


def contrast(**changes: Any) -> dict[str, Any]:
    return {
        "downstream": "mine", "network": "lstm", "upstream": "up", "arm": "full", "reference": "scratch",
        "n": 50, "n_is_all": False, "difference": 0.04, "low": 0.01, "high": 0.07, "level": 0.95,
        "n_seeds": 10, "n_pretraining_seeds": 3, "n_patients": 1840, "note": "", "verdict": verdict(),
    } | changes  # fmt: skip


def findings(*contrasts: dict[str, Any], **more: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"curves": [], "convergence": [], "cost": {"break_even": []}}
    return {"contrasts": list(contrasts)} | nothing | more


def curve(**changes: Any) -> dict[str, Any]:
    place = {"downstream": "mine", "network": "lstm", "upstream": "up", "arm": "full"}
    return place | {"catch_up": {"text": "Scratch catches up between 260 and 410 labels."}} | changes


def paid(**changes: Any) -> dict[str, Any]:
    text = "Pre-training has paid for itself after 3 projects, counted in FLOPs."
    return contrast() | {"text": text, "state": "after"} | changes


class TestFirstSentence:
    @pytest.mark.parametrize(
        ("word", "says"),
        [
            (
                "helps",
                "fine-tuning lstm from up gains 0.040 macro AUROC over scratch (97.5 % interval +0.005 to "
                "+0.075; 10 seeds, 3 pre-trained networks, 1,840 patients).",
            ),
            (
                "harms",
                "fine-tuning lstm from up loses 0.040 macro AUROC over scratch (97.5 % interval +0.005 to "
                "+0.075; 10 seeds, 3 pre-trained networks, 1,840 patients).",
            ),
            (
                "equivalent",
                "fine-tuning lstm from up makes no difference to scratch beyond ±0.01 (+0.040 macro AUROC; "
                "90 % interval −0.002 to +0.006; 10 seeds, 3 pre-trained networks, 1,840 patients).",
            ),
            (
                "undecided",
                "these data cannot tell whether fine-tuning lstm from up helps (+0.040 macro AUROC; 97.5 % "
                "interval +0.005 to +0.075; 10 seeds, 3 pre-trained networks, 1,840 patients): more patients "
                "would settle it.",
            ),
        ],
    )
    def test_the_verdict_decides_what_is_said(self, word: str, says: str) -> None:
        """The interval of the contrast by itself excludes zero here; only the verdict counts."""
        first, second = answer(findings(contrast(verdict=verdict(word))))
        assert first == f"With 50 labelled ECGs of mine, {says}"
        assert second == ""

    @pytest.mark.parametrize(
        ("scarce", "says"),
        [
            (["AF"], "1,840 patients; without AF, too scarce)"),
            (["AF", "WPW", "LVH"], "1,840 patients; without AF, WPW and LVH, too scarce)"),
            (["AF", "WPW", "LVH", "MI"], "1,840 patients; without 4 of the statements, too scarce)"),
            ([], "1,840 patients)"),
        ],
    )
    def test_statements_that_the_mean_leaves_out_are_said(self, scarce: list[str], says: str) -> None:
        left_out = [{"target": name, "why": "2 positives"} for name in scarce]
        mine = {"name": "mine", "folds": 1, "left_out": left_out}
        for word in ("helps", "equivalent", "undecided"):
            assert says in answer(findings(contrast(verdict=verdict(word)), downstreams=[mine]))[0]

    def test_one_pre_trained_network_is_said(self) -> None:
        said = answer(findings(contrast(n_pretraining_seeds=1, verdict=verdict())))[0]
        assert "10 seeds, one pre-trained network, 1,840 patients" in said
        said = answer(findings(contrast(n_pretraining_seeds=0, upstream=None, verdict=verdict())))[0]
        assert "10 seeds, 1,840 patients" in said

    def test_a_loss_is_told_without_its_sign(self) -> None:
        lost = contrast(difference=-0.031, verdict=verdict("harms", low=-0.05, high=-0.012))
        assert (
            "loses 0.031 macro AUROC over scratch (97.5 % interval −0.050 to −0.012;"
            in answer(findings(lost))[0]
        )

    def test_where_there_is_no_interval_nothing_is_claimed(self) -> None:
        none = verdict("undecided", low=None, high=None, settles="the scarcest target has 4 patients")
        first, _ = answer(
            findings(contrast(low=None, high=None, note="the scarcest target has 4 patients", verdict=none))
        )
        assert first == (
            "With 50 labelled ECGs of mine, these data cannot tell whether fine-tuning lstm from up helps: "
            "+0.040 macro AUROC, and the scarcest target has 4 patients."
        )
        first, _ = answer(
            findings(
                contrast(difference=None, low=None, high=None, note="none can be measured", verdict=none)
            )
        )
        assert "no difference between fine-tuning lstm from up and scratch could be estimated (none" in first
        assert "gains" not in first

    def test_it_is_about_the_most_labels_of_the_first_pair(self) -> None:
        first, _ = answer(
            findings(
                contrast(n=20),
                contrast(n=1204, n_is_all=True, difference=0.011),
                contrast(n=100),
                contrast(network="gru", n=9000),
                contrast(downstream="other", n=9000),
            )
        )
        assert first.startswith("With 1,204 labelled ECGs of mine, fine-tuning lstm from up gains 0.011")

    def test_what_the_plan_did_not_name_is_never_the_answer(self) -> None:
        first, second = answer(findings(contrast(n=9000, verdict=None), contrast(network="gru")))
        assert "gru" in first
        assert "named beforehand" not in second

    def test_other_arms_and_random_starts_are_called_by_their_names(self) -> None:
        first, _ = answer(findings(contrast(arm="linear-probe")))
        assert "the arm linear-probe lstm from up gains" in first
        first, _ = answer(findings(contrast(arm="frozen-random", upstream=None)))
        assert "the arm frozen-random lstm gains" in first

    def test_scratch_alone_is_compared_with_nothing(self) -> None:
        first, second = answer(findings())
        assert first == "Only training from scratch was run: there is nothing to compare it with."
        assert second == ""


class TestSecondSentence:
    def test_where_scratch_catches_up_and_what_pretraining_costs(self) -> None:
        _, second = answer(
            findings(
                contrast(),
                curves=[curve(network="gru", catch_up={"text": "No."}), curve()],
                cost={"break_even": [paid(network="gru", text="Never."), paid()]},
            )
        )
        assert second == (
            "Scratch catches up between 260 and 410 labels; with 50 labels pre-training has paid for itself "
            "after 3 projects, counted in FLOPs."
        )

    def test_with_one_budget_for_both_arms_nothing_is_said_of_the_cost(self) -> None:
        """Shorter budgets were run with other labels alone: there it was measured."""
        nothing = paid(state="unclear", text="It was not measured.")
        assert answer(findings(contrast(), cost={"break_even": [nothing]}))[1] == ""
        both = {
            "break_even": [nothing, paid(n=20, text="Pre-training never pays for itself.", state="never")]
        }
        _, second = answer(findings(contrast(), cost=both))
        assert second == "With 20 labels pre-training never pays for itself."

    def test_weights_that_were_downloaded_have_nothing_to_pay_back(self) -> None:
        free = paid(
            state="zero", text="The pre-trained weights were downloaded: there is nothing to pay back."
        )
        _, second = answer(findings(contrast(), cost={"break_even": [free]}))
        assert second == "The pre-trained weights were downloaded: there is nothing to pay back."

    def test_the_cost_at_the_most_labels_at_which_it_was_measured(self) -> None:
        rows = [paid(n=n, text=f"Text {n}.") for n in (20, 1050, 100)]
        rows.append(paid(n=3000, state="unclear"))
        _, second = answer(findings(contrast(), cost={"break_even": rows}))
        assert second == "With 1,050 labels text 1050."

    def test_only_what_is_known_of_this_pair_is_told(self) -> None:
        others = findings(
            contrast(),
            curves=[curve(downstream="other"), curve(upstream="elsewhere"), curve(arm="linear-probe")],
            cost={"break_even": [paid(network="gru"), paid(upstream="elsewhere")]},
        )
        assert answer(others)[1] == ""

    def test_how_the_family_ended(self) -> None:
        words = ("undecided", "helps", "equivalent", "helps", "harms")
        rows = [contrast(n=10 + place, verdict=verdict(word)) for place, word in enumerate(words)]
        _, second = answer(findings(*rows, contrast(verdict=None)))
        assert second == ("Of the 5 contrasts named beforehand: 2 helps, 1 harms, 1 equivalent, 1 undecided.")
        _, second = answer(findings(*(contrast(n=n, verdict=verdict("helps")) for n in range(10, 20))))
        assert second == "Of the 10 contrasts named beforehand: 10 helps."

    def test_both_are_one_sentence_each(self) -> None:
        for word in ("helps", "harms", "equivalent", "undecided"):
            told = answer(
                findings(
                    contrast(verdict=verdict(word)),
                    contrast(n=20),
                    curves=[curve()],
                    cost={"break_even": [paid()]},
                )
            )
            for sentence in told:
                assert re.search(r"^[A-Z].*[^.]\.$", sentence)
                assert not re.search(r"[a-z]\. ", sentence)


class TestBelowBaselines:
    def against(self, **changes: Any) -> dict[str, Any]:
        return contrast(reference="rr", verdict=None) | changes

    def test_a_network_that_does_not_beat_a_baseline_is_named(self) -> None:
        assert below_baselines([self.against(), self.against(arm="scratch")]) == ""
        assert below_baselines([self.against(), self.against(arm="scratch", low=-0.01, n=100)]) == (
            "Not shown to beat a baseline without a network: lstm scratch on mine with 100 labels (rr)."
        )

    def test_zero_and_an_interval_that_is_missing_are_no_proof(self) -> None:
        for low in (0.0, None):
            assert "lstm full on mine with 50 labels (rr)" in below_baselines([self.against(low=low)])

    def test_four_are_named_and_the_others_counted(self) -> None:
        said = below_baselines([self.against(low=None, n=n) for n in range(6)])
        assert said.endswith("lstm full on mine with 3 labels (rr) and 2 more.")
        assert "with 4 labels" not in said

    def test_arms_that_freeze_the_encoder_need_not_beat_it(self) -> None:
        frozen = [self.against(arm=arm, low=-0.2) for arm in ("frozen-random", "linear-probe")]
        assert below_baselines(frozen) == ""
        assert below_baselines([]) == ""
