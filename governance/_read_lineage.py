"""The lineage of an artifact: the statements and artifacts behind it, and what was measured on it.

Artifacts and the statements that made them alternate, as in W3C PROV (entities and activities), so
that each arrow can be followed to the entry that asserts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from affidavit._read import Reader

if TYPE_CHECKING:
    from affidavit._home import Home

_MEASURED = ("evaluation", "explanation")
_LIMIT = 60
"""How many nodes are followed; a longer history says that it goes on."""


@dataclass(frozen=True, slots=True)
class LineageNode:
    """An artifact or a statement.

    Args:
        key: The artifact's digest, or ``entry N`` for a statement.
        kind: ``artifact``, or the statement's kind.
        label: What it is called.
        entry: The log index of the statement, or of the newest one that names the artifact.
        layer: Its place from the origins (0) to what was measured last.
    """

    key: str
    kind: str
    label: str
    entry: int
    layer: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """A lineage graph.

    Args:
        nodes: Its nodes, by layer.
        edges: (from key, to key) of each arrow.
        cut: Whether there is more than is shown.
    """

    nodes: tuple[LineageNode, ...]
    edges: tuple[tuple[str, str], ...]
    cut: bool = False


class _Walk:
    """Collects nodes and arrows backwards from an artifact."""

    def __init__(self, home: Home) -> None:
        self._reader = Reader(home)
        self.labels: dict[str, tuple[str, str, int]] = {}
        self.edges: set[tuple[str, str]] = set()
        self.cut = False

    def artifact(self, digest: str, name: str, entry: int) -> bool:
        """Note an artifact; True where it is new."""
        known = digest in self.labels
        if not known:
            self.labels[digest] = ("artifact", name, entry)
        return not known

    def statement(self, entry: int, kind: str, name: str) -> str:
        """Note a statement and return its key."""
        key = f"entry {entry}"
        self.labels.setdefault(key, (kind, name, entry))
        return key

    def back(self, start: str) -> None:
        """Follow an artifact to its origins."""
        waiting = [start]
        while waiting:
            digest = waiting.pop()
            for row in self._reader.makers(digest):
                if len(self.labels) > _LIMIT:
                    self.cut = True
                    return
                entry = int(row["entry"])
                key = self.statement(entry, str(row["kind"]), str(row["name"]))
                self.edges.add((key, digest))
                for part in self._reader.parts(entry, "input"):
                    source = str(part["digest"])
                    if self.artifact(source, str(part["name"]), entry):
                        waiting.append(source)
                    if (source, key) not in self.edges and source != digest:
                        self.edges.add((source, key))

    def forward(self, digest: str) -> None:
        """Add what was measured on an artifact."""
        for kind in _MEASURED:
            for entry in self._reader.evidence(digest, kind):
                if len(self.labels) > _LIMIT:
                    self.cut = True
                    return
                key = self.statement(entry, kind, "")
                self.edges.add((digest, key))
                for part in self._reader.parts(entry, "input"):
                    if part["name"] != "labels":
                        source = str(part["digest"])
                        if self.artifact(source, str(part["name"]), entry):
                            self.back(source)
                        self.edges.add((source, key))


def read_lineage(home: Home, digest: str) -> Lineage:
    """Return where an artifact comes from, and what was measured on it.

    Args:
        home: Whose ledger is read.
        digest: The artifact's digest.

    Raises:
        LedgerError: The store cannot be read.
    """
    walk = _Walk(home)
    named = Reader(home).artifacts(digest)
    walk.artifact(
        digest, str(named[-1]["name"]) if named else "", int(named[-1]["entry"]) if named else 0
    )
    walk.back(digest)
    walk.forward(digest)
    layers = _layers(set(walk.labels), walk.edges)
    nodes = [
        LineageNode(key, kind, label, entry, layers[key])
        for key, (kind, label, entry) in walk.labels.items()
    ]
    nodes.sort(key=lambda node: (node.layer, node.entry, node.key))
    return Lineage(tuple(nodes), tuple(sorted(walk.edges)), walk.cut)


def _layers(keys: set[str], edges: set[tuple[str, str]]) -> dict[str, int]:
    """Return each node's longest distance from an origin; a loop in the data ends the count."""
    layers = dict.fromkeys(keys, 0)
    for _ in range(len(keys)):
        changed = False
        for source, target in edges:
            if layers[target] < layers[source] + 1 <= len(keys):
                layers[target] = layers[source] + 1
                changed = True
        if not changed:
            break
    # What has no origin of its own stands right before what uses it.
    made = {target for _, target in edges}
    for key in keys - made:
        following = [layers[target] for source, target in edges if source == key]
        layers[key] = min(following, default=1) - 1
    return layers
