"""Confounding: whether a statement stands for a hospital or a device rather than for a finding.

Two things make it so: the origin of a record can be told from its signal, and the prevalence of the statement
differs between origins. Where both are true, a network may learn the origin in place of the statement, and a
test that mixes origins rewards it (Zech et al. 2018, 10.1371/journal.pmed.1002683).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer import seeds
from ecgtransfer.datasets.statements import canonical
from ecgtransfer.datasets.steps import MISSING

if TYPE_CHECKING:
    from ecgtransfer.datasets.duplicates import Pair
    from ecgtransfer.datasets.store import Store

# An origin with fewer records than this is not told from others, nor compared in prevalence.
_LEAST_RECORDS = 20
# Records per origin that the classifier sees: enough for an AUROC to ±0.02, and quick in any store.
_MOST_RECORDS = 400
# From here on an association is told in the summary (Cohen 1988 calls 0.3 medium, 0.5 large).
STRONG_ASSOCIATION = 0.3
TELLS_APART = 0.9
_BANDS = ((0.3, 1.0), (1.0, 5.0), (5.0, 15.0), (15.0, 25.0), (25.0, 40.0), (40.0, 50.0))

Floats = NDArray[np.float64]
Where = list[tuple[int, int]]  # (store, position)


def confounding(stores: Sequence[Store], names: Sequence[str], pairs: Sequence[Pair]) -> dict[str, Any]:
    """Compare the origins of the records: stores, the sources of a mixture, and devices.

    Parameters
    ----------
    stores, names
        As `audit` has them.
    pairs : sequence of Pair
        Duplicates; the second of each is left out, because an ECG that is in two origins tells neither.

    Returns
    -------
    dict
        ``source_from_signal``: per way of dividing the records (``between``, the ``origins``) the
        cross-validated ``auroc`` (one against the rest, mean) of a logistic regression on amplitudes and
        spectra, ``n``, and the ``features`` it leans on most. ``statements``: per statement and way of
        dividing, ``prevalences`` by origin and ``cramers_v``, the strongest first. ``summary``: sentences.
    """
    away = {pair.b for pair in pairs}
    told, associated = [], []
    for between, groups in _divisions(stores, names, away):
        found = _from_signal(stores, between, groups)
        if found is not None:
            told.append(found)
        associated += _associations(stores, between, groups)
    associated.sort(key=lambda row: (-row["cramers_v"], row["statement"]))
    return {
        "source_from_signal": told,
        "statements": associated,
        "summary": _sentences(told, associated),
    }


def _divisions(
    stores: Sequence[Store], names: Sequence[str], away: set[tuple[int, int]]
) -> list[tuple[str, dict[str, Where]]]:
    """Return the ways in which the records come from several origins, each with its records by origin."""
    ways: list[tuple[str, dict[str, Where]]] = []
    everywhere: dict[str, Where] = {}
    for i, store in enumerate(stores):
        kept = [(i, position) for position in range(store.n_records) if (i, position) not in away]
        everywhere[names[i]] = kept
        for column in ("source", "device"):
            values = store.records[column].tolist()
            groups: dict[str, Where] = {}
            for place in kept:
                if isinstance(values[place[1]], str):
                    groups.setdefault(values[place[1]], []).append(place)
            ways.append((f"{column}s of {names[i]}", groups))
    if len(stores) > 1:
        ways.insert(0, ("stores", everywhere))
    large = [
        (between, {k: v for k, v in groups.items() if len(v) >= _LEAST_RECORDS}) for between, groups in ways
    ]
    return [(between, groups) for between, groups in large if len(groups) > 1]


def _from_signal(stores: Sequence[Store], between: str, groups: dict[str, Where]) -> dict[str, Any] | None:
    """Tell the origin from simple features of the signal; None where the stores have no lead in common."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = seeds.stream(0, 0, "split", "confounding")
    used = {place[0] for group in groups.values() for place in group}
    leads = [lead for lead in stores[min(used)].info.leads if all(lead in stores[i].info.leads for i in used)]
    rate = min(stores[i].info.sampling_rate for i in used)
    if not leads or any(stores[i].info.recipe.get("name") == "paper" for i in used):
        return None
    origins = sorted(groups)
    rows, labels, people = [], [], []
    for number, origin in enumerate(origins):
        places = groups[origin]
        chosen = rng.permutation(len(places))[:_MOST_RECORDS]
        for k in np.sort(chosen).tolist():
            store = stores[places[k][0]]
            rows.append(places[k])
            labels.append(number)
            people.append(f"{places[k][0]}/{store.groups[places[k][1]]}")
    features, called = _features(stores, rows, leads, rate)
    usable = np.isfinite(features).all(axis=1)
    features, target = features[usable], np.array(labels)[usable]
    group = np.unique(np.array(people)[usable], return_inverse=True)[1]
    if np.bincount(target, minlength=len(origins)).min() < _LEAST_RECORDS or len(np.unique(group)) < 5:
        return None
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    # Drawn at random: folds in the order of the records would follow the origins.
    order = rng.permutation(group.max() + 1)
    chance = cross_val_predict(
        model, features, target, groups=order[group], cv=GroupKFold(5), method="predict_proba"
    )
    aurocs = [roc_auc_score(target == number, chance[:, number]) for number in range(len(origins))]
    weight = np.abs(model.fit(features, target)[-1].coef_).mean(axis=0)
    return {
        "between": between,
        "origins": origins,
        "auroc": round(float(np.mean(aurocs)), 3),
        "n": len(target),
        "features": [called[i] for i in np.argsort(-weight)[:5]],
    }


def _features(
    stores: Sequence[Store], rows: Where, leads: list[str], rate: float
) -> tuple[Floats, list[str]]:
    """Return amplitudes and band powers, on a log scale, of each record's first window, and their names."""
    bands = [(low, high) for low, high in _BANDS if high <= rate / 2]
    names = ["share of samples missing", "mean level"]
    names += [f"span of {lead}" for lead in leads]
    names += [f"power of {lead} at {low:g} to {high:g} Hz" for lead in leads for low, high in bands]
    values = np.empty((len(rows), len(names)))
    for k, (i, position) in enumerate(rows):
        store = stores[i]
        window = store.rows_of(np.array([position]))[:1]
        chosen = [store.info.leads.index(lead) for lead in leads]
        missing = (store.read(window)[0] == MISSING)[chosen]
        signal = store.millivolts(window)[0][chosen].astype(np.float64)
        count = np.maximum((~missing).sum(axis=1, keepdims=True), 1)
        mean = np.where(missing, 0, signal).sum(axis=1, keepdims=True) / count
        signal = np.where(missing, mean, signal)
        low, high = np.quantile(signal, (0.005, 0.995), axis=1)
        frequency = np.fft.rfftfreq(signal.shape[1], 1 / store.info.sampling_rate)
        power = np.abs(np.fft.rfft(signal - mean, axis=1)) ** 2 / signal.shape[1] / store.info.sampling_rate
        inside = [power[:, (frequency >= a) & (frequency < b)].mean(axis=1) for a, b in bands]
        values[k, 0] = missing.mean()
        values[k, 1] = np.abs(mean).mean()
        values[k, 2 : 2 + len(leads)] = np.log(high - low + 1e-4)
        values[k, 2 + len(leads) :] = np.log(np.stack(inside, axis=1) + 1e-10).ravel()
    return values, names


def _associations(stores: Sequence[Store], between: str, groups: dict[str, Where]) -> list[dict[str, Any]]:
    """Return, for each statement known in two origins or more, its prevalences and Cramér's V."""
    counts: dict[str, dict[str, list[int]]] = {}
    for origin, places in groups.items():
        for i in sorted({place[0] for place in places}):
            store = stores[i]
            here = np.array([position for store_, position in places if store_ == i])
            merged: dict[str, NDArray[np.float32]] = {}
            for code in store.statements.columns:
                value = store.statements[code].to_numpy(dtype=np.float32, na_value=np.nan)[here]
                key = canonical(str(code))
                # Of two columns that mean the same, present in either is present.
                merged[key] = np.fmax(merged[key], value) if key in merged else value
            for code, value in merged.items():
                entry = counts.setdefault(code, {}).setdefault(origin, [0, 0])
                entry[0] += int((value == 1).sum())
                entry[1] += int((value == 0).sum())
    rows = []
    for code, by_origin in counts.items():
        known = {origin: pair for origin, pair in sorted(by_origin.items()) if sum(pair) >= _LEAST_RECORDS}
        if len(known) < 2:
            continue
        table = np.array(list(known.values()), dtype=np.float64)
        if not table.sum(axis=0).all():
            continue  # nowhere present, or everywhere
        rows.append(
            {
                "statement": code,
                "between": between,
                "prevalences": {origin: round(a / (a + b), 4) for origin, (a, b) in known.items()},
                "positives": {origin: a for origin, (a, _) in known.items()},
                "cramers_v": round(_cramers_v(table), 3),
            }
        )
    return rows


def _cramers_v(table: Floats) -> float:
    """Return Cramér's V of a table [origins, 2], less its bias (Bergsma 2013, 10.1016/j.jkss.2012.10.002)."""
    total = table.sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    phi = float(((table - expected) ** 2 / expected).sum() / total)
    r, k = table.shape
    phi = max(0.0, phi - (k - 1) * (r - 1) / (total - 1))
    smaller = min(k - (k - 1) ** 2 / (total - 1), r - (r - 1) ** 2 / (total - 1)) - 1
    return float((phi / smaller) ** 0.5) if smaller > 0 else 0.0


def _sentences(told: list[dict[str, Any]], associated: list[dict[str, Any]]) -> list[str]:
    lines = []
    for row in told:
        if row["auroc"] >= TELLS_APART:
            lines.append(
                f"The {row['between']} can be told apart from the signal alone (AUROC {row['auroc']:.2f}, "
                f"mostly by {', '.join(row['features'][:2])})."
            )
    strong = [row for row in associated if row["cramers_v"] >= STRONG_ASSOCIATION]
    for row in strong[:5]:
        shares = ", ".join(f"{share:.0%} in {origin}" for origin, share in row["prevalences"].items())
        lines.append(
            f"{row['statement']} goes with the {row['between']} ({shares}; Cramér's V "
            f"{row['cramers_v']:.2f}): test it within one of them."
        )
    if len(strong) > 5:
        lines.append(f"{len(strong) - 5} further statements go with their origin: see confounding.")
    return lines
