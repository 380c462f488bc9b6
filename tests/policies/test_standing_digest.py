"""The digest of a request that is put again and again is the digest of the whole request."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import PolicyEngineError
from affidavit.policies import StandingDigest, canonical_input, input_digest

ids = st.text("0123456789abcdef", min_size=1, max_size=40)
times = st.text("0123456789TZ:.-", max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(
    st.text().filter(lambda name: name not in {"time", "request_id"}), values, max_size=6
)


@given(documents, st.binary(min_size=1, max_size=100), ids, times)
def test_it_is_what_the_engines_compute_or_says_that_it_cannot_tell(document, key, name, time):
    standing = StandingDigest({**document, "time": "", "request_id": ""}, key)
    if not standing.sound:
        assert b"\\u0000" in canonical_input(document)
        return
    found = standing.digest(name.encode(), time.encode()).decode()
    whole = {**document, "time": time, "request_id": name}
    assert f"hmac-sha256:{found}" == input_digest(canonical_input(whole), key)
    assert found == hmac.new(key, canonical_input(whole), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("text", ["\0request_id\0", "\0time\0", "\\u0000", "\0"])
def test_text_that_looks_like_a_mark_is_never_taken_for_one(text):
    document = {"a": text, "request_id": "", "resource": {"request_id": text}, "time": ""}
    assert not StandingDigest(document, b"k").sound


def test_the_same_digest_comes_again_and_another_id_gives_another():
    standing = StandingDigest({"action": "x"}, b"k" * 32)
    assert standing.digest(b"1", b"t") == standing.digest(b"1", b"t")
    assert standing.digest(b"1", b"t") != standing.digest(b"2", b"t")
    assert standing.digest(b"1t", b"") != standing.digest(b"1", b"t")


def test_what_has_no_canonical_form_has_no_standing_digest():
    with pytest.raises(PolicyEngineError):
        StandingDigest({"a": float("nan")}, b"k")
