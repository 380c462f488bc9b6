"""Approvals: a person's signature under a model's digest, and its withdrawal."""

from __future__ import annotations

from affidavit._approvals import APPROVED, WITHDRAWN, standing_approvals
from affidavit._home import Home
from affidavit._keyring import person_name
from affidavit._models import resolve
from affidavit._recording import record
from affidavit._settings import Settings
from affidavit.errors import NotFoundError
from affidavit.lineage import APPROVAL, Resource, Statement, timestamp


def approve(
    home: Home,
    settings: Settings,
    reference: str,
    person: str,
    comment: str = "",
    *,
    withdraw: bool = False,
) -> str:
    """Sign an approval of a model with a person's own key, or withdraw the one that stands.

    Args:
        home: Where the person's key and the ledger are.
        settings: The settings in force.
        reference: The model, such as ``credit-risk@latest``.
        person: The approver's enrolled identity.
        comment: What the person wants to say.
        withdraw: Take the approval back; a verdict that rests on it stands until the gate is asked
            again.

    Returns:
        The digest that was approved.

    Raises:
        NotFoundError: There is no such model, or no approval to withdraw.
        KeyFileError: The person is not enrolled as an approver, or the key is missing, rotated or
            revoked.
    """
    found = resolve(home, reference)
    key = home.keyring.person(person_name(person, "approver"), person, "approver")
    if withdraw:
        standing, _ = standing_approvals(home, found.digest)
        if (person, APPROVED) not in {(one["approver"], one["outcome"]) for one in standing}:
            raise NotFoundError(
                f"No approval of {found.digest} by {person!r} stands.",
                hint=f"`affidavit show {found.digest}` shows what there is.",
            )
    statement = Statement(
        (Resource(f"{found.name}.pickle", found.digest.removeprefix("sha256:")),),
        APPROVAL,
        {
            "name": found.name,
            "actor": person,
            "time": timestamp(),
            "outcome": WITHDRAWN if withdraw else APPROVED,
            "comment": comment,
        },
    )
    record(home, settings, f"approval of {found.name}", statement.sign(key).to_bytes())
    return found.digest
