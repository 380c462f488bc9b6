"""What the tests of this room share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

NAMES = ["age", "workclass", "fnlwgt", "education", "education-num", "marital-status"]
NAMES += ["occupation", "relationship", "race", "sex", "capital-gain", "capital-loss"]
NAMES += ["hours-per-week", "native-country", "income"]


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Many small predictions are slower on several threads than on one."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def adult_test(adult) -> pd.DataFrame:
    """UCI Adult's test set: missing values as such, labels without their full stop."""
    table = pd.read_csv(adult / "adult-test.csv", names=NAMES, skipinitialspace=True, na_values="?")
    table = table[table["income"].notna()].reset_index(drop=True)
    return table.assign(income=table["income"].str.rstrip("."))


@pytest.fixture
def decisions():
    """Labels, predictions and two sensitive columns with values missing, from a seed."""

    def make(n: int, seed: int = 0, groups: int = 4):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(
            {
                "sex": rng.choice(["f", "m", None], n, p=[0.45, 0.5, 0.05]),
                "band": rng.choice([f"b{i}" for i in range(groups)], n),
            }
        )
        return rng.integers(0, 2, n), (rng.random(n) < 0.4).astype(int), frame

    return make
