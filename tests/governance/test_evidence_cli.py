"""Proofs, bundles, erasure and reindexing on a real home, through the command line."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture
def prediction(cli, small_home):
    entries = json.loads(cli("log", "--json")[1])["entries"]
    return next(entry for entry in entries if entry["kind"] == "prediction")


def test_a_proof_is_written_and_checked_without_the_home(cli, small_home, tmp_path, monkeypatch):
    proof, entry, key = tmp_path / "p.tlog-proof", tmp_path / "e", tmp_path / "log.pub"
    shutil.copy(small_home / "log.pub", key)
    assert cli("proof", "6", "-o", proof, "--entry", entry)[0] == 0
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "nowhere"))
    check = ["proof", "--check", proof, "--entry", entry, "--key", key]
    code, out, _ = cli(*check, "--json")
    assert (code, json.loads(out)["index"]) == (0, 6)
    content = entry.read_bytes()
    entry.write_bytes(content[:-1] + b" ")
    code, _, err = cli(*check)
    assert (code, "does not lead to the root" in err) == (1, True)
    entry.write_bytes(content)
    proof.write_bytes(proof.read_bytes().replace(b"index 6", b"index 06"))
    assert cli(*check)[0] == 1


def test_a_proof_goes_to_standard_output_by_default(cli, small_home, prediction):
    code, out, _ = cli("proof", prediction["id"])
    assert (code, out.splitlines()[0]) == (0, "c2sp.org/tlog-proof@v1")
    assert json.loads(cli("proof", prediction["id"], "--json")[1])["proof"] == out


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["proof"], "made for an entry"),
        (["proof", "nothing-like-it"], "Nothing in the ledger"),
        (["proof", "tumour"], "Give the index of one"),
        (["proof", "--check", "x"], "Give --entry FILE"),
        (["proof", "9999"], "no entry 9999"),
        (["proof", "1", "-o", "/nowhere/at/all"], "cannot be written"),
        (["consistency", "/nowhere"], "cannot be read"),
        (["bundle", "nothing-like-it", "-o", "x.zip"], "Nothing in the ledger"),
        (["bundle", "tumour", "-o", "/nowhere/x.zip"], "cannot be written"),
        (["verify", "x.zip"], "Give --key FILE"),
        (["verify", "x.zip", "--checkpoint", "x"], "its own checkpoint"),
        (["hold", "x", "--reason", " "], "has a reason"),
        (["hold", "x", "--reason", "r", "--release"], "No legal hold"),
        (["erase", "nobody"], "Nothing is kept"),
        (["erase", "grete", "--reason", "Grete asked"], "names the data subject"),
    ],
)
def test_a_wrong_request_ends_with_two_and_says_what_to_do(cli, small_home, arguments, match):
    code, _, err = cli(*arguments)
    assert (code, match in err.replace("\n", " ")) == (2, True), err


def test_consistency_holds_for_old_checkpoints_and_fails_for_a_rewritten_log(
    cli, small_home, tmp_path, prediction
):
    old = tmp_path / "old"
    cli("checkpoint", "-o", old)
    cli("hold", prediction["id"], "--reason", "case 9")
    code, out, _ = cli("consistency", old, "--json")
    assert (code, json.loads(out)["old"] + 1) == (0, json.loads(out)["size"])
    for table in ("entry", "checkpoint"):
        with sqlite3.connect(small_home / "ledger.db") as store:
            column = "entry >= 20" if table == "entry" else "size > 20"
            store.execute(f"DELETE FROM {table} WHERE {column}")
    code, _, err = cli("consistency", old)
    assert (code, "cut off" in err) == (1, True)
    old.write_bytes(old.read_bytes().replace(b"\n25\n", b"\n24\n"))
    assert cli("consistency", old)[0] == 1


def test_a_bundle_of_a_system_holds_its_whole_story(cli, small_home, tmp_path, monkeypatch):
    archive, key = tmp_path / "evidence.zip", tmp_path / "log.pub"
    shutil.copy(small_home / "log.pub", key)
    assert cli("bundle", "tumour", "-o", archive)[0] == 0
    newest = json.loads(cli("log", "--json", "-n", "1")[1])["entries"][0]
    assert (newest["kind"], newest["outcome"], newest["name"]) == ("access", "export", "tumour")
    listed = json.loads(cli("log", "--json", "-n", "100")[1])["entries"]
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "nowhere"))
    code, out, _ = cli("verify", archive, "--key", key, "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["name"], found["report"]) == (0, True, "tumour", True)
    kinds = {entry["kind"] for entry in listed if entry["entry"] in found["entries"]}
    assert kinds == {
        *("trust-root", "dataset", "run", "evaluation", "explanation", "approval", "verdict"),
        "decision",
    }
    said = cli("verify", archive, "--key", key)[1]
    assert "Verified." in said
    with zipfile.ZipFile(archive) as opened:
        opened.extract("verify_evidence.py", tmp_path)
        largest = max(opened.infolist(), key=lambda info: info.file_size)
    # A local header is 30 bytes and the name; the one verifier reads more of it than the other.
    middle = largest.header_offset + 30 + len(largest.filename) + largest.file_size // 2
    command = [sys.executable, tmp_path / "verify_evidence.py", archive, "--key", key]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    bad = bytearray(archive.read_bytes())
    bad[middle] ^= 1
    archive.write_bytes(bad)
    assert cli("verify", archive, "--key", key)[0] == 1
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1


def test_personal_data_is_disclosed_only_to_whom_the_policy_allows(
    cli, small_home, tmp_path, prediction, monkeypatch
):
    archive = tmp_path / "d.zip"
    code, _, err = cli("bundle", prediction["id"], "--disclose", "-o", archive)
    assert (code, "may not record.disclose" in err, archive.exists()) == (1, True, False)
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor")
    code, out, err = cli("bundle", prediction["id"], "--disclose", "-o", archive, "--json")
    assert code == 0, err
    fields = json.loads(out)["disclosed"][str(prediction["entry"])]
    assert fields == ["features.mean radius", "features.mean texture", "features.worst radius",
                      "output"]  # fmt: skip
    code, out, _ = cli("bundle", "tumour", "--disclose", "-o", archive)
    assert code == 2
    without = tmp_path / "n.zip"
    assert cli("bundle", prediction["id"], "-o", without)[0] == 0
    with zipfile.ZipFile(without) as opened:
        assert not [name for name in opened.namelist() if name.startswith("disclosed/")]
        assert f"entries/{prediction['entry']}.json" in opened.namelist()


def test_an_erased_person_is_gone_and_everything_still_verifies(
    cli, small_home, tmp_path, prediction, monkeypatch
):
    monkeypatch.setenv("AFFIDAVIT_ROLES", "auditor")
    before, old, key = tmp_path / "d.zip", tmp_path / "old", small_home / "log.pub"
    assert cli("bundle", prediction["id"], "--disclose", "-o", before)[0] == 0
    cli("checkpoint", "-o", old)
    with sqlite3.connect(small_home / "ledger.db") as store:
        sealed, wrapped = store.execute(
            "SELECT sealed, wrapped FROM payload JOIN subject_key USING (subject) WHERE id = ?",
            (prediction["id"],),
        ).fetchone()
    assert cli("hold", prediction["id"], "--reason", "case 9")[0] == 0
    code, _, err = cli("erase", prediction["id"])
    assert (code, "legal hold" in err) == (2, True)
    assert cli("hold", prediction["id"], "--reason", "closed", "--release", "--json")[0] == 0
    code, out, _ = cli("erase", prediction["id"], "--reason", "request 12", "--json")
    receipt = json.loads(out)
    assert (code, receipt["payloads"]) == (0, 1)
    files = b"".join(path.read_bytes() for path in small_home.glob("ledger.db*"))
    for secret in (wrapped, *(sealed[at : at + 16] for at in range(0, len(sealed) - 15, 16))):
        assert secret not in files
    shown = json.loads(cli("show", receipt["entry"], "--json")[1])
    assert shown["kind"] == "erasure"
    assert shown["content"]["predicate"]["reason"] == "request 12"
    assert prediction["id"] not in json.dumps(shown)
    code, _, err = cli("explain", prediction["id"])
    assert (code, "not kept any more" in err.replace("\n", " ")) == (2, True)
    assert cli("bundle", prediction["id"], "--disclose", "-o", tmp_path / "x.zip")[0] == 2
    assert cli("verify", "--checkpoint", old)[0] == 0
    assert cli("verify", before, "--key", key)[0] == 0
    assert cli("proof", prediction["id"])[0] == 0
    again = json.loads(cli("erase", prediction["id"], "--json")[1])
    assert (again["entry"], again["pseudonym"]) == (receipt["entry"], receipt["pseudonym"])


def test_reindex_repairs_an_edited_index(cli, small_home):
    with sqlite3.connect(small_home / "ledger.db") as store:
        store.execute("UPDATE approval SET approver = 'mallory'")
        store.execute("DELETE FROM prediction WHERE entry IN (SELECT max(entry) FROM prediction)")
    assert cli("verify")[0] == 1
    done = json.loads(cli("reindex", "--json")[1])
    assert (done["changed"], done["extra"]) == (1, 0)
    assert done["missing"] > 0
    assert cli("verify")[0] == 0
    code, out, _ = cli("reindex")
    assert (code, "0 were missing, 0 changed, 0 too many" in out) == (0, True)


def test_reindex_does_not_touch_the_index_of_a_changed_log(cli, small_home):
    with sqlite3.connect(small_home / "ledger.db") as store:
        store.execute("UPDATE entry SET body = body || ' ' WHERE entry = 3")
    code, _, err = cli("reindex")
    assert (code, "left as it is" in err) == (1, True)


def test_nothing_of_an_erased_persons_values_is_left_in_the_whole_home(cli, small_home):
    served = """
import affidavit as aff

@aff.serve("tumour@latest", purpose="diagnosis", subject="patient")
def predict(features):
    return "verdict-of-" + features["patient"]

for number in range(12):
    for patient in ("Grete-Hermann-4711", "Emmy-Noether-1882"):
        predict({"patient": patient, "mean radius": 1.5 + number, "note": f"note-{patient}"})
"""
    subprocess.run([sys.executable, "-c", served], check=True)
    code, out, err = cli("erase", "Grete-Hermann-4711", "--reason", "request 12", "--json")
    assert (code, json.loads(out)["payloads"]) == (0, 12), err
    for path in small_home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"Grete" not in content, path
            assert b"Hermann" not in content, path
    with sqlite3.connect(small_home / "ledger.db") as store:
        assert store.execute("SELECT count(*) FROM payload").fetchone() == (5 + 12,)
    assert cli("verify")[0] == 0
    assert cli("erase", "Emmy-Noether-1882")[0] == 0
