"""What differs between two recorded tables, directories or other artifacts, told by their digests.

The digests of an artifact's parts are kept beside the ledger, and named by the statement that
recorded it. They are used only where they give the artifact's own digest again, so nothing here
depends on who wrote the statement or who can write to the folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from affidavit._home import Home
from affidavit._read import Reader
from affidavit.errors import (
    ConfigurationError,
    EnvelopeError,
    FingerprintError,
    NotFoundError,
    VerificationError,
)
from affidavit.lineage import (
    Digest,
    Fingerprint,
    Resource,
    TableDiff,
    TableTree,
    diff_tables,
    parse_entry,
    parse_json,
)

TABLE = "arrow-table-v1"
DIRECTORY = "directory-manifest-v1"
_GROUP_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of an artifact.

    Args:
        resource: It, as a statement names it.
        entry: The log index of that statement.
        table: Its tree, or its fingerprint where only columns are known, if it is a table.
        files: Its files with their digests, if it is a directory.
    """

    resource: Resource
    entry: int
    table: TableTree | Fingerprint | None = None
    files: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two artifacts.

    Args:
        first: The one.
        second: The other.
        table: What differs, where both are tables whose columns are known.
        only_in_first: Files that the second directory lacks.
        only_in_second: Files that the first directory lacks.
        changed: Files that both directories have, with other content.
    """

    first: Known
    second: Known
    table: TableDiff | None = None
    only_in_first: tuple[str, ...] = ()
    only_in_second: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether the two have one digest."""
        return self.first.resource.sha256 == self.second.resource.sha256

    @property
    def kind(self) -> str:
        """``table``, ``directory``, or the recipe of the digests."""
        recipe = self.first.resource.recipe
        return {TABLE: "table", DIRECTORY: "directory"}.get(recipe, recipe)

    @property
    def explained(self) -> bool:
        """Whether it is known what differs, and not only that something does."""
        return self.equal or self.table is not None or self.listed

    @property
    def listed(self) -> bool:
        """Whether the files of both are known."""
        return self.first.files is not None and self.second.files is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as JSON."""
        sides = {
            key: {
                "digest": known.resource.digest,
                "name": known.resource.name,
                "recipe": known.resource.recipe,
                "entry": known.entry,
            }
            for key, known in (("first", self.first), ("second", self.second))
        }
        facts = {"equal": self.equal, "kind": self.kind, "explained": self.explained, **sides}
        if self.table is not None:
            return {**facts, "table": _table_dict(self.table)}
        if self.listed:
            facts["files"] = {
                "only_in_first": list(self.only_in_first),
                "only_in_second": list(self.only_in_second),
                "changed": list(self.changed),
            }
        return facts


def diff(home: Home, first: str, second: str) -> Difference:
    """Return what differs between two artifacts that the ledger knows.

    Args:
        home: Whose ledger is asked.
        first: A digest, or at least eight of its digits.
        second: Likewise.

    Raises:
        NotFoundError: A digest is unknown.
        ConfigurationError: Digits stand for two digests, or the two are not of one kind.
        FingerprintError: What is kept of an artifact's parts does not give its digest.
    """
    one, other = (_known(home, key) for key in (first, second))
    if one.resource.recipe != other.resource.recipe:
        raise ConfigurationError(
            f"A digest of the recipe {one.resource.recipe} and one of {other.resource.recipe} "
            "say nothing about each other.",
            hint="Compare two of one kind.",
        )
    if one.table is not None and other.table is not None:
        return Difference(one, other, diff_tables(one.table, other.table))
    if one.files is None or other.files is None:
        return Difference(one, other)
    a, b = one.files, other.files
    return Difference(
        one,
        other,
        only_in_first=tuple(name for name in a if name not in b),
        only_in_second=tuple(name for name in b if name not in a),
        changed=tuple(name for name in a if name in b and a[name] != b[name]),
    )


def group_ranges(groups: tuple[int, ...], n_rows: tuple[int, int]) -> list[dict[str, int]]:
    """Return numbers of row groups as ranges, with the rows that they hold.

    Args:
        groups: The numbers, ascending.
        n_rows: The number of rows of the two tables.

    Returns:
        For each range its first and last group and its first and last row, counted from 0.
    """
    ranges: list[dict[str, int]] = []
    for group in groups:
        if ranges and ranges[-1]["last_group"] == group - 1:
            ranges[-1]["last_group"] = group
        else:
            ranges.append({"first_group": group, "last_group": group})
    for item in ranges:
        item["first_row"] = item["first_group"] * _GROUP_ROWS
        item["last_row"] = min((item["last_group"] + 1) * _GROUP_ROWS, max(n_rows)) - 1
    return ranges


def _table_dict(found: TableDiff) -> dict[str, Any]:
    return {
        "n_rows": list(found.n_rows),
        "only_in_first": list(found.only_in_first),
        "only_in_second": list(found.only_in_second),
        "reordered": found.reordered,
        "changed": [
            {
                "column": column.name,
                "types": list(column.types),
                "row_groups": None
                if column.row_groups is None
                else group_ranges(column.row_groups, found.n_rows),
            }
            for column in found.changed
        ],
    }


def _known(home: Home, key: str) -> Known:
    reader = Reader(home)
    digest = _digest(reader, key)
    best: Known | None = None
    for row in reader.artifacts(digest):
        entry = int(row["entry"])
        for resource in _mentions(home, entry, digest):
            found = _with_parts(home, resource, entry)
            if found.table is not None or found.files is not None:
                if isinstance(found.table, TableTree) or found.files is not None:
                    return found
                best = found
            best = best or found
    if best is None:
        raise NotFoundError(
            f"No entry names {digest}, though the index says so.", hint="Run `affidavit verify`."
        )
    return best


def _digest(reader: Reader, key: str) -> str:
    digits = key.removeprefix("sha256:")
    if len(digits) < 8 or not set(digits) <= set("0123456789abcdef"):
        raise NotFoundError(
            f"{key!r} is no digest.", hint="Give `sha256:` and at least eight digits of one."
        )
    found = reader.digests(f"sha256:{digits}")
    if not found:
        raise NotFoundError(
            f"The ledger knows no artifact sha256:{digits}.",
            hint="`affidavit show NAME` prints the digests that an entry names.",
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"sha256:{digits} stands for several digests.", hint="Give more digits."
        )
    return found[0]


def _mentions(home: Home, entry: int, digest: str) -> Iterator[Resource]:
    """Give each resource of a digest that an entry names, wherever in the statement it stands."""
    try:
        parsed = parse_entry(home.ledger.entry(entry))
    except VerificationError:
        return
    if isinstance(parsed, dict):
        return
    statement = parsed[1]
    yield from (item for item in statement.subjects if item.digest == digest)
    waiting: list[Any] = [statement.predicate]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            given = value.get("digest")
            if isinstance(given, dict) and given.get("sha256") == digest.removeprefix("sha256:"):
                try:
                    yield Resource.from_json(value)
                except EnvelopeError:
                    continue


def _with_parts(home: Home, resource: Resource, entry: int) -> Known:
    notes = resource.annotations or {}
    named = notes.get("parts")
    if isinstance(named, str):
        try:
            content = home.artifacts.get(named)
        except NotFoundError:
            content = None
        except VerificationError as error:
            raise FingerprintError(error.message, hint="Run `affidavit verify`.") from error
        if content is not None and resource.recipe == TABLE:
            return Known(resource, entry, table=_tree(content, resource))
        if content is not None and resource.recipe == DIRECTORY:
            return Known(resource, entry, files=_files(content, resource))
    if resource.recipe == TABLE and "columns" in notes:
        digest = Digest("sha256", resource.sha256, TABLE)
        return Known(resource, entry, table=Fingerprint(digest, "table", notes))
    return Known(resource, entry)


def _tree(content: bytes, resource: Resource) -> TableTree:
    try:
        tree = TableTree.from_dict(parse_json(content))
        digest = tree.digest
    except (EnvelopeError, FingerprintError, TypeError, ValueError, AttributeError) as error:
        raise _wrong(resource) from error
    if str(digest) != resource.digest:
        raise _wrong(resource)
    return tree


def _files(content: bytes, resource: Resource) -> Mapping[str, str]:
    if hashlib.sha256(content).hexdigest() != resource.sha256:
        raise _wrong(resource)
    try:
        return {str(item["name"]): str(item["digest"]) for item in parse_json(content)["resources"]}
    except (EnvelopeError, KeyError, TypeError) as error:
        raise _wrong(resource) from error


def _wrong(resource: Resource) -> FingerprintError:
    return FingerprintError(
        f"What is kept as the parts of {resource.name!r} does not give its digest "
        f"{resource.digest}.",
        hint="Run `affidavit verify`: a file or an entry may have been changed.",
    )
