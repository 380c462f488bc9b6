"""The Affidavit home: one folder with the ledger, the keys and the artifacts.

```
.affidavit/
├── ledger.db            the store, where the setting `store` names no other place
├── log.pub              the log's verifier key: give a copy to whoever audits
├── place                the id of this folder, for the log to know whose spools lie in it
├── spool/               what processes acknowledged and the log does not hold yet, sealed
├── keys/                mode 0700: log.pem, recorder.pem, master.key and approvers' keys, 0600
└── artifacts/           model files, explanation values and backgrounds, by digest
```
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from affidavit._artifacts import ArtifactStore
from affidavit._begin_ledger import PENDING, begin_ledger, check_empty
from affidavit._keyring import MOST_TRIES, PASSPHRASE, Keyring, TrustMovedError, person_name
from affidavit.errors import (
    ConfigurationError,
    KeyFileError,
    LedgerError,
    LedgerUnavailableError,
    NotInitialisedError,
)
from affidavit.lineage import (
    Appending,
    Ledger,
    NoteSigner,
    NoteVerifier,
    PayloadVault,
    SealedPayload,
    Signer,
    SigningKey,
    Statement,
    TrustedKey,
    TrustRoot,
    read_secret,
    store_location,
    timestamp,
    write_key,
    write_secret,
)

PERSONAL_ROLES = ("approver", "recorder", "waiver")
"""What a person's or process's key may be enrolled for."""


class Home:
    """An open home.

    Args:
        folder: Where it is.
        store: The URL of the PostgreSQL database that holds the ledger; empty where the ledger is
            in the folder.

    Raises:
        NotInitialisedError: There is none.
        ConfigurationError: The folder holds a ledger, and a URL is given.
        KeyFileError: The log's public key is missing or malformed.
    """

    def __init__(self, folder: Path, store: str = "") -> None:
        self.folder = folder
        self.artifacts = ArtifactStore(folder / "artifacts")
        self.url = store
        """The URL of the store, which may hold a password; empty where it is in the folder."""
        self.database: Path | str = store or folder / "ledger.db"
        """The store: a file, or its URL."""
        # Of a ledger elsewhere the home has its public key, which is made with it.
        self._path = str(folder / ("log.pub" if store else "ledger.db"))
        self._key_path = str(folder / "log.pub")
        self._file = self._present()
        if self._file is None:
            elsewhere = not store and (folder / "log.pub").exists()
            raise NotInitialisedError(
                f"The home {folder} holds no ledger of its own."
                if elsewhere
                else f"There is no Affidavit home at {folder}.",
                hint="Name its database in AFFIDAVIT_STORE, or restore ledger.db."
                if elsewhere
                else "Run `affidavit init`, or set AFFIDAVIT_HOME to the folder that holds one.",
            )
        if store and (folder / "ledger.db").exists():
            raise ConfigurationError(
                f"The home {folder} holds a ledger of its own, and the setting store names "
                f"{store_location(store)}.",
                hint="One log key signs one log: unset AFFIDAVIT_STORE, or name another home.",
            )

    @property
    def location(self) -> str:
        """Where the store is, as messages name it: without a password."""
        return store_location(self.database)

    def moved(self) -> bool:
        """Return whether another store, or none, stands where this one was opened."""
        return self._present() != self._file

    def _present(self) -> tuple[int, ...] | None:
        """Return what tells this ledger from another at the same place; None where none is."""
        store = self._seen(self._path)
        if store is None:
            return None
        # A file that is made anew may get the number of the one before. The public key is written
        # once, so that its time tells; where it is missing, reading it says so.
        key = self._seen(self._key_path)
        return store.st_dev, store.st_ino, key.st_mtime_ns if key is not None else 0

    def _seen(self, path: str) -> os.stat_result | None:
        try:
            return os.stat(path)  # noqa: PTH116  # on the path of every guarded call
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LedgerUnavailableError(
                f"The home {self.folder} cannot be read: {error.strerror}.",
                hint="Let this user read and write the folder, or name another in AFFIDAVIT_HOME.",
            ) from error

    @cached_property
    def verifier(self) -> NoteVerifier:
        """The log's public key."""
        path = self.folder / "log.pub"
        try:
            return NoteVerifier.parse(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileError(
                f"The log's public key {path} cannot be read.",
                hint="Restore it from a copy; every auditor should have one.",
            ) from error

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, opened for writing where the log's private key is at hand."""
        try:
            return Ledger(self.database, self.verifier, signer=self.signer())
        except OSError as error:
            raise LedgerUnavailableError(
                f"The ledger {self.location} cannot be reached: {error.strerror}.",
                hint="Let this user read and write the folder.",
            ) from error

    def signer(self) -> NoteSigner | None:
        """Return the log's private key, where it is at hand."""
        path = self.folder / "keys" / "log.pem"
        # An auditor may read the ledger and not the folder of the keys.
        if os.access(path.parent, os.X_OK) and path.exists():
            return NoteSigner(self.verifier.name, self.keyring.log_key().private)
        return None

    @cached_property
    def keyring(self) -> Keyring:
        """The private keys, and what the log says that they are trusted for."""
        return Keyring(self)

    @property
    def recorder(self) -> Signer:
        """The key that signs what the hooks record, in force now."""
        return self.keyring.recorder()

    @cached_property
    def place(self) -> str:
        """The id under which the log knows this folder of spools."""
        path = self.folder / "place"
        try:
            return path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerUnavailableError(
                f"The home's id {path} cannot be read.",
                hint="Restore it from a backup of the home.",
            ) from error

    def can_append(self) -> bool:
        """Return whether this user holds the keys that the log is written with."""
        held = (self.keyring.files("log"), self.keyring.files("recorder"))
        return all(any(os.access(path, os.R_OK) for path in files) for files in held)

    @cached_property
    def vault(self) -> PayloadVault:
        """What seals and opens personal data."""
        return PayloadVault(read_secret(self.folder / "keys" / "master.key"))

    def record(self, *entries: Statement | bytes, payloads: Sequence[SealedPayload] = ()) -> int:
        """Append statements, signed by the recorder, and records, under one checkpoint.

        Returns:
            The log index of the first; -1 where there were none.
        """
        signed = [n for n, entry in enumerate(entries) if _is_signed(entry)]
        for _ in range(MOST_TRIES):
            at = self.keyring.newest() if signed else -1
            bodies = [
                entry
                if isinstance(entry, bytes)
                else entry.sign(self.keyring.recorder(at)).to_bytes()
                for entry in entries
            ]

            def check(log: Appending, at: int = at, bodies: list[bytes] = bodies) -> None:
                if signed and self.keyring.newest(log.connection) != at:
                    raise TrustMovedError
                for n in signed:
                    if isinstance(entries[n], bytes):
                        self.keyring.vouch(log.tree.size + n, bodies[n])

            # A key that is rotated just now signs nothing that could never verify.
            with contextlib.suppress(TrustMovedError):
                appended = self.ledger.append(bodies, payloads, check=check)
                return appended[0] if appended else -1
        raise KeyFileError(
            "The trust root was changed again and again meanwhile.", hint="Try again."
        )

    def trust_root(self) -> TrustRoot:
        """Return the keys in force now, as the newest trust-root statement lists them.

        Raises:
            KeyFileError: The log has no trust root.
            LedgerCorruptError: A trust root does not hold.
        """
        root = self.keyring.history().root
        if root is None:
            raise KeyFileError("The log has no trust root.", hint="Run `affidavit verify`.")
        return root

    def enrol(self, identity: str, role: str, *, actor: str) -> str:
        """Make a key for a person, put it into the trust root, and return its id.

        See `affidavit._enrolment.enrol`, which can do more.
        """
        from affidavit._enrolment import enrol

        return enrol(self, identity, role, actor=actor).keyid

    def person_key(self, identity: str, role: str) -> Path:
        """Return where a person's private key is kept."""
        return self.folder / "keys" / f"{person_name(identity, role)}.pem"

    def close(self) -> None:
        """Close the store."""
        if "ledger" in self.__dict__:
            self.ledger.close()


def create_home(
    folder: Path, *, actor: str, origin: str = "", store: str = ""
) -> tuple[Home, bool]:
    """Make a home, or open the one that is there.

    It is made beside its place and renamed into it, so that of two processes one wins and the
    other finds the winner's, and nothing half-made stays. A ledger elsewhere is begun after that,
    in one transaction, by whoever comes first.

    Args:
        folder: Where it goes.
        actor: Who makes it, as recorded.
        origin: The log's name; by default a random one.
        store: The URL of the PostgreSQL database for the ledger; in the folder where empty.

    Returns:
        The home, and whether it was made now.

    Raises:
        ConfigurationError: Something else is in its place.
        LedgerError: The database holds something else.
        LedgerUnavailableError: It cannot be written there.
    """
    if store:
        if not (folder / "log.pub").exists():
            _make_keys(folder, actor, origin, store)
        home = Home(folder, store)
        began = begin_ledger(home)
        _complete(folder)
        return home, began
    if (folder / "ledger.db").exists() or (folder / "log.pub").exists():
        return Home(folder), False
    made = _make(folder, actor, origin, "")
    return Home(folder), made


def _make_keys(folder: Path, actor: str, origin: str, store: str) -> None:
    try:
        check_empty(store)
    except LedgerError:
        if not (folder / "log.pub").exists():
            raise
        # Another process has been through all of it meanwhile.
        return
    _make(folder, actor, origin, store)


def _make(folder: Path, actor: str, origin: str, store: str) -> bool:
    """Make the folder; False where another process was first."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}.new-"))
    except OSError as error:
        raise LedgerUnavailableError(
            f"A home cannot be made at {folder}: {error.strerror}.",
            hint="Name a folder that this user can write in AFFIDAVIT_HOME.",
        ) from error
    try:
        _fill(fresh, actor, origin or f"affidavit.local/{secrets.token_hex(8)}", store)
        fresh.rename(folder)
    except OSError as error:
        if (folder / ("log.pub" if store else "ledger.db")).exists():
            return False
        raise ConfigurationError(
            f"A home cannot be made at {folder}: {error.strerror}.",
            hint="Free space, or name an empty or new folder in AFFIDAVIT_HOME.",
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def _fill(folder: Path, actor: str, origin: str, store: str) -> None:
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    _complete(folder)
    passphrase = os.environ.get(PASSPHRASE)
    log, recorder = SigningKey.generate(), SigningKey.generate()
    signer = NoteSigner(origin, log.private)
    write_key(keys / "log.pem", log, passphrase=passphrase)
    write_key(keys / "recorder.pem", recorder, passphrase=passphrase)
    write_secret(keys / "master.key", secrets.token_bytes(32))
    (folder / "log.pub").write_text(f"{signer.verifier}\n", "utf-8")
    root = (
        TrustRoot(origin)
        .with_key(TrustedKey("log", log.public, frozenset({"log"})))
        .with_key(TrustedKey("recorder", recorder.public, frozenset({"recorder"})))
    )
    statement = root.statement(actor=actor, time=timestamp(), note="created")
    first = statement.sign(log).to_bytes()
    if store:
        (folder / PENDING).write_bytes(first)
        return
    Ledger(folder / "ledger.db", signer.verifier, signer=signer, create=True, first=[first]).close()


def _is_signed(entry: Statement | bytes) -> bool:
    return isinstance(entry, Statement) or entry.startswith(b'{"payload"')


def _complete(folder: Path) -> None:
    """Make what each machine has of its own: its artifacts, and the id of its spools."""
    (folder / "artifacts").mkdir(mode=0o700, exist_ok=True)
    with (
        contextlib.suppress(FileExistsError),
        (folder / "place").open("x", encoding="ascii") as file,
    ):
        file.write(f"{secrets.token_hex(8)}\n")


_homes: dict[tuple[Path, str], Home] = {}
_homes_lock = threading.Lock()


def open_home(folder: Path, store: str = "") -> Home:
    """Return the home at a folder, opened once per process.

    Args:
        folder: Where it is.
        store: The URL of the PostgreSQL database that holds the ledger; in the folder where empty.

    Raises:
        NotInitialisedError: There is none.
    """
    with _homes_lock:
        home = _homes.get((folder, store))
        if home is None or home.moved():
            home = _homes[folder, store] = Home(folder, store)
        return home
