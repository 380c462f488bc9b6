"""Shapley values of tree ensembles: by patterns, beside shap's TreeExplainer in the same run."""

from __future__ import annotations

import time
import warnings

import numpy as np
import shap
from sklearn.ensemble import RandomForestClassifier
from xgboost import XGBClassifier

from affidavit.explain import explain_model
from affidavit.explain._pattern_tables import pattern_values
from affidavit.explain._target import resolve
from affidavit.explain._trees import parse_trees

N, COLUMNS, TREES, BACKGROUND = 10_000, 30, 100, 100


def timed(work):
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def data():
    rng = np.random.default_rng(7)
    X = rng.normal(size=(N, COLUMNS)).astype(np.float32).astype(float)
    y = (X[:, :5].sum(axis=1) + X[:, 5] * X[:, 6] + rng.normal(size=N) > 0).astype(int)
    return X, y


def compare(name, model, X, background, rows_of_shap):
    trees = parse_trees(resolve(model, None))
    pattern_values(trees, X[:2], background)  # compiles, or loads what was compiled
    ours, values = timed(lambda: pattern_values(trees, X, background))
    explainer = shap.TreeExplainer(
        model,
        background,
        feature_perturbation="tree_path_dependent" if background is None else "interventional",
    )
    some = X[:rows_of_shap]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, expected = timed(lambda: explainer.shap_values(some, check_additivity=False))
    expected = np.asarray(expected)
    if expected.ndim == 3:
        expected = expected[..., 1]
    theirs *= N / rows_of_shap
    gap = np.abs(values[:rows_of_shap, :, 0] - expected).max()
    print(
        f"{name:<34} ours {ours:7.2f} s   shap {theirs:7.1f} s"
        f"{'' if rows_of_shap == N else f' (from {rows_of_shap} rows)'}"
        f"   {theirs / ours:6.1f}x   largest difference {gap:.1e}"
    )


def one_row(model, X, background):
    trees = parse_trees(resolve(model, None))
    times = [
        timed(lambda i=i: pattern_values(trees, X[i : i + 1], background))[0] for i in range(200)
    ]
    explainer = shap.TreeExplainer(model, background, feature_perturbation="interventional")
    theirs = [
        timed(lambda i=i: explainer.shap_values(X[i : i + 1], check_additivity=False))[0]
        for i in range(200)
    ]
    print(
        f"one row, XGBoost, {len(background)} background rows: ours p50 "
        f"{1e3 * np.median(times):.2f} ms, shap {1e3 * np.median(theirs):.2f} ms"
    )


def main():
    X, y = data()
    boosted = XGBClassifier(n_estimators=TREES, max_depth=6, n_jobs=2, random_state=0).fit(X, y)
    forest = RandomForestClassifier(TREES, n_jobs=2, random_state=0).fit(X, y)
    print(f"{N} rows, {COLUMNS} columns, {TREES} trees, {BACKGROUND} background rows")
    compare("XGBoost, interventional", boosted, X, X[:BACKGROUND], 1000)
    compare("XGBoost, path-dependent", boosted, X, None, N)
    compare("random forest, path-dependent", forest, X, None, 100)
    compare("random forest, interventional", forest, X, X[:BACKGROUND], 20)
    one_row(boosted, X, X[:BACKGROUND])
    whole, found = timed(lambda: explain_model(boosted, X, background=X[:BACKGROUND]))
    print(
        f"explain_model, XGBoost, with every check: {whole:.2f} s, engine {found.engine}, "
        f"largest residual {found.residual_max:.1e}"
    )


if __name__ == "__main__":
    main()
