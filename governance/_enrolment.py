"""Changes of the trust root: keys enrolled, rotated and revoked.

A change takes effect with its entry in the log. It is made from the trust root that is the newest
when nobody else can append, so that of two changes at once neither is lost.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affidavit._home import PERSONAL_ROLES, Home
from affidavit._keyring import MOST_TRIES, PASSPHRASE, TrustMovedError, person_name, secret
from affidavit.errors import ConfigurationError, EnvelopeError, KeyFileError, NotFoundError
from affidavit.lineage import (
    Appending,
    PublicKey,
    Revocation,
    SigningKey,
    TrustedKey,
    TrustHistory,
    TrustRoot,
    check_uri,
    dump_json,
    move_secret,
    parse_entry,
    public_at,
    timestamp,
    write_key,
    write_secret,
)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a key.

    Args:
        entry: The trust root's log index, from which on it holds.
        identity: Whose key it is.
        keyid: The key in force now; empty where there is none.
        former: The key that is out of force; empty where there was none.
        path: The file of the new private key; None where it was not made here.
    """

    entry: int
    identity: str
    keyid: str
    former: str = ""
    path: Path | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the change, JSON-safe."""
        path = None if self.path is None else str(self.path)
        return {
            "entry": self.entry,
            "identity": self.identity,
            "keyid": self.keyid,
            "former": self.former,
            "path": path,
        }


def enrol(
    home: Home,
    identity: str,
    role: str,
    *,
    actor: str,
    public: bytes | None = None,
    uri: str = "",
) -> Change:
    """Put a key of a person or process into the trust root.

    Args:
        home: Whose log.
        identity: Whose key it is.
        role: ``approver``, ``recorder`` or ``waiver``.
        actor: Who enrols it.
        public: The public half of a key that stays with its holder, in PEM or DER.
        uri: Where a key is that stays in a device or service. Without this and `public` a new key
            is made, and kept in ``keys/``.

    Raises:
        ConfigurationError: There is no such role, or the name cannot be a person's.
        KeyFileError: The person has a key of that role already; the key is refused.
    """
    if role not in PERSONAL_ROLES:
        raise ConfigurationError(
            f"The role {role!r} is not one that a person is enrolled in.",
            hint=f"There are {', '.join(PERSONAL_ROLES)}.",
        )
    name = person_name(identity, role)

    def change(history: TrustHistory, fresh: PublicKey) -> TrustRoot:
        root = _root(history)
        for known in root.keys.values():
            if known.identity == identity and role in known.roles:
                raise KeyFileError(
                    f"{identity!r} is enrolled as {role} already.",
                    hint="`affidavit keys rotate` replaces the key.",
                )
        return root.with_key(TrustedKey(identity, fresh, frozenset({role})))

    with _fresh_key(home, name, public, uri) as (fresh, path):
        entry = _change(
            home, lambda h: change(h, fresh), actor=actor, note=f"enrolled {identity} as {role}"
        )
    return Change(entry, identity, fresh.keyid, path=_settle(home, name, path))


def rotate(
    home: Home,
    who: str,
    *,
    actor: str,
    public: bytes | None = None,
    uri: str = "",
    revocation: tuple[str, int | None] | None = None,
) -> Change:
    """Put a new key in the place of one in force, with the same holder and roles.

    What the old key signed before stays valid, unless it is revoked at the same time.

    Args:
        home: Whose log.
        who: The holder's identity, or the beginning of the key's id.
        actor: Who rotates it.
        public: As for `enrol`.
        uri: As for `enrol`.
        revocation: Why the old key is revoked, and from which log index on (None: from now).

    Raises:
        NotFoundError: There is no such key in force.
        ConfigurationError: It is the log's own key; or the revocation lies in the future.
        KeyFileError: The new key is refused.
    """
    old = find_key(home.keyring.history(), who)
    name = _name(old)

    def change(history: TrustHistory, fresh: PublicKey) -> TrustRoot:
        known = _root(history).keys.get(old.public.keyid)
        if known is None:
            raise NotFoundError(f"The key {old.public.keyid[:16]} was changed at the same moment.")
        root = _root(history).without_key(old.public.keyid)
        if fresh.keyid == old.public.keyid:
            raise KeyFileError("The new key is the old one.")
        root = root.with_key(TrustedKey(known.identity, fresh, known.roles))
        if revocation is None:
            return root
        return replace(root, revoked=(_revocation(home, history, old, *revocation),))

    what = "rotated" if revocation is None else "revoked and replaced"
    note = f"{what} the key {old.public.keyid[:16]} of {old.identity}"
    with _fresh_key(home, name, public, uri) as (fresh, path):
        entry = _change(home, lambda h: change(h, fresh), actor=actor, note=note)
    kept = _settle(home, name, path)
    return Change(entry, old.identity, fresh.keyid, old.public.keyid, kept)


def revoke(home: Home, who: str, *, actor: str, reason: str, since: int | None = None) -> Change:
    """Put a key out of force for good.

    Args:
        home: Whose log.
        who: The holder's identity, or the beginning of the key's id; also of one that was rotated.
        actor: Who revokes it.
        reason: Why; it is public.
        since: From which log index on its signatures are not to be relied on; from now by default.

    Raises:
        NotFoundError: No such key was ever in force.
        ConfigurationError: It is the log's own key; there is no reason; or `since` lies in the
            future, or not before what is revoked already.
    """
    old = find_key(home.keyring.history(), who, past=True)

    def change(history: TrustHistory) -> TrustRoot:
        gone = _revocation(home, history, old, reason, since)
        return replace(_root(history).without_key(old.public.keyid), revoked=(gone,))

    note = f"revoked the key {old.public.keyid[:16]} of {old.identity}"
    entry = _change(home, change, actor=actor, note=note)
    return Change(entry, old.identity, "", old.public.keyid)


def find_key(history: TrustHistory, who: str, *, past: bool = False) -> TrustedKey:
    """Return the one key that an identity or the beginning of a key id stands for.

    Args:
        history: The log's trust roots.
        who: An identity, or at least eight hex digits of a key id.
        past: Whether keys that are no longer in force are looked up by their id too.

    Raises:
        NotFoundError: There is none, or more than one.
        ConfigurationError: It is the log's own key.
    """
    keys = dict(_root(history).keys)
    found = [key for key in keys.values() if key.identity == who]
    if not found and len(who) >= 8:
        if past:
            keys = dict(history.ever)
        found = [key for keyid, key in keys.items() if keyid.startswith(who)]
    if len(found) != 1:
        several = ", ".join(f"{k.public.keyid[:16]} ({', '.join(sorted(k.roles))})" for k in found)
        raise NotFoundError(
            f"{who!r} has several keys: {several}." if found else f"No key of {who!r} is in force.",
            hint="Give the key id; `affidavit keys list --all` lists them.",
        )
    if "log" in found[0].roles:
        raise ConfigurationError(
            "The log's own key cannot be rotated or revoked: whoever audits has pinned it.",
            hint="Where it is exposed, close this log: docs/operations.md, “Keys”.",
        )
    return found[0]


def list_keys(home: Home, *, every: bool = False) -> list[dict[str, Any]]:
    """Return the keys of a log as JSON-safe facts, those in force first.

    Args:
        home: Whose log.
        every: Also those that are in force no longer.
    """
    history = home.keyring.history()
    in_force = _root(history).keys
    listed = history.ever if every else in_force
    found = []
    for keyid in sorted(listed, key=lambda one: (one not in in_force, one)):
        gone = history.revoked.get(keyid)
        found.append(
            {
                **listed[keyid].to_json(),
                "scheme": listed[keyid].public.scheme,
                "state": "in force" if keyid in in_force else "revoked" if gone else "rotated",
                "revoked": gone
                and {"since": gone.since, "entry": gone.entry, "reason": gone.revocation.reason},
            }
        )
    return found


def _revocation(
    home: Home, history: TrustHistory, old: TrustedKey, reason: str, since: int | None
) -> Revocation:
    if not reason.strip():
        raise ConfigurationError("A revocation has a reason.", hint="Give --reason TEXT.")
    size = home.ledger.head().size
    if since is not None and not 0 <= since <= size:
        raise ConfigurationError(
            f"A key is revoked from an entry on that there is, or from the next: 0 to {size}.",
            hint="`affidavit log` shows the entries with their indexes.",
        )
    known = history.revoked.get(old.public.keyid)
    if known is not None and (since is None or since >= known.since):
        raise ConfigurationError(
            f"The key {old.public.keyid[:16]} is revoked from entry {known.since} on already.",
            hint="A revocation can be moved back in the log (--since), and not forward.",
        )
    return Revocation(old.public.keyid, old.identity, reason, since)


@contextlib.contextmanager
def _fresh_key(
    home: Home, name: str, public: bytes | None, uri: str
) -> Iterator[tuple[PublicKey, Path | None]]:
    """Give a new key and the file that leads to it, which is removed where the block fails."""
    folder = home.folder / "keys"
    if uri:
        check_uri(uri)
        fresh = PublicKey.parse(public) if public is not None else public_at(uri, secret)
        path = folder / f"{name}.next.uri"
        content = dump_json({"keyid": fresh.keyid, "uri": uri}) + b"\n"
        _remove_stale(home, name)
        write_secret(path, content)
    elif public is not None:
        yield PublicKey.parse(public), None
        return
    else:
        key = SigningKey.generate()
        fresh, path = key.public, folder / f"{name}.next.pem"
        _remove_stale(home, name)
        write_key(path, key, passphrase=os.environ.get(PASSPHRASE))
    try:
        yield fresh, path
    except BaseException:
        if fresh.keyid not in _root(home.keyring.history()).keys:
            path.unlink(missing_ok=True)
        raise


def _remove_stale(home: Home, name: str) -> None:
    """Finish what a crash left of an earlier rotation: keep the key in force, remove the other."""
    waiting = [path for path in home.keyring.files(name) if ".next." in path.name]
    for path in waiting:
        if home.keyring.is_in_force(path):
            _settle(home, name, path)
        else:
            path.unlink(missing_ok=True)


def _settle(home: Home, name: str, path: Path | None) -> Path | None:
    """Put the file of a key that is in force now in its lasting place, and remove the old one."""
    if path is None:
        return None
    lasting = path.with_name(f"{name}{path.suffix}")
    move_secret(path, lasting)
    for other in home.keyring.files(name):
        if other != lasting and ".next." not in other.name:
            other.unlink(missing_ok=True)
    return lasting


def _change(
    home: Home, change: Callable[[TrustHistory], TrustRoot], *, actor: str, note: str
) -> int:
    """Append the trust root that a change makes of the newest one; returns its log index."""
    signer = home.keyring.log_key()
    for _ in range(MOST_TRIES):
        at = home.keyring.newest()
        history = home.keyring.history()
        root = change(history)
        statement = root.statement(actor=actor, time=timestamp(), note=note)
        body = statement.sign(signer).to_bytes()

        def check(log: Appending, at: int = at, body: bytes = body) -> None:
            if home.keyring.newest(log.connection) != at:
                raise TrustMovedError
            parsed = parse_entry(body)
            assert not isinstance(parsed, dict)
            try:
                home.keyring.history().check(log.tree.size, *parsed)
            except EnvelopeError as error:
                raise KeyFileError(error.message, hint="The trust root is as it was.") from error

        with contextlib.suppress(TrustMovedError):
            return home.ledger.append([body], check=check)[0]
    raise KeyFileError(
        "The trust root was changed by others again and again.", hint="Run the same command again."
    )


def _root(history: TrustHistory) -> TrustRoot:
    """Return the trust root in force without its revocations, which hold without being repeated."""
    if history.root is None:
        raise KeyFileError("The log has no trust root.", hint="Run `affidavit verify`.")
    return replace(history.root, revoked=())


def _name(key: TrustedKey) -> str:
    (role, *_) = sorted(key.roles) or ["recorder"]
    if (key.identity, role) == ("recorder", "recorder"):
        return "recorder"  # the one that `affidavit init` makes
    return person_name(key.identity, role)
