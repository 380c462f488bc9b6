"""Schemas describe what is written, and the package carries them."""

from __future__ import annotations

import json

import jsonschema
import pytest
from logs import TIME, approval, dataset, record, run, trust_root
from real import ROOT

from affidavit.errors import NotFoundError
from affidavit.lineage import (
    APPROVAL,
    BUNDLE,
    DATASET,
    ERASURE,
    EVALUATION_FIELD,
    EXPLANATION,
    GAP,
    HOLD,
    MODEL_SIGNATURE,
    POLICY_BUNDLE,
    REPORT,
    RETENTION,
    RUN_FIELD,
    TRUST_ROOT,
    VERDICT_FIELD,
    WAIVER,
    SigningKey,
    parse_json,
)
from affidavit.lineage._record_kinds import RECORD_KINDS
from affidavit.lineage._schemas import schema_for

PREDICATES = [
    DATASET,
    EXPLANATION,
    APPROVAL,
    TRUST_ROOT,
    GAP,
    REPORT,
    ERASURE,
    HOLD,
    BUNDLE,
    RETENTION,
    MODEL_SIGNATURE,
    POLICY_BUNDLE,
    WAIVER,
]
KINDS = [*PREDICATES, EVALUATION_FIELD, RUN_FIELD, VERDICT_FIELD, *RECORD_KINDS]


def check(kind, value):
    jsonschema.Draft202012Validator(schema_for(kind)).validate(value)


def root():
    keys = [SigningKey.generate() for _ in range(3)]
    return trust_root(*keys).statement(actor="log", time=TIME, note="n")


@pytest.mark.parametrize("kind", KINDS)
def test_every_schema_is_a_valid_schema_of_its_kind(kind):
    schema = schema_for(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == (kind if kind.startswith("urn:") else f"urn:affidavit:{kind}:v1")
    assert schema["additionalProperties"] is (kind != TRUST_ROOT)


def test_every_schema_file_belongs_to_a_kind():
    on_disk = {path.stem for path in (ROOT / "lineage" / "schemas").glob("*.json")}
    assert on_disk == {schema_for(kind)["$id"].split(":")[2] for kind in KINDS}


@pytest.mark.parametrize("make", [lambda: dataset(1), approval, root], ids=["data", "yes", "root"])
def test_the_predicates_that_are_written_fit_their_schema(make):
    statement = make()
    value = json.loads(statement.to_bytes())["predicate"]
    check(statement.predicate_type, value)
    for name in ("name", "actor", "time"):
        with pytest.raises(jsonschema.ValidationError, match=name):
            check(statement.predicate_type, {k: v for k, v in value.items() if k != name})


def test_the_extension_field_of_a_run_fits_its_schema():
    check(RUN_FIELD, run(1).predicate[RUN_FIELD])


@pytest.mark.parametrize("kind", RECORD_KINDS)
def test_records_fit_their_schema(kind):
    value = parse_json(record(kind, 1))
    check(kind, value)
    with pytest.raises(jsonschema.ValidationError):
        check(kind, {**value, "timestamp" if kind == "decision" else "time": "yesterday"})
    with pytest.raises(jsonschema.ValidationError):
        check(kind, {**value, "record": "gossip"})


def test_a_trust_root_takes_nothing_that_is_not_named():
    value = json.loads(root().to_bytes())["predicate"]
    with pytest.raises(jsonschema.ValidationError):
        check(TRUST_ROOT, {**value, "more": 1})
    value["keys"][0]["roles"] = ["king"]
    with pytest.raises(jsonschema.ValidationError):
        check(TRUST_ROOT, value)


def test_a_schema_is_the_callers_own_copy():
    schema_for(DATASET)["title"] = "changed"
    assert schema_for(DATASET)["title"] == "Dataset"


def test_a_kind_without_a_schema_is_not_found():
    with pytest.raises(NotFoundError, match="urn:affidavit:dataset:v1"):
        schema_for("https://slsa.dev/provenance/v1")
