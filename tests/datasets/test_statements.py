"""The vocabulary and the crosswalks: what the tables promise each other."""

from __future__ import annotations

import re

import pytest

from ecgtransfer.datasets import sources, statements, tasks
from ecgtransfer.errors import ConfigError

PUBLIC = [name for name in sources.names() if name != "folder"]


def test_codes_are_distinct_and_snomed_codes_look_like_it():
    rows = statements.read_table("vocabulary")
    assert len({row["code"] for row in rows}) == len(rows)
    for statement in statements.vocabulary().values():
        assert statement.name
        assert statement.kind in {"rhythm", "diagnostic", "form", "quality"}
        assert statement.snomed == "" or re.fullmatch(r"\d{6,18}", statement.snomed)
    concepts = [statement.snomed for statement in statements.vocabulary().values() if statement.snomed]
    assert len(set(concepts)) == len(concepts), "one concept, one code"


def test_a_normal_ecg_is_not_sinus_rhythm():
    vocabulary = statements.vocabulary()
    assert vocabulary["SR"].snomed == "426783006"
    assert vocabulary["NORM"].snomed == ""


@pytest.mark.parametrize("name", PUBLIC)
def test_sources_declare_themselves(name):
    source = sources.get(name)
    assert source.name == name
    assert source.records is not None
    assert source.sampling_rate is not None
    assert "doi:10." in source.citation
    assert source.address.startswith("https://")
    assert source.licence
    assert set(source.annotates) <= statements.vocabulary().keys()
    assert len(set(source.annotates)) == len(source.annotates)


@pytest.mark.parametrize("name", PUBLIC)
def test_tasks_use_only_what_the_source_annotates(name):
    source = sources.get(name)
    assert source.tasks == tasks.of_source(name)
    for task, targets in source.tasks.items():
        for target, codes in targets:
            assert set(codes) <= set(source.annotates), (task, target)


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean ludb"):
        sources.get("lubd")
