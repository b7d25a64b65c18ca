"""What is drawn: every figure of the evidence arrives in the charts, and what is missing is not invented."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import sys
import xml.etree.ElementTree as ET
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.report.charts import charts
from ecgtransfer.report.figures import drawings, legend
from ecgtransfer.report.html import library
from ecgtransfer.report.spec import Chart, View, linear_axis, log_axis

sys.path.insert(0, str(Path(__file__).parent))
import sample

EVIDENCE = sample.evidence()
CHARTS = charts(EVIDENCE)


def view(chart: Chart, **where: str) -> View:
    found = [item for item in chart.views if where.items() <= item.where.items()]
    assert len(found) == 1, [item.where for item in found]
    return found[0]


def points(item: View, name: str) -> list[tuple[float, float, float | None, float | None]]:
    line = next(line for line in item.series if line.name == name)
    return [(p.x, p.y, p.low, p.high) for p in line.points]


def test_every_downstream_network_and_upstream_has_its_views() -> None:
    places = {
        (v.where["downstream"], v.where["network"], v.where["upstream"]) for v in CHARTS["curves"].views
    }
    assert places == {
        (down["name"], network, upstream)
        for down in EVIDENCE["downstreams"]
        for network in sample.NETWORKS
        for upstream in sample.UPSTREAMS
    }
    for chart in CHARTS.values():
        keys = [tuple(sorted(item.where.items())) for item in chart.views]
        assert len(set(keys)) == len(keys), "a choice leads to one view"
        assert all(set(item.where) == {key for key, _ in chart.facets} for item in chart.views)


def test_curves_hold_means_bands_and_catch_up() -> None:
    place = {"downstream": "ptbxl-subset", "network": "lstm", "upstream": "cinc2017"}
    own = next(
        c for c in EVIDENCE["curves"]
        if {k: c[k] for k in place} == place and c["arm"] == "full"
    )  # fmt: skip
    auroc = view(CHARTS["curves"], show="macro AUROC", **place)
    assert points(auroc, "fine-tuned") == [
        (n, band["mean"], band["low"], band["high"])
        for n, band in zip(own["sizes"], own["arm_band"], strict=True)
    ]
    assert [p[2] for p in points(auroc, "from scratch")] == [band["low"] for band in own["reference_band"]]
    assert "±1 SD" in auroc.text, "where an arm has no interval, the band is said to be something else"
    apart = view(CHARTS["curves"], show="difference to scratch", **place)
    assert points(apart, "fine-tuned")[0][2:] == pytest.approx(
        (own["difference_band"][0]["low"], own["difference_band"][0]["high"])
    )
    for item in (auroc, apart):
        marks = next(line for line in item.series if line.name == "fine-tuned").marks
        assert [(mark.at, mark.low, mark.high) for mark in marks] == [(320.0, 260.0, 410.0)]
        assert "Scratch catches up between 260 and 410 labels" in item.text
    assert points(apart, "margin ±0.01") == [(50, 0.0, -0.01, 0.01), (1704, 0.0, -0.01, 0.01)]
    assert points(auroc, "rr (no network)")[0][:2] == (50, 0.66)


def test_a_catch_up_beyond_the_largest_size_is_on_the_axis() -> None:
    found = view(CHARTS["curves"], show="macro AUROC", downstream="ludb", network="lstm", upstream="cinc2017")
    assert 320 < found.x.high < 410, "what is extrapolated ends at twice the largest size"
    assert [label for _, label in found.x.ticks] == ["40", "80", "all 160"]


def test_a_size_alone_is_no_curve() -> None:
    assert charts(sample.evidence(sizes=((50, False),), downstreams=("one",)))["curves"].views == ()


def test_the_forest_has_each_network_and_statement_with_the_word() -> None:
    forest = CHARTS["forest"]
    assert forest.start == {"n": "all 1,704", "show": "each statement"}, "the answer's size comes first"
    found = view(
        forest, show="each statement", downstream="ptbxl-subset", arm="fine-tuned", upstream="cinc2017",
        n="all 1,704",
    )  # fmt: skip
    assert [row.label for row in found.rows] == ["macro AUROC", *sample.TARGETS] * 3
    assert [row.group for row in found.rows][::6] == list(sample.NETWORKS)
    macro = found.rows[0]
    contrast = next(
        c for c in EVIDENCE["contrasts"]
        if (c["network"], c["arm"], c["n"]) == ("resnet1d18-w16", "full", 1704)
    )  # fmt: skip
    assert (macro.value, macro.low, macro.high) == (contrast["difference"], contrast["low"], contrast["high"])
    assert macro.text.endswith("undecided"), "a verdict where the plan named the contrast"
    assert found.rows[1].text.endswith("(exploratory)")
    rare = next(row for row in found.rows if row.group == "lstm" and row.label == "HYP")
    assert rare.low is None
    assert not rare.filled
    assert sample.FEW in rare.text, "where there is no interval the note says why"


def test_the_forest_also_has_sizes_subgroups_and_operating_points() -> None:
    forest = CHARTS["forest"]
    place = {"downstream": "my clinic", "arm": "fine-tuned", "upstream": "simulated"}
    sizes = view(forest, show="all sizes", **place)
    assert [row.label for row in sizes.rows][:5] == [
        "n = 50",
        "n = 100",
        "n = 200",
        "n = 400",
        "n = all 1,704",
    ]
    groups = view(forest, show="subgroups", n="50", **place)
    assert {"sex: female", "source: a & b", "macro AUROC"} <= {row.label for row in groups.rows}
    assert any("against the rest" in row.text for row in groups.rows)
    operating = view(forest, show="sensitivity at a fixed specificity", n="50", **place)
    assert "MI at 0.9" in [row.label for row in operating.rows]
    assert "sensitivity" in operating.x.title
    random = {item.where["upstream"] for item in forest.views if item.where["arm"] == "frozen random encoder"}
    assert random == {"nothing"}


def test_convergence_cost_and_calibration_hold_their_figures() -> None:
    place = {"downstream": "ptbxl-subset", "network": "lstm", "upstream": "simulated"}
    budgets = view(CHARTS["convergence"], show="macro AUROC", n="50", **place)
    assert [p[0] for p in points(budgets, "from scratch")] == [200, 400, 800, 1600]
    reached = view(CHARTS["convergence"], show="share of seeds at the target", n="50", **place)
    assert [p[1] for p in points(reached, "fine-tuned")] == [0.2, 0.5, 0.9, 0.9]
    assert "9 of 10 seeds" in reached.text
    bars = view(CHARTS["cost"], show="time", **place).rows
    assert {(row.group, row.label): row.value for row in bars}["n = 50", "fine-tuned"] == 71.4
    assert len(bars) == 20
    diagram = view(CHARTS["calibration"], n="400", **place)
    assert len(points(diagram, "fine-tuned")) == 9, "an empty bin is no point"
    assert {line.name for line in diagram.series} == {"from scratch", "fine-tuned", "perfect"}


def test_calibration_of_a_few_contrasts_alone_shows_both_arms_and_a_drawing_each() -> None:
    few = copy.deepcopy(EVIDENCE)
    few["calibration"] = [
        row
        for row in few["calibration"]
        if row["downstream"] == "ludb" and row["upstream"] != "simulated" and row["n"] == 40
    ]
    made = charts(few)["calibration"]
    assert {item.where["upstream"] for item in made.views} == {"cinc2017"}, "scratch alone is no comparison"
    assert len(made.static) == len(made.views) == 3, "another size than the answer's is drawn too"


@pytest.mark.parametrize("name", CHARTS)
def test_drawings_are_deterministic_svg_with_a_title_and_text_as_text(name: str) -> None:
    made = drawings(CHARTS[name])
    assert made == drawings(charts(copy.deepcopy(EVIDENCE))[name])
    ids = []
    for item in made:
        root = ET.fromstring(item["svg"])
        title = root.find("{http://www.w3.org/2000/svg}title")
        assert title is not None
        assert len(title.text or "") > 60
        assert any("".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text"))
        ids += [node.get("id") for node in root.iter() if node.get("id")]
        numbers = [
            float(v) for v in re.findall(r"-?\d+\.?\d*", " ".join(node.get("d", "") for node in root.iter()))
        ]
        assert max(map(abs, numbers)) < 5000
    assert len(set(ids)) == len(ids)


def test_a_moved_figure_moves_the_drawing() -> None:
    moved = copy.deepcopy(EVIDENCE)
    contrast = next(c for c in moved["contrasts"] if c["arm"] == "full")
    contrast["high"] += 0.01
    before, after = (drawings(made["forest"]) for made in (CHARTS, charts(moved)))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_series_are_told_apart_by_more_than_colour() -> None:
    swatches = [item["svg"].split("</svg>")[0] for item in legend(CHARTS["curves"])]
    shapes = {re.sub(r"s\d+", "", text) for text in swatches}
    assert len(shapes) == len(swatches) == 7


def test_names_of_users_are_escaped_in_drawings() -> None:
    odd = charts(sample.evidence(("net_$1$_<x>",), ("<a> & b",), ("<u>",)))
    for chart in odd.values():
        for item in drawings(chart):
            ET.fromstring(item["svg"])
    assert "net_$1$_&lt;x&gt;" in drawings(odd["forest"])[0]["svg"]


def test_arms_of_other_names_are_drawn_too() -> None:
    other = sample.evidence(("lstm",), ("one",), ("up",))
    for key in ("cells", "contrasts", "curves", "per_target"):
        extra = [
            dict(row, arm=name) for row in other[key] if row["arm"] == "full" for name in ("l2-sp", "lora")
        ]
        other[key] = [*other[key], *extra]
    made = charts(other)["curves"].views[0]
    styles = {line.name: line.style for line in made.series}
    assert {"l2-sp", "lora"} <= set(styles)
    assert len({styles[name] for name in ("l2-sp", "lora", "fine-tuned", "from scratch")}) == 4


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.61, 0.88], ["0.60", "0.65", "0.70", "0.75", "0.80", "0.85"]),
        ([-0.021, 0.058], ["−0.02", "0.00", "0.02", "0.04", "0.06"]),
        ([0.0, 71.4], ["0", "20", "40", "60"]),
        ([0.5], ["0.46", "0.48", "0.50", "0.52", "0.54"]),
    ],
)
def test_ticks_are_round_and_within_the_axis(values: list[float], labels: list[str]) -> None:
    axis = linear_axis("x", values)
    assert [label for _, label in axis.ticks] == labels
    assert axis.low < min(values) <= max(values) < axis.high
    assert all(axis.low <= value <= axis.high for value, _ in axis.ticks)


def test_sizes_stand_on_a_logarithmic_axis_under_their_own_names() -> None:
    axis = log_axis("n", [1704.0, 50.0], {1704.0: "all 1,704"})
    assert axis.ticks == ((50.0, "50"), (1704.0, "all 1,704"))
    assert axis.low < 50
    assert axis.high > 1704


def test_the_scripts_data_is_json_and_nothing_is_lost_in_it() -> None:
    content: dict[str, Any] = json.loads(json.dumps(CHARTS["forest"].as_json(), allow_nan=False))
    assert len(content["views"]) == len(CHARTS["forest"].views)
    rows = sum(len(item["rows"]) for item in content["views"])
    assert rows == sum(len(item.rows) for item in CHARTS["forest"].views) > 2000


def test_the_library_is_the_published_file() -> None:
    folder = files("ecgtransfer.report") / "vendor" / "echarts"
    told = (folder / "README.md").read_text(encoding="utf-8")
    content = (folder / "echarts.min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() in told
    assert re.search(r"ECharts (\d+\.\d+\.\d+)", told)[1] in library()  # type: ignore[index]
    assert "Licensed to the Apache Software Foundation" in library()[:200]
    assert "</script" not in library()
    for name in ("LICENSE", "NOTICE", "LICENSE-d3", "LICENSE-zrender"):
        assert len((folder / name).read_text(encoding="utf-8")) > 100
