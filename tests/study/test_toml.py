"""A study.toml: what it means, and one sentence with the line for everything that it cannot mean."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from ecgtransfer.errors import ConfigError, DataError, EcgTransferError
from ecgtransfer.networks import build, save_model
from ecgtransfer.study.plans.plan import Contrast, StudyPlan, UpstreamPlan
from ecgtransfer.study.plans.toml import read_plan
from ecgtransfer.study.plans.toml_keys import LISTS, TABLES, TOP
from tests.small import NETWORK, write_store

SHORT = f"""\
networks = ["{NETWORK}"]

[[upstream]]
store = "up.ecgs"
task = "waves"

[[downstream]]
store = "stores/down.ecgs"
task = "few"
sizes = [20, "all"]
"""
LONG = f"""\
name = "everything"
protocol = "sound"
networks = ["{NETWORK}", "gru"]
arms = ["full", "frozen-random"]
seeds = 4
margin = 0.02
study_seed = 7
threads = 2
baselines = []

[budget]
updates = 50
batch_size = 16
validations = 5
weight_decay = 0
warmup_fraction = 0.2
clip_norm = 2
schedule = "constant"
optimizer = "adam"

[search]
rates = [0.001, 0.01]
tuning_seeds = 2

[pretraining]
updates = 100
learning_rate = 0.003
seeds = 2
flip = true
schedule = "constant"

[[upstream]]
name = "first"
store = "up.ecgs"
task = "waves"

[[upstream]]
name = "second"
store = "up2.ecgs"
task = "few"
updates = 200
seeds = 1
flip = false

[[downstream]]
name = "mine"
store = "stores/down.ecgs"
task = "waves"
sizes = [20, 40]
upstreams = ["second"]

[convergence]
sizes = [40]

[[primary]]
network = "gru"
upstream = "second"
size = 40

[[primary]]
network = "gru"
arm = "frozen-random"
size = 20
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toml")
    write_store(folder / "up.ecgs", seed=5)
    write_store(folder / "up2.ecgs", seed=6)
    write_store(folder / "stores" / "down.ecgs")
    for number in (0, 1):
        network = build(
            NETWORK, n_leads=2, n_outputs=3, n_samples=200, sampling_rate=100, encoder_seed=number
        )
        save_model(folder / f"model{number}", network, {"data": [{"name": "a hospital"}]})
    return folder


def read(place: Path, text: str) -> StudyPlan:
    path = place / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return read_plan(path)


def said(place: Path, text: str, kind: type[EcgTransferError] = ConfigError) -> str:
    with pytest.raises(kind) as caught:
        read(place, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(place))
    return message.removeprefix(f"{place}/")


class TestWhatItMeans:
    def test_a_short_file_has_the_defaults_of_the_plan(self, place: Path) -> None:
        plan = read(place, SHORT)
        assert plan.upstreams == (UpstreamPlan(name="up", store=place / "up.ecgs", task="waves"),)
        down = plan.downstreams[0]
        assert (down.name, down.store, down.task) == ("down", place / "stores/down.ecgs", "few")
        assert (down.sizes, down.upstreams) == ((20, None), ())
        bare = StudyPlan("plan", (NETWORK,), plan.upstreams, plan.downstreams)
        assert plan == bare

    def test_every_key_arrives(self, place: Path) -> None:
        plan = read(place, LONG)
        assert (plan.name, plan.networks, plan.seeds, plan.margin) == (
            "everything",
            (NETWORK, "gru"),
            4,
            0.02,
        )
        assert (plan.study_seed, plan.threads, plan.baselines, plan.tuning_seeds) == (7, 2, (), 2)
        assert plan.arms == ("scratch", "full", "frozen-random")
        assert plan.rates == (0.001, 0.01)
        assert dataclasses.asdict(plan.budget) | {"augment": None} == {
            "updates": 50, "batch_size": 16, "validations": 5, "weight_decay": 0, "warmup_fraction": 0.2,
            "clip_norm": 2, "schedule": "constant", "optimizer": "adam", "augment": None,
        }  # fmt: skip
        first, second = plan.upstreams
        assert (first.budget.updates, first.learning_rate, first.seeds) == (100, 0.003, 2)
        assert (second.budget.updates, second.learning_rate, second.seeds) == (200, 0.003, 1)
        assert (first.flip, second.flip, UpstreamPlan.flip) == (True, False, None)
        assert {first.budget.batch_size, second.budget.batch_size} == {UpstreamPlan.budget.batch_size}
        assert {first.budget.schedule, second.budget.schedule} == {"constant"}
        assert plan.downstreams[0].upstreams == ("second",)
        assert plan.convergence == (40,)
        assert plan.primary == (
            Contrast("mine", "gru", "second", "full", 40),
            Contrast("mine", "gru", None, "frozen-random", 20),
        )

    def test_models_instead_of_a_store(self, place: Path) -> None:
        text = SHORT.replace('store = "up.ecgs"\ntask = "waves"', 'models = ["model0", "model1"]')
        text = text.replace("stores/down.ecgs", "up2.ecgs")
        upstream = read(place, text).upstreams[0]
        assert (upstream.name, upstream.store) == ("a-hospital", None)
        assert upstream.models == (place / "model0", place / "model1")

    def test_never_onto_itself(self, place: Path) -> None:
        """A store that is upstream and downstream is paired with the others alone."""
        again = '\n[[downstream]]\nstore = "./up.ecgs"\ntask = "few"\nsizes = [20]\n'
        more = '\n[[upstream]]\nname = "b"\nstore = "up2.ecgs"\ntask = "waves"\n'
        down, itself = read(place, SHORT + more + again).downstreams
        assert (down.upstreams, itself.upstreams) == ((), ("b",))

    def test_the_published_protocol_has_its_own_defaults(self, place: Path) -> None:
        text = 'protocol = "paper"\n' + SHORT.replace('sizes = [20, "all"]\n', "")
        plan = read(place, text)
        assert (plan.protocol, plan.arms, plan.seeds) == ("paper", ("scratch", "full"), 1)
        assert (plan.baselines, plan.tuning_seeds, plan.downstreams[0].sizes) == ((), 0, (None,))
        assert (plan.upstreams[0].seeds, plan.epochs) == (1, None)
        assert read(place, f"{text}\n[paper]\nepochs = 5\n").epochs == 5
        for key, table in (("updates", "[budget]\nupdates = 3"), ("rates", "[search]\nrates = [0.1]")):
            assert key not in (message := said(place, f"{text}\n{table}\n")), message
            assert 'protocol = "paper" fixes' in message
        for line in ("margin = 0.02", "specificity = 0.8", 'baselines = ["age-sex"]'):
            assert 'means nothing beside protocol = "paper"' in said(place, f"{line}\n{text}")
        primary = '\n[[primary]]\ndownstream = "down"\nsize = "all"\n'
        assert "primary means nothing beside" in said(place, text + primary)
        message = said(place, text.replace('store = "up.ecgs"', 'store = "up.ecgs"\nbatch_size = 4'))
        assert message == 'plan.toml, line 6: protocol = "paper" fixes batch_size. Leave it out'

    def test_comments_and_other_spellings_of_the_same(self, place: Path) -> None:
        text = SHORT.replace("[[upstream]]", "# [[upstream]]\n  [[ upstream ]]  # from here")
        assert read(place, text) == read(place, SHORT)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (
            "networks", "netwroks",
            "line 1: unknown key 'netwroks'. Did you mean networks? Known: arms, baselines, margin, "
            "name, networks, protocol, seeds, specificity, study_seed, threads",
        ),
        ('networks = ["resnet1d18-w16"]', "", "plan.toml: 'networks' is missing. Name at least one"),
        (NETWORK, "resnet1d81", "line 1: there is no network 'resnet1d81'. Did you mean resnet1d1"),
        ("[[upstream]]", "[[upstreem]]", "line 3: unknown table [upstreem]. Did you mean upstream?"),
        ("[[upstream]]", "[upstream]", "line 3: 'upstream' is a table of which there may be several"),
        (
            "[[downstream]]", "[[upstream]]", "plan.toml, line 10: unknown key 'sizes' in [[upstream]]. "
            "'sizes' belongs in [convergence] or [[downstream]]",
        ),
        ('task = "waves"', 'taks = "waves"', "line 5: unknown key 'taks' in [[upstream]]. Did you mean task"),
        ('task = "waves"', 'task = "wave"', "line 5: the store 'up' has no task 'wave'. Did you mean waves?"),
        ('task = "waves"\n', "", "line 3: 'task' is missing, and the store 'up' has 2. Known: waves, few"),
        ("up.ecgs", "pu.ecgs", "line 4: there is no store at "),
        ("up.ecgs", "stores", "stores: is not a store: it has no dataset.json"),
        ('store = "up.ecgs"', "", "line 3: an upstream is either a store or models. Give store = "),
        ('"up.ecgs"', '"up.ecgs"\nmodels = ["model0"]', "line 3: an upstream is either a store or models"),
        ('store = "up.ecgs"', 'models = ["model0"]', "line 5: task means nothing beside models"),
        ('"up.ecgs"\ntask = "waves"', '"up.ecgs"\nmodels = "m"', "line 5: 'models' is \"m\", and a list in"),
        ('store = "stores/down.ecgs"', "", "line 7: 'store' is missing in [[downstream]]. Give store = "),
        ('sizes = [20, "all"]', "", "line 7: 'sizes' is missing in [[downstream]]. Give the labels to use"),
        ('"all"', '"alll"', "line 10: 'sizes' does not fit: \"alll\" is no size: give a number of labels"),
        ('"all"', "20.5", "line 10: 'sizes' does not fit: 20.5 is no size"),
        ('"all"', "9", "line 10: 'sizes' does not fit: 9 is no size"),
        ('"all"', "true", "line 10: 'sizes' does not fit: true is no size"),
        ('"all"', "20", "plan.toml: sizes of down names something twice"),
        ('[20, "all"]', "20", "line 10: 'sizes' is 20, and a list in brackets is needed"),
        ('[20, "all"]', "[]", "line 10: 'sizes' is empty, and at least one is needed"),
        ("[[downstream]]", "[[downstream]]\nname = 'a/b'", "line 8: 'name' does not fit: \"a/b\" is no name"),
        (
            "[[downstream]]", '[[downstream]]\nupstreams = ["uq"]',
            "line 8: there is no upstream 'uq'. Did you mean up? Known: up",
        ),
        (
            "stores/down.ecgs", 'up.ecgs"\nupstreams = ["up"] # "',
            "line 9: upstream 'up' and this downstream are the same store",
        ),
        ('sizes = [20, "all"]', "sizes = [20", "plan.toml: is not TOML: "),
        ('"up.ecgs"', "up.ecgs", "plan.toml, line 4: is not TOML: invalid value. Write NAME = VALUE"),
    ],
)  # fmt: skip
def test_what_a_short_file_may_get_wrong(place: Path, before: str, after: str, sentence: str) -> None:
    kind = DataError if after == "stores" else ConfigError
    if after == "resnet1d81":
        kind = EcgTransferError  # type: ignore[assignment]  # what a network's name is refused with
    assert before in SHORT
    assert sentence in said(place, SHORT.replace(before, after, 1), kind)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("[search]", "[paper]", "line 22: unknown key 'rates' in [paper]. 'rates' belongs in [search]"),
        ("[search]", "[paper]\nepochs = 3\n[search]", 'line 21: [paper] belongs to protocol = "paper"'),
        ("seeds = 4", "seeds = 4.0", "line 5: 'seeds' is 4.0, and a whole number is needed"),
        ("seeds = 4", "seeds = true", "line 5: 'seeds' is true, and a whole number is needed"),
        ("seeds = 4", "seeds = 0", "line 5: 'seeds' is 0, and has to be greater than or equal to 1"),
        ("seeds = 4", "seeds = 20000", "plan.toml: 20000 seeds and 2 tuning seeds cannot be had"),
        ("margin = 0.02", 'margin = "0.02"', "line 6: 'margin' is \"0.02\", and a number is needed"),
        ("margin = 0.02", "margin = 1.5", "line 6: 'margin' is 1.5, and has to be less than 1"),
        ("margin = 0.02", "margin = nan", "line 6: 'margin' is nan, and has to be"),
        ('"sound"', '"loud"', "line 2: 'protocol' is \"loud\", and has to be \"sound\" or \"paper\""),
        ('"full",', '"ful",', "line 4: unknown arm 'ful'. Did you mean full?"),
        ('"full",', '"pretrain",', "line 4: arm 'pretrain' is no arm of a comparison"),
        ("baselines = []", 'baselines = ["age"]', "line 9: unknown baseline 'age'"),
        ("updates = 50", "seeds = 50", "line 12: unknown key 'seeds' in [budget]. 'seeds' belongs at the"),
        ("updates = 50", "rates = [1]", "line 12: unknown key 'rates' in [budget]. 'rates' belongs in [sea"),
        ("updates = 50", "update = 50", "line 12: unknown key 'update' in [budget]. Did you mean updates?"),
        ("updates = 50", "updates = 0", "line 12: 'updates' is 0, and has to be greater than or equal to 1"),
        ("[search]", "[[search]]", "line 21: 'search' is a table that is there once: write [search]"),
        ("[0.001, 0.01]", "[0.001, -1]", "plan.toml: -1 is not a learning rate"),
        ("[0.001, 0.01]", "[0.001, 0.001]", "plan.toml: rates names something twice"),
        ('name = "second"', 'name = "first"', "line 50: there is no upstream 'second'. Known: first"),
        ("updates = 200", "updates = -2", "line 41: 'updates' is -2, and has to be greater"),
        ("sizes = [40]", "sizes = [60]", "plan.toml: convergence at size 60, which no downstream has"),
        ('upstream = "second"\n', "", "line 55: upstream is missing, and the plan has 2. Name one of first"),
        ('upstream = "second"', 'upstream = "first"', "the primary contrast 'gru, full from first on mine"),
        ('upstream = "second"', 'upstream = "third"', "line 57: this plan has no upstream 'third'"),
        ('upstream = "second"\nsize = 40', 'upstream = "second"', "line 55: 'size' is missing in [[prima"),
        ('upstream = "second"\nsize = 40', 'upstream = "second"\nsize = 30', "is not among what the study"),
        ('arm = "frozen-random"', 'arm = "frozen"', "line 62: unknown arm 'frozen'. Did you mean frozen-"),
        (
            'arm = "frozen-random"', 'arm = "frozen-random"\nupstream = "first"',
            "line 63: arm 'frozen-random' starts from random weights, so no upstream belongs to it",
        ),
        (
            'arm = "frozen-random"\nsize = 20', "size = 20" + '\n[[primary]]\nnetwork="gru"\nsize=20' * 7,
            "line 60: upstream is missing",
        ),
    ],
)  # fmt: skip
def test_what_a_long_file_may_get_wrong(place: Path, before: str, after: str, sentence: str) -> None:
    assert before in LONG
    assert sentence in said(place, LONG.replace(before, after, 1))


def test_at_most_eight_primary_contrasts(place: Path) -> None:
    every = LONG[: LONG.index("[[primary]]")].replace('"full",', '"full", "linear-probe",')
    named = [
        f'[[primary]]\nnetwork = "{network}"\narm = "{arm}"\nsize = {size}\n{start}'
        for network in (NETWORK, "gru")
        for arm, start in (("full", 'upstream = "second"\n'), ("linear-probe", 'upstream = "second"\n'))
        for size in (20, 40)
    ]
    assert len(read(place, every + "".join(named)).primary) == 8
    named.append('[[primary]]\nnetwork = "gru"\narm = "frozen-random"\nsize = 20\n')
    assert "9 primary contrasts. Name at most 8" in said(place, every + "".join(named))


def test_no_file_no_text(place: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        read_plan(place / "none.toml")
    (place / "latin.toml").write_bytes("name = 'größe'".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_plan(place / "latin.toml")


PLANS = Path(__file__).resolve().parents[2] / "plans"


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with what the ready plans name: stores of a folder and of PTB-XL, and a model."""
    monkeypatch.setattr("tests.small.TASKS", {"all": [["slow", ["SLOW"]], ["fast", ["FAST"]]]})
    for number, name in enumerate(("a", "b", "mine")):
        write_store(tmp_path / f"{name}.ecgs", seed=number)
    monkeypatch.setattr("tests.small.TASKS", {"superclass": [["MI", ["SLOW"]]], "other": [["CD", ["FAST"]]]})
    write_store(tmp_path / "ptbxl.ecgs", seed=9)
    network = build(NETWORK, n_leads=2, n_outputs=2, n_samples=200, sampling_rate=100)
    save_model(tmp_path / "my-pretrained-model", network, {"data": [{"name": "elsewhere"}]})
    return tmp_path


class TestReadyPlans:
    def test_quick(self, ready: Path) -> None:
        plan = read(ready, (PLANS / "quick.toml").read_text())
        assert [contrast.n for contrast in plan.primary] == [50, 200]
        assert (plan.seeds, plan.upstreams[0].name) == (5, "hospital-a")

    def test_what_the_comments_of_my_data_say_is_the_default(self, ready: Path) -> None:
        text = (PLANS / "my-data.toml").read_text()
        asked, rest = text.split("# What to start from")
        stated = re.sub(r"(?m)^# (\w+ = )", r"\1", asked)
        assert stated.count("\n# ") < asked.count("\n# ")
        plan = read(ready, text)
        assert read(ready, f"{stated}# What to start from{rest}") == plan
        # The tables that the file sets hold the defaults, too.
        assert plan.budget == StudyPlan.budget
        assert (plan.rates, plan.tuning_seeds) == (StudyPlan.rates, StudyPlan.tuning_seeds)
        (upstream,) = plan.upstreams
        assert upstream == UpstreamPlan("ptbxl", store=ready / "ptbxl.ecgs", task="superclass")

    def test_every_key_is_in_my_data_and_everything_in_comments_may_be_said(self, ready: Path) -> None:
        text = (PLANS / "my-data.toml").read_text()
        named = set(re.findall(r"(?m)^(?:# )?(\w+) = ", text))
        tables = {name: kind for name, kind in (TABLES | LISTS).items() if name != "paper"}
        known = set(TOP).union(*(kind.model_fields for kind in tables.values()))
        assert named == known
        whole = re.sub(r"(?m)^# (\w+ = |\[)", r"\1", text).replace(
            'upstream = "ptbxl"', 'upstream = "elsewhere"'
        )
        plan = read(ready, whole.replace('upstreams = ["ptbxl"]', 'upstreams = ["ptbxl", "elsewhere"]'))
        assert [upstream.name for upstream in plan.upstreams] == ["ptbxl", "elsewhere"]
        assert plan.upstreams[0].budget.updates == 6000
        assert plan.primary == (Contrast("mine", NETWORK, "elsewhere", "full", 50),)
        assert plan.convergence == (None,)
