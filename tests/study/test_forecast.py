"""What a study will take and can show: counts are exact, times scale, disk is what is written."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ecgtransfer.conduct import locate
from ecgtransfer.study.execution.executors import execute
from ecgtransfer.study.expand import expand
from ecgtransfer.study.folder import freeze
from ecgtransfer.study.forecasts.forecast import Forecast, Rates, forecast, measure_rates, seconds_of
from ecgtransfer.study.forecasts.speed import Rate, wall_seconds
from ecgtransfer.study.planned import Expanded
from ecgtransfer.study.spec import Budget
from tests.small import NETWORK, make_plan, make_upstream, write_store

RATE = Rate(training=0.01, prediction=0.004, parameters=1000)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecast")
    write_store(folder / "down.ecgs", n=200)
    write_store(folder / "up.ecgs", seed=5)
    return folder


def planned(place: Path, **changes: Any) -> Expanded:
    return expand(make_plan(place / "down.ecgs", place / "up.ecgs", **changes))


def rates_of(expanded: Expanded) -> Rates:
    """Return rates as if measured: every network takes the same."""
    precisions = {run.spec.precision for run in expanded.planned}
    return Rates({(NETWORK, (2, 200), precision): RATE for precision in precisions}, took=1.0)


def foretell(place: Path, workers: int = 1, **changes: Any) -> Forecast:
    expanded = planned(place, **changes)
    return forecast(expanded, workers=workers, rates=rates_of(expanded))


def test_runs_trainings_and_records_are_counted_exactly(place: Path) -> None:
    upstream = make_upstream(place / "up.ecgs", seeds=2)
    budget = Budget(updates=8, batch_size=8, validations=2)
    found = foretell(place, upstreams=(upstream,), budget=budget, tuning_seeds=1, convergence=(20,))
    phases = {phase.purpose: phase for phase in found.phases}
    # Of 2 sizes: scratch and full at 2 rates each.
    counts = {name: (phase.runs, phase.trainings) for name, phase in phases.items()}
    assert counts == {
        "pretraining": (2, 2),
        "tuning": (4, 8),
        # 2 sizes x 2 seeds x (scratch, full from 2 pre-trainings, linear-probe, 2 baselines)
        "evidence": (24, 12),
        # 3 budgets x 2 seeds x 2 arms
        "convergence": (12, 12),
    }
    # A batch of 8 each: 8 updates, and budgets of 1, 2 and 4; the pre-training has its own 4 updates.
    assert phases["pretraining"].records_seen == 2 * 4 * 8
    assert phases["tuning"].records_seen == 8 * 8 * 8
    assert phases["evidence"].records_seen == 12 * 8 * 8
    assert phases["convergence"].records_seen == 4 * (1 + 2 + 4) * 8
    assert found.pretraining_seeds == 2
    sums = found.as_dict()
    assert (sums["runs"], sums["done"], sums["trainings"]) == (42, 0, 34)
    json.dumps(sums, allow_nan=False)


def test_time_follows_from_the_rates(place: Path) -> None:
    """One arm, one size, one rate, one seed, and no baseline: a training, 2 looks and the predictions."""
    bare = {"arms": ("scratch",), "upstreams": (), "rates": (1e-3,), "seeds": 1, "baselines": ()}
    down = dataclasses.replace(make_plan(place / "down.ecgs", None).downstreams[0], sizes=(20,))
    small = foretell(place, downstreams=(down,), **bare)
    longer = foretell(place, downstreams=(down,), budget=Budget(updates=104, batch_size=8), **bare)
    twenty = foretell(place, downstreams=(down,), budget=Budget(4, 8, validations=4), **bare)
    # 100 updates of 8 records, and 19 more looks (every fifth, and the last) at 4 records of 1.2 windows.
    more = 100 * 8 * RATE.training + 19 * 4 * 1.2 * RATE.prediction
    assert longer.seconds - small.seconds == pytest.approx(more)
    assert twenty.seconds - small.seconds == pytest.approx(2 * 4 * 1.2 * RATE.prediction)
    half = foretell(place, 2, downstreams=(down,), **{**bare, "seeds": 4})
    assert half.seconds == pytest.approx(2 * small.seconds, rel=0.05)


def test_a_phase_waits_for_its_longest_run() -> None:
    assert wall_seconds([[4.0], [1.0, 1.0, 1.0, 1.0], []], workers=2) == 6.0


def test_what_is_finished_takes_no_more_time_and_tells_how_long_the_rest_takes(
    place: Path, tmp_path: Path
) -> None:
    expanded = planned(place, arms=("scratch",), upstreams=(), rates=(1e-3,), baselines=())
    study = freeze(expanded, tmp_path / "study")
    specs = [run.spec for run in expanded.planned]
    execute([spec for spec in specs if spec.seed == 0], study.ledger, locate(expanded, study), quiet=True)
    took = [study.ledger.measured(spec)["seconds"] for spec in specs if spec.seed == 0]
    found = forecast(expanded, study.path)
    assert (found.phases[2].runs, found.phases[2].done) == (4, 2)
    assert found.seconds == pytest.approx(sum(took))
    assert found.how == "Estimated from what 2 finished runs took"
    execute(specs, study.ledger, locate(expanded, study), quiet=True)
    whole = forecast(expanded, study.path)
    assert (whole.seconds, whole.how) == (0.0, "Every run is finished")


def test_this_machine_is_measured_quickly(place: Path) -> None:
    expanded = planned(place)
    rates = measure_rates(expanded, seconds=0.5)
    (rate,) = rates.known.values()
    assert 0 < rate.prediction < 1
    assert 0 < rate.training < 1
    assert rate.parameters > 10_000
    assert rates.took < 60
    assert seconds_of(expanded, rates) > 0
    told = forecast(expanded, rates=rates).how
    assert told.startswith("Estimated from a short training of 1 network on this machine (")


def test_disk_is_what_the_runs_leave(place: Path, tmp_path: Path) -> None:
    expanded = planned(place, rates=(1e-3,))
    measured = measure_rates(expanded, seconds=0.1)
    found = forecast(expanded, rates=measured)
    study = freeze(expanded, tmp_path / "study")
    for phase in ("pretraining", "evidence"):
        specs = [run.spec for run in expanded.planned if run.purpose == phase]
        keep = phase == "pretraining"
        execute(specs, study.ledger, locate(expanded, study), keep_models=keep, quiet=True)
        files = [path for spec in specs for path in study.ledger.folder(spec.id).iterdir()]
        there = sum(-(-path.stat().st_size // 4096) * 4096 for path in files)
        said = next(each.bytes for each in found.phases if each.purpose == phase)
        assert there / 1.5 < said < there * 1.5


def test_a_disk_without_room_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert foretell(place).fits
    full = shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr("ecgtransfer.study.forecasts.forecast.shutil.disk_usage", lambda _: full)
    found = foretell(place)
    assert (found.free_bytes, found.fits) == (1000, False)


class TestWhatItCanShow:
    def test_margins_within_and_out_of_reach(self, place: Path) -> None:
        wide, narrow = (foretell(place, margin=margin, seeds=5).primary for margin in (0.5, 0.001))
        assert [row.equivalent_in_reach for row in wide] == [True, True]
        assert [row.equivalent_in_reach for row in narrow] == [False, False]
        assert [(row.arm, row.upstream, row.n) for row in wide] == [("full", "up", 20), ("full", "up", None)]
        for row in wide:
            assert row.half_width is not None
            assert row.equivalence_half_width is not None
            assert 0 < row.equivalence_half_width < row.half_width < row.minimum_detectable  # type: ignore[operator]
            assert row.level == pytest.approx(1 - 0.05 / 2)

    def test_more_seeds_narrow_it_and_a_larger_family_widens_it(self, place: Path) -> None:
        def width(**changes: Any) -> float:
            found = foretell(place, **changes).primary[0].half_width
            assert found is not None
            return found

        assert width(seeds=20) < width(seeds=10) < width(seeds=5)
        down = make_plan(place / "down.ecgs", None).downstreams[0]
        alone = width(seeds=5, downstreams=(dataclasses.replace(down, sizes=(20,)),))
        assert alone < width(seeds=5)

    def test_patients_are_those_of_the_test_parts(self, place: Path) -> None:
        """20 patients have two records each; one record has no label; two seeds test two folds of five."""
        every = foretell(place, seeds=5).primary[0]
        some = foretell(place, seeds=2).primary[0]
        assert every.patients == 200 - 20
        assert some.patients == round(180 * 2 / 5)
        assert every.rarest in ("slow", "fast")

    def test_too_few_patients_for_any_interval(self, place: Path, tmp_path: Path) -> None:
        down = write_store(tmp_path / "few.ecgs", n=40)
        other = make_plan(down.path, None).downstreams[0]
        found = foretell(place, downstreams=(other,), seeds=1).primary[0]
        assert (found.half_width, found.equivalent_in_reach, found.equivalence_chance) == (None, False, 0.0)
        assert found.rarest_patients < 10

    def test_the_headline_counts_its_pre_trainings(self, place: Path) -> None:
        several = make_upstream(place / "up.ecgs", seeds=3)
        one, three = foretell(place, seeds=5), foretell(place, seeds=5, upstreams=(several,))
        assert one.primary[0].half_width < three.primary[0].half_width  # type: ignore[operator]

    def test_the_published_protocol_promises_nothing(self, place: Path) -> None:
        expanded = planned(place, arms=("scratch", "full"))
        plan = dataclasses.replace(expanded.plan, protocol="paper")
        found = forecast(dataclasses.replace(expanded, plan=plan), rates=rates_of(expanded))
        assert found.primary == ()
