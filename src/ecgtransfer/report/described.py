"""What a study says of itself: what was asked, by which settings, and what limits it."""

from __future__ import annotations

from typing import Any

from ecgtransfer.report.gather import Gathered
from ecgtransfer.study.folder import Study
from ecgtransfer.study.planned import Planned
from ecgtransfer.study.protocols import EPOCHS, PAPER

Row = dict[str, Any]


def asked(study: Study) -> Row:
    """Return what the study is called, and how large it is."""
    plan = study.description["plan"]
    pretrainings = [len(origin["starts"]) for origin in study.description["upstreams"]]
    return {
        "name": plan["name"],
        "protocol": plan["protocol"],
        "hash": study.description["hash"],
        "seeds": plan["seeds"],
        "pretraining_seeds": max(pretrainings, default=0),
        "updates": max(run.spec.budget.updates for run in study.planned if run.purpose == "evidence"),
        "runs": len(study.planned),
    }


def protocol(study: Study) -> Row:
    """Return the settings that all runs share, and how things were chosen."""
    plan, budget = study.description["plan"], study.description["plan"]["budget"]
    frozen = {
        "precision of training": sorted({run.spec.precision for run in study.planned if _trained(run)}),
        "margin of equivalence": plan["margin"],
        "primary contrasts": len(study.primary),
        "frozen as": study.description["hash"],
        "study seed": plan["study_seed"],
    }
    if plan["protocol"] == PAPER.name:
        asked = {name: plan[name] for name in ("protocol", "networks", "arms", "seeds")}
        return {**asked, "epochs": plan["epochs"] or EPOCHS, **dict(PAPER.rules), **frozen}
    tuned = any(run.spec.tuning for run in study.planned)
    search = (
        f"the lowest mean validation loss over {counted(plan['tuning_seeds'], 'tuning seed')}, never evidence"
        if tuned
        else "the lowest validation loss within each run"
    )
    return {
        "protocol": plan["protocol"],
        "networks": plan["networks"],
        "arms": plan["arms"],
        "seeds": plan["seeds"],
        "updates per training": budget["updates"],
        "batch size": budget["batch_size"],
        "learning rates": plan["rates"],
        "rate chosen by": search,
        "choices": "weights, penalty and thresholds by validation; the test part is evaluated once",
        "n": "every label used; a fifth of them by patient is the validation part",
        "weight decay": budget["weight_decay"],
        "augmentation": {k: v for k, v in budget["augment"].items() if v},
        **frozen,
    }


def _trained(run: Planned) -> bool:
    return bool(run.spec.rates)


def notes(study: Study, runs: Gathered) -> list[str]:
    """Return what limits the study, in sentences."""
    plan = study.description["plan"]
    found = [*dict.fromkeys(origin["left_out"] for origin in study.description["upstreams"])]
    published = plan["protocol"] == PAPER.name
    apart = "not kept on one side of the split" if published else "each on one side of every split"
    for each in study.description["downstreams"]:
        pairs = each["duplicate_pairs"]
        found.append(
            f"{counted(pairs, 'pair')} of duplicates within {each['name']}, {apart}."
            if pairs
            else f"No duplicates were found within {each['name']}."
        )
        if published:
            found.append(f"Records of {each['name']} were divided whoever the patient is.")
        elif not each["patients_known"]:
            found.append(
                f"Not all recordings of {each['name']} carry patient ids: patients may be on both sides."
            )
    single = [cell for cell, done in runs.cells.items() if {run.pretraining_seed for run in done} == {0}]
    if single:
        found.append("Where a row names one pre-training, its interval does not know how another would fare.")
    found.append(
        "By the published protocol the epoch was chosen on the test part: no verdict should be taken from it."
        if published
        else "Verdicts are given on the contrasts that the plan named before any test part was opened, "
        "adjusted for their number (Holm); all other intervals are exploratory and not adjusted."
    )
    if any(run.spec.tuning for run in study.planned):
        found.append(
            f"Learning rates were chosen on {counted(plan['tuning_seeds'], 'other draw')} of n labels, alike "
            "for all arms: these are labels beyond n, and may hold recordings that other seeds test."
        )
    stopped = [
        f"{cell.network} {cell.arm} on {cell.downstream} with {'all' if cell.n is None else cell.n} labels"
        for cell, done in runs.cells.items()
        if any(run.result.get("diverged_at") is not None for run in done)
    ]
    if stopped:
        found.append(
            f"Trainings that diverged, and kept the best weights before it: {'; '.join(stopped)}. "
            "Lower rates would have served them better."
        )
    if plan["seeds"] < 5:
        found.append(f"Seeds are few ({plan['seeds']}): seed variance is estimated poorly.")
    return found


def counted(number: int, what: str) -> str:
    """Return ``1 seed`` or ``3 seeds``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
