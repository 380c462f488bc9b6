"""Where code comes from: source, file and commit, and what is said when that cannot be had."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import linecache
import os
import subprocess
import sys
import textwrap

import pytest

from affidavit.lineage import _code
from affidavit.lineage._code import code_facts, strip_credentials

SOURCE = """
import functools


def passes(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)

    return inner


@passes
def train(x):
    return x + 1


class Model:
    @passes
    def fit(self, x):
        return x

    def __call__(self):
        return 1
"""


def git(root, *args):
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(root)}
    options = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", *options, *args],
        cwd=root,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "src" / "train_it.py").write_text(SOURCE)
    git(root, "init", "-q", "-b", "trunk")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


@pytest.fixture
def module(project, monkeypatch):
    spec = importlib.util.spec_from_file_location("train_it", project / "src" / "train_it.py")
    found = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_it", found)
    spec.loader.exec_module(found)
    return found


def test_a_function_in_a_clean_repository_has_all_facts(project, module):
    facts = code_facts(module.train)
    text = "@passes\ndef train(x):\n    return x + 1\n"
    assert facts == {
        "module": "train_it",
        "name": "train",
        "source": {
            "digest": {"sha256": hashlib.sha256(text.encode()).hexdigest()},
            "recipe": "function-source-v1",
        },
        "file": {
            "name": "src/train_it.py",
            "digest": {"sha256": hashlib.sha256(SOURCE.encode()).hexdigest()},
            "recipe": "file-bytes-v1",
        },
        "git": {
            "commit": git(project, "rev-parse", "HEAD"),
            "branch": "trunk",
            "dirty": False,
            "remote": None,
        },
    }
    assert json.loads(json.dumps(facts)) == facts
    assert str(project) not in json.dumps(facts)


def test_the_state_of_the_repository_is_right_at_each_call(project, module):
    first = code_facts(module.train)["git"]
    other = project / "other.py"
    other.write_text("x = 1\n")
    assert code_facts(module.train)["git"]["dirty"] is False
    git(project, "add", ".")
    assert code_facts(module.train)["git"]["dirty"] is True
    git(project, "commit", "-q", "-m", "second")
    second = code_facts(module.train)["git"]
    assert second["dirty"] is False
    assert second["commit"] != first["commit"]
    other.write_text("x = 2\n")
    assert code_facts(module.train)["git"]["dirty"] is True
    git(project, "checkout", "-q", "--", ".")
    git(project, "checkout", "-q", "--detach")
    assert code_facts(module.train)["git"] == {**second, "branch": None}


def test_a_file_that_git_does_not_track_is_dirty(project, module):
    git(project, "rm", "-q", "--cached", "src/train_it.py")
    git(project, "commit", "-q", "--allow-empty", "-m", "untracked")
    assert code_facts(module.train)["git"]["dirty"] is True


def test_a_remote_is_recorded_without_credentials(project, module):
    git(project, "remote", "add", "origin", "https://user:secret@example.org/team/repo.git?token=x")
    remote = code_facts(module.train)["git"]["remote"]
    assert remote == "https://example.org/team/repo.git"
    git(project, "remote", "set-url", "origin", str(project))
    assert code_facts(module.train)["git"]["remote"] is None


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://example.org/a/b.git", "https://example.org/a/b.git"),
        ("https://tok:en@example.org:8443/a#frag", "https://example.org:8443/a"),
        ("https://a@b:c@example.org/a", "https://example.org/a"),
        ("ssh://git@example.org/a.git", "ssh://example.org/a.git"),
        ("git@example.org:team/a.git", "example.org:team/a.git"),
        ("example.org:team/a.git", "example.org:team/a.git"),
        ("/srv/git/a.git", None),
        ("../a.git", None),
        ("file:///srv/git/a.git", None),
    ],
)
def test_urls_lose_what_is_secret_or_local(url, clean):
    assert strip_credentials(url) == clean


def test_wrapped_bound_and_partial_functions_lead_to_the_same_source(module):
    expected = code_facts(module.train)
    assert code_facts(functools.partial(functools.partial(module.train, 1))) == expected
    assert code_facts(module.train.__wrapped__) == expected
    method = code_facts(module.Model().fit)
    text = "@passes\ndef fit(self, x):\n    return x\n"
    assert method["name"] == "Model.fit"
    assert method["source"]["digest"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert code_facts(module.Model)["name"] == "Model"
    assert code_facts(module.Model())["name"] == "Model"


def test_a_changed_function_has_another_source_and_its_neighbour_keeps_its_own(project, module):
    before = code_facts(module.train), code_facts(module.Model)
    path = project / "src" / "train_it.py"
    path.write_text(SOURCE.replace("x + 1", "x + 2000"))
    linecache.checkcache()
    after = code_facts(module.train), code_facts(module.Model)
    assert before[0]["source"] != after[0]["source"]
    assert before[1]["source"] == after[1]["source"]
    assert before[1]["file"] != after[1]["file"]
    assert after[0]["git"]["dirty"] is True


def test_outside_a_repository_the_file_has_its_name_only(tmp_path, monkeypatch):
    path = tmp_path / "loose.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("loose", path)
    loose = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "loose", loose)
    spec.loader.exec_module(loose)
    facts = code_facts(loose.train)
    assert facts["file"]["name"] == "loose.py"
    assert "unavailable" in facts["git"]
    git(tmp_path, "init", "-q", "-b", "trunk")
    assert code_facts(loose.train)["git"] == {"unavailable": "the repository has no commit"}
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    assert code_facts(loose.train)["git"]["dirty"] is False


def test_a_notebook_cell_has_source_and_no_file():
    name = "<ipython-input-1-abc>"
    text = "def cell(x):\n    return x * 2\n"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space = {"__name__": "__main__"}
    exec(compile(text, name, "exec"), space)
    facts = code_facts(space["cell"])
    assert facts["source"]["digest"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert "unavailable" in facts["file"]
    assert "unavailable" in facts["git"]
    del linecache.cache[name]


@pytest.mark.parametrize(
    "function", [print, len, eval("lambda: 1"), functools.partial(print), object()]
)
def test_what_has_no_source_says_so_and_does_not_fail(function):
    facts = code_facts(function)
    assert "unavailable" in facts["source"]
    assert "unavailable" in facts["file"]


def test_without_git_the_commit_is_unavailable(module, monkeypatch):
    monkeypatch.setenv("PATH", "")
    _code._known_root.cache_clear()
    facts = code_facts(module.train)
    assert "unavailable" in facts["git"]
    assert facts["file"]["name"] == "train_it.py"
    _code._known_root.cache_clear()


def test_a_repository_cannot_have_its_own_programs_run(project, module, tmp_path):
    mark = tmp_path / "ran"
    hook = project / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    git(project, "config", "core.fsmonitor", str(hook))
    assert code_facts(module.train)["git"]["dirty"] is False
    assert not mark.exists()


def test_a_repository_named_by_the_environment_is_not_asked(project, module, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert code_facts(module.train)["git"]["branch"] == "trunk"


def test_a_script_run_from_another_folder_finds_its_own_repository(project, tmp_path):
    script = """
        import json
        from affidavit.lineage._code import code_facts
        def main(): pass
        print(json.dumps(code_facts(main)))
    """
    path = project / "src" / "script.py"
    path.write_text(textwrap.dedent(script))
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "script")
    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    facts = json.loads(done.stdout)
    assert (facts["module"], facts["file"]["name"]) == ("__main__", "src/script.py")
    assert facts["git"]["dirty"] is False
