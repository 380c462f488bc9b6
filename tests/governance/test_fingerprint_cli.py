"""`affidavit diff`, `sign-model` and `verify-model` on a real home, and the cache of digests."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import time
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

import affidavit as aff
from affidavit._diff import group_ranges
from affidavit.lineage import MODEL_SIGNATURE, ModelKey, parse_json, schema_for, write_model_key

GROUP = 65_536


@pytest.fixture
def frame():
    rows = 3 * GROUP + 17
    return pd.DataFrame({"a": np.arange(rows), "b": np.arange(rows) % 7, "c": ["x"] * rows})


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "d").mkdir(parents=True)
    for name in ("config.json", "d/weights", "tokens"):
        (folder / name).write_text(name)
    return folder


def used(thing, name="thing"):
    with aff.run("work") as run:
        return run.use(thing, name)


def compare(cli, a, b):
    code, out, err = cli("diff", a, b, "--json")
    return code, json.loads(out), err


# -- tables ---------------------------------------------------------------------------------------


def test_diff_names_columns_and_row_groups(cli, home, frame):
    changed = frame.assign(d=1).drop(columns="c")
    changed.loc[[GROUP, GROUP + 1], "a"] = -1
    changed.loc[3 * GROUP + 16, "a"] = -1
    changed["b"] = changed["b"].astype("int32")
    one, other = used(frame), used(changed)
    code, found, _ = compare(cli, one.digest, other.digest)
    assert (code, found["equal"], found["kind"]) == (1, False, "table")
    table = found["table"]
    assert (table["only_in_first"], table["only_in_second"]) == (["c"], ["d"])
    a, b = table["changed"]
    assert a == {
        "column": "a",
        "types": ["int64", "int64"],
        "row_groups": [
            {"first_group": 1, "last_group": 1, "first_row": GROUP, "last_row": 2 * GROUP - 1},
            {
                "first_group": 3,
                "last_group": 3,
                "first_row": 3 * GROUP,
                "last_row": 3 * GROUP + 16,
            },
        ],
    }
    assert (b["column"], b["types"]) == ("b", ["int64", "int32"])
    code, out, _ = cli("diff", one.sha256[:12], other.digest)
    assert code == 1
    for said in ("only in A", "only in B", "int64 became int32", "rows 65,536 to 131,071"):
        assert said in out


def test_diff_of_equal_digests_is_0_and_of_unknown_ones_2(cli, home, frame):
    one = used(frame)
    assert compare(cli, one.digest, one.sha256[:8])[0] == 0
    assert cli("diff", one.digest, one.digest)[1].endswith("Equal.\n")
    for bad in ("0" * 64, "sha256:" + "0" * 64, "thing", "12345", ""):
        code, found, _ = compare(cli, one.digest, bad)
        assert (code, found["error"]["code"]) == (2, "NotFoundError")


def test_diff_of_a_governed_read_shows_what_the_obligations_changed(cli, home, configure, reader):
    @aff.data("people", purpose="study", columns={"phone": ["contact"]})
    def load():
        return pd.DataFrame({"phone": ["1", "2"], "age": [30, 40]})

    load()
    entry = reader.newest("dataset")
    (source,), (result,) = reader.parts(entry, "input"), reader.parts(entry, "subject")
    code, found, _ = compare(cli, source["digest"], result["digest"])
    assert (code, found["table"]["only_in_first"]) == (1, ["phone"])
    assert found["table"]["changed"] == []


def test_two_tables_that_differ_in_their_number_of_rows_only_say_so(cli, home):
    one, other = used(pd.DataFrame({"a": [1]})), used(pd.DataFrame({"a": [1, 1]}))
    code, out, _ = cli("diff", one.digest, other.digest)
    assert (code, "A has 1 rows, B has 2." in out) == (1, True)


def test_a_reordered_table_is_not_equal(cli, home):
    frame = pd.DataFrame({"a": [1], "b": [2]})
    one, other = used(frame), used(frame[["b", "a"]])
    code, found, _ = compare(cli, one.digest, other.digest)
    assert (code, found["table"]["reordered"], found["table"]["changed"]) == (1, True, [])


def test_parts_that_were_edited_are_not_believed(cli, home, frame):
    one, other = used(frame), used(frame.assign(a=0))
    path = home.artifacts._path(other.annotations["parts"].removeprefix("sha256:"))
    true = path.read_bytes()
    path.write_bytes(true.replace(b'"n_rows":196625', b'"n_rows":196626'))
    code, found, _ = compare(cli, one.digest, other.digest)
    assert (code, "changed on disk" in found["error"]["message"]) == (2, True)
    assert cli("verify")[0] == 1
    path.unlink()
    code, found, _ = compare(cli, one.digest, other.digest)  # the statement still has columns
    assert (code, [c["row_groups"] for c in found["table"]["changed"]]) == (1, [None])
    assert "artifact-missing" in cli("verify", "--json")[1]
    path.write_bytes(true)
    assert cli("verify")[0] == 0


def test_parts_of_another_table_are_not_believed_though_they_have_their_digest(cli, home, frame):
    from affidavit.lineage import DATASET, Resource, Statement, timestamp

    one, other = used(frame), used(frame.assign(a=0))
    liar = Resource("liar", "ab" * 32, "arrow-table-v1", {"parts": one.annotations["parts"]})
    said = {"name": "liar", "actor": "x", "time": timestamp(), "outcome": "read"}
    home.record(Statement((liar,), DATASET, said))
    code, found, _ = compare(cli, liar.digest, other.digest)
    assert (code, "does not give its digest" in found["error"]["message"]) == (2, True)


def test_ranges_of_row_groups_join_neighbours():
    assert [(r["first_group"], r["last_group"]) for r in group_ranges((0, 1, 2, 5), (1, 9))] == [
        (0, 2),
        (5, 5),
    ]
    assert group_ranges((), (0, 0)) == []


# -- directories, files and others ----------------------------------------------------------------


def test_diff_of_directories_names_the_files(cli, home, model):
    one = used(model)
    (model / "config.json").write_text("other")
    (model / "tokens").unlink()
    (model / "d" / "new\nline").touch()
    other = used(model)
    code, found, _ = compare(cli, one.digest, other.digest)
    assert (code, found["kind"]) == (1, "directory")
    assert found["files"] == {
        "only_in_first": ["tokens"],
        "only_in_second": ["d/new\nline"],
        "changed": ["config.json"],
    }
    code, out, _ = cli("diff", one.digest, other.digest)
    assert (code, "only in A  tokens" in out, "changed    config.json" in out) == (1, True, True)


def test_diff_of_files_says_that_they_differ_and_that_no_more_is_known(cli, home, tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    one, other = used(tmp_path / "a"), used(tmp_path / "b")
    code, found, _ = compare(cli, one.digest, other.digest)
    assert (code, found["explained"], found["kind"]) == (1, False, "file-bytes-v1")
    code, out, _ = cli("diff", one.digest, other.digest)
    assert (code, "not kept" in out) == (1, True)


def test_digests_of_different_kinds_say_nothing_about_each_other(cli, home, model, frame):
    one, other = used(frame), used(model)
    code, found, _ = compare(cli, one.digest, other.digest)
    assert (code, "say nothing" in found["error"]["message"]) == (2, True)


# -- signing --------------------------------------------------------------------------------------


@pytest.fixture
def signed(cli, home, model, tmp_path):
    """A signed model, and the key from a place of the auditor's own."""
    code, out, err = cli("sign-model", model, "--json")
    assert code == 0, err
    shutil.copy(home.folder / "model.pub", tmp_path / "auditor.pub")
    return json.loads(out), tmp_path / "auditor.pub"


def test_a_model_is_signed_recorded_and_verified_without_the_home(
    cli, home, model, signed, monkeypatch
):
    facts, key = signed
    entry = aff.Reader(home).newest("model-signature")
    assert facts["entry"] == entry
    statement = parse_json(home.ledger.entry(entry))
    assert statement["payloadType"] == "application/vnd.in-toto+json"
    private = home.folder / "keys" / "model.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert cli("verify")[0] == 0
    monkeypatch.setenv("AFFIDAVIT_HOME", str(model.parent / "nowhere"))
    code, out, _ = cli("verify-model", model, "--key", key, "--json")
    found = json.loads(out)
    assert (code, found["digest"], found["uncovered"]) == (0, facts["digest"], [])
    assert cli("verify-model", model, "--key", key)[1].startswith("Verified: the 3 files")


def test_the_statement_fits_its_schema_names_key_and_signature_and_joins_the_lineage(
    cli, home, model, reader
):
    before = used(model)
    assert cli("sign-model", model)[0] == 0
    entry = reader.newest("model-signature")
    said = aff.verified_statement(home, entry)
    jsonschema.Draft202012Validator(schema_for(MODEL_SIGNATURE)).validate(said.predicate)
    assert said.predicate["key"]["public"].encode() == (home.folder / "model.pub").read_bytes()
    assert [subject.digest for subject in said.subjects] == [before.digest]
    content = (model / "model.sig").read_bytes()
    (output,) = said.predicate["outputs"]
    assert output["digest"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert home.artifacts.get(output["digest"]["sha256"]) == content


@pytest.mark.parametrize("change", ["content", "added", "removed", "signature"])
def test_verify_model_exits_with_1_for_what_was_changed(cli, model, signed, change):
    _, key = signed
    path = model / "config.json"
    if change == "content":
        path.write_text("config.jsoN")
    elif change == "added":
        (model / "more").touch()
    elif change == "removed":
        path.unlink()
    else:
        sig = model / "model.sig"
        sig.write_bytes(sig.read_bytes().replace(b'"sig":"ME', b'"sig":"MF'))
    code, out, _ = cli("verify-model", model, "--key", key, "--json")
    assert (code, json.loads(out)["ok"]) == (1, False)


def test_signing_again_replaces_the_signature_and_does_not_cover_the_old_one(cli, model, signed):
    _, key = signed
    first = (model / "model.sig").read_bytes()
    (model / "config.json").write_text("second")
    assert cli("sign-model", model)[0] == 0
    assert (model / "model.sig").read_bytes() != first
    assert cli("verify-model", model, "--key", key)[0] == 0


def test_what_is_left_out_is_named_when_it_is_verified(cli, home, model, signed):
    _, key = signed
    (model / ".git").mkdir()
    (model / "local.log").touch()
    code, out, _ = cli("verify-model", model, "--key", key, "--ignore", model / "local.log")
    assert (code, "Not covered by the signature: .git, local.log." in out) == (0, True)
    assert cli("verify-model", model, "--key", key)[0] == 1
    assert cli("sign-model", model, "--git", "--ignore", model / "d")[0] == 0
    out = cli("verify-model", model, "--key", key, "--json")[1]
    assert (json.loads(out)["files"], json.loads(out)["uncovered"]) == (3, ["d"])


def test_a_key_of_ones_own_signs_without_a_home_where_that_is_asked(
    cli, model, tmp_path, monkeypatch
):
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "nowhere"))
    key = ModelKey.generate()
    write_model_key(tmp_path / "key.pem", key)
    (tmp_path / "key.pub").write_bytes(key.verifier.pem)
    target = tmp_path / "out.sig"
    command = ["sign-model", model, "--key", tmp_path / "key.pem", "-o", target]
    code, out, _ = cli(*command, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "NotInitialisedError")
    assert not target.exists()
    code, out, _ = cli(*command, "--no-record", "--hash", "blake3", "--json")
    assert (code, json.loads(out)["entry"], json.loads(out)["hash"]) == (0, None, "blake3")
    verify = ["verify-model", model, "--signature", target, "--key", tmp_path / "key.pub"]
    assert cli(*verify)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["sign-model", "nowhere"], "Expected a directory"),
        (["sign-model", "empty"], "no file to sign"),
        (["sign-model", "model", "--hash", "md5"], "hash algorithm 'md5'"),
        (["sign-model", "model", "--ignore", "elsewhere"], "is not in 'model'"),
        (["sign-model", "model", "--ignore", "model/d/.."], "the directory itself"),
        (["sign-model", "model", "--key", "missing.pem"], "missing.pem is missing"),
        (["sign-model", "model", "-o", "nowhere/x.sig"], "cannot be written"),
        (["verify-model", "model", "--key", "missing.pub"], "cannot be read"),
        (["verify-model", "model", "--key", ".affidavit/log.pub"], "no public key"),
    ],
)
def test_what_cannot_be_signed_or_verified_is_said_with_exit_code_2(
    cli, home, signed, arguments, match
):
    Path("empty").mkdir()
    if ".affidavit/log.pub" in arguments:
        arguments = [*arguments[:-1], home.folder / "log.pub"]
    code, _, err = cli(*arguments)
    assert (code, match in err) == (2, True), err


def test_a_signature_that_cannot_be_recorded_is_not_handed_out(cli, home, model):
    (home.folder / "keys" / "recorder.pem").unlink()
    assert cli("sign-model", model)[0] == 2
    assert not (model / "model.sig").exists()


# -- the cache of file digests --------------------------------------------------------------------


def aged(path: Path, monkeypatch):
    """Let the clock run until a file is old enough for its times to tell a change."""
    now = time.time_ns() + 10_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now)


def test_an_input_is_looked_up_only_where_that_is_set_and_the_resource_says_so(
    cli, home, model, configure, monkeypatch
):
    aged(model, monkeypatch)
    plain = used(model)
    assert not (home.folder / "cache").exists()
    configure("[affidavit]\nfile_cache = true\n")
    first, second = used(model), used(model)
    assert plain.digest == first.digest == second.digest
    assert "from_cache" not in first.annotations
    assert second.annotations["from_cache"] == 3
    assert stat.S_IMODE((home.folder / "cache" / "files.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((home.folder / "cache").stat().st_mode) == 0o700


def test_outputs_and_signatures_never_come_from_the_cache(cli, home, model, configure, monkeypatch):
    import sqlite3

    aged(model, monkeypatch)
    configure("[affidavit]\nfile_cache = true\n")
    true = used(model)
    with sqlite3.connect(home.folder / "cache" / "files.db") as forged:
        forged.execute("UPDATE digest SET value = ?", ("ab" * 32,))
    forged.close()
    assert used(model).digest != true.digest  # what a poisoned cache does to an input
    with aff.run("work") as run:
        assert run.produce(model).digest == true.digest
    code, out, _ = cli("sign-model", model, "--json")
    assert (code, json.loads(out)["digest"]) == (0, true.digest)
    assert cli("verify-model", model, "--key", home.folder / "model.pub")[0] == 0


def test_the_setting_is_a_truth_value(cli, home, model, configure):
    configure('[affidavit]\nfile_cache = "yes"\n')
    code, _, err = cli("verify")
    assert (code, "file_cache is 'yes'" in err, os.linesep in err) == (2, True, True)
