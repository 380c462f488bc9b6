"""Wording and drawings: their laws, and that nothing foreign gets through as markup."""

from __future__ import annotations

import itertools
import unicodedata
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit._read_lineage import Lineage, LineageNode
from affidavit.ui import _charts, _model_marks, _svg, _wording
from affidavit.ui._svg import Mark
from affidavit.ui._templates import section

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.text())
def test_visible_text_has_no_character_that_hides_or_reorders(text):
    shown = _wording.visible(text)
    assert all(unicodedata.category(char)[0] != "C" for char in shown)
    assert _wording.visible(shown) == shown


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_stays_as_it_is(text):
    assert _wording.visible(text) == text


@given(st.text(), st.integers(2, 40))
def test_shortened_text_is_never_longer_than_asked(text, length):
    assert len(_wording.shorten(text, length)) <= length


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, _wording.NONE),
        (0.0, "0"),
        (0.5, "0.5000"),
        (-0.25, "-0.2500"),
        (1234.5678, "1,235"),
        (3.2e-9, "3.200e-09"),
        (1.5e7, "1.500e+07"),
        (float("nan"), _wording.NONE),
    ],
)
def test_a_figure_has_four_significant_digits(value, shown):
    assert _wording.number(value) == shown


@given(FINITE)
def test_a_figure_reads_back_to_within_its_digits(value):
    shown = _wording.number(value).replace(",", "")
    assert float(shown) == pytest.approx(value, rel=6e-4, abs=1e-300)


def test_counts_shares_intervals_and_p_values_are_written_with_their_units():
    assert _wording.count(32561) == "32,561"
    assert _wording.count(1.25) == "1.25"
    assert _wording.percent(0.1234) == "12.3 %"
    assert _wording.percent(None) == _wording.NONE
    assert _wording.interval(0.1, 0.2, share=True) == "10.0 to 20.0 %"
    assert _wording.interval(None, 0.2) == _wording.NONE
    assert _wording.p_value(0.0) == "< 0.001"
    assert _wording.p_value(0.04) == "0.040"
    assert _wording.moment("2026-11-21T03:15:31.614Z") == "2026-11-21 03:15:31 UTC"
    assert _wording.moment("soon") == "soon"
    assert _wording.group(("f", "x")) == "f \u00d7 x"
    assert _wording.plain(True) == "yes"


@given(st.lists(st.tuples(st.text(), FINITE), max_size=6), st.text())
def test_a_bar_chart_is_well_formed_whatever_the_text(rows, title):
    marks = [Mark(label, value, _wording.number(value)) for label, value in rows]
    root = ET.fromstring(_svg.bar_chart(marks, title=title))
    bars = [e for e in root.iter() if e.tag.endswith("rect")]
    assert len(bars) == len(marks)
    assert all(0 < float(bar.get("width")) <= 320.1 for bar in bars)


@given(
    st.lists(st.tuples(st.text(), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), max_size=6)
)
def test_an_interval_chart_keeps_every_point_on_its_scale(rows):
    marks = [Mark(label, value, "", min(a, b), max(a, b)) for label, value, a, b in rows]
    root = ET.fromstring(_svg.interval_chart(marks, title="t", reference=0.5, top=0.9))
    dots = [float(e.get("cx")) for e in root.iter() if e.tag.endswith("circle")]
    assert len(dots) == len(marks)
    assert all(189.9 <= dot <= 510.1 for dot in dots)


def test_a_suppressed_group_is_not_drawn():
    root = ET.fromstring(_svg.interval_chart([Mark("few", None, "not shown")], title="t"))
    assert not [e for e in root.iter() if e.tag.endswith("circle")]
    assert "not shown" in "".join(root.itertext())


HOSTILE = "</svg><script>alert(1)</script>\u202e&"


def _graph() -> Lineage:
    nodes = (
        LineageNode("entry 1", "dataset", HOSTILE, 1, 0),
        LineageNode("sha256:" + "1" * 64, "artifact", HOSTILE, 1, 1),
        LineageNode("entry 2", "run", "m", 2, 2),
    )
    return Lineage(nodes, ((nodes[0].key, nodes[1].key), (nodes[1].key, nodes[2].key)))


def test_a_lineage_drawing_escapes_what_it_shows_and_has_a_text_alternative():
    svg = _svg.standalone(_svg.lineage_chart(_graph()))
    root = ET.fromstring(svg)
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    assert "\u202e" not in svg
    assert root.get("role") == "img"
    assert root[1].text.startswith("Lineage graph of 3 nodes") or "Lineage" in svg
    arrows = _svg.lineage_arrows(_graph())
    assert [entry for _, _, entry in arrows] == [1, 2]
    assert arrows[1][1] == "run m"


def test_a_drawing_refers_to_nothing_outside_itself():
    svg = _svg.standalone(_svg.lineage_chart(_graph()))
    assert "href" not in svg
    assert svg.count("http") == 1  # the namespace
    assert svg.replace("url(#a)", "").count("url(") == 0


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=40),
    st.floats(-5, 5),
)
def test_a_waterfall_ends_where_the_contributions_lead(values, base):
    ordered = sorted(values, key=abs, reverse=True)
    reasons = [{"feature": "f", "value": 1, "contribution": v} for v in ordered]
    output = base + sum(ordered)
    marks = _model_marks.waterfall_marks(base, reasons, output)
    assert marks[0].high == base
    for before, after in itertools.pairwise(marks[:-1]):
        assert after.low == before.high
    assert marks[-2].high == pytest.approx(output, abs=1e-9)
    assert sum(m.value for m in marks) == pytest.approx(sum(ordered), abs=1e-9)


def test_charts_keep_rows_apart_whose_labels_are_cut_to_the_same_text():
    long = "x" * 60
    chart = _charts.bars([Mark(long + "a", 1, ""), Mark(long + "b", 2, "")], axis="u", title="t")
    values = chart.data.values
    assert len({row["label"] for row in values}) == 2


@pytest.mark.parametrize(
    "chart",
    [
        _charts.bars([Mark("a", -1.0, "")], axis="u", title="t"),
        _charts.intervals([Mark("a", 0.5, "", 0.4, 0.6)], axis="u", title="t", reference=0.4),
        _charts.waterfall([Mark("a", 1.0, "", 0.0, 1.0)], axis="u", title="t"),
    ],
)
def test_a_chart_carries_its_description_and_loads_nothing(chart):
    text = chart.to_json()
    assert chart.to_dict()["description"] == "t"
    assert '"url"' not in text


def test_a_template_shows_hostile_text_as_text():
    html = section("notice", word="<b>w</b>", text="[a](javascript:1)\u202e", todo="&")
    assert "&lt;b&gt;w&lt;/b&gt;" in html
    assert "⟨U+202E⟩" in html
    assert "<b>" not in html


def test_a_statement_of_another_shape_is_said_to_be_unreadable():
    html = section("faults", integrity=type("I", (), {"report": None, "faults": 5})())
    assert "cannot be shown" in html
