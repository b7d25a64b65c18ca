"""What a study will take and can show, as tables for the terminal."""

from __future__ import annotations

from rich.table import Table

from ecgtransfer.report.live import TITLES
from ecgtransfer.report.view import duration, number
from ecgtransfer.study.forecasts.forecast import Forecast
from ecgtransfer.study.forecasts.power import without_interval


def forecast_tables(found: Forecast) -> list[Table]:
    """Return the runs by purpose, and the contrasts with a verdict with what can be expected of each."""
    return [_runs(found), _primary(found)] if found.primary else [_runs(found)]


def forecast_lines(found: Forecast) -> list[str]:
    """Return what the tables do not say: time on the clock, disk, and what the figures rest on."""
    workers = f"{found.workers} process{'es' * (found.workers != 1)}"
    low, high = found.seconds / found.factor, found.seconds * found.factor
    disk = f"Disk: about {amount(found.bytes)}"
    if found.working_bytes:
        disk += f", and up to {amount(found.working_bytes)} of checkpoints while runs are at work"
    time = f"Time: {found.how[0].lower()}{found.how[1:]}."
    if any(phase.done < phase.runs for phase in found.phases):
        time = (
            f"Time: about {duration(found.seconds)} with {workers} ({duration(low)} to {duration(high)}), "
            f"beside opening the stores and writing the report. {found.how}."
        )
    lines = [time, f"{disk}; {amount(found.free_bytes)} are free{'.' if found.fits else ': NOT ENOUGH.'}"]
    if found.primary:
        lines += _within_reach(found)
    elif found.protocol == "paper":
        lines.append("The published protocol gives no verdicts: its scores are chosen on the test part.")
    else:
        lines.append("There is no arm to compare with scratch, so no verdict.")
    return lines


def _runs(found: Forecast) -> Table:
    table = Table(title=f"{found.name}: what will be run", title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in ("runs", "done", "trainings", "records seen", "process time", "disk"):
        table.add_column(column, justify="right", no_wrap=True)
    rows = [phase for phase in found.phases if phase.runs]
    keys = ("runs", "done", "trainings", "records_seen")
    for phase in rows:
        counts = [number(getattr(phase, key)) for key in keys]
        table.add_row(TITLES[phase.purpose], *counts, duration(phase.seconds), amount(phase.bytes))
    sums = [number(sum(getattr(phase, key) for phase in rows)) for key in keys]
    seconds, size = sum(phase.seconds for phase in rows), sum(phase.bytes for phase in rows)
    table.add_row("all", *sums, duration(seconds), amount(size), style="bold")
    return table


def _primary(found: Forecast) -> Table:
    table = Table(
        title="\nContrasts with scratch that get a verdict", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("", overflow="fold")
    level = f"± at {100 * found.primary[0].level:.3g} %"
    for column in ("n", "patients", level, "± at 90 %", "detects", "equivalent?"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in found.primary:
        origin = "" if row.upstream is None else f" from {row.upstream}"
        table.add_row(
            f"{row.network}, {row.arm}{origin} on {row.downstream}",
            "all" if row.n_is_all else number(row.n),
            number(row.patients),
            number(row.half_width),
            number(row.equivalence_half_width),
            number(row.minimum_detectable),
            f"{row.equivalence_chance:.0%}" if row.equivalent_in_reach else "no",
        )
    return table


def _within_reach(found: Forecast) -> list[str]:
    """Say what the widths mean, and what none of them allows."""
    margin = found.primary[0].margin
    lines = [
        "Widths (±) are expected half-widths in macro AUROC, from the patients tested and what such "
        "comparisons have shown elsewhere; the real ones may be half or twice as wide. 'Detects' is the true "
        "difference that would be called in 80 % of such studies."
    ]
    reachable = [row for row in found.primary if row.equivalent_in_reach]
    if not reachable:
        lines.append(
            f"'Equivalent' (within ±{margin:g}) is out of reach: the 90 % interval would be wider even if "
            "there were no difference. More test patients, more seeds or a larger margin would change that."
        )
    elif len(reachable) < len(found.primary):
        lines.append(
            f"'Equivalent' (within ±{margin:g}) is within reach for {len(reachable)} of "
            f"{len(found.primary)} contrasts."
        )
    else:
        lines.append(f"'Equivalent' (within ±{margin:g}) is within reach, where there is no difference.")
    lines += without_interval(found.primary)
    if found.pretraining_seeds == 1:
        lines.append(
            "One pre-training: the intervals will hold for that pre-trained network and not know how much "
            "another would differ; three or more tell."
        )
    elif found.pretraining_seeds == 2:
        lines.append(
            "Two pre-training seeds say too little of how they differ, which makes the headline's interval "
            "wide: take three or more."
        )
    if found.seeds == 1:
        lines.append("One seed says nothing about training noise: run at least five.")
    return lines


def amount(count: float) -> str:
    """Return bytes as people say them."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f} {unit}"
    return f"{count / 1e3:.0f} kB"
