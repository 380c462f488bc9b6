"""Signing and verifying a model's directory in the OpenSSF Model Signing format.

Nothing here asks the cache of file digests: every byte is read. A signature is recorded in the
ledger before it is handed out. Only hashing and the key are needed to verify; the ledger, which
takes longer to load than a small model takes to hash, is loaded for recording alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.errors import ConfigurationError, KeyFileError
from affidavit.lineage._files import DirectoryManifest, directory_manifest
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

if TYPE_CHECKING:
    from affidavit._home import Home
    from affidavit._settings import Settings

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ModelSigned:
    """A signature that was made.

    Args:
        signature: The signature file's bytes.
        name: What the model is called in it.
        manifest: The files that it covers.
        verifier: The key's public half.
        entry: The log index of the statement about it; None where it was not recorded.
    """

    signature: bytes
    name: str
    manifest: DirectoryManifest
    verifier: ModelVerifier
    entry: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON."""
        return {
            "name": self.name,
            "digest": f"sha256:{covered_digest(self.manifest)}",
            "root": self.manifest.oms_root,
            "hash": self.manifest.algorithm,
            "files": len(self.manifest.files),
            "size": self.manifest.size,
            "ignored": list(self.manifest.ignored),
            "key": {"curve": self.verifier.curve, "hint": self.verifier.hint},
            "entry": self.entry,
        }


@dataclass(frozen=True, slots=True)
class ModelVerified:
    """A directory that is the one that was signed.

    Args:
        signed: What the signature says.
        manifest: The files as they were found.
        uncovered: Paths in the directory that the signature does not cover.
    """

    signed: SignedModel
    manifest: DirectoryManifest
    uncovered: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON."""
        return {
            "name": self.signed.name,
            "digest": f"sha256:{covered_digest(self.manifest)}",
            "root": self.manifest.oms_root,
            "hash": self.manifest.algorithm,
            "files": len(self.manifest.files),
            "size": self.manifest.size,
            "uncovered": list(self.uncovered),
        }


def sign_model(
    folder: Path,
    output: Path,
    *,
    key: Path | None = None,
    algorithm: str = "sha256",
    ignore: Sequence[Path] = (),
    git: bool = False,
    recorded: bool = True,
    progress: Progress | None = None,
) -> ModelSigned:
    """Sign a model's directory, and record that in the ledger.

    Args:
        folder: The directory. What is in it now is covered, but for `ignore`.
        output: Where the signature will be written; left out where it lies in the directory.
        key: A private key in PEM; the home's model key by default, made on first use.
        algorithm: The hash algorithm of the files: ``sha256`` or ``blake3``.
        ignore: Further paths in the directory that are left out, with all below them.
        git: Whether Git's own files are covered too.
        recorded: Whether the ledger gets a statement about it.
        progress: Told how many bytes of how many are hashed.

    Returns:
        The signature; nothing is written to `output` here.

    Raises:
        FingerprintError: The directory cannot be hashed, or holds no file.
        ConfigurationError: A path to be left out is not in the directory.
        KeyFileError: The key cannot be used.
        NotInitialisedError: There is no home, and one is needed.
        LedgerError: The statement cannot be written.
    """
    place = None
    if recorded or key is None:
        from affidavit._context import present

        place = present()  # before the hashing: a missing home shows at once
    signer = _signer(place[1] if place else None, key)
    left_out = {_inside(folder, path) for path in ignore}
    if _is_inside(folder, output):
        left_out.add(_inside(folder, output))
    if not git:
        left_out.update(GIT_PATHS)
    manifest = directory_manifest(folder, algorithm, ignore=left_out, progress=progress)
    name = folder.resolve().name or "model"
    signature = sign_manifest(manifest, name, signer)
    made = ModelSigned(signature, name, manifest, signer.verifier, None)
    if place is None or not recorded:
        return made
    settings, home = place
    return replace(made, entry=_record(home, settings, made, output.name))


def verify_model(
    folder: Path,
    signature: Path,
    key: Path,
    *,
    ignore: Sequence[Path] = (),
    progress: Progress | None = None,
) -> ModelVerified:
    """Accept a model's directory as the one that was signed, or raise.

    Args:
        folder: The directory.
        signature: The signature file; not looked for among the signed files.
        key: A file with the signer's public key in PEM, from the verifier's own copy.
        ignore: Further paths in the directory that need not be signed, with all below them.
        progress: Told how many bytes of how many are hashed.

    Raises:
        VerificationError: The signature does not hold, or the directory is another.
        FingerprintError: The directory cannot be hashed.
        KeyFileError: The key cannot be used.
        ConfigurationError: A file cannot be read, or a path is not in the directory.
    """
    from affidavit._files import read_file

    signed = open_signature(read_file(signature), ModelVerifier.parse(read_file(key)))
    left_out = {*signed.manifest.ignored, *(_inside(folder, path) for path in ignore)}
    if _is_inside(folder, signature):
        left_out.add(_inside(folder, signature))
    found = directory_manifest(
        folder, signed.manifest.algorithm, ignore=left_out, progress=progress
    )
    signed.check(found)
    itself = _inside(folder, signature) if _is_inside(folder, signature) else ""
    uncovered = [p for p in sorted(left_out) if p != itself and os.path.lexists(folder / p)]
    return ModelVerified(signed, found, tuple(uncovered))


def covered_digest(manifest: DirectoryManifest) -> str:
    """Return the digest of a directory that holds the covered files and no others, in hex.

    It is the one that a run records of such a directory, so that the two meet in the lineage.
    """
    return hashlib.sha256(replace(manifest, ignored=()).to_bytes()).hexdigest()


def model_key(home: Home) -> ModelKey:
    """Return the home's key for model signatures, made on first use.

    Raises:
        KeyFileError: It cannot be read or written.
    """
    path = home.folder / "keys" / "model.pem"
    passphrase = os.environ.get("AFFIDAVIT_KEY_PASSPHRASE")
    if not path.exists():
        # Of two processes one writes it and the other finds it.
        with contextlib.suppress(KeyFileError):
            write_model_key(path, ModelKey.generate(), passphrase=passphrase)
    key = read_model_key(path, passphrase=passphrase)
    public = home.folder / "model.pub"
    if not public.exists():
        from affidavit._files import write_file

        write_file(public, key.verifier.pem)
    return key


def _signer(home: Home | None, key: Path | None) -> ModelKey:
    if key is not None:
        return read_model_key(key, passphrase=os.environ.get("AFFIDAVIT_KEY_PASSPHRASE"))
    assert home is not None  # it is opened where there is no key
    return model_key(home)


def _record(home: Home, settings: Settings, made: ModelSigned, file: str) -> int:
    from affidavit._context import acting
    from affidavit.lineage import MODEL_SIGNATURE, Resource, Statement, timestamp

    kept = home.artifacts.put(made.signature)
    detail = {"files": len(made.manifest.files), "size": made.manifest.size}
    predicate = {
        "name": made.name,
        "actor": acting(settings),
        "time": timestamp(),
        "outcome": "signed",
        "format": OMS_PREDICATE,
        "root": made.manifest.oms_root,
        "hash": made.manifest.algorithm,
        "ignored": list(made.manifest.ignored),
        "key": {
            "curve": made.verifier.curve,
            "hint": made.verifier.hint,
            "public": made.verifier.pem.decode("ascii"),
        },
        "outputs": [Resource(file, kept, "file-bytes-v1", {"kept": True}).to_json()],
    }
    digest = covered_digest(made.manifest)
    subject = Resource(made.name, digest, "directory-manifest-v1", detail)
    return home.record(Statement((subject,), MODEL_SIGNATURE, predicate))


def _is_inside(folder: Path, path: Path) -> bool:
    return path.absolute().parent.resolve().is_relative_to(folder.resolve())


def _inside(folder: Path, path: Path) -> str:
    """Return a path relative to the folder, in POSIX form; the path itself may be a link."""
    whole = path.absolute()
    try:
        relative = whole.parent.resolve().joinpath(whole.name).relative_to(folder.resolve())
    except ValueError as error:
        raise ConfigurationError(
            f"{str(path)!r} is not in {str(folder)!r}.", hint="Name a path in the directory."
        ) from error
    if not relative.parts or ".." in relative.parts:
        raise ConfigurationError(f"{str(path)!r} is the directory itself.")
    return relative.as_posix()
