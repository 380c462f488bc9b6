"""Equal inputs have equal pseudonyms everywhere, and the key is nowhere."""

from __future__ import annotations

import base64
import multiprocessing

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obliging import oblige
from spawned import pseudonyms_in_a_process

import affidavit as aff
from affidavit._named_keys import NamedKeys
from affidavit.policies import Obligation, apply_obligations, apply_to_record

TAGS = {"person": ["identifier"]}
PSEUDONYM = Obligation("pseudonymise", ("person",), {"key": "default"})


def governed(frame):
    @aff.data("people", purpose="credit-scoring", columns=TAGS)
    def read():
        return frame

    return read()


def listed(frame, name="person"):
    column = frame[name]
    return column.to_pylist() if isinstance(frame, pa.Table) else column.to_list()


def test_equal_values_are_one_pseudonym_across_frames_libraries_types_and_calls(
    home, risk, monkeypatch
):
    numbers = [
        pd.DataFrame({"person": [7, 8]}),
        pd.DataFrame({"person": [7.0, 8.0]}),
        pd.DataFrame({"person": pd.array([7, 8], "Int64")}),
        pd.DataFrame({"person": pd.Categorical([7, 8])}),
        pd.DataFrame({"person": pd.Series([7, 8], dtype=object)}),
        pl.DataFrame({"person": [7, 8]}, schema={"person": pl.UInt8}),
        pa.table({"person": pa.array([7, 8], pa.decimal128(10, 2))}),
    ]
    found = {tuple(listed(governed(frame))) for frame in numbers}
    assert len(found) == 1
    texts = [
        pd.DataFrame({"person": ["7", "8"]}),
        pl.DataFrame({"person": ["7", "8"]}, schema={"person": pl.Enum(["7", "8"])}),
        pa.table({"person": pa.array(["7", "8"], pa.large_string()).dictionary_encode()}),
    ]
    written = {tuple(listed(governed(frame))) for frame in texts}
    assert len(written) == 1
    assert written.isdisjoint(found), "a text is not a number"

    oblige(monkeypatch, PSEUDONYM)
    seen = []

    @aff.serve("risk")
    def predict(features):
        seen.append(features["person"])

    predict({"person": 7})
    assert seen == [next(iter(found))[0]]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_makes_the_same_pseudonyms(home, method):
    here = listed(governed(pl.DataFrame({"person": ["ada", "bob", None]})))
    with multiprocessing.get_context(method).Pool(1) as pool:
        there = pool.apply(pseudonyms_in_a_process, (["ada", "bob", None],))
    assert here == there


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.none() | st.text(max_size=6) | st.integers(-5, 5), min_size=1, max_size=12),
)
def test_pseudonyms_are_equal_exactly_where_the_values_are(values):
    keys = {"default": b"k" * 32}
    frame = pd.DataFrame({"person": pd.Series(values, dtype=object)})
    after = listed(apply_obligations(frame, [PSEUDONYM], keys=keys)[0])
    for one, hidden in zip(values, after, strict=True):
        for other, other_hidden in zip(values, after, strict=True):
            if one is not None and other is not None:
                assert (one == other) is (hidden == other_hidden)
        record = apply_to_record({"person": one}, [PSEUDONYM], keys=keys)[0]
        assert one is None or record["person"] == hidden


def test_another_home_makes_other_pseudonyms(home, tmp_path, monkeypatch):
    frame = pd.DataFrame({"person": ["ada"]})
    here = listed(governed(frame))
    aff.create_home(tmp_path / "elsewhere", actor="engineer@example.org")
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "elsewhere"))
    assert listed(governed(frame)) != here


def _shapes(secret: bytes) -> list[bytes]:
    """The forms in which a secret could stand in a file, whatever stands before it."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode(), repr(secret).encode()]
    encoders = (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode, base64.b85encode)
    found += [encode(secret) for encode in encoders]
    # In the middle of something longer, base64 begins at one of three places in a group.
    return found + [base64.b64encode(b"\0" * n + secret)[4:-4] for n in (1, 2)]


def test_the_key_is_in_no_file_of_the_home_in_any_form(home, risk, monkeypatch, cli, reader):
    governed(pd.DataFrame({"person": ["ada", "bob"]}))
    oblige(monkeypatch, PSEUDONYM, only=("affidavit/serve", "affidavit/train"))

    @aff.serve("risk")
    def predict(features):
        return {"person": features["person"]}

    predict({"person": "ada"})
    with pytest.raises(aff.PolicyDenied):
        predict({"nobody": "ada"})
    assert cli("verify")[0] == 0
    key = home.vault.named_key("default")
    assert key == NamedKeys(home)["default"]
    master = (home.folder / "keys" / "master.key").read_bytes()
    assert len(key) >= 32
    searched = 0
    for path in home.folder.rglob("*"):
        if path.is_dir() or path.name == "master.key":
            continue
        content = path.read_bytes()
        searched += 1
        assert not [shape for shape in _shapes(key) if shape in content], path.name
        assert not [shape for shape in _shapes(master.strip()) if shape in content], path.name
    assert searched > 5
