"""The continuous-integration files in docs/ci: held against their schemas, and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from real import ROOT, need

CI = ROOT / "docs" / "ci"
ACTION = CI / "github"
BIN = Path(sys.executable).parent
STALE = "2099-01-01T00:00:00Z"
MARK = "pwned"
HOSTILE = [
    f'"; touch {MARK}; "',
    f"$(touch {MARK})",
    f"`touch {MARK}`",
    f"'; touch {MARK} #",
    f"--output={MARK}",
    f"-- --also=json={MARK}",
    f"tumour\x00; touch {MARK}".replace("\x00", "&"),
]


def environment(**more) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **more}


class Ran(NamedTuple):
    """What became of an action: as the steps after it would see it."""

    code: int
    out: str
    outputs: dict[str, str]
    summary: str


def run_action(folder: Path, **inputs: str) -> Ran:
    """Run a composite action's steps as GitHub's documentation says that a runner does."""
    action = yaml.safe_load((ACTION / "action.yml").read_text("utf-8"))
    assert action["runs"]["using"] == "composite"
    given = {name: str(spec.get("default", "")) for name, spec in action["inputs"].items()}
    required = {name for name, spec in action["inputs"].items() if spec.get("required")}
    assert required <= set(inputs) <= set(given)
    given |= inputs
    files = {name: folder / f"{name}.txt" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.write_text("")
    results: dict[str, dict[str, str]] = {}

    def filled(text: str) -> str:
        def one(match):
            path = match[1].split(".")
            if path[0] == "inputs":
                return given[path[1]]
            assert path[0] == "steps"
            return results.get(path[1], {}).get(path[3], "")

        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", one, text)

    code, out = 0, ""
    for step in action["runs"]["steps"]:
        assert step["shell"] == "bash"
        script = folder / "step.sh"
        script.write_text(filled(step["run"]))
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=folder / filled(step.get("working-directory", ".")),
            env=environment(
                **{name: filled(str(value)) for name, value in step.get("env", {}).items()},
                **{name: str(path) for name, path in files.items()},
                GITHUB_ACTION_PATH=str(ACTION),
                GITHUB_ACTIONS="true",
                GITHUB_WORKSPACE=str(folder),
                RUNNER_TEMP=str(folder),
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        out += done.stdout + done.stderr
        lines = files["GITHUB_OUTPUT"].read_text().splitlines()
        results[step["id"]] = dict(line.split("=", 1) for line in lines)
        code = done.returncode
        if code:
            break
    outputs = {name: filled(spec["value"]) for name, spec in action["outputs"].items()}
    return Ran(code, out, outputs, files["GITHUB_STEP_SUMMARY"].read_text())


@pytest.fixture
def folder(small_home, tmp_path):
    found = tmp_path / "work"
    found.mkdir()
    return found


def test_the_action_passes_where_the_model_may_and_leaves_reports_and_outputs(folder):
    ran = run_action(folder, models="tumour", junit="a b.xml", json="gate.json")
    assert ran.code == 0, ran.out
    assert ran.outputs == {"exit-code": "0", "allowed": "true", "sarif": "affidavit.sarif"}
    assert json.loads((folder / "affidavit.sarif").read_text())["version"] == "2.1.0"
    assert json.loads((folder / "gate.json").read_text())["ok"] is True
    assert (folder / "a b.xml").read_text().startswith("<?xml")
    assert "ALLOWED" in ran.summary
    assert "::notice" in ran.out


def test_the_action_fails_with_the_gates_code_where_the_model_may_not(folder):
    ran = run_action(folder, models="tumour\n", **{"effective-time": STALE})
    assert ran.code == 1, ran.out
    assert ran.outputs == {"exit-code": "1", "allowed": "false", "sarif": "affidavit.sarif"}
    (run,) = json.loads((folder / "affidavit.sarif").read_text())["runs"]
    assert {result["ruleId"] for result in run["results"]} >= {"promotion.provenance_stale"}
    assert "::error" in ran.out
    assert "DENIED" in ran.summary
    missing = run_action(folder, models="tumour\n  nobody  ")
    assert (missing.code, missing.outputs["exit-code"]) == (4, "4")


def test_the_action_writes_no_report_that_an_earlier_run_left(folder):
    assert run_action(folder, models="tumour").code == 0
    ran = run_action(folder, models="tumour", stage="nowhere")
    assert (ran.code, ran.outputs["allowed"], ran.outputs["sarif"]) == (2, "false", "")
    assert not (folder / "affidavit.sarif").exists()
    assert run_action(folder, models=" \n ").code == 2


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["models", "stage", "effective-time", "sarif", "json"])
def test_no_input_of_the_action_becomes_a_command_or_an_option(folder, name, text):
    ran = run_action(folder, **{"models": "tumour", name: text})
    made = {path.name for path in folder.rglob("*")} - {text}
    assert MARK not in made
    assert ran.code == (4 if name == "models" else 0 if name in {"sarif", "json"} else 2), ran.out


@pytest.mark.parametrize("text", ["a\nallowed=true", "a\rexit-code=0"])
def test_the_name_of_a_file_cannot_forge_an_output(folder, text):
    ran = run_action(folder, models="nobody", sarif=text)
    assert ran.code == 2
    assert ran.outputs["allowed"] != "true"


def test_run_lines_hold_no_expression():
    for path in CI.rglob("*.yml"):
        for block in re.findall(r"^\s*(?:- )?run: (.*)$", path.read_text("utf-8"), re.MULTILINE):
            assert "${{" not in block


@pytest.mark.real
@pytest.mark.parametrize(("time", "said"), [("", "CODE=0 ALLOWED=true"), (STALE, "CODE=1")])
def test_act_runs_the_action_and_sees_its_code_and_outputs(small_home, tmp_path, time, said):
    act = shutil.which("act")
    need(act, "there is no `act` on PATH (github.com/nektos/act)")
    work = tmp_path / "repository"
    shutil.copytree(ACTION, work / "action")
    workflow = {
        "on": "push",
        "jobs": {
            "gate": {
                "runs-on": "ubuntu-latest",
                "steps": [
                    {"uses": "actions/checkout@v4"},  # act copies the folder itself
                    {
                        "id": "gate",
                        "uses": "./action",
                        "with": {"models": "tumour", "effective-time": time},
                    },
                    {
                        "if": "always()",
                        "env": {
                            "CODE": "${{ steps.gate.outputs.exit-code }}",
                            "ALLOWED": "${{ steps.gate.outputs.allowed }}",
                        },
                        "run": 'echo "CODE=$CODE ALLOWED=$ALLOWED"; test -s affidavit.sarif',
                    },
                ],
            }
        },
    }
    file = work / ".github" / "workflows" / "gate.yml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(workflow))
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-C", str(work)]
    for arguments in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://git.example.org/o/r.git"],
        ["add", "."],
        ["commit", "-qm", "x"],
    ):
        subprocess.run([*git, *arguments], check=True)
    told = [
        f"--env={name}={os.environ[name]}"
        for name in ("AFFIDAVIT_HOME", "AFFIDAVIT_CONFIG", "AFFIDAVIT_ACTOR")
    ]
    done = subprocess.run(
        [str(act), "push", "-P", "ubuntu-latest=-self-hosted", *told],
        cwd=work,
        env=environment(XDG_CACHE_HOME=str(tmp_path / "cache"), HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said in done.stdout, done.stdout + done.stderr
    assert done.returncode == (0 if not time else 1)


SCHEMAS = {
    "github-actions": ACTION / "action.yml",
    "github-workflows": ACTION / "workflow.yml",
    "gitlab-ci": CI / "gitlab" / "affidavit-gate.yml",
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_file_is_of_the_form_that_its_service_publishes(schema):
    command = [BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", SCHEMAS[schema]]
    if schema == "gitlab-ci":
        command[1:1] = ["--data-transform", "gitlab-ci"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.real
def test_actionlint_finds_nothing_in_the_workflow():
    actionlint = shutil.which("actionlint")
    need(actionlint, "there is no `actionlint` on PATH (github.com/rhysd/actionlint)")
    done = subprocess.run(
        [str(actionlint), "-shellcheck=", "-pyflakes=", ACTION / "workflow.yml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("models", "code"), [("tumour", 0), ("tumour nobody", 4), ("*", 4)])
def test_the_gitlab_job_runs_and_leaves_what_it_names_as_artifacts(folder, models, code):
    (job,) = yaml.safe_load((CI / "gitlab" / "affidavit-gate.yml").read_text("utf-8")).values()
    (folder / "tumour").touch()  # a name that a shell would put in place of a star
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(job["script"])],
        cwd=folder,
        env=environment(**{**job["variables"], "GATE_MODELS": models}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    kept = [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert all((folder / name).stat().st_size for name in kept)


@pytest.mark.parametrize(("model", "code"), [("tumour", 0), ("nobody", 1)])
def test_pre_commit_runs_the_hooks_of_this_repository(small_home, tmp_path, model, code):
    # A repository that has the hooks' manifest, and one that uses it; nothing is installed.
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-C"]
    for place in (theirs, ours):
        place.mkdir()
        subprocess.run([*git, str(place), "init", "-q"], check=True)
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", theirs)
    (ours / "x.txt").write_text("x")
    for place in (theirs, ours):
        subprocess.run([*git, str(place), "add", "."], check=True)
        subprocess.run([*git, str(place), "commit", "-qm", "x"], check=True)
    head = subprocess.run(
        [*git, str(theirs), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    hook = {"id": "affidavit-gate", "args": [model], "stages": ["pre-commit"]}
    config = {"repos": [{"repo": str(theirs), "rev": head, "hooks": [hook]}]}
    (ours / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    subprocess.run([*git, str(ours), "add", "."], check=True)
    done = subprocess.run(
        [BIN / "pre-commit", "run", "--all-files", "--verbose"],
        cwd=ours,
        env=environment(PRE_COMMIT_HOME=str(tmp_path / "cache"), GIT_ALLOW_PROTOCOL="file"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("ALLOWED" in done.stdout) is (code == 0)


def test_the_hooks_name_commands_that_exist():
    from affidavit.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert {hook["entry"].split()[1] for hook in hooks} <= known
    done = subprocess.run(
        [BIN / "pre-commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml"], check=False
    )
    assert done.returncode == 0
