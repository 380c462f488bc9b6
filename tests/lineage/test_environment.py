"""What a run ran on."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import re
import sys
from importlib import metadata

import pytest

from affidavit.lineage import _environment
from affidavit.lineage._environment import environment_facts
from affidavit.lineage._files import file_digest


@pytest.fixture(autouse=True)
def _fresh():
    _environment._fixed_facts.cache_clear()
    yield
    _environment._fixed_facts.cache_clear()


def test_the_facts_name_python_the_platform_and_exact_versions(tmp_path):
    facts = environment_facts(tmp_path)
    assert facts["python"] == {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
    }
    assert facts["platform"]["machine"] == platform.machine()
    assert f"numpy=={metadata.version('numpy')}" in facts["packages"]
    assert facts["packages"] == sorted(set(facts["packages"]))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*==\S+", line) for line in facts["packages"])
    expected = hashlib.sha256("\n".join(facts["packages"]).encode()).hexdigest()
    assert facts["digest"] == {"sha256": expected}
    assert facts["recipe"] == "installed-packages-v1"
    assert facts["locks"] == {}


def test_no_host_user_or_path_is_recorded(tmp_path):
    text = json.dumps(environment_facts(tmp_path))
    assert platform.node() not in text.replace(platform.release(), "") or len(platform.node()) < 4
    assert str(tmp_path) not in text
    assert sys.prefix not in text
    assert f'"{getpass.getuser()}"' not in text


def test_lock_files_are_read_each_time_and_packages_once(tmp_path, monkeypatch):
    lock = tmp_path / "uv.lock"
    lock.write_text("one")
    (tmp_path / "requirements-dev.txt").write_text("pytest\n")
    (tmp_path / "requirements.in").write_text("pytest\n")
    first = environment_facts(tmp_path)
    assert set(first["locks"]) == {"uv.lock", "requirements-dev.txt"}
    assert first["locks"]["uv.lock"] == file_digest(lock).to_dict()
    lock.write_text("two")
    monkeypatch.setattr(_environment, "_packages", lambda _: pytest.fail("asked twice"))
    second = environment_facts(tmp_path)
    assert second["locks"]["uv.lock"] != first["locks"]["uv.lock"]
    assert second["packages"] == first["packages"]
    monkeypatch.chdir(tmp_path)
    assert environment_facts() == second


def test_a_caller_cannot_alter_what_the_next_one_sees(tmp_path):
    environment_facts(tmp_path)["packages"].clear()
    assert environment_facts(tmp_path)["packages"]


def test_names_are_normalised_and_the_first_on_the_search_path_counts(tmp_path):
    for folder, version in (("a", "1.0"), ("b", "2.0")):
        info = tmp_path / folder / f"Some_Thing-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: Some_.Thing\nVersion: {version}\n"
        )
    (tmp_path / "b" / "broken-1.0.dist-info").mkdir()
    paths = (str(tmp_path / "a"), str(tmp_path / "b"))
    assert _environment._packages(paths) == ["some-thing==1.0"]
    assert _environment._packages(paths[::-1]) == ["some-thing==2.0"]
