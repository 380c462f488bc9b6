"""A bundle from wherever it is kept: a built folder, an archive, or memory."""

from __future__ import annotations

from pathlib import Path

from affidavit.errors import PolicyEngineError
from affidavit.policies._archive import read_bundle
from affidavit.policies._manifest import Bundle, load_folder, shipped

__all__ = ["open_bundle"]


def open_bundle(
    source: Bundle | Path | bytes | None = None, *, key: bytes | None = None, scope: str = ""
) -> Bundle:
    """Open a bundle and hold every file of it against its manifest.

    Args:
        source: A folder that `build_packs` wrote, an archive (its path or its bytes), or a bundle,
            which is returned as it is; None is the one that comes with Affidavit.
        key: The public key in PEM that must have signed the archive; only archives are signed.
        scope: What the signature must be for.

    Returns:
        The bundle.

    Raises:
        PolicyEngineError: It is missing, malformed, not what its manifest says, or its signature
            does not hold.
        ConfigurationError: The key cannot be used.
    """
    folder = source is None or (isinstance(source, Path) and source.is_dir())
    if key is not None and (folder or isinstance(source, Bundle)):
        raise PolicyEngineError(
            "A verification key is set, and only a bundle's file can be signed.",
            hint="Write one with `affidavit policy bundle --sign KEY`, and let `packs` name it.",
        )
    if source is None:
        return load_folder(shipped())
    if isinstance(source, Bundle):
        return source
    if isinstance(source, bytes):
        return read_bundle(source, key=key, scope=scope)
    if source.is_dir():
        return load_folder(source)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise PolicyEngineError(
            f"The policy bundle {source} cannot be read: {error.strerror}.",
            hint="Name a folder that `affidavit policy build` wrote, or a bundle's archive.",
        ) from error
    return read_bundle(content, key=key, scope=scope)
