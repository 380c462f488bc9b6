"""Zip archives in one canonical form (PKWARE APPNOTE 6.3.3): the same members, the same bytes.

Members are stored without compression, in the order of their names, dated 1980-01-01, without
comments or extra fields. An archive in any other form is refused, so that no two readers can
disagree about what is in it, and none can be made to unpack more than it was given.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from affidavit.errors import VerificationError

MAX_ARCHIVE = 256 * 1024 * 1024
"""The largest archive, in bytes."""
MAX_MEMBERS = 65_534
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION = 20
_UNIX = 3 << 8 | _VERSION
_DATE = 0x21
_MODE = 0o100644 << 16


def write_zip(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of some members.

    Args:
        members: Contents by name; names are ASCII.

    Raises:
        VerificationError: There are too many members, or too much in them.
    """
    if sum(map(len, members.values())) > MAX_ARCHIVE or len(members) > MAX_MEMBERS:
        raise VerificationError(
            f"An archive holds at most {MAX_MEMBERS} members and {MAX_ARCHIVE} bytes.",
            hint="Ask for less in one bundle.",
        )
    body, directory = bytearray(), bytearray()
    for name in sorted(members):
        content, label = members[name], name.encode("ascii")
        common = (0, 0, 0, _DATE, zlib.crc32(content), len(content), len(content), len(label), 0)
        directory += _CENTRAL.pack(b"PK\1\2", _UNIX, _VERSION, *common, 0, 0, 0, _MODE, len(body))
        directory += label
        body += _LOCAL.pack(b"PK\3\4", _VERSION, *common) + label + content
    count = len(members)
    end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)


def read_zip(data: bytes) -> dict[str, bytes]:
    """Return the members of an archive, by name.

    Raises:
        VerificationError: The bytes are not an archive in the canonical form.
    """
    if len(data) > MAX_ARCHIVE + MAX_MEMBERS * 512:
        raise VerificationError(f"An archive has at most {MAX_ARCHIVE} bytes.")
    members: dict[str, bytes] = {}
    at = 0
    while data[at : at + 4] == b"PK\3\4" and len(data) - at >= _LOCAL.size:
        *_, size, length, extra = _LOCAL.unpack_from(data, at)
        start = at + _LOCAL.size + length + extra
        try:
            name = data[at + _LOCAL.size : start - extra].decode("ascii")
        except UnicodeDecodeError as error:
            raise VerificationError("A member's name in the archive is not ASCII.") from error
        if name in members:
            raise VerificationError(f"The member {name[:80]!r} stands twice in the archive.")
        members[name] = data[start : start + size]
        at = start + size
    if not members or write_zip(members) != data:
        raise VerificationError(
            "The file is not a zip archive in the canonical form: stored, sorted, undated.",
            hint="Use the file as it was exported, not one that was packed again.",
        )
    return members
