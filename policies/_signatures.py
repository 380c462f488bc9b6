"""Signatures over a bundle's files, in OPA's own format and with its meaning.

```json
{"signatures": ["eyJhbGciOiJFUzI1NiIsImtpZCI6ImRlZmF1bHQiLCJ0eXAiOiJKV1QifQ.…"]}
```

The one JSON Web Token (RFC 7519; its signature as in RFC 7515, RFC 7518 and RFC 8037) lists each
file of the bundle but this one with the hash of its content, and the scope that the bundle is for.
A ``.manifest`` or ``data.json`` is hashed as JSON with sorted keys, so that white space does not
count; any other file is hashed as it is (OPA documentation, "Bundles", "Signing"). The key alone
says which algorithms it is for, never the token. As in OPA, a claim about time is not looked at.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from affidavit.errors import ConfigurationError, PolicyEngineError
from affidavit.policies._manifest import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SIGNATURES", "key_algorithms", "sign_files", "signing_algorithm", "verify_files"]

SIGNATURES = ".signatures.json"
_KEY_ID = "default"
_HASHES = {"SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_LEAST_RSA_BITS = 2048
_HINT = "Sign it with `affidavit policy bundle --sign KEY`, or with `opa sign`."


class _Number(str):
    """A number as it is written: OPA hashes it so."""

    __slots__ = ()


def _as_opa_writes(value: Any) -> str:
    if isinstance(value, _Number):
        return value
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    if isinstance(value, dict):
        members = (f"{_as_opa_writes(key)}:{_as_opa_writes(value[key])}" for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_as_opa_writes, value)) + "]"
    return json.dumps(value)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _hashed(name: str, content: bytes) -> bytes:
    """What of a file goes into its hash."""
    if name.rpartition("/")[2] not in {"data.json", ".manifest"}:
        return content
    try:
        value = json.loads(
            content,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse_constant,
        )
        return _as_opa_writes(value).encode()
    except (ValueError, RecursionError) as error:
        raise PolicyEngineError(f"{name} is not JSON: {error}.") from error


def key_algorithms(key: Any) -> tuple[str, ...]:
    """The algorithms that a key of the library ``cryptography`` is for, the one to sign with first.

    Raises:
        ConfigurationError: OPA takes no such key, or it is too short.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        algorithm = _CURVES.get(key.curve.name)
        if algorithm is not None:
            return (algorithm,)
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return ("EdDSA",)
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS:
        return _RSA
    raise ConfigurationError(
        "The key is not one that signs bundles.",
        hint="Use a key on P-256, P-384 or P-521, an Ed25519 key, or RSA of 2048 bits or more.",
    )


def _private(key: bytes, password: bytes | None) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(key, password)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"The key to sign bundles with cannot be read: {error}.",
            hint="It must be a private key in PEM; its passphrase is AFFIDAVIT_KEY_PASSPHRASE.",
        ) from error


def signing_algorithm(key: bytes, password: bytes | None = None) -> str:
    """The algorithm that a private key in PEM signs by, such as ``ES256``.

    Raises:
        ConfigurationError: The key cannot be used.
    """
    return key_algorithms(_private(key, password))[0]


def sign_files(
    files: Mapping[str, bytes], key: bytes, *, password: bytes | None = None, scope: str = ""
) -> bytes:
    """Sign the files of a bundle.

    Args:
        files: Every file by name.
        key: The private key in PEM.
        password: The key's passphrase, where it has one.
        scope: What the bundle is for; whoever verifies must ask for the same.

    Returns:
        The content of ``.signatures.json``.

    Raises:
        ConfigurationError: The key cannot be used.
    """
    import jwt

    private = _private(key, password)
    algorithm = key_algorithms(private)[0]
    listed = [
        {
            "name": name,
            "hash": hashlib.sha256(_hashed(name, content)).hexdigest(),
            "algorithm": "SHA-256",
        }
        for name, content in files.items()
        if name != SIGNATURES
    ]
    claims: dict[str, Any] = {
        "files": listed,
        "keyid": _KEY_ID,
        **({"scope": scope} if scope else {}),
    }
    payload = json.dumps(claims, separators=(",", ":")).encode()
    token = jwt.PyJWS().encode(payload, private, algorithm, headers={"kid": _KEY_ID})
    return json.dumps({"signatures": [token]}).encode()


def _refuse(what: str) -> PolicyEngineError:
    return PolicyEngineError(f"The policy bundle's signature is refused: {what}.", hint=_HINT)


def _claims(signatures: bytes, key: bytes) -> dict[str, Any]:
    """What a valid token says."""
    import jwt
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(key)
    except ValueError as error:
        raise ConfigurationError(
            f"The verification key of bundles cannot be read: {error}.",
            hint="It must be a public key in PEM, as `openssl pkey -pubout` writes it.",
        ) from error
    algorithms = key_algorithms(public)
    found = read_object(SIGNATURES, signatures)
    tokens = found.get("signatures")
    if not isinstance(tokens, list) or len(tokens) != 1 or not isinstance(tokens[0], str):
        raise _refuse("expected exactly one token")
    if found.get("plugin", "_default") not in {"_default", ""}:
        raise _refuse(f"it asks for the plugin {found['plugin']!r}")
    try:
        payload = jwt.PyJWS().decode(tokens[0], public, algorithms=list(algorithms))  # type: ignore[arg-type]  # as above
    except (jwt.PyJWTError, TypeError, ValueError) as error:
        raise _refuse(f"it does not hold under the verification key ({error})") from error
    return read_object("the token", payload)


def verify_files(files: Mapping[str, bytes], key: bytes, *, scope: str = "") -> None:
    """Hold the files of a bundle against its signature.

    Args:
        files: Every file by name, ``.signatures.json`` among them.
        key: The public key in PEM.
        scope: What the bundle must be for.

    Raises:
        PolicyEngineError: The bundle is unsigned, the signature is by another key or for another
            scope, or a file was changed, added or taken away.
        ConfigurationError: The key cannot be used.
    """
    if SIGNATURES not in files:
        raise PolicyEngineError(
            "The policy bundle is not signed, and a verification key is set.", hint=_HINT
        )
    expected = _listed(_claims(files[SIGNATURES], key), scope)
    for name in sorted({*expected, *files} - {SIGNATURES}):
        if name not in files:
            raise _refuse(f"{name} was taken away")
        if name not in expected:
            raise _refuse(f"{name} was added")
        algorithm = _HASHES.get(str(expected[name].get("algorithm")))
        if algorithm is None:
            raise _refuse(f"{name} is hashed by {expected[name].get('algorithm')!r}")
        digest = hashlib.new(algorithm, _hashed(name, files[name])).hexdigest()
        if not hmac.compare_digest(digest, str(expected[name].get("hash")).lower()):
            raise _refuse(f"{name} was changed")


def _listed(claims: Mapping[str, Any], scope: str) -> dict[str, Mapping[str, Any]]:
    """The files that a token for a scope lists, each once."""
    if claims.get("scope", "") != scope:
        raise _refuse(f"it is for the scope {claims.get('scope', '')!r}, expected {scope!r}")
    listed = claims.get("files")
    if not isinstance(listed, list):
        raise _refuse("it lists no files")
    expected: dict[str, Mapping[str, Any]] = {}
    for entry in listed:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name in expected:
            raise _refuse(f"it lists {name!r}, or lists it twice")
        expected[name] = entry
    return expected
