"""The memory that a module begins with, read from its own bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real import opa_binary

from affidavit.errors import PolicyEngineError
from affidavit.policies import EmbeddedEngine, build_packs
from affidavit.policies._manifest import shipped
from affidavit.policies._memory import initial_pages


def leb(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def module(pages: int, before: bytes = b"", count: int = 1) -> bytes:
    """A module that imports a memory of so many pages, after other imports."""
    body = leb(count) + before + b"\x03env\x06memory\x02\x00" + leb(pages)
    custom = b"\x00" + leb(5) + b"\x01x123"
    return b"\0asm\x01\0\0\0" + custom + b"\x02" + leb(len(body)) + body


def test_the_shipped_module_says_how_much_it_needs():
    assert initial_pages((shipped() / "policy.wasm").read_bytes()) >= 2


@given(st.integers(0, 65536))
def test_any_number_of_pages_is_read_whatever_is_imported_before(pages):
    function = b"\x03env\x01f\x00\x81\x01"
    table = b"\x03env\x01t\x01\x70\x01\x02\x80\x01"
    other = b"\x03env\x01u\x01\x70\x00\x02"
    variable = b"\x03env\x01g\x03\x7f\x00"
    assert initial_pages(module(pages)) == pages
    assert initial_pages(module(pages, function + table + other + variable, 5)) == pages


def test_a_module_without_a_memory_needs_none():
    assert initial_pages(b"\0asm\x01\0\0\0") == 0
    assert initial_pages(b"\0asm\x01\0\0\0\x02\x08\x01\x03env\x01f\x00\x00") == 0


@given(st.binary(max_size=40))
def test_whatever_is_no_module_is_refused_with_our_error(content):
    for bad in (content, b"\0asm\x01\0\0\0\x02" + content):
        try:
            assert initial_pages(bad) >= 0
        except PolicyEngineError:
            continue


@pytest.mark.real
def test_a_module_whose_constants_fill_many_pages_is_built_and_runs(tmp_path):
    opa = opa_binary()
    packs = tmp_path / "packs"
    (packs / "big").mkdir(parents=True)
    words = ", ".join(f'"{number:06d}{"x" * 90}"' for number in range(6000))
    (packs / "big" / "data.json").write_text(json.dumps({"limit": 1}))
    (packs / "big" / "big.rego").write_text(
        "package big\n\n"
        f"words := [{words}]\n\n"
        "# METADATA\n# entrypoint: true\n# custom:\n#   volatile: []\n"
        'answer := {"allow": words[input.at] == input.word, "deny": [], "warn": [], '
        '"obligations": []}\n'
    )
    build_packs(packs, tmp_path / "out", opa=opa)
    assert initial_pages((tmp_path / "out" / "policy.wasm").read_bytes()) > 8
    engine = EmbeddedEngine(bundle=tmp_path / "out")
    word = f"{4321:06d}{'x' * 90}"
    assert engine.decide("big/answer", {"at": 4321, "word": word}).allow
    assert not engine.decide("big/answer", {"at": 4321, "word": "y"}).allow
