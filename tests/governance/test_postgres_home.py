"""A home whose ledger is in PostgreSQL: made once, and worked with through the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from real import ROOT

import affidavit as aff

PASSWORD = "correct-horse"


@pytest.fixture(scope="module")
def _built(postgres, tmp_path_factory):
    """A small real home in a database that a role with a password owns."""
    postgres.sql(f"CREATE ROLE keeper LOGIN PASSWORD '{PASSWORD}'")
    file = postgres.data / "pg_hba.conf"
    file.write_text("host all keeper 127.0.0.1/32 scram-sha-256\n" + file.read_text())
    postgres.sql("SELECT pg_reload_conf()")
    name = postgres.database()
    postgres.sql(f"ALTER DATABASE {name} OWNER TO keeper")
    postgres.sql("GRANT ALL ON SCHEMA public TO keeper", database=name)
    folder = tmp_path_factory.mktemp("built") / "home"
    url = postgres.url(name, role=f"keeper:{PASSWORD}")
    subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "small_home.py", folder],
        check=True,
        env={**os.environ, "AFFIDAVIT_STORE": url},
    )
    return folder, name


@pytest.fixture
def home(_built, postgres, tmp_path, monkeypatch):
    """A copy of it, folder and database."""
    built, template = _built
    folder = tmp_path / "home"
    shutil.copytree(built, folder)
    postgres.sql(f"ALTER DATABASE {template} ALLOW_CONNECTIONS false")
    name = postgres.database(template)
    postgres.sql(f"ALTER DATABASE {name} OWNER TO keeper")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFIDAVIT_HOME", str(folder))
    monkeypatch.setenv("AFFIDAVIT_CONFIG", str(folder / "affidavit.toml"))
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "engineer@example.org")
    monkeypatch.setenv("AFFIDAVIT_STORE", postgres.url(name, role=f"keeper:{PASSWORD}"))
    yield folder
    aff.open_home(folder, os.environ["AFFIDAVIT_STORE"]).close()


@pytest.fixture
def edit(home, postgres):
    """Run SQL on the home's database as its owner could."""
    name = os.environ["AFFIDAVIT_STORE"].rpartition("/")[2]
    return lambda sql: postgres.sql(sql, database=name)


def test_everything_recorded_is_verified_found_and_shown(cli, home):
    report = json.loads(cli("verify", "--json")[1])
    assert report["ok"] is True
    assert report["size"] > 15
    assert not (home / "ledger.db").exists()
    entries = json.loads(cli("log", "--limit", "50", "--json")[1])["entries"]
    assert {"run", "prediction", "decision", "approval"} <= {entry["kind"] for entry in entries}
    prediction = next(entry for entry in entries if entry["kind"] == "prediction")
    assert cli("show", prediction["id"])[0] == 0
    assert cli("lineage", "tumour")[0] == 0
    assert cli("gate", "tumour")[0] == 0
    reader = aff.Reader(aff.open_home(home, os.environ["AFFIDAVIT_STORE"]))
    assert reader.systems() == ["tumour"]
    assert reader.counts()["denial"] >= 1


def test_doctor_names_the_store_and_no_command_says_the_password(cli, home):
    said = []
    for arguments in (["doctor"], ["doctor", "--json"], ["init"], ["init", "--json"], ["verify"]):
        code, out, err = cli(*arguments)
        assert code == 0, (out, err)
        said += [out, err]
    location = os.environ["AFFIDAVIT_STORE"].replace(f"keeper:{PASSWORD}@", "")
    assert location in said[2]
    assert not any(PASSWORD in text for text in said)
    assert PASSWORD not in repr(aff.load_settings())


def test_a_wrong_password_fails_every_command_and_is_not_said(cli, home, monkeypatch):
    wrong = os.environ["AFFIDAVIT_STORE"].replace(PASSWORD, "hunter2")
    monkeypatch.setenv("AFFIDAVIT_STORE", wrong)
    for arguments in (["verify"], ["log", "--json"], ["doctor", "--json"], ["reindex"], ["init"]):
        code, out, err = cli(*arguments)
        assert code == 2
        assert "password authentication failed" in (out + err).replace("\n", " ")
        assert "hunter2" not in out + err


def test_an_edited_row_fails_verification_and_an_edited_index_is_made_anew(cli, home, edit):
    edit("UPDATE prediction SET outcome = 'other'")
    code, out, _ = cli("verify", "--json")
    assert (code, {e["code"] for e in json.loads(out)["errors"]}) == (1, {"index-changed"})
    code, out, _ = cli("reindex", "--json")
    assert (code, json.loads(out)["changed"]) == (0, 5)
    assert cli("verify")[0] == 0
    edit("UPDATE entry SET body = body || ' '::bytea WHERE entry = 4")
    code, out, _ = cli("verify", "--json")
    assert code == 1
    assert json.loads(out)["errors"][0]["where"] == "entry 4"
    code, _, err = cli("reindex")
    assert code != 0
    assert "left as it is" in err.replace("\n", " ")


def test_bundle_and_proof_are_made_and_checked_without_the_database(
    cli, home, tmp_path, monkeypatch
):
    key, bundle, proof = tmp_path / "log.pub", tmp_path / "b.zip", tmp_path / "p.tlog-proof"
    shutil.copy(home / "log.pub", key)
    assert cli("bundle", "tumour", "-o", bundle)[0] == 0
    assert cli("proof", "6", "-o", proof, "--entry", tmp_path / "e")[0] == 0
    monkeypatch.setenv("AFFIDAVIT_STORE", "postgresql://127.0.0.1:1/nowhere")
    assert cli("verify", bundle, "--key", key)[0] == 0
    assert cli("proof", "--check", proof, "--entry", tmp_path / "e", "--key", key)[0] == 0


def test_an_old_checkpoint_is_compared_and_a_cut_log_shows(cli, home, edit, tmp_path):
    kept = tmp_path / "kept"
    assert cli("checkpoint", "-o", kept)[0] == 0
    assert cli("consistency", kept)[0] == 0
    edit("DELETE FROM checkpoint WHERE size > 3")
    for table in ("entry", "statement", "artifact", "edge", "approval", "prediction", "decision",
                  "access"):  # fmt: skip
        edit(f"DELETE FROM {table} WHERE entry >= 3")
    edit("UPDATE tile SET hashes = substr(hashes, 1, 96)")
    assert cli("verify")[0] == 0
    code, out, _ = cli("verify", "--checkpoint", kept, "--json")
    assert (code, {e["code"] for e in json.loads(out)["errors"]}) == (1, {"entries-cut-off"})


def test_a_prediction_is_erased_for_good_and_a_hold_blocks_it(cli, home, edit):
    entries = json.loads(cli("log", "--json")[1])["entries"]
    prediction = next(entry["id"] for entry in entries if entry["kind"] == "prediction")
    assert cli("hold", prediction, "--reason", "case 7")[0] == 0
    assert cli("erase", prediction)[0] != 0
    assert edit("SELECT count(*) FROM payload") == [(5,)]
    assert cli("hold", prediction, "--reason", "case 7", "--release")[0] == 0
    code, out, err = cli("erase", prediction, "--reason", "request 12")
    assert code == 0, err
    assert "write-ahead log" in out.replace("\n", " ")
    assert edit("SELECT count(*) FROM payload") == [(4,)]
    assert cli("verify")[0] == 0


def test_the_setting_may_stand_in_the_file(cli, home, monkeypatch):
    url = os.environ["AFFIDAVIT_STORE"]
    config = home / "affidavit.toml"
    config.write_text(f'[affidavit]\nstore = "{url}"\n' + config.read_text())
    monkeypatch.delenv("AFFIDAVIT_STORE")
    assert aff.load_settings().store == url
    assert cli("verify")[0] == 0
    monkeypatch.setenv("AFFIDAVIT_STORE", url)


@pytest.mark.parametrize("value", ["mysql://u:hunter2@h/db", "ledger.db", "postgresql:hunter2"])
def test_a_setting_that_is_no_postgresql_url_is_refused_and_not_repeated(cli, monkeypatch, value):
    monkeypatch.setenv("AFFIDAVIT_STORE", value)
    code, out, err = cli("verify")
    assert (code, "not the URL" in err) == (2, True)
    assert "hunter2" not in out + err


# Making a home


@pytest.fixture
def fresh(postgres, tmp_path, monkeypatch):
    """The URL of an empty database, which the settings name."""
    monkeypatch.chdir(tmp_path)
    url = postgres.url(postgres.database())
    monkeypatch.setenv("AFFIDAVIT_STORE", url)
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "home"))
    return url


def test_four_processes_initialising_at_once_agree_on_one_home_and_log(fresh, tmp_path, cli):
    code = "import sys, affidavit.cli as c; sys.argv = ['affidavit', 'init', '--json']; c.main()"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in running]
    assert [process.returncode for process in running] == [0] * 4, answers
    assert sum(answer["created"] for answer in answers) == 1
    assert len({answer["key"] for answer in answers}) == 1
    assert json.loads(cli("verify", "--json")[1])["size"] == 1
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [
        "artifacts",
        "keys",
        "log.pub",
        "place",
    ]


def test_a_second_home_does_not_take_another_ones_database(fresh, cli, tmp_path, monkeypatch):
    assert cli("init")[0] == 0
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "second"))
    code, _, err = cli("init")
    assert (code, "a ledger at" in err.replace("\n", " ")) == (2, True)
    assert not (tmp_path / "second").exists()
    (tmp_path / "second").mkdir()
    shutil.copy(tmp_path / "home" / "log.pub", tmp_path / "second")
    shutil.copytree(tmp_path / "home" / "keys", tmp_path / "second" / "keys")
    code, out, _ = cli("init", "--json")
    assert (code, json.loads(out)["created"]) == (0, False)
    assert cli("verify")[0] == 0
    places = {(tmp_path / name / "place").read_text() for name in ("home", "second")}
    assert len(places) == 2, "each machine's spools are its own"


def test_a_home_never_begins_a_second_log(fresh, cli, postgres, monkeypatch):
    assert cli("init")[0] == 0
    monkeypatch.setenv("AFFIDAVIT_STORE", postgres.url(postgres.database()))
    code, _, err = cli("init")
    assert (code, "no ledger in the schema public" in err.replace("\n", " ")) == (2, True)
    postgres_tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    name = os.environ["AFFIDAVIT_STORE"].rpartition("/")[2]
    assert postgres.sql(postgres_tables, database=name) == [(0,)]


def test_a_home_of_another_log_is_told_so(fresh, cli, postgres, tmp_path, monkeypatch):
    assert cli("init")[0] == 0
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("AFFIDAVIT_STORE", postgres.url(postgres.database()))
    assert cli("init")[0] == 0
    monkeypatch.setenv("AFFIDAVIT_STORE", fresh)
    code, _, err = cli("init")
    assert (code, "is not the one of" in err.replace("\n", " ")) == (2, True)


def test_an_interrupted_beginning_is_finished(fresh, cli, tmp_path, monkeypatch):
    from affidavit import _home

    with monkeypatch.context() as patched:
        patched.setattr(_home, "begin_ledger", lambda _home: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            aff.create_home(tmp_path / "home", actor="a", store=fresh)
    assert cli("verify")[0] == 2
    code, out, _ = cli("init", "--json")
    assert (code, json.loads(out)["created"]) == (0, True)
    assert cli("verify")[0] == 0


def test_a_home_with_a_ledger_of_its_own_takes_no_database(fresh, cli, monkeypatch):
    monkeypatch.delenv("AFFIDAVIT_STORE")
    assert cli("init")[0] == 0
    monkeypatch.setenv("AFFIDAVIT_STORE", fresh)
    for command in ("init", "verify"):
        code, _, err = cli(command)
        assert (code, "holds a ledger of its own" in err.replace("\n", " ")) == (2, True)


def test_a_home_whose_database_is_not_named_says_what_to_do(fresh, cli, monkeypatch):
    assert cli("init")[0] == 0
    monkeypatch.delenv("AFFIDAVIT_STORE")
    for command in ("init", "verify"):
        code, _, err = cli(command)
        assert (code, "AFFIDAVIT_STORE" in err) == (2, True)


def test_a_server_that_is_down_leaves_no_home_behind(tmp_path, cli, monkeypatch):
    monkeypatch.setenv("AFFIDAVIT_STORE", "postgresql://127.0.0.1:1/db")
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "home"))
    code, _, err = cli("init")
    assert (code, "cannot be reached" in err.replace("\n", " ")) == (2, True)
    assert list(Path(tmp_path).glob("home*")) == []


def test_a_home_that_was_made_anew_is_opened_anew(fresh, tmp_path, postgres):
    folder = tmp_path / "home"
    first, made = aff.create_home(folder, actor="a", store=fresh)
    assert made
    assert aff.open_home(folder, fresh) is aff.open_home(folder, fresh)
    kept = aff.open_home(folder, fresh)
    assert not kept.moved()
    shutil.rmtree(folder)
    assert kept.moved()
    other = postgres.url(postgres.database())
    aff.create_home(folder, actor="a", store=other)
    assert kept.moved()
    assert aff.open_home(folder, other).verifier != first.verifier
    for home in (first, kept, aff.open_home(folder, other)):
        home.close()


def test_two_machines_with_one_home_write_one_log(fresh, tmp_path):
    first, _ = aff.create_home(tmp_path / "home", actor="a", store=fresh)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "home" / "log.pub", tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "home" / "keys", tmp_path / "elsewhere" / "keys")
    second, made = aff.create_home(tmp_path / "elsewhere", actor="b", store=fresh)
    assert not made
    from affidavit.lineage import new_id, record_bytes, timestamp

    def entry():
        return record_bytes("access", {"id": new_id(), "time": timestamp(), "actor": "a"})

    found = [home.record(entry()) for home in (first, second, first, second)]
    assert found == [1, 2, 3, 4]
    assert aff.verify_home(second).ok
    assert aff.verify_home(first).size == 5
    first.close()
    second.close()
