"""How much memory a WebAssembly module wants to begin with.

OPA states it as the minimum of the memory that the module imports as ``env.memory``, and it grows
with the text in the rules. The host of the embedded engine begins with two pages whatever the
module says, and a module that wants three is then refused (opa-py-wasm 1.2).
"""

from __future__ import annotations

from affidavit.errors import PolicyEngineError

__all__ = ["initial_pages", "make_room"]

_HEADER = b"\0asm\x01\0\0\0"
_IMPORTS = 2
_FUNCTION, _TABLE, _MEMORY, _GLOBAL = range(4)


class _Reader:
    """Numbers and names of a module (WebAssembly core specification 2.0, §5.2 and §5.5.5)."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self.at = at

    def byte(self) -> int:
        self.at += 1
        return self._content[self.at - 1]

    def number(self) -> int:
        """An unsigned integer in LEB128."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7

    def name(self) -> None:
        length = self.number()
        self.at += length

    def limits(self) -> int:
        """The minimum of some limits, whose maximum is skipped."""
        bounded = self.byte() & 1
        least = self.number()
        if bounded:
            self.number()
        return least


def initial_pages(module: bytes) -> int:
    """The pages of 64 KiB that a module's imported memory has at the least; 0 if it imports none.

    Args:
        module: The module's bytes.

    Raises:
        PolicyEngineError: They are no WebAssembly module, or end too early.
    """
    if not module.startswith(_HEADER):
        raise PolicyEngineError("The policy module is not a WebAssembly module.")
    reader = _Reader(module, len(_HEADER))
    try:
        while reader.at < len(module):
            section, size = reader.byte(), reader.number()
            if section == _IMPORTS:
                return _imported_memory(reader)
            reader.at += size
    except IndexError as error:
        raise PolicyEngineError("The policy module is cut off.") from error
    return 0


def _imported_memory(reader: _Reader) -> int:
    for _ in range(reader.number()):
        reader.name()
        reader.name()
        kind = reader.byte()
        if kind == _MEMORY:
            return reader.limits()
        if kind == _FUNCTION:
            reader.number()
        elif kind == _TABLE:
            reader.byte()
            reader.limits()
        elif kind == _GLOBAL:
            reader.at += 2
    return 0


def make_room(module: bytes) -> int:
    """Let the host begin with as much memory as a module wants; returns how many pages that are.

    It is never lowered again: instances are made later, when several threads ask.

    Raises:
        PolicyEngineError: The module is none.
    """
    from opapywasm import runtime

    wanted = initial_pages(module)
    usual = runtime._DEFAULT_MEMORY_PAGES  # noqa: SLF001  # no setting reaches it
    if wanted > usual:
        runtime._DEFAULT_MEMORY_PAGES = wanted  # noqa: SLF001  # as above
    return max(wanted, usual)
