"""The printable report: verdict, hostile text, determinism, and an entry for every number."""

from __future__ import annotations

import re
import sqlite3
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

import affidavit as aff
from affidavit.errors import NotFoundError
from affidavit.ui import render_report

MARK = "⟨U+202E⟩"


class _Document(HTMLParser):
    """Collects elements, attributes and text of a document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def report(home, settings) -> str:
    return render_report(home, settings, "triage")


def test_a_report_on_an_intact_ledger_says_so_with_size_root_and_key(report, home):
    text = _Document(report).text
    assert "The log is intact" in text
    found = aff.verify_home(home)
    assert f"{found.size} entries" in text
    assert found.root in text
    assert found.key in text
    assert "No witness and no time stamp was checked in this view" in text


def test_two_reports_from_the_same_checkpoint_are_equal_byte_for_byte(home, settings, home_folder):
    first = render_report(home, settings, "triage")
    again = aff.Home(home_folder)
    assert render_report(again, settings, "triage") == first
    again.close()


def test_a_report_is_dated_by_the_newest_entry_and_not_by_a_clock(home, settings, report):
    newest = aff.Reader(home).recent(limit=1)[0].record["time"]
    assert f"As of {newest[:10]} {newest[11:19]} UTC" in _Document(report).text


def test_a_report_changes_when_the_log_grows(home, settings, report):
    aff.gate(home, settings, "triage")
    assert render_report(home, settings, "triage") != report


def test_a_report_refers_to_nothing_outside_itself_and_has_no_script(report):
    for tag, attributes in _Document(report).tags:
        assert tag not in {"script", "iframe", "object", "embed", "link", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"href", "src", "xlink:href"}:
                assert (value or "").startswith("#")
    assert "default-src 'none'" in report
    assert "url(" not in re.sub(r"url\(#a\)", "", report)
    assert "@import" not in report


def test_hostile_text_is_shown_as_text_in_a_report(report):
    document = _Document(report)
    assert "<script>alert(1)</script>" in document.text
    assert "![x](https://evil.example/x.png) **b**" in document.text
    assert "<b>east</b>" in document.text
    assert "\u202e" not in report
    assert MARK in document.text


def test_every_row_of_figures_names_the_entry_that_it_comes_from(report):
    body = report[: report.index("Raw: entries that this report refers to")]
    for table in re.findall(r"<table>.*?</table>", body, re.DOTALL):
        caption = table[: table.index("<tbody>")]
        for row in re.findall(r"<tr>.*?</tr>", table[table.index("<tbody>") :], re.DOTALL):
            assert 'href="#entry-' in row or 'href="#entry-' in caption, row


def test_every_entry_that_a_report_refers_to_is_in_its_annex_with_its_leaf_hash(report, home):
    from affidavit.lineage import leaf_hash

    referred = set(re.findall(r'href="#entry-(\d+)"', report))
    listed = dict(
        re.findall(r'<tr id="entry-(\d+)">.*?<code>([0-9a-f]{64})</code>', report, re.DOTALL)
    )
    assert referred
    assert referred == set(listed)
    for index, leaf in listed.items():
        assert leaf_hash(home.ledger.entry(int(index))).hex() == leaf


def test_fairness_in_a_report_is_what_the_signed_statement_says(report, home):
    (index,) = aff.Reader(home).evidence(aff.Reader(home).model("triage").digest, "evaluation")
    body = aff.Reader(home).statement(index).predicate["urn:affidavit:evaluation:v1"]
    (disparity,) = body["fairness"]["disparities"]
    four = disparity["metrics"]["four_fifths_ratio"]
    text = _Document(report).text
    assert (
        f"four-fifths ratio {four['value']:.3f} (95 % CI {four['low']:.3f} to {four['high']:.3f}"
        in text
    )
    for rates in body["fairness"]["rates"]:
        rate = rates["rates"]["selection_rate"]
        assert f"{100 * rate['value']:.1f} %" in text
        assert f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f} %" in text


def test_explanation_bars_are_as_long_as_their_values(report, home):
    (index,) = aff.Reader(home).evidence(aff.Reader(home).model("triage").digest, "explanation")
    means = aff.Reader(home).statement(index).predicate["mean_absolute"]
    (svg,) = (
        s for s in re.findall(r"<svg.*?</svg>", report, re.DOTALL) if "Mean |SHAP| per column" in s
    )
    bars = [e for e in ET.fromstring(svg) if e.tag.endswith("rect")]
    longest = max(means.values())
    expected = [320 * value / longest for value in sorted(means.values(), reverse=True)]
    assert [float(bar.get("width")) for bar in bars] == pytest.approx(expected, abs=0.06)


def test_a_report_never_claims_more_than_was_measured(report):
    words = _Document(report).text.lower()
    for claim in (" is fair", "unbiased", "debiased", "compliant"):
        assert claim not in words


def test_a_report_says_what_is_missing(home, settings, home_folder, monkeypatch):
    from sklearn.dummy import DummyClassifier

    @aff.train("bare")
    def fit():
        return DummyClassifier().fit([[0.0], [1.0]], [0, 1])

    monkeypatch.setenv("AFFIDAVIT_ROLES", "engineer")
    fit()
    text = _Document(render_report(home, settings, "bare")).text
    for sentence in (
        "No evaluation of this model is in the ledger",
        "No explanation of this model is in the ledger",
        "Nobody has approved this model",
        "The gate was not asked about this model",
        "missing: fairness of this model is not in the ledger",
    ):
        assert sentence in text


def test_a_report_on_a_changed_ledger_says_so_in_title_and_at_the_top(home, settings, tamper):
    index = aff.Reader(home).evidence(aff.Reader(home).model("triage").digest, "evaluation")[0]
    tamper(index)
    text = render_report(home, settings, "triage")
    assert "<title>NOT VERIFIED: Audit report: triage</title>" in text
    assert f"Verification failed at entry {index}" in _Document(text).text
    assert "The log is intact" not in text
    assert 'class="af af-verdict af-ok"' not in text
    assert text.index("af-fault") < text.index("Scope and date</h2>")


def test_a_report_on_a_ledger_whose_checkpoints_are_gone_says_so(home, settings, home_folder):
    connection = sqlite3.connect(home_folder / "ledger.db")
    with connection:
        connection.execute("DELETE FROM checkpoint")
    connection.close()
    text = render_report(home, settings, "triage")
    assert "<title>NOT VERIFIED" in text
    assert "There is no valid checkpoint" in _Document(text).text


def test_a_report_on_an_unknown_model_is_refused(home, settings):
    with pytest.raises(NotFoundError, match="No completed run has made a model"):
        render_report(home, settings, "unknown")


def test_a_hostile_model_name_is_shown_as_text(home, settings, monkeypatch):
    from sklearn.dummy import DummyClassifier

    name = '"><img src=x onerror=alert(1)>[a](javascript:1)\u202e'

    @aff.train(name)
    def fit():
        return DummyClassifier().fit([[0.0], [1.0]], [0, 1])

    monkeypatch.setenv("AFFIDAVIT_ROLES", "engineer")
    fit()
    text = render_report(home, settings, name)
    assert "img" not in {tag for tag, _ in _Document(text).tags}
    assert "\u202e" not in text
    assert "<img src=x onerror=alert(1)>" in _Document(text).text
