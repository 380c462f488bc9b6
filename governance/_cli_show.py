"""`affidavit log`, `show`, `lineage` and `explain`: what is in the ledger."""

from __future__ import annotations

import base64
import sys
from typing import Annotated, Any

import typer

from affidavit._terminal import clean, print_facts, print_json, print_table, say

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register_show(app: typer.Typer) -> None:
    """Add the commands that look into the ledger."""
    for command in (log, show, lineage, explain):
        app.command()(command)


def log(
    *,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=10_000)] = 20,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """List entries, the newest first."""
    from affidavit._context import present
    from affidavit._read import Reader

    _, home = present()
    head = home.ledger.head()
    entries = Reader(home).recent(limit=limit, offset=offset)
    rows = [summary(entry) for entry in entries]
    if as_json:
        print_json({"ok": True, "size": head.size, "entries": rows})
        return
    columns = ("entry", "kind", "name", "outcome", "actor", "time", "id")
    table = [[row[column] for column in columns] for row in rows]
    print_table(f"{head.size} entries in {head.origin}", columns, table, empty="The log is empty.")


def summary(entry: Any) -> dict[str, Any]:
    """Return one line of the log about an entry."""
    from affidavit._decision_record import decision_facts
    from affidavit.lineage import statement_facts, statement_id

    if entry.record is not None:
        record = entry.record
        if record["record"] == "decision":
            decided = decision_facts(record)
            return {
                "entry": entry.index,
                "kind": "decision",
                "name": decided.resource,
                "outcome": "allow" if decided.allow else "deny",
                "actor": decided.actor,
                "time": decided.time,
                "id": decided.id,
            }
        outcome = record.get("outcome") or record.get("event", "")
        name = record.get("model") or record.get("object") or ""
        if record["record"] == "access":
            outcome = record.get("action", "")
        kind, identifier = record["record"], record["id"]
        facts = {"name": name, "outcome": outcome, "actor": record.get("actor", "")}
        facts["time"] = record["time"]
    else:
        facts = statement_facts(entry.statement)
        kind = entry.statement.kind
        identifier = statement_id(entry.statement, entry.envelope.payload)
    return {"entry": entry.index, "kind": kind, **facts, "id": identifier}


def show(
    key: Annotated[str, typer.Argument(help="An entry's index, an id, a digest, or a name.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show what the ledger holds about something, with its place in the log checked."""
    from affidavit._context import present
    from affidavit._read import Reader

    _, home = present()
    reader = Reader(home)
    found = reader.find(key)
    if len(found) > 1:
        rows = [summary(reader.entry(index)) for index in found]
        if as_json:
            print_json({"ok": True, "entries": rows})
            return
        columns = ("entry", "kind", "name", "outcome", "actor", "time")
        title = f"{len(found)} entries about {key}"
        print_table(title, columns, [[row[column] for column in columns] for row in rows])
        return
    _show_one(home, reader, found[0], as_json=as_json)


def _show_one(home: Any, reader: Any, index: int, *, as_json: bool) -> None:
    from affidavit._evidence import included_entry
    from affidavit.lineage import leaf_hash

    body, head, path = included_entry(home, index)
    entry = reader.entry(index)
    content = entry.record if entry.record is not None else _statement(entry)
    proof = {
        "leaf": leaf_hash(body).hex(),
        "size": head.size,
        "root": head.root.hex(),
        "path": [base64.b64encode(step).decode() for step in path],
    }
    if as_json:
        print_json({"ok": True, **summary(entry), "content": content, "inclusion": proof})
        return
    print_facts(summary(entry))
    say(f"included in the tree of {head.size} entries, root {head.root.hex()}", "green")
    import json

    sys.stdout.write(clean(json.dumps(content, indent=2, ensure_ascii=False)) + "\n")


def _statement(entry: Any) -> dict[str, Any]:
    statement = entry.statement
    return {
        "signed by": [keyid for keyid, _ in entry.envelope.signatures],
        "predicateType": statement.predicate_type,
        "subject": [subject.to_json() for subject in statement.subjects],
        "predicate": statement.predicate,
    }


def lineage(
    name: Annotated[str, typer.Argument(help="A system, dataset, reference or digest.")],
    *,
    form: Annotated[str, typer.Option("--format", help="text, json or dot.")] = "text",
    as_json: AsJson = False,
) -> None:
    """Show what an artifact was made from, back to the first source."""
    from affidavit._context import present
    from affidavit._lineage_graph import (
        lineage_dot,
        lineage_json,
        lineage_lines,
        lineage_of,
    )

    if form not in {"text", "json", "dot"}:
        raise typer.BadParameter(f"{form!r} is not text, json or dot.", param_hint="--format")
    _, home = present()
    root, graph = lineage_of(home, name)
    if as_json or form == "json":
        print_json({"ok": True, **lineage_json(root, graph)})
    elif form == "dot":
        sys.stdout.write(clean(lineage_dot(graph)))
    else:
        for line in lineage_lines(root, graph):
            say(line)


def explain(
    identifier: Annotated[str, typer.Argument(help="A served prediction's id.")],
    *,
    top: Annotated[int, typer.Option(min=1, help="How many reasons.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Explain a served decision from its record; the reading is recorded."""
    from affidavit._decisions import explain_decision

    found = explain_decision(identifier)
    reasons = [dict(reason) for reason in found.reasons[:top]]
    if as_json:
        facts = {
            "ok": True,
            "id": identifier,
            "entry": found.decision.entry,
            "model_digest": found.decision.record.get("model_digest"),
            "output": found.decision.output,
            "explained_output": found.output,
            "base_value": found.base_value,
            "output_space": found.output_space,
            "method": found.method,
            "residual": found.residual,
            "background": found.background,
        }
        print_json({**facts, "reasons": reasons})
        return
    print_facts(
        {
            "prediction": f"{identifier} (entry {found.decision.entry})",
            "model": found.decision.record.get("model_digest"),
            "output": found.decision.output,
            "explained": f"{found.output:.6g} ({found.output_space}); average "
            f"{found.base_value:.6g}",
            "method": f"{found.method}, residual {found.residual:.2g}",
        }
    )
    rows = [(r["feature"], r["value"], f"{r['contribution']:+.4g}") for r in reasons]
    print_table("Reasons", ("feature", "value", f"contribution ({found.output_space})"), rows)
