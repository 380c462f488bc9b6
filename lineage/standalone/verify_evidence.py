# ruff: noqa: INP001  # a program of its own, which belongs to no package
"""Verifies an evidence bundle with the log's public key and nothing else of the log's operator.

Usage: python verify_evidence.py evidence.zip --key log.pub

It needs Python 3.9 or later and the package ``cryptography``, and shares no code with the program
that wrote the bundle. Exit code 0: everything holds; 1: something does not; 2: usage.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

STATEMENT = "application/vnd.in-toto+json"
MEMBER = re.compile(
    r"README\.txt|verify_evidence\.py|log\.pub|checkpoint|manifest\.json|report\.html|timestamp\.tsr"
    r"|entries/(0|[1-9][0-9]{0,18})\.json|proofs/(0|[1-9][0-9]{0,18})\.tlog-proof"
    r"|disclosed/(0|[1-9][0-9]{0,18})\.json"
)
LARGEST = 320 * 1024 * 1024
ED25519, P256 = "ed25519", "ecdsa-sha2-nistp256"
SPKI = {  # what stands before a raw key in its SubjectPublicKeyInfo: RFC 8410, RFC 5480
    ED25519: bytes.fromhex("302a300506032b6570032100"),
    P256: bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
}


class Refused(Exception):  # noqa: N818  # it is a verdict
    """Something in the bundle does not hold."""


def need(condition: object, message: str) -> None:
    """Refuse the bundle unless a condition holds."""
    if not condition:
        raise Refused(message)


def sha256(*parts: bytes) -> bytes:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


def base64_bytes(text: str) -> bytes:
    """Return the bytes of canonical standard base64."""
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 is not canonical")
    return data


def strict_json(data: bytes) -> Any:
    """Return a JSON document without duplicate keys or numbers that are none."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(found)) == len(found), "a JSON object has a key twice")
        return dict(found)

    def constant(name: str) -> Any:
        raise Refused(f"{name} is not JSON")

    return json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)


def check_signature(
    public: bytes, signature: bytes, message: bytes, whose: str, scheme: str = ED25519
) -> None:
    """Refuse a signature that does not verify under a key of the scheme that was stated for it."""
    try:
        if scheme == P256:
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
            point.verify(signature, message, ec.ECDSA(SHA256()))
        else:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused(f"the signature of {whose} does not verify") from None


def read_members(path: str) -> dict[str, bytes]:
    """Return the members of the archive, none of them compressed, unknown or twice."""
    size = Path(path).stat().st_size
    need(size <= LARGEST, "the archive is too large")
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        need(len(set(names)) == len(names), "a member stands twice in the archive")
        need(sum(info.file_size for info in infos) <= size, "members overlap in the archive")
        for info in infos:
            need(MEMBER.fullmatch(info.filename), f"{info.filename!r} does not belong in a bundle")
            need(info.compress_type == zipfile.ZIP_STORED, f"{info.filename} is compressed")
        return {name: archive.read(name) for name in names}


def read_key(text: str) -> tuple[str, bytes, bytes]:
    """Return name, key hash and public key of a verifier key (C2SP signed-note)."""
    name, hashed, encoded = text.strip().split("+", 2)
    blob = base64_bytes(encoded)
    need(blob[:1] == b"\x01" and len(blob) == 33, "the key is not an Ed25519 verifier key")
    key_hash = sha256(name.encode(), b"\n", blob)[:4]
    need(key_hash.hex() == hashed, "the key does not match its own hash")
    return name, key_hash, blob[1:]


def open_checkpoint(note: bytes, key: tuple[str, bytes, bytes]) -> tuple[int, bytes]:
    """Return size and root of a checkpoint that the log's key has signed."""
    text, blank, lines = note.decode("utf-8").rpartition("\n\n")
    need(blank and lines.endswith("\n"), "the checkpoint is not a signed note")
    signed = 0
    for line in lines[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        need(dash == "—", "a signature line does not begin with a dash")
        blob = base64_bytes(encoded)
        if (name, blob[:4]) == key[:2]:
            check_signature(key[2], blob[4:], (text + "\n").encode(), "the log")
            signed += 1
    need(signed, "the checkpoint is not signed by the key that you gave")
    origin, size, root, *_ = text.split("\n")
    need(origin == key[0], "the checkpoint is of another log")
    need(re.fullmatch(r"0|[1-9][0-9]{0,18}", size), "the tree size is not canonical")
    need(len(base64_bytes(root)) == 32, "the root is not a SHA-256 hash")
    return int(size), base64_bytes(root)


def check_proof(proof: bytes, index: int, entry: bytes, note: bytes, head: Any) -> None:
    """Refuse a proof that does not lead from the entry to the checkpoint (RFC 9162 2.1.3.2)."""
    top, blank, rest = proof.partition(b"\n\n")
    need(blank and rest == note, "the proof is of another checkpoint")
    header, *lines = top.decode("ascii").split("\n")
    need(header == "c2sp.org/tlog-proof@v1", "the proof has another format")
    need(lines and lines.pop(0) == f"index {index}", "the proof is of another entry")
    size, root = head
    need(index < size, "the entry is not in the tree")
    found, node, last = sha256(b"\x00", entry), index, size - 1
    for line in lines:
        step = base64_bytes(line)
        need(last and len(step) == 32, "the proof is malformed")
        if node & 1 or node == last:
            found = sha256(b"\x01", step, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = sha256(b"\x01", found, step)
        node, last = node >> 1, last >> 1
    need(last == 0 and found == root, "the proof does not lead to the root")


def open_envelope(value: Any, keys: dict[str, tuple[str, bytes]]) -> tuple[str, Any]:
    """Return key id and statement of a DSSE envelope that a trusted key signed first."""
    need(set(value) == {"payload", "payloadType", "signatures"}, "an envelope is malformed")
    need(value["payloadType"] == STATEMENT, "an envelope holds no in-toto statement")
    payload = base64_bytes(value["payload"])
    message = b"DSSEv1 %d %s %d %s" % (len(STATEMENT), STATEMENT.encode(), len(payload), payload)
    first = value["signatures"][0]["keyid"]
    need(first in keys, "a statement is not signed by a key with the role that it needs")
    for one in value["signatures"]:
        if one["keyid"] in keys:
            scheme, public = keys[one["keyid"]]
            check_signature(public, base64_bytes(one["sig"]), message, "a statement", scheme)
    statement = strict_json(payload)
    need(statement["_type"] == "https://in-toto.io/Statement/v1", "a statement has another type")
    return first, statement


def key_id(scheme: str, public: bytes) -> str:
    """Return the SHA-256 of a public key's SubjectPublicKeyInfo."""
    return sha256(SPKI[scheme], public).hex()


def read_trusted(key: dict[str, Any]) -> tuple[str, str, bytes]:
    """Return id, scheme and public key of a key in a trust root, unless it is weak or malformed."""
    (scheme,) = set(key) - {"identity", "keyid", "roles"}
    public = base64_bytes(key[scheme])
    if scheme == ED25519:
        check_ed25519(public)
    else:
        need(scheme == P256 and len(public) == 65 and public[0] == 4, "a key is malformed")
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        need(not {"log", "witness"} & set(key["roles"]), "a log's key is an Ed25519 key")
    need(set(key["roles"]) <= ROLES, "a key's role is unknown")
    need(isinstance(key["identity"], str) and key["identity"], "a key's identity is no text")
    need(key_id(scheme, public) == key["keyid"], "a key id is wrong")
    return key["keyid"], scheme, public


ROLES = {"log", "recorder", "approver", "waiver", "witness"}
PERSONAL = {"urn:affidavit:approval:v1": "approver", "urn:affidavit:waiver:v1": "waiver"}


def check_ed25519(public: bytes) -> None:
    """Refuse a key of small order (RFC 7748 4.1) or in a form that is not canonical."""
    prime = 2**255 - 19
    eighth = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    y = int.from_bytes(public, "little") & (2**255 - 1)
    weak = y >= prime or y in (0, 1, prime - 1, eighth, prime - eighth)
    need(len(public) == 32 and not weak, "a key is weak or not canonical")


class Trust:
    """The keys in force, as the trust roots among the entries say in log order."""

    def __init__(self, origin: str, log: bytes) -> None:
        self.origin, self.log = origin, {key_id(ED25519, log): (ED25519, log)}
        self.keys: list[dict[str, Any]] = []  # in force now
        self.owners: dict[str, str] = {}  # whose each key ever listed is
        self.revoked: dict[str, tuple[int, str]] = {}  # the first entry concerned, and why
        self.signed: list[tuple[int, str]] = []  # entry and key of each statement

    def having(self, role: str) -> dict[str, tuple[str, bytes]]:
        """Return the keys with a role, by key id, each with its scheme."""
        listed = [read_trusted(k) for k in self.keys if role in k["roles"]]
        return {keyid: (scheme, public) for keyid, scheme, public in listed}

    def check(self, index: int, envelope: Any) -> None:
        """Refuse a statement that the keys in force do not vouch for."""
        kind = strict_json(base64_bytes(envelope["payload"]))["predicateType"]
        if kind == "urn:affidavit:trust-root:v1":
            self.replace(index, open_envelope(envelope, self.log)[1]["predicate"])
            return
        role = PERSONAL.get(kind, "recorder")
        signer, statement = open_envelope(envelope, self.having(role))
        if kind in PERSONAL:
            (who,) = [key["identity"] for key in self.keys if key["keyid"] == signer]
            what = "an approval" if role == "approver" else "a waiver"
            need(statement["predicate"]["actor"] == who, f"{what} names another person")
        self.signed.append((index, signer))

    def replace(self, index: int, root: dict[str, Any]) -> None:
        """Put a trust root in force; a revocation reaches back, and is never taken back."""
        need(root["name"] == self.origin, "a trust root is of another log")
        new: dict[str, tuple[int, str]] = {}
        for one in root.get("revoked", []):
            since = one.get("since", index)
            need(type(since) is int and 0 <= since <= index, "a revocation's entry is malformed")
            need(re.fullmatch("[0-9a-f]{64}", one["keyid"]), "a revocation's key is malformed")
            need(one["keyid"] not in new, "a trust root revokes a key twice")
            need(set(one) <= {"keyid", "identity", "reason", "since"}, "a revocation is malformed")
            for part in (one["identity"], one["reason"]):
                need(isinstance(part, str) and part, "a revocation is malformed")
            new[one["keyid"]] = (since, one["reason"])
        need("revoked" not in root or new, "a list of revocations is empty")
        listed = {read_trusted(key)[0]: key for key in root["keys"]}
        need(len(listed) == len(root["keys"]), "a trust root lists a key twice")
        (log,) = self.log
        need("log" in listed[log]["roles"], "a trust root does not list the log's key")
        for keyid, key in listed.items():
            need(keyid not in self.revoked and keyid not in new, "a revoked key is listed again")
            need(self.owners.get(keyid, key["identity"]) == key["identity"], "a key changed hands")
            self.owners[keyid] = key["identity"]
        for keyid, found in new.items():
            self.revoked[keyid] = min(self.revoked.get(keyid, found), found)
        self.keys = root["keys"]

    def finish(self) -> None:
        """Refuse statements by keys that were revoked from an earlier entry on."""
        for index, signer in self.signed:
            since, why = self.revoked.get(signer, (index + 1, ""))
            need(index < since, f"entry {index} is by a key revoked from entry {since} on: {why}")


def check_disclosures(items: Any, record: Any) -> None:
    """Refuse disclosed fields that are not those of the record (RFC 9901 4.2)."""
    names = []
    for item in items:
        hashed = base64.urlsafe_b64encode(sha256(item.encode())).rstrip(b"=").decode()
        need(hashed in record["fields"], "a disclosed value is not the one logged")
        names.append(strict_json(base64.urlsafe_b64decode(item + "=" * (-len(item) % 4)))[1])
    need(names and len(set(names)) == len(names), "a field is disclosed twice, or none is")


def verify(path: str, key_text: str) -> str:
    """Return a sentence about a bundle that holds, or refuse it."""
    members, key = read_members(path), read_key(key_text)
    need(members["log.pub"].decode().strip() == key_text.strip(), "the bundle is of another log")
    head = open_checkpoint(members["checkpoint"], key)
    envelope = strict_json(members["manifest.json"])
    facts = strict_json(base64_bytes(envelope["payload"]))["predicate"]
    indexes = facts["entries"]
    need(sorted(set(indexes)) == indexes, "the manifest lists an entry twice, or out of order")
    trust = Trust(key[0], key[2])
    for index in indexes:
        entry = members[f"entries/{index}.json"]
        proof = members[f"proofs/{index}.tlog-proof"]
        check_proof(proof, index, entry, members["checkpoint"], head)
        value = strict_json(entry)
        if "record" not in value:
            trust.check(index, value)
        if index in facts["disclosed"]:
            check_disclosures(strict_json(members[f"disclosed/{index}.json"]), value)
    trust.finish()
    _, manifest = open_envelope(envelope, trust.having("recorder"))
    need(
        manifest["predicateType"] == "urn:affidavit:bundle:v1", "the manifest is another statement"
    )
    said = (facts["origin"], facts["size"], facts["root"])
    need(said == (key[0], head[0], head[1].hex()), "the manifest is of another checkpoint")
    listed = {item["name"]: item["digest"]["sha256"] for item in manifest["subject"]}
    need({*listed, "manifest.json"} == set(members), "members were added or are missing")
    for name, digest in listed.items():
        need(sha256(members[name]).hex() == digest, f"{name} is not the one that was exported")
    count = sum(name.startswith(("entries/", "proofs/")) for name in members)
    need(count == 2 * len(indexes), "the manifest does not list all entries")
    opened = {f"disclosed/{index}.json" for index in facts["disclosed"]}
    found = {name for name in members if name.startswith("disclosed/")}
    need(found == opened, "the manifest does not list all disclosures")
    unchecked = " (its time stamp was not checked: see README.txt)"
    stamped = unchecked if "timestamp.tsr" in members else ""
    return f"{len(indexes)} entries of {key[0]}, in its tree of {head[0]} entries{stamped}"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Verify an evidence bundle.")
    parser.add_argument("bundle")
    parser.add_argument("--key", required=True, help="a file with the log's public key")
    options = parser.parse_args()
    try:
        key = Path(options.key).read_text("utf-8")
        sys.stdout.write(f"Verified: {verify(options.bundle, key)}.\n")
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Refused as error:
        sys.stderr.write(f"NOT VERIFIED: {error}.\n")
        return 1
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        sys.stderr.write(f"NOT VERIFIED: malformed ({type(error).__name__}: {error}).\n")
        return 1
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        sys.stderr.write(f"NOT VERIFIED: not an archive ({error}).\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
