"""`affidavit tags`: what columns hold, proposed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from affidavit._terminal import print_json, print_table, say

tags = typer.Typer(no_args_is_help=True, help="Tags of columns.")


@tags.callback()
def _group() -> None:
    """Tags of columns."""


@tags.command("propose")
def propose(
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet file.")],
    *,
    name: Annotated[str, typer.Option(help="The dataset's name; by default the file's.")] = "",
    at_least: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out proposals of less confidence.")
    ] = 0.5,
    separator: Annotated[str, typer.Option(help="What separates a CSV file's values.")] = ",",
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Whether the first line has names.")
    ] = True,
    write: Annotated[bool, typer.Option("--write", help="Add them to affidavit.toml.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Propose tags for a file's columns, by their names and values. Nothing is decided by that."""
    from affidavit._propose import (
        difference,
        propose_for_file,
        replace_file,
        toml_snippet,
        with_tags,
    )
    from affidavit._settings import load_settings

    dataset = name or file.stem
    found = propose_for_file(file, dataset, at_least=at_least, separator=separator, header=header)
    chosen = found.tags({**found.carried, **load_settings().column_tags(dataset)})
    path = Path(os.environ.get("AFFIDAVIT_CONFIG") or "affidavit.toml")
    before = path.read_text("utf-8") if path.is_file() else ""
    after = with_tags(before, dataset, chosen) if write and chosen else before
    if not as_json:
        rows = [
            (p.column, p.tag, f"{p.confidence:.2f}", "; ".join(p.reasons)) for p in found.proposals
        ]
        say(f"{found.rows} rows, {len(found.columns)} columns, {len(rows)} proposals.")
        if rows:
            print_table("", ("column", "tag", "confidence", "because"), rows)
        if chosen and not write:
            say(toml_snippet(dataset, chosen))
    written = False
    if after != before:
        if not as_json:
            say(difference(before, after, path.name))
        if yes or (not as_json and typer.confirm(f"Write this to {path.name}?")):
            replace_file(path, after)
            written = True
    if as_json:
        print_json(
            {
                "ok": True,
                "dataset": dataset,
                "rows": found.rows,
                "columns": list(found.columns),
                "proposals": [item.to_dict() for item in found.proposals],
                "carried": {name: list(words) for name, words in found.carried.items()},
                "toml": toml_snippet(dataset, chosen) if chosen else "",
                "written": written,
            }
        )
