"""The emptying of a PostgreSQL store after an erasure.

A deleted row stays in its table's file until the table is rewritten (``VACUUM FULL``), and even
then its old versions are copied while a transaction could still see them. The old file is cut to
nothing at once and removed at the next checkpoint of the server.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import psycopg

_CHUNK = 1 << 20
_PIECE = 256
_SEGMENT = 1 << 30
"""A table's file goes on in another one after a gigabyte."""
_FILES = """
SELECT pg_relation_filepath(c.oid), pg_relation_size(c.oid) FROM pg_class c
 WHERE c.oid = to_regclass(quote_ident(current_schema()) || '.' || %s::text)
    OR c.oid = (SELECT reltoastrelid FROM pg_class
                 WHERE oid = to_regclass(quote_ident(current_schema()) || '.' || %s::text))
"""


def vacuum(raw: psycopg.Connection[Any], tables: Sequence[str]) -> int:
    """Rewrite tables without what was deleted from them.

    Args:
        raw: A session outside a transaction.
        tables: Names of our tables.

    Returns:
        How many old versions of rows were kept, because somebody can still see them.
    """
    dead: list[int] = []

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        # "0 dead row versions cannot be removed yet." whatever the server's language.
        found = re.search(r"\d+", notice.message_detail or "")
        if found:
            dead.append(int(found[0]))

    raw.add_notice_handler(listen)
    for table in tables:
        raw.execute(f"VACUUM (FULL, VERBOSE) {table}")
    raw.remove_notice_handler(listen)
    # Only some roles may; without it the server does the same in its own time.
    for wish in ("CHECKPOINT", "SELECT pg_switch_wal()"):
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            raw.execute(wish)
    return sum(dead)


def search_files(
    raw: psycopg.Connection[Any], tables: Sequence[str], gone: bytes
) -> tuple[int, str]:
    """Search the files of tables for bytes, where the role may read them.

    Only its beginning is looked for: a long value lies in several pieces.

    Returns:
        How many bytes were searched, and the file in which they stand, if any.
    """
    total, gone = 0, gone[:_PIECE]
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        for table in tables:
            for path, size in raw.execute(_FILES, [table, table]).fetchall():
                tail = b""
                for at in range(0, size, _CHUNK):
                    number, offset = divmod(at, _SEGMENT)
                    name = f"{path}.{number}" if number else path
                    query = "SELECT pg_read_binary_file(%s, %s, %s, true)"
                    row = raw.execute(query, [name, offset, _CHUNK], binary=True).fetchone()
                    chunk = (row and row[0]) or b""
                    total += len(chunk)
                    if gone and gone in tail + chunk:
                        return total, name
                    tail = chunk[-len(gone) :] if gone else b""
    return total, ""
