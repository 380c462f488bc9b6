"""The room costs nothing until it is used, and says which extra is missing."""

from __future__ import annotations

import subprocess
import sys


def _run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


def test_importing_the_room_loads_no_heavy_library():
    heavy = "{'numpy', 'pandas', 'pyarrow', 'narwhals', 'sklearn', 'shap', 'scipy', 'fairlearn'}"
    code = f"import sys, affidavit.explain as e; dir(e); print({heavy} & set(sys.modules))"
    assert _run(code) == "set()"


def test_fairness_needs_neither_shap_nor_scikit_learn():
    code = (
        "import sys; from affidavit.explain import measure_fairness\n"
        "measure_fairness([1, 0], [1, 0], {'g': ['a', 'b']}).to_dict()\n"
        "print({'shap', 'sklearn', 'fairlearn'} & set(sys.modules))"
    )
    assert _run(code) == "set()"


def test_a_missing_library_names_its_extra():
    code = (
        "import sys; sys.modules['narwhals'] = None; sys.modules['narwhals.stable'] = None\n"
        "import affidavit.explain\n"
        "try: affidavit.explain.measure_fairness\n"
        "except Exception as error: print(type(error).__name__, error.library, error.extra)"
    )
    assert _run(code) == "MissingDependencyError narwhals explain"


def test_trees_without_shap_name_the_extra_instead_of_falling_back():
    code = (
        "import sys; sys.modules['shap'] = None\n"
        "from affidavit.explain import explain_model\n"
        "from sklearn.tree import DecisionTreeRegressor\n"
        "import numpy as np; X = np.eye(4)\n"
        "try: explain_model(DecisionTreeRegressor().fit(X, X[:, 0]), X)\n"
        "except Exception as error: print(type(error).__name__, error.library)"
    )
    assert _run(code) == "MissingDependencyError shap"
