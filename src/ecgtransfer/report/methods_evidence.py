"""The second half of the methods: outcome, intervals, verdicts, and what else was looked at."""

from __future__ import annotations

from collections.abc import Sequence

from ecgtransfer import __version__
from ecgtransfer.report.english import capital, count, listed
from ecgtransfer.report.references import Citations
from ecgtransfer.report.view import Evidence, arm_label, budget_rows, level, number, size_label, unique


def outcome(evidence: Evidence, cite: Citations) -> str:
    """Say what was measured, and which contrasts the plan named."""
    judged = [row for row in evidence.get("contrasts", []) if row.get("verdict")]
    if evidence.get("study", {}).get("protocol") == "paper":
        score = evidence.get("protocol", {}).get("score", "its F1")
        return (
            f"The outcome was the score of the published study ({score}); beside it stands the macro AUROC "
            "of the same weights on the same test recordings. No contrast gets a verdict: the weights were "
            "chosen by what they are judged by."
        )
    text = (
        "The outcome was the area under the receiver operating characteristic (AUROC) on test recordings, "
        "averaged over the targets with enough positives and negatives in every test part (macro AUROC), a "
        "set that was fixed before the first run."
    )
    if not judged:
        return text
    pairs: dict[str, list[str]] = {}
    for row in judged:
        origin = f" from {row['upstream']}" if row["upstream"] else ""
        pair = f"{arm_label(row['arm'])} {row['network']}{origin} against {row['reference']}"
        pairs.setdefault(f"{pair} on {row['downstream']}", []).append(size_label(row))
    names = [f"{pair} with {listed(sizes)} labels" for pair, sizes in pairs.items()]
    frozen = evidence.get("study", {}).get("hash")
    kept = f" (hash {frozen})" if frozen else ""
    plural = "s" if len(judged) > 1 else ""
    return (
        f"{text} {capital(count(len(judged)))} primary contrast{plural} {'were' if plural else 'was'} named "
        f"in the plan, which was frozen{kept} before any test part was opened: {'; '.join(names)}. All "
        "others are exploratory."
    )


def intervals(evidence: Evidence, cite: Citations) -> str:
    """Say what the intervals are made of."""
    contrasts = evidence.get("contrasts", [])
    if not contrasts:
        return ""
    seeds = _spread([row["n_seeds"] for row in contrasts])
    starts = max((row.get("n_pretraining_seeds") or 1 for row in contrasts), default=1)
    crossed = (
        f", and with {starts} pre-training seeds where there were several"
        if starts > 1
        else "; with one pre-trained network each, they do not know how another would fare"
    )
    return (
        f"Differences are paired by seed ({seeds}). {_shared(evidence)}, so seeds are no independent "
        "replicates: intervals resample patients, with one exponential weight per patient "
        f"that arms, targets and seeds share {cite('bayesian')}, crossed with seeds "
        f"{cite('crossed', 'variance')}{crossed}. Positives are compared with negatives of the same fold "
        f"{cite('clustered')}. The variances of patients and of seeds get the Student quantiles of their own "
        f"degrees of freedom, weighted by their shares {cite('cochran')}. Below ten test patients in the "
        "rarer class of a target no interval is given. The intervals hold for this pool of training "
        "recordings and these settings."
    )


def _shared(evidence: Evidence) -> str:
    """Say what seeds have in common."""
    most = max((row["n_seeds"] for row in evidence.get("contrasts", [])), default=1)
    folds = [down.get("folds", 1) for down in evidence.get("downstreams", [])]
    if all(number == 1 for number in folds):
        return "The same patients are tested at every seed"
    if all(number >= most for number in folds):
        return (
            "Each patient is tested at one seed at most, and all seeds learn from the same pool of patients"
        )
    return "Each patient is tested at several seeds, and all learn from the same pool of patients"


def verdicts(evidence: Evidence, cite: Citations) -> str:
    """Say how a verdict comes about."""
    judged = [row["verdict"] for row in evidence.get("contrasts", []) if row.get("verdict")]
    if not judged:
        return ""
    family = level(evidence.get("level", 0.95))
    return (
        f"A contrast is called equivalent where its 90 % interval lies within ±{judged[0]['margin']:g} macro "
        f"AUROC, even if it excludes zero {cite('tost', 'rope')}; else helps or harms where the interval "
        f"adjusted for the number of primary contrasts excludes zero (Holm's step-down procedure, {family} "
        f"over the family) {cite('holm')}; else undecided. The minimum detectable difference is the true one "
        "that the design would call with a probability of 80 %. Verdicts come from these intervals alone; "
        "no test over seeds was used."
    )


def curves(evidence: Evidence, cite: Citations) -> str:
    """Say how the learning curves were read; empty without curves."""
    if not evidence.get("curves"):
        return ""
    return (
        "Whole seed-curves were bootstrapped together with the patients. Scratch catches up where the "
        f"difference falls below {evidence.get('margin', 0.01):g}: read off a curve that may only fall "
        f"{cite('isotonic')} between the observed sizes, and extrapolated to at most twice the largest size "
        f"where a power law and an exponential agree {cite('curves')}. Labels saved and effective data "
        f"transferred follow Hernandez et al. {cite('transferred')}."
    )


def convergence(evidence: Evidence, cite: Citations) -> str:
    """Say how convergence and cost were measured; empty without either."""
    rows, cost = budget_rows(evidence), evidence.get("cost") or {}
    parts = []
    if rows:
        budgets = unique(number(budget) for row in rows for budget in row["budgets"])
        parts.append(
            f"Budgets of {listed(budgets)} updates were separate trainings, each with its own schedule. The "
            "time to a validation loss that was named beforehand lies above the largest budget that fails "
            "before the first that reaches it, and not above that one (interval-censored); seeds that never "
            f"do are censored (Kaplan–Meier) {cite('survival')}. Ratios of times and the break-even are "
            "given with all that these edges leave possible."
        )
    if cost.get("rows"):
        parts.append(
            "Floating-point operations were counted from the forward pass, a training step being three of "
            f"them {cite('operations')}; times were measured."
        )
        if cost.get("power_note"):
            parts.append(f"{capital(cost['power_note']).rstrip('.')}.")
    if cost.get("break_even"):
        parts.append(
            "Pre-training pays for itself after as many projects as its cost contains their mean saving, "
            "the search of the downstream learning rate included, with Student's interval over seeds."
        )
    return " ".join(parts)


def exploratory(evidence: Evidence, cite: Citations) -> str:
    """Say what else was looked at."""
    found = [
        text
        for key, text in (
            ("per_target", "single statements"),
            ("gains", "differences of gains between networks and between sizes"),
            ("subgroups", "subgroups by sex, age and source"),
            ("negative_transfer", "negative transfer"),
            ("operating", "sensitivity at a fixed specificity, with thresholds of the validation part"),
        )
        if evidence.get(key)
    ]
    parts = []
    if found:
        parts.append(f"Exploratory, and adjusted for nothing: {listed(found, ';')}.")
    if evidence.get("calibration"):
        parts.append(
            f"Calibration was judged by reliability diagrams, slope and intercept {cite('calibration')}, "
            "Brier score and expected calibration error."
        )
    if evidence.get("noise_ceiling"):
        parts.append(
            "Two labels of one ECG that disagree, by a second reader or in a duplicate, bound the AUROC that "
            "any model can be measured at "
            f"{cite('noise')}."
        )
    if evidence.get("paper"):
        parts.append(
            f"The published protocol {cite('study')} was run beside this one, and the optimism of selecting "
            "on the test part was measured."
        )
    return " ".join(parts)


def software(evidence: Evidence, cite: Citations) -> str:
    """Say what everything was made with."""
    return (
        f"All runs, intervals and figures were made with ecgtransfer {__version__}; every number is in the "
        "tables that come with this report."
    )


def _spread(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    if low == high:
        return f"{count(low)} seed{'s' if low != 1 else ''}"
    return f"{low} to {high} seeds"
