"""Approvals: a person's signature under a model's digest."""

from __future__ import annotations

import os

from affidavit._home import Home
from affidavit._models import resolve
from affidavit._recording import record
from affidavit._settings import Settings
from affidavit.errors import KeyFileError
from affidavit.lineage import APPROVAL, Resource, Statement, read_key, timestamp


def approve(home: Home, settings: Settings, reference: str, person: str, comment: str = "") -> str:
    """Sign an approval of a model with a person's own key.

    Args:
        home: Where the person's key and the ledger are.
        settings: The settings in force.
        reference: The model, such as ``credit-risk@latest``.
        person: The approver's enrolled identity.
        comment: What the person wants to say.

    Returns:
        The digest that was approved.

    Raises:
        NotFoundError: There is no such model.
        KeyFileError: The person is not enrolled as an approver, or the key is missing.
    """
    found = resolve(home, reference)
    key = read_key(
        home.person_key(person, "approver"),
        passphrase=os.environ.get("AFFIDAVIT_KEY_PASSPHRASE"),
    )
    trusted = home.trust_root().keys.get(key.keyid)
    if trusted is None or "approver" not in trusted.roles or trusted.identity != person:
        raise KeyFileError(
            f"{person!r} is not enrolled as an approver.",
            hint=f"Run `affidavit keys add {person} --role approver`.",
        )
    statement = Statement(
        (Resource(f"{found.name}.pickle", found.digest.removeprefix("sha256:")),),
        APPROVAL,
        {
            "name": found.name,
            "actor": person,
            "time": timestamp(),
            "outcome": "approved",
            "comment": comment,
        },
    )
    record(home, settings, f"approval of {found.name}", statement.sign(key).to_bytes())
    return found.digest
