"""What a killed writer leaves behind, and who clears it away; folders that cannot be made."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecgtransfer.errors import ConfigError
from ecgtransfer.files import clear_leftovers, make_folder, naming, write_bytes

KILLED = """
import os, signal, sys
from pathlib import Path
from ecgtransfer.files import write_bytes
os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(Path(sys.argv[1]), b"new")
"""


def test_what_a_killed_writer_leaves_is_cleared_away_once_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "a" / "result.json"
    write_bytes(path, b"old")
    (tmp_path / ".lock").write_bytes(b"")
    (tmp_path / "runs" / ".b.writing").mkdir()
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (left,) = set(path.parent.iterdir()) - {path}
    assert left.read_bytes() == b"new"

    assert clear_leftovers(tmp_path) == 0, "another process may be writing it"
    assert left.exists()
    long_ago = time.time() - 4000
    for each in (left, path, tmp_path / ".lock"):
        os.utime(each, (long_ago, long_ago))
    assert clear_leftovers(tmp_path) == 1
    assert not left.exists()
    assert path.exists()
    assert (tmp_path / ".lock").exists()
    assert (tmp_path / "runs" / ".b.writing").is_dir()


def test_a_folder_behind_a_link_to_nowhere_is_refused_in_a_sentence(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.symlink_to(tmp_path / "unmounted")
    for path in (gone, gone / "x"):
        with pytest.raises(
            ConfigError, match=r"gone is a link to a place that is not there\. Choose another"
        ):
            make_folder(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file: the folder cannot be made: File exists\. Choose another"):
        make_folder(tmp_path / "file")
    with pytest.raises(ConfigError, match="is a link to a place that is not there"):
        write_bytes(gone / "x.json", b"1")


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("kept")
    make_folder(tmp_path)
    make_folder(tmp_path / "b" / "c")
    assert (tmp_path / "a").read_text() == "kept"
    assert (tmp_path / "b" / "c").is_dir()


def test_a_full_disk_that_names_no_file_is_told_which(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as told, naming(tmp_path / "x.ecgs"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert told.value.filename == str(tmp_path / "x.ecgs")
    with pytest.raises(OSError, match="No space") as told, naming(tmp_path / "x.ecgs"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "its own")
    assert told.value.filename == "its own"
