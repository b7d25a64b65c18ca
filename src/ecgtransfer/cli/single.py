"""What `pretrain`, `train` and `finetune` share: one RunSpec, the one runner, one short table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgtransfer.cli import options
from ecgtransfer.progress import Progress


def run_single(
    path: Path,
    out: Path,
    *,
    network: str,
    arm: str,
    task: str | None,
    n: int | None,
    model: Path | None,
    updates: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    study_seed: int,
    flip: bool | None,
    threads: int,
    json: bool,
    quiet: bool,
    apart_from: Sequence[Path] = (),
) -> None:
    """Plan one run, carry it out into ``out``, and print what came of it."""
    from ecgtransfer.cli import settings
    from ecgtransfer.datasets.store import Store
    from ecgtransfer.networks import read_card
    from ecgtransfer.study.run import Locations, run
    from ecgtransfer.study.single import single_spec

    checked = settings.check(settings.BudgetSettings, updates=updates, batch_size=batch_size)
    store = Store.open(path)
    upstream = None if model is None else f"model:{read_card(model)['weights_sha256']}"
    spec = single_spec(
        store,
        network=network,
        arm=arm,
        task=options.choose_task(store, task),
        upstream=upstream,
        n=n,
        seed=seed,
        study_seed=study_seed,
        rates=[learning_rate],
        budget=checked.budget(
            flip=store.info.polarity_uncertain if flip is None else flip, upstream=arm == "pretrain"
        ),
        threads=options.threads_or_all(threads),
        apart_from=[Store.open(other) for other in apart_from],
    )
    if apart_from:
        options.note(
            f"{len(spec.excluded):,} recordings are in those stores too, or of the same patients: left out."
        )
    upstreams = {} if model is None or upstream is None else {upstream: model}
    progress = Progress(f"{network} {arm}", quiet=quiet)
    content = run(spec, out, Locations({store.fingerprint: store.path}, upstreams), progress=progress)
    progress.finish()
    if json:
        options.print_json(content)
    else:
        _print(content, out)


def _print(content: dict[str, Any], out: Path) -> None:
    from rich.console import Console

    from ecgtransfer.report.tables import remarks, result_table

    console = Console()
    console.print(result_table(content["result"]))
    for remark in remarks(content["result"]):
        console.print(remark, highlight=False)
    counts, measured = content["result"]["records"], content["measured"]
    if "load" in content["result"]:
        load = content["result"]["load"]
        console.print(
            f"Loaded: {load['matched']} tensors matched, {len(load['reinitialised'])} re-initialised, "
            f"{len(load['unexpected'])} unexpected."
        )
    speed = f", {measured['records_per_second']:.0f} records/s" if "records_per_second" in measured else ""
    console.print(
        f"{counts['train']} records trained on, {counts['validation']} chose the weights, {counts['test']} "
        f"tested ({content['result']['split']}); {measured['seconds']:.0f} s{speed}."
    )
    console.print(f"Model: {out}", highlight=False, soft_wrap=True)
