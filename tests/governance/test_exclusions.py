"""A model may not learn from a column that was read for measuring only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import affidavit as aff

COLUMNS = ["income", "old"]


@pytest.fixture
def table(home):
    @aff.data("loans", purpose="credit-scoring", columns={"old": ["sensitive"]})
    def read() -> pd.DataFrame:
        draws = np.random.default_rng(0)
        income, old = draws.integers(20, 80, 200), draws.integers(0, 2, 200)
        return pd.DataFrame({"income": income, "old": old, "granted": income + 20 * old > 60})

    return read()


def learn(frame, model, columns=COLUMNS):
    @aff.train("risk")
    def fit(frame):
        return model.fit(frame[columns], frame["granted"])

    return fit(frame)


def outcomes(reader) -> dict[str, str]:
    ours = reader.statement(reader.newest("run")).predicate["urn:affidavit:run:v1"]
    return {item["column"]: item["outcome"] for item in ours["obligations"]}


def test_a_model_that_learns_from_an_excluded_column_is_refused_and_not_kept(table, reader):
    with pytest.raises(aff.AffidavitError, match="learns from 'old'"):
        learn(table, LogisticRegression())
    assert outcomes(reader) == {"old": "violated"}
    assert reader.statements(kind="run")[0]["outcome"] == "failed"
    with pytest.raises(aff.AffidavitError, match="No completed run"):
        aff.load("risk")


def test_a_model_without_the_column_is_accepted(table, reader):
    learn(table, LogisticRegression(), ["income"])
    assert outcomes(reader) == {"old": "honoured"}


def test_a_pipeline_that_drops_the_column_inside_is_accepted(table, reader):
    dropping = make_column_transformer(("passthrough", ["income"]))
    learn(table, make_pipeline(dropping, LogisticRegression()))
    assert outcomes(reader) == {"old": "honoured"}


def test_a_pipeline_that_encodes_the_column_inside_is_refused(table, reader):
    encoding = make_column_transformer(("passthrough", ["income"]), (OneHotEncoder(), ["old"]))
    with pytest.raises(aff.AffidavitError, match="learns from 'old'"):
        learn(table, make_pipeline(encoding, LogisticRegression()))


@pytest.mark.parametrize("kind", ["split", "filtered", "shuffled", "copied with a new column"])
def test_a_part_of_what_was_read_does_not_escape_the_check(table, reader, kind):
    part = {
        "split": lambda: train_test_split(table, random_state=0)[0],
        "filtered": lambda: table[table["income"] > 30],
        "shuffled": lambda: table.sample(frac=1, random_state=0),
        "copied with a new column": lambda: table.assign(more=1),
    }[kind]()
    with pytest.raises(aff.AffidavitError, match="learns from 'old'"):
        learn(part, LogisticRegression())


def test_a_polars_frame_is_checked_too(home, table, reader):
    with pytest.raises(aff.AffidavitError, match="learns from 'old'"):
        learn(pl.from_pandas(table), LogisticRegression())


def test_a_column_of_text_is_checked(home, reader):
    @aff.data("people", purpose="credit-scoring", columns={"sex": ["sensitive"]})
    def read():
        sex = ["F", "M"] * 50
        return pd.DataFrame(
            {"sex": pd.Categorical(sex), "income": range(100), "granted": [s == "M" for s in sex]}
        )

    words = make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough")
    with pytest.raises(aff.AffidavitError, match="learns from 'sex'"):
        learn(read(), make_pipeline(words, LogisticRegression()), ["sex", "income"])


def test_of_features_made_under_other_names_nothing_is_claimed(table, reader):
    @aff.train("risk")
    def fit(frame):
        renamed = frame.rename(columns={"old": "o"})
        return LogisticRegression().fit(renamed[["income", "o"]], frame["granted"])

    fit(table)
    assert outcomes(reader) == {"old": "unverified"}


def test_of_a_model_on_arrays_nothing_is_claimed(table, reader):
    @aff.train("risk")
    def fit(frame):
        return LogisticRegression().fit(frame[COLUMNS].to_numpy(), frame["granted"])

    fit(table)
    assert outcomes(reader) == {"old": "unverified"}


def test_a_frame_of_another_read_has_its_own_exclusions_only(home, table, reader):
    @aff.data("other", purpose="credit-scoring")
    def read():
        return table.assign(income=table["income"] + 1)

    learn(read(), LogisticRegression())
    assert outcomes(reader) == {}
