"""The page in a real browser, at the width of a telephone and of a desk."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ecgtransfer.report.html import write_report

sys.path.insert(0, str(Path(__file__).parent))
from browser import find_chromium, look
from sample import evidence


@pytest.fixture(scope="module")
def chromium() -> str:
    return find_chromium()


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("networks", [("resnet1d18-w16",), ("resnet1d18-w16", "lstm", "lstm-pooled")])
def test_nothing_is_clipped_and_the_figures_are_there(
    chromium: str, tmp_path: Path, width: int, networks: tuple[str, ...]
) -> None:
    report = tmp_path / "report.html"
    write_report(evidence(networks), report)
    assert not re.search(r'(src|href)="(?!#)', report.read_text()), "the page must need no other file"
    facts = look(chromium, report, tmp_path, width)
    assert facts["width"] in range(width - 20, width + 1)
    assert facts["scrollWidth"] <= facts["width"]
    assert facts["beyond"] == []
    assert facts["clipped"] == []
    assert facts["ids"] == 0
    assert facts["unnamed"] == 0
    assert len(facts["figures"]) == 2
    assert all(w > 0.8 * min(width, 900) and h > 150 for w, h in facts["figures"])
    assert 0 < facts["answer"] < 200
