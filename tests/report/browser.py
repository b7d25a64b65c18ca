"""A page in a real browser: a headless Chromium at a width, in light, dark or print, with mouse and keys.

It is spoken to through the DevTools protocol over a pipe, so that nothing besides the browser is needed.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

# What is looked at in every page; `figures` and `clipped` speak of what is visible.
FACTS = """(() => {
  const root = document.documentElement, own = (part, name) => part ? getComputedStyle(part)[name] : null;
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
  const drawn = [...document.querySelectorAll("figure svg:not(.swatch)")].filter((svg) => {
    const box = svg.getBoundingClientRect(); return box.width > 0 && box.height > 0; });
  const beyond = [...document.querySelectorAll("main *")].filter((part) => !part.closest("svg")
    && !part.parentElement.closest(".scroll, .canvas, .said, thead")
    && part.getBoundingClientRect().right > root.clientWidth + 0.5);
  const outside = (svg) => { const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].filter((text) => { const box = text.getBoundingClientRect();
      return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
        || box.bottom > frame.bottom + 1); }).map((text) => text.textContent.trim()); };
  const letters = drawn.flatMap((svg) => [...svg.querySelectorAll("text")]);
  const ids = [...document.querySelectorAll("[id]")].map((part) => part.id);
  return {
    width: root.clientWidth, scrollWidth: root.scrollWidth, clipped: drawn.flatMap(outside),
    small: letters.filter((text) => { const high = text.getBoundingClientRect().height;
      return high > 0 && high < 8; }).length,
    figures: drawn.map((svg) => { const box = svg.getBoundingClientRect(); return [box.width, box.height]; }),
    beyond: beyond.map((part) => part.outerHTML.slice(0, 80)),
    answer: document.querySelector(".answer").getBoundingClientRect().top + scrollY,
    ids: ids.length - new Set(ids).size,
    unnamed: drawn.filter((svg) => {
      const name = document.getElementById(svg.getAttribute("aria-labelledby") || "-");
      return !(name && name.textContent) && !svg.closest("[aria-label]"); }).length,
    paper: own(document.body, "backgroundColor"), ink: own(document.body, "color"),
    trace: own(document.querySelector(".ecg-trace"), "stroke"),
    ground: own(document.querySelector(".ecg-ground"), "fill"),
  };
})()"""
_SECONDS = 60.0


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
    with Browser(chromium, folder / "profile") as browser:
        browser.open(page, width, dark=dark)
        facts: dict[str, Any] = browser.run(FACTS)
        assert browser.errors == []
        return facts


class Browser:
    """A headless Chromium with one page."""

    def __init__(self, chromium: str, profile: Path) -> None:
        # Chromium reads commands from file 3 and answers on file 4.
        here_read, there_write = os.pipe()
        there_read, here_write = os.pipe()
        # Out of the way of 3 and 4, which the child is given.
        kept = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (there_read, there_write)]

        def give() -> None:
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, preexec_fn=give, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for end in (there_read, there_write, *kept):
            os.close(end)
        self._read, self._write, self._left, self._number = here_read, here_write, b"", 0
        self.errors: list[str] = []
        self._loaded = False
        self._session: str | None = None
        target = next(t for t in self._targets() if t["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=_SECONDS)
        os.close(self._read)
        os.close(self._write)

    def open(
        self, page: Path, width: int, height: int = 900, *, dark: bool = False, scripts: bool = True
    ) -> None:
        """Load a page; errors on its console are in ``errors`` from then on."""
        self.errors.clear()
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.media(dark=dark)
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._loaded = False
        self.send("Page.navigate", url=page.resolve().as_uri())
        self._wait(lambda: self._loaded)
        # The page's own scripts have had their chance; what a test asks is a script as well.
        self.send("Emulation.setScriptExecutionDisabled", value=False)
        self.settle()

    def media(self, *, dark: bool = False, printed: bool = False) -> None:
        """Pretend a colour scheme, or paper."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", media="print" if printed else "screen", features=features)

    def settle(self) -> None:
        """Let two frames pass, so that what a change caused has been drawn."""
        frames = "new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go(1))))"
        self.run(frames)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def hover(self, x: float, y: float) -> None:
        """Move the mouse to a place of the window."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.settle()

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def key(self, name: str, code: int) -> None:
        """Press a key, such as ``Tab`` (9) or ``ArrowRight`` (39)."""
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)
        self.settle()

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write what is to be seen as PNG."""
        taken = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))

    def pdf(self) -> bytes:
        """Return the page as it would be printed."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer; what happens meanwhile is noted."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answers: list[dict[str, Any]] = []
        self._wait(
            lambda: bool(answers), lambda found: answers.append(found) if found.get("id") == number else None
        )
        assert "error" not in answers[0], (method, answers[0]["error"])
        result: dict[str, Any] = answers[0]["result"]
        return result

    def _targets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.send("Target.getTargets")["targetInfos"]
        return found

    def _wait(self, done: Any, seen: Any = lambda found: None) -> None:
        until = time.monotonic() + _SECONDS
        while not done():
            for found in self._messages(until):
                self._note(found)
                seen(found)

    def _messages(self, until: float) -> list[dict[str, Any]]:
        ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
        assert ready, "the browser does not answer"
        piece = os.read(self._read, 1 << 20)
        assert piece, "the browser has ended"
        *whole, self._left = (self._left + piece).split(b"\0")
        return [json.loads(text) for text in whole]

    def _note(self, found: dict[str, Any]) -> None:
        what, told = found.get("method"), found.get("params", {})
        if what == "Page.loadEventFired":
            self._loaded = True
        elif what == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"].get("exception", told["exceptionDetails"])))
        elif what == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(part.get("value", part)) for part in told["args"]))
        elif what == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(told["entry"]["text"])
