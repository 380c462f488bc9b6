"""A bundle as one file, in the layout of OPA's own bundles.

```
/.manifest       {"metadata": {"affidavit": {…}}, "rego_version": 1, "revision": "sha256:…", …}
/data.json       the data in force, in canonical form
/packs/….rego    the sources
/packs/…/schema.json  what each section of the data must fit
/policy.wasm     the compiled module
/.signatures.json    where it is signed
```

OPA serves the file as it is (``opa run --server --bundle FILE``; OPA documentation, "Bundles"), and
the embedded engine reads it back with the data exactly as they stand in it. ``revision`` is the
digest by which decisions name the bundle. Archives that `opa build --target wasm` wrote are read
too. Nothing of an archive is ever written to a file system.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from typing import TYPE_CHECKING, Any

from affidavit.errors import PolicyEngineError
from affidavit.policies._canonical import canonical_input
from affidavit.policies._manifest import (
    KEYS,
    Bundle,
    check_manifest,
    file_digest,
    mount_data,
    read_object,
)
from affidavit.policies._signatures import SIGNATURES, sign_files, verify_files

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["pack_files", "read_bundle", "unpack_files", "write_bundle"]

_MANIFEST, _MODULE, _DATA, _SCHEMA = ".manifest", "policy.wasm", "data.json", "schema.json"
_MAX_BYTES = 64 * 1024 * 1024
_MAX_FILES = 4096
_NAME = re.compile(r"[^\x00-\x1f\x7f\\/]+(?:/[^\x00-\x1f\x7f\\/]+)*")
_PACKAGE = re.compile(r"^package[ \t]+([A-Za-z_][A-Za-z0-9_]*)", re.ASCII | re.MULTILINE)
_HINT = "Make it anew with `affidavit policy bundle` or `opa build --target wasm`."


def write_bundle(
    bundle: Bundle,
    *,
    key: bytes | None = None,
    password: bytes | None = None,
    scope: str = "",
) -> bytes:
    """A bundle as one gzip-compressed tar archive that OPA can serve.

    Args:
        bundle: The rules and the data in force.
        key: A private key in PEM to sign it with; None leaves it unsigned.
        password: The key's passphrase, where it has one.
        scope: What the signature is for, such as ``production``.

    Returns:
        The archive; unsigned, the same bytes for the same bundle and zlib.

    Raises:
        ConfigurationError: The key cannot be used.
    """
    files = _files(bundle)
    if key is not None:
        files[SIGNATURES] = sign_files(files, key, password=password, scope=scope)
    return pack_files(files)


def _files(bundle: Bundle) -> dict[str, bytes]:
    """The files of a bundle's archive by name, without signatures."""
    packages = {
        found[1]
        for source in bundle.sources.values()
        if (found := _PACKAGE.search(source.decode("utf-8", "replace")))
    }
    ours = {key: bundle.manifest[key] for key in sorted(KEYS) if key in bundle.manifest}
    manifest = {
        "metadata": {"affidavit": ours},
        "rego_version": 1,
        "revision": bundle.digest,
        "roots": sorted(packages | set(bundle.data)),
    }
    return {
        _MANIFEST: canonical_input(manifest),
        _DATA: canonical_input(bundle.data),
        **{name: bundle.sources[name] for name in sorted(bundle.sources)},
        **{name: bundle.schemas[name] for name in sorted(bundle.schemas)},
        _MODULE: bundle.module,
    }


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """A gzip-compressed tar archive of files, in the order given, with nothing else in it."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo("/" + name)
            member.size, member.mode = len(content), 0o600
            try:
                archive.addfile(member, io.BytesIO(content))
            except ValueError as error:
                raise _refuse(f"the name {name!r} is too long for its format") from error
    return gzip.compress(plain.getvalue(), compresslevel=9, mtime=0)


def _refuse(what: str) -> PolicyEngineError:
    return PolicyEngineError(f"The policy bundle is refused: {what}.", hint=_HINT)


def _expanded(content: bytes) -> bytes:
    """The tar inside; OPA would read further gzip members, so there must be none."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(content, _MAX_BYTES + 1)
    except zlib.error as error:
        raise _refuse("it is not a gzip file") from error
    if len(plain) > _MAX_BYTES:
        raise _refuse(f"it expands to more than {_MAX_BYTES} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise _refuse("the gzip file is cut off or followed by something else")
    return plain


def unpack_files(content: bytes) -> dict[str, bytes]:
    """The files of an archive by name; all that readers of tar might see differently is refused.

    Args:
        content: The archive.

    Raises:
        PolicyEngineError: It is no gzip-compressed tar archive, larger than 64 MiB, or holds
            anything but plain files and folders, each once, under a plain relative name. OPA
            writes a slash before each name, which is not part of it.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_expanded(content)), mode="r:") as archive:
            for member in archive:
                name = member.name.removeprefix("/").removeprefix("./")
                if member.type == tarfile.DIRTYPE and not member.size:
                    continue
                plain = member.type in {tarfile.REGTYPE, tarfile.AREGTYPE}
                if not plain or member.issparse():
                    raise _refuse(f"{name!r} is no plain file")
                if not _NAME.fullmatch(name) or {".", ".."} & set(name.split("/")):
                    raise _refuse(f"{member.name!r} is no plain relative name")
                if name in files:
                    raise _refuse(f"{name} stands in it twice")
                if len(files) >= _MAX_FILES:
                    raise _refuse(f"it holds more than {_MAX_FILES} files")
                reader = archive.extractfile(member)
                found = b"" if reader is None else reader.read()
                if len(found) != member.size:
                    raise _refuse(f"{name} is cut off")
                files[name] = found
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise _refuse(f"it is not a tar archive ({error})") from error
    return files


def read_bundle(content: bytes, *, key: bytes | None = None, scope: str = "") -> Bundle:
    """Read a bundle from its archive and hold it against its manifest and its signature.

    Args:
        content: The archive, as `write_bundle` or ``opa build --target wasm`` wrote it.
        key: The public key in PEM that must have signed it. None takes unsigned bundles only, for
            a signature that nobody looks at promises what it does not keep; OPA does the same.
        scope: What the signature must be for.

    Returns:
        The bundle, with the data exactly as they stand in the archive.

    Raises:
        PolicyEngineError: The archive is malformed, a file is missing, surplus, or not the one
            that the manifest names, or the signature does not hold.
        ConfigurationError: The key cannot be used.
    """
    files = unpack_files(content)
    if key is not None:
        verify_files(files, key, scope=scope)
    elif SIGNATURES in files:
        raise PolicyEngineError(
            "The policy bundle is signed, and there is no key to verify it with.",
            hint='Set verification_key = "FILE" in the [policy] section of affidavit.toml.',
        )
    return _bundle(files)


def _bundle(files: Mapping[str, bytes]) -> Bundle:
    for name in (_MANIFEST, _MODULE):
        if name not in files:
            raise _refuse(f"it holds no {name}")
    sources = {name: files[name] for name in sorted(files) if name.endswith(".rego")}
    data = {name: files[name] for name in files if name.rpartition("/")[2] == _DATA}
    schemas = {name: files[name] for name in sorted(files) if name.endswith("/" + _SCHEMA)}
    surplus = sorted(set(files) - {*sources, *data, *schemas, _MANIFEST, _MODULE, SIGNATURES})
    if surplus:
        raise _refuse(f"it holds {surplus[0]}, which is no part of a policy bundle")
    manifest = read_object(_MANIFEST, files[_MANIFEST])
    metadata = manifest.get("metadata")
    ours = metadata.get("affidavit") if isinstance(metadata, dict) else None
    found = {
        "module": {_MODULE: file_digest(files[_MODULE])},
        "sources": {name: file_digest(source) for name, source in sources.items()},
        "schemas": {name: file_digest(schema) for name, schema in schemas.items()},
    }
    if ours is None:
        said = {**found, "entrypoints": _entrypoints(manifest)}
        return Bundle(files[_MODULE], said, sources, mount_data(data))
    if not isinstance(ours, dict):
        raise _refuse("its metadata are no object")
    check_manifest(ours, KEYS)
    for group, digests in found.items():
        for name in sorted({*digests, *ours[group]}):
            if digests.get(name) != ours[group].get(name):
                raise _refuse(
                    f"{name} is not the one in the manifest: expected "
                    f"{ours[group].get(name, 'none')}, found {digests.get(name, 'none')}"
                )
    bundle = Bundle(files[_MODULE], ours, sources, mount_data(data), schemas)
    if bundle.digest != manifest.get("revision"):
        raise _refuse(
            f"its rules and data have the digest {bundle.digest}, its revision says "
            f"{manifest.get('revision')!r}"
        )
    return bundle


def _entrypoints(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The entry points that OPA wrote into its manifest, with what they declare volatile."""
    resolvers = manifest.get("wasm")
    if not isinstance(resolvers, list) or not resolvers:
        raise _refuse("its manifest names no entry point of a WebAssembly module")
    found: dict[str, Any] = {}
    for entry in resolvers:
        name = entry.get("entrypoint") if isinstance(entry, dict) else None
        if not isinstance(name, str) or entry.get("module") not in {"/" + _MODULE, _MODULE}:
            raise _refuse(f"the entry point {name!r} is not one of {_MODULE}")
        volatile: list[Any] = []
        for annotation in entry.get("annotations") or []:
            custom = annotation.get("custom") if isinstance(annotation, dict) else None
            said = custom.get("volatile") if isinstance(custom, dict) else None
            volatile = said if isinstance(said, list) else volatile
        found[name] = {"volatile": [field for field in volatile if isinstance(field, str)]}
    return found
