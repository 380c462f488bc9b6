"""The host begins with the memory that a module wants."""

from __future__ import annotations

import pytest
from opapywasm import runtime

from affidavit.errors import PolicyEngineError
from affidavit.policies import EmbeddedEngine
from affidavit.policies._manifest import shipped
from affidavit.policies._wasm_memory import initial_pages, make_room

HEADER = b"\0asm\x01\0\0\0"


def with_imports(*imports: bytes) -> bytes:
    body = bytes([len(imports)]) + b"".join(imports)
    return HEADER + b"\x02" + bytes([len(body)]) + body


FUNCTION = b"\x03env\x09opa_abort\x00\x05"
TABLE = b"\x03env\x01t\x01\x70\x01\x01\x09"
GLOBAL = b"\x03env\x01g\x03\x7f\x00"
MEMORY = b"\x03env\x06memory\x02\x00\x83\x01"


def test_the_pages_are_read_behind_every_other_kind_of_import():
    assert initial_pages(with_imports(MEMORY)) == 131
    assert initial_pages(with_imports(FUNCTION, TABLE, GLOBAL, MEMORY)) == 131
    assert initial_pages(with_imports(FUNCTION)) == 0
    assert initial_pages(HEADER) == 0
    assert initial_pages(HEADER + b"\x01\x01\x00" + with_imports(MEMORY)[8:]) == 131


@pytest.mark.parametrize("content", [b"", b"\0asm", b"module", with_imports(MEMORY)[:-1]])
def test_what_is_no_module_is_refused(content):
    with pytest.raises(PolicyEngineError, match="module"):
        initial_pages(content)


def test_room_is_made_and_never_taken_away(monkeypatch):
    monkeypatch.setattr(runtime, "_DEFAULT_MEMORY_PAGES", 2)
    assert make_room(with_imports(MEMORY)) == 131
    assert make_room(HEADER) == 131
    assert runtime._DEFAULT_MEMORY_PAGES == 131


def test_a_module_that_wants_more_than_it_may_have_denies(request_for):
    wanted = initial_pages((shipped() / "policy.wasm").read_bytes())
    assert wanted > 2, "or the host's own beginning would do"
    engine = EmbeddedEngine(memory_pages=2)
    with pytest.raises(PolicyEngineError, match="pages of memory"):
        engine.load()
    decision = engine.decide("affidavit/data_read", request_for())
    assert [finding.rule for finding in decision.deny] == ["engine.unloadable"]
