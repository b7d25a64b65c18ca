"""How far a study is, drawn: in place on a terminal, a line now and then elsewhere, never a test value."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from ecgtransfer.report.forecast_tables import amount, forecast_lines, forecast_tables
from ecgtransfer.report.live import LiveTable, draw, line, watch
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import Study, freeze
from ecgtransfer.study.forecasts.forecast import Forecast
from ecgtransfer.study.forecasts.forecast import Phase as Planned
from ecgtransfer.study.forecasts.power import Expected
from ecgtransfer.study.leases import Leases
from ecgtransfer.study.status import AtWork, Best, Finished, Phase, Standing, StudyFolder
from tests.small import make_plan, write_store

STANDING = Standing(
    name="ptbxl-to-ludb",
    folder=Path("study"),
    phases=(Phase("pretraining", 3, 3, 0, 0), Phase("evidence", 120, 31, 2, 87)),
    at_work=(
        AtWork("resnet1d18-w16 full n=40 seed 3", "evidence", 12.0, 30.0, "machine 4711"),
        AtWork("resnet1d18-w16 full n=40 seed 4", "evidence", None, None, "machine 4712"),
    ),
    recent=(Finished("resnet1d18-w16 scratch n=40 seed 2", "evidence", 28.0, 0.3114),),
    best=(Best("ludb", "resnet1d18-w16", "ptbxl", "full", 40, False, 0.2871, 3),),
    seconds_of_work=1440.0,
    broken=(),
    reported=False,
)
DONE = dataclasses.replace(
    STANDING, phases=(Phase("evidence", 4, 4, 0, 0),), at_work=(), seconds_of_work=0.0, reported=True
)


def text_of(*parts: object, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    for part in parts:
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


class TestDrawing:
    def test_everything_a_waiting_person_wants_to_know(self) -> None:
        text = text_of(draw(STANDING))
        assert text.splitlines()[0].rstrip() == (
            "ptbxl-to-ludb: 34 of 123 runs done; about 12 min 00 s left, 2 at work"
        )
        rows = {words[0]: words[1:5] for words in map(str.split, text.splitlines()) if words}
        assert rows["pre-training"] == ["3", "0", "0", "3"]
        assert rows["evidence"] == ["31", "2", "87", "120"]
        assert re.search(r"full n=40 seed 3 +12 s +30 s +machine 4711", text)
        assert re.search(r"scratch n=40 seed 2 +28 s +0\.311", text)
        assert re.search(r"ludb +resnet1d18-w16 +full from ptbxl +40 +0\.287 +3", text)
        assert "auroc" not in text.lower()

    @pytest.mark.parametrize("width", [60, 80, 200])
    def test_no_figure_is_cut_in_a_narrow_window(self, width: int) -> None:
        text = text_of(draw(STANDING), width=width)
        assert "…" not in text
        for figure in ("120", "87", "0.311", "0.287", "12 s"):
            assert figure in text

    def test_many_runs_at_work_are_counted(self) -> None:
        many = dataclasses.replace(STANDING, at_work=STANDING.at_work * 10)
        assert "and 12 more" in text_of(draw(many))

    def test_what_is_not_known_is_not_made_up(self) -> None:
        unknown = dataclasses.replace(STANDING, seconds_of_work=None)
        assert "time left not known" in text_of(draw(unknown))
        assert line(unknown).startswith("ptbxl-to-ludb: 34 of 123 runs done, 2 at work; last ")
        alone = dataclasses.replace(STANDING, at_work=())
        assert "about 24 min 00 s of work left, nobody is at work" in text_of(draw(alone))
        broken = dataclasses.replace(STANDING, broken=("runs/1/result.json: cut short",))
        assert "Cannot be read: runs/1/result.json: cut short" in text_of(draw(broken))
        assert "1 cannot be read" in line(broken)

    def test_when_all_is_done(self) -> None:
        assert text_of(draw(DONE)).startswith("ptbxl-to-ludb: 4 of 4 runs done; all runs are finished\n")
        assert line(DONE) == "ptbxl-to-ludb: 4 of 4 runs done"
        waiting = dataclasses.replace(DONE, reported=False)
        assert line(waiting) == "ptbxl-to-ludb: 4 of 4 runs done, the report is not written yet"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Return a frozen study of which nothing has been run."""
    folder = tmp_path_factory.mktemp("live")
    down = write_store(folder / "down.ecgs")
    return freeze(expand(make_plan(down.path, None, arms=("scratch",), baselines=())), folder / "study")


class TestLiveTable:
    def test_on_a_terminal_it_is_drawn_in_place_and_gone_at_the_end(self, study: Study) -> None:
        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        spec = study.planned[0].spec
        with Leases(study.path / "leases") as leases, LiveTable(study.path, console=console) as table:
            assert leases.claim(spec.id)
            table.started(spec)
            time.sleep(1.5)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "resnet1d18-w16 scratch n=20 seed 0" in text
        assert "\x1b[2K" in text  # lines are cleared and drawn again
        assert text.rstrip().endswith("small: 0 of 4 runs done, nobody at work") or "1 at work" in text

    def test_elsewhere_a_line_now_and_then(self, study: Study) -> None:
        console = Console(file=io.StringIO(), width=100)
        with LiveTable(study.path, console=console, every=0.2) as table:
            table.elsewhere([])
            time.sleep(1.0)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert 2 <= len(lines) <= 7
        assert set(lines) == {"small: 0 of 4 runs done, nobody at work"}

    @pytest.mark.parametrize("terminal", [True, False])
    def test_nothing_is_said_before_a_run_begins_or_when_quiet(self, study: Study, terminal: bool) -> None:
        console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
        with LiveTable(study.path, console=console, every=0.05):
            time.sleep(0.2)
        with LiveTable(study.path, console=console, every=0.05, quiet=True) as table:
            table.started(study.planned[0].spec)
            time.sleep(0.2)
        assert console.file.getvalue() == ""  # type: ignore[attr-defined]

    def test_a_folder_that_cannot_be_read_stops_nothing(self, study: Study, tmp_path: Path) -> None:
        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        with LiveTable(tmp_path / "none", console=console) as table:
            table.started(study.planned[0].spec)
            assert table.look() is None

    def test_no_thread_stays_behind_after_an_error(self, study: Study) -> None:
        def speakers() -> int:
            return sum(thread.name == "progress" for thread in threading.enumerate())

        table = LiveTable(study.path, console=Console(file=io.StringIO(), width=100), every=60)
        with contextlib.suppress(KeyboardInterrupt), table:
            table.started(study.planned[0].spec)
            assert speakers() == 1
            raise KeyboardInterrupt
        assert speakers() == 0


class TestWatch:
    def test_until_it_is_complete(self, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = iter([STANDING, STANDING, DONE])
        monkeypatch.setattr(StudyFolder, "look", lambda _: next(shown))
        console = Console(file=io.StringIO(), width=100)
        assert watch(StudyFolder(study.path), console, every=0.01) is DONE
        assert console.file.getvalue().splitlines() == [line(STANDING), line(DONE)]  # type: ignore[attr-defined]

    def test_on_a_terminal(self, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = iter([STANDING, DONE])
        monkeypatch.setattr(StudyFolder, "look", lambda _: next(shown))
        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        assert watch(StudyFolder(study.path), console, every=0.01) is DONE
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "34 of 123 runs done" in text
        assert "4 of 4 runs done" in text


EXPECTED = Expected(
    downstream="ludb", network="resnet1d18-w16", upstream="ptbxl", arm="full", n=40, n_is_all=False,
    patients=200, rarest="AF", rarest_patients=15, level=0.975, half_width=0.0512,
    equivalence_half_width=0.0321, minimum_detectable=0.0777, margin=0.01, equivalent_in_reach=False,
    equivalence_chance=0.0,
)  # fmt: skip
FORECAST = Forecast(
    name="ptbxl-to-ludb", protocol="sound", seeds=10, pretraining_seeds=3, workers=2,
    phases=(
        Planned("pretraining", 3, 1, 3, 576_000, 900.0, 3_000_000),
        Planned("tuning", 0, 0, 0, 0, 0.0, 0),
        Planned("evidence", 120, 0, 60, 768_000, 5400.0, 6_000_000),
    ),
    seconds=3150.0, factor=1.5, how="Estimated from a short training of 1 network on this machine (6 s)",
    bytes=29_000_000, working_bytes=8_000_000, free_bytes=72_000_000_000, primary=(EXPECTED,),
)  # fmt: skip


class TestForecast:
    @pytest.mark.parametrize("width", [80, 120])
    def test_the_tables(self, width: int) -> None:
        text = text_of(*forecast_tables(FORECAST), width=width)
        assert "…" not in text
        assert "choosing rates" not in text
        evidence = next(row.split() for row in text.splitlines() if row.split()[:1] == ["evidence"])
        assert evidence == ["evidence", "120", "0", "60", "768,000", "90", "min", "00", "s", "6.0", "MB"]
        for figure in ("123", "1,344,000", "9.0 MB", "0.051", "0.032", "0.078", "97.5 %"):
            assert figure in text

    def test_the_lines(self) -> None:
        text = "\n".join(forecast_lines(FORECAST))
        assert "about 52 min 30 s with 2 processes (35 min 00 s to 78 min 45 s)" in text
        assert "about 29 MB, and up to 8.0 MB of checkpoints while runs are at work; 72 GB are free." in text
        assert "'Equivalent' (within ±0.01) is out of reach" in text
        full = dataclasses.replace(FORECAST, free_bytes=1_000_000)
        assert "1.0 MB are free: NOT ENOUGH." in "\n".join(forecast_lines(full))

    def test_what_is_within_reach(self) -> None:
        reached = dataclasses.replace(EXPECTED, n=80, equivalent_in_reach=True, equivalence_chance=0.62)
        both = dataclasses.replace(FORECAST, primary=(EXPECTED, reached))
        assert "is within reach for 1 of 2 contrasts" in "\n".join(forecast_lines(both))
        assert "62%" in text_of(*forecast_tables(both))
        only = dataclasses.replace(FORECAST, primary=(reached,))
        assert "is within reach, where there is no difference" in "\n".join(forecast_lines(only))

    def test_what_spoils_a_plan_is_said(self) -> None:
        few = dataclasses.replace(EXPECTED, half_width=None, rarest_patients=4)
        poor = dataclasses.replace(FORECAST, primary=(few,), seeds=1, pretraining_seeds=2)
        text = "\n".join(forecast_lines(poor))
        assert "On ludb no interval will be given: AF has only 4 patients of its rarer class" in text
        assert "One seed says nothing about training noise" in text
        assert "Two pre-training seeds say too little" in text
        alone = dataclasses.replace(FORECAST, pretraining_seeds=1)
        assert "hold for that pre-trained network" in " ".join(forecast_lines(alone))
        paper = dataclasses.replace(FORECAST, primary=(), protocol="paper")
        assert "gives no verdicts" in "\n".join(forecast_lines(paper))

    def test_amounts(self) -> None:
        assert [amount(n) for n in (900, 25_000, 1_500_000, 250_000_000, 7.2e10)] == [
            "1 kB", "25 kB", "1.5 MB", "250 MB", "72 GB"
        ]  # fmt: skip
