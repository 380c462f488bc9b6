"""Functions of every kind that would write a file if they ran, under every hook."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path

import affidavit as aff

HOOKS: dict[str, Callable[[str], Callable]] = {
    "data": lambda purpose: aff.data("people", purpose=purpose),
    "train": lambda purpose: aff.train("risk", purpose=purpose),
    "serve": lambda purpose: aff.serve("risk", purpose=purpose),
}


def calls(hook: str, purpose: str, proof: Path) -> dict[str, Callable[[], object]]:  # noqa: C901  # a list
    """Each kind of call of a function under a hook, to its very end.

    Args:
        hook: One of `HOOKS`.
        purpose: What it is for.
        proof: The file that the function writes when it runs.
    """
    govern = HOOKS[hook](purpose)

    def ran(row, note="it ran"):
        with proof.open("a") as file:
            file.write(note + "\n")
        return _result(hook)

    class Kinds:
        @govern
        def method(self, row):
            return ran(row)

        @staticmethod
        @govern
        def static(row):
            return ran(row)

        @govern
        @staticmethod
        def static_outside(row):
            return ran(row)

        @classmethod
        @govern
        def of_class(cls, row):
            return ran(row)

        @govern
        def __call__(self, row):
            return ran(row)

    class Called:
        def __call__(self, row):
            return ran(row)

    @govern
    async def coroutine(row):
        await asyncio.sleep(0)
        return ran(row)

    @govern
    def generator(row):
        yield ran(row)

    @govern
    async def async_generator(row):
        yield ran(row)

    @functools.wraps(ran)
    def wrapping(*args, **kwargs):
        return ran(*args, **kwargs)

    async def collect():
        return [item async for item in async_generator({"n": 1})]

    async def first_of_many():
        return await asyncio.gather(*(coroutine({"n": n}) for n in range(3)))

    row = {"n": 1}
    return {
        "function": lambda: govern(ran)(row),
        "lambda": lambda: govern(lambda given: ran(given, note="from a lambda"))(row),
        "keyword": lambda: govern(ran)(row=row),
        "method": lambda: Kinds().method(row),
        "bound method": lambda: govern(Called().__call__)(row),
        "static": lambda: Kinds.static(row),
        "static outside": lambda: Kinds.static_outside(row),
        "classmethod": lambda: Kinds.of_class(row),
        "called object": lambda: Kinds()(row),
        "callable": lambda: govern(_named(Called()))(row),
        "partial": lambda: govern(functools.partial(ran, note="partly"))(row),
        "partial of it": functools.partial(govern(ran), row),
        "wrapped": lambda: govern(wrapping)(row),
        "coroutine": lambda: asyncio.run(coroutine(row)),
        "coroutines": lambda: asyncio.run(first_of_many()),
        "generator": lambda: list(generator(row)),
        "started generator": lambda: next(generator(row)),
        "sent generator": lambda: generator(row).send(None),
        "async generator": lambda: asyncio.run(collect()),
    }


def _named(thing):
    thing.__name__, thing.__qualname__ = "callable", "callable"
    return thing


def _result(hook):
    if hook != "data":
        return 1
    import pandas as pd

    return pd.DataFrame({"n": [1]})


def denials(folder: str, purpose: str) -> dict[str, str]:
    """Call everything; gives for each kind the rule that denied it, or what happened instead."""
    found = {}
    for hook in HOOKS:
        for kind, call in calls(hook, purpose, Path(folder) / "proof").items():
            try:
                call()
            except aff.PolicyDenied as denied:
                found[f"{hook} {kind}"] = denied.decision.deny[0].rule
            except Exception as error:  # noqa: BLE001  # the test names what came instead
                found[f"{hook} {kind}"] = repr(error)
            else:
                found[f"{hook} {kind}"] = "it ran"
    return found
