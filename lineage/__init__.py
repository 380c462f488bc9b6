"""Facts: fingerprints, statements, envelopes, keys, the ledger, proofs and verification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit._lazy import lazy_names

if TYPE_CHECKING:
    from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
    from affidavit.lineage._code import code_facts
    from affidavit.lineage._digest import Digest, Fingerprint
    from affidavit.lineage._envelope import (
        STATEMENT_TYPE,
        Envelope,
        pre_authentication_encoding,
        sign_envelope,
    )
    from affidavit.lineage._environment import environment_facts
    from affidavit.lineage._estimators import estimator_fingerprint
    from affidavit.lineage._files import directory_manifest, file_digest
    from affidavit.lineage._findings import Fault, VerificationReport
    from affidavit.lineage._fingerprint import fingerprint
    from affidavit.lineage._frames import table_fingerprint, table_tree
    from affidavit.lineage._index import derive_rows, statement_facts
    from affidavit.lineage._keys import (
        PublicKey,
        SigningKey,
        read_key,
        read_secret,
        write_key,
        write_secret,
    )
    from affidavit.lineage._ledger import Ledger
    from affidavit.lineage._merkle import (
        CompactRange,
        consistency_proof,
        inclusion_proof,
        leaf_hash,
        tree_root,
        verify_consistency,
        verify_inclusion,
    )
    from affidavit.lineage._note import Note, NoteSigner, NoteVerifier, sign_note
    from affidavit.lineage._payloads import PayloadVault, SealedPayload, check_disclosures
    from affidavit.lineage._predicates import (
        APPROVAL,
        DATASET,
        EVALUATION_FIELD,
        EXPLANATION,
        GAP,
        KINDS,
        PROVENANCE,
        REPORT,
        RUN_FIELD,
        TEST_RESULT,
        TRUST_ROOT,
        VERDICT,
        VERDICT_FIELD,
    )
    from affidavit.lineage._records import MAX_ENTRY, new_id, parse_entry, record_bytes, timestamp
    from affidavit.lineage._schemas import schema_for
    from affidavit.lineage._statement import Resource, Statement, resources, statement_id
    from affidavit.lineage._strict_json import dump_json, parse_json
    from affidavit.lineage._table_tree import diff_tables
    from affidavit.lineage._trust import TrustedKey, TrustRoot, role_for
    from affidavit.lineage._verify import Progress, verify_ledger

_SOURCES = {
    "APPROVAL": "affidavit.lineage._predicates",
    "Checkpoint": "affidavit.lineage._checkpoint",
    "CompactRange": "affidavit.lineage._merkle",
    "DATASET": "affidavit.lineage._predicates",
    "Digest": "affidavit.lineage._digest",
    "EVALUATION_FIELD": "affidavit.lineage._predicates",
    "EXPLANATION": "affidavit.lineage._predicates",
    "Envelope": "affidavit.lineage._envelope",
    "Fault": "affidavit.lineage._findings",
    "Fingerprint": "affidavit.lineage._digest",
    "GAP": "affidavit.lineage._predicates",
    "KINDS": "affidavit.lineage._predicates",
    "Ledger": "affidavit.lineage._ledger",
    "MAX_ENTRY": "affidavit.lineage._records",
    "Note": "affidavit.lineage._note",
    "NoteSigner": "affidavit.lineage._note",
    "NoteVerifier": "affidavit.lineage._note",
    "PROVENANCE": "affidavit.lineage._predicates",
    "PayloadVault": "affidavit.lineage._payloads",
    "Progress": "affidavit.lineage._verify",
    "PublicKey": "affidavit.lineage._keys",
    "REPORT": "affidavit.lineage._predicates",
    "RUN_FIELD": "affidavit.lineage._predicates",
    "Resource": "affidavit.lineage._statement",
    "STATEMENT_TYPE": "affidavit.lineage._envelope",
    "role_for": "affidavit.lineage._trust",
    "resources": "affidavit.lineage._statement",
    "schema_for": "affidavit.lineage._schemas",
    "SealedPayload": "affidavit.lineage._payloads",
    "SigningKey": "affidavit.lineage._keys",
    "Statement": "affidavit.lineage._statement",
    "TEST_RESULT": "affidavit.lineage._predicates",
    "TRUST_ROOT": "affidavit.lineage._predicates",
    "TrustRoot": "affidavit.lineage._trust",
    "TrustedKey": "affidavit.lineage._trust",
    "VERDICT": "affidavit.lineage._predicates",
    "VERDICT_FIELD": "affidavit.lineage._predicates",
    "VerificationReport": "affidavit.lineage._findings",
    "check_disclosures": "affidavit.lineage._payloads",
    "code_facts": "affidavit.lineage._code",
    "consistency_proof": "affidavit.lineage._merkle",
    "derive_rows": "affidavit.lineage._index",
    "diff_tables": "affidavit.lineage._table_tree",
    "directory_manifest": "affidavit.lineage._files",
    "dump_json": "affidavit.lineage._strict_json",
    "environment_facts": "affidavit.lineage._environment",
    "estimator_fingerprint": "affidavit.lineage._estimators",
    "file_digest": "affidavit.lineage._files",
    "fingerprint": "affidavit.lineage._fingerprint",
    "inclusion_proof": "affidavit.lineage._merkle",
    "leaf_hash": "affidavit.lineage._merkle",
    "new_id": "affidavit.lineage._records",
    "open_checkpoint": "affidavit.lineage._checkpoint",
    "parse_entry": "affidavit.lineage._records",
    "parse_json": "affidavit.lineage._strict_json",
    "pre_authentication_encoding": "affidavit.lineage._envelope",
    "read_key": "affidavit.lineage._keys",
    "read_secret": "affidavit.lineage._keys",
    "record_bytes": "affidavit.lineage._records",
    "sign_envelope": "affidavit.lineage._envelope",
    "sign_note": "affidavit.lineage._note",
    "statement_facts": "affidavit.lineage._index",
    "statement_id": "affidavit.lineage._statement",
    "table_fingerprint": "affidavit.lineage._frames",
    "table_tree": "affidavit.lineage._frames",
    "timestamp": "affidavit.lineage._records",
    "tree_root": "affidavit.lineage._merkle",
    "verify_consistency": "affidavit.lineage._merkle",
    "verify_inclusion": "affidavit.lineage._merkle",
    "verify_ledger": "affidavit.lineage._verify",
    "write_key": "affidavit.lineage._keys",
    "write_secret": "affidavit.lineage._keys",
}

# The extra that brings each library behind these names.
_EXTRAS = {"narwhals": "frames", "numpy": "frames", "pyarrow": "frames"}

__all__ = [
    "APPROVAL",
    "DATASET",
    "EVALUATION_FIELD",
    "EXPLANATION",
    "GAP",
    "KINDS",
    "MAX_ENTRY",
    "PROVENANCE",
    "REPORT",
    "RUN_FIELD",
    "STATEMENT_TYPE",
    "TEST_RESULT",
    "TRUST_ROOT",
    "VERDICT",
    "VERDICT_FIELD",
    "Checkpoint",
    "CompactRange",
    "Digest",
    "Envelope",
    "Fault",
    "Fingerprint",
    "Ledger",
    "Note",
    "NoteSigner",
    "NoteVerifier",
    "PayloadVault",
    "Progress",
    "PublicKey",
    "Resource",
    "SealedPayload",
    "SigningKey",
    "Statement",
    "TrustRoot",
    "TrustedKey",
    "VerificationReport",
    "check_disclosures",
    "code_facts",
    "consistency_proof",
    "derive_rows",
    "diff_tables",
    "directory_manifest",
    "dump_json",
    "environment_facts",
    "estimator_fingerprint",
    "file_digest",
    "fingerprint",
    "inclusion_proof",
    "leaf_hash",
    "new_id",
    "open_checkpoint",
    "parse_entry",
    "parse_json",
    "pre_authentication_encoding",
    "read_key",
    "read_secret",
    "record_bytes",
    "resources",
    "role_for",
    "schema_for",
    "sign_envelope",
    "sign_note",
    "statement_facts",
    "statement_id",
    "table_fingerprint",
    "table_tree",
    "timestamp",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
    "verify_ledger",
    "write_key",
    "write_secret",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, _SOURCES, _EXTRAS)
