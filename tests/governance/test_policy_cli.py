"""`affidavit policy`: check, test, build, bundle and eval, with their exit codes."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from real import opa_binary

from affidavit.policies import open_bundle, read_bundle

RULE = """package affidavit

# METADATA
# entrypoint: true
yes := {"allow": true, "deny": [], "warn": [], "obligations": []} if input.ask == "nicely"
"""
TEST = """package affidavit_test

import data.affidavit

test_yes if affidavit.yes.allow with input as {"ask": "nicely"}
"""
QUESTION = {
    "action": "data.read",
    "actor": {"id": "ada", "roles": ["nobody"]},
    "purpose": "research",
    "resource": {"kind": "dataset", "name": "people", "digest": "", "tags": []},
    "columns": [],
    "environment": "development",
    "time": "2026-11-21T10:00:00Z",
    "request_id": "r-1",
}


@pytest.fixture
def question(tmp_path):
    path = tmp_path / "question.json"
    path.write_text(json.dumps(QUESTION))
    return path


@pytest.fixture
def packs(tmp_path):
    opa_binary()
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "yes.rego").write_text(RULE)
    (folder / "yes_test.rego").write_text(TEST)
    (folder / "data.json").write_text("{}")
    return folder


@pytest.mark.real
def test_the_shipped_packs_check_and_a_changed_source_does_not(home, cli, packs, tmp_path):
    code, out, _ = cli("policy", "check", "--json")
    assert code == 0, out
    assert json.loads(out) == {"ok": True, "problems": []}
    built = tmp_path / "built"
    assert cli("policy", "build", packs, "--output", built)[0] == 0
    assert cli("policy", "check", built)[0] == 0
    rego = built / "packs" / "yes.rego"
    rego.write_text(rego.read_text().replace("nicely", "anyhow"))
    code, out, _ = cli("policy", "check", built, "--json")
    assert code == 1
    assert "yes.rego" in json.loads(out)["problems"][0]


@pytest.mark.real
def test_untidy_rego_does_not_check(home, cli, packs, tmp_path):
    (packs / "yes.rego").write_text(RULE + "\n\n\nunused   :=   1\n")
    built = tmp_path / "built"
    assert cli("policy", "build", packs, "--output", built)[0] == 0
    code, out, _ = cli("policy", "check", built)
    assert code == 1
    assert "fmt" in out


@pytest.mark.real
def test_coverage_below_the_least_fails_and_names_the_lines(home, cli, packs):
    assert cli("policy", "test", packs, "--min-coverage", "95")[0] == 0
    more = '\nnever if {\n\tinput.ask == "rudely"\n\tinput.more == 1\n}\n'
    (packs / "yes.rego").write_text(RULE + more)
    assert cli("policy", "test", packs)[0] == 0
    code, out, _ = cli("policy", "test", packs, "--min-coverage", "95")
    assert code == 1
    assert "yes.rego: 7" in out
    code, out, _ = cli("policy", "test", packs, "--min-coverage", "95", "--json")
    assert code == 1
    assert json.loads(out)["uncovered"]["yes.rego"]


@pytest.mark.real
def test_building_says_nothing_of_the_librarys_affairs(home, cli, packs, tmp_path, caplog):
    code, out, err = cli("policy", "build", packs, "--output", tmp_path / "built")
    assert code == 0
    assert err == ""
    assert "memory" not in out + caplog.text
    (packs / "yes.rego").write_text(RULE.replace('"nicely"', "http.send(input).body"))
    code, out, _ = cli("policy", "build", packs, "--output", tmp_path / "other")
    assert code == 0
    assert "http.send" in out


def test_a_question_is_explained_with_clause_digest_and_engine(home, cli, question):
    code, out, _ = cli("policy", "eval", "affidavit/data_read", "--input", question, "--explain")
    assert code == 1
    assert "DENY" in out
    for said in ("access.", "opa-wasm", open_bundle().digest):
        assert said in out
    assert "opa-wasm" not in cli("policy", "eval", "affidavit/data_read", "-i", question)[1]


def test_a_signed_bundle_is_written_and_asked_with_its_key(home, cli, question, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    (tmp_path / "key.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    file = tmp_path / "bundle.tar.gz"
    signing = ("--sign", tmp_path / "key.pem", "--scope", "production")
    code, out, _ = cli("policy", "bundle", file, *signing, "--json")
    assert code == 0
    said = json.loads(out)
    assert said["algorithm"] == "ES256"
    assert {"--verification-key", "--scope"} <= set(said["command"])
    public = (tmp_path / "key.pub").read_bytes()
    assert read_bundle(file.read_bytes(), key=public, scope="production").digest == said["digest"]
    asked = ("policy", "eval", "affidavit/data_read", "--input", question, "--bundle", file)
    code, out, _ = cli(*asked, "--key", tmp_path / "key.pub", "--scope", "production", "--json")
    assert code == 1
    assert json.loads(out)["bundle_digest"] == said["digest"]
    for wrong in ((), ("--key", tmp_path / "key.pub"), ("--key", question)):
        assert cli(*asked, *wrong)[0] not in {0, 1}
    alone = ("policy", "eval", "affidavit/data_read", "--input", question, "--scope", "x")
    assert cli(*alone)[0] == 2
