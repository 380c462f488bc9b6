"""Model signatures in the OpenSSF Model Signing format, version 1.0, by elliptic-curve keys.

A signature file is a Sigstore bundle (``application/vnd.dev.sigstore.bundle.v0.3+json``) around a
DSSE envelope around an in-toto statement of the type ``https://model_signing/signature/v1.0``:

    {"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
     "verificationMaterial":{"publicKey":{"hint":"5d83e143…"},"tlogEntries":[]},
     "dsseEnvelope":{"payload":"eyJfdHlw…","payloadType":"application/vnd.in-toto+json",
                     "signatures":[{"sig":"MEQCIH…","keyid":""}]}}

and the statement, whose subject is SHA-256 over the files' raw digests in their order:

    {"_type":"https://in-toto.io/Statement/v1",
     "subject":[{"name":"m","digest":{"sha256":"435abc6d…"}}],
     "predicateType":"https://model_signing/signature/v1.0",
     "predicate":{"serialization":{"method":"files","hash_type":"sha256","allow_symlinks":false,
                                   "ignore_paths":[".git","model.sig"]},
                  "resources":[{"name":"d/b","algorithm":"sha256","digest":"3bb2abb6…"}]}}

What is read here and what is not: files as wholes, under sha256 or blake3, signed by one key. Not
shards, not certificates or Sigstore identities, not the forms from before version 1.0 (whose
signed bytes are ambiguous). Other members of the predicate are ignored, as version 1.0 asks.
Symbolic links are not followed, even where the signer did.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from affidavit.errors import EnvelopeError, FingerprintError, VerificationError
from affidavit.lineage._digest import Digest
from affidavit.lineage._envelope import STATEMENT_TYPE, pre_authentication_encoding
from affidavit.lineage._files import FILE_RECIPE, DirectoryManifest
from affidavit.lineage._strict_json import dump_json, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from affidavit.lineage._model_key import ModelKey, ModelVerifier

OMS_PREDICATE = "https://model_signing/signature/v1.0"
"""The predicate type of a model signature's own statement."""
GIT_PATHS = (".git", ".gitattributes", ".github", ".gitignore")
"""What the model_signing tool leaves out unless told otherwise, and so do we."""
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_HASHES = ("sha256", "blake3")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class SignedModel:
    """What a signature that verified says of a model.

    Args:
        name: What the signer's directory was called; nothing is checked against it.
        manifest: The files with their digests, and the paths that were left out. Its size is not
            known, and 0.
    """

    name: str
    manifest: DirectoryManifest

    def check(self, found: DirectoryManifest) -> None:
        """Accept a directory as the one that was signed, or raise.

        Args:
            found: The directory's manifest, under the same hash algorithm.

        Raises:
            VerificationError: A file is missing, was added or has other content; each is named,
                up to a few.
        """
        signed, there = dict(self.manifest.files), dict(found.files)
        troubles = [
            ("is missing", [name for name in signed if name not in there]),
            ("was not signed", [name for name in there if name not in signed]),
            ("was changed", [n for n in signed if n in there and signed[n] != there[n]]),
        ]
        said = [_list(names, what) for what, names in troubles if names]
        if said:
            raise VerificationError(
                f"The directory is not the model {self.name!r} that was signed: {'; '.join(said)}.",
                hint="Do not load it; get the model again from whoever signed it.",
            )


def sign_manifest(manifest: DirectoryManifest, name: str, key: ModelKey) -> bytes:
    """Return the signature file over a directory's manifest.

    Args:
        manifest: The manifest; sha256 or blake3.
        name: What the model is called in the signature.
        key: The signer's key.

    Raises:
        FingerprintError: There is no file, or the hash algorithm is not one of the format's.
    """
    if not manifest.files:
        raise FingerprintError("There is no file to sign.", hint="Name the model's directory.")
    if manifest.algorithm not in _HASHES:
        raise FingerprintError(
            f"Model signatures have no hash algorithm {manifest.algorithm!r}.",
            hint=f"Use one of: {', '.join(_HASHES)}.",
        )
    payload = dump_json(
        {
            "_type": _STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": manifest.oms_root}}],
            "predicateType": OMS_PREDICATE,
            "predicate": manifest.predicate,
        }
    )
    signature = key.sign(pre_authentication_encoding(STATEMENT_TYPE, payload))
    return dump_json(
        {
            "mediaType": _BUNDLE,
            "verificationMaterial": {
                "publicKey": {"hint": key.verifier.hint},
                "tlogEntries": [],
            },
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": STATEMENT_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }
    )


def open_signature(data: bytes, verifier: ModelVerifier) -> SignedModel:
    """Return what a signature file says, after its signature was checked.

    Args:
        data: The file's bytes.
        verifier: The signer's public key, from a place of the caller's own.

    Raises:
        EnvelopeError: It is no such file, it is by another key, the signature does not hold, or
            the statement contradicts itself.
    """
    bundle = _object(parse_json(data), {"mediaType", "verificationMaterial", "dsseEnvelope"})
    if bundle["mediaType"] != _BUNDLE:
        raise EnvelopeError(f"A model signature is {_BUNDLE}, not {bundle['mediaType']!r:.100}.")
    _check_material(bundle["verificationMaterial"], verifier)
    envelope = _object(bundle["dsseEnvelope"], {"payload", "payloadType", "signatures"})
    if envelope["payloadType"] != STATEMENT_TYPE:
        raise EnvelopeError("A model signature's payload is an in-toto statement.")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise EnvelopeError("A model signature has exactly one signature.")
    signature = signatures[0]
    if not isinstance(signature, dict) or not {"sig"} <= set(signature) <= {"sig", "keyid"}:
        raise EnvelopeError("A model signature has sig and keyid, no more.")
    payload = _base64(envelope["payload"])
    verifier.verify(_base64(signature["sig"]), pre_authentication_encoding(STATEMENT_TYPE, payload))
    return _statement(parse_json(payload))


def _check_material(value: Any, verifier: ModelVerifier) -> None:
    material = value if isinstance(value, dict) else {}
    if not {"publicKey"} <= set(material) <= {"publicKey", "tlogEntries"}:
        raise EnvelopeError(
            "The model signature is not by a bare key: certificates and Sigstore identities are "
            "not checked here.",
            hint="Use the model_signing tool for those.",
        )
    if material.get("tlogEntries", []) != []:
        raise EnvelopeError("The model signature carries log entries, which are not checked here.")
    hint = _object(material["publicKey"], {"hint"})["hint"]
    if hint != verifier.hint:
        raise EnvelopeError(
            f"The model signature names the key {hint!r:.20}…, not {verifier.hint[:16]}…",
            hint="Give the public key of whoever signed the model.",
        )


def _statement(value: Any) -> SignedModel:
    statement = _object(value, {"_type", "subject", "predicateType", "predicate"})
    if statement["_type"] != _STATEMENT or statement["predicateType"] != OMS_PREDICATE:
        raise EnvelopeError(
            f"A model signature's statement is {OMS_PREDICATE}, "
            f"not {statement['predicateType']!r:.100}."
        )
    subjects, predicate = statement["subject"], statement["predicate"]
    if not isinstance(subjects, list) or len(subjects) != 1 or not isinstance(predicate, dict):
        raise EnvelopeError("A model signature's statement has one subject and a predicate.")
    subject = _object(subjects[0], {"name", "digest"})
    root = _object(subject["digest"], {"sha256"})["sha256"]
    method, ignored = _serialization(predicate.get("serialization"))
    resources = predicate.get("resources")
    if not isinstance(resources, list) or not resources:
        raise EnvelopeError("A model signature's statement lists at least one file.")
    files = tuple(_resource(item, method) for item in resources)
    if len({name for name, _ in files}) != len(files):
        raise EnvelopeError("A model signature's statement lists a file twice.")
    manifest = DirectoryManifest(method, files, 0, ignored)
    if manifest.oms_root != root:
        raise EnvelopeError("A model signature's subject is not the digest of its files.")
    return SignedModel(str(subject["name"]), manifest)


def _serialization(value: Any) -> tuple[str, tuple[str, ...]]:
    form = value if isinstance(value, dict) else {}
    if form.get("method") != "files":
        raise EnvelopeError(
            f"The model signature covers {form.get('method')!r:.40}; only whole files are checked.",
            hint="Use the model_signing tool for shards.",
        )
    method, ignored = form.get("hash_type"), form.get("ignore_paths", [])
    if method not in _HASHES:
        raise EnvelopeError(f"A model signature's hash is {' or '.join(_HASHES)}: {method!r:.40}.")
    if not isinstance(ignored, list):
        raise EnvelopeError("A model signature's ignore_paths are a list of paths.")
    return method, tuple(sorted({_path(item) for item in ignored}))


def _resource(value: Any, method: str) -> tuple[str, Digest]:
    item = _object(value, {"name", "algorithm", "digest"})
    if item["algorithm"] != method:
        raise EnvelopeError(f"A model signature under {method} lists {item['algorithm']!r:.40}.")
    try:
        return _path(item["name"]), Digest(method, item["digest"], FILE_RECIPE)
    except FingerprintError as error:
        raise EnvelopeError(error.message) from error


def _path(value: Any) -> str:
    """A path that stays inside the directory, in its one spelling."""
    path = PurePosixPath(value) if isinstance(value, str) else PurePosixPath()
    if str(path) != value or value == "." or path.is_absolute() or ".." in path.parts:
        raise EnvelopeError(f"A model signature names {value!r:.100}, which is no path inside it.")
    return str(value)


def _object(value: Any, members: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != members:
        found = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise EnvelopeError(
            f"A part of the model signature has {', '.join(sorted(members))}; found {found!r:.200}."
        )
    return value


def _base64(value: Any) -> bytes:
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise EnvelopeError("A model signature's payload and sig are standard base64.") from error
    if base64.b64encode(data).decode() != value:
        raise EnvelopeError("A model signature's base64 is not canonical.")
    return data


def _list(names: list[str], what: str) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{shown}{more} {what}"
