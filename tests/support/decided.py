"""A home with policy decisions of every kind, made through the hooks, and another bundle."""

from __future__ import annotations

import json

import pandas as pd
from spawned import FORBIDDEN

import affidavit as aff
from affidavit._context import current_actor, present
from affidavit._policy import rule
from affidavit._question import Question
from affidavit.policies import open_bundle, write_bundle

MASK = '[policy.mask]\nremove = ["/input/actor/roles/0", "/input/columns/0/tags"]\n'
"""What only some inputs hold: served calls of people with a role, and reads of tables."""
PEOPLE = '[people]\n"ada" = ["service"]\n"eve" = []\n'


def decide(count: int, *, tables: int = 1) -> None:
    """Make decisions: nine of ten served, a tenth of those denied; the rest asked directly."""
    with aff.run("model") as run:
        run.produce(b"model", "model.pickle")

    @aff.data("people", purpose="research", columns={"name": ["identifier"], "age": ["personal"]})
    def read():
        return pd.DataFrame({"name": ["Ada", "Grace"], "age": [36, 85]})

    for _ in range(tables):
        read()
    good = aff.serve("model", purpose="research", subject="person")(lambda _: 1)
    bad = aff.serve("model", purpose=FORBIDDEN)(lambda _: 1)
    settings, home = present()
    made = len(aff.Reader(home).decisions(limit=10_000))
    columns = {"name": ["identifier"], "phone": ["contact"]}
    direct = (
        Question(
            "affidavit/data_read", "data.read", "dataset", "d", purpose="research", columns=columns
        ),
        Question("affidavit/train", "model.train", "model", "m", purpose="research"),
        Question("affidavit/promote", "model.promote", "model", "m", extra={"evidence": {}}),
    )
    for number in range(count - made):
        turn = number // 30 if number % 10 == 9 else number
        token = current_actor.set(("ada", "eve", "")[turn % 3])
        try:
            if number % 10 == 9:
                rule(home, settings, direct[number // 10 % 3])
            elif number % 10 == 4:
                refused(bad, {"x": 1})
            else:
                good({"x": number, "person": f"person {number % 50}"})
        finally:
            current_actor.reset(token)


def refused(call, *given) -> str:
    """Make a call that must be denied; returns what it said."""
    try:
        call(*given)
    except aff.PolicyDenied as error:
        return str(error)
    raise AssertionError("it was not denied")


def other_bundle(path, **sections) -> str:
    """Write the shipped rules with other data as an archive; returns its revision."""
    bundle = open_bundle().with_data(sections)
    path.write_bytes(write_bundle(bundle))
    return bundle.digest


def events(home) -> list[dict]:
    """Return the records of all decisions, in log order."""
    rows = reversed(aff.Reader(home).decisions(limit=100_000))
    return [aff.Reader(home).entry(int(row["entry"])).record for row in rows]


def said(output: str) -> dict:
    """Return the JSON that a command printed."""
    return json.loads(output)
