"""Evidence bundles: one file from which a stranger checks some entries of a log.

```
README.txt  verify_evidence.py      how to check it by hand, and a verifier of one file
log.pub  checkpoint                 the log's verifier key, and its signed head
manifest.json                       a signed statement that lists the other members' digests
entries/12.json                     the exact bytes of an entry: a DSSE envelope or a record
proofs/12.tlog-proof                the proof that it is in the log (C2SP tlog-proof)
disclosed/12.json                   disclosures of a record's fields (RFC 9901 §4.2)
report.html                         the audit report, where there is one
timestamp.tsr                       an authority's time stamp on the checkpoint, where there is one
```

Every trust root up to the checkpoint is among the entries, so that each signature is checked
against the keys that were in force at its place in the log.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from affidavit.errors import EnvelopeError, VerificationError
from affidavit.lineage._check_statements import StatementCheck
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._cosignature import Cosignature, WitnessVerifier, check_quorum
from affidavit.lineage._envelope import STATEMENT_TYPE, Envelope
from affidavit.lineage._findings import Faults
from affidavit.lineage._keys import Signer
from affidavit.lineage._ledger import Ledger
from affidavit.lineage._note import NoteVerifier
from affidavit.lineage._payloads import check_disclosures
from affidavit.lineage._predicates import BUNDLE
from affidavit.lineage._proving import prove_entries
from affidavit.lineage._records import Parsed, parse_entry
from affidavit.lineage._statement import Resource, Statement
from affidavit.lineage._stored_zip import read_zip, write_zip
from affidavit.lineage._strict_json import dump_json, parse_json
from affidavit.lineage._time_stamp import Stamped, TimeStampAuthority, verify_stamp
from affidavit.lineage._tlog_proof import TlogProof
from affidavit.lineage._trust import TrustRoot

_FIXED = frozenset({"README.txt", "verify_evidence.py", "log.pub", "checkpoint", "manifest.json"})
_REPORT = "report.html"
_STAMP = "timestamp.tsr"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """An entry of a bundle, verified.

    Args:
        index: Its log index.
        parsed: What it says.
        disclosed: The personal data that is disclosed of it, by field.
    """

    index: int
    parsed: Parsed
    disclosed: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BundleReport:
    """What a bundle shows.

    Args:
        name: What it is about.
        actor: Who exported it.
        time: When, by the exporter's clock.
        signer: The identity whose key signed the manifest.
        checkpoint: The head of the log that every entry is under.
        entries: The entries, in log order.
        cosigned: The known witnesses that cosigned the checkpoint.
        report: Whether there is a report in it.
        stamped: The time stamp on the checkpoint, where it was asked for and holds.
    """

    name: str
    actor: str
    time: str
    signer: str
    checkpoint: Checkpoint
    entries: tuple[BundleEntry, ...]
    cosigned: tuple[Cosignature, ...]
    report: bool
    stamped: Stamped | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report, JSON-safe, without the disclosed values."""
        records = sum(isinstance(entry.parsed, dict) for entry in self.entries)
        return {
            "ok": True,
            "name": self.name,
            "exported_by": self.actor,
            "exported_at": self.time,
            "signed_by": self.signer,
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "entries": [entry.index for entry in self.entries],
            "statements": len(self.entries) - records,
            "records": records,
            "disclosed": {str(e.index): sorted(e.disclosed) for e in self.entries if e.disclosed},
            "witnesses": [one.witness.name for one in self.cosigned],
            "report": self.report,
            "time_stamp": self.stamped and self.stamped.to_dict(),
        }


def build_bundle(
    ledger: Ledger,
    indexes: Iterable[int],
    key: Signer,
    *,
    name: str,
    actor: str,
    time: str,
    checkpoint: bytes | None = None,
    disclosed: Mapping[int, Sequence[str]] | None = None,
    report: bytes | None = None,
    stamp: bytes | None = None,
) -> bytes:
    """Return a bundle of entries, verified as a stranger would.

    Args:
        ledger: The log.
        indexes: The entries' log indexes, every trust root's among them.
        key: A recorder's key, which signs the manifest.
        name: What the bundle is about.
        actor: Who exports it.
        time: When, RFC 3339 in UTC.
        checkpoint: A signed note that covers the entries; the newest by default.
        disclosed: Disclosures of records' fields, by log index.
        report: An HTML report.
        stamp: An authority's answer about the checkpoint, as it is kept; it is not verified here.

    Returns:
        The archive's bytes; the same for the same arguments.

    Raises:
        VerificationError: What would be exported does not hold.
        NotFoundError: There is no such entry.
    """
    note = checkpoint or ledger.checkpoint()
    head = open_checkpoint(note, ledger.verifier)
    chosen, opened = sorted(set(indexes)), dict(disclosed or {})
    folder = resources.files("affidavit.lineage") / "standalone"
    members = {
        "README.txt": (folder / "README.txt").read_bytes(),
        "verify_evidence.py": (folder / "verify_evidence.py").read_bytes(),
        "log.pub": f"{ledger.verifier}\n".encode(),
        "checkpoint": note,
    }
    for proof in prove_entries(ledger, chosen, note):
        members[f"entries/{proof.index}.json"] = ledger.entry(proof.index)
        members[f"proofs/{proof.index}.tlog-proof"] = proof.to_bytes()
    for index, items in opened.items():
        members[f"disclosed/{index}.json"] = dump_json(list(items))
    members |= {_REPORT: report} if report is not None else {}
    members |= {_STAMP: stamp} if stamp is not None else {}
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in members.items()}
    manifest = Statement(
        tuple(Resource(path, digests[path]) for path in sorted(members)),
        BUNDLE,
        {
            "name": name,
            "actor": actor,
            "time": time,
            "outcome": "exported",
            "origin": head.origin,
            "size": head.size,
            "root": head.root.hex(),
            "entries": chosen,
            "disclosed": sorted(opened),
        },
    )
    archive = write_zip({**members, "manifest.json": manifest.sign(key).to_bytes()})
    verify_bundle(archive, ledger.verifier)
    return archive


def verify_bundle(
    archive: bytes,
    verifier: NoteVerifier,
    *,
    witnesses: Sequence[WitnessVerifier] = (),
    quorum: int | None = None,
    authorities: Sequence[TimeStampAuthority] = (),
) -> BundleReport:
    """Accept a bundle, every byte of it, or raise.

    Args:
        archive: The bundle's bytes.
        verifier: The log's public key, from a place of the caller's own.
        witnesses: Witnesses whose cosignatures count.
        quorum: How many of them are needed; all by default.
        authorities: Authorities of which one must have stamped the checkpoint; none asks for no
            time stamp, and then the one that may be there is not looked at.

    Raises:
        VerificationError: Something does not hold; the error names the first such thing.
    """
    members = read_zip(archive)
    for name in _FIXED - set(members):
        raise VerificationError(f"The bundle has no {name}.", hint="Ask for it once more.")
    if members["log.pub"] != f"{verifier}\n".encode():
        raise VerificationError(
            "The bundle is of another log than the key that you gave.",
            hint="Make sure of the key: it comes from the log's operator, and not by this file.",
        )
    note = members["checkpoint"]
    head = open_checkpoint(note, verifier)
    cosigned = (
        check_quorum(note, witnesses, len(witnesses) if quorum is None else quorum)
        if witnesses
        else ()
    )
    envelope, manifest = _manifest(members, head)
    entries, root = _entries(members, verifier, manifest)
    identity = _signer(envelope, root)
    facts = manifest.predicate
    return BundleReport(
        str(facts["name"]),
        str(facts["actor"]),
        str(facts["time"]),
        identity,
        head,
        tuple(entries),
        cosigned,
        _REPORT in members,
        _stamped(members, head, authorities) if authorities else None,
    )


def _stamped(
    members: Mapping[str, bytes], head: Checkpoint, authorities: Sequence[TimeStampAuthority]
) -> Stamped:
    response = members.get(_STAMP)
    if response is None:
        raise VerificationError("The bundle holds no time stamp.")
    failure = VerificationError("Nobody may have stamped the checkpoint.")
    for authority in authorities:
        try:
            stamp = verify_stamp(authority, response, members["checkpoint"])
            return Stamped(head.size, stamp, response)
        except VerificationError as error:
            failure = error
    raise failure


def _manifest(members: Mapping[str, bytes], head: Checkpoint) -> tuple[Envelope, Statement]:
    envelope = Envelope.parse(members["manifest.json"])
    statement = Statement.parse(envelope.payload)
    facts = statement.predicate
    if envelope.payload_type != STATEMENT_TYPE or statement.predicate_type != BUNDLE:
        raise EnvelopeError("The manifest is not a bundle's statement.")
    if not all(isinstance(facts.get(name), str) for name in ("name", "actor", "time")):
        raise EnvelopeError("The manifest has a name, an actor and a time.")
    said = (facts.get("origin"), facts.get("size"), facts.get("root"))
    if said != (head.origin, head.size, head.root.hex()):
        raise EnvelopeError("The manifest is of another checkpoint than the one in the bundle.")
    indexes, opened = _indexes(facts.get("entries")), _indexes(facts.get("disclosed"))
    expected: set[str] = {*_FIXED} | {f"entries/{n}.json" for n in indexes}
    expected |= {f"proofs/{n}.tlog-proof" for n in indexes}
    expected |= {f"disclosed/{n}.json" for n in opened}
    if not set(opened) <= set(indexes):
        raise EnvelopeError("The manifest names disclosures of entries that are not in the bundle.")
    listed = {resource.name: resource.sha256 for resource in statement.subjects}
    expected |= {_REPORT, _STAMP} & set(listed)
    if len(listed) != len(statement.subjects) or {*listed, "manifest.json"} != expected:
        raise EnvelopeError("The manifest's subjects are not the members of the bundle.")
    for name in sorted(expected ^ set(members)):
        what = "is missing from" if name in expected else "does not belong in"
        raise VerificationError(f"The member {name[:80]!r} {what} the bundle.")
    for name, digest in listed.items():
        if hashlib.sha256(members[name]).hexdigest() != digest:
            raise VerificationError(f"The member {name!r} is not the one that the manifest lists.")
    return envelope, statement


def _indexes(value: object) -> list[int]:
    if not isinstance(value, list) or not all(
        type(n) is int and _NUMBER.fullmatch(str(n)) for n in value
    ):
        raise EnvelopeError("The manifest lists entries by their log indexes.")
    if sorted(set(value)) != value:
        raise EnvelopeError("The manifest lists each entry once, in log order.")
    return value


def _entries(
    members: Mapping[str, bytes], verifier: NoteVerifier, manifest: Statement
) -> tuple[list[BundleEntry], TrustRoot]:
    faults = Faults()
    check = StatementCheck(verifier, faults)
    opened = set(manifest.predicate["disclosed"])
    found: list[BundleEntry] = []
    for index in manifest.predicate["entries"]:
        body = members[f"entries/{index}.json"]
        try:
            _check_proof(members, index, body, verifier)
            parsed = parse_entry(body)
            check.entry(index, parsed)
            disclosed = _disclosed(members, index, parsed) if index in opened else {}
        except VerificationError as error:
            raise VerificationError(f"Entry {index}: {error.message}", index=index) from error
        for fault in faults.found:
            raise EnvelopeError(f"Entry {index}: {fault.message}", index=index)
        found.append(BundleEntry(index, parsed, disclosed))
    check.finish()
    for fault in check.distrusted.found:
        raise EnvelopeError(
            f"Entry {fault.index}: {fault.message}",
            hint="Evidence that rests on it has to be made anew.",
            index=fault.index,
        )
    if check.root is None:
        raise EnvelopeError("The bundle holds no trust root.")
    return found, check.root


def _check_proof(
    members: Mapping[str, bytes], index: int, body: bytes, verifier: NoteVerifier
) -> None:
    proof = TlogProof.parse(members[f"proofs/{index}.tlog-proof"])
    if proof.index != index or proof.checkpoint != members["checkpoint"]:
        raise VerificationError("its proof is of another entry or checkpoint.")
    proof.verify(body, verifier)


def _disclosed(members: Mapping[str, bytes], index: int, parsed: Parsed) -> Mapping[str, Any]:
    items = parse_json(members[f"disclosed/{index}.json"])
    if not isinstance(items, list) or not items or not all(isinstance(i, str) for i in items):
        raise VerificationError("its disclosures are a list of texts.")
    if not isinstance(parsed, dict):
        raise VerificationError("only a record's fields can be disclosed.")
    return check_disclosures(items, parsed.get("fields"))


def _signer(envelope: Envelope, root: TrustRoot) -> str:
    try:
        return root.keys[envelope.verify(root.find("recorder").get)].identity
    except EnvelopeError as error:
        raise EnvelopeError(f"The manifest: {error.message}") from error
