"""What codes mean across sources: equivalences, what is annotated where, and five NORMs that never merge."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgtransfer.datasets import sources, statements, tasks
from ecgtransfer.datasets.tasks import Target, Task

OFFICIAL = [
    ("713427006", "59118001", "RBBB"),
    ("284470004", "63593006", "PAC"),
    ("427172004", "17338001", "PVC"),
    ("733534002", "164909002", "LBBB"),
]
STUDY = ("ptbxl", "cpsc2018", "georgia", "ptb", "code-test")


@pytest.mark.parametrize(("one", "other", "code"), OFFICIAL)
def test_the_challenges_equivalences_are_the_official_ones(one: str, other: str, code: str):
    codes = [statements.from_snomed(concept) for concept in (one, other)]
    assert None not in codes
    assert codes[0] != codes[1], "each concept keeps a code of its own"
    assert {statements.canonical(c, extra=False) for c in codes if c} == {code}


def test_these_are_the_only_equivalences_and_ventricular_ectopics_are_an_extra():
    rows = statements.equivalences()
    official = {code for code, row in rows.items() if row.kind == "official"}
    assert official == {"CRBBB", "SVPB", "VPB", "CLBBB"}
    assert {code for code, row in rows.items() if row.kind == "extra"} == {"VEB"}
    assert statements.from_snomed("164884008") == "VEB"
    assert statements.canonical("VEB") == "PVC"
    assert statements.canonical("VEB", extra=False) == "VEB"
    assert all(row.reason for row in rows.values())


def test_canonical_is_idempotent_and_stays_in_the_vocabulary():
    vocabulary = statements.vocabulary()
    for code in vocabulary:
        assert statements.canonical(code) in vocabulary
        assert statements.canonical(statements.canonical(code)) == statements.canonical(code)
    assert statements.canonical("somebody's own column") == "somebody's own column"


def test_every_challenge_concept_has_the_canonical_code_of_its_vocabulary_entry():
    rows = statements.crosswalk("challenge")
    assert len({row["snomed"] for row in rows}) == len(rows)
    assert [row["list"] for row in rows].count("scored") == 30
    assert [row["list"] for row in rows].count("unscored") == 103
    vocabulary = statements.vocabulary()
    for row in rows:
        code = statements.from_snomed(row["snomed"])
        assert code in vocabulary
        assert row["code"] == statements.canonical(code)
        kind = "same" if code == row["code"] else statements.equivalences()[code].kind
        assert row["mapping"] == kind


def test_a_concept_that_no_table_knows_has_no_code():
    assert statements.from_snomed("1") is None


def test_the_table_of_what_is_annotated_has_known_codes_once_and_canonical_where_it_is_the_challenges():
    rows = statements.read_table("annotates")
    assert len({(row["source"], row["code"]) for row in rows}) == len(rows)
    for row in rows:
        assert row["code"] in statements.vocabulary(), row
    for source in ("cpsc2018", "cpsc2018-extra", "georgia", "incart", "chapman", "ningbo"):
        assert statements.annotated(source)
        for code in statements.annotated(source):
            assert statements.canonical(code) == code
    assert statements.annotated("no such source") == ()


def test_cpsc2018_annotates_nine_classes_and_ningbo_no_atrial_fibrillation():
    assert set(statements.annotated("cpsc2018")) == {
        *("NORM-CPSC2018", "AF", "1AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")
    }
    assert "AF" in statements.annotated("chapman")
    assert "AF" not in statements.annotated("ningbo")


@pytest.mark.parametrize("source", ["cpsc2018", "cpsc2018-extra", "georgia", "challenge2021/ptb"])
def test_sinus_rhythm_is_not_annotated_where_it_is_named_only_alone(source: str):
    assert "SR" not in statements.annotated(source)


def norm_codes(source: str) -> set[str]:
    if "paper" not in tasks.names(source):
        pytest.skip(f"{source} is not there")
    (target,) = [target for target in tasks.get(source, "paper").targets if target.name == "NORM"]
    return set(target.any_of)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(STUDY, 2)))
def test_no_two_norms_of_the_study_share_a_code(one: str, other: str):
    codes, others = norm_codes(one), norm_codes(other)
    assert not codes & others
    assert not {statements.canonical(c) for c in codes} & {statements.canonical(c) for c in others}
    # Equal names do not make them match: what one store knows says nothing about the other's target.
    table = pd.DataFrame({code: pd.array([1, 0], dtype="Int8") for code in codes})
    assert np.isnan(Task("paper", (Target("NORM", tuple(others)),)).labels(table)).all()


def test_a_normal_ecg_is_not_sinus_rhythm():
    assert statements.from_snomed("426783006") == "SR"
    assert statements.vocabulary()["NORM"].snomed == ""
    assert statements.canonical("NORM") == "NORM"
    assert statements.canonical("SR") == "SR"


def test_the_t_wave_abnormality_of_the_challenge_is_wider_than_that_of_scp():
    assert statements.from_snomed("164934002") == "TAb"
    assert statements.canonical("TAb") != statements.canonical("TAB_")


@pytest.mark.parametrize("source", ["ptbxl", "ludb"])
def test_crosswalks_lead_only_to_what_is_annotated(source: str):
    assert {row["code"] for row in statements.crosswalk(source)} == set(statements.annotated(source))


def test_the_study_orders_its_targets_as_the_paper_does():
    assert tasks.get("cpsc2018", "paper").target_names == (
        *("NORM", "AF", "IAVB", "LBBB", "RBBB", "PAC", "VEB", "STD", "STE"),
    )
    assert tasks.get("georgia", "paper").target_names == (
        *("NORM", "AF", "IAVB", "SB", "LAD", "STach", "TAb", "TInv", "LQT", "PAC"),
    )


def test_the_scored_task_has_the_26_diagnoses_of_the_challenge():
    assert len(tasks.get("challenge2021", "scored").targets) == 26


# Targets and columns that mean the same


def column(*values: int | None) -> pd.Series:
    return pd.Series(pd.array(values, dtype="Int8"))


def test_a_target_finds_the_column_that_officially_means_the_same():
    store = pd.DataFrame({"RBBB": column(1, 0, None), "PAC": column(0, 1, 0)})
    task = Task("t", (Target("CRBBB", ("CRBBB",)), Target("PAC", ("SVPB",)), Target("VEB", ("VEB",))))
    np.testing.assert_array_equal(task.labels(store), [[1, 0, np.nan], [0, 1, np.nan], [np.nan, 0, np.nan]])


@given(st.lists(st.sampled_from([0, 1, None]), max_size=6), st.sampled_from(["RBBB", "CRBBB"]))
def test_naming_both_codes_loses_no_negative(values: list[int | None], only: str):
    store = pd.DataFrame({only: column(*values)})
    both = Task("t", (Target("x", ("RBBB", "CRBBB")),)).labels(store)
    np.testing.assert_array_equal(both, Task("t", (Target("x", (only,)),)).labels(store))
    np.testing.assert_array_equal(both[:, 0], [np.nan if value is None else value for value in values])


def test_a_table_that_tells_two_codes_apart_keeps_them_apart():
    store = pd.DataFrame({"RBBB": column(1, 0, 1), "CRBBB": column(0, 0, None)})
    task = Task(
        "t", (Target("RBBB", ("RBBB",)), Target("CRBBB", ("CRBBB",)), Target("any", ("RBBB", "CRBBB")))
    )
    np.testing.assert_array_equal(task.labels(store), [[1, 0, 1], [0, 0, 0], [1, np.nan, 1]])


def test_an_extra_mapping_is_not_used_to_find_columns():
    store = pd.DataFrame({"PVC": column(1, 0)})
    assert np.isnan(Task("t", (Target("x", ("VEB",)),)).labels(store)).all()


@pytest.mark.parametrize(
    "name", ["cpsc2018", "georgia", "chapman", "challenge2021", "ludb", "ptbxl", "cinc2017"]
)
def test_sources_take_what_they_annotate_from_the_table(name: str):
    listed = {row["code"] for row in statements.read_table("annotates")}
    assert sources.get(name).annotates
    assert set(sources.get(name).annotates) <= listed
    if statements.annotated(name) and name != "chapman":
        assert sources.get(name).annotates == statements.annotated(name)
