"""What a mask takes out comes back whole, shows where it was, and shows nowhere else."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit._mask import DEFAULT_REMOVED, HIDDEN, Mask, restore
from affidavit.errors import ConfigurationError, VerificationError

EVENT = {
    "input": {
        "actor": {"id": "ada", "roles": ["engineer"], "attributes": {"clearance": "secret-3"}},
        "client": {"address": "203.0.113.77"},
        "columns": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
    },
    "result": {
        "allow": False,
        "deny": [
            {"rule": "serving.network", "message": "203.0.113.77 is not on the list."},
            {"rule": "access.denied", "message": "It may not."},
        ],
        "warn": [],
        "obligations": [],
    },
}


def test_by_default_the_address_and_the_attributes_are_erased_and_listed():
    said, taken = Mask().apply(EVENT)
    assert said["erased"] == list(DEFAULT_REMOVED)
    assert said["input"]["client"] == {}
    assert set(said["input"]["actor"]) == {"id", "roles"}
    assert taken["/input/client/address"] == "203.0.113.77"
    assert taken["/input/actor/attributes"] == {"clearance": "secret-3"}


def test_a_reason_that_quotes_what_was_taken_out_is_replaced():
    said, _ = Mask().apply(EVENT)
    assert said["masked"] == ["/result/deny/0/message"]
    assert said["result"]["deny"][0]["message"] == HIDDEN
    assert said["result"]["deny"][1] == EVENT["result"]["deny"][1]
    assert "203.0.113.77" not in json.dumps(said)
    assert "secret-3" not in json.dumps(said)


def test_what_the_mask_names_and_the_input_lacks_is_neither_listed_nor_made():
    event = {"input": {"actor": {"id": "ada"}}, "result": {"allow": True}}
    said, taken = Mask(replace={"/input/purpose": "x"}).apply(event)
    assert said == event
    assert taken == {}


def test_a_replacement_stands_in_the_place_and_is_listed_as_masked():
    said, taken = Mask((), {"/input/actor/id": "somebody"}).apply(EVENT)
    assert said["input"]["actor"]["id"] == "somebody"
    assert (said["masked"], taken) == (["/input/actor/id"], {"/input/actor/id": "ada"})
    assert "erased" not in said


def test_an_item_that_is_removed_from_a_list_comes_back_to_its_place():
    mask = Mask(("/input/columns/1", "/input/columns/0"))
    said, taken = mask.apply(EVENT)
    assert said["input"]["columns"] == [{"name": "c"}]
    assert restore(said, taken)["input"] == EVENT["input"]


def test_a_mask_over_a_masked_event_takes_out_nothing_twice():
    mask = Mask(("/input/columns/0",), {"/input/actor/id": "x"})
    once, _ = mask.apply(EVENT)
    twice, taken = mask.apply(once)
    assert twice == once
    assert taken == {}


def test_the_whole_input_can_be_taken_out():
    said, taken = Mask(("/input",)).apply(EVENT)
    assert "input" not in said
    assert restore(said, taken)["input"] == EVENT["input"]


@pytest.mark.parametrize(
    "pointer",
    ["", "input/actor", "/inputs", "/result", "/result/", "/result/allow", "/custom", "/input/a/",
     "/labels/id", 5],
)  # fmt: skip
def test_a_pointer_elsewhere_or_to_the_answer_itself_is_refused(pointer):
    with pytest.raises(ConfigurationError):
        Mask((pointer,))


def test_a_pointer_that_stands_twice_is_refused():
    with pytest.raises(ConfigurationError, match="twice"):
        Mask(("/input/a",), {"/input/a": 1})


def test_what_does_not_fit_the_record_is_no_restoration():
    said, taken = Mask().apply(EVENT)
    with pytest.raises(VerificationError):
        restore(said, {key: taken[key] for key in list(taken)[1:]})
    with pytest.raises(VerificationError):
        restore({**said, "input": {"actor": 5}}, taken)


names = st.sampled_from(["a", "b", "a/b", "m~n", "0", "1", ""])
values = st.recursive(
    st.none() | st.integers(0, 5) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)
pointers = st.lists(names.filter(bool), min_size=1, max_size=3).map(
    lambda parts: "/input/" + "/".join(p.replace("~", "~0").replace("/", "~1") for p in parts)
)


@given(
    st.dictionaries(names, values, max_size=4),
    st.lists(pointers, max_size=3, unique=True),
    st.dictionaries(pointers, st.text(max_size=4), max_size=2),
    st.lists(st.text(max_size=12), max_size=2),
)
def test_what_was_masked_is_restored_exactly_and_the_event_was_not_touched(
    document, remove, replace, messages
):
    replace = {pointer: value for pointer, value in replace.items() if pointer not in remove}
    deny = [{"rule": "r", "message": message} for message in messages]
    event = {"input": document, "result": {"allow": False, "deny": deny}}
    before = copy.deepcopy(event)
    said, taken = Mask(tuple(remove), replace).apply(event)
    assert event == before
    assert restore(said, taken) == before
    assert sorted([*said.get("erased", ()), *said.get("masked", ())]) == sorted(taken)
