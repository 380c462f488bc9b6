"""The gate's verdict as a SLSA verification summary (SLSA v1.1, Verification Summary Attestation).

The level is ours, for no SLSA level was verified (§SlsaResult permits custom values). What SLSA has
no field for stands in an extension field whose name is a URI (§Parsing rules).
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from affidavit._context import acting
from affidavit._home import Home
from affidavit._model_reference import ModelReference
from affidavit._policy import Ruling
from affidavit._settings import Settings
from affidavit._waivers import AppliedWaiver, earliest
from affidavit.lineage import VERDICT, VERDICT_FIELD, Resource, Statement, timestamp

_MOST_ATTESTATIONS = 100


def verdict_statement(
    home: Home,
    settings: Settings,
    found: ModelReference,
    *,
    stage: str,
    ruling: Ruling,
    entries: list[int],
    waivers: tuple[AppliedWaiver, ...],
) -> Statement:
    """Return the verification summary that says what was decided, from which entries.

    Args:
        home: Whose entries they are.
        settings: Says who asks.
        found: The model.
        stage: The stage.
        ruling: The decision.
        entries: The log indexes of the evidence.
        waivers: The denials that waivers overrode; the verdict is good until the first expires.
    """
    from affidavit import __version__

    name, decision = found.name, ruling.decision
    passed = decision.allow
    bundle = decision.bundle_digest.removeprefix("sha256:")
    predicate: dict[str, Any] = {
        "verifier": {"id": "urn:affidavit:gate", "version": {"affidavit": __version__}},
        "timeVerified": timestamp(),
        "resourceUri": f"urn:affidavit:model:{quote(name, safe='', errors='backslashreplace')}",
        "policy": {"uri": f"urn:affidavit:policy:{decision.entrypoint}"},
        "inputAttestations": [],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [f"AFFIDAVIT_{stage.upper()}" if passed else "FAILED"],
        "slsaVersion": "1.1",
        VERDICT_FIELD: {
            "name": name,
            "stage": stage,
            "actor": acting(settings),
            "decision": ruling.id,
            "entries": entries,
            "deny": decision.to_dict()["deny"],
            "warn": decision.to_dict()["warn"],
        },
    }
    if waivers:
        predicate[VERDICT_FIELD]["waivers"] = [waiver.to_dict() for waiver in waivers]
        predicate[VERDICT_FIELD]["expires"] = earliest(waiver.expires for waiver in waivers)
    if len(entries) <= _MOST_ATTESTATIONS:
        # All or none: a list that is not empty names every attestation that was used.
        predicate["inputAttestations"] = [
            {
                "uri": f"urn:affidavit:entry:{index}",
                "digest": {"sha256": hashlib.sha256(home.ledger.entry(index)).hexdigest()},
            }
            for index in entries
        ]
    if bundle:
        predicate["policy"]["digest"] = {"sha256": bundle}
    return Statement(
        (Resource(f"{name}.pickle", found.digest.removeprefix("sha256:")),), VERDICT, predicate
    )
