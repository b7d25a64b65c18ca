"""Files that are either whole or not there, and hashes that identify content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgtransfer.errors import ConfigError

# Names that `tempfile` gives in `write_bytes`, and the seconds that no write takes.
_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}")
_LONG_AGO = 3600.0


def make_folder(path: Path) -> None:
    """Make a folder and all above it; one that is there is left as it is.

    Raises
    ------
    ConfigError
        A part of the path is a file, a link to nowhere, or takes no folders (``/proc``).
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError) as error:
        lost = next((part for part in (path, *path.parents) if part.is_symlink() and not part.exists()), None)
        why = f"{lost} is a link to a place that is not there" if lost else error.strerror
        what = f"the folder cannot be made: {why}"
        raise ConfigError(what, where=path, remedy="Choose another place") from None


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put ``path`` into the system's complaints that name none: a full disk does not say which it is."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: a reader sees the old content or the new, never a part."""
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path), os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def clear_leftovers(folder: Path) -> int:
    """Remove what `write_bytes` left of files whose writer was killed, anywhere in ``folder``; say how many.

    What is younger than an hour stays: another process may be writing it.
    """
    before, removed = time.time() - _LONG_AGO, 0
    for path in folder.rglob(".*"):
        with contextlib.suppress(OSError):  # gone in the meantime, or not ours to remove
            if _LEFTOVER.fullmatch(path.name) and path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                removed += 1
    return removed


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically, with line feeds alone on every system."""
    write_bytes(path, content.encode())


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text, so it can be hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; NaN is refused, because JSON has none."""
    write_text(path, json.dumps(value, indent=1, sort_keys=False, allow_nan=False) + "\n")


def hash_json(value: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` that takes its name when the block ends without an error.

    An existing ``path`` is an error: whoever wants to replace a folder says so by removing it first. What a
    killed process left half-written is removed by the next that wants the name.
    """
    temporary = path.parent / f".{path.name}.writing"
    shutil.rmtree(temporary, ignore_errors=True)
    make_folder(temporary.parent)
    temporary.mkdir()
    try:
        yield temporary
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
