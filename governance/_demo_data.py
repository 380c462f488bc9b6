"""The demo's data: a real study that needs no download, and a documented generator.

**Referral** is the diabetes study that scikit-learn ships (Efron, Hastie, Johnstone and
Tibshirani, Least Angle Regression, Annals of Statistics 32, 2004): 442 patients with age, sex, body
mass index, blood pressure and six serum measurements. The target, disease progression after a year,
is made binary at its median. Patient numbers and telephone numbers are made up here, so that there
is something to pseudonymise and to drop.

**Lending** is generated: income, debt and years of employment are drawn alike for both groups, the
true chance of repayment depends on them alone, and then the recorded decision of past officers is
made stricter for group B: of the applications of B that would have been granted, a stated share was
refused. A model that learns those decisions inherits the disparity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PLANTED_REFUSALS = 0.35
"""The share of group B's grants that the generator turns into refusals."""


def referral_frame() -> pd.DataFrame:
    """Return the diabetes study with a binary label, made-up patient and telephone numbers."""
    import numpy as np
    from sklearn.datasets import load_diabetes

    study = load_diabetes(as_frame=True, scaled=False)
    frame = study.frame.rename(columns={"target": "progression"})
    rng = np.random.default_rng(442)
    frame.insert(0, "patient", [f"P{number:05d}" for number in rng.permutation(10_000)[:442]])
    frame.insert(1, "telephone", [f"0{n}" for n in rng.integers(10**8, 10**9, len(frame))])
    frame["sex"] = np.where(frame["sex"] == 1, "A", "B")
    frame["age_band"] = np.where(frame["age"] < 50, "under 50", "50 and over")
    frame["refer"] = (frame.pop("progression") > study.target.median()).astype(int)
    referral: pd.DataFrame = frame
    return referral


def lending_frame(rows: int, seed: int) -> pd.DataFrame:
    """Return generated loan applications with a planted disparity.

    Args:
        rows: How many.
        seed: Seeds the draws; the same seed gives the same rows.

    Returns:
        Columns applicant, telephone, group, income, debt, years_employed and granted.
    """
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    group = rng.choice(["A", "B"], size=rows, p=[0.6, 0.4])
    income = rng.lognormal(10.3, 0.45, rows).round(0)
    debt = rng.gamma(2.0, 4000.0, rows).round(0)
    years = rng.poisson(6.0, rows)
    merit = 1.4 * (np.log(income) - 10.3) / 0.45 - debt / 9000.0 + 0.12 * years
    chance = 1 / (1 + np.exp(-merit))
    granted = rng.random(rows) < chance
    refused = (group == "B") & granted & (rng.random(rows) < PLANTED_REFUSALS)
    # Past officers knew the district: it stands in for the group and carries the disparity.
    district = np.where(group == "B", rng.normal(1.0, 0.6, rows), rng.normal(-1.0, 0.6, rows))
    return pd.DataFrame(
        {
            "applicant": [f"A{number:07d}" for number in range(rows)],
            "telephone": [f"0{n}" for n in rng.integers(10**8, 10**9, rows)],
            "group": group,
            "income": income,
            "debt": debt,
            "years_employed": years,
            "district_index": district.round(3),
            "granted": (granted & ~refused).astype(int),
        }
    )


SCENARIOS: dict[str, dict[str, Any]] = {
    "referral": {
        "name": "referral",
        "purpose": "referral-triage",
        "dataset": "diabetes-study",
        "columns": {
            "patient": ["identifier"],
            "telephone": ["contact"],
            "sex": ["sensitive"],
            "age_band": ["sensitive"],
        },
        "subject": "patient",
        "sensitive": ["sex", "age_band"],
        "features": ["age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"],
        "label": "refer",
    },
    "lending": {
        "name": "lending",
        "purpose": "credit-scoring",
        "dataset": "applications",
        "columns": {
            "applicant": ["identifier"],
            "telephone": ["contact"],
            "group": ["sensitive"],
        },
        "subject": "applicant",
        "sensitive": ["group"],
        "features": ["income", "debt", "years_employed", "district_index"],
        "label": "granted",
    },
}
