"""Every number as a file: raw in CSV, readable in LaTeX and Markdown, and the methods as text."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import sys
import zipfile
from pathlib import Path

import pytest

from ecgtransfer.report.export import archive, json_link, links, write_tables
from ecgtransfer.report.methods import methods
from ecgtransfer.report.sheets import LONG, Column, Sheet, sheets, to_csv, to_latex, to_markdown

sys.path.insert(0, str(Path(__file__).parent))
import sample

EVIDENCE = sample.evidence()
SHEETS = sheets(EVIDENCE)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("means", "cells"), ("differences", "contrasts"), ("statements", "per_target"),
        ("subgroups", "subgroups"), ("operating_points", "operating"), ("calibration", "calibration"),
        ("noise_ceiling", "noise_ceiling"), ("baselines", "baselines"), ("tuning", "tuning"),
        ("negative_transfer", "negative_transfer"), ("gains", "gains"),
        ("recordings", "downstreams"), ("upstreams", "upstreams"),
    ],
)  # fmt: skip
def test_csv_has_every_row_and_every_plain_field_in_full_precision(name: str, key: str) -> None:
    rows = read(to_csv(SHEETS[name]))
    if name in ("means", "calibration"):
        assert len(rows) == len(EVIDENCE[key])  # in another order
        return
    for row, told in zip(EVIDENCE[key], rows, strict=True):
        for field, value in row.items():
            if isinstance(value, float):
                assert float(told[field]) == value
            elif value is None:
                # Where other rows have figures nested under the name, those are the columns.
                assert (
                    told[field] == "" if field in told else any(key.startswith(f"{field}.") for key in told)
                )
            elif isinstance(value, str | int):
                assert told[field] == str(value)


def test_nested_figures_have_columns_of_their_own() -> None:
    verdict = read(to_csv(SHEETS["verdicts"]))[0]
    expected = next(c for c in EVIDENCE["contrasts"] if c["verdict"])
    assert float(verdict["verdict.minimum_detectable"]) == expected["verdict"]["minimum_detectable"]
    assert len(verdict["per_seed"].split()) == 10
    columns = read(to_csv(SHEETS["differences"]))[0].keys()
    assert any(c["verdict"] is None for c in EVIDENCE["contrasts"])
    assert "verdict" not in columns
    assert "verdict.word" in columns
    bins = sum(len(row["bins"]) for row in EVIDENCE["calibration"])
    assert len(read(to_csv(SHEETS["calibration_bins"]))) == bins
    curves = read(to_csv(SHEETS["learning_curves"]))
    assert len(curves) == sum(len(row["sizes"]) for row in EVIDENCE["curves"])
    assert float(curves[0]["scratch_auroc.low"]) == EVIDENCE["curves"][0]["reference_band"][0]["low"]
    assert len(read(to_csv(SHEETS["seeds"]))) == sum(len(row["auroc_per_seed"]) for row in EVIDENCE["cells"])
    budgets = sum(len(row["budgets"]) * len(row["arms"]) for row in EVIDENCE["convergence"])
    assert len(read(to_csv(SHEETS["convergence"]))) == budgets


@pytest.mark.parametrize("name", SHEETS)
def test_latex_is_balanced_and_escaped_and_markdown_keeps_its_columns(name: str) -> None:
    sheet = SHEETS[name]
    latex = to_latex(sheet)
    for kind in ("table", "tabular", "longtable"):
        assert latex.count(rf"\begin{{{kind}}}") == latex.count(rf"\end{{{kind}}}")
    assert (r"\begin{longtable}" in latex) == (len(sheet.rows) > LONG)
    assert latex.isascii(), {letter for letter in latex if not letter.isascii()}
    bare = re.sub(r"\\.", "", latex)
    assert bare.count("{") == bare.count("}")
    assert "<" not in bare
    lines = [line for line in latex.splitlines() if line.endswith(r" \\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(sheet.columns) - 1}
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in to_markdown(sheet).splitlines()}) == 1


def test_latex_of_what_users_call_things() -> None:
    assert to_latex(Sheet("t", "t", (Column("n", lambda row: row["x"]),), [{"x": "[1] *"}])).count(
        "{[}1{]} {*}"
    )
    odd = "a_b & 50 % {x} $1$ #~^\\ <b> | 1.2·10⁻⁵"
    sheet = Sheet("t", "50 % & more", (Column("n_1", lambda row: row["x"], words=True),), [{"x": odd}])
    latex = to_latex(sheet)
    told = next(line for line in latex.splitlines() if "textbackslash" in line)
    assert told == (
        r"a\_b \& 50 \% \{x\} \$1\$ \#\textasciitilde{}\textasciicircum{}\textbackslash{} "
        r"\textless{}b\textgreater{} \textbar{} 1.2$\cdot$10$^{-5}$ \\"
    )
    assert r"\caption{50 \% \& more.}" in latex
    assert "a_b & 50 % {x} $1$ #~^\\ <b> \\| 1.2·10⁻⁵" in to_markdown(sheet)


def test_files_are_written_and_those_of_an_earlier_report_removed(tmp_path: Path) -> None:
    written = write_tables(EVIDENCE, tmp_path / "tables")
    names = {path.name for path in written}
    assert names == {path.name for path in (tmp_path / "tables").iterdir()}
    assert {"verdicts.csv", "verdicts.tex", "verdicts.md", "methods.md"} <= names
    assert {path.split(".")[0] for path in names} - {"methods"} == {n for n, s in SHEETS.items() if s.rows}
    own = tmp_path / "tables" / "notes.txt"
    own.write_text("mine")
    after = {path.name for path in write_tables(sample.small(), tmp_path / "tables")}
    assert {path.name for path in own.parent.iterdir()} == after | {"notes.txt"}
    assert "subgroups.csv" not in after


def test_the_archive_holds_everything_and_is_the_same_every_time() -> None:
    packed = archive(EVIDENCE)
    assert packed == archive(sample.evidence())
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert opened.testzip() is None
        evidence = json.loads(opened.read("evidence.json"))
        assert opened.read("verdicts.csv").decode() == to_csv(SHEETS["verdicts"])
        assert "methods.md" in opened.namelist()
    assert evidence["contrasts"] == EVIDENCE["contrasts"]
    assert "signal" not in evidence["disagreements"][0], "the recordings themselves are not handed on"


def test_links_hold_the_files() -> None:
    found = links(SHEETS["verdicts"])
    assert [link.name for link in found] == ["verdicts.csv", "verdicts.tex", "verdicts.md"]
    kind, content = found[0].address.split(",", 1)
    assert kind == "data:text/csv;charset=utf-8;base64"
    assert base64.b64decode(content).decode() == to_csv(SHEETS["verdicts"])
    assert [link.name for link in links(SHEETS["statements"])] == ["statements.csv"]
    small = json_link(sample.small())
    assert small is not None
    assert json.loads(base64.b64decode(small.address.split(",")[1])) == sample.small()


def test_the_methods_say_what_was_done_and_cite_what_they_use() -> None:
    text = str(methods(EVIDENCE))
    for shown in (
        "ptbxl-subset: 2,130 recordings (2,004 patients), lead I at 100 Hz, task superclass",
        "ludb: 2,130 recordings (patients unknown, each recording counting as its own), 12 leads (I to V6) "
        "at 100 Hz",
        "resnet1d18-w16 (pre-trained from three seeds, macro AUROC on its own test part 0.961)",
        "Pre-training on cinc2017 had 3,000 updates of up to 64 recordings at a peak learning rate of 0.003. "
        "Half of its recordings, drawn at random, were turned upside down.",
        "400 and all 1,704 labelled ECGs of ptbxl-subset; 40, 80 and all 160 labelled ECGs of ludb",
        "1,600 updates of up to 64 recordings",
        "The learning rate was one of 0.0003, 0.001 and 0.003",
        f"frozen (hash {'9f2c' * 16}) before any test part was opened",
        "fine-tuned lstm from cinc2017 against scratch on ptbxl-subset with 50 and all 1,704 labels",
        "Six primary contrasts were named",
        "within ±0.01 macro AUROC",
        "Budgets of 200, 400, 800 and 1,600 updates",
        "ecgtransfer",
    ):
        assert shown in text
    cited = sorted({int(n) for group in re.findall(r"\[([\d,]+)\]", text) for n in group.split(",")})
    listed = [int(n) for n in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert cited == listed == list(range(1, len(listed) + 1))
    assert "Holm S." in text
    for wrong in ("None", " nan", "..", " ,", "  ", "? .", "1 seeds"):
        assert wrong not in text


def test_the_methods_leave_out_what_was_not_done() -> None:
    text = str(methods(sample.small()))
    for absent in (
        "Learning curves",
        "Convergence",
        "Hernandez",
        "Kaplan",
        "Holm's step-down procedure, None",
    ):
        assert absent not in text
    assert "(one seed)" in text
    assert "lstm (given as a finished model)" in text
    paper = sample.small()
    paper["study"]["protocol"] = "paper"
    text = str(methods(paper))
    assert "these values are optimistic" in text
    assert "counted as absent" in text
    assert "masked in loss" not in text
    assert "the same for every size" not in text
    assert "No contrast gets a verdict" in text
    assert "validation part, and the test part was evaluated once" not in str(methods(paper))
