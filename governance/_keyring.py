"""The private keys of a home, and what its log says that they are trusted for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from affidavit.errors import (
    ConfigurationError,
    EnvelopeError,
    KeyFileError,
    LedgerCorruptError,
    VerificationError,
)
from affidavit.lineage import (
    KINDS,
    TRUST_ROOT,
    Envelope,
    PublicKey,
    Signer,
    SigningKey,
    Statement,
    TrustHistory,
    open_signer,
    parse_entry,
    parse_json,
    read_key,
    read_secret,
)
from affidavit.lineage.tables import STATEMENT

if TYPE_CHECKING:
    from affidavit._home import Home

PASSPHRASE = "AFFIDAVIT_KEY_PASSPHRASE"  # noqa: S105  # where it stands, not what it is
PIN = "AFFIDAVIT_HSM_PIN"

MOST_TRIES = 10
"""How often something is signed anew because the trust root changed meanwhile."""

_MOST_HISTORIES = 100
_NEWEST = select(func.max(STATEMENT.c.entry)).where(STATEMENT.c.kind == KINDS[TRUST_ROOT])

Root = tuple[int, Envelope, Statement]


class TrustMovedError(Exception):
    """Another trust root came in between; what was signed under the one before is not appended."""


class Keyring:
    """Finds a home's keys and holds them against the log's trust roots.

    A key is a file ``NAME.pem``, or a file ``NAME.uri`` that says where it is. While a key is being
    rotated there is a ``NAME.next`` beside it: of all of them the one in force is used, so that a
    crash in between leaves nothing to repair.

    Args:
        home: Whose keys.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = home.folder / "keys"
        self._roots: dict[int, Root] = {}
        self._histories: tuple[int, dict[int, TrustHistory]] = (-1, {})
        self._recorder: tuple[int, Signer] | None = None

    def newest(self, connection: Connection | None = None) -> int:
        """Return the log index of the trust root in force.

        Args:
            connection: An open transaction of the store, where there is one.

        Raises:
            KeyFileError: The log has none.
        """
        if connection is None:
            with self._home.ledger.store.reading() as opened:
                return self.newest(opened)
        index = connection.execute(_NEWEST).scalar()
        if index is None:
            raise KeyFileError("The log has no trust root.", hint="Run `affidavit verify`.")
        return int(index)

    def history(self, before: int | None = None) -> TrustHistory:
        """Return what the trust roots say taken together.

        Args:
            before: Only those before this log index; all by default.

        Raises:
            LedgerCorruptError: A trust root does not hold.
        """
        newest = self.newest()
        kept, known = self._histories
        if kept != newest:
            known = {}
        at = newest if before is None or newest < before else before
        if at in known:
            return known[at]
        history = TrustHistory(self._home.verifier)
        try:
            for index, envelope, statement in self._all_roots():
                if before is None or index < before:
                    history.apply(index, history.check(index, envelope, statement))
        except VerificationError as error:
            raise LedgerCorruptError(
                f"A trust root of the log does not hold: {error.message}",
                hint="Run `affidavit verify`.",
            ) from error
        if len(known) < _MOST_HISTORIES:
            self._histories = (newest, {**known, at: history})
        return history

    def recorder(self, at: int | None = None) -> Signer:
        """Return the recorder's key that is in force now.

        Args:
            at: What `newest` just returned, where it was asked.

        Raises:
            KeyFileError: There is none here.
        """
        at = self.newest() if at is None else at
        kept = self._recorder
        if kept is None or kept[0] != at:
            # Two threads may both do it: no lock that a forked child could find held.
            kept = self._recorder = (at, self._in_force("recorder", "recorder"))
        return kept[1]

    def person(self, name: str, identity: str, role: str) -> Signer:
        """Return a person's key that is in force now.

        Args:
            name: The file's name without its ending.
            identity: Whose it has to be.
            role: What it has to be enrolled for.

        Raises:
            KeyFileError: There is none here.
        """
        signer = self._in_force(name, role)
        root = self.history().root
        if root is None or root.keys[signer.keyid].identity != identity:
            raise KeyFileError(f"The key {signer.keyid[:16]} is not {identity!r}'s.")
        return signer

    def vouch(self, index: int, body: bytes) -> None:
        """Accept a statement that was signed elsewhere, if it would verify at a log index.

        Raises:
            KeyFileError: It would not.
        """
        try:
            parsed = parse_entry(body)
            if isinstance(parsed, dict):
                raise EnvelopeError("It is a record, not a statement.")
            self.history().signer(index, *parsed)
        except VerificationError as error:
            raise KeyFileError(
                f"The statement would not verify: {error.message}",
                hint="Sign it with a key that `affidavit keys list` shows.",
            ) from error

    def files(self, name: str) -> list[Path]:
        """Return the files of a key that are there, in the order in which they are looked at."""
        endings = (".uri", ".pem", ".next.uri", ".next.pem")
        paths = [self._folder / f"{name}{ending}" for ending in endings]
        # An auditor may not look into the folder: `Path.exists` would raise.
        return [path for path in paths if os.path.exists(path)]  # noqa: PTH110

    def log_key(self) -> SigningKey:
        """Return the log's own key.

        Raises:
            KeyFileError: It is missing, or cannot be opened.
        """
        return read_key(self._folder / "log.pem", passphrase=os.environ.get(PASSPHRASE))

    def is_in_force(self, path: Path) -> bool:
        """Return whether a key file leads to a key that the newest trust root lists."""
        root = self.history().root
        keys = {} if root is None else {keyid: key.public for keyid, key in root.keys.items()}
        return self._open(path, keys) is not None

    def _in_force(self, name: str, role: str) -> Signer:
        found = self.files(name)
        if not found:
            # The usual error of a file that is missing.
            return read_key(self._folder / f"{name}.pem", passphrase=os.environ.get(PASSPHRASE))
        history = self.history()
        trusted = history.root.find(role) if history.root is not None else {}
        for path in found:
            signer = self._open(path, trusted)
            if signer is not None:
                return signer
        raise KeyFileError(
            f"The key in {found[0]} is not in force as {role}: the trust root at entry "
            f"{self.newest()} does not list it.",
            hint="It was rotated or revoked: restore the newer key file; `affidavit keys list` "
            "shows what is in force, `affidavit keys rotate` makes a new one.",
        )

    def _open(self, path: Path, trusted: dict[str, PublicKey]) -> Signer | None:
        if path.suffix == ".pem":
            key = read_key(path, passphrase=os.environ.get(PASSPHRASE))
            return key if key.keyid in trusted else None
        keyid, uri = read_uri(path)
        return open_signer(uri, trusted[keyid], secret) if keyid in trusted else None

    def _all_roots(self) -> Iterator[Root]:
        """Give the trust roots in log order, each of them shown to be in the log."""
        from affidavit._read import Reader

        reader, indexes = Reader(self._home, settled=False), []
        at = reader.newest("trust-root")
        while at is not None:
            indexes.append(at)
            at = reader.newest("trust-root", before=at)
        for index in reversed(indexes):
            if index not in self._roots:
                self._roots[index] = self._read_root(index)
            yield self._roots[index]

    def _read_root(self, index: int) -> Root:
        from affidavit._evidence import included_entry

        parsed = parse_entry(included_entry(self._home, index)[0])
        if isinstance(parsed, dict):
            raise EnvelopeError("The trust root is not a statement.", index=index)
        return (index, *parsed)


def read_uri(path: Path) -> tuple[str, str]:
    """Return the key id and the URI in a file that says where a key is.

    Raises:
        KeyFileError: The file is missing, open to others, or malformed.
    """
    try:
        value = parse_json(read_secret(path))
    except VerificationError as error:
        raise KeyFileError(f"{path} is not JSON: {error.message}") from error
    if (
        not isinstance(value, dict)
        or set(value) != {"keyid", "uri"}
        or not all(isinstance(part, str) for part in value.values())
    ):
        raise KeyFileError(f"{path} names a key by its keyid and its uri, no more.")
    return value["keyid"], value["uri"]


def secret(name: str) -> str:
    """Return the PIN of a key in a device, from the environment.

    Raises:
        KeyFileError: It is not set.
    """
    pin = os.environ.get(PIN)
    if not pin:
        raise KeyFileError(f"The key asks for its {name}.", hint=f"Set {PIN}.")
    return pin


def person_name(identity: str, role: str) -> str:
    """Return the name of the files of a person's key, without their ending.

    Raises:
        ConfigurationError: The identity cannot be a person's.
    """
    if not identity or any(not (ch.isalnum() or ch in "-_.@") for ch in identity):
        raise ConfigurationError(
            f"{identity!r} cannot name a person.",
            hint="Use letters, digits and - _ . @, such as an e-mail address.",
        )
    return f"{role}-{identity}"
