"""Tables and page: every figure of the evidence arrives, and nothing that is missing is invented."""

from __future__ import annotations

import copy
import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from ecgtransfer.report.html import render, write_report
from ecgtransfer.report.sections import MOST_DRAWN
from ecgtransfer.report.tables import comparison_table, markdown, result_table
from ecgtransfer.report.view import comparisons, headline

sys.path.insert(0, str(Path(__file__).parent))
import sample

EVIDENCE = sample.evidence()
ONE = sample.evidence(("lstm",), ("one",), ("cinc2017",))
ORDER = (
    "curves", "verdicts", "differences", "convergence", "cost", "calibration", "disagreements", "audit",
    "methods", "numbers", "published", "settings", "limits",
)  # fmt: skip


@pytest.fixture(scope="module")
def page() -> str:
    return render(EVIDENCE)


def section(page: str, name: str) -> str:
    return page[page.index(f'<section aria-labelledby="h-{name}"') :].split("</section>")[0]


def printed(tables: list, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def test_terminal_tables_hold_every_mean_difference_and_interval_within_100_columns() -> None:
    tables = comparison_table(EVIDENCE)
    assert len(tables) == 3 * 3 * 2 + 3  # downstreams x networks x upstreams, and the baselines of each
    text = printed(tables)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for cell in EVIDENCE["cells"]:
        assert f"{cell['auroc']:.3f} ± 0.020" in text
    for shown in ("+0.056 (+0.036 to", "+0.076)", "(no interval)", "all", "1,704", "helps", "undecided"):
        assert shown in text
    head = next(line for line in text.splitlines() if "scratch" in line)
    assert (
        head.index("scratch") < head.index("frozen-random") < head.index("linear-probe") < head.index("full")
    )


def test_comparisons_go_by_downstream_network_and_upstream_and_share_scratch() -> None:
    found = comparisons(EVIDENCE)
    assert [(p.downstream, p.network, p.upstream) for p in found][:3] == [
        ("ptbxl-subset", "resnet1d18-w16", "cinc2017"),
        ("ptbxl-subset", "resnet1d18-w16", "simulated"),
        ("ptbxl-subset", "lstm", "cinc2017"),
    ]
    assert found[0].title == "ptbxl-subset: resnet1d18-w16, pre-trained on cinc2017"
    assert comparisons(ONE)[0].title == "lstm, pre-trained on cinc2017"
    for panel in found:
        for row in panel.rows:
            assert set(row.cells) == set(sample.ARMS)
            assert {cell["downstream"] for cell in row.cells.values()} == {panel.downstream}
            assert row.cells["full"]["upstream"] == row.contrasts["full"]["upstream"] == panel.upstream
    assert found[0].rows[0].cells["scratch"] is found[1].rows[0].cells["scratch"]


def test_the_headline_is_the_first_pair_of_the_plan_with_most_labels() -> None:
    first = headline(EVIDENCE)
    assert first is not None
    assert (first["network"], first["arm"], first["n"]) == ("resnet1d18-w16", "full", 1704)
    assert headline({"contrasts": []}) is None


def test_markdown_has_the_answer_first_and_well_formed_tables() -> None:
    text = markdown(EVIDENCE)
    assert text.splitlines()[2] == EVIDENCE["sentence"]
    assert text.index("## Verdicts") < text.index("## ptbxl-subset: resnet1d18-w16, pre-trained on cinc2017")
    assert "+0.056 (+0.036 to +0.076)" in text
    assert "7 positives in the pool" in text
    assert "180 of 195 intervals: one pre-training" in text
    assert "73 more rows are in `tables/negative_transfer.md`" in text
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 25
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert len([line for line in text.splitlines() if line.startswith("# ")]) == 1
    assert markdown(sample.small()).count("None") == 0


def test_sections_stand_in_the_order_of_the_report(page: str) -> None:
    places = [page.index(f'aria-labelledby="h-{name}"') for name in ORDER]
    assert places == sorted(places)
    assert page.index(EVIDENCE["answer"][0].split(";")[0]) < page.index(EVIDENCE["answer"][1]) < places[0]
    assert set(re.findall(r'<a href="#h-([a-z]+)"', page)) >= set(ORDER)


def test_the_verdicts_have_all_that_belongs_to_them(page: str) -> None:
    verdicts = section(page, "verdicts")
    rows = re.findall(r"<tr role=\"row\">.*?</tr>", verdicts, re.DOTALL)[1:]
    assert len(rows) == 6
    for shown in ("helps", "+0.056", "+0.031 to +0.081 (98.8 %)", "+0.039 to +0.073", "0.034"):
        assert shown in rows[0]
    assert "about 1.7 times as many test patients would" in rows[1]
    assert "no interval" in rows[3]
    assert sample.FEW in rows[3]


def test_the_page_holds_every_cell_and_names_what_is_exploratory(page: str, tmp_path: Path) -> None:
    write_report(EVIDENCE, tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == page, "the same bytes every time"
    for cell in EVIDENCE["cells"]:
        assert f"{cell['auroc']:.3f} ± 0.020" in section(page, "curves")
    for name, shown in (
        ("curves", "Scratch catches up between 260 and 410 labels."),
        ("curves", "acts as"),
        ("differences", "of 780 differences by statement, arm and size 103 hint at harm"),
        ("differences", "not adjusted for their number: exploratory"),
        ("convergence", "scratch takes 2.0 times as many updates"),
        ("cost", "5 h 05 min"),
        ("cost", "after 3 projects (95 % interval 2 to 8)"),
        ("cost", "never: fine-tuning saves no computing"),
        ("calibration", "Brier score"),
        ("audit", "3 pairs of records are the same ECG."),
        ("audit", "14 pairs of duplicates agree"),
        ("published", "+0.018 (+0.011 to +0.025)"),
        ("settings", "9f2c"),
        ("limits", "Source polarity is uncertain"),
        ("limits", "180 of 195 intervals: one pre-training"),
    ):
        assert shown in section(page, name), (name, shown)


def test_the_page_is_well_formed_and_names_its_images(page: str) -> None:
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.images
    assert all(parser.images)
    assert page.count("<table") == page.count("</table>")


def test_the_page_needs_no_other_file_and_lets_none_be_fetched(page: str) -> None:
    rest = page.replace(re.search(r"<script>\n?/\*.*?</script>", page, re.DOTALL)[0], "")
    assert not re.search(r'(src|href)="(?!#|data:)', rest)
    assert "default-src 'none'" in page
    assert "<link" not in rest
    assert "@import" not in rest


def test_text_of_users_is_escaped_everywhere() -> None:
    hostile = "</script><script>alert(1)</script>"
    odd = sample.evidence((hostile,), (f"d {hostile}",), (f"u {hostile}",))
    odd["title"] = odd["answer"][0] = hostile
    odd["notes"] = [hostile]
    page = render(odd)
    assert page.count("<script") == page.count("</script") == 3, "the page's own: data, library, drawing"
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert "<b>rare</b>" not in page
    assert "<i>" not in page
    data = re.search(r'<script id="charts" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["charts"][0]["views"][0]["where"]["network"] == hostile


def test_ecgs_are_drawn_with_label_and_probabilities_and_their_number_is_limited(page: str) -> None:
    drawn = section(page, "disagreements")
    assert drawn.count('class="ecg"') == 6
    assert "MI is present by its label; the probability is 0.91 fine-tuned and 0.08 from scratch" in drawn
    assert "fine-tuned is nearer to the label" in drawn
    assert "NORM is absent by its label" in drawn
    assert "from scratch is nearer to the label" in drawn
    assert "5 s</text>" in drawn, "twelve leads stand in two columns of five seconds"
    many = copy.deepcopy(ONE)
    many["disagreements"] = [many["disagreements"][0] | {"record_id": str(n)} for n in range(MOST_DRAWN + 5)]
    del many["disagreements"][0]["signal"]
    drawn = section(render(many), "disagreements")
    assert drawn.count('class="ecg"') == MOST_DRAWN - 1
    assert "Its signal was not kept." in drawn


def test_a_small_study_says_why_sections_are_empty() -> None:
    page = render(sample.small())
    for name, why in (
        ("curves", "One size only was run (12 labels), so there is no learning curve"),
        ("differences", sample.FEW),
        ("convergence", "The plan has no smaller budgets"),
        ("cost", "was not recorded"),
        ("calibration", "No predictions were kept"),
        ("disagreements", "There is no recording"),
        ("audit", "were not audited"),
    ):
        assert re.search(rf'<p class="empty">[^<]*{re.escape(why)}', section(page, name)), name
    assert 'id="h-published"' not in page
    body = page[: page.index('<script id="charts"')]
    assert "None" not in body
    assert "nan" not in printed(comparison_table(sample.small()))
    assert "<td>0.710<small><b>undecided</b></small></td>" in body, "one seed has no standard deviation"


def test_scratch_alone_and_missing_blocks_still_give_a_page() -> None:
    alone = sample.small()
    alone["contrasts"], alone["upstreams"] = [], []
    alone["cells"] = [cell for cell in alone["cells"] if cell["arm"] == "scratch"]
    page = render(alone)
    assert "nothing to compare it with" in section(page, "verdicts")
    nothing = {key: alone[key] for key in ("title", "sentence")}
    assert alone["sentence"] in render(nothing)
    assert comparison_table(nothing) == []
    assert markdown(nothing).startswith(f"# {alone['title']}")


def test_a_recommendation_stands_below_the_answer() -> None:
    advised = sample.small() | {"recommendation": {"text": "Use lstm, fine-tuned."}}
    page = render(advised)
    assert page.index(advised["answer"][1]) < page.index("Use lstm, fine-tuned.") < page.index("h-verdicts")
    assert "Recommended." not in render(sample.small())


def test_a_study_by_the_published_protocol_is_marked_as_optimistic() -> None:
    paper = sample.small()
    assert 'class="warning"' not in render(paper)
    paper["study"]["protocol"] = "paper"
    assert "selected on the test part and therefore optimistic" in render(paper)


def test_result_of_one_run_as_a_table() -> None:
    measures = ("auroc", "auprc", "f1", "sensitivity_at_specificity", "brier", "ece")
    row = dict.fromkeys(measures) | {"positives": 12, "negatives": 30, "auroc": 0.91234}
    macro = dict.fromkeys(measures, 0.5) | {"targets": ["AF"]}
    text = printed([result_table({"test": {"targets": {"AF": row}, "macro": macro, "specificity": 0.9}})])
    for shown in ("AF", "12 of 42", "0.912", "–", "macro of 1", "0.500", "90%"):
        assert shown in text


class _Balance(HTMLParser):
    """Checks that tags close, and gathers the alternative texts of images."""

    void = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if dict(attrs).get("role") == "img":
            self.images.append(dict(attrs).get("aria-label") or dict(attrs).get("aria-labelledby"))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag
