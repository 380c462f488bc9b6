"""The read model of pages and reports: what it finds, recomputes, and says is missing."""

from __future__ import annotations

import sqlite3

import pytest

import affidavit as aff
from affidavit._read_lineage import read_lineage
from affidavit._read_model_pages import (
    newest_time,
    read_answers,
    read_evidence,
    read_overview,
    read_system,
)
from affidavit._read_model_system import read_fairness, read_model_page
from affidavit.errors import NotFoundError


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty home, its settings, and a policy that lets this person work."""
    monkeypatch.setenv("AFFIDAVIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AFFIDAVIT_ROLES", "engineer,auditor")
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "erik@example.com")
    home, _ = aff.create_home(tmp_path / "home", actor="owner")
    yield home, aff.load_settings()
    home.close()


def _frame(rows: int = 60):
    import pandas as pd

    return pd.DataFrame(
        {
            "x": [float(n % 7) for n in range(rows)],
            "group": ["a" if n % 3 else "b" for n in range(rows)],
            "y": [int(n % 7 > 3) for n in range(rows)],
        }
    )


def _train(name: str = "m", *, read: bool = True, sensitive=("group",)):
    from sklearn.linear_model import LogisticRegression

    @aff.data("table", purpose="research", columns={"group": ["sensitive"]})
    def load():
        return _frame()

    @aff.train(name, sensitive=list(sensitive))
    def fit(frame):
        return LogisticRegression().fit(frame[["x"]], frame["y"])

    frame = load() if read else _frame(61)
    return fit(frame), frame


def _measure(model, frame, name: str = "m") -> None:
    aff.evaluate(name, model, frame[["x"]], frame["y"], sensitive=frame[["group"]])
    aff.explain_model(name, model, frame[["x"]][:10])


def test_an_empty_ledger_has_no_systems_and_nothing_open(work):
    home, settings = work
    page = read_overview(home, settings)
    assert page.systems == ()
    assert page.denials == ()
    assert page.failures == ()
    assert page.gaps == ()
    assert page.newest == newest_time(home) != ""


def test_a_system_is_described_by_its_newest_model(work):
    home, settings = work
    first, _ = _train()
    second, _ = _train(read=False)
    del first, second
    state = read_system(home, settings, "m")
    assert state.digest == aff.Reader(home).model("m").digest
    assert state.entry == aff.Reader(home).model("m").entry
    assert state.verdict == ""
    assert state.verdict_entry is None
    aff.gate(home, settings, "m")
    after = read_system(home, settings, "m")
    assert after.verdict == "FAILED"
    assert aff.Reader(home).statement(after.verdict_entry).kind == "verdict"


def test_failed_runs_and_denials_are_listed_with_their_entries(work):
    home, settings = work

    @aff.train("broken")
    def fit():
        raise ValueError("private text that must not be recorded")

    with pytest.raises(ValueError, match="private"):
        fit()

    @aff.data("table", purpose="social-scoring")
    def load():
        raise AssertionError("a denied call never runs")

    with pytest.raises(aff.PolicyDenied):
        load()
    page = read_overview(home, settings)
    (failure,) = page.failures
    assert failure.name == "broken"
    assert failure.body["error"]["type"] == "builtins.ValueError"
    (denial,) = page.denials
    assert not denial.allow
    assert denial.resource == "table"
    assert denial.reasons[0]["rule"]
    assert aff.Reader(home).entry(denial.entry).record["decision_id"] == denial.id
    (state,) = page.systems
    assert (state.name, state.digest, state.failed_runs) == ("broken", "", 1)


def test_answers_are_filtered_by_resource_and_outcome(work):
    home, _ = work
    _train()
    assert {a.resource for a in read_answers(home, resource="m")} == {"m"}
    assert read_answers(home, allow=False) == ()
    entries = [a.entry for a in read_answers(home)]
    assert entries == sorted(entries, reverse=True)


def test_a_model_page_finds_every_piece_of_evidence(work):
    home, settings = work
    model, frame = _train()
    _measure(model, frame)
    home.enrol("dora@example.com", "approver", actor="owner")
    aff.approve(home, settings, "m", "dora@example.com", "seen")
    aff.gate(home, settings, "m")
    page = read_model_page(home, settings, "m")
    assert page.run.outcome == "completed"
    assert [e.kind for e in page.evaluations] == ["evaluation"]
    assert [e.kind for e in page.explanations] == ["explanation"]
    assert [a.actor for a in page.approvals] == ["dora@example.com"]
    assert [d.name for d in page.datasets] == ["table"]
    assert page.datasets[0].body["obligations"][0]["kind"] == "exclude_as_feature"
    assert len(page.verdicts) == 1
    assert page.problems == ()


def test_a_model_page_says_what_is_missing(work):
    home, settings = work
    _train(read=False)
    missing = " ".join(read_model_page(home, settings, "m").missing)
    for words in (
        "No input of the run came from a governed read",
        "No evaluation",
        "declared sensitive features: group",
        "No explanation",
        "Nobody has approved",
        "The gate was not asked",
    ):
        assert words in missing


def test_what_is_there_is_not_said_to_be_missing(work):
    home, settings = work
    model, frame = _train()
    _measure(model, frame)
    missing = " ".join(read_model_page(home, settings, "m").missing)
    for words in ("governed read", "No evaluation", "sensitive", "No explanation"):
        assert words not in missing


def test_a_finding_names_the_entry_that_it_rests_on(work):
    home, settings = work
    model, frame = _train()
    _measure(model, frame)
    home.enrol("erik@example.com", "approver", actor="owner")
    aff.approve(home, settings, "m", "erik@example.com")
    aff.gate(home, settings, "m")
    page = read_model_page(home, settings, "m")
    found = {finding.word: finding.entry for finding in page.findings}
    assert found["not passed"] == page.verdicts[0].entry
    assert found["not independent"] == page.approvals[0].entry
    # The evaluation was made on columns of the frame, which are another table than the one read.
    assert "not traced" in found


def test_an_unknown_model_is_not_found(work):
    home, settings = work
    with pytest.raises(NotFoundError, match="No completed run"):
        read_model_page(home, settings, "nothing")


def test_fairness_is_recomputed_from_the_signed_counts(work):
    home, settings = work
    model, frame = _train()
    _measure(model, frame)
    page = read_model_page(home, settings, "m")
    (figures,) = page.fairness
    assert figures.problem == ""
    signed = page.evaluations[0].body["fairness"]
    (feature,) = figures.features
    four = signed["disparities"][0]["metrics"]["four_fifths_ratio"]
    ours = feature.disparities["four_fifths_ratio"]
    assert (ours.value, ours.low, ours.high) == (four["value"], four["low"], four["high"])
    predicted = model.predict(frame[["x"]])
    for group in feature.groups:
        chosen = (frame["group"] == group.group[0]).to_numpy()
        assert group.n == chosen.sum()
        assert group.rates["selection_rate"].value == pytest.approx(predicted[chosen].mean())


def test_a_signed_figure_that_the_counts_do_not_give_is_named(work):
    import copy
    from dataclasses import replace

    home, settings = work
    model, frame = _train()
    _measure(model, frame)
    (evaluation,) = read_model_page(home, settings, "m").evaluations
    body = copy.deepcopy(dict(evaluation.body))
    body["fairness"]["disparities"][0]["metrics"]["four_fifths_ratio"]["value"] = 0.125
    found = read_fairness(replace(evaluation, body=body))
    assert "differ" in found.problem
    assert found.features[0].disparities["four_fifths_ratio"].value != 0.125
    body["fairness"]["counts"][0]["tp"] = -1
    assert "unusable" in read_fairness(replace(evaluation, body=body)).problem


def test_lineage_goes_from_the_read_over_the_run_to_the_measurements(work):
    home, settings = work
    model, frame = _train()
    _measure(model, frame)
    graph = read_model_page(home, settings, "m").lineage
    kinds = {node.key: node.kind for node in graph.nodes}
    steps = {(kinds[a], kinds[b]) for a, b in graph.edges}
    assert steps == {
        ("dataset", "artifact"),
        ("artifact", "run"),
        ("run", "artifact"),
        ("artifact", "evaluation"),
        ("artifact", "explanation"),
    }
    layers = {node.key: node.layer for node in graph.nodes}
    assert all(layers[a] < layers[b] for a, b in graph.edges)
    assert not graph.cut


def test_lineage_follows_models_that_are_made_from_models(work):
    home, _ = work
    for number in range(4):
        with aff.run(f"step{number}") as run:
            if number:
                run.use({"step": number - 1}, name=f"part{number - 1}")
            run.produce({"step": number}, name=f"part{number}")
    (last,) = [
        str(row["digest"])
        for row in aff.Reader(home).parts(aff.Reader(home).newest("run", name="step3"), "subject")
    ]
    graph = read_lineage(home, last)
    assert [n.label for n in graph.nodes if n.kind == "run"] == [f"step{n}" for n in range(4)]


def test_lineage_of_something_unknown_is_the_thing_alone(work):
    home, _ = work
    graph = read_lineage(home, "sha256:" + "0" * 64)
    assert len(graph.nodes) == 1
    assert graph.edges == ()


def test_a_statement_that_was_changed_is_shown_with_its_problem(work):
    home, settings = work
    model, frame = _train()
    _measure(model, frame)
    (index,) = aff.Reader(home).evidence(aff.Reader(home).model("m").digest, "evaluation")
    connection = sqlite3.connect(home.database)
    with connection:
        connection.execute("UPDATE entry SET body = x'7b7d' WHERE entry = ?", (index,))
    connection.close()
    page = read_model_page(home, settings, "m")
    (problem,) = page.problems
    assert problem.entry == index
    assert problem.kind == "evaluation"
    assert problem.problem


def test_a_record_is_no_evidence(work):
    home, _ = work
    _train()
    answer = read_answers(home)[0]
    assert "record" in read_evidence(home, answer.entry).problem
