"""The methods of a study as text fit for a paper, written from its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ecgtransfer.report.english import capital, count, either, listed
from ecgtransfer.report.methods_evidence import (
    convergence,
    curves,
    exploratory,
    intervals,
    outcome,
    software,
    verdicts,
)
from ecgtransfer.report.references import Citations, Reference
from ecgtransfer.report.sheets import leads_phrase, setting
from ecgtransfer.report.view import (
    ARMS,
    Evidence,
    number,
    ordered_arms,
    size_label,
    unique,
)

_ARMS = {
    "scratch": "training from scratch",
    "full": "fine-tuning",
    "linear-probe": "a linear probe",
    "frozen-random": "a frozen random encoder",
}


@dataclass(frozen=True)
class Methods:
    """The text: paragraphs with their headings, and the works they cite by number."""

    paragraphs: tuple[tuple[str, str], ...]
    references: tuple[Reference, ...]

    def __str__(self) -> str:
        """Return everything as Markdown."""
        parts = ["# Methods", *(f"**{head}.** {text}" for head, text in self.paragraphs)]
        works = [f"{number}. {work}" for number, work in enumerate(self.references, 1)]
        return "\n\n".join([*parts, "## References", "\n".join(works)]) + "\n"


def methods(evidence: Evidence) -> Methods:
    """Write the methods of a study.

    Parameters
    ----------
    evidence : mapping
        The content of evidence.json.
    """
    cite = Citations()
    writers: tuple[tuple[str, Callable[[Evidence, Citations], str]], ...] = (
        ("Question", _question),
        ("Recordings", _recordings),
        ("Networks and pre-training", _networks),
        ("Arms", _arms),
        ("Partitions and label budgets", _splits),
        ("Training", _training),
        ("Outcome and primary contrasts", outcome),
        ("Intervals", intervals),
        ("Verdicts", verdicts),
        ("Learning curves", curves),
        ("Convergence and cost", convergence),
        ("Exploratory analyses", exploratory),
        ("Software", software),
    )
    found = [(head, write(evidence, cite)) for head, write in writers]
    return Methods(tuple((head, text) for head, text in found if text), tuple(cite.cited))


def _question(evidence: Evidence, cite: Citations) -> str:
    upstreams = unique(row["name"] for row in evidence.get("upstreams", []))
    origin = f" pre-trained on {listed(upstreams)}" if upstreams else ""
    return (
        f"We compared learning to classify electrocardiograms (ECGs) from networks{origin} with learning "
        "from random weights, on the same recordings, following the question of Nguyen and Do "
        f"{cite('study')}."
    )


def _recordings(evidence: Evidence, cite: Citations) -> str:
    parts = []
    for down in evidence.get("downstreams", []):
        people = (
            f"{number(down['patients'])} patients"
            if down["patients_known"]
            else "patients unknown, each recording counting as its own"
        )
        text = (
            f"{down['name']}: {number(down['records'])} recordings ({people}), {leads_phrase(down['leads'])} "
            f"at {down['sampling_rate']:g} Hz, task {down['task']}"
        )
        if down.get("citation") and down["citation"] != "not stated":
            text += f" ({down['citation'].rstrip('.')})"
        left_out = [str(item["target"]) for item in down["left_out"]]
        if left_out:
            text += f"; left out of the macro mean for want of positives or negatives: {listed(left_out)}"
        parts.append(text + ".")
    pairs = sum(down.get("duplicate_pairs") or 0 for down in evidence.get("downstreams", []))
    across = all(row["overlap_sought"] for row in evidence.get("upstreams", []))
    found = f"{count(pairs)} {'pair was' if pairs == 1 else 'pairs were'} found downstream" if pairs else ""
    if found and not _published(evidence):  # its split is by recording
        found += ", and patients under whom the same ECG is filed count as one"
    parts.append(
        "Recordings that are the same ECG were sought by fingerprints of the signal within"
        f"{' and across' if across else ' the downstream'} datasets; "
        f"{found or 'none was found downstream'}."
    )
    if _published(evidence):
        parts.append("What a dataset does not annotate counted as absent, as in the published study.")
    else:
        parts.append(
            "Statements that a dataset does not annotate were masked in loss and metrics, not taken as "
            "absent."
        )
    return " ".join(parts)


def _networks(evidence: Evidence, cite: Citations) -> str:
    names = unique(cell["network"] for cell in evidence.get("cells", []))
    if not names:
        return ""
    parts = [
        f"The network{'s were' if len(names) > 1 else ' was'} "
        f"{listed([_cited(name, cite) for name in names])}."
    ]
    origins = evidence.get("upstreams", [])
    for name, task, records in unique((row["name"], row["task"], row["records"]) for row in origins):
        own = [row for row in origins if (row["name"], row["task"], row["records"]) == (name, task, records)]
        # The same pre-trained network serves several downstream stores.
        by_network = {row["network"]: row for row in reversed(own)}
        what = f"task {task}, {number(records)} recordings" if task else f"{number(records)} recordings"
        made = [_made(by_network[network]) for network in unique(row["network"] for row in own)]
        parts.append(f"From {name} ({what}): {listed(made)}.")
        for how in unique(_how_made(row) for row in own if row.get("training")):
            parts.append(how)
    left_out = unique(row["left_out"] for row in evidence.get("upstreams", []) if row["left_out"])
    return " ".join([*parts, *(text.rstrip(".") + "." for text in left_out)])


def _arms(evidence: Evidence, cite: Citations) -> str:
    names = ordered_arms(cell["arm"] for cell in evidence.get("cells", []))
    if not names:
        return ""
    text = f"We compared {listed([_arm(name) for name in names], ';')}."
    baselines = unique(row["name"] for row in evidence.get("baselines", []))
    if baselines:
        known = {"age-sex": "age and sex", "rr": "RR intervals"}
        told = either([known.get(name, name) for name in baselines])
        text += f" Baselines without a network: logistic regression on {told}."
    return text


def _splits(evidence: Evidence, cite: Citations) -> str:
    if _published(evidence):
        told = evidence.get("protocol", {})
        rules = [f"{name}: {told[name]}" for name in ("test part", "subsets") if name in told]
        return f"Recordings were divided as in the published study ({'; '.join(rules)})."
    cells = evidence.get("cells", [])
    sizes = []
    for name in unique(cell["downstream"] for cell in cells):
        own = unique(size_label(cell) for cell in cells if cell["downstream"] == name)
        several = len(evidence.get("downstreams", [])) > 1
        sizes.append(f"{listed(own)} labelled ECGs" + (f" of {name}" if several else ""))
    tested = [down["split"].rstrip(".") for down in evidence.get("downstreams", []) if down.get("split")]
    how = (
        f"{capital('; '.join(unique(tested)))}."
        if tested
        else "Where a dataset comes with official folds, its test fold was tested; otherwise patients were "
        "divided into five stratified folds."
    )
    return (
        f"{how} Patients, and recordings that are the same ECG, share a side of every partition. Training "
        f"sets were random, nested subsets of the rest: {'; '.join(sizes)}. These numbers count the "
        f"labels of each run{_beyond_n(evidence)}: a fifth of them, by patient, was its validation part. At "
        "each seed all arms had the same recordings in the same partition."
    )


def _beyond_n(evidence: Evidence) -> str:
    """Say that choosing the rate took labels of its own, where it did."""
    by = next((row.get("by", "") for row in evidence.get("tuning", [])), "")
    return "; the learning rate was chosen on other draws of as many" if "tuning" in by else ""


def _training(evidence: Evidence, cite: Citations) -> str:
    told, study = evidence.get("protocol", {}), evidence.get("study", {})
    updates = study.get("updates") or told.get("updates per training")
    if _published(evidence):
        rules = [f"{name}: {told[name]}" for name in ("budget", "learning rate", "weights") if name in told]
        return (
            f"Training followed the published study ({'; '.join(rules)}). The weights were those of the "
            "epoch with the best result on the test part, and that result was reported: these values are "
            "optimistic, and are shown to measure by how much."
        )
    parts = []
    if updates:
        batch = f" of up to {told['batch size']} recordings" if "batch size" in told else ""
        parts.append(
            f"Each training had {number(updates)} updates{batch}, the same for every size, so that size is "
            "not confounded with training time."
        )
    parts.append(
        f"The loss was binary cross-entropy over known labels; the optimiser AdamW {cite('adamw')}"
        + (
            f" with weight decay {told['weight decay']:g}"
            if isinstance(told.get("weight decay"), float)
            else ""
        )
        + ". Weights, penalty and thresholds were chosen on the validation part, and the test part was "
        "evaluated once."
    )
    rates = told.get("learning rates") or told.get("learning rates, all tried in each run")
    if rates:
        by = told.get("rate chosen by")
        parts.append(
            f"The learning rate was one of {listed([f'{rate:g}' for rate in rates])}, the same for all arms"
            + (f", chosen by {by}" if by else "")
            + "."
        )
    augmentation = told.get("augmentation")
    if augmentation and isinstance(augmentation, Mapping):
        parts.append(f"Signals were augmented in training ({setting(augmentation)}).")
    return " ".join(parts)


def _arm(name: str) -> str:
    return f"{_ARMS.get(name, name)} ({ARMS[name]})" if name in ARMS else name


def _made(row: Mapping[str, Any]) -> str:
    times = "once" if row["seeds"] == 1 else f"from {count(row['seeds'])} seeds"
    how = "given as a finished model" if row["downloaded"] else f"pre-trained {times}"
    score = "" if row["auroc"] is None else f", macro AUROC on its own test part {number(row['auroc'])}"
    return f"{row['network']} ({how}{score})"


def _how_made(row: Mapping[str, Any]) -> str:
    made = row["training"]
    turned = "Half of its recordings, drawn at random, were turned upside down" if made["flip"] else ""
    return (
        f"Pre-training on {row['name']} had {number(made['updates'])} updates of up to "
        f"{number(made['batch_size'])} recordings at a peak learning rate of {made['learning_rate']:g}."
        + (f" {turned}." if turned else "")
    )


def _cited(name: str, cite: Citations) -> str:
    family = {"resnet": "resnet", "lstm": "lstm", "bilstm": "lstm", "gru": "gru"}
    key = next((work for start, work in family.items() if name.startswith(start)), None)
    return f"{name} {cite(key)}" if key else name


def _published(evidence: Evidence) -> bool:
    return bool(evidence.get("study", {}).get("protocol") == "paper")
