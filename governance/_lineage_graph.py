"""The lineage graph of an artifact: what it was made from, back to the first source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from affidavit._home import Home
from affidavit._read import Reader
from affidavit.errors import NotFoundError

MAX_NODES = 500


@dataclass(frozen=True, slots=True)
class Node:
    """An artifact in the graph.

    Args:
        digest: ``sha256:…``.
        name: What the ledger calls it.
        recipe: How its digest was made.
        entry: The log index of the newest statement that names it.
    """

    digest: str
    name: str
    recipe: str
    entry: int


@dataclass(frozen=True, slots=True)
class Arrow:
    """A step of the graph.

    Args:
        source: The digest of what went in.
        target: The digest of what came out.
        via: The id of the run or read that did it.
        entry: Its log index.
    """

    source: str
    target: str
    via: str
    entry: int


@dataclass(frozen=True, slots=True)
class LineageGraph:
    """Artifacts and the steps between them.

    Args:
        roots: The digests that the question was about.
        nodes: All artifacts, by digest.
        arrows: All steps, in log order.
        complete: False where the graph was cut off at `MAX_NODES`.
    """

    roots: tuple[str, ...]
    nodes: dict[str, Node]
    arrows: tuple[Arrow, ...]
    complete: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the graph, JSON-safe."""
        return {
            "roots": list(self.roots),
            "nodes": [
                {"digest": n.digest, "name": n.name, "recipe": n.recipe, "entry": n.entry}
                for n in self.nodes.values()
            ],
            "edges": [
                {"source": a.source, "target": a.target, "via": a.via, "entry": a.entry}
                for a in self.arrows
            ],
            "complete": self.complete,
        }

    def to_dot(self) -> str:
        """Return the graph in the DOT language."""
        lines = ["digraph lineage {", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
        for node in self.nodes.values():
            label = f"{node.name}\n{node.digest[:19]}\nentry {node.entry}"
            lines.append(f"  {_quote(node.digest)} [label={_quote(label)}];")
        for arrow in self.arrows:
            label = f"{arrow.via[:12]} (entry {arrow.entry})"
            lines.append(
                f"  {_quote(arrow.source)} -> {_quote(arrow.target)} [label={_quote(label)}];"
            )
        return "\n".join([*lines, "}"]) + "\n"

    def to_lines(self) -> Iterator[str]:
        """Give the graph as an indented tree, an artifact a line."""
        for root in self.roots:
            yield from self._branch(root, 0, set())

    def _branch(self, digest: str, depth: int, above: set[str]) -> Iterator[str]:
        node = self.nodes[digest]
        yield f"{'    ' * depth}{node.name}  {digest[:19]}…  {node.recipe}  entry {node.entry}"
        if digest in above:
            return
        for arrow in self.arrows:
            if arrow.target == digest:
                yield f"{'    ' * depth}  └─ made by {arrow.via} (entry {arrow.entry}) from"
                yield from self._branch(arrow.source, depth + 1, above | {digest})


def lineage_of(home: Home, key: str) -> LineageGraph:
    """Return the graph that leads to a system's newest model, or to an artifact.

    Args:
        home: Whose ledger is asked.
        key: A system's name, a reference such as ``credit-risk@production``, or a digest.

    Raises:
        NotFoundError: The ledger knows nothing by that key.
    """
    reader = Reader(home)
    roots = _roots(reader, key)
    nodes: dict[str, Node] = {}
    arrows: dict[tuple[str, str, str], Arrow] = {}
    todo = set(roots)
    while todo and len(nodes) < MAX_NODES:
        for digest in sorted(todo):
            nodes[digest] = _node(reader, digest)
        found = [
            Arrow(str(r["source"]), str(r["target"]), str(r["via"]), int(r["entry"]))
            for r in reader.edges_into(todo)
        ]
        for arrow in found:
            arrows[arrow.source, arrow.target, arrow.via] = arrow
        todo = {arrow.source for arrow in found} - set(nodes)
    for digest in todo:
        nodes[digest] = _node(reader, digest)
    ordered = sorted(arrows.values(), key=lambda a: (a.entry, a.source, a.target))
    return LineageGraph(roots, nodes, tuple(ordered), not todo)


def _roots(reader: Reader, key: str) -> tuple[str, ...]:
    name, _, version = key.partition("@")
    if name in reader.systems():
        try:
            return (reader.model(name, version or "latest").digest,)
        except NotFoundError:
            newest = reader.newest("run", name=name)
            if version or newest is None:
                raise
            return tuple(s.digest for s in reader.statement(newest).subjects)
    digest = key if key.startswith("sha256:") else f"sha256:{key}"
    if reader.artifacts(digest):
        return (digest,)
    newest = reader.newest("dataset", name=key)
    if newest is not None:
        return tuple(s.digest for s in reader.statement(newest).subjects)
    known = ", ".join(reader.systems()) or "none yet"
    raise NotFoundError(
        f"No system, dataset or artifact is known as {key!r}.", hint=f"The systems are: {known}."
    )


def _node(reader: Reader, digest: str) -> Node:
    mentions = reader.artifacts(digest)
    if not mentions:
        return Node(digest, "(unknown)", "", -1)
    newest = mentions[0]
    name = reader.dataset_name(digest) or str(newest["name"])
    return Node(digest, name, str(newest["recipe"]), int(newest["entry"]))


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
