"""Waivers on the pages and in the report: who waived what until when, and nothing but text."""

from __future__ import annotations

import dataclasses
import datetime as dt
import html
import re

import pytest
from streamlit.testing.v1 import AppTest

import affidavit as aff
from affidavit._enrolment import enrol
from affidavit._read_model_pages import PolicyAnswer, read_overview
from affidavit.ui import app_path, render_report
from affidavit.ui._open_items import open_items

WANDA = "wanda@example.com"
REASON = "<script>alert(1)</script> ![x](https://evil.example/x.png) **bold** \u202egpj"
RULE = "promotion.fairness_ratio"


@pytest.fixture
def expires() -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(days=5)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def waived(home, settings, expires):
    enrol(home, WANDA, "waiver", actor="owner")
    found = aff.waive(home, settings, "triage", WANDA, rules=[RULE], reason=REASON, expires=expires)
    aff.gate(home, settings, "triage")
    return found


def page(name: str, /, **query: str) -> str:
    at = AppTest.from_file(str(app_path().with_name(f"page_{name}.py")), default_timeout=60)
    at.query_params.update(query)
    at.run()
    assert not at.exception
    bodies = [element.proto.body for element in at.get("html")]
    assert not [block for block in at.markdown if "alert(1)" in block.value]
    return "\n".join(body for body in bodies if not body.startswith("<style"))


def text(body: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.mark.parametrize("name", ["overview", "model"])
def test_a_page_says_who_waived_what_until_when(home_folder, waived, expires, name):
    body = page(name, **({"name": "triage"} if name == "model" else {}))
    assert "<script>alert" not in body
    assert "<img" not in body.replace('<img src="data:', "")
    shown = text(body)
    for part in (WANDA, RULE, "in force", "![x](https://evil.example/x.png) **bold**"):
        assert part in shown
    assert "\u202e" not in shown


def test_a_withdrawn_waiver_is_off_the_overview_and_stays_on_the_model(
    home_folder, home, settings, waived
):
    aff.withdraw_waiver(home, settings, waived.id, WANDA, reason="done")
    assert "No waiver is in force" in text(page("overview"))
    shown = text(page("model", name="triage"))
    assert f"withdrawn by {WANDA}" in shown


def test_a_report_names_waivers_as_text_and_refers_to_their_entries(home, settings, waived):
    report = render_report(home, settings, "triage")
    assert "<script>alert" not in report
    assert WANDA in report
    assert f'href="#entry-{waived.entry}"' in report
    assert report == render_report(home, settings, "triage")


def test_a_waiver_that_does_not_hold_is_named(home_folder, home, waived, tamper):
    home.close()
    tamper(waived.entry)
    assert "the waivers cannot be shown" in text(page("model", name="triage"))


def test_what_was_only_warned_of_is_no_reason_of_a_denial(home, settings):
    reasons = (
        {"effect": "deny", "rule": "promotion.metric", "message": "The metric is too low."},
        {"effect": "warn", "rule": "waiver.applied", "message": "w waives promotion.fairness."},
    )
    answer = PolicyAnswer(
        7, "d", "t", "ada", "affidavit/promote", "triage", False, "enforce", reasons, ()
    )
    page = dataclasses.replace(read_overview(home, settings), denials=(answer,))
    (denied,) = [item for item in open_items(page) if item.kind == "denied"]
    assert denied.what == "affidavit/promote: The metric is too low."
