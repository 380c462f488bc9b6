"""The predicate types that statements carry: standard ones first, ours where there is none.

Each of ours has a JSON Schema of its name in ``schemas/``.
"""

from __future__ import annotations

from types import MappingProxyType

PROVENANCE = "https://slsa.dev/provenance/v1"
"""A training or other run (SLSA provenance v1)."""
VERDICT = "https://slsa.dev/verification_summary/v1"
"""A gate's verdict (SLSA verification summary v1)."""
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
"""An evaluation (in-toto test result v0.1)."""

DATASET = "urn:affidavit:dataset:v1"
EXPLANATION = "urn:affidavit:explanation:v1"
APPROVAL = "urn:affidavit:approval:v1"
WAIVER = "urn:affidavit:waiver:v1"
TRUST_ROOT = "urn:affidavit:trust-root:v1"
GAP = "urn:affidavit:gap:v1"
REPORT = "urn:affidavit:report:v1"
ERASURE = "urn:affidavit:erasure:v1"
HOLD = "urn:affidavit:hold:v1"
RETENTION = "urn:affidavit:retention:v1"
BUNDLE = "urn:affidavit:bundle:v1"
MODEL_SIGNATURE = "urn:affidavit:model-signature:v1"
POLICY_BUNDLE = "urn:affidavit:policy-bundle:v1"

EVALUATION_FIELD = "urn:affidavit:evaluation:v1"
"""The extension field in which a test result carries metrics and fairness counts."""
VERDICT_FIELD = "urn:affidavit:verdict:v1"
"""The extension field in which a verification summary carries stage, findings and actor."""
RUN_FIELD = "urn:affidavit:run:v1"
"""The extension field in which a provenance carries status, metrics and environment."""

PERSONAL = MappingProxyType({APPROVAL: "approver", WAIVER: "waiver"})
"""The statements that a person signs in their own name, and the role that each needs."""

KINDS = MappingProxyType(
    {
        PROVENANCE: "run",
        VERDICT: "verdict",
        TEST_RESULT: "evaluation",
        DATASET: "dataset",
        EXPLANATION: "explanation",
        APPROVAL: "approval",
        WAIVER: "waiver",
        TRUST_ROOT: "trust-root",
        GAP: "gap",
        REPORT: "report",
        ERASURE: "erasure",
        HOLD: "hold",
        RETENTION: "retention",
        BUNDLE: "bundle",
        MODEL_SIGNATURE: "model-signature",
        POLICY_BUNDLE: "policy-bundle",
    }
)
"""The short name of each predicate type, as the index and the CLI show it."""
