"""The gate's formats: read back by real parsers, with text that tries to be more than text."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from xml.etree import ElementTree as ET

import junitparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from markdown_it import MarkdownIt
from real import ROOT

import affidavit as aff
from affidavit._gate_github import render_github
from affidavit._gate_items import GateReport, gate_report, judged_items
from affidavit._gate_junit import render_junit
from affidavit._gate_markdown import render_markdown
from affidavit._gate_output import RENDERERS, render_json
from affidavit._gate_result import GateResult, worst
from affidavit._gate_sarif import render_sarif
from affidavit.lineage import Fault
from affidavit.policies import Decision, Finding, judged_rules, rule_catalogue

# Official: OASIS SARIF 2.1.0 with errata 01; JSON Schema draft 4.
SARIF = Draft4Validator(
    json.loads((ROOT / "tests" / "vectors" / "sarif-schema-2.1.0.json").read_text("utf-8"))
)
WAIVER = "0f" * 16
HOSTILE = [
    'a "quoted" & <b>bold</b> ]]> name',
    "![x](http://evil.example/p.png) [link](javascript:alert(1))",
    "`` ` ``` <script>alert(1)</script> \\` \\",
    "line one\r\n::error title=forged::line two\n::set-output name=allowed::true",
    "100%0A::error::x, file=a:b",
    "\x00\x07\x1b[31m\x85\u202e\ufffe\ud800 @everyone #1 www.evil.example a@evil.example",
    "{0} {{1}} [a](1) \\[b\\](c)",
    "| a | b |\n|---|---|\n# heading\n> quote\n- [ ] task",
    " ",
    "",
]
texts = st.one_of(st.text(max_size=60), st.sampled_from(HOSTILE))


def result(name="risk", *, deny=(), warn=(), waived=(), allow=None, faults=(), code=None):
    """A result as the gate gives it; ``waived`` are (rule, message, reason)."""
    listed = [
        {"id": WAIVER, "rules": [rule], "person": "wanda", "reason": reason,
         "expires": "2026-12-31T00:00:00Z"}
        for rule, _, reason in waived
    ]  # fmt: skip
    told = [
        Finding("waiver.applied", f"{WAIVER} waives {rule}: {message}", "high", "Art. 1")
        for rule, message, _ in waived
    ]
    allow = not deny if allow is None else allow
    decision = Decision(
        allow=allow, deny=tuple(deny), warn=(*warn, *told), obligations=(),
        entrypoint="affidavit/promote", engine="opa-wasm", engine_version="1", bundle_digest="",
        input_digest="", duration_ns=1_500_000,
    )  # fmt: skip
    if faults:
        return GateResult(name, "promote", "", 4, None, "", {}, tuple(faults))
    code = (0 if allow else 1) if code is None else code
    evidence = {"waivers": listed}
    return GateResult(name, "promote", "sha256:" + "ab" * 32, code, decision, "d" * 32, evidence)


@functools.cache
def rules():
    return rule_catalogue(), judged_rules("affidavit/promote")


def report(found: GateResult, source: str = "affidavit.toml") -> GateReport:
    return GateReport(found, judged_items(found, *rules()), source)


def every(text: str) -> list[GateReport]:
    """One result of each kind, all with the text wherever text can come from elsewhere."""
    one = Finding("promotion.metric", text or "m", "high", text)
    return [
        report(result(text or "n", deny=[one, Finding("custom.rule", text, "critical")])),
        report(result(text or "n", warn=[Finding("promotion.fairness_small_group", text, "low")],
                      waived=[("promotion.metric", text, text)])),
        report(result(text or "n", faults=[Fault("evidence-invalid", text, text, 3)])),
        report(result("plain")),
    ]  # fmt: skip


# -- SARIF ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_sarif_is_valid_by_the_official_schema(text):
    log = json.loads(render_sarif(every(text)))
    errors = [error.message for error in SARIF.iter_errors(log)]
    assert errors == []
    render_sarif(every(text)).encode()
    for run in log["runs"]:
        rules = run["tool"]["driver"]["rules"]
        for found in run["results"]:
            assert rules[found["ruleIndex"]]["id"] == found["ruleId"]
            assert found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


@settings(deadline=None)
@given(texts)
def test_no_text_makes_sarif_invalid_or_holds_a_link_or_placeholder(text):
    log = json.loads(render_sarif(every(text)))
    assert SARIF.is_valid(log)
    for run in log["runs"]:
        for found in run["results"]:
            message = found["message"]["text"]
            # SARIF §3.11.6: a link's brackets are not escaped; §3.11.5: a brace is doubled.
            assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]]", message)
            assert "{" not in message.replace("{{", "")
            assert "}" not in message.replace("}}", "")


def test_sarif_says_level_severity_and_what_was_waived():
    deny = [
        Finding("promotion.metric", "m", "high", "EU AI Act Art. 15(1)"),
        Finding("promotion.provenance_unverified", "p", "critical"),
    ]
    warn = [Finding("promotion.fairness_small_group", "w", "low"), Finding("a.b", "x", "medium")]
    denied = report(result(deny=deny, warn=warn))
    waived = report(result("other", waived=[("promotion.metric", "m", "a pilot")]))
    first, second = json.loads(render_sarif([denied, waived]))["runs"]
    levels = {found["ruleId"]: found["level"] for found in first["results"]}
    assert levels == {
        "promotion.metric": "error",
        "promotion.provenance_unverified": "error",
        "promotion.fairness_small_group": "note",
        "a.b": "warning",
    }
    rules = {rule["id"]: rule for rule in first["tool"]["driver"]["rules"]}
    assert rules["promotion.provenance_unverified"]["properties"]["security-severity"] == "9.5"
    assert "security-severity" not in rules["promotion.metric"]["properties"]
    assert "EU AI Act Art. 15(1)" in rules["promotion.metric"]["help"]["text"]
    assert rules["promotion.metric"]["shortDescription"]["text"].startswith("Each required metric")
    assert not any("suppressions" in found for found in first["results"])
    (found,) = second["results"]
    (suppression,) = found["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert "a pilot" in suppression["justification"]
    assert "wanda" in suppression["justification"]
    assert first["automationDetails"]["id"] != second["automationDetails"]["id"]
    assert [run["invocations"][0]["exitCode"] for run in (first, second)] == [1, 0]


def test_a_finding_keeps_its_fingerprint_while_its_figures_change():
    def prints(message, rule="promotion.metric", name="risk"):
        found = report(result(name, deny=[Finding(rule, message)]))
        (run,) = json.loads(render_sarif([found]))["runs"]
        return run["results"][0]["partialFingerprints"]["affidavitGate/v1"]

    assert prints("the ratio by sex is 0.71") == prints("the ratio by sex is 0.7e-3")
    others = {
        prints("the ratio by age is 0.71"),
        prints("the ratio by sex is 0.71", "promotion.fairness_ratio"),
        prints("the ratio by sex is 0.71", name="other"),
    }
    assert prints("the ratio by sex is 0.71") not in others
    assert len(others) == 3


def test_sarif_tells_trouble_apart_from_findings():
    engine = report(result(deny=[Finding("engine.timeout", "slow")], code=3))
    fault = report(result(faults=[Fault("entry-changed", "entry 3", "changed", 3)]))
    for run in json.loads(render_sarif([engine, fault]))["runs"]:
        (invocation,) = run["invocations"]
        assert run["results"] == []
        assert invocation["executionSuccessful"] is False
        (notification,) = invocation["toolExecutionNotifications"]
        known = run["tool"]["driver"]["notifications"][notification["descriptor"]["index"]]
        assert known["id"] == notification["descriptor"]["id"]


def test_without_a_settings_file_there_is_a_logical_location_only():
    found = report(result(deny=[Finding("promotion.metric", "m")]), source="")
    log = json.loads(render_sarif([found]))
    (location,) = log["runs"][0]["results"][0]["locations"]
    assert set(location) == {"logicalLocations"}
    assert SARIF.is_valid(log)


# -- JUnit ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(texts)
def test_no_text_breaks_junit_xml(text):
    reports = every(text)
    document = render_junit(reports)
    root = ET.fromstring(document.encode())
    xml = junitparser.JUnitXml.fromstring(document.encode())
    assert len(list(xml)) == len(reports)
    for suite, one in zip(xml, reports, strict=True):
        assert [case.name.split(" (")[0] for case in suite] == [item.rule for item in one.items]
    assert int(root.attrib["failures"]) == 2
    assert int(root.attrib["errors"]) == 1
    kinds = {element.tag for element in root.iter()}
    assert kinds <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error",
        "skipped", "system-out",
    }  # fmt: skip


def test_junit_has_a_case_for_each_rule_and_names_what_failed():
    one = Finding("promotion.metric", 'The metric "auc"\nis low.', "high", "Art. 15")
    (suite,) = junitparser.JUnitXml.fromstring(
        render_junit([report(result(deny=[one, one], warn=[Finding("x.y", "w", "low")],
                                    waived=[("promotion.provenance_stale", "old", "why")]))])
        .encode()
    )  # fmt: skip
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (len(suite), 2, 0, 1)
    cases = {case.name: case for case in suite}
    assert {"promotion.metric", "promotion.metric (2)", "request.time", "x.y"} <= set(cases)
    (failure,) = cases["promotion.metric"].result
    assert isinstance(failure, junitparser.Failure)
    assert failure.message == one.message
    assert failure.type == "promotion.metric"
    assert "Clause: Art. 15" in failure.text
    assert isinstance(cases["promotion.provenance_stale"].result[0], junitparser.Skipped)
    assert cases["request.time"].is_passed
    assert cases["x.y"].is_passed
    assert "w" in cases["x.y"].system_out


def test_passed_rules_are_told_only_where_the_rules_at_hand_decided(home):
    from dataclasses import replace

    now = aff.load_settings()
    local = gate_report(result(), now)
    served = gate_report(result(), replace(now, engine="opa"))
    assert {item.rule for item in local.items} >= {"promotion.metric", "access.suspended"}
    assert served.items == ()
    undecided = gate_report(result(deny=[Finding("engine.failed", "x")], code=3), now)
    assert [item.state for item in undecided.items] == ["undecided"]


# -- GitHub -----------------------------------------------------------------------------------

COMMAND = re.compile(r"::(?P<name>[a-z-]+)(?: (?P<properties>[^:]*))?::(?P<data>.*)")


def annotations(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Read workflow commands as a runner does (GitHub Docs, and the toolkit's unescaping)."""

    def data(value):
        return value.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")

    found = []
    for line in re.split(r"\r\n|\r|\n", text):
        if not line:
            continue
        match = COMMAND.fullmatch(line)
        assert match, line
        pairs = [pair.split("=", 1) for pair in (match["properties"] or "").split(",")]
        known = {name: data(value.replace("%3A", ":").replace("%2C", ",")) for name, value in pairs}
        found.append((match["name"], known, data(match["data"])))
    return found


def shown(text: str) -> str:
    from affidavit._terminal import clean

    return clean(text)


@settings(deadline=None)
@given(texts)
def test_annotations_are_read_back_as_they_were_meant(text):
    reports = every(text)
    read = annotations(render_github(reports))
    wanted = [item for one in reports for item in one.items if item.state != "passed"]
    told = [entry for entry in read if entry[1]["title"] != "affidavit gate"]
    assert len(told) == len(wanted)
    assert len(read) == len(wanted) + len(reports)
    for (name, properties, data), item in zip(told, wanted, strict=True):
        assert name == ("warning" if item.state in {"warned", "waived"} else "error")
        assert set(properties) == {"file", "line", "title"}
        assert properties["file"] == "affidavit.toml"
        assert shown(item.message) in data
    assert {name for name, _, _ in read} <= {"error", "warning", "notice"}


# -- Markdown ---------------------------------------------------------------------------------

PLAIN = {
    "heading_open", "heading_close", "inline", "bullet_list_open", "bullet_list_close",
    "list_item_open", "list_item_close", "paragraph_open", "paragraph_close", "text",
    "code_inline", "strong_open", "strong_close", "softbreak",
}  # fmt: skip


@settings(deadline=None)
@given(texts)
def test_markdown_shows_no_markup_that_was_not_ours(text):
    reports = every(text)
    for parser in (MarkdownIt("commonmark"), MarkdownIt("commonmark").enable(["table"])):
        tokens = parser.parse(render_markdown(reports))
        flat = [token for block in tokens for token in [block, *(block.children or [])]]
        assert {token.type for token in flat} <= PLAIN
        ours = " ".join(token.content for token in flat if token.type == "text")
        assert "@" not in ours, "a mention outside of code would call people"
        spans = {token.content for token in flat if token.type == "code_inline"}
        wanted = {" ".join(shown(item.message).split()) for r in reports for item in r.items}
        assert {one for one in wanted if one} <= spans
        headings = [token for token in flat if token.type == "heading_open"]
        assert len(headings) == len(reports)


# -- All --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", sorted(RENDERERS))
@pytest.mark.parametrize("text", HOSTILE)
def test_no_format_lets_a_control_character_through(form, text):
    document = RENDERERS[form](every(text))
    document.encode("utf-8")
    kinds = {unicodedata.category(ch) for ch in document if ch not in "\n\t"}
    assert not kinds & {"Cc", "Cf", "Cs", "Co"}


def test_json_is_one_object_for_one_model_and_a_list_for_several():
    one, two = report(result()), report(result(deny=[Finding("a.b", "c")]))
    assert json.loads(render_json([one])) == one.result.to_dict()
    both = json.loads(render_json([one, two]))
    assert (both["ok"], both["exit_code"]) == (False, 1)
    assert both["results"] == [one.result.to_dict(), two.result.to_dict()]


def test_of_several_results_the_highest_code_counts():
    fault = Fault("a-b", "x", "y")
    results = [result(), result(deny=[Finding("a.b", "c")]), result(faults=[fault])]
    assert [worst(results[:n]) for n in (1, 2, 3)] == [0, 1, 4]
    assert worst([result(deny=[Finding("engine.failed", "c")], code=3), results[1]]) == 3


def test_the_judged_rules_are_those_of_the_packages_that_the_entry_point_joins():
    joined = {rule.package for rule in judged_rules("affidavit/promote")}
    assert {
        "affidavit.request", "affidavit.access", "affidavit.promotion", "affidavit.fairness",
        "affidavit.explanation",
    } <= joined  # fmt: skip
    assert "affidavit.serving" not in joined
    assert "affidavit.serving" in {rule.package for rule in judged_rules("affidavit/serve")}
    assert judged_rules("affidavit/nothing") == ()
    metric = rule_catalogue()["promotion.metric"]
    assert (metric.severity, metric.clause, metric.denies) == ("high", "EU AI Act Art. 15(1)", True)
    assert rule_catalogue()["waiver.applied"].denies is False


# -- The command ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", *sorted(RENDERERS)])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["tumour"], 0),
        (["tumour", "--effective-time", "2099-01-01T00:00:00Z"], 1),
        (["nobody"], 4),
        (["tumour", "nobody"], 4),
    ],
)
def test_the_exit_code_is_the_same_in_every_format(cli, small_home, form, arguments, code):
    before = aff.Reader(aff.open_home(small_home)).counts().get("verdict", 0)
    got, out, _ = cli("gate", *arguments, "--format", form)
    assert got == code
    if form in {"json", "sarif"}:
        json.loads(out)
    elif form == "junit":
        ET.fromstring(out.encode())
    elif form == "github":
        assert annotations(out)
    after = aff.Reader(aff.open_home(small_home)).counts().get("verdict", 0)
    # Only an answer to what is, and not to what would be, is a verdict.
    assert after - before == (arguments[0] == "tumour" and "--effective-time" not in arguments)


def test_files_are_written_whole_and_standard_output_stays_empty(cli, small_home, tmp_path):
    names = {"junit": "a.xml", "sarif": "a.sarif", "markdown": "a.md", "github": "a.txt"}
    also = [f"--also={form}={tmp_path / name}" for form, name in names.items()]
    code, out, _ = cli("gate", "tumour", "--format", "json", "-o", tmp_path / "a.json", *also)
    assert (code, out) == (0, "")
    assert json.loads((tmp_path / "a.json").read_text())["ok"] is True
    assert all((tmp_path / name).read_text() for name in names.values())
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--format", "xml"],
        ["--also", "sarif"],
        ["--also", "pdf=x"],
        ["--also", "text=x"],
        ["--format", "sarif", "-o", "missing/x.sarif"],
        ["--format", "sarif", "-o", "."],
        ["--also", "sarif=x", "--also", "junit=x"],
        ["--effective-time", "tomorrow"],
        ["--stage", "nowhere"],
    ],
)
def test_what_cannot_be_written_or_asked_is_refused_before_anything_is_decided(
    cli, small_home, tmp_path, monkeypatch, arguments
):
    monkeypatch.chdir(tmp_path)
    before = aff.Reader(aff.open_home(small_home)).counts()
    code, out, err = cli("gate", "tumour", *arguments)
    assert (code, out) == (2, "")
    assert err
    assert aff.Reader(aff.open_home(small_home)).counts() == before
    assert not (tmp_path / "x").exists()


def test_a_job_summary_is_appended_to(cli, small_home, tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert cli("gate", "tumour", "--format", "json")[0] == 0
    assert summary.read_text() == "before\n"
    assert cli("gate", "tumour", "--format", "github")[0] == 0
    assert summary.read_text().startswith("before\n### Affidavit gate: ALLOWED")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert cli("gate", "tumour", "--format", "github")[0] == 2


def test_an_engine_that_cannot_answer_gives_3_in_every_format(
    cli, small_home, tmp_path, monkeypatch
):
    config = tmp_path / "opa.toml"
    config.write_text('[policy]\nengine = "opa"\nurl = "http://127.0.0.1:9"\n')
    monkeypatch.setenv("AFFIDAVIT_CONFIG", str(config))
    for form in ("text", *RENDERERS):
        assert cli("gate", "tumour", "--format", form)[0] == 3
