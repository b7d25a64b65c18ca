"""The audit as a page: what was found in one or more stores, with the ECGs it was found in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgtransfer.files import write_text
from ecgtransfer.report.audit_figures import Drawer, distributions
from ecgtransfer.report.html import page_template
from ecgtransfer.report.view import unique
from ecgtransfer.signals import STANDARD_LEADS, quality

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store

Findings = Mapping[str, Any]
"""What `datasets.audit.audit` returns."""

MOST_PAIRS, MOST_PER_FLAG, MOST_FLAG_DRAWINGS, MOST_ROWS, FIRST_ROWS = 12, 3, 24, 100, 20
"""How many pairs, records per flag and records in all are drawn; how many rows a table has, and how many of
them stand open in a long one."""


def write_audit_page(findings: Findings, stores: Sequence[Store], names: Sequence[str], path: Path) -> None:
    """Write the page atomically; it needs no other file, no network and no script.

    Parameters
    ----------
    findings : mapping
        What `datasets.audit.audit` returns.
    stores : sequence of Store
        The stores audited, for their signals and tables.
    names : sequence of str
        What each store is called in the findings.
    path : Path
        The HTML file to write; its folder is made where it is missing.
    """
    write_text(path, render_audit(findings, stores, names))


def render_audit(findings: Findings, stores: Sequence[Store], names: Sequence[str]) -> str:
    """Return the page as text, the same bytes for the same findings."""
    drawer = Drawer(dict(zip(names, stores, strict=True)))
    described = findings.get("stores", [])
    return page_template("audit.html.j2").render(
        title="Audit of " + ", ".join(names),
        records=sum(item["records"] for item in described),
        summary=findings.get("summary", []),
        stores=[{**item, "leads_text": _leads_in_words(item["leads"])} for item in described],
        duplicates=_duplicates(findings.get("duplicates", []), drawer),
        one_ecg_two_patients=findings.get("one_ecg_two_patients", []),
        patients_in_two_stores=findings.get("patients_in_two_stores", []),
        flags=_flags(findings.get("flags", []), drawer),
        labels=[_labels(item) for item in described],
        distributions=[
            distributions(store, name, number)
            for number, (name, store) in enumerate(zip(names, stores, strict=True))
        ],
        few_positives=_few_positives(findings.get("few_positives", [])),
        source_from_signal=findings.get("confounding", {}).get("source_from_signal", []),
        confounded=[
            {**item, "shares": _shares(item)}
            for item in findings.get("confounding", {}).get("statements", [])
        ],
        label_disagreement=findings.get("label_disagreement", []),
        explained=quality.NAMES,
        most_rows=MOST_ROWS,
        first_rows=FIRST_ROWS,
    )


def _duplicates(pairs: Sequence[Findings], drawer: Drawer) -> dict[str, Any]:
    """Return the pairs, those that matter most first, with drawings of the first few."""

    def weight(pair: Findings) -> tuple[bool, bool, bool]:
        first, second = pair.get("folds") or (None, None)
        two_folds = first != second
        return (pair.get("same_patient") is not False, not two_folds, pair["kind"] == "exact")

    ordered = sorted(pairs, key=weight)
    drawn: list[dict[str, Any]] = []
    for number, pair in enumerate(ordered):
        if len(drawn) == MOST_PAIRS:
            break
        if (drawings := drawer.pair(pair, f"pair-{number}")) is not None:
            drawn.append({**pair, "drawings": drawings, "says": _pair_in_words(pair)})
    return {
        "rows": [{**pair, "says": _pair_in_words(pair)} for pair in ordered[:MOST_ROWS]],
        "drawn": drawn,
        "kinds": sorted(Counter(pair["kind"] for pair in pairs).items()),
        "total": len(pairs),
    }


def _pair_in_words(pair: Findings) -> str:
    """Return in what the two records differ: ``correlation 0.998, 1.2 s apart, gain 0.2, two patients``."""
    parts = ["the same samples" if pair["kind"] == "exact" else f"correlation {pair['similarity']:.3f}"]
    if pair.get("shift_s"):
        parts.append(f"shifted by {abs(pair['shift_s']):.2f} s")
    if pair.get("gain") is not None and abs(pair["gain"] - 1) > 0.01:
        parts.append(f"{pair['gain']:.3g} times as large")
    same = pair.get("same_patient")
    parts.append({True: "one patient", False: "two patients", None: "patients unknown"}[same])
    if folds := pair.get("folds"):
        parts.append(f"fold {folds[0]}" if folds[0] == folds[1] else f"folds {folds[0]} and {folds[1]}")
    return ", ".join(parts)


def _flags(flags: Sequence[Findings], drawer: Drawer) -> list[dict[str, Any]]:
    """Return a group per kind of flag: the signal's own flags first, in their order, then the others."""
    kinds = unique(flag["flag"] for flag in flags)
    order = [*quality.NAMES]
    kinds.sort(key=lambda kind: (order.index(kind) if kind in order else len(order), kind))
    groups: list[dict[str, Any]] = []
    left = MOST_FLAG_DRAWINGS
    for kind in kinds:
        own = [flag for flag in flags if flag["flag"] == kind]
        drawn: list[dict[str, Any]] = []
        # Remarks of a dataset (an age, a rate) are no matter of the signal: only quality flags are drawn.
        for number, flag in enumerate(_by_turns(own) if kind in order else []):
            if len(drawn) == MOST_PER_FLAG or not left:
                break
            if (drawing := drawer.flag(flag, f"flag-{len(groups)}-{number}")) is not None:
                drawn.append({**flag, "drawing": drawing})
                left -= 1
        groups.append(
            {
                "kind": kind,
                "explained": quality.NAMES.get(kind, ""),
                "records": len({tuple(flag["record"]) for flag in own}),
                "by_store": sorted(Counter(flag["record"][0] for flag in own).items()),
                "rows": own[:MOST_ROWS],
                "total": len(own),
                "drawn": drawn,
            }
        )
    return groups


def _by_turns(flags: Sequence[Findings]) -> list[Findings]:
    """Return one flag of each store, then a second of each, and so on: no store fills the drawings alone."""
    seen: Counter[str] = Counter()
    ranked = []
    for flag in flags:
        ranked.append((seen[flag["record"][0]], flag))
        seen[flag["record"][0]] += 1
    return [flag for _, flag in sorted(ranked, key=lambda item: item[0])]


def _labels(item: Findings) -> dict[str, Any]:
    """Return a store's coverage, its prevalences as statements by sources, and its co-occurrences."""
    coverage = item.get("coverage") or {"mapped": [], "unmapped": []}
    prevalence = item.get("prevalence", [])
    sources = unique(row["source"] for row in prevalence)
    cells = {(row["statement"], row["source"]): row for row in prevalence}
    totals: Counter[str] = Counter()
    for row in prevalence:
        totals[row["statement"]] += row["present"]
    statements = [name for name, present in sorted(totals.items(), key=lambda t: (-t[1], t[0])) if present]
    return {
        "name": item["name"],
        "mapped": coverage["mapped"],
        "unmapped": coverage["unmapped"],
        "mapped_records": sum(row["records"] for row in coverage["mapped"]),
        "unmapped_records": sum(row["records"] for row in coverage["unmapped"]),
        "sources": sources,
        "rows": [
            (name, [_prevalence(cells.get((name, source))) for source in sources]) for name in statements
        ],
        "never": sorted(name for name, present in totals.items() if not present),
        "cooccurrence": item.get("cooccurrence", []),
    }


def _few_positives(items: Sequence[Findings]) -> list[tuple[str, list[Findings], list[str]]]:
    """Return for each store the statements with some positives, fewest first, and those with none."""
    return [
        (
            store,
            sorted(
                (i for i in items if i["store"] == store and i["positives"]), key=lambda i: i["positives"]
            ),
            [i["statement"] for i in items if i["store"] == store and not i["positives"]],
        )
        for store in unique(item["store"] for item in items)
    ]


def _leads_in_words(leads: Sequence[str]) -> str:
    if sorted(leads) == sorted(STANDARD_LEADS):
        return "the usual 12"
    return ", ".join(leads) if len(leads) <= 3 else f"{len(leads)}: {leads[0]} to {leads[-1]}"


def _prevalence(row: Findings | None) -> str:
    """Return ``12.3 % (45 of 366)``, or that the source does not annotate it."""
    known = 0 if row is None else row["present"] + row["absent"]
    if row is None or not known:
        return "unknown"
    return f"{100 * row['present'] / known:.1f} % ({row['present']:,} of {known:,})"


def _shares(item: Findings) -> str:
    """Return a statement's prevalences in words, whatever they are kept by."""
    for key in ("prevalences", "prevalence", "sources", "stores"):
        value = item.get(key)
        if isinstance(value, Mapping):
            return ", ".join(f"{name} {_share(share)}" for name, share in value.items())
        if isinstance(value, Sequence) and not isinstance(value, str):
            return ", ".join(
                f"{next((row[k] for k in ('source', 'store', 'name') if k in row), '?')} "
                f"{_share(row.get('prevalence'))}"
                for row in value
            )
    return ""


def _share(value: Any) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else "unknown"
