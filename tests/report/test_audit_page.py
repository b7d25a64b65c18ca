"""The audit page: all that was found is on it, drawn where possible, and readable on a telephone."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.report.audit_page import MOST_PAIRS, render_audit, write_audit_page
from ecgtransfer.report.bars import histogram
from ecgtransfer.report.ecg_paper import draw_ecg

sys.path.insert(0, str(Path(__file__).parent))
import audit_sample
from browser import find_chromium, look

NAMES = ("a one.ecgs", "b.ecgs")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Store]:
    folder = tmp_path_factory.mktemp("stores")
    return [audit_sample.store(folder / f"{prefix}.ecgs", prefix) for prefix in "ab"]


@pytest.fixture(scope="module")
def page(stores: list[Store]) -> str:
    return render_audit(audit_sample.findings(NAMES), stores, NAMES)


def section(page: str, name: str) -> str:
    return page[page.index(f'aria-labelledby="h-{name}"') :].split("</section>")[0]


def test_sections_stand_in_order_and_say_what_was_found(page: str) -> None:
    order = ["summary", "stores", "duplicates", "flags", "labels", "distributions", "few", "confounding",
             "disagreement", "how"]  # fmt: skip
    places = [page.index(f'aria-labelledby="h-{name}"') for name in order]
    assert places == sorted(places)
    assert "3 pairs of records are the same ECG." in page[: places[0]]
    assert "patient separation cannot be verified" in section(page, "stores")
    duplicates = section(page, "duplicates")
    assert "correlation 0.999, shifted by 1.25 s, 0.2 times as large" in duplicates
    assert "two patients, folds 3 and 7" in duplicates
    assert "P1 and Q&lt;1&gt;" in duplicates
    assert "atrial fibrillation" in section(page, "labels")
    assert "<td>23.3 % (7 of 30)</td>" in section(page, "labels")
    assert "a 84.0 %, b 5.0 %, c unknown" in section(page, "confounding")
    assert "present</td><td" in section(page, "disagreement")


def test_text_of_users_is_escaped(page: str) -> None:
    assert "<script" not in page
    assert "<b>5</b>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("a&lt;b&gt;5&lt;/b&gt;") >= 2, "in the caption and in the drawing's title"
    assert not re.search(r'(src|href)="(?!#)', page), "the page must need no other file"


def test_every_table_has_a_caption_and_every_drawing_a_name(page: str) -> None:
    assert page.count("<table>") == page.count("<caption>") > 10
    assert page.count("<svg ") == page.count("<title id=")
    assert [int(level) for level in re.findall(r"<h(\d)", page)][:2] == [1, 2]


def test_flagged_leads_are_marked_and_what_cannot_be_drawn_is_listed(page: str) -> None:
    flags = section(page, "flags")
    assert flags.count('class="ecg"') == 4, "flat, amplitude, limb leads, electrode off"
    assert flags.count("▶ V2") == flags.count("▶ V6") == flags.count("▶ aVF") == 1
    assert "not there" in flags
    assert "6.0 s" in flags, "a remark of the dataset is listed, not drawn"
    assert "5 mm/mV" in flags, "an ECG five times too large is drawn smaller, and it is said"


def test_the_number_of_drawn_pairs_is_limited_and_said(stores: list[Store]) -> None:
    page = render_audit(audit_sample.findings(NAMES, pairs=20), stores, NAMES)
    duplicates = section(page, "duplicates")
    assert duplicates.count('class="ecg"') == 2 * MOST_PAIRS
    assert f"{20 - MOST_PAIRS} pairs are not drawn" in duplicates
    assert len(re.findall(r"<td class=\"left\">(?:exact|near)</td>", duplicates)) == 20
    # Those across two patients come first.
    assert duplicates.index("two patients") < duplicates.index("one patient")


def test_nothing_found(stores: list[Store], tmp_path: Path) -> None:
    empty: dict[str, Any] = {
        key: [] for key in ("stores", "duplicates", "flags", "patients_in_two_stores", "one_ecg_two_patients",
                            "few_positives", "label_disagreement", "summary")
    }  # fmt: skip
    empty["confounding"] = {"source_from_signal": [], "statements": []}
    write_audit_page(empty, stores[:1], NAMES[:1], tmp_path / "new" / "audit.html")
    page = (tmp_path / "new" / "audit.html").read_text()
    assert "Nothing was found" in page
    assert "No two records are the same ECG." in page
    assert render_audit(empty, stores[:1], NAMES[:1]) == page, "the same bytes every time"


@pytest.fixture(scope="module")
def chromium() -> str:
    return find_chromium()


def luminance(colour: str) -> float:
    parts = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(a: str, b: str) -> float:
    """Return the ratio of WCAG 2.1."""
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("width", "dark"), [(360, False), (360, True), (1440, False), (1440, True)])
def test_nothing_is_clipped_in_light_and_dark(
    chromium: str, page: str, tmp_path: Path, width: int, dark: bool
) -> None:
    path = tmp_path / "audit.html"
    path.write_text(page)
    facts = look(chromium, path, tmp_path, width, dark=dark)
    assert facts["width"] in range(width - 20, width + 1)
    assert facts["scrollWidth"] <= facts["width"]
    assert facts["beyond"] == []
    assert facts["clipped"] == []
    assert facts["small"] == 0, "letters in drawings are at least 8 px high"
    assert facts["ids"] == 0
    assert facts["unnamed"] == 0
    assert len(facts["figures"]) == page.count("<svg ")
    assert all(w > 200 and h > 80 for w, h in facts["figures"])
    assert 0 < facts["answer"] < 200
    assert (luminance(facts["paper"]) < 0.2) == dark
    assert contrast(facts["ink"], facts["paper"]) > 7
    assert contrast(facts["trace"], facts["ground"]) > 7


# The drawings themselves.


def path_points(svg: str) -> list[list[tuple[float, float]]]:
    """Return each trace's points in mm: read back from the path as a browser would."""
    traces = []
    for shift, scale, text in re.findall(
        r'class="ecg-trace" transform="translate\(([^)]*)\) scale\(([^)]*)\)" d="([^"]*)"', svg
    ):
        (left, base), (x_unit, y_unit) = (tuple(map(float, part.split())) for part in (shift, scale))
        points, at = [], np.zeros(2)
        for command, numbers in re.findall(r"([Ml])([^Mlh]*)", text):
            for pair in np.array(numbers.split(), dtype=float).reshape(-1, 2):
                at = pair if command == "M" else at + pair
                points.append((left + at[0] * x_unit, base + at[1] * y_unit))
        traces.append(points)
    return traces


@pytest.mark.parametrize("rate", [100.0, 250.0, 500.0, 1000.0])
def test_scale_is_25_mm_per_s_and_10_mm_per_mv(rate: float) -> None:
    time = np.arange(round(10 * rate)) / rate
    lead = np.where((time >= 4) & (time < 6), 1.5, 0.0)
    svg = draw_ecg(lead[None], rate, ["II"], name="x", title="steps")
    ((*points,),) = path_points(svg)
    xs, ys = np.array(points).T
    assert ys.max() - ys.min() == pytest.approx(15, abs=0.1)
    high = xs[ys == ys.min()]
    assert high.max() - high.min() == pytest.approx(50, abs=0.5)
    assert xs.max() - xs.min() == pytest.approx(250, abs=0.3)
    assert "25 mm/s, 10 mm/mV" in svg
    assert "h1.5v-10h5v10h1.5" in svg, "the pulse is 1 mV for 0.2 s"


def test_spikes_and_gaps_survive_thinning() -> None:
    lead = np.zeros(10_000)
    lead[5003] = 2.0
    ((*points,),) = path_points(draw_ecg(lead[None], 1000.0, ["I"], name="x", title=""))
    ys = np.array(points)[:, 1]
    assert ys.max() - ys.min() == pytest.approx(20, abs=0.1)
    gap = np.sin(np.arange(1000) / 5)
    gap[200:300] = np.nan
    assert draw_ecg(gap[None], 100.0, ["I"], name="x", title="").count("M") >= 2
    assert 'class="ecg-trace"' in draw_ecg(np.full((1, 100), np.nan), 100.0, ["I"], name="x", title="")


@pytest.mark.parametrize("factor", [0.001, 1.0, 30.0, 1e6])
def test_nothing_leaves_the_paper(factor: float) -> None:
    signal = factor * np.random.default_rng(0).standard_normal((12, 500))
    names = [f"L{n}" for n in range(12)]
    svg = draw_ecg(signal, 100.0, names, name="x", title="", columns=2, marked=["L3"])
    width, height = (float(v) for v in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    points = np.array([point for trace in path_points(svg) for point in trace])
    assert points.min() >= 0
    assert (points.max(axis=0) <= [width, height]).all()
    assert height < 260
    assert svg.count("ecg-mark") == 2


def test_histogram_counts_every_value_and_says_its_median() -> None:
    values = [*range(100), 10_000]
    svg = histogram(values, name="h", title="age", unit="years")
    assert "median 50 years, 0 to 10000, n = 101" in svg
    assert "≥ " in svg, "the axis ends before the extreme, and it is said"
    assert sum(map(float, re.findall(r'height="([\d.]+)"', svg))) > 0
    same = histogram([3.0, 3.0], name="h", title="one", unit="s")
    assert same.count("<rect") == 1
    assert "≥" not in same
