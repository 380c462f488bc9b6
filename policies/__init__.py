"""Rules: Rego packs, policy engines, decisions and obligations.

An engine answers `Engine.decide` with a `Decision`; trouble of any kind is a denial. The packs that
come with Affidavit are compiled to WebAssembly and run in this process (`EmbeddedEngine`) or by an
OPA server (`OpaServerEngine`), with the same decisions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affidavit.policies._apply_frame import apply_obligations
    from affidavit.policies._apply_record import apply_to_record
    from affidavit.policies._build import build_packs, check_packs
    from affidavit.policies._cache import CachedEngine
    from affidavit.policies._canonical import canonical_input
    from affidavit.policies._contract import parse_result
    from affidavit.policies._decision import Decision, Finding, Obligation
    from affidavit.policies._embedded import EmbeddedEngine
    from affidavit.policies._engine import CacheProfile, Engine
    from affidavit.policies._obligations import AppliedObligation, merge_obligations
    from affidavit.policies._packtest import PackTestCase, PackTestReport, run_pack_tests
    from affidavit.policies._server import OpaServerEngine
    from affidavit.policies._server_bundle import ServerBundle, server_bundle

_LAZY = {
    "AppliedObligation": "_obligations",
    "CacheProfile": "_engine",
    "CachedEngine": "_cache",
    "Decision": "_decision",
    "EmbeddedEngine": "_embedded",
    "Engine": "_engine",
    "Finding": "_decision",
    "Obligation": "_decision",
    "OpaServerEngine": "_server",
    "PackTestCase": "_packtest",
    "PackTestReport": "_packtest",
    "ServerBundle": "_server_bundle",
    "apply_obligations": "_apply_frame",
    "apply_to_record": "_apply_record",
    "build_packs": "_build",
    "canonical_input": "_canonical",
    "check_packs": "_build",
    "merge_obligations": "_obligations",
    "parse_result": "_contract",
    "run_pack_tests": "_packtest",
    "server_bundle": "_server_bundle",
}

__all__ = [
    "AppliedObligation",
    "CacheProfile",
    "CachedEngine",
    "Decision",
    "EmbeddedEngine",
    "Engine",
    "Finding",
    "Obligation",
    "OpaServerEngine",
    "PackTestCase",
    "PackTestReport",
    "ServerBundle",
    "apply_obligations",
    "apply_to_record",
    "build_packs",
    "canonical_input",
    "check_packs",
    "merge_obligations",
    "parse_result",
    "run_pack_tests",
    "server_bundle",
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
