"""Pipelines are explained in the user's own columns, whatever their steps made of them."""

# ruff: noqa: PD011  # `values` is what an explanation calls its attributions

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import shap
from coalitions import by_training_rows, shapley
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from affidavit.explain import explain_model
from affidavit.explain._columns import sources_of, verify_sources
from affidavit.explain._frames import numeric_matrix

rng = np.random.default_rng(8)
N = 300
FRAME = pd.DataFrame(
    {
        "age": rng.integers(18, 80, N).astype(float),
        "job": rng.choice(["clerk", "nurse", "smith", "cook"], N, p=[0.5, 0.3, 0.15, 0.05]),
        "sex": rng.choice(["f", "m"], N),
        "income": rng.normal(size=N),
        "unused": rng.normal(size=N),
    }
)
FRAME.loc[::17, "income"] = np.nan
FRAME.loc[::13, "job"] = None
LABEL = ((FRAME["age"] > 45) | (FRAME["job"] == "nurse")).astype(int)
COLUMNS = list(FRAME.columns)


def encoder(one_hot=None, numeric=None):
    return ColumnTransformer(
        [
            (
                "n",
                numeric or make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
                ["income", "age"],
            ),
            ("c", one_hot or OneHotEncoder(handle_unknown="ignore"), ["job", "sex"]),
        ],
        sparse_threshold=0,
    )


def pipeline(estimator, **parts):
    return Pipeline([("encode", encoder(**parts)), ("fit", estimator)]).fit(FRAME, LABEL)


FOREST = RandomForestClassifier(8, max_depth=5, random_state=0)


def share_of_yes(tree, node):
    return tree.value[node, 0, 1] / tree.value[node, 0].sum()


@pytest.mark.parametrize("with_background", [False, True])
def test_a_forest_in_a_pipeline_has_the_exact_values_of_the_users_columns(with_background):
    model = pipeline(FOREST)
    background = FRAME[100:110] if with_background else None
    found = explain_model(model, FRAME[:3], background=background)
    assert found.feature_names == tuple(COLUMNS)
    assert found.engine == "affidavit patterns-v1"
    assert found.aggregation == "one-player"
    # income, age, and the flag of missing income; then the categories of job and sex.
    sources = [3, 0, 3, 1, 1, 1, 1, 1, 2, 2]
    encoded = model[0].transform(FRAME)
    assert encoded.shape[1] == len(sources)
    for i in range(3):
        if background is None:
            trees = [tree.tree_ for tree in model[-1].estimators_]
            worth = by_training_rows(trees, encoded[i], sources, share_of_yes)
        else:

            def worth(known, i=i):
                rows = background.copy()
                for j in known:
                    rows[COLUMNS[j]] = FRAME[COLUMNS[j]].array.take([i] * len(rows))
                return model.predict_proba(rows)[:, 1].mean()

        expected = shapley(worth, len(COLUMNS))
        np.testing.assert_allclose(found.values[i], expected, atol=1e-9)
    assert not found.values[:, 4].any()


def test_summing_the_encoded_columns_of_a_forest_gives_other_values():
    # Why they are one player: the sum is what shap would give, and it is not the column's value.
    model = pipeline(FOREST)
    background = FRAME[100:110]
    found = explain_model(model, FRAME[:6], background=background)
    masker = shap.maskers.Independent(model[0].transform(background))
    theirs = shap.explainers.Exact(model[-1].predict_proba, masker)(model[0].transform(FRAME[:6]))
    summed = theirs.values[:, 3:8, 1].sum(axis=1)
    assert np.abs(found.values[:, 1] - summed).max() > 1e-4


def test_the_sum_of_a_linear_pipeline_is_the_value_of_the_users_column():
    # Masking a whole source column and masking its encoded columns are the same for a linear model.
    model = pipeline(LogisticRegression())
    summed = explain_model(model, FRAME[:4], background=FRAME[50:70])
    assert summed.method == "linear-interventional"

    class Grouped:
        feature_names_in_ = np.array(COLUMNS)

        def fit(self):
            return self

        def predict(self, frame):
            return model.decision_function(frame)

    exact = explain_model(Grouped(), FRAME[:4], background=FRAME[50:70], budget=32)
    assert (exact.method, exact.standard_error) == ("permutation", 0.0)
    np.testing.assert_allclose(summed.values, exact.values, atol=1e-10)


@pytest.mark.parametrize(
    "one_hot",
    [
        OneHotEncoder(drop="first"),
        OneHotEncoder(drop="if_binary"),
        OneHotEncoder(min_frequency=0.2, handle_unknown="infrequent_if_exist"),
        OneHotEncoder(max_categories=2, drop="first", handle_unknown="ignore"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        TargetEncoder(random_state=0),
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
    ],
    ids=str,
)
def test_every_encoder_of_categories_leads_back_to_its_column(one_hot):
    model = pipeline(HistGradientBoostingClassifier(max_iter=8), one_hot=one_hot)
    found = explain_model(model, FRAME[:6], background=FRAME[60:80])
    assert found.method == "tree-interventional"
    assert found.notes == ()
    assert found.residual_max <= found.tolerance


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (MinMaxScaler(), [0, 1, 2]),
        (KBinsDiscretizer(3, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), None),
        (KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf"), [0, 1, 2]),
        (SplineTransformer(n_knots=3, degree=2), [0] * 4 + [1] * 4 + [2] * 4),
        (PolynomialFeatures(1, include_bias=False), [0, 1, 2]),
        (VarianceThreshold(), [0, 2]),
        (SelectKBest(k=1), "one"),
        (FunctionTransformer(np.sqrt), [0, 1, 2]),
        (FunctionTransformer(), [0, 1, 2]),
        (FeatureUnion([("a", MinMaxScaler()), ("b", StandardScaler())]), [0, 1, 2] * 2),
        (FeatureUnion([("a", "passthrough"), ("b", "drop")]), [0, 1, 2]),
        (SimpleImputer(), [0, 1, 2]),
    ],
    ids=str,
)
def test_transformers_of_one_column_at_a_time_are_followed(step, expected):
    rows = np.column_stack([np.arange(40.0), np.ones(40), np.arange(40.0)[::-1] ** 2])
    y = (rows[:, 0] > 20).astype(int)
    if isinstance(step, KBinsDiscretizer):
        rows[:, 1] = np.sin(rows[:, 0])
    step.fit(rows, y)
    frame = pd.DataFrame(rows)
    sources = sources_of([step], 3)
    assert sources is not None
    if expected == "one":
        assert len(sources) == 1
    elif expected is not None:
        assert sources == expected
    assert verify_sources(sources, frame, lambda f: step.transform(f.to_numpy()), seed=0)


@pytest.mark.parametrize(
    "step",
    [
        PCA(2),
        Normalizer(),
        KNNImputer(),
        PolynomialFeatures(2),
        FunctionTransformer(lambda x: x[:, ::-1]),
        make_pipeline(StandardScaler(), PCA(1)),
        FeatureUnion([("a", StandardScaler()), ("b", PCA(1))]),
    ],
    ids=lambda step: type(step).__name__,
)
def test_transformers_that_mix_columns_are_not_followed(step):
    step.fit(rng.normal(size=(30, 3)))
    assert sources_of([step], 3) is None


def test_a_subclass_that_may_do_anything_is_not_followed():
    class Reversed(StandardScaler):
        def transform(self, rows):
            return super().transform(rows)[:, ::-1]

    assert sources_of([Reversed().fit(rng.normal(size=(30, 3)))], 3) is None


def test_a_wrong_claim_about_sources_is_refuted_on_the_data():
    step = encoder().fit(FRAME)
    sources = sources_of([step], 5)
    assert sources is not None
    assert len(sources) == numeric_matrix(step.transform(FRAME)).shape[1]
    assert verify_sources(sources, FRAME, step.transform, seed=0)
    assert not verify_sources(sources[::-1], FRAME, step.transform, seed=0)
    assert not verify_sources(sources[:-1], FRAME, step.transform, seed=0)


def test_a_pipeline_that_mixes_columns_is_explained_by_coalitions_of_the_users_columns():
    numeric = make_pipeline(SimpleImputer(), PCA(1))
    model = pipeline(LogisticRegression(), numeric=numeric)
    found = explain_model(model, FRAME[:4], background=FRAME[:30])
    assert (found.method, found.aggregation) == ("permutation", "none")
    assert "mixes columns" in found.notes[0]
    assert found.residual_max <= found.tolerance


@pytest.mark.parametrize(
    "convert",
    [lambda f: f, pl.from_pandas, lambda f: pl.from_pandas(f).to_arrow()],
    ids=["pandas", "polars", "arrow"],
)
def test_every_kind_of_table_gives_the_same_values(convert):
    model = pipeline(FOREST)
    expected = explain_model(model, FRAME[:5], background=FRAME[10:40])
    found = explain_model(model, convert(FRAME[:5]), background=convert(FRAME[10:40]))
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.row(0)[0] == expected.row(0)[0]


def test_columns_are_found_by_name_in_any_order_and_others_are_left_out():
    model = pipeline(FOREST)
    expected = explain_model(model, FRAME[:5])
    shuffled = FRAME[["sex", "unused", "age", "job", "income"]].assign(id=range(N))
    found = explain_model(model, shuffled[:5])
    assert found.feature_names == expected.feature_names
    np.testing.assert_array_equal(found.values, expected.values)


def test_nested_pipelines_selectors_remainders_and_searches_are_taken_apart():
    encode = ColumnTransformer(
        [
            ("gone", "drop", ["unused"]),
            ("c", OneHotEncoder(), make_column_selector(dtype_exclude="number")),
        ],
        remainder="passthrough",
    )
    inner = Pipeline([("fill", SimpleImputer()), ("fit", FOREST)])
    search = GridSearchCV(Pipeline([("e", encode), ("m", inner)]), {"m__fit__max_depth": [3]}, cv=2)
    search.fit(FRAME, LABEL)
    found = explain_model(search, FRAME[:5])
    assert found.method == "tree-path-dependent"
    assert found.aggregation == "one-player"
    np.testing.assert_allclose(found.outputs, search.predict_proba(FRAME[:5])[:, 1], atol=1e-12)
    assert found.residual_max <= found.tolerance


def test_a_scaled_pipeline_sums_nothing_and_says_so():
    numbers = FRAME[["age", "unused"]]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, LABEL)
    assert explain_model(model, numbers[:5]).aggregation == "none"
    bare = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers.to_numpy(), LABEL)
    found = explain_model(bare, numbers.to_numpy()[:5], columns=["age", "unused"])
    assert found.feature_names == ("age", "unused")


def test_categories_that_lightgbm_splits_on_are_explained_with_and_without_background():
    lightgbm = pytest.importorskip("lightgbm")
    frame = FRAME.assign(job=FRAME["job"].astype("category"))[["age", "job", "income"]]
    label = frame["job"].isin(["clerk", "cook"]) ^ (frame["age"] > 50)
    model = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1, min_child_samples=5)
    model.fit(frame, label)
    alone = explain_model(model, frame[:5])
    assert alone.method == "tree-path-dependent"
    compared = explain_model(model, frame[:5], background=frame[50:80])
    assert compared.method == "permutation"
    assert "no order to rank" in compared.notes[0]
    assert "no plain numbers" in compared.notes[1]
    assert compared.residual_max <= compared.tolerance


def test_uci_adult_is_explained_in_its_own_columns(adult):
    names = ["age", "workclass", "fnlwgt", "education", "education-num", "marital-status"]
    names += ["occupation", "relationship", "race", "sex", "capital-gain", "capital-loss"]
    names += ["hours-per-week", "native-country", "income"]
    table = pd.read_csv(
        adult / "adult-train.csv", names=names, skipinitialspace=True, na_values="?", nrows=4000
    )
    features = table.drop(columns="income")
    encode = ColumnTransformer(
        [
            (
                "c",
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                make_column_selector(dtype_exclude="number"),
            )
        ],
        remainder="passthrough",
    )
    model = Pipeline([("e", encode), ("m", HistGradientBoostingClassifier(max_iter=20))])
    model.fit(features, table["income"] == ">50K")
    found = explain_model(model, features[:200], background=features[1000:1050])
    assert found.method == "tree-interventional"
    assert found.feature_names == tuple(names[:-1])
    assert found.residual_max <= found.tolerance
    assert set(list(found.mean_absolute())[:4]) & {"marital-status", "relationship"}
