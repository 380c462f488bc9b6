"""Governed reads: obligations on every kind of frame, and no original value past them."""

from __future__ import annotations

import asyncio

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import affidavit as aff

TAGS = {
    "national_id": ["identifier"],
    "phone": ["contact"],
    "note": ["free_text"],
    "age": ["quasi_identifier"],
    "born": ["birth_date"],
    "faith": ["special_category"],
    "sex": ["sensitive"],
}
SECRETS = ["AB123", "CD456", "+49 30 1234", "owes money", "37", "1987-06-05", "orthodox"]
KINDS = ["pandas", "polars", "arrow"]


def people(kind: str):
    frame = pd.DataFrame(
        {
            "national_id": ["AB123", "CD456", "AB123"],
            "phone": ["+49 30 1234", "+49 30 1235", "+49 30 1236"],
            "note": ["owes money", None, "nice"],
            "age": [37, 52, 37],
            "born": ["1987-06-05", "1972-01-02", "1987-06-06"],
            "faith": ["orthodox", "none", "orthodox"],
            "sex": ["F", "M", "F"],
            "income": [10.0, 20.0, 30.0],
        }
    )
    if kind == "polars":
        return pl.from_pandas(frame)
    return pa.Table.from_pandas(frame) if kind == "arrow" else frame


def rows(frame) -> list[dict]:
    if isinstance(frame, pa.Table):
        return frame.to_pylist()
    return frame.to_dicts() if isinstance(frame, pl.DataFrame) else frame.to_dict("records")


@pytest.mark.parametrize("kind", KINDS)
def test_obligations_are_met_on_the_frame_and_no_original_value_gets_out(home, reader, kind):
    original = people(kind)

    @aff.data("people", purpose="credit-scoring", columns=TAGS)
    def read():
        return original

    given = read()
    assert type(given) is type(original)
    table = rows(given)
    assert "phone" not in table[0]
    assert [row["age"] for row in table] == [30, 50, 30]
    assert {str(row["born"])[:4] for row in table} == {"1987", "1972"}
    assert len({row["national_id"] for row in table}) == 2
    assert all(len(row["national_id"]) == 64 for row in table)
    assert {row["faith"] for row in table} == {"[masked]"}
    assert [row["sex"] for row in table] == ["F", "M", "F"], "kept, to measure fairness by"
    assert [row["income"] for row in table] == [10.0, 20.0, 30.0]
    values = {str(value) for row in table for value in row.values()}
    assert values.isdisjoint(SECRETS)
    assert rows(original)[0]["national_id"] == "AB123", "the reader's own frame is not changed"

    statement = reader.statement(reader.newest("dataset"))
    done = {item["kind"]: item["columns"] for item in statement.predicate["obligations"]}
    assert done == {
        "drop": ["phone"],
        "exclude_as_feature": ["sex"],
        "generalise": done["generalise"],
        "mask": ["faith", "note"],
        "pseudonymise": ["national_id"],
    }
    assert statement.predicate["outcome"] == "read"
    body = home.ledger.entry(reader.newest("dataset"))
    assert not any(secret.encode() in body for secret in SECRETS if len(secret) > 2)


def test_equal_frames_of_all_libraries_are_one_artifact(home, reader):
    for kind in KINDS:

        @aff.data("people", purpose="credit-scoring", columns=TAGS)
        def read(kind=kind):
            return people(kind)

        read()
    digests = {
        reader.statement(row["entry"]).subjects[0].digest
        for row in reader.statements(kind="dataset")
    }
    assert len(digests) == 1


def test_the_key_of_the_pseudonyms_never_stands_in_the_store(home, reader):
    @aff.data("people", purpose="credit-scoring", columns=TAGS)
    def read():
        return people("pandas")

    first, second = read(), read()
    assert list(first["national_id"]) == list(second["national_id"])
    key = home.vault.named_key("default")
    master = (home.folder / "keys" / "master.key").read_bytes()
    for path in home.folder.rglob("*"):
        if path.is_file() and path.name != "master.key":
            content = path.read_bytes()
            for secret in (key, master):
                assert secret not in content
                assert secret.hex().encode() not in content


def test_declared_tags_hold_without_the_decorator_naming_them(configure, home, reader):
    configure('[datasets.people.columns]\nphone = ["secret"]\n')

    @aff.data("people", purpose="credit-scoring", columns={"note": ["free_text"]})
    def read():
        return people("pandas")

    given = read()
    assert "phone" not in given.columns
    assert given["note"].tolist()[0] == "[masked]"


def test_a_tagged_column_in_the_index_is_refused(home, reader):
    @aff.data("people", purpose="credit-scoring", columns=TAGS)
    def read():
        return people("pandas").set_index("national_id")

    with pytest.raises(aff.PolicyDenied, match="index, which no obligation reaches"):
        read()
    statement = reader.statement(reader.newest("dataset"))
    assert statement.predicate["outcome"] == "refused"


def test_a_tagged_column_under_another_spelling_is_refused(home):
    @aff.data("people", purpose="credit-scoring", columns=TAGS)
    def read():
        return people("pandas").rename(columns={"phone": "Phone "})

    with pytest.raises(aff.PolicyDenied, match="looks like 'phone'"):
        read()


def test_an_obligation_that_cannot_be_met_hands_nothing_out(home, reader):
    @aff.data("people", purpose="credit-scoring", columns={"note": ["quasi_identifier"]})
    def read():
        return people("pandas")

    with pytest.raises(aff.PolicyDenied, match=r"obligation\.unmet"):
        read()
    assert reader.statement(reader.newest("dataset")).predicate["outcome"] == "refused"


def test_a_tag_that_nobody_declared_denies(home):
    @aff.data("people", purpose="credit-scoring", columns={"note": ["unheard-of"]})
    def read():
        raise AssertionError("it ran")

    with pytest.raises(aff.PolicyDenied, match=r"columns\.unknown_tag"):
        read()


def test_a_generator_of_frames_is_governed_batch_by_batch_and_at_its_end(home, reader):
    @aff.data("people", purpose="credit-scoring", columns=TAGS)
    def batches():
        yield people("pandas")
        yield people("polars")
        return people("arrow")

    running = batches()
    assert "phone" not in next(running).columns
    assert "phone" not in next(running).columns
    with pytest.raises(StopIteration) as stop:
        next(running)
    assert "phone" not in stop.value.value.column_names
    assert reader.counts()["dataset"] == 3


def test_a_generator_without_a_batch_is_no_error_and_its_leftovers_are_refused(home):
    @aff.data("people", purpose="credit-scoring")
    def nothing():
        yield from ()

    @aff.data("people", purpose="credit-scoring")
    def leftover():
        yield people("pandas")
        return "AB123"

    assert list(nothing()) == []
    with pytest.raises(aff.AffidavitError, match="not a data frame"):
        list(leftover())


def test_coroutines_and_async_generators_are_governed_too(home):
    @aff.data("people", purpose="credit-scoring", columns=TAGS)
    async def read():
        await asyncio.sleep(0)
        return people("pandas")

    @aff.data("people", purpose="credit-scoring", columns=TAGS)
    async def stream():
        yield people("polars")

    async def main():
        return [await read(), *[frame async for frame in stream()]]

    assert all("phone" not in frame.columns for frame in asyncio.run(main()))


@pytest.mark.filterwarnings("ignore:Determining the column names")
@pytest.mark.parametrize("thing", [{"a": 1}, [1], "text", 5, None, pl.LazyFrame({"a": [1]})])
def test_what_is_no_frame_is_refused_with_a_hint(home, thing):
    @aff.data("people", purpose="credit-scoring")
    def read():
        return thing

    with pytest.raises(aff.AffidavitError) as refused:
        read()
    assert refused.value.hint


def test_a_read_without_a_purpose_is_denied(home):
    @aff.data("people")
    def read():
        raise AssertionError("it ran")

    with pytest.raises(aff.PolicyDenied, match=r"purpose\.missing"):
        read()


def test_a_failed_read_is_recorded_by_its_type_alone(home, reader):
    @aff.data("people", purpose="credit-scoring")
    def read():
        raise FileNotFoundError("no file for jane.doe@example.org")

    with pytest.raises(FileNotFoundError):
        read()
    statement = reader.statement(reader.newest("dataset"))
    assert statement.predicate["outcome"] == "failed"
    assert statement.predicate["error"] == "FileNotFoundError"
    assert "jane.doe" not in str(statement.predicate)


def test_a_read_inside_a_run_is_an_input_of_it(home, reader):
    @aff.data("people", purpose="credit-scoring", columns=TAGS)
    def read():
        return people("pandas")

    with aff.run("retrain") as run:
        frame = read()
    statement = reader.statement(reader.newest("run"))
    inputs = statement.predicate["buildDefinition"]["resolvedDependencies"]
    assert [item["name"] for item in inputs] == ["people"]
    assert reader.statement(reader.newest("dataset")).predicate["run"] == run.id
    assert len(frame) == 3
