"""The default engine: packs compiled to WebAssembly, run by wasmtime in this process."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from affidavit.errors import ConfigurationError, MissingDependencyError, PolicyEngineError
from affidavit.policies._builtins import BUILTINS
from affidavit.policies._canonical import MAX_BYTES, canonical_input, input_digest
from affidavit.policies._contract import parse_result
from affidavit.policies._decision import Decision
from affidavit.policies._engine import CacheProfile
from affidavit.policies._evaluation import evaluate, ran_out_of_time
from affidavit.policies._instants import cache_profile
from affidavit.policies._open import open_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from opapywasm import OpaWasmPolicy

    from affidavit.policies._manifest import Bundle

__all__ = ["EmbeddedEngine"]

# A fork copies locks in whatever state they are: one lock for all engines, held across the fork
# together with the host's, is consistent in the child.
_LOADING = threading.Lock()
_fork_guarded = False
_IMPORTED_IN = os.getpid()
# A module that was compiled before a fork is left alone in the child: its clock thread is gone,
# and finalising it could wait for that thread.
_ABANDONED: list[object] = []
_PAUSE_S = 5.0
"""For how long a module that could not be loaded is not tried again."""


def _guard_forks() -> None:
    global _fork_guarded  # noqa: PLW0603  # the hook is installed once for the process
    if _fork_guarded:
        return
    from opapywasm import runtime

    from affidavit.policies._host import BEGINNING

    # In the order in which they are taken; the last is the library's own.
    locks = (_LOADING, BEGINNING, runtime._NATIVE_LIFECYCLE_LOCK)  # noqa: SLF001  # inherited locked otherwise

    def hold() -> None:
        for lock in locks:
            lock.acquire()

    def release() -> None:
        for lock in reversed(locks):
            lock.release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=release)
    _fork_guarded = True


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    """Compile on this thread alone in a forked child.

    wasmtime compiles on a pool of threads that a fork does not copy, and would wait for them. The
    host makes its own configuration, so the class is exchanged while it does.
    """
    if os.getpid() == _IMPORTED_IN:
        yield
        return
    import wasmtime

    usual = wasmtime.Config

    class Serial(usual):  # type: ignore[misc, valid-type]  # a class held in a variable
        def __init__(self) -> None:
            super().__init__()
            self.parallel_compilation = False

    wasmtime.Config = Serial  # type: ignore[misc]  # put back below
    try:
        yield
    finally:
        wasmtime.Config = usual  # type: ignore[misc]  # what it was


def _close(pid: int, policy: OpaWasmPolicy) -> None:
    if os.getpid() == pid:
        threading.Thread(target=policy.close, name="affidavit-opa-close", daemon=True).start()


class EmbeddedEngine:
    """The packs in this process: no server, a deadline and a memory cap on every decision.

    Creating one is cheap: the module is read, checked and compiled by the first decision, once in
    each process. Threads may share it, and it works in a forked child.

    Args:
        data: What the organisation sets over the shipped defaults: tables merge, lists and values
            replace (see `merge_data`). None keeps the defaults.
        bundle: A folder that `build_packs` wrote, an archive that `write_bundle` or ``opa build``
            wrote (its path or its bytes), or a bundle; None is the one that comes with Affidavit.
        deadline_ms: Time allowed for one evaluation, in milliseconds, a wait for others included.
            The clock ticks every 10 ms.
        memory_pages: Memory that one evaluation may use, in pages of 64 KiB.
        concurrency: Evaluations that may run at once; others wait, at most for the deadline.
        digest_key: Key for the digest of the input (HMAC-SHA256); None gives a bare SHA-256.
        key: The public key in PEM that must have signed the bundle, which is then an archive.
        scope: What its signature must be for.

    Raises:
        ConfigurationError: The data name an unknown section, a number is not positive, or the key
            cannot be used.
        PolicyEngineError: The bundle is missing, its files are not those of its manifest, or its
            signature does not hold.
    """

    name = "opa-wasm"

    def __init__(
        self,
        *,
        data: Mapping[str, Any] | None = None,
        bundle: Bundle | Path | bytes | None = None,
        deadline_ms: int = 2000,
        memory_pages: int = 4096,
        concurrency: int = 2,
        digest_key: bytes | None = None,
        key: bytes | None = None,
        scope: str = "",
    ) -> None:
        if deadline_ms < 1 or memory_pages < 2 or concurrency < 1:
            raise ConfigurationError(
                f"The embedded engine needs deadline_ms ≥ 1, memory_pages ≥ 2 and concurrency ≥ 1; "
                f"found {deadline_ms}, {memory_pages} and {concurrency}."
            )
        self._bundle = open_bundle(bundle, key=key, scope=scope).with_data(data)
        self._digest = self._bundle.digest
        self._profiles = {
            name: cache_profile(volatile, self._bundle.data)
            for name, volatile in self._bundle.entrypoints.items()
        }
        self._deadline_ms = deadline_ms
        self._memory_pages = memory_pages
        self._concurrency = concurrency
        self._digest_key = digest_key
        self._loaded: tuple[int, OpaWasmPolicy] | None = None
        self._refused: tuple[int, float, str] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("An EmbeddedEngine holds native memory; create one in each process.")

    @property
    def bundle_digest(self) -> str:
        """``sha256:…`` of the module, its sources and the data in force."""
        return self._digest

    @property
    def version(self) -> str:
        """The version of OPA that compiled the module."""
        return self._bundle.opa_version

    @property
    def data(self) -> Mapping[str, Any]:
        """The data in force; not to be changed."""
        return self._bundle.data

    @property
    def bundle(self) -> Bundle:
        """The rules and data in force; `write_bundle` keeps them as one file."""
        return self._bundle

    @property
    def entrypoints(self) -> tuple[str, ...]:
        """The entry points of the bundle, in order."""
        return tuple(sorted(self._bundle.entrypoints))

    def cache_profile(self, entrypoint: str) -> CacheProfile:
        """What a cache may leave out of account for an entry point."""
        return self._profiles.get(entrypoint, CacheProfile())

    def load(self) -> None:
        """Compile the module now rather than with the first decision.

        Raises:
            PolicyEngineError: The module is not one that this host can run faithfully.
            MissingDependencyError: opa-py-wasm is not installed.
        """
        self._policy()

    def _policy(self) -> OpaWasmPolicy:
        pid = os.getpid()
        loaded = self._loaded
        if loaded is not None and loaded[0] == pid:
            return loaded[1]
        try:
            import opapywasm

            from affidavit.policies._host import host_policy
        except ImportError as error:
            raise PolicyEngineError(
                "The policy engine's library opapywasm is not installed.",
                hint="It belongs to the base; install Affidavit again: pip install affidavit.",
            ) from error
        _guard_forks()
        with _LOADING:
            loaded = self._loaded
            if loaded is not None and loaded[0] == pid:
                return loaded[1]
            if loaded is not None:
                _ABANDONED.append(loaded[1])
            refused = self._refused
            if refused is not None and refused[0] == pid and time.monotonic() < refused[1]:
                raise PolicyEngineError(refused[2])
            config = opapywasm.PolicyConfig(
                pool_size=self._concurrency,
                borrow_timeout_seconds=self._deadline_ms / 1000,
                eval_timeout_seconds=self._deadline_ms / 1000,
                max_memory_pages=self._memory_pages,
                max_input_bytes=MAX_BYTES,
                parse_raw_json_input=False,
            )
            try:
                with _compiling():
                    policy = host_policy(self._bundle.module, config)
                self._check(policy)
                policy.set_data(canonical_input(self._bundle.data))
            except (opapywasm.OpaWasmError, PolicyEngineError) as error:
                said = f"The policy module cannot be run: {error}."
                if isinstance(error, PolicyEngineError):
                    said = str(error)
                # Compiling takes a second of a core; not for every call that is denied.
                self._refused = (pid, time.monotonic() + _PAUSE_S, said)
                raise PolicyEngineError(said) from error
            # What is no longer used, as after a change of the bundle, gives its memory back. In a
            # thread of its own: the collector may run where the host holds its lock.
            weakref.finalize(self, _close, pid, policy).atexit = False
            self._loaded = (pid, policy)
            return policy

    def _check(self, policy: OpaWasmPolicy) -> None:
        needed = sorted(policy.builtins)
        said = sorted(self._bundle.manifest.get("builtins", needed))
        if needed != said:
            policy.close()
            raise PolicyEngineError(
                f"The policy module asks its host for {needed}, the manifest says {said}."
            )
        missing = sorted(set(needed) - set(BUILTINS))
        if missing:
            # A host's imitation of a function may decide differently from OPA, and one that looks
            # at the clock or the network could not be replayed: these are not given.
            policy.close()
            raise PolicyEngineError(
                f"The policy module needs functions that this host does not have: {missing}.",
                hint="Write the rules without them, or use an OPA server.",
            )
        if set(policy.entrypoints) != set(self._bundle.entrypoints):
            policy.close()
            raise PolicyEngineError(
                f"The policy module has the entry points {sorted(policy.entrypoints)}, the "
                f"manifest says {sorted(self._bundle.entrypoints)}."
            )

    def decide(self, entrypoint: str, input: Mapping[str, Any]) -> Decision:  # noqa: A002  # the contract's word
        """Decide one request; trouble is a denial with a rule ``engine.…`` or ``input.…``.

        Args:
            entrypoint: The rule to ask, such as ``affidavit/data_read``.
            input: The request, as in ``policies/schemas/input.schema.json``.

        Returns:
            The decision; it allows only where the rules plainly do.
        """
        start = time.perf_counter_ns()
        meta: dict[str, Any] = {
            "engine": self.name,
            "engine_version": self.version,
            "bundle_digest": self._digest,
        }

        def denied(rule: str, message: str) -> Decision:
            spent = time.perf_counter_ns() - start
            return Decision.denied(entrypoint, rule, message, duration_ns=spent, **meta)

        try:
            canonical = canonical_input(input)
        except PolicyEngineError as error:
            return denied("input.unserialisable", str(error))
        meta["input_digest"] = input_digest(canonical, self._digest_key)
        if entrypoint not in self._profiles:
            known = ", ".join(self.entrypoints)
            return denied(
                "engine.entrypoint_unknown",
                f"There is no entry point {entrypoint!r}; there are {known}.",
            )
        try:
            results = evaluate(self._policy(), canonical, entrypoint)
        except (PolicyEngineError, MissingDependencyError) as error:
            return denied("engine.unloadable", str(error))
        except Exception as error:  # noqa: BLE001  # whatever fails in the host must deny
            return denied(*self._reason(error))
        if len(results) != 1:
            return denied("engine.undefined", "The rules gave no result.")
        spent = time.perf_counter_ns() - start
        return parse_result(entrypoint, results[0], duration_ns=spent, **meta)

    def _reason(self, error: Exception) -> tuple[str, str]:
        if ran_out_of_time(error):
            return "engine.timeout", f"No decision within {self._deadline_ms} ms."
        # What wasmtime says goes on with the addresses of the stack.
        said = str(error).partition("\n")[0]
        return "engine.failed", f"The evaluation failed ({type(error).__name__}): {said}"
