"""Facts: fingerprints, statements, envelopes, keys, the ledger, proofs and verification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit._lazy import lazy_names

if TYPE_CHECKING:
    from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
    from affidavit.lineage._envelope import (
        STATEMENT_TYPE,
        Envelope,
        pre_authentication_encoding,
        sign_envelope,
    )
    from affidavit.lineage._findings import Fault, VerificationReport
    from affidavit.lineage._index import derive_rows, statement_facts
    from affidavit.lineage._keys import (
        PublicKey,
        SigningKey,
        read_key,
        read_secret,
        write_key,
        write_secret,
    )
    from affidavit.lineage._ledger import MAX_ENTRY, Ledger
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
    from affidavit.lineage._records import new_id, parse_entry, record_bytes, timestamp
    from affidavit.lineage._statement import Resource, Statement, statement_id
    from affidavit.lineage._strict_json import dump_json, parse_json
    from affidavit.lineage._trust import TrustedKey, TrustRoot
    from affidavit.lineage._verify import Progress, verify_ledger

_SOURCES = {
    "APPROVAL": "affidavit.lineage._predicates",
    "Checkpoint": "affidavit.lineage._checkpoint",
    "CompactRange": "affidavit.lineage._merkle",
    "DATASET": "affidavit.lineage._predicates",
    "EVALUATION_FIELD": "affidavit.lineage._predicates",
    "EXPLANATION": "affidavit.lineage._predicates",
    "Envelope": "affidavit.lineage._envelope",
    "Fault": "affidavit.lineage._findings",
    "GAP": "affidavit.lineage._predicates",
    "MAX_ENTRY": "affidavit.lineage._ledger",
    "KINDS": "affidavit.lineage._predicates",
    "Ledger": "affidavit.lineage._ledger",
    "Note": "affidavit.lineage._note",
    "NoteSigner": "affidavit.lineage._note",
    "NoteVerifier": "affidavit.lineage._note",
    "PROVENANCE": "affidavit.lineage._predicates",
    "PayloadVault": "affidavit.lineage._payloads",
    "PublicKey": "affidavit.lineage._keys",
    "REPORT": "affidavit.lineage._predicates",
    "RUN_FIELD": "affidavit.lineage._predicates",
    "Resource": "affidavit.lineage._statement",
    "STATEMENT_TYPE": "affidavit.lineage._envelope",
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
    "consistency_proof": "affidavit.lineage._merkle",
    "derive_rows": "affidavit.lineage._index",
    "dump_json": "affidavit.lineage._strict_json",
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
    "timestamp": "affidavit.lineage._records",
    "tree_root": "affidavit.lineage._merkle",
    "verify_consistency": "affidavit.lineage._merkle",
    "verify_inclusion": "affidavit.lineage._merkle",
    "verify_ledger": "affidavit.lineage._verify",
    "write_key": "affidavit.lineage._keys",
    "write_secret": "affidavit.lineage._keys",
}

__all__ = [
    "APPROVAL",
    "Checkpoint",
    "CompactRange",
    "DATASET",
    "EVALUATION_FIELD",
    "EXPLANATION",
    "Envelope",
    "Fault",
    "GAP",
    "KINDS",
    "Ledger",
    "MAX_ENTRY",
    "Note",
    "NoteSigner",
    "NoteVerifier",
    "PROVENANCE",
    "PayloadVault",
    "PublicKey",
    "REPORT",
    "RUN_FIELD",
    "Resource",
    "STATEMENT_TYPE",
    "SealedPayload",
    "SigningKey",
    "Statement",
    "TEST_RESULT",
    "TRUST_ROOT",
    "TrustRoot",
    "TrustedKey",
    "VERDICT",
    "VERDICT_FIELD",
    "VerificationReport",
    "check_disclosures",
    "consistency_proof",
    "derive_rows",
    "dump_json",
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
    "sign_envelope",
    "sign_note",
    "statement_facts",
    "statement_id",
    "timestamp",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
    "verify_ledger",
    "write_key",
    "write_secret",
]

__getattr__ = lazy_names(__name__, _SOURCES)
