"""The hooks keep a function's kind, its signature and its conversation with the caller."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import typing

import pandas as pd
import pytest

import affidavit as aff


@aff.train("module-level")
def module_level(rate: float, *, rounds: int = 3) -> dict[str, float]:
    """Doubles a rate."""
    return {"doubled": rate * 2, "rounds": rounds}


class Trainer:
    """Methods of every kind under a hook."""

    factor = 3

    @aff.train("methods")
    def fit(self, value: int) -> int:
        return value * self.factor

    @classmethod
    @aff.train("methods")
    def of_class(cls, value: int) -> int:
        return value + cls.factor

    @aff.train("methods")
    @classmethod
    def of_class_within(cls, value: int) -> int:
        return value - cls.factor

    @staticmethod
    @aff.train("methods")
    def free(value: int) -> int:
        return value - 1

    @aff.train("methods")
    @staticmethod
    def free_within(value: int) -> int:
        return value - 2


def test_a_decorated_function_keeps_name_docstring_signature_and_hints(home):
    assert module_level.__name__ == "module_level"
    assert module_level.__doc__ == "Doubles a rate."
    assert str(inspect.signature(module_level)) == (
        "(rate: 'float', *, rounds: 'int' = 3) -> 'dict[str, float]'"
    )
    hints = typing.get_type_hints(module_level)
    assert hints["return"] == dict[str, float]
    assert inspect.getsourcefile(inspect.unwrap(module_level)) == __file__


def test_a_wrong_argument_is_the_functions_own_error_and_leaves_nothing(home, reader):
    with pytest.raises(TypeError, match="rounds_"):
        module_level(1.0, rounds_=2)
    assert reader.counts().get("run", 0) == 0


def test_methods_classmethods_and_staticmethods_work_in_either_order(home, reader):
    trainer = Trainer()
    assert trainer.fit(2) == 6
    assert Trainer.of_class(2) == 5
    assert trainer.of_class_within(2) == -1
    assert Trainer.free(2) == 1
    assert trainer.free_within(2) == 0
    assert reader.counts()["run"] == 5
    newest = reader.statement(reader.newest("run"))
    parameters = newest.predicate["buildDefinition"]["externalParameters"]["parameters"]
    assert parameters == {"value": 2}


def test_a_nested_function_keeps_what_it_closes_over(home):
    seen = []

    def outer(start: int):
        @aff.train("nested")
        def inner(step: int) -> int:
            nonlocal start
            start += step
            seen.append(start)
            return start

        return inner

    count = outer(10)
    assert [count(1), count(step=2)] == [11, 13]
    assert seen == [11, 13]


def test_a_decorated_function_survives_pickling(home):
    again = pickle.loads(pickle.dumps(module_level))
    assert again is module_level
    assert pickle.loads(pickle.dumps(Trainer())).fit(1) == 3


def test_a_generator_keeps_send_throw_and_its_return_value(home, reader):
    @aff.train("steps")
    def steps():
        heard = []
        try:
            heard.append((yield 1))
        except KeyError as error:
            heard.append(error.args[0])
        heard.append((yield 2))
        return heard

    assert inspect.isgeneratorfunction(steps)
    running = steps()
    assert next(running) == 1
    assert running.throw(KeyError("thrown")) == 2
    with pytest.raises(StopIteration) as stop:
        running.send("sent")
    assert stop.value.value == ["thrown", "sent"]

    def delegate():
        return (yield from steps())

    again = delegate()
    assert next(again) == 1
    assert again.send("a") == 2
    with pytest.raises(StopIteration) as stop:
        again.send("b")
    assert stop.value.value == ["a", "b"]
    assert reader.statements(kind="run")[0]["outcome"] == "completed"


def test_closing_a_generator_runs_its_cleanup_and_records_that_it_did_not_finish(home, reader):
    cleaned = []

    @aff.train("steps")
    def steps():
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(aff.Reader(home).counts().get("run", 0))

    running = steps()
    next(running)
    running.close()
    assert cleaned == [0]
    run = reader.statement(reader.newest("run")).predicate["urn:affidavit:run:v1"]
    assert (run["status"], run["error"]["type"]) == ("failed", "builtins.GeneratorExit")


def test_an_error_in_a_generators_cleanup_reaches_whoever_closes_it(home, reader):
    @aff.train("steps")
    def steps():
        try:
            yield 1
        finally:
            raise OSError("cleanup")

    running = steps()
    next(running)
    with pytest.raises(OSError, match="cleanup"):
        running.close()
    run = reader.statement(reader.newest("run")).predicate["urn:affidavit:run:v1"]
    assert run["error"]["type"] == "builtins.OSError"


def test_a_generator_cannot_catch_the_refusal_of_what_it_yields(home):
    caught = []

    @aff.data("batches", purpose="research")
    def batches():
        try:
            yield {"not": "a frame"}
        except Exception as error:
            caught.append(error)
            yield pd.DataFrame({"a": [1]})

    with pytest.raises(aff.AffidavitError, match="not a data frame"):
        list(batches())
    assert caught == []


def test_coroutines_stay_coroutines_and_do_not_leak_runs_into_each_other(home, reader):
    inside = {}

    @aff.train("async")
    async def fit(name: str) -> str:
        with aff.run(f"inner-{name}") as run:
            await asyncio.sleep(0.01)
            inside[name] = run.id
        return name

    assert inspect.iscoroutinefunction(fit)

    async def main():
        return await asyncio.gather(*(fit(name) for name in "abcde"))

    assert asyncio.run(main()) == list("abcde")
    runs = {row["id"]: row["entry"] for row in reader.statements(kind="run")}
    ours = "urn:affidavit:run:v1"
    parents = []
    for name, identifier in inside.items():
        inner = reader.statement(runs[identifier]).predicate
        parent = reader.statement(runs[inner[ours]["parent"]]).predicate
        parameters = parent["buildDefinition"]["externalParameters"]["parameters"]
        assert parameters == {"name": name}
        parents.append(inner[ours]["parent"])
    assert len(set(parents)) == 5


def test_an_async_generator_keeps_asend_athrow_and_aclose(home, reader):
    heard = []

    @aff.train("stream")
    async def stream():
        try:
            heard.append((yield 1))
            try:
                yield 2
            except LookupError:
                yield 3
        finally:
            heard.append("closed")

    assert inspect.isasyncgenfunction(stream)

    async def main():
        running = stream()
        assert await anext(running) == 1
        assert await running.asend("hello") == 2
        assert await running.athrow(LookupError()) == 3
        await running.aclose()
        return [value async for value in stream()]

    assert asyncio.run(main()) == [1, 2]
    assert heard[:2] == ["hello", "closed"]
    assert [row["outcome"] for row in reader.statements(kind="run")] == ["completed", "failed"]


def test_a_cancelled_coroutine_is_cancelled_and_recorded(home, reader):
    @aff.train("async")
    async def wait():
        await asyncio.sleep(10)

    async def main():
        task = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    run = reader.statement(reader.newest("run")).predicate["urn:affidavit:run:v1"]
    assert run["error"]["type"].endswith("CancelledError")


def test_partials_and_callable_objects_are_seen_for_what_they_call(home, reader):
    async def slow(value: int, *, add: int) -> int:
        await asyncio.sleep(0)
        return value + add

    class Model:
        async def __call__(self, value: int) -> int:
            return await slow(value, add=2)

    @functools.wraps(slow)
    def plainly(value: int):
        return slow(value, add=3)

    async def main():
        return [
            await aff.train("partial")(functools.partial(slow, add=1))(1),
            await aff.train("object")(Model())(1),
            await aff.train("wrapped")(plainly)(1),
        ]

    assert asyncio.run(main()) == [2, 3, 4]
    assert {row["outcome"] for row in reader.statements(kind="run")} == {"completed"}


def test_a_users_exception_passes_unchanged_and_its_message_is_not_recorded(home, reader):
    raised = ValueError("jane.doe@example.org has no income")

    @aff.train("failing")
    def fit():
        raise raised

    with pytest.raises(ValueError) as caught:
        fit()
    assert caught.value is raised
    entry = reader.entry(reader.newest("run"))
    run = entry.statement.predicate["urn:affidavit:run:v1"]
    assert run["status"] == "failed"
    assert run["error"]["type"] == "builtins.ValueError"
    assert run["error"]["place"].startswith("fit:")
    assert b"jane.doe" not in entry.envelope.payload


def test_a_run_inside_a_run_names_its_parent(home, reader):
    with aff.run("outer") as outer, aff.run("inner") as inner:
        pass
    rows = {row["id"]: row["entry"] for row in reader.statements(kind="run")}
    found = reader.statement(rows[inner.id]).predicate["urn:affidavit:run:v1"]
    assert found["parent"] == outer.id
    assert reader.statement(rows[outer.id]).predicate["urn:affidavit:run:v1"]["parent"] == ""
