"""The demo, as a user runs it: once, again in the same home, and with the planted disparity."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import affidavit as aff
from affidavit._demo_data import PLANTED_REFUSALS, lending_frame, referral_frame
from affidavit.errors import ConfigurationError

BIN = Path(sys.executable).parent


def _environment(home):
    env = {key: value for key, value in os.environ.items() if key != "AFFIDAVIT_CONFIG"}
    path = f"{BIN}{os.pathsep}{env['PATH']}"
    return {**env, "PATH": path, "AFFIDAVIT_HOME": str(home)}


def _affidavit(home, *arguments):
    return subprocess.run(
        [BIN / "affidavit", *arguments],
        env=_environment(home),
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def _steps(done):
    answer = json.loads(done.stdout)
    return answer, {step["step"].split(":")[0].split(",")[0]: step for step in answer["steps"]}


def test_the_demo_runs_twice_in_one_home_and_everything_verifies(tmp_path):
    home = tmp_path / "home"
    first = _affidavit(home, "demo", "--json")
    assert first.returncode == 0, first.stdout + first.stderr
    answer, steps = _steps(first)
    assert answer["ok"] is True
    assert steps["A read that the policy must deny"]["the reader ran"] == "no"
    again = _affidavit(home, "demo")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Everything came out as it should." in again.stdout
    verified = json.loads(_affidavit(home, "verify", "--json").stdout)
    assert (verified["ok"], verified["errors"]) == (True, [])
    # What it tells the auditor to run next works as printed.
    commands = [
        line.split("#")[0].strip() for line in again.stdout.splitlines() if "    # " in line
    ]
    assert len(commands) == 8
    for command in commands:
        if not command.endswith(" ui"):
            done = subprocess.run(
                ["sh", "-c", command],
                env=_environment(home),
                cwd=home.parent,
                check=False,
                capture_output=True,
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_the_demo_stops_the_lending_model_whose_disparity_was_planted(tmp_path):
    done = _affidavit(
        tmp_path / "home", "demo", "--scenario", "lending", "--rows", "3000", "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, steps = _steps(done)
    assert steps["Promotion gate"]["verdict"] == "denied"
    assert "fail" in steps["Evaluation"]["selection-rate ratio by group"]


def test_the_demo_refuses_an_unknown_scenario_and_too_few_rows(tmp_path):
    unknown = _affidavit(tmp_path / "home", "demo", "--scenario", "nothing")
    assert unknown.returncode == 2
    assert "referral" in unknown.stderr
    assert (
        _affidavit(tmp_path / "home", "demo", "--scenario", "lending", "--rows", "9").returncode
        == 2
    )


def test_the_generator_gives_the_same_rows_for_the_same_seed_and_plants_what_it_says():
    one, two = lending_frame(20_000, 3), lending_frame(20_000, 3)
    assert one.equals(two)
    assert not one.equals(lending_frame(20_000, 4))
    rates = one.groupby("group")["granted"].mean()
    # Merit is drawn alike in both groups, so the ratio of the rates is what was left standing.
    assert rates["B"] / rates["A"] == pytest.approx(1 - PLANTED_REFUSALS, abs=0.03)


def test_the_referral_frame_is_the_study_with_made_up_identifiers():
    frame = referral_frame()
    assert len(frame) == 442
    assert frame["patient"].is_unique
    assert set(np.unique(frame["refer"])) == {0, 1}
    assert frame["refer"].mean() == pytest.approx(0.5, abs=0.01)


def test_the_demo_leaves_a_users_own_configuration_alone(tmp_path, monkeypatch):
    from affidavit._demo import run_demo

    with pytest.raises(ConfigurationError):
        run_demo("nothing", rows=1000, seed=1)
    assert not (tmp_path / "affidavit-home").exists()
    assert "AFFIDAVIT_CONFIG" not in os.environ
    assert aff.load_settings().mode == "enforce"


def test_the_demos_ledger_answers_clauses_with_entries_that_exist(tmp_path):
    home = tmp_path / "home"
    assert _affidavit(home, "demo", "--json").returncode == 0
    done = _affidavit(home, "controls", "referral", "--framework", "iso_42001", "--json")
    found = json.loads(done.stdout)
    states = {clause["clause"]: clause for clause in found["clauses"]}
    assert done.returncode == found["exit_code"]
    assert states["A.7.5"]["state"] == "met"
    assert states["A.6.2.5"]["state"] == "met"
    assert states["A.6.2.8"]["state"] == "met"
    assert states["A.6.2.6"]["state"] == "partial", "nothing was measured after the promotion"
    assert states["A.2.2"]["state"] == "person"
    for kind, entries in states["A.7.5"]["entries"].items():
        for entry in entries:
            shown = json.loads(_affidavit(home, "show", str(entry), "--json").stdout)
            assert shown["ok"] is True, kind
