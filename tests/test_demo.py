"""The demonstration, at a scale that takes seconds: two simulated sites, and the files it promises."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ecgtransfer.cli.main import main
from ecgtransfer.datasets.store import Store
from ecgtransfer.demo import Scale, demo
from ecgtransfer.networks import load_model
from ecgtransfer.study.plans.effort import Effort

SMALL = Scale(
    upstream_records=90,
    downstream_records=90,
    effort=Effort(
        updates=2,
        pretraining_updates=2,
        seeds=1,
        tuning_seeds=0,
        pretraining_seeds=1,
        rates=(3e-3,),
        shares=(0.4, 1.0),
        convergence=False,
    ),
)


def test_it_writes_what_it_promises_and_started_again_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    # A killed demonstration left half of its recordings behind.
    (out / "a").mkdir(parents=True)
    (out / "a" / "A00000.hea").write_text("half a hea")
    found = demo(out, scale=SMALL, workers=1, quiet=True)
    assert {path.name for path in out.iterdir()} == {
        "a", "b", "a.ecgs", "b.ecgs", "advice", "result.json", "report.html",
    }  # fmt: skip
    assert json.loads((out / "result.json").read_text()) == json.loads(json.dumps(found))
    study = out / "advice" / "study"
    assert (out / "report.html").read_bytes() == (study / "report.html").read_bytes()
    evidence = json.loads((study / "evidence.json").read_text())
    assert found["answer"] == evidence["answer"]
    assert {cell["arm"] for cell in evidence["cells"]} == {"scratch", "full", "linear-probe", "frozen-random"}
    assert [(up["name"], up["downstream"]) for up in evidence["upstreams"]] == [("a", "b")]
    stores = [Store.open(out / f"{site}.ecgs") for site in "ab"]
    assert [store.n_records for store in stores] == [90, 90]
    assert stores[0].fingerprint != stores[1].fingerprint
    _, card = load_model(out / "advice" / found["model"])
    assert card["leads"] == list(stores[1].info.leads)

    runs = {path: path.stat().st_mtime_ns for path in (study / "runs").rglob("*")}
    assert demo(out, scale=SMALL, workers=1, quiet=True)["answer"] == found["answer"]

    # The command says where it all lies, and goes on with what is there.
    monkeypatch.setattr("ecgtransfer.demo.Scale", lambda: SMALL)
    monkeypatch.setattr(sys, "argv", ["ecgtransfer", "demo", "-o", str(out), "--workers", "1", "--quiet"])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    assert left.value.code == 0, said.err
    words = " ".join(said.out.split())
    for sentence in found["answer"]:
        assert " ".join(sentence.split()) in words
    assert f"The same page: {out / 'report.html'}\n" in said.out
    assert {path: path.stat().st_mtime_ns for path in (study / "runs").rglob("*")} == runs


def test_the_default_is_three_sizes_several_seeds_and_pretrainings() -> None:
    effort = Scale().effort
    assert len(effort.shares) == 3
    assert effort.seeds >= 5
    assert effort.pretraining_seeds >= 3
    assert len(effort.rates) > 1
