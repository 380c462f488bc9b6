"""Rules: Rego packs, policy engines, decisions and obligations.

An engine answers `Engine.decide` with a `Decision`; trouble of any kind is a denial. The packs that
come with Affidavit are compiled to WebAssembly and run in this process (`EmbeddedEngine`) or by an
OPA server (`OpaServerEngine`), with the same decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit._lazy import lazy_names

if TYPE_CHECKING:
    from affidavit.policies._apply_frame import apply_obligations
    from affidavit.policies._apply_record import apply_to_record, apply_to_records
    from affidavit.policies._archive import read_bundle, write_bundle
    from affidavit.policies._build import build_packs, check_packs
    from affidavit.policies._builtins import host_builtins
    from affidavit.policies._cache import CachedEngine
    from affidavit.policies._canonical import canonical_input, input_digest
    from affidavit.policies._clean_frame import TAGS_KEY, tags_in_metadata
    from affidavit.policies._contract import parse_result
    from affidavit.policies._decision import Decision, Finding, Obligation
    from affidavit.policies._detect import TagProposal, propose_tags
    from affidavit.policies._embedded import EmbeddedEngine
    from affidavit.policies._engine import CacheProfile, Engine
    from affidavit.policies._frameworks import EVIDENCE_KINDS, Clause, Framework, frameworks
    from affidavit.policies._hidden import check_fields, nested_fields, value_fields
    from affidavit.policies._manifest import Bundle
    from affidavit.policies._obligations import AppliedObligation, merge_obligations, plan
    from affidavit.policies._open import open_bundle
    from affidavit.policies._packtest import (
        PackTestCase,
        PackTestReport,
        check_style,
        run_pack_tests,
    )
    from affidavit.policies._rules import Rule, judged_rules, rule_catalogue
    from affidavit.policies._server import OpaServerEngine, is_loopback
    from affidavit.policies._server_bundle import ServerBundle, server_bundle
    from affidavit.policies._standby import StandbyEngine
    from affidavit.policies._standing_digest import StandingDigest

_SOURCES = {
    "AppliedObligation": "affidavit.policies._obligations",
    "Bundle": "affidavit.policies._manifest",
    "CacheProfile": "affidavit.policies._engine",
    "CachedEngine": "affidavit.policies._cache",
    "Clause": "affidavit.policies._frameworks",
    "Decision": "affidavit.policies._decision",
    "EVIDENCE_KINDS": "affidavit.policies._frameworks",
    "EmbeddedEngine": "affidavit.policies._embedded",
    "Engine": "affidavit.policies._engine",
    "Finding": "affidavit.policies._decision",
    "Framework": "affidavit.policies._frameworks",
    "Obligation": "affidavit.policies._decision",
    "OpaServerEngine": "affidavit.policies._server",
    "PackTestCase": "affidavit.policies._packtest",
    "PackTestReport": "affidavit.policies._packtest",
    "Rule": "affidavit.policies._rules",
    "ServerBundle": "affidavit.policies._server_bundle",
    "StandbyEngine": "affidavit.policies._standby",
    "TAGS_KEY": "affidavit.policies._clean_frame",
    "TagProposal": "affidavit.policies._detect",
    "StandingDigest": "affidavit.policies._standing_digest",
    "apply_obligations": "affidavit.policies._apply_frame",
    "apply_to_record": "affidavit.policies._apply_record",
    "apply_to_records": "affidavit.policies._apply_record",
    "build_packs": "affidavit.policies._build",
    "canonical_input": "affidavit.policies._canonical",
    "check_fields": "affidavit.policies._hidden",
    "check_packs": "affidavit.policies._build",
    "frameworks": "affidavit.policies._frameworks",
    "check_style": "affidavit.policies._packtest",
    "host_builtins": "affidavit.policies._builtins",
    "input_digest": "affidavit.policies._canonical",
    "is_loopback": "affidavit.policies._server",
    "judged_rules": "affidavit.policies._rules",
    "merge_obligations": "affidavit.policies._obligations",
    "nested_fields": "affidavit.policies._hidden",
    "open_bundle": "affidavit.policies._open",
    "parse_result": "affidavit.policies._contract",
    "plan": "affidavit.policies._obligations",
    "propose_tags": "affidavit.policies._detect",
    "read_bundle": "affidavit.policies._archive",
    "rule_catalogue": "affidavit.policies._rules",
    "run_pack_tests": "affidavit.policies._packtest",
    "server_bundle": "affidavit.policies._server_bundle",
    "tags_in_metadata": "affidavit.policies._clean_frame",
    "value_fields": "affidavit.policies._hidden",
    "write_bundle": "affidavit.policies._archive",
}
# The extra that brings each library behind these names.
_EXTRAS = {"opa_client": "opa", "narwhals": "frames", "pyarrow": "frames"}

__all__ = [
    "EVIDENCE_KINDS",
    "TAGS_KEY",
    "AppliedObligation",
    "Bundle",
    "CacheProfile",
    "CachedEngine",
    "Clause",
    "Decision",
    "EmbeddedEngine",
    "Engine",
    "Finding",
    "Framework",
    "Obligation",
    "OpaServerEngine",
    "PackTestCase",
    "PackTestReport",
    "Rule",
    "ServerBundle",
    "StandbyEngine",
    "StandingDigest",
    "TagProposal",
    "apply_obligations",
    "apply_to_record",
    "apply_to_records",
    "build_packs",
    "canonical_input",
    "check_fields",
    "check_packs",
    "check_style",
    "frameworks",
    "host_builtins",
    "input_digest",
    "is_loopback",
    "judged_rules",
    "merge_obligations",
    "nested_fields",
    "open_bundle",
    "parse_result",
    "plan",
    "propose_tags",
    "read_bundle",
    "rule_catalogue",
    "run_pack_tests",
    "server_bundle",
    "tags_in_metadata",
    "value_fields",
    "write_bundle",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, _SOURCES, _EXTRAS)
