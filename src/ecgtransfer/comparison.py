"""The main job, told in one file: pre-train → run every arm → what the runs say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgtransfer.datasets.overlap import Overlap, overlap
from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError, StudyError
from ecgtransfer.files import hash_file, write_json, write_text
from ecgtransfer.networks import build, load_encoder, read_card
from ecgtransfer.report.html import write_report
from ecgtransfer.report.summary import Upstream, summarise
from ecgtransfer.report.tables import markdown
from ecgtransfer.study.executors import execute
from ecgtransfer.study.judge import check_recipe, left_out
from ecgtransfer.study.ledger import Ledger, read_result
from ecgtransfer.study.plan import (
    Comparison,
    MacroSet,
    check_sizes,
    comparison_specs,
    macro_set,
    primary_family,
    single_spec,
)
from ecgtransfer.study.run import Locations
from ecgtransfer.study.spec import Budget, RunSpec
from ecgtransfer.transfer import PRETRAIN, get_arm


@dataclass(frozen=True)
class Pretraining:
    """An upstream store, and how the study pre-trains on it.

    Attributes
    ----------
    store : Path
    task : str
    budget : Budget
    learning_rate : float
    seed : int
    """

    store: Path
    task: str
    budget: Budget
    learning_rate: float = 1e-3
    seed: int = 0


def compare(
    comparison: Comparison,
    downstream: Path,
    out: Path,
    *,
    models: Sequence[Path] = (),
    pretraining: Pretraining | None = None,
    workers: int = 1,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compare fine-tuning with training from scratch on a store; what is in ``out`` already is not repeated.

    Parameters
    ----------
    comparison : Comparison
        Networks, arms, sizes, seeds, rates and the budget.
    downstream : Path
        The store that the user cares for.
    out : Path
        The study's folder: ``plan.json``, ``runs/``, ``evidence.json``, ``report.html``, ``report.md``.
    models : sequence of Path
        Pre-trained model folders, one per network at most.
    pretraining : Pretraining, optional
        Pre-trains every network that no model was given for, as runs of this study.
    workers : int
        Local processes.

    Returns
    -------
    dict
        The content of ``evidence.json``.

    Raises
    ------
    ConfigError
        A task, size or arm does not fit the store, or a pre-trained arm has nothing to start from.
    StudyError
        ``out`` holds another study.
    """
    if out.exists() and any(out.iterdir()) and not ((out / "plan.json").exists() or (out / "runs").exists()):
        raise StudyError(
            "the folder exists and is not a study",
            where=out,
            remedy="Choose another name with -o, or remove it",
        )
    store = Store.open(downstream)
    macro = macro_set(store, comparison.task, study_seed=comparison.study_seed, seeds=range(comparison.seeds))
    check_sizes(comparison, store)
    ledger = Ledger(out)
    starts = _find_starts(comparison, models, pretraining, store, ledger)
    _write_plan(comparison, store, macro, starts, out)
    if starts.pretrainings:
        label = f"pre-training on {starts.pretrainings[0].name}"
        runs = [made.spec for made in starts.pretrainings]
        execute(
            runs,
            ledger,
            starts.locations,
            label=label,
            workers=workers,
            keep_models=True,
            quiet=quiet,
        )

    specs = comparison_specs(comparison, store, macro, starts.names)
    execute(specs, ledger, starts.locations, label="runs", workers=workers, quiet=quiet)
    told = {**starts.told, **{made.network: _tell(made, ledger) for made in starts.pretrainings}}
    findings = summarise(comparison, store, macro, specs, ledger, upstreams=told)
    write_json(out / "evidence.json", findings)
    write_text(out / "report.md", markdown(findings))
    write_report(findings, out / "report.html")
    return findings


@dataclass(frozen=True)
class _Made:
    """An encoder that this study pre-trains itself."""

    network: str
    name: str
    task: str
    spec: RunSpec
    shared: Overlap


@dataclass(frozen=True)
class _Starts:
    """What the pre-trained arms start from: known by content before anything is trained."""

    names: dict[str, str]
    locations: Locations
    told: dict[str, Upstream]
    pretrainings: tuple[_Made, ...]


def _find_starts(
    comparison: Comparison,
    models: Sequence[Path],
    pretraining: Pretraining | None,
    store: Store,
    ledger: Ledger,
) -> _Starts:
    names: dict[str, str] = {}
    folders: dict[str, Path] = {}
    told: dict[str, Upstream] = {}
    stores = {store.fingerprint: store.path}
    for folder in models:
        network, upstream = _given(folder, comparison, store)
        if network in names:
            raise ConfigError(f"two models of {network} were given", where=folder, remedy="Give one of them")
        names[network] = f"model:{hash_file(folder / 'model.safetensors')}"
        folders[names[network]] = folder
        told[network] = upstream
    needed = [name for name in comparison.arms if get_arm(name).start == "pretrained"]
    missing = [network for network in comparison.networks if network not in names] if needed else []
    made: list[_Made] = []
    if missing and pretraining is None:
        raise ConfigError(
            f"arm '{needed[0]}' needs a pre-trained {missing[0]} and none was given",
            remedy="Give --from a model folder or an upstream store",
        )
    if missing and pretraining is not None:
        upstream_store = Store.open(pretraining.store)
        _check_fit(upstream_store, store)
        shared = overlap(upstream_store, [store])
        stores[upstream_store.fingerprint] = upstream_store.path
        for network in missing:
            spec = _pretraining_spec(comparison, pretraining, upstream_store, store, network)
            names[network] = f"run:{spec.id}"
            folders[names[network]] = ledger.folder(spec.id)
            made.append(_Made(network, upstream_store.info.name, pretraining.task, spec, shared))
    return _Starts(names, Locations(stores, folders), told, tuple(made))


def _given(folder: Path, comparison: Comparison, store: Store) -> tuple[str, Upstream]:
    """Return the network of a model folder and what is known of its upstream."""
    card = read_card(folder)
    network = str(card["network"])
    if network not in comparison.networks:
        raise ConfigError(
            f"the model is a {network}, which the comparison does not name",
            where=folder,
            remedy=f"Give --network {network}, or a model of {', '.join(comparison.networks)}",
        )
    own = card["data"][0]
    if store.fingerprint in [data["fingerprint"] for data in card["data"]]:
        raise ConfigError(
            "the model was pre-trained on this very store",
            where=folder,
            remedy="On its own data it has seen the test parts: choose another upstream",
        )
    # Filled once and thrown away: a model that does not fit is refused before anything is trained.
    trial = build(
        network,
        n_leads=len(store.info.leads),
        n_outputs=1,
        n_samples=store.info.n_samples,
        sampling_rate=store.info.sampling_rate,
    )
    load_encoder(trial, folder, leads=store.info.leads)
    check_recipe(card, store, folder)
    return network, Upstream(
        name=own["name"],
        task=own["task"],
        records=own["records"]["train"] + own["records"]["validation"],
        seconds=None,
        score=card["score"]["auroc"],
        left_out=left_out(card, store),
    )


def _tell(made: _Made, ledger: Ledger) -> Upstream:
    done = read_result(ledger.folder(made.spec.id), made.spec)
    counts = done["result"]["records"]
    return Upstream(
        name=made.name,
        task=made.task,
        records=counts["train"] + counts["validation"],
        seconds=done["measured"]["seconds"],
        score=done["result"]["test"]["macro"]["auroc"],
        left_out=made.shared.sentence(made.name),
    )


def _pretraining_spec(
    comparison: Comparison, pretraining: Pretraining, upstream: Store, downstream: Store, network: str
) -> RunSpec:
    return single_spec(
        upstream,
        network=network,
        arm=PRETRAIN.name,
        task=pretraining.task,
        upstream=None,
        n=None,
        seed=pretraining.seed,
        study_seed=comparison.study_seed,
        rates=[pretraining.learning_rate],
        budget=pretraining.budget,
        threads=comparison.threads,
        apart_from=[downstream],
    )


def _check_fit(upstream: Store, downstream: Store) -> None:
    """Say before any training that the encoder would not fit, or has seen what it is tested on."""
    if upstream.fingerprint == downstream.fingerprint:
        raise ConfigError("upstream and downstream are the same store", where=upstream.path)
    ours, theirs = upstream.info, downstream.info
    if ours.leads != theirs.leads:
        raise ConfigError(
            f"the upstream has leads {' '.join(ours.leads)} and the downstream {' '.join(theirs.leads)}",
            where=upstream.path,
            remedy="Prepare both with the same --leads",
        )
    if ours.sampling_rate != theirs.sampling_rate or ours.n_samples != theirs.n_samples:
        raise ConfigError(
            f"the upstream has windows of {ours.n_samples} samples at {ours.sampling_rate:g} Hz, the "
            f"downstream of {theirs.n_samples} at {theirs.sampling_rate:g} Hz",
            where=upstream.path,
            remedy="Prepare both with the same --rate and --seconds",
        )
    if ours.recipe["name"] != theirs.recipe["name"]:
        raise ConfigError(
            f"the upstream was prepared by the recipe '{ours.recipe['name']}', the downstream by "
            f"'{theirs.recipe['name']}'",
            where=upstream.path,
            remedy="Prepare both with the same --recipe",
        )


def _write_plan(
    comparison: Comparison,
    store: Store,
    macro: MacroSet,
    starts: _Starts,
    out: Path,
) -> None:
    """Write what was asked before any test part is opened; another question in the same folder is refused."""
    plan = {
        "comparison": dataclasses.asdict(comparison),
        "downstream": {"name": store.info.name, "fingerprint": store.fingerprint},
        "upstreams": starts.names,
        "macro_targets": list(macro.targets),
        "primary": [list(contrast) for contrast in primary_family(comparison)],
        "left_out": [list(pair) for pair in macro.left_out],
    }
    described = json.loads(json.dumps(plan))
    path = out / "plan.json"
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != described:
            raise StudyError(
                "the folder holds a study with other settings",
                where=out,
                remedy="Choose another folder with -o; the finished runs of that one are not mixed into this",
            )
        return
    write_json(path, described)
