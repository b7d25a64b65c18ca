"""Who is at work on which run: leases with a heartbeat, so that two processes never do the same run twice.

A lease is the file ``leases/<run id>.json``, which names its owner; the owner renews its time. Others take it
over when it has not been renewed for long, or at once when its owner ran on this machine and is gone. Clocks
of different machines are never compared: all times are those that the file system gives to files. Whoever was
taken over finds out before it commits a result (`Lease.check`), and leaves the run to the other.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ecgtransfer.errors import StudyError
from ecgtransfer.files import make_folder

# Seconds without a heartbeat after which a lease is over, and how often it beats in that time.
STALE = 60.0
BEATS = 6
# How long to wait for another process to leave the critical section, which takes milliseconds.
PATIENCE = 30.0


class LeaseLostError(StudyError):
    """Another process has taken the run over."""


@dataclass(frozen=True)
class Lease:
    """A run that is ours for now; small enough to be sent along with the run.

    Attributes
    ----------
    path : Path
        The lease's file.
    owner : str
        Who holds it, as the file names it.
    """

    path: Path
    owner: str

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.path.stem

    def is_held(self) -> bool:
        """Say whether the run is still ours."""
        found = _read(self.path)
        return found is not None and found.owner == self.owner

    def check(self) -> None:
        """Raise `LeaseLostError` unless the run is still ours: to be asked before a result is committed."""
        if not self.is_held():
            raise LeaseLostError(
                "another process has taken this run over, because this one had not been heard of for long",
                where=self.path,
            )


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as its file says.

    Attributes
    ----------
    run_id, owner, host : str
    pid : int
    started : str or None
        When the process began, on its host's own scale: ids of processes are used again.
    beat : float
        Time of the last heartbeat in seconds, by the clock of the file system.
    """

    run_id: str
    owner: str
    host: str
    pid: int
    started: str | None
    beat: float

    def is_gone(self) -> bool:
        """Whether the process ran on this machine and has ended."""
        return self.host == _host() and _has_ended(self.pid, self.started)


class Leases:
    """The leases of a study, as one process takes part in it; a context that gives back what it holds.

    Parameters
    ----------
    folder : Path
        ``leases`` in the study's folder; made with the first claim.
    stale : float
        Seconds without a heartbeat after which a lease is over, the same for every process of a study.
    """

    def __init__(self, folder: Path, *, stale: float = STALE) -> None:
        self.folder, self.stale = Path(folder).absolute(), stale
        # For how long we ourselves see no heartbeat before we believe it: clocks jump, and machines sleep.
        self.watch = 2 * stale / BEATS
        self.owner = uuid.uuid4().hex
        self._seen: dict[Holder, float] = {}
        self._held: dict[str, Lease] = {}
        self._stopped = threading.Event()
        self._heart: threading.Thread | None = None

    def claim(self, run_id: str) -> Lease | None:
        """Return the lease of a run, or None while another process is at work on it.

        Raises
        ------
        StudyError
            When a process that has stopped answering keeps others from claiming anything.
        """
        make_folder(self.folder)
        lease = Lease(self.folder / f"{run_id}.json", self.owner)
        with _alone(self.folder) as now:
            found = _read(lease.path)
            if found is not None and not (found.is_gone() or self._is_over(found, now)):
                return None
            # The name is the same for all, so that what a killed process leaves here is written over.
            writing = self.folder / f".{run_id}.writing"
            pid = os.getpid()
            described = {"owner": self.owner, "host": _host(), "pid": pid, "started": _start_of(pid)}
            writing.write_text(json.dumps(described) + "\n", encoding="utf-8")
            os.replace(writing, lease.path)
        self._held[run_id] = lease
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._heart.start()
        return lease

    def release(self, lease: Lease) -> None:
        """Give a run back, unless another process has taken it over meanwhile."""
        self._held.pop(lease.run_id, None)
        with _alone(self.folder):
            if lease.is_held():
                lease.path.unlink()

    def sweep(self, is_complete: Callable[[str], bool]) -> None:
        """Remove what killed processes left of runs that are complete."""
        for path in self.folder.glob("*.json"):
            if is_complete(path.stem):
                # Where nothing can be removed, it does no harm either.
                with contextlib.suppress(OSError):
                    path.unlink()

    def __enter__(self) -> Leases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for lease in list(self._held.values()):
            with contextlib.suppress(OSError):
                self.release(lease)

    def _is_over(self, found: Holder, now: float) -> bool:
        """Say whether a lease has not been renewed for long, also as we have seen it ourselves."""
        if now - found.beat < self.stale:
            return False
        here = time.monotonic()
        return here - self._seen.setdefault(found, here) >= self.watch

    def _beat(self) -> None:
        while not self._stopped.wait(self.stale / BEATS):
            for lease in list(self._held.values()):
                # A disk that does not answer may do so at the next beat; a lease that is lost is found out
                # by whoever is about to commit.
                with contextlib.suppress(OSError, ValueError):
                    _renew(lease)


def holders(folder: Path) -> list[Holder]:
    """Return who holds leases in ``folder``, without touching anything; some may be over."""
    found = (_read(path) for path in sorted(Path(folder).glob("*.json")))
    return [holder for holder in found if holder is not None]


def _read(path: Path) -> Holder | None:
    """Return the holder, or None where there is no lease; one that cannot be read belongs to nobody."""
    try:
        # Opened, because that is when a network file system looks for a newer version.
        with path.open("rb") as stream:
            content, beat = stream.read(), os.fstat(stream.fileno()).st_mtime
    except FileNotFoundError:
        return None
    try:
        said: dict[str, Any] = json.loads(content)
        return Holder(path.stem, said["owner"], said["host"], int(said["pid"]), said["started"], beat)
    except (ValueError, KeyError, TypeError):  # cut short by a loss of power
        return Holder(path.stem, "", "", 0, None, beat)


def _renew(lease: Lease) -> None:
    """Set a lease's time to now, through the open file: if it is replaced meanwhile, the old one is set."""
    with lease.path.open("rb") as stream:
        if json.loads(stream.read())["owner"] == lease.owner:
            os.utime(stream.fileno() if os.utime in os.supports_fd else lease.path)


def _host() -> str:
    """Name this machine so that process ids with the same name can be compared: one boot, one namespace."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    if len(parts) == 1:
        parts.append(f"{uuid.getnode():012x}")
    return " ".join(parts)


def _has_ended(pid: int, started: str | None) -> bool:
    """Say whether a process of this machine has ended; where that cannot be known, it has not."""
    if os.name != "posix":  # there, signal 0 would end it
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        pass
    now = _start_of(pid)
    return now is not None and started is not None and now != started


def _start_of(pid: int) -> str | None:
    """Return when a process began, on the system's own scale, or None where that cannot be known."""
    try:
        # After the name, which may hold anything in its brackets: the state, and as 20th field the start.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        state, *rest = fields.split()
        return "ended" if state in "ZX" else rest[18]
    except (OSError, ValueError, IndexError):
        pass
    if os.name != "posix":
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
        )
        return told.stdout.strip() or None
    return None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[float]:
    """Be the only process that changes leases, and yield the time now by the clock of the file system.

    Where the system has no locks, the file is created and removed instead; one that a killed process left
    behind is removed when it has not changed for `PATIENCE`.
    """
    path = folder / ".lock"
    with path.open("a") as stream, contextlib.ExitStack() as held:
        if not _lock(stream.fileno(), path):
            held.enter_context(_created(folder / ".locked"))
        os.utime(path)
        yield path.stat().st_mtime


def _lock(handle: int, path: Path) -> bool:
    """Lock an open file, until it is closed; False where the system has no locks."""
    try:
        import fcntl
    except ImportError:
        return False
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise StudyError(
                    "another process keeps this lock and does not answer",
                    where=path,
                    remedy="End the processes that work on this study, and start it again",
                ) from None
            time.sleep(0.005)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                raise
            return False
        else:
            return True


@contextlib.contextmanager
def _created(path: Path) -> Iterator[None]:
    """Hold a file by having created it."""
    seen, since = None, time.monotonic()
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                found = path.stat().st_mtime_ns
                if found != seen:
                    seen, since = found, time.monotonic()
                elif time.monotonic() - since > PATIENCE:
                    path.unlink(missing_ok=True)
            time.sleep(0.005)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
