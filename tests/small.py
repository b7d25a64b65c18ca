"""Small stores that have what large ones have: patients with two records, several windows, unknown labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer.datasets.store import Chunk, Store, write
from ecgtransfer.datasets.store_info import StoreDescription
from ecgtransfer.study.plans.plan import DownstreamPlan, StudyPlan, UpstreamPlan
from ecgtransfer.study.run import Locations, run
from ecgtransfer.study.single import single_spec
from ecgtransfer.study.spec import Budget, RunSpec

LEADS = ("I", "II")
TASKS: dict[str, list[list[Any]]] = {
    "waves": [["slow", ["SLOW"]], ["fast", ["FAST"]], ["rare", ["RARE"]]],
    "few": [["rare", ["RARE"]]],
}
NETWORK = "resnet1d18-w16"
BUDGET = Budget(updates=4, batch_size=8, validations=2)
UNLABELLED = 7


def write_store(
    path: Path,
    *,
    n: int = 100,
    seed: int = 0,
    leads: tuple[str, ...] = LEADS,
    rate: float = 100.0,
    n_samples: int = 200,
    crowd: bool = False,
    clique: bool = False,
    twins: int = 0,
    second: int = 0,
    recipe: str = "small",
) -> Store:
    """Write a store of ``n`` records: "slow" and "fast" waves to be learnt, and "rare", which 4 records have.

    The first 40 records are of 20 patients, every fifth record has two windows, 5 % of the labels of slow
    and fast are unknown, and record `UNLABELLED` has no label at all. With ``crowd``, the first 12 records
    are of one patient and have "rare" too; with ``clique``, the first 15 are of five patients. With
    ``twins``, so many of the last records are ECGs of the first ones under other names and patients, their
    labels their own. With ``second``, a second reader looked for "slow" in the first so many and disagrees
    about every tenth.
    """
    random = np.random.default_rng(seed)
    present = random.random((n, 3)) < (0.45, 0.4, 0.0)
    present[np.linspace(3, n - 5, 4).astype(int), 2] = True
    patients = [i // 2 if i < 40 else i for i in range(n)]
    if crowd:
        present[:12, 2], patients[:12] = True, [0] * 12
    if clique:
        present[:15, 2], patients[:15] = True, [1000 + i // 3 for i in range(15)]
    unknown = random.random((n, 3)) < (0.05, 0.05, 0.0)
    unknown[UNLABELLED] = True
    owner = np.repeat(np.arange(n), 1 + (np.arange(n) % 5 == 0))
    t = np.arange(n_samples) / rate
    signals = random.normal(0, 0.1, (len(owner), len(leads), n_samples))
    signals[:, 0] += 0.2 * present[owner, :1] * np.sin(2 * np.pi * 2 * t)
    signals[:, -1] += 0.2 * present[owner, 1:2] * np.sin(2 * np.pi * 8 * t)
    names = [f"r{i:03d}" for i in range(n)]
    hashes = [f"{seed}-{name}" for name in names]
    for i in range(twins):
        first, again = 1 + 5 * i, n - 1 - 5 * i  # both of a single window
        signals[owner == again] = signals[owner == first]
        hashes[again] = hashes[first]
    chunk = Chunk(
        windows=np.rint(signals * 1000).astype(np.int16),
        window_record=owner,
        starts=np.concatenate([np.arange(c) * n_samples for c in np.bincount(owner)]),
        records=[
            {
                "record_id": name,
                "file": f"{name}.hea",
                "patient_id": f"P{patients[i]:03d}",
                "age": float(random.integers(30, 90)),
                "sex": ("male", "female", None)[i % 3],
                "fold": None,
                "flags": (),
                "source": f"small{seed}",
                "device": None,
                "hash": hashes[i],
                "scale_uv": 1.0,
            }
            for i, name in enumerate(names)
        ],
        statements=[
            {
                code: None if hidden else int(value)
                for code, value, hidden in zip(("SLOW", "FAST", "RARE"), row, gaps, strict=True)
            }
            for row, gaps in zip(present, unknown, strict=True)
        ],
        second=[{"SLOW": int(present[i, 0] ^ (i % 10 == 0))} if i < second else {} for i in range(n)],
    )
    description = StoreDescription(
        name=path.name.removesuffix(".ecgs"),
        source=f"small{seed}",
        title="A small store",
        leads=leads,
        sampling_rate=rate,
        n_samples=n_samples,
        licence="none",
        citation="none",
        address="none",
        recipe={"name": recipe, "seed": seed},
        tasks=TASKS,
        annotated=("SLOW", "FAST", "RARE"),
        official_folds=False,
        patients_known=True,
        polarity_uncertain=False,
    )
    return write(path, description, [chunk])


def make_spec(store: Store, **changes: Any) -> RunSpec:
    """Return the spec of a run of well under a second."""
    values: dict[str, Any] = {
        "network": NETWORK, "arm": "scratch", "task": "waves", "upstream": None, "n": 30, "seed": 0,
        "study_seed": 0, "rates": (3e-3,), "budget": BUDGET, "threads": 1,
    }  # fmt: skip
    return single_spec(store, **{**values, **changes})


def make_plan(down: Path, up: Path | None, **changes: Any) -> StudyPlan:
    """Return a study of one network, upstream and downstream whose runs take well under a second each."""
    origins = () if up is None else (make_upstream(up),)
    values: dict[str, Any] = {
        "name": "small", "networks": (NETWORK,), "arms": ("scratch", "full", "linear-probe"),
        "upstreams": origins, "downstreams": (DownstreamPlan("down", down, "waves", (20, None)),), "seeds": 2,
        "budget": BUDGET, "rates": (1e-3, 1e-2), "tuning_seeds": 0,
    }  # fmt: skip
    return StudyPlan(**{**values, **changes})


def make_upstream(up: Path, name: str = "up", **changes: Any) -> UpstreamPlan:
    """Return an upstream whose pre-training takes well under a second."""
    values: dict[str, Any] = {
        "task": "waves", "budget": BUDGET, "learning_rate": 3e-3, "seeds": 1,
    }  # fmt: skip
    return UpstreamPlan(name, store=up, **{**values, **changes})


def train_model(folder: Path, store: Store, **changes: Any) -> dict[str, Any]:
    """Pre-train a small network on every label of a store; ``folder`` is then a model folder."""
    spec = make_spec(store, **{"arm": "pretrain", "n": None, **changes})
    return run(spec, folder, Locations({store.fingerprint: store.path}))


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def result_of(folder: Path) -> dict[str, Any]:
    """Return the part of a run's result.json that is compared."""
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))["result"]
    return result
