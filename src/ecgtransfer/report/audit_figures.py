"""What the audit page draws: flagged records, pairs of records beside each other, distributions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.steps import MISSING
from ecgtransfer.report.bars import histogram
from ecgtransfer.report.ecg_paper import draw_ecg
from ecgtransfer.study.rr import rr_features

if TYPE_CHECKING:
    from markupsafe import Markup

    from ecgtransfer.datasets.store import Store

_PAIR_LEADS, _PAIR_SECONDS = ("II", "V1", "V5"), 5.0
_FEW_LEADS = 3
_SAMPLED = 500
_LINE = re.compile(r"(\d+) Hz")
_SINCE = re.compile(r"from (\d+(?:\.\d+)?) to \d")


class Drawer:
    """Finds records by store and id, and draws them.

    Parameters
    ----------
    stores : mapping
        What a store is called in the findings → the store.
    """

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = stores
        self._places: dict[str, dict[str, int]] = {}

    def flag(self, flag: Mapping[str, Any], name: str) -> Markup | None:
        """Return a flagged record, the leads named in its evidence marked; None if it cannot be seen."""
        found = self._find(flag["record"])
        if found is None:
            return None
        store, position = found
        leads = store.info.leads
        line = _LINE.match(flag["evidence"])
        if flag["flag"] == "mains" and line and float(line[1]) > 0.45 * store.info.sampling_rate:
            return None  # seen in the raw recording, but not at the rate of the store
        words = set(re.findall(r"[A-Za-z0-9]+", flag["evidence"]))
        marked = [lead for lead in leads if lead in words]
        if 0 < len(marked) <= _FEW_LEADS:
            # Beside what is wrong, one lead that shows how the rest looks.
            others = [lead for lead in ("II", "I", *leads) if lead in leads and lead not in marked]
            shown, columns, seconds = [*marked, *others[:1]], 1, 10.0
        else:
            shown, columns, seconds = list(leads), 1 if len(leads) < 4 else 2, 10.0 if len(leads) < 4 else 5.0
        since = _SINCE.search(flag["evidence"])
        signal, start = self._signal(store, position, float(since[1]) if since else 0.0)
        rate = store.info.sampling_rate
        who = " ".join(map(str, flag["record"]))
        title = f"{who}: {flag['flag']}, {flag['evidence']}. Leads {', '.join(shown)}, from {start:g} s"
        return _draw(
            _part(signal, 0, round(seconds * rate)),
            store,
            shown,
            name=name,
            title=title,
            marked=marked,
            columns=columns,
        )

    def pair(self, pair: Mapping[str, Any], name: str) -> list[dict[str, Any]] | None:
        """Return both records of a pair, the same stretch of each, or None if one is not there."""
        found = [self._find(pair[side]) for side in ("a", "b")]
        if found[0] is None or found[1] is None:
            return None
        (store_a, a), (store_b, b) = found[0], found[1]
        common = [lead for lead in store_a.info.leads if lead in store_b.info.leads]
        shown = [lead for lead in _PAIR_LEADS if lead in common] or common[:_FEW_LEADS]
        signals = [self._signal(store, at, 0.0)[0] for store, at in ((store_a, a), (store_b, b))]
        rates = [store_a.info.sampling_rate, store_b.info.sampling_rate]
        lead = shown[0] if shown else None
        starts = (0.0, 0.0)
        if lead is not None and pair.get("shift_s"):
            one, two = (
                signal[store.info.leads.index(lead)]
                for signal, store in zip(signals, (store_a, store_b), strict=True)
            )
            starts = _starts(one, two, rates, float(pair["shift_s"]))
        drawings = []
        for side, store, signal, rate, start in zip(
            ("a", "b"), (store_a, store_b), signals, rates, starts, strict=True
        ):
            leads = shown or list(store.info.leads[:_FEW_LEADS])
            part = _part(signal, round(start * rate), round(_PAIR_SECONDS * rate))
            label = " ".join(map(str, pair[side]))
            title = f"{label}: leads {', '.join(leads)}, {_PAIR_SECONDS:g} s from {start:.2f} s"
            drawing = _draw(part, store, leads, name=f"{name}-{side}", title=title)
            drawings.append({"record": label, "start": start, "drawing": drawing})
        return drawings

    def _find(self, record: Sequence[Any]) -> tuple[Store, int] | None:
        name, record_id = str(record[0]), str(record[1])
        store = self._stores.get(name)
        if store is None:
            return None
        if name not in self._places:
            ids = store.records["record_id"].astype(str)
            self._places[name] = {record: place for place, record in reversed(list(enumerate(ids)))}
        place = self._places[name].get(record_id)
        return None if place is None else (store, place)

    def _signal(self, store: Store, position: int, second: float) -> tuple[NDArray[np.float32], float]:
        """Return the window that holds a second of the record, in mV (NaN: a gap), and where it starts."""
        rows = store.rows_of(np.array([position]))
        starts = store.windows["start"].to_numpy(dtype=np.int64)[rows] / store.info.sampling_rate
        chosen = int(np.flatnonzero(starts <= second)[-1]) if (starts <= second).any() else 0
        steps = store.read(rows[chosen : chosen + 1])[0]
        scale = float(store.records["scale_uv"].iloc[position]) / 1000
        return np.where(steps == MISSING, np.nan, steps * scale).astype(np.float32), float(starts[chosen])


def distributions(store: Store, name: str, number: int) -> dict[str, Any]:
    """Return a store's ages, sexes, lengths, amplitudes and heart rates as figures and in words.

    Amplitude and heart rate are those of at most 500 records, evenly spread over the store.
    """
    records = store.records
    rate = store.info.sampling_rate
    chosen = np.unique(
        np.linspace(0, store.n_records - 1, min(_SAMPLED, store.n_records)).round().astype(int)
    )
    seconds = _seconds(store)
    figures = [
        ("age", records["age"].to_numpy(dtype=np.float64, na_value=np.nan), "years", 0),
        ("record length", seconds, "s", 0 if seconds.max(initial=0) > 30 else 1),
        ("mean span of the leads", _spans(store, chosen), "mV", 2),
    ]
    if rate >= 40:
        with np.errstate(invalid="ignore", divide="ignore"):
            figures.append(("heart rate", 60 / rr_features(store, chosen)[:, 0], "per min", 0))
    sexes = records["sex"].fillna("unknown").value_counts()
    return {
        "name": name,
        "sampled": len(chosen) if len(chosen) < store.n_records else 0,
        "sexes": [(sex, int(sexes.get(sex, 0))) for sex in ("female", "male", "unknown")],
        "figures": [
            {
                "title": title,
                "missing": int((~np.isfinite(values)).sum()),
                "svg": _markup(
                    histogram(
                        values[np.isfinite(values)],
                        name=f"bars-{number}-{place}",
                        title=f"{name}: {title}",
                        unit=unit,
                        digits=digits,
                    )
                )
                if np.isfinite(values).any()
                else "",
            }
            for place, (title, values, unit, digits) in enumerate(figures)
        ],
    }


def _seconds(store: Store) -> NDArray[np.float64]:
    """Return how long each record is in the store: to the end of its last window, without padding."""
    rate, n = store.info.sampling_rate, store.info.n_samples
    ends = store.windows["start"].to_numpy(dtype=np.int64) + n
    last = np.zeros(store.n_records)
    np.maximum.at(last, store.record_of_row, ends)
    short = store.records["flags"].astype(str).str.extract(r"(?:^|;)\s*short: ([\d.]+) s")[0].astype(float)
    length: NDArray[np.float64] = np.where(short.notna(), short.fillna(0), last / rate)
    return length


def _spans(store: Store, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean over the leads of the span, 99.5 % of the samples of the first window, in mV."""
    first = np.searchsorted(store.record_of_row, chosen)
    values = np.empty(len(chosen))
    for start in range(0, len(chosen), 100):
        signal = store.millivolts(first[start : start + 100])
        low, high = (np.asarray(np.quantile(signal, share, axis=2)) for share in (0.0025, 0.9975))
        values[start : start + 100] = (high - low).mean(axis=1)
    return values


def _starts(
    one: NDArray[np.float32], two: NDArray[np.float32], rates: Sequence[float], shift: float
) -> tuple[float, float]:
    """Return where to begin in either record so that both show the same beats."""
    grid = np.arange(0, _PAIR_SECONDS, 0.01)

    def alike(starts: tuple[float, float]) -> float:
        parts = []
        for lead, rate, start in zip((one, two), rates, starts, strict=True):
            known = np.nan_to_num(lead)
            parts.append(np.interp(start + grid, np.arange(len(known)) / rate, known))
        first, second = (part - part.mean() for part in parts)
        size = float(np.linalg.norm(first) * np.linalg.norm(second))
        return float(first @ second) / size if size > 0 else 0.0

    return max([(0.0, abs(shift)), (abs(shift), 0.0), (0.0, 0.0)], key=alike)


def _part(signal: NDArray[np.float32], start: int, length: int) -> NDArray[np.float32]:
    """Return a stretch of a signal: the one asked for, or the last that long."""
    start = max(0, min(start, signal.shape[1] - length))
    return signal[:, start : start + length]


def _draw(
    signal: NDArray[np.float32],
    store: Store,
    shown: Sequence[str],
    *,
    name: str,
    title: str,
    marked: Sequence[str] = (),
    columns: int = 1,
) -> Markup:
    rows = [store.info.leads.index(lead) for lead in shown]
    text = draw_ecg(
        signal[rows], store.info.sampling_rate, shown, name=name, title=title, marked=marked, columns=columns
    )
    return _markup(text)


def _markup(svg: str) -> Markup:
    # Imported here because jinja2's markupsafe is not among the core dependencies.
    from markupsafe import Markup

    return Markup(svg)
