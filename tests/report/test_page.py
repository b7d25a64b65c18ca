"""The page in a real browser, at the width of a telephone and of a desk."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from ecgtransfer.report.html import write_report

sys.path.insert(0, str(Path(__file__).parent))
from sample import evidence

# Runs in a copy of the page inside a frame of the wanted width, because a headless window has a least width.
PROBE = """<!doctype html><title>probe</title><body style="margin:0">
<iframe id="page" style="border:0;width:{width}px;height:900px"></iframe>
<pre id="facts"></pre>
<script>
const frame = document.getElementById("page"), errors = [];
frame.addEventListener("load", () => {{
  const page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach((part) => {{ part.open = true; }});
  const shown = [...page.querySelectorAll("figure svg")].map((svg) => svg.getBoundingClientRect())
    .filter((box) => box.width > 0 && box.height > 0);
  const beyond = [...page.querySelectorAll("main *")].filter((part) => !part.closest("svg")
    && !part.parentElement.closest(".scroll") && part.getBoundingClientRect().right > root.clientWidth + 0.5);
  const clipped = [...page.querySelectorAll("figure svg")].filter((svg) => svg.getBoundingClientRect().width)
    .flatMap((svg) => {{ const frame = svg.getBoundingClientRect();
      return [...svg.querySelectorAll("text")].filter((text) => {{ const box = text.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
          || box.bottom > frame.bottom + 1; }}).map((text) => text.textContent.trim()); }});
  const ids = [...page.querySelectorAll("[id]")].map((part) => part.id);
  document.getElementById("facts").textContent = JSON.stringify({{
    width: root.clientWidth, scrollWidth: root.scrollWidth, clipped,
    figures: shown.map((box) => [box.width, box.height]),
    beyond: beyond.map((part) => part.outerHTML.slice(0, 80)),
    answer: page.querySelector(".answer").getBoundingClientRect().top,
    ids: ids.length - new Set(ids).size,
  }});
}});
frame.srcdoc = {page};
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    if os.environ.get("CI"):
        pytest.fail("no Chromium: .ci/run has to install it")
    pytest.skip("no Chromium on this machine: the page is not looked at")


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("networks", [("resnet1d18-w16",), ("resnet1d18-w16", "lstm", "lstm-pooled")])
def test_nothing_is_clipped_and_the_figures_are_there(
    chromium: str, tmp_path: Path, width: int, networks: tuple[str, ...]
) -> None:
    report = tmp_path / "report.html"
    write_report(evidence(networks), report)
    assert not re.search(r'(src|href)="(?!#)', report.read_text()), "the page must need no other file"
    # A console error in the page would hide in a frame's log, so the page itself is opened first.
    _, log = _open(chromium, report, tmp_path)
    assert "CONSOLE" not in log, log

    probe = tmp_path / "probe.html"
    page = json.dumps(report.read_text()).replace("</", "<\\/")
    probe.write_text(PROBE.format(width=width, page=page))
    dom, log = _open(chromium, probe, tmp_path)
    assert "CONSOLE" not in log, log
    found = re.search(r'<pre id="facts">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None
    assert found[1], dom[-500:]
    facts = json.loads(unescape(found[1]))
    assert facts["width"] in range(width - 20, width + 1)
    assert facts["scrollWidth"] <= facts["width"]
    assert facts["beyond"] == []
    assert facts["clipped"] == []
    assert facts["ids"] == 0
    assert len(facts["figures"]) == 2
    assert all(w > 0.8 * min(width, 900) and h > 150 for w, h in facts["figures"])
    assert 0 < facts["answer"] < 200


def _open(chromium: str, page: Path, folder: Path) -> tuple[str, str]:
    """Return the page's document after it has loaded, and what the browser logged."""
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr",
        "--window-size=1600,1000", "--virtual-time-budget=4000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr
