"""One run from a store and a few words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ecgtransfer.datasets.store import Store
from ecgtransfer.errors import ConfigError
from ecgtransfer.study.macro import MacroSet
from ecgtransfer.study.single import flipping, make_spec
from tests import small
from tests.small import BUDGET, write_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("single")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return write_store(folder / "here.ecgs")


@pytest.fixture(scope="module")
def half(folder: Path) -> Store:
    """Return a store of the same source and half of the same patients."""
    return write_store(folder / "half.ecgs", n=50)


def test_the_task_s_targets_are_written_out(store: Store) -> None:
    spec = small.make_spec(store)
    assert spec.store == store.fingerprint
    assert spec.targets == (("slow", ("SLOW",)), ("fast", ("FAST",)), ("rare", ("RARE",)))
    assert spec.macro_targets == ("slow", "fast")
    assert (spec.protocol, spec.tuned_by, spec.tuning) == ("sound", (), False)


def test_an_arm_has_a_rate_only_where_it_trains_everything_and_an_upstream_only_where_it_starts_from_one(
    store: Store,
) -> None:
    given = {"upstream": "model:abc", "rates": (3e-3,)}
    found = {
        arm: small.make_spec(store, arm=arm, **given)
        for arm in ("scratch", "full", "linear-probe", "frozen-random", "pretrain")
    }
    assert {arm: spec.rates for arm, spec in found.items()} == {
        "scratch": (3e-3,), "full": (3e-3,), "linear-probe": (), "frozen-random": (), "pretrain": (3e-3,),
    }  # fmt: skip
    assert {arm for arm, spec in found.items() if spec.upstream} == {"full", "linear-probe"}


def test_a_baseline_has_neither(store: Store) -> None:
    spec = make_spec(
        store, network="rr", arm="baseline", task="waves", upstream="model:abc", n=30, seed=0, study_seed=0,
        rates=(1e-3,), budget=BUDGET, threads=1, macro=MacroSet(("slow",), ()),
    )  # fmt: skip
    assert (spec.upstream, spec.rates, spec.precision) == (None, (), "float32")
    assert spec.macro_targets == ("slow",)


def test_what_is_to_be_tested_on_takes_no_part(store: Store, half: Store) -> None:
    shared = store.records["patient_id"].isin(set(half.records["patient_id"]))
    spec = small.make_spec(store, arm="pretrain", n=None, apart_from=[half, half])
    assert spec.excluded == tuple(sorted(store.records["record_id"][shared]))
    assert spec.apart_from == (half.fingerprint,)
    assert small.make_spec(store, arm="pretrain", n=None).excluded == ()


def test_where_everything_is_also_tested_nothing_is_left_to_learn(store: Store, half: Store) -> None:
    with pytest.raises(ConfigError, match=r"half.ecgs: every recording of this store.*another upstream"):
        small.make_spec(half, arm="pretrain", n=None, apart_from=[store])


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(store: Store, rate: float) -> None:
    with pytest.raises(ConfigError, match="is not a learning rate"):
        small.make_spec(store, rates=(1e-3, rate))


def test_names_that_are_none_are_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="unknown arm 'ful'"):
        small.make_spec(store, arm="ful")
    with pytest.raises(ConfigError, match="no task 'wave'"):
        small.make_spec(store, task="wave")
    with pytest.raises(ConfigError, match="no target of task 'few' has enough"):
        small.make_spec(store, task="few")


@pytest.mark.parametrize("uncertain", [True, False])
def test_signals_are_turned_over_where_the_store_s_polarity_is_unknown(
    store: Store, uncertain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "info", dataclasses.replace(store.info, polarity_uncertain=uncertain))
    budget = flipping(BUDGET, store)
    assert budget.augment.polarity_flip == uncertain
    assert dataclasses.replace(budget, augment=BUDGET.augment) == BUDGET
    for asked in (True, False):
        assert flipping(BUDGET, store, asked).augment.polarity_flip == asked
