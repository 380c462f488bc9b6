"""Each page in each state, run by Streamlit's own test runner, without a browser."""

from __future__ import annotations

import html
import re

import pytest
from streamlit.testing.v1 import AppTest

import affidavit as aff
from affidavit.ui import app_path


def _page(name: str, /, **query: str) -> AppTest:
    at = AppTest.from_file(str(app_path().with_name(f"page_{name}.py")), default_timeout=60)
    at.query_params.update(query)
    return at.run()


def _html(at: AppTest) -> str:
    bodies = [element.proto.body for element in at.get("html")]
    return "\n".join(body for body in bodies if not body.startswith("<style"))


def _text(at: AppTest) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", _html(at))).split())


PAGES = ["overview", "model", "decision", "verify"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_on_an_intact_ledger_shows_green_and_raises_nothing(name, home_folder):
    at = _page(name)
    assert not at.exception
    assert "The log is intact" in _text(at)
    assert (
        "No witness and no time stamp was checked in this view" in _text(at) or name == "decision"
    )
    assert 'class="af af-verdict af-ok"' in _html(at)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_on_a_changed_ledger_is_red_and_names_the_entry(name, home_folder, tamper):
    tamper(3)
    at = _page(name)
    assert not at.exception
    assert "Verification failed at entry 3" in _text(at)
    assert "af-fault" in _html(at)
    assert "af-ok" not in _html(at)
    assert "The log is intact" not in _text(at)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_turns_red_when_the_ledger_changes_while_it_is_open(name, home_folder, tamper):
    at = _page(name)
    assert "The log is intact" in _text(at)
    tamper(2)
    at.run()
    assert "The log is intact" not in _text(at)
    assert "entry 2" in _text(at)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_turns_red_when_the_public_key_is_replaced(name, home_folder, tmp_path):
    at = _page(name)
    other, _ = aff.create_home(tmp_path / "other", actor="mallory")
    other.close()
    (home_folder / "log.pub").write_text((tmp_path / "other" / "log.pub").read_text("utf-8"))
    at.run()
    assert not at.exception
    assert "The log is intact" not in _text(at)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_a_home_says_how_to_make_one(name, monkeypatch, tmp_path):
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "none"))
    at = _page(name)
    assert not at.exception
    assert "There is nothing to look at yet" in _text(at)
    assert "affidavit init" in _text(at)


@pytest.mark.parametrize(
    ("name", "todo"),
    [("overview", "@aff.train"), ("model", "@aff.train"), ("decision", "@aff.serve")],
)
def test_a_page_on_an_empty_ledger_says_what_to_do(name, todo, monkeypatch, tmp_path):
    empty, _ = aff.create_home(tmp_path / "empty", actor="owner")
    empty.close()
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "empty"))
    at = _page(name)
    assert not at.exception
    assert "The log is intact" in _text(at)
    assert todo in _text(at)


@pytest.mark.parametrize("name", PAGES)
def test_a_store_that_is_no_ledger_is_said_to_be_none(name, home_folder):
    (home_folder / "ledger.db").write_bytes(b"not a database, but long enough to be read" * 200)
    for extra in ("ledger.db-wal", "ledger.db-shm"):
        (home_folder / extra).unlink(missing_ok=True)
    at = _page(name)
    assert not at.exception
    assert "af-ok" not in _html(at)


@pytest.mark.parametrize("name", PAGES)
def test_no_text_of_the_ledger_goes_through_markdown(name, home_folder):
    at = _page(name)
    for element in (*at.markdown, *at.caption, *at.header, *at.title, *at.subheader):
        assert "script" not in element.value
        assert "evil" not in element.value
    assert "<script>" not in _html(at)
    assert "\u202e" not in _html(at)


def test_the_overview_lists_denials_failed_runs_and_systems(home_folder, home):
    text = _text(_page("overview"))
    assert "run failed: builtins.ValueError" in text
    assert "affidavit/promote" in text
    assert "no completed run has made a model" in text
    assert "triage" in text
    # Hostile text is there, as text.
    assert "<script>alert(1)</script>" in text
    assert "⟨U+202E⟩" in text


def test_the_model_page_shows_the_same_figures_as_the_signed_statements(home_folder, home):
    reader = aff.Reader(home)
    digest = reader.model("triage").digest
    (index,) = reader.evidence(digest, "evaluation")
    ours = reader.statement(index).predicate["urn:affidavit:evaluation:v1"]
    at = _page("model", name="triage")
    assert not at.exception
    text = _text(at)
    assert f"{ours['metrics']['accuracy']:.4f}" in text
    four = ours["fairness"]["disparities"][0]["metrics"]["four_fifths_ratio"]
    assert f"four-fifths ratio {four['value']:.3f} (95 % CI" in text
    assert digest in text
    assert "dora@example.com" in text
    assert "yes: the run was erik@example.com's" in text
    assert f"verify?entry={index}" in _html(at)
    assert len(at.get("vega_lite_chart")) == 2


def test_the_model_page_names_the_statement_that_does_not_hold(home_folder, home, tamper):
    reader = aff.Reader(home)
    (index,) = reader.evidence(reader.model("triage").digest, "evaluation")
    tamper(index)
    at = _page("model", name="triage")
    assert not at.exception
    assert f"entry {index} (evaluation) does not hold" in _text(at)


def test_an_unknown_model_is_said_to_be_unknown(home_folder):
    at = _page("model", name="<img src=x onerror=alert(1)>")
    assert not at.exception
    assert "There is no such model" in _text(at)
    assert "<img src=x" not in _html(at)


def test_a_decision_page_shows_no_personal_data_before_they_are_disclosed(home_folder, prediction):
    at = _page("decision", id=prediction)
    assert not at.exception
    text = _text(at)
    assert "the newest checkpoint" in text
    assert "covers this record" in text
    assert "Contributions" not in text
    assert "mean radius" not in text


def test_a_disclosure_explains_the_decision_and_is_recorded(home_folder, home, prediction):
    aff.Reader(home).counts()
    before = home.ledger.head().size
    at = _page("decision", id=prediction)
    at.button[-1].click().run()
    assert not at.exception
    text = _text(at)
    assert "Contributions, the strongest first" in text
    assert "mean radius" in text
    assert home.ledger.head().size == before + 2
    (access,) = aff.Reader(home).accesses(limit=1)
    assert (access["action"], access["object"]) == ("disclose", prediction)
    # The verification of this view covers the disclosure that it made.
    assert f"Every one of its {before + 2} entries" in text


def test_a_rerun_after_a_disclosure_discloses_nothing_again(home_folder, home, prediction):
    at = _page("decision", id=prediction)
    at.button[-1].click().run()
    size = home.ledger.head().size
    at.run()
    assert home.ledger.head().size == size
    assert "Contributions" not in _text(at)


def test_a_denied_disclosure_shows_the_policy_and_no_data(
    home_folder, home, prediction, monkeypatch
):
    monkeypatch.setenv("AFFIDAVIT_ROLES", "engineer")
    at = _page("decision", id=prediction)
    at.button[-1].click().run()
    assert not at.exception
    text = _text(at)
    assert "The policy does not let you read this" in text
    assert "mean radius" not in text
    assert aff.Reader(home).decisions(resource=prediction, allow=False, limit=1)


def test_an_unknown_decision_is_said_to_be_unknown(home_folder):
    assert "There is no such decision" in _text(_page("decision", id="<b>none</b>"))


def test_verify_accepts_an_older_checkpoint_that_the_log_extends(home_folder, home, settings):
    kept = home.ledger.checkpoint().decode()
    aff.gate(home, settings, "triage")
    at = _page("verify")
    at.text_area[1].set_value(kept)
    at.button[0].click().run()
    assert not at.exception
    assert "The log is intact" in _text(at)
    assert "the checkpoint that you gave" in _text(at)


def test_verify_names_what_was_cut_off_after_a_checkpoint_was_exported(home_folder, home, settings):
    import shutil

    shutil.copytree(home_folder, home_folder.parent / "older")
    aff.gate(home, settings, "triage")
    kept = home.ledger.checkpoint().decode()
    home.close()
    shutil.rmtree(home_folder)
    shutil.copytree(home_folder.parent / "older", home_folder)
    at = _page("verify")
    at.text_area[1].set_value(kept)
    at.button[0].click().run()
    assert not at.exception
    assert "are gone" in _text(at)
    assert "The log is intact" not in _text(at)


def test_verify_lists_what_a_revocation_reaches(home_folder, home):
    from affidavit._enrolment import rotate

    run = aff.Reader(home).newest("run")
    rotate(home, "recorder", actor="owner", revocation=("laptop <b>stolen</b>", run))
    at = _page("verify")
    assert not at.exception
    assert "The log is intact" in _text(at)
    assert f"entry {run}" in _text(at)
    assert "laptop <b>stolen</b>" in _text(at)
    assert "<b>stolen" not in _html(at)


def test_verify_against_another_key_fails(home_folder, tmp_path):
    other, _ = aff.create_home(tmp_path / "other", actor="mallory")
    at = _page("verify")
    at.text_area[0].set_value(str(other.verifier))
    at.button[0].click().run()
    other.close()
    assert not at.exception
    assert "af-fault" in _html(at)


def test_verify_refuses_what_is_no_key(home_folder):
    at = _page("verify")
    at.text_area[0].set_value("<script>not a key</script>")
    at.button[0].click().run()
    assert not at.exception
    assert "That is no key" in _text(at)
    assert "af-ok" not in _html(at)


def test_verify_looks_an_entry_up_and_proves_its_place(home_folder, home):
    from affidavit.lineage import leaf_hash

    text = _text(_page("verify", entry="0"))
    assert "Entry 0" in text
    assert leaf_hash(home.ledger.entry(0)).hex() in text
    assert "Nothing is known by that" in _text(_page("verify", entry="<i>nothing</i>"))


def test_the_entry_script_offers_every_page(home_folder):
    at = AppTest.from_file(str(app_path()), default_timeout=60).run()
    assert not at.exception
    assert "Is the log intact" in at.text[0].value
    for name in PAGES[1:]:
        at.switch_page(f"page_{name}.py").run()
        assert not at.exception
        assert "The log is intact" in _text(at)
