"""One furnished log for each kind of store, built once and copied for each test."""

from __future__ import annotations

import pytest
from logs import furnish, start


@pytest.fixture
def store_kind():
    """The kind of store under the fixture `log`; a module that holds for both parametrises it."""
    return "sqlite"


@pytest.fixture(scope="session")
def furnished(request, tmp_path_factory):
    """Gives the furnished log of a kind of store."""
    made = {}

    def get(kind):
        if kind not in made:
            server = request.getfixturevalue("postgres") if kind == "postgresql" else None
            made[kind] = furnish(start(tmp_path_factory.mktemp("furnished"), server))
            made[kind].ledger.close()
        return made[kind]

    return get


@pytest.fixture
def log(furnished, store_kind, tmp_path):
    """A log of 28 entries: trust root, statements, records, and twelve data sets one by one."""
    copied = furnished(store_kind).copy(tmp_path)
    copied.ledger = copied.reopen()
    yield copied
    copied.ledger.close()
