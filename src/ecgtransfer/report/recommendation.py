"""Which model to use: the verdict decides where it can, and the validation loss where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecgtransfer.report.view import LABELS


@dataclass(frozen=True)
class Recommendation:
    """What a study recommends.

    Attributes
    ----------
    network, arm : str
    upstream : str or None
    decided : bool
        Whether the verdict decided; otherwise the choice is a bet on the lower validation loss, or on the
        simpler of two equivalents.
    auroc : float or None
        Mean macro AUROC of the arm in the study, with all labels beside the test part.
    auroc_low, auroc_high : float or None
        Its 95 % interval over patients and seeds. Where the verdict chose the arm, it is a little flattered.
    basis : str
        What that figure is.
    text : str
        The recommendation in a sentence or two.
    """

    network: str
    arm: str
    upstream: str | None
    decided: bool
    auroc: float | None
    auroc_low: float | None
    auroc_high: float | None
    basis: str
    text: str


def recommend(findings: Mapping[str, Any]) -> Recommendation | None:
    """Return the arm to use with all labels of the first downstream; None where no run had them all.

    Among several networks the lowest mean validation loss of any arm chooses. Of that network: fine-tuning
    where a verdict says that it helps, scratch where every verdict says that it harms or makes no difference
    (the simpler of two equivalents). Among several upstreams that help, and where nothing is decided, the
    validation loss chooses again: a choice by test figures would be flattered by them.

    Parameters
    ----------
    findings : mapping
        As `summary.summarise` builds them, of one downstream with the size 'all'.
    """
    downstream = findings["downstreams"][0]["name"]
    cells = [
        cell
        for cell in findings["cells"]
        if cell["downstream"] == downstream and cell["n_is_all"] and cell["arm"] in ("scratch", "full")
    ]
    if not cells:
        return None
    # A verdict on another arm, a linear probe say, is none on fine-tuning.
    words = {
        (row["network"], row["upstream"]): row["verdict"]["word"]
        for row in findings["contrasts"]
        if row["verdict"] is not None
        and row["arm"] == "full"
        and row["downstream"] == downstream
        and row["n_is_all"]
    }
    # Which network: by the validation loss of its better arm. Which arm of it: by the verdict, where it can.
    network = _best(cells)["network"]
    own = [cell for cell in cells if cell["network"] == network]
    found = {
        cell["upstream"]: words.get((network, cell["upstream"])) for cell in own if cell["arm"] == "full"
    }
    chosen, decided, why = _choice(own, found)
    others = [
        cell
        for cell in findings["cells"]
        if cell["downstream"] == downstream
        and cell["n_is_all"]
        and cell["network"] == network
        and cell["arm"] not in ("scratch", "full")
    ]
    return _told(chosen, decided, f"{why}.{_lower(others, chosen)}")


def _choice(
    cells: list[Mapping[str, Any]], found: Mapping[str, str | None]
) -> tuple[Mapping[str, Any], bool, str]:
    """Return the arm of a network, whether verdicts decided, and why; ``found`` has them by upstream."""
    tuned = [cell for cell in cells if cell["arm"] == "full"]
    scratch = [cell for cell in cells if cell["arm"] == "scratch"]
    helpful = [cell for cell in tuned if found[cell["upstream"]] == "helps"]
    open_ = [cell for cell in tuned if found[cell["upstream"]] in (None, "undecided")]
    if helpful:
        return _best(helpful), True, "it helps by the verdict of the study"
    if not tuned:
        return _best(scratch), False, "nothing else was run with all labels"
    if not open_:
        why = {
            frozenset({"harms"}): "fine-tuning harms by the verdict of the study",
            frozenset({"equivalent"}): "fine-tuning makes no difference that matters, and scratch needs no "
            "upstream",
        }.get(
            frozenset(str(word) for word in found.values()),
            "fine-tuning harms or makes no difference that matters, by the verdicts of the study",
        )
        return _best(scratch), True, why
    return (
        _best([*scratch, *open_]),
        False,
        "the study could not decide, and of scratch and fine-tuning this had the lower validation loss: a "
        "bet, not a finding",
    )


def _lower(others: list[Mapping[str, Any]], chosen: Mapping[str, Any]) -> str:
    """Say which arm that is not weighed here, a probe say, had a lower validation loss than the chosen."""
    known = [cell for cell in others if cell["validation_loss"] is not None]
    if not known or chosen["validation_loss"] is None:
        return ""
    best = _best(known)
    if best["validation_loss"] >= chosen["validation_loss"]:
        return ""
    made = ", and ecgtransfer finetune --arm linear-probe makes one" if best["arm"] == "linear-probe" else ""
    which = LABELS[best["arm"]] + (f" from {best['upstream']}" if best["upstream"] else "")
    return (
        f" Only scratch and fine-tuning are weighed here: the {which} had a lower validation loss yet "
        f"({best['validation_loss']:.3f} against {chosen['validation_loss']:.3f}){made}."
    )


def _best(cells: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    known = [cell for cell in cells if cell["validation_loss"] is not None]
    return min(known or cells, key=lambda cell: cell["validation_loss"] or 0.0)


def _told(cell: Mapping[str, Any], decided: bool, why: str) -> Recommendation:
    what = "train from scratch" if cell["arm"] == "scratch" else f"fine-tune from {cell['upstream']}"
    return Recommendation(
        network=cell["network"],
        arm=cell["arm"],
        upstream=cell["upstream"],
        decided=decided,
        auroc=cell["auroc"],
        auroc_low=cell.get("auroc_low"),
        auroc_high=cell.get("auroc_high"),
        basis=f"mean over {cell['seeds']} seeds on their own test parts, with {cell['n']} labels",
        text=f"Use {cell['network']}, {what}: {why}",
    )
