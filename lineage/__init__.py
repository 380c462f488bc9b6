"""Facts: fingerprints, statements, envelopes, keys, the ledger, proofs and verification."""

from __future__ import annotations

__all__: list[str] = []
