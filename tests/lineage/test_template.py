"""A filled template is byte for byte the record that would be encoded anew."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import EnvelopeError, FingerprintError
from affidavit.lineage import Hole, RecordTemplate, dump_json, record_bytes

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(fields=st.dictionaries(TEXT, JSON, max_size=6), value=JSON, identifier=TEXT, time=TEXT)
def test_a_filled_template_is_the_record_itself(fields, value, identifier, time):
    fields = {f"x{name}": item for name, item in fields.items()}
    nested = {"deep": [{"er": value}], **fields}
    holes = {"deep": [{"er": Hole("value")}], **fields}
    template = RecordTemplate(
        "access", {**holes, "input": holes, "id": Hole("id"), "time": Hole("time")}
    )
    filled = template.fill(
        {"value": dump_json(value), "id": dump_json(identifier), "time": dump_json(time)}
    )
    whole = {**nested, "input": nested, "id": identifier, "time": time}
    assert filled == record_bytes("access", whole)
    assert json.loads(filled)["input"] == json.loads(filled)["input"]


def test_a_template_without_holes_is_its_record():
    fields = {"id": "1", "time": "now", "actor": "ada"}
    assert RecordTemplate("access", fields).fill({}) == record_bytes("access", fields)


def test_a_hole_that_is_not_filled_is_an_error():
    with pytest.raises(KeyError, match="id"):
        RecordTemplate("access", {"id": Hole("id"), "time": "now"}).fill({})


def test_a_template_of_what_is_no_record_is_refused():
    with pytest.raises(EnvelopeError, match="not 'novel'"):
        RecordTemplate("novel", {"id": "1", "time": "now"})
    with pytest.raises(FingerprintError):
        RecordTemplate("access", {"id": "1", "time": "now", "n": float("nan")})
