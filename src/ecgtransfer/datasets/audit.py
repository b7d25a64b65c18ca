"""The audit: what is wrong with prepared data, within a store and between several, with the evidence."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecgtransfer.datasets import duplicates
from ecgtransfer.datasets.confounding import confounding
from ecgtransfer.datasets.statements import canonical
from ecgtransfer.datasets.steps import MISSING
from ecgtransfer.datasets.store import Store

MINIMUM_POSITIVES = 10

# The pairs of statements that stand together most often; the rest would be hundreds.
_COOCCURRENCES = 50
# A record this many times larger or smaller than the middle of its own store is on another scale.
_OTHER_SCALE = 4.0
_CHUNK = 256
# More statements than these are not named in a sentence.
_NAMED = 5


def audit(
    stores: Sequence[Store],
    names: Sequence[str],
    *,
    minimum_positives: int = MINIMUM_POSITIVES,
    quiet: bool = True,
) -> dict[str, Any]:
    """Say what is wrong with one or several stores.

    Parameters
    ----------
    stores : sequence of Store
    names : sequence of str
        How each is called in the findings.
    minimum_positives : int
        A statement with fewer positive or negative records than this cannot be learnt or tested.
    quiet : bool
        No progress on stderr.

    Returns
    -------
    dict
        JSON-able. ``stores`` (what each holds: coverage of labels, prevalence, co-occurrence),
        ``duplicates``, ``flags``, ``patients_in_two_stores``, ``one_ecg_two_patients``, ``few_positives``,
        ``confounding``, ``label_disagreement``, and ``summary``, one sentence per finding. A record is
        ``[store, record_id]``.
    """
    searched = duplicates.search(stores, quiet=quiet)
    pairs = searched.pairs
    people = [_patients(store) for store in stores]
    told = [_pair(pair, stores, names, people) for pair in pairs]
    findings: dict[str, Any] = {
        "stores": [_describe(store, name) for store, name in zip(stores, names, strict=True)],
        "duplicates": told,
        "flags": [flag for store, name in zip(stores, names, strict=True) for flag in _flags(store, name)],
        "patients_in_two_stores": _patients_in_two_stores(names, people),
        "one_ecg_two_patients": [
            {
                "a": row["a"],
                "b": row["b"],
                "patients": [people[side[0]][side[1]][1] for side in (pair.a, pair.b)],
            }
            for row, pair in zip(told, pairs, strict=True)
            if row["same_patient"] is False
        ],
        "few_positives": [
            row
            for store, name in zip(stores, names, strict=True)
            for row in _few(store, name, minimum_positives)
        ],
        "confounding": confounding(stores, names, pairs),
        "label_disagreement": [
            row for row, pair in zip(told, pairs, strict=True) for row in _disagreement(row, pair, stores)
        ],
    }
    # What the search could not look at stands beside what it found.
    findings["summary"] = [
        *_summary(findings, minimum_positives),
        *(f"Duplicates: {note}." for note in searched.notes),
    ]
    return findings


def _patients(store: Store) -> list[tuple[str, str | None]]:
    """Return (source, patient) of each record; None where the patient is unknown."""
    ids, sources = store.records["patient_id"].tolist(), store.records["source"].tolist()
    return [(s, None if p.startswith("record:") else p) for s, p in zip(sources, ids, strict=True)]


def _pair(
    pair: duplicates.Pair,
    stores: Sequence[Store],
    names: Sequence[str],
    people: Sequence[Sequence[tuple[str, str | None]]],
) -> dict[str, Any]:
    (source_a, a), (source_b, b) = people[pair.a[0]][pair.a[1]], people[pair.b[0]][pair.b[1]]
    # Ids are names within one source: 7 in LUDB is not 7 in PTB-XL.
    known = a is not None and b is not None and source_a == source_b
    folds = [_fold(stores[i], position) for i, position in (pair.a, pair.b)]
    return {
        "a": _ref(stores, names, pair.a),
        "b": _ref(stores, names, pair.b),
        "kind": pair.kind,
        "similarity": round(pair.similarity, 4),
        "shift_s": round(pair.shift, 2) + 0.0,  # a hundredth: finer is only the resampling; and no -0.0
        "gain": round(pair.gain, 4),
        "same_patient": a == b if known else None,
        "folds": folds if None not in folds else None,
    }


def _ref(stores: Sequence[Store], names: Sequence[str], place: tuple[int, int]) -> list[str]:
    return [names[place[0]], str(stores[place[0]].records["record_id"].iloc[place[1]])]


def _fold(store: Store, position: int) -> int | None:
    fold = store.records["fold"].iloc[position]
    return None if pd.isna(fold) else int(fold)


def _describe(store: Store, name: str) -> dict[str, Any]:
    info = store.info
    patients = int(store.records["patient_id"].nunique()) if info.patients_known else None
    coverage = [{"label": label, "code": code, "records": count} for label, code, count in info.coverage]
    return {
        "name": name,
        "source": info.source,
        "records": store.n_records,
        "windows": store.n_windows,
        "patients": patients,
        "patient_separation": "by patient"
        if info.patients_known
        else "patient separation cannot be verified",
        "sampling_rate": info.sampling_rate,
        "leads": list(info.leads),
        "seconds": info.n_samples / info.sampling_rate,
        "rejected": info.n_rejected,
        "notes": list(info.notes),
        "coverage": {
            "mapped": [row for row in coverage if row["code"] is not None],
            "unmapped": [
                {"label": row["label"], "records": row["records"]} for row in coverage if row["code"] is None
            ],
        },
        "prevalence": _prevalence(store),
        "cooccurrence": _cooccurrence(store),
    }


def _values(store: Store) -> tuple[list[str], NDArray[np.float32]]:
    """Return the statements and their values [records, statements]: 1, 0 or NaN."""
    codes = list(store.statements.columns)
    if not codes:
        return [], np.empty((store.n_records, 0), dtype=np.float32)
    return codes, store.statements.to_numpy(dtype=np.float32, na_value=np.nan)


def _prevalence(store: Store) -> list[dict[str, Any]]:
    codes, values = _values(store)
    sources = store.records["source"].to_numpy(dtype=str)
    rows = []
    for source in sorted(set(sources.tolist())):
        here = values[sources == source]
        present, absent = (here == 1).sum(axis=0), (here == 0).sum(axis=0)
        rows += [
            {
                "source": source,
                "statement": code,
                "present": int(present[i]),
                "absent": int(absent[i]),
                "unknown": int(len(here) - present[i] - absent[i]),
            }
            for i, code in enumerate(codes)
        ]
    return rows


def _cooccurrence(store: Store) -> list[dict[str, Any]]:
    codes, values = _values(store)
    present = (values == 1).astype(np.float32)
    together = (present.T @ present).astype(np.int64)
    found: list[dict[str, Any]] = [
        {"a": codes[i], "b": codes[j], "records": int(together[i, j])}
        for i, j in zip(*np.triu_indices(len(codes), 1), strict=True)
        if together[i, j]
    ]
    found.sort(key=lambda row: (row["a"], row["b"]))
    return sorted(found, key=lambda row: int(row["records"]), reverse=True)[:_COOCCURRENCES]


def _flags(store: Store, name: str) -> list[dict[str, Any]]:
    """Return what was remarked when the store was made, and what only shows beside the other records."""
    ids = store.records["record_id"].tolist()
    found, sized = [], set()
    for position, text in enumerate(store.records["flags"].tolist()):
        for flag in filter(None, text.split(";")):
            kind, _, evidence = flag.partition(":")
            found.append(
                {"record": [name, ids[position]], "flag": kind.strip(), "evidence": evidence.strip()}
            )
            if kind.strip() == "amplitude":
                sized.add(position)
    if store.info.recipe.get("name") == "paper":
        return found  # scaled to one range: amplitudes say nothing
    for position, span, middle in _out_of_scale(store):
        if position not in sized:
            evidence = (
                f"the leads span {span:.2g} mV, {span / middle:.2g} times the store's middle, {middle:.2g} mV"
            )
            found.append({"record": [name, ids[position]], "flag": "amplitude", "evidence": evidence})
    return found


def _out_of_scale(store: Store) -> list[tuple[int, float, float]]:
    """Return (record, span, middle of the store) of those on another scale than the store, spans in mV.

    The span of a record is the middle lead's, from its lowest to its highest sample, in its first window.
    """
    first = np.unique(store.record_of_row, return_index=True)[1]
    spans = np.full(store.n_records, np.nan)
    for start in range(0, len(first), _CHUNK):
        rows = first[start : start + _CHUNK]
        steps = store.read(rows)
        absent = steps == MISSING
        lowest = np.where(absent, -MISSING - 1, steps).min(axis=2).astype(np.float64)
        span = steps.max(axis=2) - lowest  # below zero where a lead has no sample
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a record without any sample has no span
            spans[start : start + len(rows)] = np.nanmedian(np.where(span < 0, np.nan, span), axis=1)
    spans *= store.records["scale_uv"].to_numpy(dtype=np.float64) / 1000
    usable = np.flatnonzero(spans > 0)
    if len(usable) < 10:
        return []  # too few to have a middle
    middle = float(np.median(spans[usable]))
    ratio = spans[usable] / middle
    odd = usable[(ratio > _OTHER_SCALE) | (ratio < 1 / _OTHER_SCALE)]
    return [(int(position), float(spans[position]), middle) for position in odd]


def _patients_in_two_stores(
    names: Sequence[str], people: Sequence[Sequence[tuple[str, str | None]]]
) -> list[dict[str, Any]]:
    counted = [Counter(person for person in own if person[1] is not None) for own in people]
    rows: dict[tuple[str, str | None], dict[str, Any]] = {}
    for i, j in combinations(range(len(names)), 2):
        for person in sorted(counted[i].keys() & counted[j].keys(), key=str):
            row = rows.setdefault(person, {"patient": person[1], "source": person[0], "stores": []})
            for store in (i, j):
                entry = [names[store], counted[store][person]]
                if entry not in row["stores"]:
                    row["stores"].append(entry)
    return list(rows.values())


def _few(store: Store, name: str, minimum: int) -> list[dict[str, Any]]:
    codes, values = _values(store)
    rows = []
    for i, code in enumerate(codes):
        positives, negatives = int((values[:, i] == 1).sum()), int((values[:, i] == 0).sum())
        if min(positives, negatives) < minimum:
            unknown = len(values) - positives - negatives
            rows.append(
                {
                    "store": name,
                    "statement": code,
                    "positives": positives,
                    "negatives": negatives,
                    "unknown": unknown,
                }
            )
    return rows


def _disagreement(
    row: dict[str, Any], pair: duplicates.Pair, stores: Sequence[Store]
) -> list[dict[str, Any]]:
    """Return the statements that one of two duplicates has and the other does not, where both are known."""
    one, other = (_canonical_values(stores[i], position) for i, position in (pair.a, pair.b))
    return [
        {"a": row["a"], "b": row["b"], "statement": code, "values": [one[code], other[code]]}
        for code in sorted(one.keys() & other.keys())
        if one[code] != other[code]
    ]


def _canonical_values(store: Store, position: int) -> dict[str, int]:
    """Return the known statements of a record under their canonical codes: 1 where any of them is present."""
    values: dict[str, int] = {}
    for code, value in store.statements.iloc[position].items():
        if str(value) in ("0", "1"):
            key = canonical(str(code))
            values[key] = max(values.get(key, 0), int(value))
    return values


def _summary(findings: dict[str, Any], minimum: int) -> list[str]:
    """Return one plain sentence per kind of finding, also where nothing was found."""
    pairs, flags = findings["duplicates"], findings["flags"]
    lines = []
    if pairs:
        across = sum(row["a"][0] != row["b"][0] for row in pairs)
        exact = sum(row["kind"] == "exact" for row in pairs)
        lines.append(
            f"{_count(len(pairs), 'pair')} of records {'is' if len(pairs) == 1 else 'are'} the same ECG "
            f"({exact} exactly, {len(pairs) - exact} at another rate, gain, crop or filter)"
            + (f", {across} of them in two stores." if len(findings["stores"]) > 1 else ".")
        )
    else:
        lines.append("No ECG was found twice.")
    two = len(findings["one_ecg_two_patients"])
    if two:
        verb = "is" if two == 1 else "are"
        lines.append(f"{_count(two, 'pair')} of duplicates {verb} under two patients.")
    divided = sum(row["folds"] is not None and row["folds"][0] != row["folds"][1] for row in pairs)
    if divided:
        lines.append(f"{_count(divided, 'pair')} of duplicates would be divided by the official folds.")
    people = len(findings["patients_in_two_stores"])
    if people:
        lines.append(f"{_count(people, 'patient')} {'is' if people == 1 else 'are'} in more than one store.")
    unverified = [row["name"] for row in findings["stores"] if row["patients"] is None]
    if unverified:
        lines.append(f"Patient separation cannot be verified in {', '.join(unverified)}.")
    kinds = Counter(row["flag"] for row in flags)
    if kinds:
        records = len({tuple(row["record"]) for row in flags})
        lines.append(
            f"{_count(records, 'record')} flagged: "
            + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
            + "."
        )
    else:
        lines.append("No record was flagged.")
    if findings["label_disagreement"]:
        where = {(*row["a"], *row["b"]) for row in findings["label_disagreement"]}
        lines.append(
            f"{_count(len(where), 'pair')} of duplicates disagree{'s' * (len(where) == 1)} on "
            f"{_count(len(findings['label_disagreement']), 'label')}."
        )
    for row in findings["stores"]:
        unmapped = row["coverage"]["unmapped"]
        if unmapped:
            carried = sum(item["records"] for item in unmapped)
            lines.append(
                f"{_count(len(unmapped), 'label')} of {row['name']} not in the vocabulary, {carried} times "
                "in its records."
            )
        few = [item["statement"] for item in findings["few_positives"] if item["store"] == row["name"]]
        if few:
            more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
            has = "has" if len(few) == 1 else "have"
            lines.append(
                f"{_count(len(few), 'statement')} of {row['name']} {has} fewer than {minimum} positives "
                f"or negatives: {', '.join(few[:_NAMED])}{more}."
            )
    lines += findings["confounding"]["summary"]
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
