"""Facts: fingerprints, statements, envelopes, keys, the ledger, proofs and verification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit._lazy import lazy_names

if TYPE_CHECKING:
    from affidavit.lineage._bundle import BundleEntry, BundleReport, build_bundle, verify_bundle
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
    from affidavit.lineage._drain import Drained, Drainer, Made, drain_lock, open_writer
    from affidavit.lineage._envelope import (
        STATEMENT_TYPE,
        Envelope,
        pre_authentication_encoding,
        sign_envelope,
    )
    from affidavit.lineage._environment import environment_facts
    from affidavit.lineage._erasure import Erasure, erase_subject, held, scrub
    from affidavit.lineage._estimators import estimator_fingerprint
    from affidavit.lineage._file_cache import FileCache
    from affidavit.lineage._files import DirectoryManifest, directory_manifest, file_digest
    from affidavit.lineage._findings import Fault, Gap, UnclosedWriter, VerificationReport
    from affidavit.lineage._fingerprint import fingerprint, fingerprint_parts
    from affidavit.lineage._frames import table_fingerprint, table_tree
    from affidavit.lineage._index import derive_rows, statement_facts
    from affidavit.lineage._key_files import (
        has_passphrase,
        move_secret,
        read_key,
        read_secret,
        replace_key,
        write_key,
        write_secret,
    )
    from affidavit.lineage._key_uri import UriSigner, check_uri, open_signer, public_at
    from affidavit.lineage._keys import PublicKey, Signer, SigningKey
    from affidavit.lineage._ledger import Appending, Ledger
    from affidavit.lineage._merkle import (
        CompactRange,
        consistency_proof,
        inclusion_proof,
        leaf_hash,
        tree_root,
        verify_consistency,
        verify_inclusion,
    )
    from affidavit.lineage._model_key import (
        ModelKey,
        ModelVerifier,
        read_model_key,
        write_model_key,
    )
    from affidavit.lineage._model_signature import (
        GIT_PATHS,
        OMS_PREDICATE,
        SignedModel,
        open_signature,
        sign_manifest,
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
        MODEL_SIGNATURE,
        POLICY_BUNDLE,
        PROVENANCE,
        REPORT,
        RETENTION,
        RUN_FIELD,
        TEST_RESULT,
        TRUST_ROOT,
        VERDICT,
        VERDICT_FIELD,
        WAIVER,
    )
    from affidavit.lineage._proving import consistency_path, prove_entry, prove_extension
    from affidavit.lineage._record_kinds import record_id, record_time
    from affidavit.lineage._records import MAX_ENTRY, new_id, parse_entry, record_bytes, timestamp
    from affidavit.lineage._reindex import Reindexed, reindex
    from affidavit.lineage._retention import (
        Retained,
        RetentionRule,
        apply_retention,
        plan_retention,
        retention_facts,
    )
    from affidavit.lineage._schemas import schema_for
    from affidavit.lineage._spool import Durability, Spool
    from affidavit.lineage._spool_format import (
        MESSAGE,
        RECORDS,
        SPOOL_PAGE,
        list_segments,
        pack_record,
        pack_records,
        segment_sizes,
    )
    from affidavit.lineage._spool_reading import Lost, Message, Place, wipe
    from affidavit.lineage._stamp_rows import keep_stamp, newest_stamped, stamps_of
    from affidavit.lineage._statement import Resource, Statement, resources, statement_id
    from affidavit.lineage._store import Store, open_store, store_location
    from affidavit.lineage._strict_json import dump_json, parse_json
    from affidavit.lineage._table_tree import TableDiff, TableTree, diff_tables
    from affidavit.lineage._template import Hole, RecordTemplate
    from affidavit.lineage._time_stamp import (
        Stamped,
        TimeStamp,
        TimeStampAuthority,
        request_stamp,
        verify_stamp,
    )
    from affidavit.lineage._tlog_proof import TlogProof
    from affidavit.lineage._trust import Revocation, TrustedKey, TrustRoot, role_for
    from affidavit.lineage._trust_history import Revoked, TrustHistory
    from affidavit.lineage._verified_entries import VerifiedEntries
    from affidavit.lineage._verify import Progress, verify_ledger
    from affidavit.lineage._witness import AddCheckpoint, Answer, Witness

_SOURCES = {
    name: f"affidavit.lineage.{module}"
    for module, names in {
        "_bundle": "BundleEntry BundleReport build_bundle verify_bundle",
        "_checkpoint": "Checkpoint open_checkpoint",
        "_code": "code_facts",
        "_cosignature": "Cosignature Cosigner WitnessVerifier check_quorum cosignatures",
        "_digest": "Digest Fingerprint",
        "_drain": "Drained Drainer Made drain_lock open_writer",
        "_envelope": "STATEMENT_TYPE Envelope pre_authentication_encoding sign_envelope",
        "_environment": "environment_facts",
        "_erasure": "Erasure erase_subject held scrub",
        "_estimators": "estimator_fingerprint",
        "_file_cache": "FileCache",
        "_files": "DirectoryManifest directory_manifest file_digest",
        "_findings": "Fault Gap UnclosedWriter VerificationReport",
        "_fingerprint": "fingerprint fingerprint_parts",
        "_frames": "table_fingerprint table_tree",
        "_index": "derive_rows statement_facts",
        "_key_files": (
            "has_passphrase move_secret read_key read_secret replace_key write_key write_secret"
        ),
        "_key_uri": "UriSigner check_uri open_signer public_at",
        "_keys": "PublicKey Signer SigningKey",
        "_ledger": "Appending Ledger",
        "_merkle": (
            "CompactRange consistency_proof inclusion_proof leaf_hash tree_root "
            "verify_consistency verify_inclusion"
        ),
        "_model_key": "ModelKey ModelVerifier read_model_key write_model_key",
        "_model_signature": "GIT_PATHS OMS_PREDICATE SignedModel open_signature sign_manifest",
        "_note": "Note NoteSigner NoteVerifier sign_note",
        "_payloads": "PayloadVault SealedPayload check_disclosures",
        "_predicates": (
            "APPROVAL BUNDLE DATASET ERASURE EVALUATION_FIELD EXPLANATION GAP HOLD KINDS "
            "MODEL_SIGNATURE POLICY_BUNDLE PROVENANCE REPORT RETENTION RUN_FIELD TEST_RESULT "
            "TRUST_ROOT VERDICT VERDICT_FIELD WAIVER"
        ),
        "_proving": "consistency_path prove_entry prove_extension",
        "_record_kinds": "record_id record_time",
        "_records": "MAX_ENTRY new_id parse_entry record_bytes timestamp",
        "_reindex": "Reindexed reindex",
        "_retention": "Retained RetentionRule apply_retention plan_retention retention_facts",
        "_schemas": "schema_for",
        "_spool": "Durability Spool",
        "_spool_format": (
            "MESSAGE RECORDS SPOOL_PAGE list_segments pack_record pack_records segment_sizes"
        ),
        "_spool_reading": "Lost Message Place wipe",
        "_stamp_rows": "keep_stamp newest_stamped stamps_of",
        "_statement": "Resource Statement resources statement_id",
        "_store": "Store open_store store_location",
        "_strict_json": "dump_json parse_json",
        "_table_tree": "TableDiff TableTree diff_tables",
        "_template": "Hole RecordTemplate",
        "_time_stamp": "Stamped TimeStamp TimeStampAuthority request_stamp verify_stamp",
        "_tlog_proof": "TlogProof",
        "_trust": "Revocation TrustRoot TrustedKey role_for",
        "_trust_history": "Revoked TrustHistory",
        "_verified_entries": "VerifiedEntries",
        "_verify": "Progress verify_ledger",
        "_witness": "AddCheckpoint Answer Witness",
    }.items()
    for name in names.split()
}

# The extra that brings each library behind these names.
_EXTRAS = {
    "narwhals": "frames",
    "numpy": "frames",
    "pyarrow": "frames",
    "rfc3161_client": "timestamp",
}

__all__ = [
    "APPROVAL",
    "BUNDLE",
    "DATASET",
    "ERASURE",
    "EVALUATION_FIELD",
    "EXPLANATION",
    "GAP",
    "GIT_PATHS",
    "HOLD",
    "KINDS",
    "MAX_ENTRY",
    "MESSAGE",
    "MODEL_SIGNATURE",
    "OMS_PREDICATE",
    "POLICY_BUNDLE",
    "PROVENANCE",
    "RECORDS",
    "REPORT",
    "RETENTION",
    "RUN_FIELD",
    "SPOOL_PAGE",
    "STATEMENT_TYPE",
    "TEST_RESULT",
    "TRUST_ROOT",
    "VERDICT",
    "VERDICT_FIELD",
    "WAIVER",
    "AddCheckpoint",
    "Answer",
    "Appending",
    "BundleEntry",
    "BundleReport",
    "Checkpoint",
    "CompactRange",
    "Cosignature",
    "Cosigner",
    "Digest",
    "DirectoryManifest",
    "Drained",
    "Drainer",
    "Durability",
    "Envelope",
    "Erasure",
    "Fault",
    "FileCache",
    "Fingerprint",
    "Gap",
    "Hole",
    "Ledger",
    "Lost",
    "Made",
    "Message",
    "ModelKey",
    "ModelVerifier",
    "Note",
    "NoteSigner",
    "NoteVerifier",
    "PayloadVault",
    "Place",
    "Progress",
    "PublicKey",
    "RecordTemplate",
    "Reindexed",
    "Resource",
    "Retained",
    "RetentionRule",
    "Revocation",
    "Revoked",
    "SealedPayload",
    "SignedModel",
    "Signer",
    "SigningKey",
    "Spool",
    "Stamped",
    "Statement",
    "Store",
    "TableDiff",
    "TableTree",
    "TimeStamp",
    "TimeStampAuthority",
    "TlogProof",
    "TrustHistory",
    "TrustRoot",
    "TrustedKey",
    "UnclosedWriter",
    "UriSigner",
    "VerificationReport",
    "VerifiedEntries",
    "Witness",
    "WitnessVerifier",
    "apply_retention",
    "build_bundle",
    "check_disclosures",
    "check_quorum",
    "check_uri",
    "code_facts",
    "consistency_path",
    "consistency_proof",
    "cosignatures",
    "derive_rows",
    "diff_tables",
    "directory_manifest",
    "drain_lock",
    "dump_json",
    "environment_facts",
    "erase_subject",
    "estimator_fingerprint",
    "file_digest",
    "fingerprint",
    "fingerprint_parts",
    "has_passphrase",
    "held",
    "inclusion_proof",
    "keep_stamp",
    "leaf_hash",
    "list_segments",
    "move_secret",
    "new_id",
    "newest_stamped",
    "open_checkpoint",
    "open_signature",
    "open_signer",
    "open_store",
    "open_writer",
    "pack_record",
    "pack_records",
    "parse_entry",
    "parse_json",
    "plan_retention",
    "pre_authentication_encoding",
    "prove_entry",
    "prove_extension",
    "public_at",
    "read_key",
    "read_model_key",
    "read_secret",
    "record_bytes",
    "record_id",
    "record_time",
    "reindex",
    "replace_key",
    "request_stamp",
    "resources",
    "retention_facts",
    "role_for",
    "schema_for",
    "scrub",
    "segment_sizes",
    "sign_envelope",
    "sign_manifest",
    "sign_note",
    "stamps_of",
    "statement_facts",
    "statement_id",
    "store_location",
    "table_fingerprint",
    "table_tree",
    "timestamp",
    "tree_root",
    "verify_bundle",
    "verify_consistency",
    "verify_inclusion",
    "verify_ledger",
    "verify_stamp",
    "wipe",
    "write_key",
    "write_model_key",
    "write_secret",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, _SOURCES, _EXTRAS)
