"""Tables, figures and page: every figure of the evidence arrives, and nothing that is missing is invented."""

from __future__ import annotations

import copy
import io
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from ecgtransfer.report.figures import differences, learning_curves
from ecgtransfer.report.html import render, write_report
from ecgtransfer.report.tables import comparison_table, markdown, result_table

sys.path.insert(0, str(Path(__file__).parent))
from sample import ARMS, evidence

EVIDENCE = evidence()


def printed(tables: list, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def test_terminal_tables_hold_every_mean_difference_and_interval_within_100_columns() -> None:
    tables = comparison_table(EVIDENCE)
    assert len(tables) == 4  # three networks and the baselines
    text = printed(tables)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for cell in EVIDENCE["cells"]:
        assert f"{cell['auroc']:.3f} ± 0.020" in text
    for shown in ("+0.040 (+0.022 to", "+0.058)", "−0.050 (−0.068 to", "(no interval)", "all", "1,704"):
        assert shown in text
    head = next(line for line in text.splitlines() if "scratch" in line)
    assert (
        head.index("scratch") < head.index("frozen-random") < head.index("linear-probe") < head.index("full")
    )


def test_two_upstreams_are_two_comparisons_that_share_scratch() -> None:
    both = copy.deepcopy(evidence(("lstm",)))
    for kind in ("cells", "contrasts"):
        extra = [dict(item, upstream="ptbxl") for item in both[kind] if item["upstream"] == "cinc2017"]
        for item in extra:
            for name in ("auroc", "difference"):
                if name in item:
                    item[name] = -0.111
        both[kind] += extra
    first, second, _ = comparison_table(both)
    assert "cinc2017" in str(first.title)
    assert "ptbxl" in str(second.title)
    assert "−0.111" not in printed([first])
    assert "−0.111" in printed([second])
    scratch = next(f"{cell['auroc']:.3f}" for cell in both["cells"] if cell["arm"] == "scratch")
    assert scratch in printed([first])
    assert scratch in printed([second])


def test_markdown_has_the_answer_first_and_well_formed_tables() -> None:
    text = markdown(EVIDENCE)
    assert text.splitlines()[2] == EVIDENCE["sentence"]
    assert "+0.040 (+0.022 to +0.058)" in text
    assert "| <b>rare</b> | 7 positives in the test folds |" in text
    assert "33 of 36 intervals: one pre-training" in text
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 6
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert (
        "lstm full n=all, lstm linear-probe n=all, lstm frozen-random n=all: no interval: too few positives"
        in text
    )


@pytest.mark.parametrize("draw", [learning_curves, differences])
@pytest.mark.parametrize("narrow", [False, True])
def test_figures_are_deterministic_svg_with_text_as_text(draw, narrow: bool) -> None:
    text = draw(EVIDENCE, narrow=narrow)
    assert text == draw(copy.deepcopy(EVIDENCE), narrow=narrow)
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    words = {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert any("lstm-pooled, pre-trained on cinc2017" in word for word in words)
    ids = {node.get("id") for node in root.iter() if node.get("id")}
    used = {v[1:] for node in root.iter() for k, v in node.attrib.items() if k.endswith("href")}
    assert used <= ids
    for stand_in in ("#010203", "#040506", "#070809", "<dc:date>"):
        assert stand_in not in text


def test_figures_show_what_the_evidence_says() -> None:
    curves = learning_curves(EVIDENCE)
    for word in (*ARMS, "age and sex", "RR intervals", "1,704"):
        assert f">{word}" in curves
    forest = differences(EVIDENCE)
    assert forest.count("+0.040 (+0.022 to +0.058)") == 3
    assert forest.count("(no interval)") == 3
    moved = copy.deepcopy(EVIDENCE)
    moved["contrasts"][0]["high"] += 0.01
    assert differences(moved) != forest


def test_names_with_dollars_and_angle_brackets_are_shown_as_they_are() -> None:
    odd = copy.deepcopy(evidence(("net_$1$_<x>",)))
    assert "net_$1$_&lt;x&gt;" in learning_curves(odd)
    odd["sentence"] = "<script>alert(1)</script>"
    page = render(odd)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;b&gt;rare&lt;/b&gt;" in page


def test_page_begins_with_the_answer_and_holds_every_cell(tmp_path: Path) -> None:
    write_report(EVIDENCE, tmp_path / "new" / "report.html")
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert page == render(EVIDENCE)
    assert page.index(EVIDENCE["sentence"].split(";")[0]) < page.index("<svg") < page.index("<table")
    for cell in EVIDENCE["cells"]:
        assert f"{cell['auroc']:.3f} ± 0.020" in page
    for shown in ("5 h 05 min", "Source polarity", "9f2c", 'lang="en"', "STTC", "71 s", "0.4100"):
        assert shown in page
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.images
    assert all(parser.images)


def test_an_empty_comparison_and_missing_figures_still_give_a_page() -> None:
    bare = copy.deepcopy(evidence(("lstm",)))
    for name in ("auroc", "auroc_sd", "auprc", "seconds", "sensitivity"):
        bare["cells"][0][name] = None
    bare["contrasts"][0].update(difference=None, low=None, high=None)
    assert "None" not in render(bare)
    assert "nan" not in printed(comparison_table(bare))
    alone = copy.deepcopy(bare) | {
        "contrasts": [],
        "baselines": [],
        "cells": bare["cells"][:1],
        "left_out": [],
    }
    for text in (render(alone), markdown(alone), differences(alone), learning_curves(alone)):
        assert text
    nothing = alone | {"cells": [], "per_target": [], "upstreams": []}
    assert EVIDENCE["sentence"][:20] in render(nothing)
    assert comparison_table(nothing) == []
    learning_curves(nothing)


def test_result_of_one_run_as_a_table() -> None:
    measures = ("auroc", "auprc", "f1", "sensitivity_at_specificity", "brier", "ece")
    row = dict.fromkeys(measures) | {"positives": 12, "negatives": 30, "auroc": 0.91234}
    macro = dict.fromkeys(measures, 0.5) | {"targets": ["AF"]}
    text = printed([result_table({"test": {"targets": {"AF": row}, "macro": macro, "specificity": 0.9}})])
    for shown in ("AF", "12 of 42", "0.912", "–", "macro of 1", "0.500", "90%"):
        assert shown in text


class _Balance(HTMLParser):
    """Checks that tags close, and gathers the alternative texts of images."""

    void = frozenset({"meta", "br", "path", "use", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if dict(attrs).get("role") == "img":
            self.images.append(dict(attrs).get("aria-label"))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag
