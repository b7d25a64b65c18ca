"""Progress on stderr, so that stdout carries the result alone."""

from __future__ import annotations

import sys
import time


class Progress:
    """One line that is redrawn on a terminal, and a line now and then where stderr is a file.

    Parameters
    ----------
    label : str
        What is being done.
    every : float
        Seconds between two lines when stderr is not a terminal.
    quiet : bool
        Print nothing.
    """

    def __init__(self, label: str, *, every: float = 15.0, quiet: bool = False) -> None:
        self.label, self.quiet = label, quiet
        self.terminal = sys.stderr.isatty()
        self.interval = 0.1 if self.terminal else every
        self.last = time.monotonic() if not self.terminal else 0.0
        self.drawn = False

    def update(self, done: int, total: int, note: str = "") -> None:
        """Show ``done`` of ``total``; calls that come too soon after the last are not shown."""
        now = time.monotonic()
        if self.quiet or now - self.last < self.interval:
            return
        self.last = now
        line = f"{self.label}: {done}/{total}" + (f"  {note}" if note else "")
        print(
            f"\r\x1b[2K{line}" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr
        )
        sys.stderr.flush()
        self.drawn = True

    def finish(self, message: str | None = None) -> None:
        """Clear the redrawn line and leave ``message`` behind."""
        if self.quiet:
            return
        if self.terminal and self.drawn:
            print("\r\x1b[2K", end="", file=sys.stderr)
        if message is not None:
            print(message, file=sys.stderr)
        sys.stderr.flush()
