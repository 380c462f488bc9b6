"""The command line on a real home: what it prints, what it ends with, what it refuses."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys

import pytest

from affidavit.lineage import Ledger, NoteSigner, SigningKey, read_key


def test_init_makes_a_home_and_is_safe_to_repeat(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "new"))
    code, out, _ = cli("init", "--json")
    first = json.loads(out)
    assert (code, first["created"]) == (0, True)
    code, out, _ = cli("init", "--json")
    second = json.loads(out)
    assert (code, second["created"]) == (0, False)
    assert second["key"] == first["key"]
    for path in (tmp_path / "new" / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_verify_prints_entries_size_root_and_key(cli, small_home):
    code, out, _ = cli("verify")
    assert code == 0
    key = (small_home / "log.pub").read_text().strip()
    assert key.split("+")[0] in out
    report = json.loads(cli("verify", "--json")[1])
    assert report["ok"] is True
    assert report["errors"] == []
    assert report["root"] in out
    assert str(report["size"]) in out
    assert report["key"] == key


def _sql(home, statement, *values):
    with sqlite3.connect(home / "ledger.db") as store:
        store.execute(statement, values)


def _change_a_byte(home):
    with sqlite3.connect(home / "ledger.db") as store:
        body = store.execute("SELECT body FROM entry WHERE entry = 4").fetchone()[0]
        changed = bytes([body[0], body[1], body[2] ^ 1]) + body[3:]
        store.execute("UPDATE entry SET body = ? WHERE entry = 4", (changed,))


def _swap(home):
    with sqlite3.connect(home / "ledger.db") as store:
        one, two = (
            store.execute("SELECT body FROM entry WHERE entry = ?", (n,)).fetchone()[0]
            for n in (3, 6)
        )
        store.execute("UPDATE entry SET body = ? WHERE entry = 3", (two,))
        store.execute("UPDATE entry SET body = ? WHERE entry = 6", (one,))


def _edit_checkpoint(home):
    with sqlite3.connect(home / "ledger.db") as store:
        note = store.execute("SELECT note FROM checkpoint WHERE size = 5").fetchone()[0]
        store.execute(
            "UPDATE checkpoint SET note = ? WHERE size = 5", (note.replace(b"\n5\n", b"\n6\n"),)
        )


def _change_tile(home):
    with sqlite3.connect(home / "ledger.db") as store:
        tile = store.execute("SELECT hashes FROM tile WHERE level = 0").fetchone()[0]
        changed = tile[:64] + bytes([tile[64] ^ 1]) + tile[65:]
        store.execute("UPDATE tile SET hashes = ? WHERE level = 0", (changed,))


def _replace_key(home):
    name = (home / "log.pub").read_text().split("+")[0]
    other = NoteSigner(name, SigningKey.generate().private).verifier
    (home / "log.pub").write_text(f"{other}\n")


@pytest.mark.parametrize(
    ("tamper", "where"),
    [
        (_change_a_byte, "entry 4"),
        (lambda home: _sql(home, "DELETE FROM entry WHERE entry = 7"), "entry 7"),
        (_swap, "entry 3"),
        (_edit_checkpoint, "checkpoint 5"),
        (lambda home: _sql(home, "UPDATE statement SET actor = 'x' WHERE entry = 0"), "entry 0"),
        (lambda home: _sql(home, "UPDATE decision SET allow = 1 WHERE allow = 0"), "decision"),
        (_change_tile, "tile 0/0"),
        (_replace_key, "checkpoint"),
    ],
    ids=["byte", "deletion", "swap", "checkpoint", "index", "denial", "tile", "key"],
)
def test_verify_exits_1_and_names_what_was_changed(cli, small_home, tamper, where):
    tamper(small_home)
    code, out, _ = cli("verify", "--json")
    report = json.loads(out)
    assert (code, report["ok"]) == (1, False)
    assert any(where in error["where"] for error in report["errors"]), report["errors"]
    code, out, _ = cli("verify")
    assert code == 1
    assert "NOT VERIFIED" in out


def test_verify_against_an_exported_checkpoint_sees_the_last_ten_entries_cut_off(
    cli, small_home, tmp_path
):
    exported = tmp_path / "checkpoint.txt"
    assert cli("checkpoint", "-o", exported)[0] == 0
    size = json.loads(cli("verify", "--json", "--checkpoint", exported)[1])["size"]
    # The operator, who holds the log key, writes a shorter log that is sound in itself.
    with sqlite3.connect(small_home / "ledger.db") as store:
        kept = store.execute("SELECT body FROM entry ORDER BY entry").fetchall()
    # Cut where no process was numbering records, or its missing end would show as well.
    cut = next(n for n, (body,) in enumerate(kept) if b'"record":"writer"' in body)
    assert size - cut >= 10
    kept = kept[:cut]
    (small_home / "ledger.db").unlink()
    name = (small_home / "log.pub").read_text().split("+")[0]
    signer = NoteSigner(name, read_key(small_home / "keys" / "log.pem").private)
    ledger = Ledger(small_home / "ledger.db", signer.verifier, signer=signer, create=True)
    for (body,) in kept:
        ledger.append([body])
    ledger.close()
    assert cli("verify")[0] == 0
    code, out, _ = cli("verify", "--json", "--checkpoint", exported)
    found = json.loads(out)["errors"]
    assert code == 1
    assert found[0]["code"] == "entries-cut-off"
    assert found[0]["where"] == f"entry {cut}"


def test_an_output_that_cannot_be_written_is_an_error_and_not_a_traceback(
    cli, small_home, tmp_path
):
    nowhere = tmp_path / "no" / "folder" / "x"
    for command in (("checkpoint",), ("report", "tumour"), ("bundle", "tumour")):
        code, _, err = cli(*command, "-o", nowhere)
        assert code == 2
        assert "cannot be written" in err


def test_verify_with_a_pinned_key_does_not_trust_the_home(cli, small_home, tmp_path):
    pinned = tmp_path / "mine.pub"
    pinned.write_bytes((small_home / "log.pub").read_bytes())
    _replace_key(small_home)
    assert cli("verify", "--key", pinned)[0] == 0
    assert cli("verify")[0] == 1


def test_verify_finds_an_artifact_that_was_changed(cli, small_home):
    kept = next(path for path in (small_home / "artifacts").glob("??/*"))
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes() + b"x")
    code, out, _ = cli("verify", "--json")
    assert code == 1
    assert json.loads(out)["errors"][0]["code"] == "artifact-changed"


def test_verify_finds_a_model_file_that_is_gone(cli, small_home):
    shown = json.loads(cli("lineage", "tumour", "--json")[1])
    digest = shown["root"].removeprefix("sha256:")
    (small_home / "artifacts" / digest[:2] / digest).unlink()
    code, out, _ = cli("verify", "--json")
    assert code == 1
    assert json.loads(out)["errors"][0]["code"] == "artifact-missing"


def test_verify_of_a_corrupted_database_says_so_without_a_traceback(cli, small_home):
    path = small_home / "ledger.db"
    content = bytearray(path.read_bytes())
    content[: 4096 * 2] = b"\xff" * 4096 * 2
    path.write_bytes(content)
    code, out, _ = cli("verify", "--json")
    answer = json.loads(out)
    assert (code, answer["ok"]) == (1, False)
    assert answer["errors"]
    code, _, err = cli("verify")
    assert code == 1
    assert "Traceback" not in err


def test_log_lists_the_newest_entries_first(cli, small_home):
    code, out, _ = cli("log", "--json", "-n", 4)
    rows = json.loads(out)["entries"]
    assert code == 0
    assert [row["kind"] for row in rows] == ["writer", "prediction", "decision", "prediction"]
    assert rows[0]["entry"] > rows[1]["entry"]
    assert "tumour" in cli("log")[1]


def test_show_finds_an_entry_by_index_id_digest_and_name(cli, small_home):
    rows = json.loads(cli("log", "--json", "-n", 100)[1])["entries"]
    run = next(row for row in rows if row["kind"] == "run")
    for key in (run["entry"], run["id"]):
        shown = json.loads(cli("show", key, "--json")[1])
        assert shown["entry"] == run["entry"]
        assert len(shown["inclusion"]["root"]) == 64
    digest = shown["content"]["subject"][0]["digest"]["sha256"]
    about = json.loads(cli("show", f"sha256:{digest}", "--json")[1])
    assert {row["kind"] for row in about["entries"]} >= {"run", "evaluation", "verdict"}
    assert cli("show", "tumour")[0] == 0


def test_show_of_something_unknown_says_what_to_give(cli, small_home):
    code, _, err = cli("show", "nothing-of-that-name")
    assert code == 2
    assert "Next:" in err


def test_lineage_joins_the_model_to_the_data_it_was_trained_on(cli, small_home):
    graph = json.loads(cli("lineage", "tumour", "--format", "json")[1])
    nodes = {node["key"]: node for node in graph["nodes"]}
    assert nodes[graph["root"]]["name"] == "tumour.pickle"
    (run,) = [e["source"] for e in graph["edges"] if e["target"] == graph["root"]]
    assert nodes[run]["kind"] == "run"
    assert {nodes[e["source"]]["name"] for e in graph["edges"] if e["target"] == run} == {"scans"}
    assert cli("lineage", "tumour", "--format", "dot")[1].startswith("digraph")
    assert "run tumour" in cli("lineage", "tumour")[1]
    assert cli("lineage", "tumour", "--format", "svg")[0] == 2


def test_gate_exits_0_with_evidence_and_approval_and_1_without(cli, small_home):
    code, out, _ = cli("gate", "tumour", "--stage", "promote", "--format", "json")
    answer = json.loads(out)
    assert (code, answer["ok"]) == (0, True)
    assert answer["evidence"]["approvals"][0]["approver"] == "reviewer@example.org"
    # Ninety-one days on, the evidence is stale.
    code, out, _ = cli("gate", "tumour", "--effective-time", "2099-01-01T00:00:00Z")
    assert code == 1
    assert "DENIED" in out


def test_gate_exits_4_where_evidence_is_missing_and_where_it_does_not_verify(cli, small_home):
    code, out, _ = cli("gate", "nobody")
    assert code == 4
    assert "tumour" in out
    (fault,) = json.loads(cli("gate", "nobody", "--json")[1])["errors"]
    assert (fault["code"], fault["where"]) == ("evidence-missing", "nobody")
    _change_a_byte(small_home)
    code, out, _ = cli("gate", "tumour", "--json")
    assert code == 4
    assert json.loads(out)["errors"][0]["where"] == "entry 4"
    (small_home / "ledger.db").write_bytes(b"\xff" * 8192)
    assert cli("gate", "tumour")[0] == 4


def test_gate_exits_4_where_the_index_hides_the_model(cli, small_home):
    _sql(small_home, "UPDATE statement SET name = 'other' WHERE kind = 'run'")
    code, out, _ = cli("gate", "tumour", "--json")
    assert code == 4
    assert json.loads(out)["errors"][0]["code"] == "index-changed"


def test_keys_lists_who_may_sign_what(cli, small_home):
    listed = json.loads(cli("keys", "list", "--json")[1])["keys"]
    roles = {key["identity"]: key["roles"] for key in listed}
    assert roles["reviewer@example.org"] == ["approver"]
    assert cli("keys", "add", "reviewer@example.org")[0] == 2
    assert cli("keys", "add", "../../etc/passwd")[0] == 2
    assert cli("keys", "add", "second@example.org")[0] == 0
    assert cli("verify")[0] == 0


def test_explain_needs_the_role_and_then_gives_reasons(cli, small_home, monkeypatch):
    entries = json.loads(cli("log", "--json", "-n", 5)[1])["entries"]
    served = next(row["id"] for row in entries if row["kind"] == "prediction")
    code, _, err = cli("explain", served)
    assert code == 1
    assert "may not" in err
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor")
    answer = json.loads(cli("explain", served, "--json")[1])
    total = answer["base_value"] + sum(r["contribution"] for r in answer["reasons"])
    assert total == pytest.approx(answer["explained_output"], abs=1e-6)
    newest = json.loads(cli("log", "--json", "-n", 1)[1])["entries"][0]
    assert (newest["kind"], newest["outcome"]) == ("access", "disclose")


def test_doctor_finds_a_key_that_others_can_read(cli, small_home):
    assert cli("doctor")[0] == 0
    (small_home / "keys" / "recorder.pem").chmod(0o644)
    code, out, _ = cli("doctor", "--json")
    assert code == 2
    assert any(c["name"] == "keys" and c["state"] == "fail" for c in json.loads(out)["checks"])


def test_policy_eval_answers_a_question_from_a_file(cli, tmp_path, small_home):
    question = tmp_path / "input.json"
    question.write_text("{}")
    code, out, _ = cli("policy", "eval", "affidavit/data_read", "-i", question, "--json")
    assert code == 1
    assert json.loads(out)["deny"]
    question.write_text('{"a":1,"a":2}')
    assert cli("policy", "eval", "affidavit/data_read", "-i", question)[0] == 1


@pytest.mark.parametrize("command", ["verify", "log", "gate x", "lineage x", "keys list"])
def test_without_a_home_every_command_says_how_to_make_one(cli, command):
    code, _, err = cli(*command.split())
    assert code == 2
    assert "affidavit init" in err


def test_a_missing_key_is_named_with_what_to_do(cli, small_home):
    (small_home / "keys" / "recorder.pem").unlink()
    code, _, err = cli("gate", "tumour")
    assert code == 2
    assert "recorder.pem" in err
    assert "backup" in err
    assert cli("verify")[0] == 0


def test_text_from_the_ledger_cannot_steer_the_terminal(cli, small_home):
    script = (
        "import affidavit as aff\n"
        "with aff.run('evil\\x1b[31m[bold]name\\u202e') as run: run.metric('x', 1)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ)
    _, out, _ = cli("log", "-n", 1)
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold]name" in out


def test_two_processes_initialising_at_once_agree_on_one_home(tmp_path):
    home = tmp_path / "shared-home"
    code = "import sys, affidavit.cli as c; sys.argv = ['affidavit', 'init', '--json']; c.main()"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "AFFIDAVIT_HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert sum(answer["created"] for answer in answers) == 1
    assert len({answer["key"] for answer in answers}) == 1
    assert [path.name for path in tmp_path.iterdir() if "new-" in path.name] == []
