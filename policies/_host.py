"""The host of a module: opa-py-wasm, with functions that may give no value.

The library takes every failure of a function for a failure of the evaluation, where OPA takes it
for an undefined expression; in the module's calling convention that is the address 0 (OPA
documentation, "WebAssembly", "Built-in Functions").
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from opapywasm import OpaWasmPolicy, runtime
from opapywasm.errors import OpaBuiltinError
from opapywasm.instance import OpaPolicyInstance
from wasmtime import MemoryType

from affidavit.policies._builtins import BUILTINS
from affidavit.policies._no_value import NoValueError

if TYPE_CHECKING:
    from opapywasm import PolicyConfig

__all__ = ["BEGINNING", "host_policy"]

BEGINNING = threading.Lock()
"""Held while an instance is made, of any module."""
_USUAL_PAGES = runtime._DEFAULT_MEMORY_PAGES  # noqa: SLF001  # no setting reaches it


class _Instance(OpaPolicyInstance):
    def _dispatch_builtin(self, builtin_id: int, ctx: int, arg_addrs: list[int]) -> int:
        try:
            return super()._dispatch_builtin(builtin_id, ctx, arg_addrs)
        except OpaBuiltinError as error:
            if isinstance(error.__cause__, NoValueError):
                return 0
            raise


class _Policy(OpaWasmPolicy):
    def _build_instance(self) -> OpaPolicyInstance:
        data, version = self._data_snapshot()
        with BEGINNING:
            # The library begins with two pages, whatever the module says that it needs, and has no
            # setting for it.
            runtime._DEFAULT_MEMORY_PAGES = max(_USUAL_PAGES, *self._pages())  # noqa: SLF001  # as above
            return self._instance(data, version)

    def _pages(self) -> list[int]:
        imports = self._factory.module.imports
        return [found.type.limits.min for found in imports if isinstance(found.type, MemoryType)]

    def _instance(self, data: bytes | None, version: int) -> OpaPolicyInstance:
        return _Instance(
            self._factory,
            self._config,
            self._abi_spec,
            initial_data=data,
            data_version=version,
            builtins=self._registry,
            epoch=self._factory.epoch,
        )


def host_policy(module: bytes, config: PolicyConfig | None = None) -> OpaWasmPolicy:
    """Compile a module with the functions of `BUILTINS`, in place of the library's own."""
    policy = _Policy(module, config)
    for name in policy.registered_builtins:
        policy._registry.unregister(name)  # noqa: SLF001  # pyproject.toml pins the library
    for name, function in BUILTINS.items():
        policy.register_builtin(name, function)
    return policy
