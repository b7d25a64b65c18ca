"""The published protocol beside the sound one: two small studies, run and drawn as a user would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecgtransfer.conduct import conduct, redraw
from ecgtransfer.errors import StudyError
from ecgtransfer.report.methods import methods
from ecgtransfer.study.folder import read_study
from ecgtransfer.study.plans.plan import DownstreamPlan, StudyPlan, UpstreamPlan
from tests.small import NETWORK, make_plan, result_of, write_store

EPOCHS = 3


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of a sound study and of one by the published protocol, on the same stores."""
    folder = tmp_path_factory.mktemp("paper")
    down = write_store(folder / "down.ecgs", recipe="paper").path
    up = write_store(folder / "up.ecgs", recipe="paper", seed=5).path
    downstreams = (DownstreamPlan("down", down, "waves", (None,)),)
    sound = make_plan(down, up, arms=("scratch", "full"), downstreams=downstreams, baselines=())
    published = StudyPlan(
        name="published",
        protocol="paper",
        networks=(NETWORK,),
        arms=("scratch", "full"),
        upstreams=(UpstreamPlan("up", store=up, task="waves", seeds=1),),
        downstreams=downstreams,
        seeds=2,
        baselines=(),
        tuning_seeds=0,
        epochs=EPOCHS,
    )
    conduct(sound, folder / "sound", quiet=True)
    conduct(published, folder / "published", quiet=True)
    return folder / "sound", folder / "published"


def test_what_was_reported_what_it_is_worth_and_what_the_sound_protocol_says(
    studies: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sound, published = studies
    found = redraw(sound, [published])["paper"]
    assert [row["arm"] for row in found["rows"]] == ["scratch", "full"]
    for row in found["rows"]:
        own = [
            result_of(published / "runs" / run.spec.id)["paper"]
            for run in read_study(published).planned
            if run.spec.arm == row["arm"]
        ]
        assert row["runs"] == len(own) == 2
        assert row["reported"] == pytest.approx(sum(each["reported"] for each in own) / 2)
        assert row["inflation"] == pytest.approx(sum(each["inflation"] for each in own) / 2)
        scores = []
        for run in read_study(sound).planned:
            if run.spec.arm == row["arm"]:
                targets = result_of(sound / "runs" / run.spec.id)["test"]["targets"].values()
                weight = sum(each["positives"] for each in targets if each["f1"] is not None)
                scores.append(
                    sum(each["f1"] * each["positives"] for each in targets if each["f1"] is not None) / weight
                )
        assert row["sound"] == pytest.approx(sum(scores) / len(scores))
    assert found["text"]
    page = (sound / "report.html").read_text(encoding="utf-8")
    assert 'aria-labelledby="h-published"' in page

    capsys.readouterr()
    assert redraw(sound)["paper"] is None
    said = capsys.readouterr().err
    assert "What was shown beside this study is left out now; --beside shows it again." in said
    assert 'aria-labelledby="h-published"' not in (sound / "report.html").read_text(encoding="utf-8")
    redraw(sound)
    assert capsys.readouterr().err == ""


def test_by_itself_it_shows_its_inflation_and_no_verdict(studies: tuple[Path, Path]) -> None:
    found = json.loads((studies[1] / "evidence.json").read_text())
    assert len(found["paper"]["rows"]) == 2
    assert not any(row["verdict"] for row in found["contrasts"])
    assert "published protocol" in (studies[1] / "report.html").read_text(encoding="utf-8")


def test_the_methods_say_where_the_same_ecg_was_sought(studies: tuple[Path, Path]) -> None:
    sound, published = (str(methods(json.loads((each / "evidence.json").read_text()))) for each in studies)
    assert "sought by fingerprints of the signal within and across datasets" in sound
    assert "sought by fingerprints of the signal within the downstream datasets" in published
    assert "count as one" not in published


def test_a_sound_study_is_not_shown_as_a_published_one(studies: tuple[Path, Path]) -> None:
    with pytest.raises(StudyError, match="follows the sound protocol too"):
        redraw(studies[1], [studies[0]])
