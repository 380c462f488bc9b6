"""How much memory a compiled module begins with, as its own import says (WebAssembly 1.0, §5.5.5).

The host library gives every module the same two pages, and a module whose constants need more is
refused. So the host's figure is raised, once, to what the largest module of this process asks for.
"""

from __future__ import annotations

from affidavit.errors import PolicyEngineError

__all__ = ["begin_with_enough", "initial_pages"]

_IMPORTS, _FUNCTION, _TABLE, _MEMORY, _GLOBAL = 2, 0, 1, 2, 3


def initial_pages(module: bytes) -> int:
    """Pages of 64 KiB that a module wants its memory to begin with; 0 where it imports none.

    Args:
        module: The WebAssembly module.

    Raises:
        PolicyEngineError: The bytes are no module.
    """
    try:
        return _initial_pages(module)
    except (IndexError, ValueError) as error:
        raise PolicyEngineError("The policy module is not WebAssembly.") from error


def begin_with_enough(module: bytes) -> None:
    """Make the host library give new instances as much memory as a module begins with.

    Raises:
        PolicyEngineError: The bytes are no module.
    """
    from opapywasm import runtime

    wanted = max(runtime._DEFAULT_MEMORY_PAGES, initial_pages(module))  # noqa: SLF001  # it has no setting
    runtime._DEFAULT_MEMORY_PAGES = wanted  # noqa: SLF001  # likewise


def _initial_pages(module: bytes) -> int:
    if module[:4] != b"\0asm":
        raise ValueError("no magic number")
    at = 8
    while at < len(module):
        kind = module[at]
        size, at = _number(module, at + 1)
        if kind == _IMPORTS:
            return _of_imports(module, at)
        at += size
    return 0


def _of_imports(module: bytes, at: int) -> int:
    count, at = _number(module, at)
    for _ in range(count):
        for _ in range(2):
            length, at = _number(module, at)
            at += length
        kind = module[at]
        at += 1
        if kind == _MEMORY:
            return _number(module, at + 1)[0]
        if kind == _FUNCTION:
            _, at = _number(module, at)
        elif kind == _GLOBAL:
            at += 2
        elif kind == _TABLE:
            bounded = module[at + 1] & 1
            _, at = _number(module, at + 2)
            if bounded:
                _, at = _number(module, at)
        else:
            raise ValueError("an import of an unknown kind")
    return 0


def _number(module: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = module[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
