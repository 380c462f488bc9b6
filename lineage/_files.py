"""Digests of files and directories, recipes ``file-bytes-v1`` and ``directory-manifest-v1``.

A file's digest is the hash of its bytes. A directory's digest is the hash of its manifest: compact
JSON in ASCII with sorted keys, one entry for each regular file below it,

    {"resources":[{"algorithm":"sha256","digest":"2cf24d…","name":"d0/f00"}],
     "serialization":{"allow_symlinks":false,"hash_type":"sha256","method":"files"}}

(here broken in two lines). What this shares with OpenSSF Model Signing (predicate type
``https://model_signing/signature/v1.0``, serialisation method ``files``): ``resources`` and
``serialization`` are that predicate's members, names are POSIX paths relative to the directory and
sorted by their components, and `DirectoryManifest.oms_root` is the digest of its subject, SHA-256
over the files' raw digests in that order. That root leaves out the names, so that two files whose
names are exchanged together with their places in the order keep it; the directory's own digest
covers names too, and is the one that Affidavit records. Every file counts, hidden ones too, unless
the caller leaves paths out: then the manifest lists them under ``ignore_paths``, as that predicate
does. Empty directories, modes and times do not count.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from affidavit.errors import FingerprintError
from affidavit.lineage._digest import Digest, Fingerprint, new_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from affidavit.lineage._file_cache import FileCache

FILE_RECIPE = "file-bytes-v1"
DIRECTORY_RECIPE = "directory-manifest-v1"
# What is read stays in the processor's cache until it is hashed.
_BLOCK = 1 << 18
# One update of blake3 by several threads is worth it from here on.
_WIDE_BLOCK = 1 << 24
_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class DirectoryManifest:
    """The files below a directory with their digests.

    Args:
        algorithm: The hash algorithm of the files and of the manifest.
        files: Pairs of a POSIX path relative to the directory and the digest of that file, sorted
            by the path's components.
        size: The sum of the files' sizes in bytes.
        ignored: Paths relative to the directory that were left out with all below them, sorted.
    """

    algorithm: str
    files: tuple[tuple[str, Digest], ...]
    size: int
    ignored: tuple[str, ...] = ()

    @property
    def predicate(self) -> dict[str, Any]:
        """The manifest in the form of the OMS predicate."""
        return {
            "serialization": {
                "method": "files",
                "hash_type": self.algorithm,
                "allow_symlinks": False,
                **({"ignore_paths": list(self.ignored)} if self.ignored else {}),
            },
            "resources": [
                {"name": name, "algorithm": digest.algorithm, "digest": digest.value}
                for name, digest in self.files
            ],
        }

    @property
    def oms_root(self) -> str:
        """The hexadecimal SHA-256 over the raw digests in order: the subject of an OMS statement.

        It does not cover the files' names; `digest` does.
        """
        return hashlib.sha256(b"".join(digest.raw for _, digest in self.files)).hexdigest()

    def to_bytes(self) -> bytes:
        """The manifest's one form in bytes, which the directory's digest is of."""
        return json.dumps(self.predicate, sort_keys=True, separators=(",", ":")).encode("ascii")

    @property
    def digest(self) -> Digest:
        """The directory's digest: the hash of the manifest."""
        return Digest.of(self.to_bytes(), recipe=DIRECTORY_RECIPE, algorithm=self.algorithm)

    def fingerprint(self) -> Fingerprint:
        """The directory's fingerprint, with the number of files, their size and the OMS root."""
        detail = {"files": len(self.files), "size": self.size, "oms_root": self.oms_root}
        return Fingerprint(self.digest, "directory", detail)


def file_digest(
    path: os.PathLike[str], algorithm: str = "sha256", *, cache: FileCache | None = None
) -> Digest:
    """The digest of a file's bytes.

    Args:
        path: A regular file. A symbolic link to one is followed: its name is the caller's choice.
        algorithm: The hash algorithm.
        cache: Where the digest of an unchanged file may be found; none by default.

    Returns:
        The digest under the recipe ``file-bytes-v1``.

    Raises:
        FingerprintError: There is no such file, it is not a regular file, it cannot be read, or it
            changed while it was read.
        MissingDependencyError: The algorithm is blake3, which is not installed.
    """
    return file_fingerprint(path, algorithm, cache=cache).digest


def file_fingerprint(
    path: os.PathLike[str], algorithm: str = "sha256", *, cache: FileCache | None = None
) -> Fingerprint:
    """The fingerprint of a file: its digest and its size in bytes; see `file_digest`."""
    reading = _Reading(algorithm, cache, threads=_THREADS)
    digest, size = _hash_file(Path(path), reading, follow=True)
    return Fingerprint(digest, "file", {"size": size})


def directory_manifest(
    path: os.PathLike[str],
    algorithm: str = "sha256",
    *,
    threads: int = _THREADS,
    cache: FileCache | None = None,
    ignore: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> DirectoryManifest:
    """The manifest of a directory, its files hashed in parallel.

    Args:
        path: The directory.
        algorithm: The hash algorithm.
        threads: How many files are read at a time.
        cache: Where digests of unchanged files may be found; none by default.
        ignore: POSIX paths relative to the directory, left out with all below them.
        progress: Told how many bytes of how many are hashed.

    Returns:
        The manifest, whose `DirectoryManifest.digest` is the directory's digest.

    Raises:
        FingerprintError: It is not a directory; there is a symbolic link, a socket, a pipe or a
            device below it; a file cannot be read or changed while it was read; files came or
            went meanwhile; a name is not UTF-8.
        MissingDependencyError: The algorithm is blake3, which is not installed.
    """
    root = Path(path)
    if not root.is_dir():
        raise FingerprintError(f"Expected a directory: {str(root)!r}.")
    ignored = frozenset(ignore)
    sizes = _listing(root, ignored)
    names = list(sizes)
    spare = threads // max(1, len(names))
    reading = _Reading(algorithm, cache, max(1, spare), progress, sum(sizes.values()))

    def hashed(name: str) -> tuple[Digest, int]:
        return _hash_file(root / name, reading, follow=False)

    if threads > 1 and len(names) > 1:
        # The largest first: a large one that starts last would keep all others waiting.
        order = sorted(names, key=lambda name: -sizes[name])
        with ThreadPoolExecutor(threads) as pool:
            found = dict(zip(order, pool.map(hashed, order), strict=True))
    else:
        found = {name: hashed(name) for name in names}
    if list(_listing(root, ignored)) != names:
        raise FingerprintError(
            f"Files came or went below {str(root)!r} while it was hashed.",
            hint="Hash it when nothing writes to it.",
        )
    files = tuple((name, found[name][0]) for name in names)
    total = sum(size for _, size in found.values())
    return DirectoryManifest(algorithm, files, total, tuple(sorted(ignored)))


def _listing(root: Path, ignored: frozenset[str]) -> dict[str, int]:
    """The sizes of the regular files below a directory, by POSIX path, sorted by components."""
    found = sorted(_walk(root, "", ignored), key=lambda item: PurePosixPath(item[0]).parts)
    for name, _ in found:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise FingerprintError(
                f"The file name {name!r} is not UTF-8, so that a manifest cannot hold it.",
                hint="Rename the file.",
            ) from error
    return dict(found)


def _walk(root: Path, prefix: str, ignored: frozenset[str]) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if name in ignored:
                    continue
                if entry.is_symlink():
                    raise FingerprintError(
                        f"There is a symbolic link {name!r} below {str(root)!r}: what it leads to "
                        "may lie outside the directory, or be the directory itself.",
                        hint="Replace it by what it points to.",
                    )
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(root, f"{name}/", ignored)
                elif entry.is_file(follow_symlinks=False):
                    yield name, entry.stat(follow_symlinks=False).st_size
                else:
                    raise FingerprintError(
                        f"{name!r} below {str(root)!r} is {_what(entry.stat().st_mode)}, "
                        "not a regular file.",
                        hint="Move it elsewhere.",
                    )
    except OSError as error:
        raise FingerprintError(
            f"Cannot list {str(root / prefix)!r}: {error.strerror or error}."
        ) from error


def _what(mode: int) -> str:
    tests = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in tests if test(mode)), "something else")


class _Reading:
    """How files are read, and how far that is."""

    def __init__(
        self,
        algorithm: str,
        cache: FileCache | None = None,
        threads: int = 1,
        told: Callable[[int, int], None] | None = None,
        total: int = 0,
    ) -> None:
        self.algorithm = algorithm
        self.cache = cache
        self.threads = threads if algorithm == "blake3" else 1
        self.block = _WIDE_BLOCK if self.threads > 1 else _BLOCK
        self._told = told
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def advance(self, size: int) -> None:
        if self._told is not None:
            with self._lock:
                self._done += size
                self._told(self._done, self._total)


def _hash_file(path: Path, reading: _Reading, *, follow: bool) -> tuple[Digest, int]:
    """The digest and size of a regular file that stays as it is while it is read."""
    state = new_hash(reading.algorithm, threads=reading.threads)
    began_ns = time.time_ns()
    descriptor = _open(path, follow=follow)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise FingerprintError(f"{str(path)!r} is {_what(before.st_mode)}, not a regular file.")
        if reading.cache is not None:
            known = reading.cache.find(before, reading.algorithm, FILE_RECIPE)
            if known is not None:
                reading.advance(before.st_size)
                return known, before.st_size
        buffer = memoryview(bytearray(min(reading.block, before.st_size + 1)))
        size = 0
        while count := os.readv(descriptor, [buffer]):
            state.update(buffer[:count])
            size += count
            reading.advance(count)
        after = os.fstat(descriptor)
    except OSError as error:
        raise FingerprintError(f"Cannot read {str(path)!r}: {error.strerror}.") from error
    finally:
        os.close(descriptor)
    if size != before.st_size or (before.st_size, before.st_mtime_ns, before.st_ctime_ns) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    ):
        raise FingerprintError(
            f"{str(path)!r} changed while it was hashed.", hint="Hash it when nothing writes to it."
        )
    digest = Digest(reading.algorithm, state.hexdigest(), FILE_RECIPE)
    if reading.cache is not None:
        reading.cache.keep(after, digest, began_ns)
    return digest, size


def _open(path: Path, *, follow: bool) -> int:
    # Without O_NONBLOCK, opening a named pipe that nobody writes to waits for ever.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise FingerprintError(
                f"{str(path)!r} became a symbolic link while its directory was hashed."
            ) from error
        if error.errno == errno.ENXIO:
            raise FingerprintError(f"{str(path)!r} is a socket, not a regular file.") from error
        raise FingerprintError(f"Cannot read {str(path)!r}: {error.strerror}.") from error
