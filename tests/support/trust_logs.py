"""Logs whose keys come and go, and both verifiers' word on each statement of them."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from logs import ORIGIN, TIME
from real import ROOT

from affidavit.errors import VerificationError
from affidavit.lineage import (
    Ledger,
    NoteSigner,
    PublicKey,
    Revocation,
    SigningKey,
    Statement,
    TrustedKey,
    TrustRoot,
    VerificationReport,
    _bundle,
    build_bundle,
    verify_bundle,
    verify_ledger,
)
from affidavit.lineage._keys import ECDSA_P256

SCRIPT = ROOT / "lineage" / "standalone" / "verify_evidence.py"


@dataclass(frozen=True)
class EcKey:
    """A P-256 key in memory that signs as a token does."""

    private: ec.EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> EcKey:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @property
    def public(self) -> PublicKey:
        point = self.private.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )
        return PublicKey(point, ECDSA_P256)

    @property
    def keyid(self) -> str:
        return self.public.keyid

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message, ec.ECDSA(SHA256()))


def _standalone():
    spec = importlib.util.spec_from_file_location("verify_evidence_trust", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ALONE = _standalone()


@dataclass
class TrustLog:
    """A log that begins with its log key and one recorder, ``scribe``, who is never touched."""

    folder: Path
    log: SigningKey = field(default_factory=SigningKey.generate)
    scribe: SigningKey = field(default_factory=SigningKey.generate)
    roots: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path = self.folder / "ledger.db"
        self.signer = NoteSigner(ORIGIN, self.log.private)
        self.ledger = Ledger(self.path, self.signer.verifier, signer=self.signer, create=True)
        self.root = (
            TrustRoot(ORIGIN)
            .with_key(TrustedKey("log", self.log.public, frozenset({"log"})))
            .with_key(TrustedKey("scribe", self.scribe.public, frozenset({"recorder"})))
        )
        self.put(self.root)

    def put(self, root: TrustRoot, *revoked: Revocation, key: SigningKey | None = None) -> int:
        """Append a trust root; what it lists is the base of the next one."""
        stated = TrustRoot(root.origin, root.keys, revoked)
        statement = stated.statement(actor="log", time=TIME, note="changed")
        (index,) = self.ledger.append([statement.sign(key or self.log).to_bytes()])
        self.root = root
        self.roots.append(index)
        return index

    def enrol(self, identity: str, key, role: str = "recorder") -> int:
        return self.put(self.root.with_key(TrustedKey(identity, key.public, frozenset({role}))))

    def say(self, statement: Statement, key) -> int:
        (index,) = self.ledger.append([statement.sign(key).to_bytes()])
        return index

    def verify(self) -> VerificationReport:
        return verify_ledger(self.path, self.signer.verifier)

    def bundle(self, *indexes: int) -> bytes:
        """A bundle of entries and every trust root, made without the check that ends its making."""
        check, _bundle.verify_bundle = _bundle.verify_bundle, lambda *_: None
        try:
            return build_bundle(
                self.ledger,
                {*self.roots, *indexes},
                self.scribe,
                name="x",
                actor="auditor",
                time=TIME,
            )
        finally:
            _bundle.verify_bundle = check

    def accepted(self, *indexes: int) -> bool:
        """What both verifiers say of a bundle, which has to be the same."""
        archive = self.bundle(*indexes)
        try:
            verify_bundle(archive, self.signer.verifier)
            ours = True
        except VerificationError:
            ours = False
        alone = self._alone(archive)
        assert alone == (0 if ours else 1), f"ours says {ours}, the program alone {alone}"
        return ours

    def _alone(self, archive: bytes) -> int:
        (self.folder / "evidence.zip").write_bytes(archive)
        (self.folder / "log.pub").write_text(f"{self.signer.verifier}\n")
        argv = sys.argv
        sys.argv = ["x", str(self.folder / "evidence.zip"), "--key", str(self.folder / "log.pub")]
        try:
            return ALONE.main()
        finally:
            sys.argv = argv
