"""One furnished log, built once and copied for each test that cuts into it."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from logs import furnish, start

from affidavit.lineage import Ledger


@pytest.fixture(scope="session")
def _furnished(tmp_path_factory):
    log = furnish(start(tmp_path_factory.mktemp("furnished")))
    log.ledger.close()
    return log


@pytest.fixture
def log(_furnished, tmp_path):
    """A log of 28 entries: trust root, statements, records, and twelve data sets one by one."""
    path = tmp_path / "ledger.db"
    shutil.copy(_furnished.path, path)
    signer = _furnished.signer
    ledger = Ledger(path, signer.verifier, signer=signer)
    copied = dataclasses.replace(_furnished, path=path, ledger=ledger)
    yield copied
    ledger.close()
