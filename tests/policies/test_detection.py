"""Tags are proposed from names and values, with reasons and counts, and never with a value."""

from __future__ import annotations

import datetime as dt
import sys

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelled_tables import ADULT_TAGS, adult, bundled, generated, score, without_names
from real import need

from affidavit.errors import MissingDependencyError, ObligationError
from affidavit.policies import TagProposal, propose_tags
from affidavit.policies._column_names import name_evidence, vocabulary

TODAY = dt.date(2026, 11, 21)


def proposed(frame, **options):
    found: dict[str, list[str]] = {}
    for item in propose_tags(frame, today=TODAY, **options):
        found.setdefault(item.column, []).append(item.tag)
    return found


@pytest.mark.real
def test_the_columns_of_uci_adult_are_found_and_no_other():
    table = adult()
    need(table, "AFFIDAVIT_DATA names no folder with adult-train.csv")
    found = score(table)
    assert (found.missed, found.wrong) == ([], [])
    by_values = score(without_names(table))
    assert by_values.wrong == []
    assert by_values.recall == 0.5
    assert len(ADULT_TAGS) == 6


@pytest.mark.parametrize("table", bundled(), ids=lambda table: table.name)
def test_tables_without_persons_get_no_proposals_and_the_others_theirs(table):
    found = score(table)
    assert (found.missed, found.wrong) == ([], [])


def test_valid_numbers_are_told_from_others_of_the_same_length():
    found = score(generated())
    assert found.missed == []
    # Distinct numbers are proposed as identifiers, whatever they are: a person decides.
    assert sorted(found.wrong) == ["eleven_digits", "nine_digits", "sixteen_digits"]
    by_values = score(without_names(generated()))
    assert by_values.recall >= 0.8
    assert by_values.precision >= 0.8
    strict = score(generated(), at_least=0.6)
    assert strict.precision == 1.0
    assert strict.recall >= 0.9


def test_every_library_gets_the_same_proposals():
    frame = generated().frame
    whole = propose_tags(frame, today=TODAY)
    assert propose_tags(pl.from_pandas(frame), today=TODAY) == whole
    assert propose_tags(pa.Table.from_pandas(frame), today=TODAY) == whole


def test_no_proposal_holds_a_value():
    table = generated()
    said = str([item.to_dict() for item in propose_tags(table.frame, today=TODAY, at_least=0)])
    for name in table.tags:
        if table.frame[name].nunique() > 20:
            assert not [v for v in table.frame[name] if len(v) > 4 and v in said], name


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.none()
        | st.text(max_size=30)
        | st.integers()
        | st.floats()
        | st.booleans()
        | st.dates()
        | st.binary(max_size=5)
        | st.lists(st.integers(), max_size=2)
        | st.decimals(),
        max_size=30,
    ),
    st.text(max_size=20),
)
def test_any_column_of_any_name_can_be_looked_at(values, name):
    frame = pd.DataFrame({name: pd.Series(values, dtype=object)})
    for item in propose_tags(frame, today=TODAY, at_least=0):
        assert isinstance(item, TagProposal)
        assert 0 <= item.confidence <= 1
        assert item.reasons


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("customerEmailAddress", {"contact"}),
        ("IP-Address", {"identifier"}),
        ("Straße", {"contact"}),
        ("prénom", {"identifier"}),
        ("FECHA_DE_NACIMIENTO", {"birth_date"}),
        ("SSN", {"identifier"}),
        ("patientID2", {"identifier"}),
        ("product_name", set()),
        ("account age", set()),
        ("stage", set()),
        ("income", set()),
        ("", set()),
        ("💥", set()),
    ],
)
def test_names_in_every_usual_spelling(name, tags):
    assert {item.tag for item in name_evidence(name)} == tags


def test_something_about_a_thing_is_weaker_than_the_thing():
    (sure,), (unsure,) = name_evidence("email"), name_evidence("email_verified")
    assert unsure.strength < 0.5 < sure.strength
    flags = pd.DataFrame({"phone": [True, False] * 10, "mail": ["0", "1"] * 10})
    assert proposed(flags) == {}


def test_values_contradict_a_name_where_they_can():
    assert proposed(pd.DataFrame({"age": [31, 44, 90]})) == {"age": ["quasi_identifier"]}
    assert proposed(pd.DataFrame({"age": [1850, 12000, 3]})) == {}


def test_every_proposed_tag_is_one_that_the_shipped_policy_knows(request):
    import json
    from importlib.resources import files

    shipped = files("affidavit.policies").joinpath("packs/columns/data.json").read_text("utf-8")
    known = set(json.loads(shipped)["tags"])
    words = vocabulary()
    assert set(words["names"]) | set(words["values"]) <= known
    everything = [phrase for by in words["names"].values() for ps in by.values() for phrase in ps]
    assert len(everything) == len(set(everything)), "a phrase speaks for one tag"
    assert not set(everything) & set(words["neutral"])


def test_a_few_numbers_that_pass_a_check_by_chance_are_little_evidence():
    one = pd.DataFrame({"c": ["4111111111111111"]})
    assert proposed(one) == {}
    many = pd.DataFrame({"c": ["4111111111111111", "5500005555555559", "4012888888881881"] * 9})
    (found,) = propose_tags(many, today=TODAY)
    assert (found.tag, found.confidence) == ("secret", 0.58)
    assert found.reasons == (
        "3 of 3 distinct values: payment card number with its check digit (ISO/IEC 7812)",
    )


def test_dates_of_birth_are_told_from_dates_of_orders():
    births = [dt.date(1950 + n, 1, 1) for n in range(50)]
    orders = [dt.date(2025, 1 + n % 12, 1) for n in range(50)]
    frame = pd.DataFrame({"born_on": births, "c": births, "d": orders, "dob": orders})
    found = proposed(frame)
    assert found["born_on"][0] == found["c"][0] == "birth_date"
    assert "d" not in found
    assert found["dob"] == ["birth_date"], "the name is enough"


def test_what_is_no_table_is_refused():
    for thing in ([1], pl.LazyFrame({"a": [1]}), None):
        with pytest.raises(ObligationError, match="Tags are proposed for"):
            propose_tags(thing, today=TODAY)


def test_without_its_libraries_detection_says_which_extra_to_install(monkeypatch):
    from affidavit.policies import _value_patterns

    _value_patterns.patterns.cache_clear()
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    try:
        with pytest.raises(MissingDependencyError, match="detect"):
            propose_tags(pd.DataFrame({"a": [1]}), today=TODAY)
    finally:
        _value_patterns.patterns.cache_clear()
