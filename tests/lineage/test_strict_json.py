"""The quick way through JSON gives what the careful way gives, or leaves the matter to it."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import json
import math
import uuid
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from affidavit.errors import EnvelopeError, FingerprintError
from affidavit.lineage import _strict_json
from affidavit.lineage._strict_json import dump_json, parse_json

text = st.text(max_size=12)
keys = st.text(max_size=4) | st.sampled_from(["a", "b", "é", "\ue000", "\U0001f600", "\x00"])
numbers = (
    st.integers(-(2**70), 2**70)
    | st.sampled_from(
        [2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]
    )
    | st.floats()
)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


class Half(str):
    __slots__ = ()


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    ONE = "one"


class Pair(NamedTuple):
    a: int
    b: int


def outcome(function, *args):
    """What a function gives, down to types and signs, or that it refuses."""
    try:
        return exactly(function(*args))
    except (EnvelopeError, FingerprintError) as error:
        return type(error), error.message


def exactly(value):
    if isinstance(value, dict):
        return [("key", exactly(key), exactly(item)) for key, item in value.items()]
    if isinstance(value, list):
        return ["list", *map(exactly, value)]
    return type(value), repr(value)


def documents():
    """JSON as other writers have it: other escapes, spaces, orders and forms of numbers."""
    plain = st.builds(
        lambda value, escaped, spaced: json.dumps(
            value, ensure_ascii=escaped, separators=(", ", ": ") if spaced else (",", ":")
        ),
        values,
        st.booleans(),
        st.booleans(),
    )
    return plain.map(lambda written: written.encode("utf-8", "surrogatepass"))


@settings(max_examples=400, deadline=None)
@given(documents())
def test_both_ways_read_every_document_alike(data):
    assert outcome(parse_json, data) == outcome(_strict_json._parse_carefully, data)


@settings(max_examples=400, deadline=None)
@given(documents(), st.data())
def test_both_ways_read_a_damaged_document_alike(data, draw):
    at = draw.draw(st.integers(0, len(data)))
    new = draw.draw(st.binary(max_size=3) | st.sampled_from([b"{", b"]", b",", b'"', b"\\", b"0"]))
    damaged = data[:at] + new + data[at + draw.draw(st.integers(0, 3)) :]
    assert outcome(parse_json, damaged) == outcome(_strict_json._parse_carefully, damaged)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(keys, values), max_size=5))
def test_both_ways_refuse_a_key_that_stands_twice(pairs):
    members = (f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs)
    data = ("{" + ",".join(members) + "}").encode()
    assert outcome(parse_json, data) == outcome(_strict_json._parse_carefully, data)
    if len({key for key, _ in pairs}) != len(pairs):
        with pytest.raises(EnvelopeError):
            parse_json(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":1}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b"9007199254740993",
        b"18446744073709551615",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"1" * 4300,
        b"1" * 4301,
        b"1e16",
        b"1e+16",
        b"1E16",
        b"1.0",
        b"1.00",
        b"-0",
        b"-0.0",
        b"5e-324",
        b"2e-324",
        b"1.7976931348623157e308",
        b"1.7976931348623159e308",
        b"1e400",
        b"0.1000000000000000055511151231257827",
        b"NaN",
        b"null",
        b"[NaN]",
        b"[-Infinity]",
        b'"\\u0000"',
        b'"\\u007f"',
        b'"\x7f"',
        b'"\\/"',
        b'"\\ud83d\\ude00"',
        b'"\\ud83d"',
        b'"\\ude00\\ud83d"',
        b'"\xed\xa0\xbd"',
        b'"\xc0\x80"',
        b'"\xf4\x90\x80\x80"',
        b"\xef\xbb\xbf{}",
        b"{}\x00",
        b"{}\n",
        b"",
        b"[" * 100 + b"]" * 100,
        b"[" * 101 + b"]" * 101,
        b'[{"a":' * 50 + b"1" + b"}]" * 50,
        b'[{"a":' * 51 + b"1" + b"}]" * 51,
        b"[" * 300 + b"]" * 300,
        b"[" * 2000 + b"]" * 2000,
        b"[" * 200_000,
        b'"' + b"[{" * 200 + b'"',
    ],
)
def test_both_ways_read_the_odd_corners_alike(data):
    assert outcome(parse_json, data) == outcome(_strict_json._parse_carefully, data)


@settings(max_examples=400, deadline=None)
@given(values)
@example([math.nan])
@example({"a": -0.0, "b": 1e16, "c": 1e-7, "d": 5e-324})
@example({"\ud800": 1})
@example({"\U0001f600": 1, "\uffff": 2, "\ue000": 3, "z": 4})
def test_both_ways_write_every_value_alike(value):
    assert outcome(dump_json, value) == outcome(_strict_json._dump_carefully, value)


@pytest.mark.parametrize(
    "value",
    [
        Half("a"),
        {Half("a"): 1},
        [Number.ONE],
        [Word.ONE],
        {Word.ONE: 1},
        Pair(1, 2),
        (1, (2, [3])),
        True,
        uuid.UUID(int=1),
        dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
        dt.date(2026, 11, 21),
        Fraction(1, 2),
        b"bytes",
        {1: "a"},
        {None: 1},
        {True: 1},
        {1, 2},
        collections.OrderedDict(b=1, a=2),
        [math.inf],
        2**64,
        object,
    ],
    ids=repr,
)
def test_both_ways_write_what_is_not_plain_alike(value):
    for wrapped in (value, [value], {"k": value}):
        assert outcome(dump_json, wrapped) == outcome(_strict_json._dump_carefully, wrapped)


def test_numpy_numbers_are_written_as_before():
    numpy = pytest.importorskip("numpy")
    for value in (numpy.float64(0.1), numpy.int64(1), numpy.bool_(True), numpy.str_("a")):
        assert outcome(dump_json, [value]) == outcome(_strict_json._dump_carefully, [value])


def test_a_value_that_holds_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(FingerprintError):
        dump_json(loop)


@pytest.mark.parametrize("depth", [99, 100, 101, 260])
def test_both_ways_write_to_the_same_depth(depth):
    value: object = 1
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    assert outcome(dump_json, value) == outcome(_strict_json._dump_carefully, value)


def test_a_record_as_it_is_logged_takes_the_quick_way(monkeypatch):
    def refuse(_):
        pytest.fail("the careful way was taken")

    monkeypatch.setattr(_strict_json, "_parse_carefully", refuse)
    monkeypatch.setattr(_strict_json, "_dump_carefully", refuse)
    value = {"record": "prediction", "id": "é", "fields": ["a", {"b": None}], "n": 2**53 + 1}
    assert parse_json(dump_json(value)) == value
    assert parse_json(b'{"b":0.7,"a":[-2]}') == {"b": 0.7, "a": [-2]}
