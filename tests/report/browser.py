"""A page in a real browser: what a headless Chromium says of it at a width, in light or dark."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

# Runs in a copy of the page inside a frame of the wanted width, because a headless window has a least width.
PROBE = """<!doctype html><title>probe</title><meta name="color-scheme" content="light dark">
<body style="margin:0">
<iframe id="page" style="border:0;width:{width}px;height:900px;color-scheme:light dark"></iframe>
<pre id="facts"></pre>
<script>
const frame = document.getElementById("page");
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
  const small = [...page.querySelectorAll("figure svg text")].filter((text) =>
    text.getBoundingClientRect().height > 0 && text.getBoundingClientRect().height < 8);
  const ids = [...page.querySelectorAll("[id]")].map((part) => part.id);
  const style = (part, name) => part ? frame.contentWindow.getComputedStyle(part)[name] : null;
  document.getElementById("facts").textContent = JSON.stringify({{
    width: root.clientWidth, scrollWidth: root.scrollWidth, clipped, small: small.length,
    figures: shown.map((box) => [box.width, box.height]),
    beyond: beyond.map((part) => part.outerHTML.slice(0, 80)),
    answer: page.querySelector(".answer").getBoundingClientRect().top,
    ids: ids.length - new Set(ids).size,
    unnamed: [...page.querySelectorAll("figure svg")].filter((svg) => {{
      const name = page.getElementById(svg.getAttribute("aria-labelledby") || "-");
      return !(name && name.textContent) && !svg.closest("[aria-label]"); }}).length,
    paper: style(page.body, "backgroundColor"), ink: style(page.body, "color"),
    trace: style(page.querySelector(".ecg-trace"), "stroke"),
    ground: style(page.querySelector(".ecg-ground"), "fill"),
  }});
}});
frame.srcdoc = {page};
</script>"""


def find_chromium() -> str:
    """Return the browser, or skip the test visibly; on a build machine its absence is a failure."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    if os.environ.get("CI"):
        pytest.fail("no Chromium: .ci/run has to install it")
    pytest.skip("no Chromium on this machine: the page is not looked at")


def look(chromium: str, page: Path, folder: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
    """Return what the browser finds in a page with every part of it unfolded; a console error fails."""
    # A console error in the page would hide in a frame's log, so the page itself is opened first.
    _, log = _open(chromium, page, folder, dark=dark)
    assert "CONSOLE" not in log, log
    probe = folder / "probe.html"
    content = json.dumps(page.read_text(encoding="utf-8")).replace("</", "<\\/")
    probe.write_text(PROBE.format(width=width, page=content), encoding="utf-8")
    dom, log = _open(chromium, probe, folder, dark=dark)
    assert "CONSOLE" not in log, log
    found = re.search(r'<pre id="facts">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None
    assert found[1], dom[-500:]
    facts: dict[str, Any] = json.loads(unescape(found[1]))
    return facts


def _open(chromium: str, page: Path, folder: Path, *, dark: bool) -> tuple[str, str]:
    """Return the page's document after it has loaded, and what the browser logged."""
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--window-size=1600,1000", "--virtual-time-budget=4000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr
