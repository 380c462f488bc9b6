"""The committed module is what the committed sources give, and the packs are tested and clean."""

from __future__ import annotations

import json
import shutil

import jsonschema
import pytest
from real import opa_binary

from affidavit.errors import ConfigurationError, NotFoundError, PolicyEngineError
from affidavit.policies import build_packs, check_packs, run_pack_tests
from affidavit.policies._data_schema import first_departure
from affidavit.policies._manifest import shipped
from affidavit.policies._open import open_bundle


def input_schema():
    return json.loads((shipped() / "schemas" / "input.schema.json").read_text("utf-8"))


@pytest.mark.real
def test_the_packs_pass_their_own_tests_with_coverage():
    report = run_pack_tests(opa=opa_binary())
    assert report.problems == ()
    assert [case.name for case in report.cases if not case.passed] == []
    assert report.passed
    assert report.coverage >= 95.0


@pytest.mark.real
def test_a_rebuild_gives_the_committed_module():
    opa_binary()
    assert check_packs() == []


@pytest.mark.real
def test_two_builds_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        build_packs(shipped() / "packs", tmp_path / name, opa=opa_binary())
    for name in ("policy.wasm", "manifest.json"):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two
        assert one == (shipped() / name).read_bytes()


@pytest.mark.real
def test_a_changed_or_added_source_is_found(tmp_path):
    build_packs(shipped() / "packs", tmp_path, opa=opa_binary())
    assert check_packs(tmp_path) == []
    (tmp_path / "packs" / "extra.rego").write_text("package extra\n\nallow := true\n")
    assert any("extra.rego is not in the manifest" in problem for problem in check_packs(tmp_path))
    with (tmp_path / "packs" / "access" / "access.rego").open("a") as file:
        file.write("\nallow if true\n")
    (problem,) = check_packs(tmp_path)
    assert "access.rego is not the one in the manifest" in problem


def test_a_folder_without_packs_and_a_missing_opa_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match="no packs"):
        build_packs(tmp_path, tmp_path / "out")
    with pytest.raises(NotFoundError, match="opa-that-is-not"):
        run_pack_tests(opa="opa-that-is-not")


@pytest.mark.real
def test_broken_rego_is_reported(tmp_path):
    (tmp_path / "data.json").write_text("{}")
    (tmp_path / "a.rego").write_text("package a\n\nallow if { nonsense\n")
    with pytest.raises(PolicyEngineError, match="opa"):
        build_packs(tmp_path, tmp_path / "out", opa=opa_binary())


@pytest.mark.real
def test_a_failing_rego_test_shows(tmp_path):
    shutil.copyfile(shipped() / "packs" / "base" / "clock.rego", tmp_path / "clock.rego")
    (tmp_path / "clock_test.rego").write_text(
        "package affidavit.clock_test\n\nimport data.affidavit.clock\n\n"
        'test_wrong if clock.seconds("1970-01-01T00:00:00Z") == 1\n'
    )
    report = run_pack_tests(tmp_path, opa=opa_binary())
    assert not report.passed
    assert [case.passed for case in report.cases] == [False]


def test_the_shipped_data_and_the_requests_of_the_tests_fit_their_schemas(request_for, promotion):
    bundle = open_bundle()
    assert {name.split("/")[1] for name in bundle.schemas} == set(bundle.data)
    for name, content in bundle.schemas.items():
        if name == ADDED_TO:
            continue
        section = name.split("/")[1]
        jsonschema.Draft202012Validator.check_schema(json.loads(content))
        assert first_departure(json.loads(content), bundle.data[section], section) is None
    jsonschema.Draft202012Validator.check_schema(input_schema())
    for document in (request_for(), promotion):
        jsonschema.validate(document, input_schema())


# A section to which an organisation adds whole entries under names of its own.
ADDED_TO = "packs/frameworks/schema.json"


def test_every_setting_of_every_schema_is_closed_and_described():
    for name, content in open_bundle().schemas.items():
        if name == ADDED_TO:
            continue
        schema = json.loads(content)
        assert schema["additionalProperties"] is False, name
        defined = schema.get("$defs", {})
        for key, value in schema["properties"].items():
            referred = defined.get(value.get("$ref", "").rpartition("/")[2], {})
            assert {**referred, **value}.get("description"), f"{name}: {key}"


def test_every_setting_of_every_schema_has_a_default():
    bundle = open_bundle()
    for name, content in bundle.schemas.items():
        if name == ADDED_TO:
            continue
        section = name.split("/")[1]
        assert set(json.loads(content)["properties"]) == set(bundle.data[section]), name
