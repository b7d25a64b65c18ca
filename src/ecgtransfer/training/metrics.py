"""How good logits are, per statement and over statements; what cannot be known is None with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgtransfer.errors import ConfigError, ModelError

Floats: TypeAlias = NDArray[np.float64]

METRICS = ("auroc", "auprc", "f1", "brier", "ece", "sensitivity_at_specificity")
ECE_BINS = 15


def thresholds(labels: ArrayLike, logits: ArrayLike, *, minimum_positives: int = 1) -> list[float | None]:
    """Return the threshold per target that maximises F1 on these (validation) records.

    A record is called positive where its logit is at least the threshold. Thresholds lie midway between two
    neighbouring logits (the lowest is the lowest logit itself: all are called positive); of several that are
    equally good the highest is taken, which calls the fewest.

    Parameters
    ----------
    labels : float array
        1 present, 0 absent, NaN unknown, ``[records, targets]``.
    logits : float array
        ``[records, targets]``.
    minimum_positives : int
        Where fewer are present (or none is absent), there is no threshold.

    Returns
    -------
    list of float or None
        In logits, one per target.
    """
    return [
        _best_f1_threshold(y, z) if _why_not(y, max(1, minimum_positives), 1) is None else None
        for y, z in _known_columns(labels, logits)
    ]


def specificity_thresholds(
    labels: ArrayLike, logits: ArrayLike, *, specificity: float = 0.9, minimum_negatives: int = 1
) -> list[float | None]:
    """Return the lowest threshold per target at which the specificity on these records is at least as asked.

    Parameters are those of :func:`thresholds`. The threshold lies midway between the highest negative that is
    not called positive and the next higher logit.
    """
    if not 0 < specificity <= 1:
        raise ConfigError(f"specificity is {specificity}", remedy="Choose a value above 0, up to 1")
    return [
        _specificity_threshold(y, z, specificity) if _why_not(y, 0, minimum_negatives) is None else None
        for y, z in _known_columns(labels, logits)
    ]


def evaluate(
    labels: ArrayLike,
    logits: ArrayLike,
    targets: Sequence[str],
    *,
    thresholds: Sequence[float | None],
    macro_targets: Sequence[str],
    specificity: float = 0.9,
    specificity_thresholds: Sequence[float | None] | None = None,
    minimum_positives: int = 1,
    minimum_negatives: int = 1,
) -> dict[str, Any]:
    """Judge logits per target and as the mean over targets that were fixed beforehand.

    AUROC and AUPRC (average precision) are scikit-learn's. F1 uses ``thresholds``, sensitivity
    ``specificity_thresholds``, both from validation records; the specificity reached here is told beside it.
    Brier score and ECE take the sigmoid of the logit as the probability that the statement is present; ECE
    is the mean distance between predicted and observed share over 15 equally wide bins of that probability,
    weighted by records (Naeini et al., AAAI 2015). Records whose label is unknown are left out and counted.

    Parameters
    ----------
    labels, logits : float array
        ``[records, targets]``; labels 1, 0 or NaN (unknown).
    targets : sequence of str
        Names of the columns.
    thresholds : sequence of float or None
        Per target, from :func:`thresholds` on validation records.
    macro_targets : sequence of str
        Over which targets to average; not chosen by looking at these records.
    specificity : float
        The one that ``specificity_thresholds`` were made for; reported.
    specificity_thresholds : sequence of float or None, optional
        Per target, from :func:`specificity_thresholds` on validation records.
    minimum_positives, minimum_negatives : int
        A target with fewer here gets None for every metric.

    Returns
    -------
    dict
        Plain JSON: ``records``, ``specificity``, ``targets`` (per name: ``positives``, ``negatives``,
        ``unknown``, ``threshold``, ``specificity_threshold``, the metrics ``auroc``, ``auprc``, ``f1``,
        ``brier``, ``ece``, ``sensitivity_at_specificity``, then ``specificity_reached`` and ``why``) and
        ``macro`` (``targets``, the metrics, ``why``). A metric that cannot be known is None, and ``why`` maps
        its name to the reason; a macro metric is None where it is None for one of its targets.

    Raises
    ------
    ConfigError
        Names, thresholds and columns do not fit, or a macro target is not a target.
    ModelError
        A logit is not finite.
    """
    columns = _known_columns(labels, logits)
    n_records = len(np.asarray(labels))
    given = [None] * len(targets) if specificity_thresholds is None else list(specificity_thresholds)
    if not len(columns) == len(targets) == len(thresholds) == len(given):
        raise ConfigError(
            f"{len(columns)} columns, {len(targets)} targets, {len(thresholds)} thresholds and {len(given)} "
            "specificity thresholds do not fit"
        )
    if strangers := [name for name in macro_targets if name not in targets]:
        raise ConfigError(
            f"macro target {strangers[0]} is not a target", remedy=f"Targets: {', '.join(targets)}"
        )
    judged = {
        name: {"positives": int(y.sum()), "negatives": int((1 - y).sum()), "unknown": n_records - len(y)}
        | _judge(y, z, threshold, at_specificity, max(1, minimum_positives), minimum_negatives)
        for name, (y, z), threshold, at_specificity in zip(targets, columns, thresholds, given, strict=True)
    }
    macro = _macro({name: judged[name] for name in macro_targets})
    return {"records": n_records, "specificity": float(specificity), "targets": judged, "macro": macro}


def weighted_f1(labels: ArrayLike, logits: ArrayLike) -> float:
    """Return the F1 of each target at probability 0.5, averaged with the positives here as weights.

    What scikit-learn calls ``f1_score(average="weighted")``: a target that most records have decides. Where
    nothing is present and nothing called, F1 is 0.

    Parameters
    ----------
    labels, logits : float array
        ``[records, targets]``; labels 1, 0 or NaN (unknown, left out).
    """
    columns = _known_columns(labels, logits)
    weights = [float(y.sum()) for y, _ in columns]
    return float(np.average(_f1_at_half(columns), weights=weights)) if any(weights) else 0.0


def mean_f1(labels: ArrayLike, logits: ArrayLike) -> float:
    """Return the plain mean over targets of the F1 at probability 0.5; parameters as `weighted_f1`."""
    return float(np.mean(_f1_at_half(_known_columns(labels, logits))))


def _f1_at_half(columns: Sequence[tuple[Floats, Floats]]) -> list[float]:
    return [float(2 * ((z >= 0) * y).sum() / max(((z >= 0).sum() + y.sum()), 1)) for y, z in columns]


def _judge(
    y: Floats,
    z: Floats,
    threshold: float | None,
    at_specificity: float | None,
    positives: int,
    negatives: int,
) -> dict[str, Any]:
    found: dict[str, Any] = {"threshold": threshold, "specificity_threshold": at_specificity}
    found |= dict.fromkeys((*METRICS, "specificity_reached"))
    why: dict[str, str] = {}
    found["why"] = why
    if (reason := _why_not(y, positives, negatives)) is not None:
        why |= dict.fromkeys(METRICS, reason)
        return found
    from sklearn.metrics import average_precision_score, roc_auc_score  # slow to import

    probability = 0.5 * (1.0 + np.tanh(0.5 * z))
    found["auroc"] = float(roc_auc_score(y, z))
    found["auprc"] = float(average_precision_score(y, z))
    found["brier"] = float(np.mean((probability - y) ** 2))
    found["ece"] = _ece(y, probability)
    if threshold is None:
        why["f1"] = "no threshold: too few positives or negatives in validation"
    else:
        called = z >= threshold
        found["f1"] = float(2 * (called * y).sum() / (called.sum() + y.sum()))
    if at_specificity is None:
        why["sensitivity_at_specificity"] = "no threshold: too few negatives in validation, or none asked for"
    else:
        called = z >= at_specificity
        found["sensitivity_at_specificity"] = float(called[y == 1].mean())
        found["specificity_reached"] = float(1 - called[y == 0].mean())
    return found


def _macro(judged: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    macro: dict[str, Any] = {"targets": list(judged)}
    why: dict[str, str] = {}
    for metric in METRICS:
        values = {name: row[metric] for name, row in judged.items()}
        missing = [name for name, value in values.items() if value is None]
        if missing or not values:
            macro[metric] = None
            why[metric] = (
                "; ".join(f"{name}: {judged[name]['why'][metric]}" for name in missing) or "no macro target"
            )
        else:
            macro[metric] = float(np.mean(list(values.values())))
    return macro | {"why": why}


def _known_columns(labels: ArrayLike, logits: ArrayLike) -> list[tuple[Floats, Floats]]:
    """Return labels and logits of the known records, per target, in double precision."""
    y, z = np.asarray(labels, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    if y.ndim != 2 or y.shape != z.shape:
        raise ConfigError(f"labels {y.shape} and logits {z.shape} have to be [records, targets] both")
    if not np.all(np.isnan(y) | (y == 0) | (y == 1)):
        raise ConfigError("labels hold values other than 1, 0 and NaN (unknown)")
    if not np.isfinite(z).all():
        raise ModelError(
            f"{int((~np.isfinite(z)).any(axis=1).sum())} record(s) have logits that are not finite",
            remedy="Train with a lower learning rate",
        )
    known = ~np.isnan(y)
    return [(y[known[:, k], k], z[known[:, k], k]) for k in range(y.shape[1])]


def _why_not(y: Floats, positives: int, negatives: int) -> str | None:
    """Say why a target cannot be judged, or None; at least one negative is always needed."""
    for found, needed, kind in (
        (int(y.sum()), positives, "positive"),
        (int((1 - y).sum()), max(1, negatives), "negative"),
    ):
        if found < needed:
            return f"{found} {kind} record(s), at least {needed} needed"
    return None


def _best_f1_threshold(y: Floats, z: Floats) -> float:
    descending = np.argsort(-z, kind="stable")
    ranked, hits = z[descending], np.cumsum(y[descending])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # equal logits are called together
    f1 = 2 * hits[last] / (last + 1 + y.sum())
    # Rounded, so that two equal ratios do not differ in their last bit; argmax takes the first: the highest.
    cut = last[np.argmax(np.round(f1, 12))]
    return float(ranked[cut]) if cut + 1 == len(ranked) else float((ranked[cut] + ranked[cut + 1]) / 2)


def _specificity_threshold(y: Floats, z: Floats, specificity: float) -> float:
    negatives = np.sort(z[y == 0])[::-1]
    allowed = int(np.floor((1 - specificity) * len(negatives) + 1e-9))
    if allowed >= len(negatives):
        return float(z.min())
    highest_spared = negatives[allowed]
    higher = z[z > highest_spared]
    return (
        float((highest_spared + higher.min()) / 2)
        if len(higher)
        else float(np.nextafter(highest_spared, np.inf))
    )


def _ece(y: Floats, probability: Floats) -> float:
    bins = np.minimum((probability * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=probability - y, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(y))
