"""Plain baselines beside the networks: a deep model that does not beat them should say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store

Records = NDArray[np.integer[Any]]

BASELINES: dict[str, str] = {
    "age-sex": "logistic regression on age and sex: what is known before the ECG is looked at",
    "rr": "logistic regression on RR intervals: what the rhythm alone says",
}
"""Name → what it is."""

# From strong to weak regularisation, on standardised features. The stronger wins a tie.
STRENGTHS = (0.01, 0.1, 1.0)


@dataclass(frozen=True)
class BaselineResult:
    """What a baseline predicts, and what it had to make do with.

    Attributes
    ----------
    validation_logits, test_logits : float32 array [records, targets]
        In the order of the records given.
    strengths : tuple of float or None
        Per target, the inverse regularisation ``C`` chosen on the validation part; None for a constant.
    constant_targets : tuple of int
        Targets with one class only (or no label) among the training records: every record gets the logit of
        the prevalence, smoothed by half a record of each class.
    unvalidated_targets : tuple of int
        Targets without a label in the validation part: the middle ``C`` was taken unchosen.
    imputed : mapping of str to int
        Per part (``train``, ``validation``, ``test``) the records with a missing feature; the median of the
        training records stands for it, and an indicator says so.
    """

    validation_logits: NDArray[np.float32]
    test_logits: NDArray[np.float32]
    strengths: tuple[float | None, ...]
    constant_targets: tuple[int, ...]
    unvalidated_targets: tuple[int, ...]
    imputed: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return all but the logits, ready for JSON."""
        return {
            "strengths": list(self.strengths),
            "constant_targets": list(self.constant_targets),
            "unvalidated_targets": list(self.unvalidated_targets),
            "imputed": dict(self.imputed),
        }


def fit_baseline(
    name: str,
    store: Store,
    train: Records,
    validation: Records,
    test: Records,
    labels: NDArray[np.float32],
) -> BaselineResult:
    """Fit one logistic regression per target on the training records.

    Features are standardised over the training records; the regularisation is chosen by cross-entropy on the
    validation records. Nothing is random.

    Parameters
    ----------
    name : str
        One of ``BASELINES``.
    store : Store
        Where the features come from.
    train, validation, test : int arrays
        Positions of records in the store; ``test`` may be empty.
    labels : float32 array [store records, targets]
        1 present, 0 absent, NaN unknown: takes no part.

    Raises
    ------
    ConfigError
        There is no such baseline.
    DataError
        There is no training record, or the signals are too coarse for RR intervals.
    """
    if name not in BASELINES:
        raise ConfigError(f"there is no baseline {name!r}", remedy=nearest(name, BASELINES))
    if len(train) == 0:
        raise DataError(f"baseline {name} has no training record", where=store.path)
    parts = {"train": train, "validation": validation, "test": test}
    raw = {part: _features(name, store, records) for part, records in parts.items()}
    x = _standardised(raw)
    fits = [_fit_target(x, labels[train, t], labels[validation, t]) for t in range(labels.shape[1])]
    logits = {
        part: np.stack([fit.logits[part] for fit in fits], axis=1).astype(np.float32)
        if fits
        else np.empty((len(records), 0), dtype=np.float32)
        for part, records in parts.items()
    }
    return BaselineResult(
        validation_logits=logits["validation"],
        test_logits=logits["test"],
        strengths=tuple(fit.strength for fit in fits),
        constant_targets=tuple(t for t, fit in enumerate(fits) if fit.strength is None),
        unvalidated_targets=tuple(t for t, fit in enumerate(fits) if fit.strength and not fit.validated),
        imputed={part: int(np.isnan(values).any(axis=1).sum()) for part, values in raw.items()},
    )


@dataclass(frozen=True)
class _TargetFit:
    logits: dict[str, NDArray[np.float64]]
    strength: float | None
    validated: bool


def _fit_target(
    x: dict[str, NDArray[np.float64]], y: NDArray[np.float32], y_validation: NDArray[np.float32]
) -> _TargetFit:
    from sklearn.linear_model import LogisticRegression

    known = ~np.isnan(y)
    positives, n = int((y[known] == 1).sum()), int(known.sum())
    if positives in (0, n):
        constant = np.log((positives + 0.5) / (n - positives + 0.5))
        return _TargetFit({part: np.full(len(values), constant) for part, values in x.items()}, None, False)
    held_out = ~np.isnan(y_validation)
    validated = bool(held_out.any())
    best, strength, logits = np.inf, 0.0, {}
    for candidate in STRENGTHS if validated else STRENGTHS[1:2]:
        model = LogisticRegression(C=candidate, max_iter=1000).fit(x["train"][known], y[known].astype(int))
        found = {part: values @ model.coef_[0] + model.intercept_[0] for part, values in x.items()}
        loss = _cross_entropy(y_validation[held_out], found["validation"][held_out]) if validated else 0.0
        if loss < best:
            best, strength, logits = loss, candidate, found
    return _TargetFit(logits, strength, validated)


def _cross_entropy(y: NDArray[np.float32], logits: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0, logits) - y * logits).mean())


def _features(name: str, store: Store, records: Records) -> NDArray[np.float64]:
    """Return [records, features], NaN where missing."""
    if name == "rr":
        from ecgtransfer.study.rr import rr_features

        return rr_features(store, records).astype(np.float64)
    table = store.records.iloc[records]
    sex = table["sex"]
    # Two columns, so that an unknown sex is neither.
    columns = [table["age"].to_numpy(dtype=np.float64, na_value=np.nan)]
    columns += [(sex == value).to_numpy(dtype=np.float64, na_value=0.0) for value in ("male", "female")]
    return np.stack(columns, axis=1)


def _standardised(raw: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Fill, flag and scale by what the training records show; what is constant there becomes zero."""
    known = [column[~np.isnan(column)] for column in raw["train"].T]
    medians = np.array([np.median(column) if len(column) else 0.0 for column in known])
    # Features that are missing together share one indicator, or each would carry the weight of all.
    gaps = np.isnan(raw["train"])
    flagged = np.sort(np.unique(gaps, axis=1, return_index=True)[1])
    filled = {
        part: np.concatenate([np.where(np.isnan(x), medians, x), np.isnan(x)[:, flagged]], axis=1)
        for part, x in raw.items()
    }
    mean, spread = filled["train"].mean(axis=0), filled["train"].std(axis=0)
    scale = np.where(spread > 1e-9, 1 / np.maximum(spread, 1e-9), 0.0)
    return {part: (values - mean) * scale for part, values in filled.items()}
