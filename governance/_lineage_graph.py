"""The lineage of a system or artifact, by name, as text, JSON or DOT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from affidavit._home import Home
from affidavit._read import Reader
from affidavit._read_lineage import Lineage, LineageNode, read_lineage
from affidavit.errors import NotFoundError


def lineage_of(home: Home, key: str) -> tuple[str, Lineage]:
    """Return the graph that leads to a system's newest model, or to an artifact.

    Args:
        home: Whose ledger is asked.
        key: A system's name, a reference such as ``credit-risk@production``, a dataset's name, or a
            digest.

    Returns:
        The digest that the question was about, and the graph around it.

    Raises:
        NotFoundError: The ledger knows nothing by that key.
    """
    root = _root(Reader(home), key)
    return root, read_lineage(home, root)


def lineage_json(root: str, graph: Lineage) -> dict[str, Any]:
    """Return the graph, JSON-safe: artifacts and statements as nodes, arrows as pairs of keys."""
    return {
        "root": root,
        "nodes": [
            {"key": n.key, "kind": n.kind, "name": n.label, "entry": n.entry} for n in graph.nodes
        ],
        "edges": [{"source": source, "target": target} for source, target in graph.edges],
        "complete": not graph.cut,
    }


def lineage_dot(graph: Lineage) -> str:
    """Return the graph in the DOT language: artifacts as boxes, statements as ellipses."""
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    for node in graph.nodes:
        shape = "box" if node.kind == "artifact" else "ellipse"
        lines.append(f"  {_quote(node.key)} [shape={shape}, label={_quote(_label(node))}];")
    lines += [f"  {_quote(source)} -> {_quote(target)};" for source, target in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"


def lineage_lines(root: str, graph: Lineage) -> Iterator[str]:
    """Give the graph as an indented tree from the root back to its origins, a node a line."""
    nodes = {node.key: node for node in graph.nodes}
    sources: dict[str, list[str]] = {}
    for source, target in graph.edges:
        sources.setdefault(target, []).append(source)

    def branch(key: str, depth: int, above: frozenset[str]) -> Iterator[str]:
        yield f"{'  ' * depth}{_label(nodes[key]).replace(chr(10), '  ')}"
        for source in sources.get(key, ()):
            if source not in above:
                yield from branch(source, depth + 1, above | {key})

    yield from branch(root, 0, frozenset())
    measured = [node for node in graph.nodes if root in sources.get(node.key, ())]
    for node in measured:
        yield f"measured: {_label(node).replace(chr(10), '  ')}"
    if graph.cut:
        yield "… the graph goes on; ask for one of the artifacts above."


def _root(reader: Reader, key: str) -> str:
    name, _, version = key.partition("@")
    if name in reader.systems():
        return reader.model(name, version or "latest").digest
    digest = key if key.startswith("sha256:") else f"sha256:{key}"
    if reader.artifacts(digest):
        return digest
    newest = reader.newest("dataset", name=key)
    if newest is not None:
        return reader.statement(newest).subjects[0].digest
    known = ", ".join(reader.systems()) or "none yet"
    raise NotFoundError(
        f"No system, dataset or artifact is known as {key!r}.", hint=f"The systems are: {known}."
    )


def _label(node: LineageNode) -> str:
    if node.kind == "artifact":
        return f"{node.label or '(unnamed)'}\n{node.key[:19]}…"
    return f"{node.kind} {node.label}\nentry {node.entry}".replace("  ", " ")


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
