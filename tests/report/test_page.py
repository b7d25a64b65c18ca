"""The page in a real browser: at the width of a telephone and of a desk, light, dark, printed, unscripted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.report.html import write_report

sys.path.insert(0, str(Path(__file__).parent))
import sample
from browser import FACTS, Browser, find_chromium

CHARTS = ("curves", "forest", "convergence", "cost", "calibration")
ONE = {"networks": ("resnet1d18-w16",), "downstreams": ("ptbxl-subset",), "upstreams": ("cinc2017",)}
PAGES = {"whole": sample.evidence, "one": lambda: sample.evidence(**ONE), "small": sample.small}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, made in PAGES.items():
        write_report(made(), folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(find_chromium(), tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def assert_nothing_is_clipped(facts: dict[str, Any], width: int) -> None:
    assert facts["width"] == width
    assert facts["scrollWidth"] <= width
    assert facts["beyond"] == []
    assert facts["clipped"] == []
    assert facts["small"] == 0, "letters in drawings are at least 8 px high"
    assert facts["ids"] == 0, "no id stands twice"
    assert facts["unnamed"] == 0, "every drawing has a name"
    assert 0 < facts["answer"] < 200


@pytest.mark.parametrize(("width", "dark"), [(360, False), (360, True), (1440, False), (1440, True)])
@pytest.mark.parametrize("name", PAGES)
def test_charts_are_drawn_and_nothing_is_clipped(
    browser: Browser, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    browser.open(pages[name], width, dark=dark)
    shown = browser.run("[...document.querySelectorAll('.live')].filter((part) => part.clientHeight).length")
    assert shown == (0 if name == "small" else len(CHARTS))
    facts = browser.run(FACTS)
    assert_nothing_is_clipped(facts, width)
    assert len(facts["figures"]) == (0 if name == "small" else len(CHARTS) + 6)
    assert all(w > 0.6 * min(width, 900) and h > 50 for w, h in facts["figures"])
    assert browser.errors == []
    assert browser.run("performance.getEntriesByType('resource').length") == 0, "the page asks for no file"
    assert browser.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)"
    )


@pytest.mark.parametrize("width", [360, 1440])
def test_without_a_script_there_are_drawings(browser: Browser, pages: dict[str, Path], width: int) -> None:
    browser.open(pages["whole"], width, scripts=False)
    facts = browser.run(FACTS)
    assert_nothing_is_clipped(facts, width)
    # 36 curves, 10 forests, 12 budgets, 18 costs, 18 diagrams, 6 ECGs.
    assert len(facts["figures"]) == 100
    assert browser.run("document.querySelectorAll('.live:not([hidden]), .copy:not([hidden])').length") == 0
    assert browser.errors == []


def test_print_shows_drawings_on_white_and_cuts_no_table(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["one"], 794, dark=True)
    browser.media(dark=True, printed=True)
    browser.settle()
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    visible = "[...document.querySelectorAll('{}')].filter((part) => part.getClientRects().length).length"
    assert browser.run(visible.format(".live, .controls, .copy, nav")) == 0
    assert browser.run(visible.format(".plot")) == 8
    shown = "!part.closest('details:not([open])')"
    beyond = f"(part) => {shown} && part.getBoundingClientRect().right > innerWidth + 1"
    wide = f"[...document.querySelectorAll('table')].filter({beyond})"
    assert browser.run(f"{wide}.map((t) => t.innerText.slice(0, 60))") == []
    assert browser.pdf().startswith(b"%PDF")


def place(browser: Browser, chart: str, part: str) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a part of a chart, after scrolling there."""
    found = f"document.querySelector('[data-chart=\"{chart}\"] {part}')"
    browser.run(f"{found}.scrollIntoView({{ block: 'center' }})")
    browser.settle()
    left, top, width, height = browser.run(
        f"(() => {{ const box = {found}.getBoundingClientRect();"
        " return [box.left, box.top, box.width, box.height]; })()"
    )
    return left, top, width, height


def told(browser: Browser, chart: str, part: str) -> str:
    """Return the text of a part of a chart; empty where it is not there."""
    return str(browser.run(f"document.querySelector('[data-chart=\"{chart}\"] {part}')?.innerText ?? ''"))


SAYS = {
    "curves": r"labelled ECGs\nfrom scratch: 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)",
    "forest": r"[+−]0\.\d{3} \([+−]0\.\d{3} to [+−]0\.\d{3}\), \w+",
    "convergence": r"updates of a training\nfrom scratch: 0\.\d{3}",
    "cost": r"n = 50\n.*: \d\.\d·10",
    "calibration": r"observed at 0\.\d\d \([\d,]+ predictions\)",
}


@pytest.mark.parametrize("width", [360, 1440])
def test_hovering_shows_a_value_within_the_page(browser: Browser, pages: dict[str, Path], width: int) -> None:
    browser.open(pages["whole"], width)
    for chart, says in SAYS.items():
        left, top, wide, high = place(browser, chart, ".canvas")
        assert told(browser, chart, ".tip") == ""
        down = 43 if chart in ("forest", "cost") else 0.4 * high
        for part in (0.6, 0.61):
            browser.hover(left + part * wide, top + down)
        assert re.search(says, told(browser, chart, ".tip")), chart
        box = f"document.querySelector('[data-chart=\"{chart}\"] .tip').getBoundingClientRect()"
        assert browser.run(f"{box}.left") >= 0
        assert browser.run(f"{box}.right") <= width
    assert browser.errors == []


def test_a_filter_changes_what_is_shown_in_every_chart_that_has_it(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["whole"], 1440)
    before = [told(browser, chart, ".panel-title") for chart in CHARTS]
    drawn = browser.run("document.querySelector('[data-chart=\"curves\"] .canvas').innerHTML")
    browser.run('document.querySelector(\'[data-chart="curves"] [data-key="network"]\').focus()')
    browser.key("ArrowDown", 40)
    after = [told(browser, chart, ".panel-title") for chart in CHARTS]
    changed = [chart for chart, old, new in zip(CHARTS, before, after, strict=True) if old != new]
    assert changed == ["curves", "convergence", "cost", "calibration"]
    assert all("lstm, pre-trained" in new for new in (after[0], *after[2:]))
    assert browser.run("document.querySelector('[data-chart=\"curves\"] .canvas').innerHTML") != drawn
    assert browser.run("document.activeElement.dataset.key") == "network", "the keyboard stays where it was"
    # The forest keeps all networks until one is asked for.
    rows = "document.querySelectorAll('[data-chart=\"forest\"] .canvas text').length"
    all_rows = browser.run(rows)
    browser.run(
        '(() => { const box = document.querySelector(\'[data-chart="forest"] [data-key="label"]\');'
        " box.value = 'MI'; box.dispatchEvent(new Event('change')); })()"
    )
    browser.settle()
    assert browser.run(rows) < all_rows
    assert browser.errors == []


def test_a_series_can_be_hidden_with_a_button(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["whole"], 1440)
    paths = "document.querySelectorAll('[data-chart=\"curves\"] .canvas path').length"
    before = browser.run(paths)
    left, top, wide, high = place(browser, "curves", ".legend button")
    browser.click(left + wide / 2, top + high / 2)
    assert browser.run(paths) < before
    pressed = "document.querySelector('[data-chart=\"curves\"] .legend button').getAttribute('aria-pressed')"
    assert browser.run(pressed) == "false"
    browser.key("Enter", 13)
    browser.run("document.activeElement.click()")
    assert browser.run(paths) == before


def test_keys_walk_through_the_points_and_what_is_shown_is_said(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["whole"], 1440)
    for chart, says in (
        ("curves", "from scratch, 100 labelled ECGs: 0."),
        ("forest", "resnet1d18-w16, NORM: "),
    ):
        browser.run(f"document.querySelector('[data-chart=\"{chart}\"] .canvas').focus()")
        browser.key("ArrowRight", 39)
        browser.key("ArrowRight", 39)
        said = browser.run(f"document.querySelector('[data-chart=\"{chart}\"] .said').textContent")
        assert said.startswith(says)
        assert told(browser, chart, ".tip") != ""
    names = browser.run(
        "[...document.querySelectorAll('.canvas')].map((part) => [part.role, part.ariaLabel])"
    )
    assert all(role == "img" and len(label) > 60 for role, label in names)


def test_controls_are_reached_by_the_tabulator_key_and_are_named(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["one"], 1440)
    seen = []
    for _ in range(60):
        browser.key("Tab", 9)
        seen.append(browser.run("document.activeElement.className + ' ' + document.activeElement.tagName"))
    assert {"skip A", "canvas DIV", " SELECT", " BUTTON"} <= set(seen)
    unnamed = "[...document.querySelectorAll('select')].filter((box) => !box.labels[0]?.textContent).length"
    assert browser.run(unnamed) == 0


def test_a_link_to_a_folded_table_unfolds_it(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["one"], 1440)
    shown = "document.getElementById('d-catch_up').getBoundingClientRect().height"
    assert browser.run("document.getElementById('d-catch_up').closest('details').open") is False
    browser.run("document.querySelector('a[href=\"#d-catch_up\"]').click()")
    browser.settle()
    assert browser.run(shown) > 10


def test_the_methods_are_copied(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["one"], 1440)
    browser.run("document.querySelector('.copy').click()")
    browser.settle()
    assert browser.run("document.querySelector('.copy').textContent") == "Copied"
    assert browser.errors == []
