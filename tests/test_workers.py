"""Worker processes lose one job when one of them is ended, and do not outlive who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecgtransfer.errors import ConfigError, EcgTransferError
from ecgtransfer.workers import Pool, each, only_here, portable

# Jobs are expressions, because a worker imports its function by name.
PID = "__import__('os').getpid()"
SLEEP = "__import__('time').sleep({})"
DIE = "__import__('os')._exit(3)"


def test_every_job_is_done_and_in_other_processes() -> None:
    jobs = [f"({number}, {PID})" for number in range(7)]
    done = dict(each(eval, jobs, 2))
    assert [done[job][0] for job in jobs] == list(range(7))
    processes = {pid for _, pid in done.values()}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_one_worker_is_this_process() -> None:
    assert list(each(eval, [PID, PID], 1)) == [(PID, os.getpid())] * 2
    assert list(each(eval, [PID], 4)) == [(PID, os.getpid())]
    assert list(each(eval, [], 4)) == []


def test_an_error_comes_through_with_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        list(each(eval, ["1/0", "1"], 2))
    assert any("in a worker process" in note and "1/0" not in note for note in raised.value.__notes__)


def test_a_process_that_ends_by_force_costs_one_job() -> None:
    with Pool(eval, 2) as pool:
        jobs, found = ["1", DIE, "2", "3", DIE, "4"], {}
        while jobs or pool.room < 2:
            while jobs and pool.room:
                pool.begin(jobs.pop(0))
            for done in pool.finished():
                found.setdefault(done.job, []).append(done.value if done.error is None else done.error)
    assert [found[job] for job in "1234"] == [[1], [2], [3], [4]]
    assert [str(error) for error in found[DIE]] == [
        "a worker process ended by force, perhaps for want of memory. Run the command again: what is done is "
        "kept; fewer --workers need less memory"
    ] * 2


def test_a_process_that_ends_while_it_has_nothing_to_do_is_replaced() -> None:
    with Pool(eval, 1) as pool:
        pool.begin(PID)
        [first] = pool.finished()
        os.kill(first.result(), signal.SIGTERM)
        time.sleep(0.5)
        pool.begin(PID)
        [second] = pool.finished()
        assert second.result() != first.result()


def test_waiting_has_an_end() -> None:
    with Pool(eval, 1) as pool:
        pool.begin(SLEEP.format(1.5))
        since = time.monotonic()
        assert pool.finished(0.1) == []
        assert time.monotonic() - since < 1
        [done] = pool.finished()
        assert done.result() is None


def test_stopping_does_not_wait_for_what_is_at_work() -> None:
    since = time.monotonic()

    def stop() -> None:
        with Pool(eval, 2) as pool:
            pool.begin(SLEEP.format(60))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert time.monotonic() - since < 20


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_workers_leave_interrupts_to_their_parent() -> None:
    with Pool(eval, 1) as pool:
        pool.begin(PID)
        [worker] = pool._busy
        for _ in range(20):  # while it starts
            os.kill(worker.process.pid or 0, signal.SIGINT)
            time.sleep(0.02)
        [done] = pool.finished()
        assert done.result() == worker.process.pid


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("with_group", [False, True])
def test_workers_end_with_a_process_that_is_killed(with_group: bool) -> None:
    code = (
        "from ecgtransfer.workers import Pool\n"
        "if __name__ == '__main__':\n"
        "    pool = Pool(eval, 2)\n"
        f"    for _ in range(2): pool.begin({PID!r})\n"
        "    seen = []\n"
        "    while len(seen) < 2: seen += pool.finished()\n"
        f"    for _ in range(2): pool.begin({SLEEP.format(60)!r})\n"
        "    print(*[done.value for done in seen], flush=True)\n"
        "    pool.finished()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert len(process.stdout.readline().split()) == 2
        (os.killpg if with_group else os.kill)(process.pid, signal.SIGKILL)
        # Their stderr is closed when they are gone.
        assert process.communicate(timeout=20)[1] == ""


def test_errors_that_cannot_travel_are_told() -> None:
    class Local(Exception):  # noqa: N818
        pass

    told = portable(Local("why"))
    assert isinstance(told, RuntimeError)
    assert str(told) == "Local: why"
    assert "in a worker process" in told.__notes__[0]
    ours = ConfigError("wrong", where="here", remedy="Mend it")
    assert portable(ours) is ours


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    with (
        only_here(tmp_path / "lock"),
        pytest.raises(EcgTransferError, match="another process is at work here"),
        only_here(tmp_path / "lock"),
    ):
        pass
    with only_here(tmp_path / "lock"):
        pass
