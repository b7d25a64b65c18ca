"""Unpack a dataset that was handed over as the archive it was downloaded as."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from ecgtransfer import files
from ecgtransfer.errors import DataError
from ecgtransfer.progress import Progress

_SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar")


def is_archive(path: Path) -> bool:
    """Say whether a file's name is that of an archive `unpack` knows."""
    return path.is_file() and path.name.lower().endswith(_SUFFIXES)


def unpack(path: Path, folder: Path, *, quiet: bool = False) -> None:
    """Unpack an archive into ``folder``, unless that was done before.

    The folder is complete when ``.unpacked.json`` in it names this archive; anything else is removed and
    unpacked again, so that a kill in between does no harm.

    Raises
    ------
    DataError
        If the archive is damaged, or holds an entry that would be written outside the folder.
    """
    state = path.stat()
    mark = folder / ".unpacked.json"
    content = files.canonical_json({"name": path.name, "size": state.st_size, "mtime_ns": state.st_mtime_ns})
    if mark.is_file() and mark.read_text() == content:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    progress = Progress(f"unpacking {path.name}", quiet=quiet)
    try:
        made: set[Path] = set()
        for done, (name, total, stream) in enumerate(_members(path), start=1):
            target = folder / _inside(path, name)
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            with target.open("wb") as out:
                shutil.copyfileobj(stream, out)
            progress.update(done, max(done, total))
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full disk or a missing permission is not the archive's fault
        raise DataError(
            f"the archive cannot be read: {error}", where=path, remedy="Download it again"
        ) from error
    progress.finish()
    files.write_text(mark, content)


def _members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield name, number of entries (0 where unknown) and content of every regular file, links left out."""
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as bundle:
            infos = [info for info in bundle.infolist() if not info.is_dir()]
            for info in infos:
                with bundle.open(info) as stream:
                    yield info.filename, len(infos), stream
    else:
        with tarfile.open(path) as tape:
            for member in tape:
                if member.isfile() and (content := tape.extractfile(member)) is not None:
                    yield member.name, 0, content


def _inside(path: Path, name: str) -> Path:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or any(":" in part for part in parts.parts):
        raise DataError(f"the archive has an entry outside its own folder: {name}", where=path)
    return Path(*parts.parts)
