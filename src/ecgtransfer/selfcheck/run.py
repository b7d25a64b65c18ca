"""The check of the evidence, told in one place: tables with a known truth → intervals → verdicts → bounds.

Tables come from `tables` and `trainings`, which know nothing of `evidence`; what their verdicts are worth is
judged by `bounds`.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecgtransfer.evidence import MARGIN, Interval, PairedRun, Verdict, paired_difference, verdicts
from ecgtransfer.evidence.descriptive import seed_tests
from ecgtransfer.evidence.expected import Expectation, expected_half_width
from ecgtransfer.progress import Progress
from ecgtransfer.selfcheck.bounds import WORDS, Case, Finding, Outcome, assess, covers
from ecgtransfer.selfcheck.tables import Design, predictions, training_noise
from ecgtransfer.selfcheck.trainings import SEEDS, experiment
from ecgtransfer.workers import each

Judge = Callable[[Sequence[Interval]], Sequence[Verdict]]

# Fewer than a study takes: the width is known to 4 %, and two thousand tables wait.
RESAMPLES = 400
# Times the tables where nothing may be claimed: an exact interval claims something in 5 of 100, which is the
# bound, and only many tables tell a rate just below it from one just above.
NONE_TIMES = 5
# Tables that tell the minimum detectable effect, drawn before those that are judged; per round.
PILOT = 400
_CHUNK = 20

# Patients differ in which arm suits them, and all seeds test the same ones.
INTERACTION = Design(positives=(60, 120), persistent=0.7, common=0.3, seed_noise=0.05)
# Two arms so alike that no difference can be shown: 90 % intervals of about ±0.006.
ALIKE = Design(
    patients=300, positives=(80, 150), persistent=0.9, common=0.97, seed_noise=0.03, auroc=0.93, hidden=0.0
)
# Enough patients for a plan to expect ±0.03 to be found.
LARGE = Design(patients=500, positives=(120, 240), persistent=0.7, common=0.75, seed_noise=0.08)


@dataclass(frozen=True)
class Setting:
    """A case and how its tables are drawn; several contrasts make a family."""

    case: Case
    design: Design
    contrasts: int = 1

    def count(self, tables: int) -> int:
        """Return how many tables it takes where most cases take so many."""
        return tables * (NONE_TIMES if self.case.kind == "none" and self.contrasts == 1 else 1)


def check_evidence(
    *,
    tables: int = 2000,
    trainings: int = 100,
    workers: int = 1,
    seed: int = 0,
    judge: Judge = verdicts,
    quiet: bool = False,
) -> dict[str, Any]:
    """Check the verdicts on simulated tables and small trainings whose truth is known.

    Parameters
    ----------
    tables : int
        Per case, `NONE_TIMES` as many where nothing may be claimed; the bounds are taken at their word from
        2,000 on.
    trainings : int
        Experiments with real trainings; 0 leaves them out.
    workers : int
        Processes.
    seed : int
        Of the tables and trainings.
    judge : callable
        What is checked: intervals of a family → verdicts. Importable by name with several workers.
    quiet : bool
        No progress on stderr.

    Returns
    -------
    dict
        ``passed``, ``tables``, ``seed``, ``cases`` and ``trainings`` as JSON-able values.
    """
    progress = Progress("selfcheck", quiet=quiet)
    settings = _settings()
    pilot = min(PILOT, tables)
    total = sum(setting.count(tables) for setting in settings) + tables + 2 * pilot + trainings
    done = 0

    def drawn(setting: Setting, count: int, purpose: str) -> list[Outcome]:
        nonlocal done
        jobs = [
            (setting, judge, seed, purpose, start, min(start + _CHUNK, count))
            for start in range(0, count, _CHUNK)
        ]
        chunks: dict[int, list[Outcome]] = {}
        for (*_, start, _), found in each(_chunk, jobs, workers):
            chunks[start] = found
            done += len(found)
            progress.update(done, total, setting.case.name)
        # In the order of the jobs, whichever worker was first.
        return [outcome for start in sorted(chunks) for outcome in chunks[start]]

    findings = [assess(setting.case, drawn(setting, setting.count(tables), "tables")) for setting in settings]
    detectable = _expected(INTERACTION).minimum_detectable or 0.0
    for number in range(2):
        pilots = drawn(_detectable(detectable), pilot, f"pilot {number}")
        reported = [o.minimum_detectable for o in pilots if o.minimum_detectable is not None]
        detectable = float(np.mean(reported)) if reported else detectable
    findings.append(assess(_detectable(detectable).case, drawn(_detectable(detectable), tables, "tables")))
    trained = _trainings(
        trainings, seed, judge, workers, lambda n: progress.update(done + n, total, "trainings")
    )
    passed = all(finding.passed for finding in findings) and (trained is None or trained["check"]["passed"])
    progress.finish()
    return {
        "passed": passed,
        "tables": tables,
        "seed": seed,
        "cases": [_as_dict(finding) for finding in findings],
        "trainings": trained,
    }


def _settings() -> list[Setting]:
    """Return every case but the one whose truth has to be found first."""
    alike = replace(ALIKE, difference=0.005)
    large = replace(LARGE, difference=0.03)
    same = Design(positives=(60, 120), common=1.0, seed_noise=0.15)
    crossed = replace(
        INTERACTION, seeds=5, pretrainings=3, pretraining_noise=0.1, joint_noise=0.05, positives=(60,)
    )
    family = Design(patients=200, positives=(40,), seeds=5, folds=5, common=0.3, seed_noise=0.2)
    return [
        _setting("A: identical procedures, one test part", "none", same),
        _setting(
            "A: identical procedures, five folds, some patients twice",
            "none",
            replace(same, folds=5, twice=0.2),
        ),
        _setting("B: patient × arm interaction, one test part", "none", INTERACTION),
        _setting("B: the same, 5 seeds × 3 pre-trainings", "none", crossed),
        _setting("B: a family of eight (Holm), 5 seeds, five folds", "none", family, contrasts=8),
        _setting("C: +0.005", "small", alike),
        _setting("C: −0.005", "small", replace(alike, difference=-0.005)),
        _setting("C: +0.01, the margin itself", "margin", replace(alike, difference=MARGIN)),
        _setting("C: +0.03", "planned", large),
        _setting("C: −0.03", "planned", replace(large, difference=-0.03)),
    ]


def _setting(name: str, kind: Any, design: Design, contrasts: int = 1) -> Setting:
    power = _expected(design).power(design.difference) if design.difference else None
    return Setting(Case(name, _about(design), kind, design.difference, power), design, contrasts)


def _detectable(difference: float) -> Setting:
    design = replace(INTERACTION, difference=difference)
    case = Case("C: the reported minimum detectable effect", _about(design), "detectable", difference, 0.8)
    return Setting(case, design)


def _about(design: Design) -> str:
    folds = "one test part" if design.folds == 1 else f"{design.folds} folds"
    trained = f" × {design.pretrainings} pre-trainings" if design.pretrainings > 1 else ""
    positives = "/".join(map(str, design.positives))
    return f"{design.patients} patients, {positives} positives, {design.seeds} seeds{trained}, {folds}"


def _expected(design: Design) -> Expectation:
    """Return what a plan would expect that guessed everything about its arms right."""
    arms = design.persistent * design.common
    return expected_half_width(
        design.positives,
        [design.patients - positives for positives in design.positives],
        n_seeds=design.seeds,
        folds=design.folds,
        auroc=design.auroc,
        arm_correlation=arms,
        persistence=(design.persistent - arms) / (1.0 - arms),
        target_correlation=0.0,
        seed_sd=training_noise(design),
    )


def _chunk(job: tuple[Setting, Judge, int, str, int, int]) -> list[Outcome]:
    setting, judge, seed, purpose, start, stop = job
    name = zlib.crc32(f"{purpose} {setting.case.name}".encode())
    return [_table(setting, judge, np.random.default_rng([seed, name, i])) for i in range(start, stop)]


def _table(setting: Setting, judge: Judge, random: np.random.Generator) -> Outcome:
    family = []
    for _ in range(setting.contrasts):
        drawn = predictions(setting.design, random)
        crossed = setting.design.pretrainings > 1
        runs = [PairedRun(p.seed, p.pretraining if crossed else None, *p[2:]) for p in drawn]
        family.append(paired_difference(runs, resamples=RESAMPLES, seed=int(random.integers(2**32))))
    return _outcome(family, judge(family), setting.case.truth)


def _outcome(family: Sequence[Interval], judged: Sequence[Verdict], truth: float) -> Outcome:
    """Return what came of a family: its first claim, and the first contrast's interval."""
    words = [verdict.word for verdict in judged]
    first = family[0]
    known = first.low is not None and first.high is not None
    return Outcome(
        word=next((word for word in words if word in ("helps", "harms")), words[0]),
        covered=first.low <= truth <= first.high if known else None,  # type: ignore[operator]
        half_width=first.spread.half_width(first.level) if first.spread is not None else None,
        minimum_detectable=judged[0].minimum_detectable,
        wilcoxon=seed_tests(first.per_seed)["wilcoxon"],
    )


def _trainings(
    count: int, seed: int, judge: Judge, workers: int, report: Callable[[int], None]
) -> dict[str, Any] | None:
    """Return how often the intervals of real trainings hold their brute-force truth."""
    if not count:
        return None
    by_number: dict[int, tuple[float, Outcome, int]] = {}
    for job, result in each(_training, [(seed, judge, number) for number in range(count)], workers):
        by_number[job[2]] = result
        report(len(by_number))
    found = [by_number[number] for number in sorted(by_number)]
    outcomes = [outcome for _, outcome, _ in found]
    truths = [truth for truth, _, _ in found]
    check = covers("real trainings: interval holds the truth", [bool(o.covered) for o in outcomes], 0.94)
    wrong = sum((o.word == "helps" and t <= 0) or (o.word == "harms" and t >= 0) for t, o, _ in found)
    return {
        "experiments": count,
        "trainings": sum(trainings for _, _, trainings in found),
        "truth": {"least": min(truths), "mean": float(np.mean(truths)), "most": max(truths)},
        "half_width": float(np.mean([o.half_width for o in outcomes if o.half_width is not None])),
        "words": {word: sum(o.word == word for o in outcomes) / count for word in WORDS},
        "wrong_direction": wrong,
        "check": dataclasses.asdict(check),
    }


def _training(job: tuple[int, Judge, int]) -> tuple[float, Outcome, int]:
    seed, judge, number = job
    random = np.random.default_rng([seed, zlib.crc32(b"trainings"), number])
    found = experiment(random)
    patients, labels = np.arange(len(found.labels)), found.labels[:, None]
    runs = [
        PairedRun(s, None, patients, labels, found.scores_a[s][:, None], found.scores_b[s][:, None])
        for s in range(SEEDS)
    ]
    interval = paired_difference(runs, resamples=RESAMPLES, seed=number)
    return found.truth, _outcome([interval], judge([interval]), found.truth), found.trainings


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {**dataclasses.asdict(finding), "passed": finding.passed}
