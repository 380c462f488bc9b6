"""The tree below a table's digest (recipe ``arrow-table-v1``), and what differs between two tables.

It needs neither numpy nor pyarrow: an auditor can compare two recorded tables without the tables.

The Merkle functions are those of RFC 6962 §2.1: leaf hash ``H(0x00 || data)``, node hash
``H(0x01 || left || right)``, split at the largest power of two below n, ``H("")`` for no leaves; H
is the digest's algorithm: SHA-256, or BLAKE3 where it is asked for. A table's digest is the root
over these leaves, in order: the schema, then one per column, whose data are the 32 bytes of the
column's digest. The schema is JSON in UTF-8 with sorted keys, no spaces and non-ASCII kept:

    {"columns":[{"name":"a","type":"int64"}],"recipe":"arrow-table-v1","rows":3}

A column's digest is the root over the leaf hashes of its row groups of 65,536 rows (the last may be
shorter; a column without rows has none). What a row group's data are, `_arrow_form` says.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from affidavit.errors import FingerprintError
from affidavit.lineage._digest import ALGORITHMS, Digest, Fingerprint, new_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

RECIPE = "arrow-table-v1"
GROUP_ROWS = 65_536
_MEMBERS = {"recipe", "algorithm", "n_rows", "columns"}


def merkle_root(leaves: list[bytes], algorithm: str = "sha256") -> bytes:
    """The Merkle tree hash over leaf hashes (RFC 6962 §2.1).

    Args:
        leaves: The leaf hashes, 32 bytes each, in order.
        algorithm: The hash algorithm, one of 32 bytes.

    Returns:
        The root, 32 bytes; that of no leaves is the hash of the empty string.
    """
    level = leaves or [_hash(algorithm, b"")]
    while len(level) > 1:
        pairs = [
            _hash(algorithm, b"\x01" + left + right)
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def _hash(algorithm: str, data: bytes) -> bytes:
    state = new_hash(algorithm)
    state.update(data)
    return state.digest()


def table_root(
    n_rows: int, columns: list[tuple[str, str, bytes]], algorithm: str = "sha256"
) -> Digest:
    """A table's digest from those of its columns.

    Args:
        n_rows: The number of rows.
        columns: Name, canonical type name and digest of each column, in order.
        algorithm: The hash algorithm, one of 32 bytes.

    Returns:
        The root of the tree.
    """
    schema = {
        "columns": [{"name": name, "type": kind} for name, kind, _ in columns],
        "recipe": RECIPE,
        "rows": n_rows,
    }
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    data = [text.encode(), *(digest for _, _, digest in columns)]
    root = merkle_root([_hash(algorithm, b"\x00" + leaf) for leaf in data], algorithm)
    return Digest(algorithm, root.hex(), RECIPE)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of a `TableTree`.

    Args:
        name: The column's name.
        type: Its canonical type name.
        leaves: The leaf hashes of its row groups, 32 bytes each, joined.
        algorithm: The hash algorithm.
    """

    name: str
    type: str
    leaves: bytes
    algorithm: str = "sha256"

    @property
    def groups(self) -> list[bytes]:
        """The leaf hash of each row group."""
        return [self.leaves[i : i + 32] for i in range(0, len(self.leaves), 32)]

    @property
    def digest(self) -> bytes:
        """The Merkle root over the row groups."""
        return merkle_root(self.groups, self.algorithm)


@dataclass(frozen=True, slots=True)
class TableTree:
    """The digests below a table's digest: per column, per row group. It holds no cell value.

    Digests of columns with few distinct values can be guessed by trying values: keep a tree of
    personal data where the data may be.

    Args:
        n_rows: The number of rows.
        columns: The columns in order.
    """

    n_rows: int
    columns: tuple[TableColumn, ...]

    def __post_init__(self) -> None:
        groups = -(-self.n_rows // GROUP_ROWS)
        names = {column.algorithm for column in self.columns}
        if not all(ALGORITHMS.get(name) == 32 for name in names) or len(names) > 1:
            raise FingerprintError(
                f"A table has one hash algorithm of 32 bytes; found {sorted(names)}."
            )
        for column in self.columns:
            if len(column.leaves) != 32 * groups:
                raise FingerprintError(
                    f"Column {column.name!r} needs {groups} row-group digests of 32 bytes for "
                    f"{self.n_rows} rows; found {len(column.leaves)} bytes."
                )

    @property
    def digest(self) -> Digest:
        """The table's digest: the root of the tree."""
        columns = [(c.name, c.type, c.digest) for c in self.columns]
        return table_root(self.n_rows, columns, self.algorithm)

    @property
    def algorithm(self) -> str:
        """The hash algorithm; ``sha256`` of a table without columns."""
        return self.columns[0].algorithm if self.columns else "sha256"

    def fingerprint(self) -> Fingerprint:
        """The fingerprint: the digest, with the number of rows and each column's digest."""
        columns = [{"name": c.name, "type": c.type, "digest": c.digest.hex()} for c in self.columns]
        return Fingerprint(self.digest, "table", {"n_rows": self.n_rows, "columns": columns})

    def to_dict(self) -> dict[str, Any]:
        """The tree as JSON, with each column's leaf hashes in base64."""
        columns = [
            {"name": c.name, "type": c.type, "leaves": base64.b64encode(c.leaves).decode()}
            for c in self.columns
        ]
        head = {"recipe": RECIPE, "algorithm": self.algorithm, "n_rows": self.n_rows}
        return {**head, "columns": columns}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The tree that `to_dict` wrote; ``TableTree.from_dict(t.to_dict()) == t``.

        Raises:
            FingerprintError: The recipe is another, or the data are no tree.
        """
        try:
            if data["recipe"] != RECIPE or set(data) != _MEMBERS:
                raise FingerprintError(f"Expected a table tree of recipe {RECIPE!r}.")
            columns = tuple(
                TableColumn(
                    c["name"],
                    c["type"],
                    base64.b64decode(c["leaves"], validate=True),
                    data["algorithm"],
                )
                for c in data["columns"]
            )
            return cls(data["n_rows"], columns)
        except (KeyError, TypeError, ValueError) as error:
            raise FingerprintError(f"Expected a table tree; {error!r} in it is wrong.") from error


@dataclass(frozen=True, slots=True)
class ColumnDiff:
    """A column that two tables both have, with other content.

    Args:
        name: The column's name.
        types: Its canonical type name in the first and in the second table.
        row_groups: The numbers of the row groups of 65,536 rows that differ, counted from 0; None
            where only fingerprints were compared, which do not know.
    """

    name: str
    types: tuple[str, str]
    row_groups: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class TableDiff:
    """What differs between two tables.

    Args:
        n_rows: The number of rows in the first and in the second.
        only_in_first: Names of columns that the second lacks.
        only_in_second: Names of columns that the first lacks.
        reordered: Whether the columns that both have stand in another order.
        changed: The columns that both have, with other content.
    """

    n_rows: tuple[int, int]
    only_in_first: tuple[str, ...]
    only_in_second: tuple[str, ...]
    reordered: bool
    changed: tuple[ColumnDiff, ...]

    @property
    def equal(self) -> bool:
        """Whether the two tables have the same digest."""
        alone = self.only_in_first or self.only_in_second
        return self.n_rows[0] == self.n_rows[1] and not (alone or self.reordered or self.changed)


def diff_tables(first: TableTree | Fingerprint, second: TableTree | Fingerprint) -> TableDiff:
    """Which columns, and which row groups of them, differ between two tables.

    Args:
        first: A table's tree, or its fingerprint, which knows columns only.
        second: Likewise.

    Returns:
        The difference. Inserting a row moves all rows after it, so the row groups from there on
        differ.

    Raises:
        FingerprintError: A fingerprint is not that of a table under this recipe, its columns do
            not give its digest, or the two were made with different hash algorithms.
    """
    (rows_a, a), (rows_b, b) = _columns(first), _columns(second)
    if first.digest.algorithm != second.digest.algorithm:
        raise FingerprintError(
            f"One table was hashed with {first.digest.algorithm}, the other with "
            f"{second.digest.algorithm}: nothing can be told from that.",
            hint="Compute both with the same algorithm.",
        )
    common = [name for name in a if name in b]
    changed = []
    for name in common:
        (type_a, digest_a, groups_a), (type_b, digest_b, groups_b) = a[name], b[name]
        if (type_a, digest_a) != (type_b, digest_b):
            groups: tuple[int, ...] | None = None
            if groups_a is not None and groups_b is not None:
                length = max(len(groups_a), len(groups_b))
                groups = tuple(
                    i for i in range(length) if groups_a[i : i + 1] != groups_b[i : i + 1]
                )
            changed.append(ColumnDiff(name, (type_a, type_b), groups))
    return TableDiff(
        n_rows=(rows_a, rows_b),
        only_in_first=tuple(name for name in a if name not in b),
        only_in_second=tuple(name for name in b if name not in a),
        reordered=common != [name for name in b if name in a],
        changed=tuple(changed),
    )


_Row = tuple[str, str, list[bytes] | None]


def _columns(table: TableTree | Fingerprint) -> tuple[int, dict[str, _Row]]:
    if isinstance(table, TableTree):
        return table.n_rows, {c.name: (c.type, c.digest.hex(), c.groups) for c in table.columns}
    try:
        if table.digest.recipe != RECIPE:
            raise FingerprintError(
                f"Expected a fingerprint of recipe {RECIPE!r}; found {table.digest.recipe!r}."
            )
        columns = table.detail["columns"]
        rows: dict[str, _Row] = {c["name"]: (c["type"], c["digest"], None) for c in columns}
        n_rows, algorithm = table.detail["n_rows"], table.digest.algorithm
        parts = [(c["name"], c["type"], bytes.fromhex(c["digest"])) for c in columns]
        if table_root(n_rows, parts, algorithm) != table.digest:
            raise FingerprintError(f"The columns do not give the table's digest {table.digest}.")
        return n_rows, rows
    except (KeyError, TypeError, ValueError) as error:
        raise FingerprintError(f"Expected a table's detail; {error!r} in it is wrong.") from error
