"""One evaluation in one call of the module, where the host library makes five.

The input is written just past the data, and ``opa_eval`` is told where the heap goes on (OPA
documentation, "WebAssembly", "Evaluation": the one-shot function). It sets the heap's pointer
itself, so that nothing has to be allocated before it or reset after it: whatever the last
evaluation left lies past the data and is written over.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opapywasm import OpaWasmPolicy

__all__ = ["evaluate", "ran_out_of_time"]


def evaluate(policy: OpaWasmPolicy, canonical: bytes, entrypoint: str) -> list[Any]:
    """The results of an entry point: none where it is undefined, else one.

    Args:
        policy: The module with its data.
        canonical: The input, as JSON.
        entrypoint: One of the module's entry points.

    Raises:
        Exception: Whatever the host raises; the instance is then not used again.
    """
    number = policy._entrypoints[entrypoint]  # noqa: SLF001  # pyproject.toml pins the library
    begun = time.monotonic()
    with policy._pool.borrow() as loan:  # noqa: SLF001  # as above
        instance = loan.instance
        abi, base = instance.abi, instance._data.data_heap_ptr  # noqa: SLF001  # as above
        end = base + len(canonical)
        if end > abi.memory_len():
            # Only the module's own allocation makes its memory grow.
            return _results(instance.evaluate(canonical, number))
        abi.set_epoch_deadline(_ticks(policy, instance, time.monotonic() - begun))
        instance._poisoned = True  # noqa: SLF001  # until it is through
        abi.memory_write(base, canonical)
        address = abi.opa_eval(number, instance._data.data_addr, base, len(canonical), end)  # noqa: SLF001  # as above
        text = instance.codec.read_cstring(address)
        abi.clear_epoch_deadline()
        instance._poisoned = False  # noqa: SLF001  # as above
    return _results(json.loads(text))


def _ticks(policy: OpaWasmPolicy, instance: Any, waited: float) -> int:
    """How many ticks of the clock are left after a wait for an instance: at least one."""
    whole = instance._evaluator._deadline_ticks or 1  # noqa: SLF001  # pyproject.toml pins the library
    allowed = policy._config.eval_timeout_seconds or 1.0  # noqa: SLF001  # as above
    return max(1, int(whole * (1 - waited / allowed)))


def _results(found: Any) -> list[Any]:
    return [answer["result"] for answer in found]


def ran_out_of_time(error: BaseException) -> bool:
    """Whether the deadline ended an evaluation, or nobody gave an instance back in time."""
    text = str(error)
    return (
        type(error).__name__ == "OpaPoolTimeoutError"
        or "time limit" in text
        or "wasm trap: interrupt" in text
    )
