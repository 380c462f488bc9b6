"""Tags proposed for the columns of a file, and the settings that would declare them."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affidavit.errors import ConfigurationError, MissingDependencyError, NotFoundError
from affidavit.policies import TagProposal, propose_tags, tags_in_metadata

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class FileProposals:
    """What is proposed for a file.

    Args:
        dataset: The dataset's name.
        proposals: The proposals, by column.
        carried: Tags that the file's own metadata give its columns.
        columns: The names of all columns.
        rows: How many rows were read.
    """

    dataset: str
    proposals: tuple[TagProposal, ...]
    carried: Mapping[str, list[str]]
    columns: tuple[str, ...]
    rows: int

    def tags(self, known: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Return the tags to declare: the most confident of each column that has none yet.

        Args:
            known: The tags that are declared already.
        """
        found: dict[str, list[str]] = {}
        for item in self.proposals:
            if not known.get(item.column):
                found.setdefault(item.column, [item.tag])
        return found


def propose_for_file(
    path: Path, name: str, *, at_least: float, separator: str = ",", header: bool = True
) -> FileProposals:
    """Propose tags for the columns of a CSV or Parquet file.

    A CSV file is read as text, so that leading zeros stay.

    Args:
        path: The file.
        name: The dataset's name.
        at_least: Proposals of less confidence are left out.
        separator: What separates a CSV file's values.
        header: Whether a CSV file's first line names the columns.

    Raises:
        NotFoundError: There is no such file.
        ConfigurationError: It cannot be read as its ending says.
        MissingDependencyError: The extra ``detect`` is not installed.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", hint="Name a .csv or .parquet file.")
    table = _read(path, separator, header=header)
    today = dt.datetime.now(dt.UTC).date()
    found = propose_tags(table, today=today, at_least=at_least)
    carried = tags_in_metadata(table)
    return FileProposals(name, found, carried, tuple(table.column_names), table.num_rows)


def _read(path: Path, separator: str, *, header: bool) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import csv, parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "detect") from error
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            batches = parquet.ParquetFile(path).iter_batches(_ROWS)
            first = next(batches, None)
            schema = parquet.read_schema(path)
            return pa.Table.from_batches([] if first is None else [first], schema)
        if len(separator) != 1:
            raise ConfigurationError(f"The separator is {separator!r}, expected one character.")
        reading = csv.ReadOptions(autogenerate_column_names=not header)
        parsing = csv.ParseOptions(delimiter=separator, newlines_in_values=True)
        with csv.open_csv(path, reading, parsing) as opened:
            names = opened.schema.names
        types = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
        )
        rows: list[Any] = []
        with csv.open_csv(path, reading, parsing, types) as opened:
            for batch in opened:
                rows.append(batch)
                if sum(item.num_rows for item in rows) >= _ROWS:
                    break
            return pa.Table.from_batches(rows, opened.schema)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
        # Arrow's message may quote a line of the file.
        raise ConfigurationError(
            f"{path.name} cannot be read as {path.suffix.lower() or 'CSV'} "
            f"({type(error).__name__}).",
            hint="Give a CSV file (with --separator, where that is no comma) or a Parquet file.",
        ) from None


def toml_snippet(dataset: str, tags: Mapping[str, Sequence[str]]) -> str:
    """Return the section of ``affidavit.toml`` that declares tags."""
    return f"[datasets.{_key(dataset)}.columns]\n{_lines(tags)}"


def with_tags(text: str, dataset: str, tags: Mapping[str, Sequence[str]]) -> str:
    """Return settings with a dataset's tags added, everything else as it was.

    Args:
        text: The content of ``affidavit.toml``.
        dataset: The dataset's name.
        tags: The tags, of columns that have none there yet.

    Raises:
        ConfigurationError: The text is no TOML, or declares the dataset in a way that lines cannot
            be added to.
    """
    before = _parsed(text)
    header = f"[datasets.{_key(dataset)}.columns]"
    lines = text.splitlines(keepends=True)
    places = [n for n, line in enumerate(lines) if line.split("#")[0].strip() == header]
    if places:
        kept = "".join(lines[: places[0]])
        line = lines[places[0]]
        line = line if line.endswith("\n") else line + "\n"
        after = kept + line + _lines(tags) + "".join(lines[places[0] + 1 :])
    else:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        after = text + gap + toml_snippet(dataset, tags)
    wanted = _merged(before, dataset, tags)
    try:
        holds = tomllib.loads(after) == wanted
    except tomllib.TOMLDecodeError:
        holds = False
    if not holds:
        raise ConfigurationError(
            f"The settings declare the dataset {dataset!r} in a way that lines cannot be added to.",
            hint="Add the printed section by hand.",
        )
    return after


def difference(before: str, after: str, name: str) -> str:
    """Return what would change in a file, as a unified diff."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, name
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all, with the mode that it had."""
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
            out.write(text)
        if path.exists():
            Path(made).chmod(path.stat().st_mode & 0o7777)
        else:
            Path(made).chmod(0o644)
        Path(made).replace(path)
    except OSError:
        Path(made).unlink(missing_ok=True)
        raise


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The settings cannot be read: {error}.") from error


def _merged(
    content: Mapping[str, Any], dataset: str, tags: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    datasets = dict(content.get("datasets", {}))
    declared = dict(datasets.get(dataset, {}))
    columns = {**declared.get("columns", {}), **{name: list(words) for name, words in tags.items()}}
    datasets[dataset] = {**declared, "columns": columns}
    return {**content, "datasets": datasets}


def _lines(tags: Mapping[str, Sequence[str]]) -> str:
    return "".join(
        f"{_key(name)} = [{', '.join(map(_quoted, words))}]\n" for name, words in tags.items()
    )


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    """Return a basic string (TOML 1.0, String)."""
    marks = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    told = (
        marks.get(ch) or (f"\\u{ord(ch):04x}" if ord(ch) < 0x20 or ord(ch) == 0x7F else ch)
        for ch in text
    )
    return f'"{"".join(told)}"'
