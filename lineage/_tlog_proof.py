"""Offline inclusion proofs (C2SP tlog-proof, format line ``c2sp.org/tlog-proof@v1``).

```
c2sp.org/tlog-proof@v1
index 2
mIaUM1Q5ySA1EwvKHt0c8SdtwH27BUR7sVgBcOmOYVU=

affidavit.local/3f2a9c0d51e7b846
3
9r0dX1eD0oXo2m8Yc4tA4p0cD8i3pYV7wV1xWzJmPzU=

— affidavit.local/3f2a9c0d51e7b846 hQ8xQh1…
```

An optional line ``extra <base64>`` before the index carries bytes that nothing vouches for. The
hashes lead from the leaf's sibling to the root's child (RFC 6962 §2.1.1); after an empty line the
checkpoint follows as it was signed, cosignatures included.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from affidavit.errors import ProofError
from affidavit.lineage._checkpoint import Checkpoint, open_checkpoint
from affidavit.lineage._merkle import HASH_SIZE, leaf_hash, verify_inclusion
from affidavit.lineage._note import NoteVerifier

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF = 64 * 1024
"""The largest proof that is read, in bytes."""
MAX_PATH = 63
"""A tree of up to 2**63 entries has no longer path."""
_INDEX = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class TlogProof:
    """The proof that an entry is in a log, with nothing else needed but the log's key.

    Args:
        index: The entry's log index.
        path: The hashes of the inclusion proof, leaf side first.
        checkpoint: The signed note, byte for byte.
        extra: Bytes that nothing vouches for.

    Raises:
        ProofError: The index is negative, or a hash has another length than 32 bytes.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def __post_init__(self) -> None:
        if not _INDEX.fullmatch(str(self.index)) or self.index >= 2**63:
            raise ProofError(f"A proof's index is below 2**63, not {self.index}.")
        if len(self.path) > MAX_PATH or any(len(step) != HASH_SIZE for step in self.path):
            raise ProofError(f"A proof's path is at most {MAX_PATH} hashes of {HASH_SIZE} bytes.")

    def to_bytes(self) -> bytes:
        """Return the proof as it stands in a ``.tlog-proof`` file."""
        lines = [HEADER]
        if self.extra:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(step).decode() for step in self.path]
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> TlogProof:
        """Return the proof in the bytes; nothing is verified yet.

        Raises:
            ProofError: The bytes are not a proof in the canonical form.
        """
        if len(data) > MAX_PROOF:
            raise ProofError(f"A proof has at most {MAX_PROOF} bytes, not {len(data)}.")
        head, blank, checkpoint = data.partition(b"\n\n")
        if not blank or not checkpoint:
            raise ProofError("A proof is its lines, an empty line, and a checkpoint.")
        try:
            header, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise ProofError("A proof's own lines are ASCII.") from error
        if header != HEADER:
            raise ProofError(f"A proof begins with {HEADER!r}, not {header[:80]!r}.")
        extra = b""
        if lines and lines[0].startswith("extra "):
            extra = decode_base64(lines.pop(0)[6:], "A proof's extra data")
            if not extra:
                raise ProofError("A proof without extra data has no line for it.")
        if not lines or not lines[0].startswith("index "):
            raise ProofError("A proof names the entry's index.")
        index = lines.pop(0)[6:]
        if not _INDEX.fullmatch(index):
            raise ProofError(f"A proof's index is a plain decimal number, not {index[:40]!r}.")
        path = tuple(decode_base64(line, "A proof's hash") for line in lines)
        return cls(int(index), path, checkpoint, extra)

    def verify(self, entry: bytes, verifier: NoteVerifier) -> Checkpoint:
        """Accept the proof that an entry's exact bytes are in the log, or raise.

        Args:
            entry: The entry's bytes.
            verifier: The log's public key, from a place that the log's operator cannot change.

        Returns:
            The checkpoint that covers the entry.

        Raises:
            CheckpointError: The checkpoint is not signed by the log's key.
            ProofError: The path does not lead from the entry to the checkpoint's root.
        """
        checkpoint = open_checkpoint(self.checkpoint, verifier)
        leaf = leaf_hash(entry)
        verify_inclusion(self.index, checkpoint.size, leaf, self.path, checkpoint.root)
        return checkpoint


def decode_base64(text: str, what: str) -> bytes:
    """Return the bytes of canonical standard base64 (RFC 4648 §4).

    Raises:
        ProofError: The text is something else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofError(f"{what} is standard base64.") from error
    if base64.b64encode(data).decode() != text:
        raise ProofError(f"{what} is canonical base64.")
    return data
