"""The one function that finds the recipe for an object."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from affidavit.errors import FingerprintError
from affidavit.lineage._files import directory_manifest, file_digest
from affidavit.lineage._fingerprint import fingerprint, json_fingerprint

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("value", "recipe", "kind"),
    [
        (pd.DataFrame({"a": [1]}), "arrow-table-v1", "table"),
        (pd.Series([1]), "arrow-table-v1", "table"),
        (pl.DataFrame({"a": [1]}), "arrow-table-v1", "table"),
        (pa.table({"a": [1]}), "arrow-table-v1", "table"),
        (np.arange(3), "array-v1", "array"),
        (np.float64(3), "array-v1", "array"),
        (sp.csr_array(np.eye(2)), "sparse-array-v1", "array"),
        (Ridge(), "estimator-state-v1", "estimator"),
        (b"abc", "bytes-v1", "bytes"),
        (bytearray(b"abc"), "bytes-v1", "bytes"),
        ("abc", "json-v1", "json"),
        ({"a": [1, 2.5, None, True]}, "json-v1", "json"),
    ],
)
def test_each_type_finds_its_recipe(value, recipe, kind):
    print_ = fingerprint(value)
    assert (print_.digest.recipe, print_.kind) == (recipe, kind)
    assert fingerprint(value) == print_


def test_paths_and_open_files_are_their_content_and_text_is_a_value(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert fingerprint(path).digest == file_digest(path)
    assert fingerprint(tmp_path).digest == directory_manifest(tmp_path).digest
    monkeypatch.chdir(tmp_path)
    assert fingerprint("file").kind == "json"
    with path.open("ab") as file:
        file.write(b", more")
        assert fingerprint(file).digest.value == hashlib.sha256(b"content, more").hexdigest()
    with path.open("rb") as file:
        assert fingerprint(file).detail == {"size": 13}
    with pytest.raises(FingerprintError, match="not a file with a name"):
        fingerprint(io.BytesIO(b"x"))


@given(values)
def test_json_values_survive_json_with_their_digest(value):
    digest = json_fingerprint(value).digest
    assert json_fingerprint(json.loads(json.dumps(value))).digest == digest
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert digest.value == hashlib.sha256(text.encode()).hexdigest()


def test_the_order_of_keys_does_not_show_and_that_of_lists_does():
    assert fingerprint({"a": 1, "b": 2}).digest == fingerprint({"b": 2, "a": 1}).digest
    assert fingerprint([1, 2]).digest != fingerprint([2, 1]).digest
    assert fingerprint(1).digest != fingerprint("1").digest


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [float("inf")],
        {1: "a"},
        {"a": {None: 1}},
        object(),
        {"a": {1, 2}},
        "\ud800",
        1j,
    ],
)
def test_values_without_a_json_form_are_refused(value):
    with pytest.raises(FingerprintError):
        fingerprint(value)


def test_a_value_that_contains_itself_is_refused_and_one_met_twice_is_not():
    ring = []
    ring.append(ring)
    with pytest.raises(FingerprintError, match="contains itself"):
        fingerprint(ring)
    twice = [1]
    assert fingerprint([twice, twice]).digest == fingerprint([[1], [1]]).digest
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(FingerprintError):
        fingerprint(deep)


def test_looking_at_plain_values_imports_no_library():
    script = (
        "import sys; from affidavit.lineage._fingerprint import fingerprint\n"
        "from pathlib import Path\n"
        "fingerprint({'a': 1}); fingerprint(b'x'); fingerprint(Path(sys.executable))\n"
        "heavy = {'numpy', 'pandas', 'polars', 'pyarrow', 'sklearn', 'narwhals'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
