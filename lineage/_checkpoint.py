"""Checkpoints: the signed heads of the log (C2SP tlog-checkpoint).

The note's text is the origin, the tree size in decimal, the root in base64, each on a line of its
own; further non-empty lines are extensions. Ours says how many of the entries are statements:

```
affidavit.local/bdc6cff2f1c04b98
28
NmdNdV+cJxj9lVwCV2/ZAlZPvvaYJyY3mDP5G9HZcVE=
affidavit statements 16
```

so that whoever keeps a checkpoint can tell that no statement was removed when records were pruned.
Other extensions are kept and not interpreted.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from affidavit.errors import CheckpointError
from affidavit.lineage._merkle import HASH_SIZE
from affidavit.lineage._note import Note, NoteSigner, NoteVerifier, sign_note

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_STATEMENTS = re.compile(r"affidavit statements (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says.

    Args:
        origin: The log's identity.
        size: The number of entries.
        root: The 32-byte root of the tree over them.
        extensions: Further lines.

    Raises:
        CheckpointError: A line is empty or holds a newline, or the size or root is impossible.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extensions)
        if not all(lines) or any("\n" in line for line in lines):
            raise CheckpointError("A checkpoint's origin and extensions are non-empty lines.")
        if not _SIZE.fullmatch(str(self.size)) or len(self.root) != HASH_SIZE:
            raise CheckpointError(f"A checkpoint has a size and a root of {HASH_SIZE} bytes.")

    @classmethod
    def counting(cls, origin: str, size: int, root: bytes, statements: int) -> Checkpoint:
        """Return a checkpoint that says how many of its entries are signed statements."""
        return cls(origin, size, root, (f"affidavit statements {statements}",))

    @property
    def statements(self) -> int | None:
        """How many of the entries are signed statements; None where it does not say."""
        found = [match for line in self.extensions if (match := _STATEMENTS.fullmatch(line))]
        return int(found[0][1]) if len(found) == 1 else None

    def text(self) -> bytes:
        """Return the bytes that are signed."""
        lines = [self.origin, str(self.size), base64.b64encode(self.root).decode()]
        return ("\n".join([*lines, *self.extensions]) + "\n").encode()

    def signed(self, *signers: NoteSigner) -> bytes:
        """Return the checkpoint as a signed note."""
        return sign_note(self.text(), *signers)

    @classmethod
    def parse(cls, text: bytes) -> Checkpoint:
        """Return the checkpoint in a note's text.

        Raises:
            CheckpointError: The text is not in the canonical form.
        """
        try:
            lines = text.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise CheckpointError("A checkpoint is UTF-8 text.") from error
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise CheckpointError("A checkpoint has an origin, a size and a root, a line each.")
        origin, size, encoded, *extensions = lines[:-1]
        if not _SIZE.fullmatch(size):
            raise CheckpointError(f"A tree size is a plain decimal number, not {size[:40]!r}.")
        try:
            root = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise CheckpointError("A checkpoint's root is base64.") from error
        if len(root) != HASH_SIZE or base64.b64encode(root).decode() != encoded:
            raise CheckpointError("A checkpoint's root is canonical base64 of 32 bytes.")
        return cls(origin, int(size), root, tuple(extensions))


def open_checkpoint(note: bytes, verifier: NoteVerifier) -> Checkpoint:
    """Return the checkpoint in a note that a log's key has signed.

    Args:
        note: The signed note's bytes.
        verifier: The log's key; its name is the origin that is expected.

    Raises:
        CheckpointError: The note is malformed, of another log, or not signed by the key.
    """
    parsed = Note.parse(note)
    parsed.verify(verifier)
    checkpoint = Checkpoint.parse(parsed.text)
    if checkpoint.origin != verifier.name:
        raise CheckpointError(
            f"The checkpoint is of the log {checkpoint.origin!r}, not of {verifier.name!r}."
        )
    return checkpoint
