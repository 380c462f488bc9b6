"""Settings: read once, noticed when they change, and never passed over in silence."""

from __future__ import annotations

import os

import pytest

import affidavit as aff


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("AFFIDAVIT_ROLES", "AFFIDAVIT_ENVIRONMENT", "AFFIDAVIT_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "affidavit.toml"


def test_the_same_object_is_given_until_something_changes(config, monkeypatch):
    first = aff.load_settings()
    assert aff.load_settings() is first
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "jane")
    assert aff.load_settings().actor == "jane"
    config.write_text('[affidavit]\nenvironment = "production"\n')
    assert aff.load_settings().environment == "production"
    config.write_text('[policy]\ndata = "data.json"\n')
    data = config.with_name("data.json")
    data.write_text('{"a": 1}')
    assert aff.load_settings().policy_data == {"a": 1}
    data.write_text('{"a": 22}')
    assert aff.load_settings().policy_data == {"a": 22}
    config.unlink()
    assert aff.load_settings().policy_data == {}


def test_another_working_folder_has_other_settings(config, tmp_path, monkeypatch):
    monkeypatch.delenv("AFFIDAVIT_HOME")
    assert aff.load_settings().home == tmp_path / ".affidavit"
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert aff.load_settings().home == tmp_path / "sub" / ".affidavit"


def test_a_file_with_the_time_stamp_zero_is_read(config):
    config.write_text('[policy]\nmode = "observe"\n')
    os.utime(config, ns=(0, 0))
    assert aff.load_settings().mode == "observe"


def test_a_file_that_cannot_be_reached_is_an_error_and_not_the_defaults(config, monkeypatch):
    config.symlink_to(config)
    with pytest.raises(aff.AffidavitError, match="cannot be read"):
        aff.load_settings()
    monkeypatch.setenv("AFFIDAVIT_CONFIG", str(config.with_name("missing.toml")))
    with pytest.raises(aff.AffidavitError, match="not there"):
        aff.load_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[affidavit", "cannot be read"),
        ("[unheard]\na = 1\n", "unknown"),
        ('[policy]\nmod = "observe"\n', "'mod'"),
        ("people = 3\n", "as a value"),
        ('[people]\njane = "auditor"\n', "not a list of words"),
        ("[people]\njane = [1]\n", "not a list of words"),
        ('[datasets.loans.columns]\nsex = "sensitive"\n', "not a list of words"),
        ('[datasets.loans]\ntags = "internal"\n', "not a list of words"),
        ('[datasets.loans]\ncolumns = ["sex"]\n', "not a section"),
        ("[systems]\nrisk = 1\n", "not a section"),
        ('[affidavit]\non_error = "ignore"\n', "block or spool or warn"),
        ('[policy]\nengine = "none"\n', "embedded or opa"),
        ('[policy]\ndata = "missing.json"\n', "not there"),
        ('[policy]\ndata = "affidavit.toml"\n', "not JSON"),
    ],
)
def test_a_misshapen_setting_is_named(config, text, message):
    config.write_text(text)
    with pytest.raises(aff.AffidavitError, match=message):
        aff.load_settings()


def test_claimed_roles_count_only_where_no_people_are_declared(config, monkeypatch):
    monkeypatch.setenv("AFFIDAVIT_ROLES", " auditor , engineer,")
    assert aff.load_settings().roles_of("jane") == ["auditor", "engineer"]
    config.write_text('[people]\nbob = ["auditor"]\n')
    assert aff.load_settings().roles_of("jane") == []
    assert aff.load_settings().roles_of("bob") == ["auditor"]
