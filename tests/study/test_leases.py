"""One owner per run at any time, found out without a common clock, and given up by whoever is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.errors import StudyError
from ecgtransfer.study import leases
from ecgtransfer.study.leases import Lease, LeaseLostError, Leases, holders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture
def ours(folder: Path) -> Iterator[Leases]:
    with Leases(folder) as ours:
        yield ours


@pytest.fixture
def theirs(folder: Path) -> Iterator[Leases]:
    with Leases(folder) as theirs:
        theirs.watch = 0.0
        yield theirs


def claimed(leases: Leases, run_id: str = "a") -> Lease:
    lease = leases.claim(run_id)
    assert lease is not None
    return lease


def rewrite(lease: Lease, **changes: Any) -> None:
    """Change what a lease says of its owner, and leave its time."""
    content = json.loads(lease.path.read_text())
    before = lease.path.stat().st_mtime_ns
    lease.path.write_text(json.dumps({**content, **changes}))
    os.utime(lease.path, ns=(before, before))


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_one_owner_at_a_time(ours: Leases, theirs: Leases, folder: Path) -> None:
    lease = claimed(ours)
    assert theirs.claim("a") is None
    assert ours.claim("a") is None  # not twice by the same either
    claimed(theirs, "b")
    [first, second] = holders(folder)
    assert (first.run_id, first.pid, first.owner) == ("a", os.getpid(), ours.owner)
    assert (second.run_id, second.owner) == ("b", theirs.owner)
    assert not first.is_gone()
    ours.release(lease)
    assert claimed(theirs).is_held()
    assert not lease.is_held()


def test_nothing_is_written_before_the_first_claim_and_nothing_stays(folder: Path) -> None:
    with Leases(folder) as ours:
        ours.sweep(lambda _: True)
        assert not folder.exists()
        claimed(ours)
        claimed(ours, "b")
    assert [path.name for path in folder.iterdir()] == [".lock"]
    assert holders(folder) == []


def test_one_of_many_that_claim_at_the_same_time(folder: Path) -> None:
    crowd = [Leases(folder) for _ in range(8)]
    for run_id in map(str, range(25)):
        won: list[Lease] = []
        gate = threading.Barrier(len(crowd))

        def claim(one: Leases, run_id: str = run_id, won: list[Lease] = won, gate: Any = gate) -> None:
            gate.wait()
            if (lease := one.claim(run_id)) is not None:
                won.append(lease)

        threads = [threading.Thread(target=claim, args=(one,)) for one in crowd]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
    for one in crowd:
        one.__exit__(None, None, None)
    assert holders(folder) == []


class TestTakingOver:
    def test_a_lease_without_a_heartbeat_is_over(self, ours: Leases, theirs: Leases) -> None:
        lease = claimed(ours)
        rewrite(lease, host="elsewhere")
        age(lease.path, 59)
        assert theirs.claim("a") is None
        age(lease.path, 2)
        taken = claimed(theirs)
        taken.check()
        with pytest.raises(LeaseLostError, match=r"a\.json: another process has taken this run over"):
            lease.check()
        assert not lease.is_held()

    def test_silence_is_believed_when_it_has_been_witnessed(
        self, ours: Leases, theirs: Leases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert ours.watch == 20
        theirs.watch, now = ours.watch, 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        lease = claimed(ours)
        # As after a night in which the machine slept, or a leap of the clock: the owner wakes up, too.
        age(lease.path, 10_000)
        assert theirs.claim("a") is None
        now += 10
        leases._renew(lease)
        assert theirs.claim("a") is None
        now += 100
        assert theirs.claim("a") is None
        age(lease.path, 100)
        assert theirs.claim("a") is None
        now += 19
        assert theirs.claim("a") is None
        now += 1
        claimed(theirs)

    def test_who_lost_it_neither_renews_nor_removes_it(self, ours: Leases, theirs: Leases) -> None:
        lease = claimed(ours)
        age(lease.path, 100)
        taken = claimed(theirs)
        age(taken.path, 10)
        before = taken.path.stat().st_mtime_ns
        leases._renew(lease)
        assert taken.path.stat().st_mtime_ns == before
        ours.release(lease)
        taken.check()
        leases._renew(taken)
        assert taken.path.stat().st_mtime_ns > before

    def test_the_heart_beats_while_a_lease_is_held(self, folder: Path) -> None:
        with Leases(folder, stale=1.5) as ours, Leases(folder, stale=1.5) as theirs:
            lease = claimed(ours)
            rewrite(lease, host="elsewhere")
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                assert theirs.claim("a") is None
                time.sleep(0.05)
            ours._stopped.set()  # as if this machine were cut off
            while theirs.claim("a") is None:
                assert time.monotonic() < end + 10
                time.sleep(0.05)
            assert time.monotonic() > end + 0.5
            assert not lease.is_held()

    def test_a_process_that_has_ended_is_known_at_once(self, ours: Leases, theirs: Leases) -> None:
        lease = claimed(ours)
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            ended.wait()
        rewrite(lease, pid=ended.pid)
        assert holders(lease.path.parent)[0].is_gone()
        claimed(theirs)

    @pytest.mark.skipif(sys.platform != "linux", reason="the start of a process is read from /proc")
    def test_a_killed_process_that_nobody_has_waited_for(self, ours: Leases, theirs: Leases) -> None:
        lease = claimed(ours)
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            rewrite(lease, pid=process.pid, started=leases._start_of(process.pid))
            assert theirs.claim("a") is None
            process.kill()
            while leases._start_of(process.pid) != "ended":
                time.sleep(0.01)
            claimed(theirs)

    @pytest.mark.skipif(sys.platform != "linux", reason="the start of a process is read from /proc")
    def test_a_process_id_that_is_used_again(self, ours: Leases, theirs: Leases) -> None:
        lease = claimed(ours)
        started = json.loads(lease.path.read_text())["started"]
        assert started.isdigit()
        rewrite(lease, started=str(int(started) - 1))
        claimed(theirs)

    def test_a_process_id_of_another_machine_says_nothing(self, ours: Leases, theirs: Leases) -> None:
        lease = claimed(ours)
        rewrite(lease, host="elsewhere", pid=2**22 + 1)
        assert theirs.claim("a") is None

    def test_a_start_that_is_not_known_is_no_proof(self, ours: Leases, theirs: Leases) -> None:
        lease = claimed(ours)
        rewrite(lease, started=None)
        assert theirs.claim("a") is None

    @pytest.mark.parametrize("content", ["", '{"owner": "x', "[]", '{"owner": "x"}'])
    def test_a_lease_that_cannot_be_read_is_waited_for(
        self, ours: Leases, theirs: Leases, content: str
    ) -> None:
        lease = claimed(ours)
        lease.path.write_text(content)
        assert theirs.claim("a") is None
        assert not lease.is_held()
        age(lease.path, 61)
        claimed(theirs)

    def test_what_a_process_left_that_was_killed_while_it_claimed(self, ours: Leases, folder: Path) -> None:
        folder.mkdir()
        (folder / ".a.writing").write_text("half")
        lease = claimed(ours)
        assert sorted(path.name for path in folder.iterdir()) == [".lock", "a.json"]
        lease.check()


def test_clocks_of_machines_are_not_compared(
    ours: Leases, theirs: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = claimed(ours)
    rewrite(lease, host="elsewhere")
    for wrong in (0.0, time.time() + 1e6):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        assert theirs.claim("a") is None


def test_what_is_complete_needs_no_lease(ours: Leases, folder: Path) -> None:
    claimed(ours)
    claimed(ours, "b")
    ours.sweep(lambda run_id: run_id == "a")
    assert [holder.run_id for holder in holders(folder)] == ["b"]


def test_a_process_that_keeps_the_lock_is_said(
    ours: Leases, theirs: Leases, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(leases, "PATIENCE", 0.1)
    folder.mkdir()
    with leases._alone(folder), pytest.raises(StudyError, match=r"\.lock: another process keeps this lock"):
        ours.claim("a")
    claimed(ours)


class TestWithoutLocks:
    """On systems and disks that have no flock, a file is created and removed instead."""

    @pytest.fixture(autouse=True)
    def _no_locks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leases, "_lock", lambda *_: False)

    def test_the_same_holds(self, folder: Path, ours: Leases, theirs: Leases) -> None:
        test_one_owner_at_a_time(ours, theirs, folder)

    def test_one_of_many(self, folder: Path) -> None:
        test_one_of_many_that_claim_at_the_same_time(folder)
        assert [path.name for path in folder.iterdir()] == [".lock"]

    def test_what_a_killed_process_left_is_removed(
        self, folder: Path, ours: Leases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "PATIENCE", 0.2)
        folder.mkdir()
        (folder / ".locked").touch()
        since = time.monotonic()
        claimed(ours)
        assert time.monotonic() - since > 0.2
        assert sorted(path.name for path in folder.iterdir()) == [".lock", "a.json"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_whatever_happens_leases_are_given_back(folder: Path, stop: Callable[[], BaseException]) -> None:
    def work() -> None:
        with Leases(folder) as ours:
            claimed(ours)
            raise stop()

    with pytest.raises((KeyboardInterrupt, ValueError)):
        work()
    assert holders(folder) == []
