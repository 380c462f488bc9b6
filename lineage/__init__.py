"""Facts: fingerprints, statements, envelopes, keys, the ledger, proofs and verification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit._lazy import lazy_names

if TYPE_CHECKING:
    from affidavit.lineage._bundle import (
        BundleEntry,
        BundleReport,
        build_bundle,
        verify_bundle,
    )
    from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
    from affidavit.lineage._code import code_facts
    from affidavit.lineage._cosignature import (
        Cosignature,
        Cosigner,
        WitnessVerifier,
        check_quorum,
        cosignatures,
    )
    from affidavit.lineage._digest import Digest, Fingerprint
    from affidavit.lineage._envelope import (
        STATEMENT_TYPE,
        Envelope,
        pre_authentication_encoding,
        sign_envelope,
    )
    from affidavit.lineage._environment import environment_facts
    from affidavit.lineage._erasure import Erasure, erase_subject, held, scrub
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
        BUNDLE,
        DATASET,
        ERASURE,
        EVALUATION_FIELD,
        EXPLANATION,
        GAP,
        HOLD,
        KINDS,
        PROVENANCE,
        REPORT,
        RUN_FIELD,
        TEST_RESULT,
        TRUST_ROOT,
        VERDICT,
        VERDICT_FIELD,
    )
    from affidavit.lineage._proving import consistency_path, prove_entry, prove_extension
    from affidavit.lineage._records import MAX_ENTRY, new_id, parse_entry, record_bytes, timestamp
    from affidavit.lineage._reindex import Reindexed, reindex
    from affidavit.lineage._schemas import schema_for
    from affidavit.lineage._statement import Resource, Statement, resources, statement_id
    from affidavit.lineage._strict_json import dump_json, parse_json
    from affidavit.lineage._table_tree import diff_tables
    from affidavit.lineage._tlog_proof import TlogProof
    from affidavit.lineage._trust import TrustedKey, TrustRoot, role_for
    from affidavit.lineage._verify import Progress, verify_ledger
    from affidavit.lineage._witness import AddCheckpoint, Answer, Witness

_SOURCES = {
    "APPROVAL": "affidavit.lineage._predicates",
    "AddCheckpoint": "affidavit.lineage._witness",
    "Answer": "affidavit.lineage._witness",
    "BUNDLE": "affidavit.lineage._predicates",
    "BundleEntry": "affidavit.lineage._bundle",
    "BundleReport": "affidavit.lineage._bundle",
    "Checkpoint": "affidavit.lineage._checkpoint",
    "CompactRange": "affidavit.lineage._merkle",
    "Cosignature": "affidavit.lineage._cosignature",
    "Cosigner": "affidavit.lineage._cosignature",
    "DATASET": "affidavit.lineage._predicates",
    "Digest": "affidavit.lineage._digest",
    "ERASURE": "affidavit.lineage._predicates",
    "EVALUATION_FIELD": "affidavit.lineage._predicates",
    "EXPLANATION": "affidavit.lineage._predicates",
    "Envelope": "affidavit.lineage._envelope",
    "Erasure": "affidavit.lineage._erasure",
    "Fault": "affidavit.lineage._findings",
    "Fingerprint": "affidavit.lineage._digest",
    "GAP": "affidavit.lineage._predicates",
    "HOLD": "affidavit.lineage._predicates",
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
    "Reindexed": "affidavit.lineage._reindex",
    "Resource": "affidavit.lineage._statement",
    "STATEMENT_TYPE": "affidavit.lineage._envelope",
    "SealedPayload": "affidavit.lineage._payloads",
    "SigningKey": "affidavit.lineage._keys",
    "Statement": "affidavit.lineage._statement",
    "TEST_RESULT": "affidavit.lineage._predicates",
    "TRUST_ROOT": "affidavit.lineage._predicates",
    "TlogProof": "affidavit.lineage._tlog_proof",
    "TrustRoot": "affidavit.lineage._trust",
    "TrustedKey": "affidavit.lineage._trust",
    "VERDICT": "affidavit.lineage._predicates",
    "VERDICT_FIELD": "affidavit.lineage._predicates",
    "VerificationReport": "affidavit.lineage._findings",
    "Witness": "affidavit.lineage._witness",
    "WitnessVerifier": "affidavit.lineage._cosignature",
    "build_bundle": "affidavit.lineage._bundle",
    "check_disclosures": "affidavit.lineage._payloads",
    "check_quorum": "affidavit.lineage._cosignature",
    "code_facts": "affidavit.lineage._code",
    "consistency_path": "affidavit.lineage._proving",
    "consistency_proof": "affidavit.lineage._merkle",
    "cosignatures": "affidavit.lineage._cosignature",
    "derive_rows": "affidavit.lineage._index",
    "diff_tables": "affidavit.lineage._table_tree",
    "directory_manifest": "affidavit.lineage._files",
    "dump_json": "affidavit.lineage._strict_json",
    "environment_facts": "affidavit.lineage._environment",
    "erase_subject": "affidavit.lineage._erasure",
    "estimator_fingerprint": "affidavit.lineage._estimators",
    "file_digest": "affidavit.lineage._files",
    "fingerprint": "affidavit.lineage._fingerprint",
    "held": "affidavit.lineage._erasure",
    "inclusion_proof": "affidavit.lineage._merkle",
    "leaf_hash": "affidavit.lineage._merkle",
    "new_id": "affidavit.lineage._records",
    "open_checkpoint": "affidavit.lineage._checkpoint",
    "parse_entry": "affidavit.lineage._records",
    "parse_json": "affidavit.lineage._strict_json",
    "pre_authentication_encoding": "affidavit.lineage._envelope",
    "prove_entry": "affidavit.lineage._proving",
    "prove_extension": "affidavit.lineage._proving",
    "read_key": "affidavit.lineage._keys",
    "read_secret": "affidavit.lineage._keys",
    "record_bytes": "affidavit.lineage._records",
    "reindex": "affidavit.lineage._reindex",
    "resources": "affidavit.lineage._statement",
    "role_for": "affidavit.lineage._trust",
    "schema_for": "affidavit.lineage._schemas",
    "scrub": "affidavit.lineage._erasure",
    "sign_envelope": "affidavit.lineage._envelope",
    "sign_note": "affidavit.lineage._note",
    "statement_facts": "affidavit.lineage._index",
    "statement_id": "affidavit.lineage._statement",
    "table_fingerprint": "affidavit.lineage._frames",
    "table_tree": "affidavit.lineage._frames",
    "timestamp": "affidavit.lineage._records",
    "tree_root": "affidavit.lineage._merkle",
    "verify_bundle": "affidavit.lineage._bundle",
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
    "BUNDLE",
    "DATASET",
    "ERASURE",
    "EVALUATION_FIELD",
    "EXPLANATION",
    "GAP",
    "HOLD",
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
    "AddCheckpoint",
    "Answer",
    "BundleEntry",
    "BundleReport",
    "Checkpoint",
    "CompactRange",
    "Cosignature",
    "Cosigner",
    "Digest",
    "Envelope",
    "Erasure",
    "Fault",
    "Fingerprint",
    "Ledger",
    "Note",
    "NoteSigner",
    "NoteVerifier",
    "PayloadVault",
    "Progress",
    "PublicKey",
    "Reindexed",
    "Resource",
    "SealedPayload",
    "SigningKey",
    "Statement",
    "TlogProof",
    "TrustRoot",
    "TrustedKey",
    "VerificationReport",
    "Witness",
    "WitnessVerifier",
    "build_bundle",
    "check_disclosures",
    "check_quorum",
    "code_facts",
    "consistency_path",
    "consistency_proof",
    "cosignatures",
    "derive_rows",
    "diff_tables",
    "directory_manifest",
    "dump_json",
    "environment_facts",
    "erase_subject",
    "estimator_fingerprint",
    "file_digest",
    "fingerprint",
    "held",
    "inclusion_proof",
    "leaf_hash",
    "new_id",
    "open_checkpoint",
    "parse_entry",
    "parse_json",
    "pre_authentication_encoding",
    "prove_entry",
    "prove_extension",
    "read_key",
    "read_secret",
    "record_bytes",
    "reindex",
    "resources",
    "role_for",
    "schema_for",
    "scrub",
    "sign_envelope",
    "sign_note",
    "statement_facts",
    "statement_id",
    "table_fingerprint",
    "table_tree",
    "timestamp",
    "tree_root",
    "verify_bundle",
    "verify_consistency",
    "verify_inclusion",
    "verify_ledger",
    "write_key",
    "write_secret",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, _SOURCES, _EXTRAS)
