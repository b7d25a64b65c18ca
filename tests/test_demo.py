"""The demonstration, at a scale that takes seconds: two simulated sites, and the files it promises."""

from __future__ import annotations

import json
from pathlib import Path

from ecgtransfer.datasets.store import Store
from ecgtransfer.demo import Scale, demo
from ecgtransfer.study.spec import Budget

SMALL = Scale(
    upstream_records=90,
    downstream_records=90,
    sizes=(24,),
    seeds=1,
    pretraining=Budget(updates=2, batch_size=8, validations=1),
    budget=Budget(updates=2, batch_size=8, validations=1),
    rates=(3e-3,),
)


def test_it_writes_what_it_promises_and_started_again_does_nothing(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    # A killed demonstration left half of its recordings behind.
    (out / "a").mkdir(parents=True)
    (out / "a" / "A00000.hea").write_text("half a hea")
    found = demo(out, scale=SMALL, workers=1, quiet=True)
    assert {path.name for path in out.iterdir()} == {
        "a", "b", "a.ecgs", "b.ecgs", "study", "result.json", "report.html",
    }  # fmt: skip
    assert json.loads((out / "result.json").read_text()) == json.loads(json.dumps(found))
    assert (out / "report.html").read_bytes() == (out / "study" / "report.html").read_bytes()
    assert {cell["arm"] for cell in found["cells"]} == {"scratch", "full", "linear-probe", "frozen-random"}
    assert [up["name"] for up in found["upstreams"]] == ["a"]
    stores = [Store.open(out / f"{site}.ecgs") for site in "ab"]
    assert [store.n_records for store in stores] == [90, 90]
    assert stores[0].fingerprint != stores[1].fingerprint

    runs = {path: path.stat().st_mtime_ns for path in (out / "study" / "runs").rglob("*")}
    assert demo(out, scale=SMALL, workers=1, quiet=True) == found
    assert {path: path.stat().st_mtime_ns for path in (out / "study" / "runs").rglob("*")} == runs


def test_the_default_is_three_sizes_and_three_seeds() -> None:
    scale = Scale()
    assert (len(scale.sizes), scale.seeds) == (3, 3)
    assert len(scale.rates) > 1
