"""The check of the evidence: its tables are as true as they say, and it notices verdicts that are not."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import ecgtransfer.selfcheck
from ecgtransfer.cli.main import app
from ecgtransfer.errors import ConfigError
from ecgtransfer.evidence import Interval, Verdict, verdicts
from ecgtransfer.evidence.elementary import clopper_pearson
from ecgtransfer.selfcheck import run, trainings
from ecgtransfer.selfcheck.bounds import Case, Outcome, assess, covers
from ecgtransfer.selfcheck.tables import Design, predictions, separations, training_noise

RNG = np.random.default_rng


@pytest.mark.parametrize("name", ["tables.py", "trainings.py"])
def test_what_draws_the_truth_shares_nothing_with_what_judges_it(name: str):
    source = (Path(ecgtransfer.selfcheck.__file__).parent / name).read_text()
    imported = [
        alias if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in ([each.name for each in node.names] if isinstance(node, ast.Import) else [""])
    ]
    assert imported
    assert not [module for module in imported if module is not None and "ecgtransfer" in module]


@pytest.mark.parametrize(
    "design",
    [
        Design(difference=0.03, hidden=0.1, twice=0.3),
        Design(difference=-0.05, common=1.0, seed_noise=0.4, persistent=0.2),
        Design(auroc=0.7, folds=5, pretrainings=2, joint_noise=0.3),
    ],
)
def test_the_true_difference_is_that_of_a_huge_population(design: Design):
    huge = replace(design, patients=20_000, positives=(5000,), seeds=20)
    drawn = predictions(huge, RNG(1))
    a, b = (
        np.array([roc_auc_score(p.labels[:, 0], scores[:, 0]) for p in drawn for scores in [p[arm]]])
        for arm in (4, 5)
    )
    noise = 3 * np.std(a - b) / len(drawn) ** 0.5 + 0.004
    assert np.mean(b) == pytest.approx(design.auroc, abs=noise)
    assert np.mean(a) - np.mean(b) == pytest.approx(design.difference, abs=noise)


def test_the_effect_of_pre_training_is_in_the_closed_form():
    """By brute force over the effects: the AUROC of normal scores at each separation, averaged."""
    from scipy.stats import norm

    design = Design(difference=0.04, seed_noise=0.3, pretraining_noise=0.5, joint_noise=0.2, hidden=0.1)
    deviation = (0.3**2 + 0.5**2 + 0.2**2) ** 0.5
    effects = deviation * RNG(2).normal(size=1_000_000)
    seen = norm.cdf((separations(design)[0] + effects) / 2**0.5).mean()
    assert 0.9 * seen + 0.1 / 2 == pytest.approx(0.89, abs=5e-4)


def test_training_noise_is_that_of_the_tables():
    design = Design(patients=8_000, positives=(2000, 3000), seeds=60, persistent=0.5, seed_noise=0.2)
    gains = [
        np.mean([roc_auc_score(p.labels[:, k], p.scores_a[:, k]) for k in (0, 1)])
        - np.mean([roc_auc_score(p.labels[:, k], p.scores_b[:, k]) for k in (0, 1)])
        for p in predictions(design, RNG(3))
    ]
    assert np.std(gains) == pytest.approx(training_noise(design), rel=0.35)


def test_folds_divide_the_patients_and_spread_the_rare():
    drawn = predictions(Design(patients=303, positives=(10, 40), folds=5, seeds=10, twice=0.2), RNG(4))
    for first in (0, 5):
        tested = [np.unique(p.patient) for p in drawn[first : first + 5]]
        assert sorted(np.concatenate(tested)) == list(range(303))
        assert [int(p.labels[np.unique(p.patient, return_index=True)[1], 0].sum()) for p in drawn][:5]
        rare = [len(np.unique(p.patient[p.labels[:, 0] == 1])) for p in drawn[first : first + 5]]
        assert sum(rare) == 10
        assert min(rare) >= 1


def test_trainings_learn_and_their_truth_is_measured_on_many():
    found = trainings.experiment(RNG(5))
    assert found.scores_a.shape == found.scores_b.shape == (trainings.SEEDS, trainings.TEST)
    aurocs = [roc_auc_score(found.labels, scores) for scores in (*found.scores_a, *found.scores_b)]
    assert np.mean(aurocs) > 0.6
    assert len(set(aurocs)) > trainings.SEEDS  # seeds differ, and so do the arms
    assert abs(found.truth) < 0.2
    scores, labels = RNG(6).normal(size=(3, 50)), np.arange(50) % 2.0
    expected = [roc_auc_score(labels, row) for row in scores]
    np.testing.assert_allclose(trainings._aurocs(scores, labels), expected)


def test_clopper_pearson_is_that_of_scipy():
    for count, of in ((0, 20), (3, 60), (100, 2000), (20, 20)):
        expected = binomtest(count, of).proportion_ci(0.95)
        assert clopper_pearson(count, of) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("kind", "truth", "said", "passed"),
    [
        ("none", 0.0, {"helps": 50, "harms": 50}, True),  # 5.0 %, upper end 6.05 %
        ("none", 0.0, {"helps": 101}, False),
        ("none", 0.0, {"equivalent": 2000}, True),
        ("small", 0.005, {"harms": 51}, False),
        ("small", -0.005, {"harms": 900}, True),
        ("planned", 0.03, {"helps": 1600}, True),
        ("planned", 0.03, {"helps": 1599}, False),
        ("planned", -0.03, {"helps": 1700}, False),
        ("planned", 0.03, {}, False),  # always undecided
        ("detectable", 0.04, {"helps": 1540}, True),
        ("detectable", 0.04, {"helps": 1539}, False),
        ("detectable", 0.04, {"helps": 1661}, False),
        ("margin", 0.01, {"equivalent": 100}, True),
        ("margin", 0.01, {"equivalent": 140}, False),
    ],
)
def test_bounds_are_where_they_should_be(kind: str, truth: float, said: dict[str, int], passed: bool):
    words = [word for word, count in said.items() for _ in range(count)]
    words += ["undecided"] * (2000 - len(words))
    found = assess(Case("", "", kind, truth, 0.9), [outcome(word) for word in words])  # type: ignore[arg-type]
    assert found.passed is passed
    assert found.words["undecided"] == words.count("undecided") / 2000


def test_a_power_that_no_plan_expects_is_not_asked_for():
    found = assess(Case("", "", "planned", 0.03, 0.5), [outcome("undecided")] * 2000)
    assert found.passed
    assert len(found.checks) == 1


def test_few_outcomes_break_a_bound_only_where_they_contradict_it():
    case = Case("", "", "none", 0.0)
    few = [outcome("undecided")] * 18
    assert assess(case, [*few, *[outcome("helps")] * 2]).passed  # 10 %, but 1.2 to 32
    assert not assess(case, [*few, *[outcome("helps")] * 8]).passed
    assert covers("", [True] * 50 + [False] * 6, 0.94).passed
    assert not covers("", [True] * 40 + [False] * 20, 0.94).passed


def test_honest_verdicts_pass_on_a_few_tables(monkeypatch: pytest.MonkeyPatch):
    found = small(monkeypatch, verdicts)
    assert found["passed"]
    names = [row["case"]["name"] for row in found["cases"]]
    assert len(names) == 3
    assert names[-1] == "C: the reported minimum detectable effect"
    assert all(row["coverage"] > 0.7 for row in found["cases"])
    assert found["cases"][1]["case"]["power"] >= 0.8
    assert found["trainings"]["experiments"] == 2
    assert found["trainings"]["trainings"] == 2 * (2 * (trainings.SEEDS + trainings.MORE_SEEDS) + 1)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("word", "broken"),
    [
        ("undecided", {"C: +0.03", "C: the reported minimum detectable effect"}),
        (
            "helps",
            {"B: patient × arm interaction, one test part", "C: the reported minimum detectable effect"},
        ),
    ],
)
def test_a_verdict_that_always_says_the_same_fails(
    monkeypatch: pytest.MonkeyPatch, word: str, broken: set[str]
):
    def always(family: Sequence[Interval]) -> list[Verdict]:
        return [replace(verdict, word=word) for verdict in verdicts(family)]  # type: ignore[arg-type]

    found = small(monkeypatch, always)
    assert not found["passed"]
    assert {row["case"]["name"] for row in found["cases"] if not row["passed"]} == broken


def test_the_same_seed_gives_the_same_tables_with_any_number_of_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run, "_settings", list)
    monkeypatch.setattr(run, "INTERACTION", Design(patients=100, positives=(40,), seeds=5, common=0.8))
    first, again = (
        run.check_evidence(tables=22, trainings=0, workers=workers, seed=3, quiet=True) for workers in (1, 2)
    )
    assert first == again
    other = run.check_evidence(tables=22, trainings=0, seed=4, quiet=True)
    assert other["cases"][0]["half_width"] != first["cases"][0]["half_width"]


def test_every_case_of_the_issue_is_there():
    kinds = [(setting.case.kind, setting.case.truth) for setting in run._settings()]
    assert kinds.count(("none", 0.0)) >= 4
    assert {("small", 0.005), ("small", -0.005), ("planned", 0.03), ("planned", -0.03)} <= set(kinds)
    for setting in run._settings():
        if setting.case.kind == "planned":
            assert setting.case.power is not None
            assert setting.case.power >= 0.8


def test_the_command_prints_and_fails_where_a_bound_is_broken(monkeypatch: pytest.MonkeyPatch):
    shrink(monkeypatch)
    ask = ["selfcheck", "evidence", "--tables", "12", "--trainings", "1", "--workers", "1", "--quiet"]
    done = CliRunner().invoke(app, ask)
    assert done.exit_code == 0, done.output
    assert "No bound is contradicted" in done.stdout
    assert "false helps + harms" in done.stdout
    assert json.loads(CliRunner().invoke(app, [*ask, "--json"]).stdout)["passed"] is True

    honest = run.check_evidence
    monkeypatch.setattr(run, "check_evidence", lambda **asked: {**honest(**asked), "passed": False})
    done = CliRunner().invoke(app, ask)
    assert done.exit_code == 1
    assert "A bound is broken." in done.stdout
    assert "cannot be trusted" in done.stderr


def test_an_unknown_check_is_named():
    done = CliRunner().invoke(app, ["selfcheck", "evidense"])
    assert isinstance(done.exception, ConfigError)
    assert "Did you mean evidence?" in str(done.exception)


def outcome(word: str) -> Outcome:
    return Outcome(word, True, 0.02, 0.03, 0.5)  # type: ignore[arg-type]


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave one case without a difference and one that must be found, with tables that cost little."""
    interaction = Design(patients=150, positives=(60,), seeds=5, persistent=0.8, common=0.6, seed_noise=0.05)
    large = Design(
        patients=300, positives=(140,), seeds=5, difference=0.03, persistent=0.9, common=0.95, seed_noise=0.02
    )
    monkeypatch.setattr(run, "RESAMPLES", 100)
    monkeypatch.setattr(run, "INTERACTION", interaction)
    settings = [
        run._setting("B: patient × arm interaction, one test part", "none", interaction),
        run._setting("C: +0.03", "planned", large),
    ]
    monkeypatch.setattr(run, "_settings", lambda: settings)


def small(monkeypatch: pytest.MonkeyPatch, judge: run.Judge) -> dict:
    shrink(monkeypatch)
    return run.check_evidence(tables=24, trainings=2, judge=judge, quiet=True)
