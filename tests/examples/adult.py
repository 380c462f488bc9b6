# UCI Adult, income over 50,000: governed read, training, evaluation, explanation, serving.
import sys

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import affidavit as aff

NUMBERS = ["age", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
WORDS = ["workclass", "education", "occupation"]
NAMES = """age workclass fnlwgt education education-num marital-status occupation relationship race
sex capital-gain capital-loss hours-per-week native-country income""".split()


@aff.data("adult", purpose="income-research", columns={"sex": ["sensitive"], "race": ["sensitive"]})
def load(part: str) -> pd.DataFrame:
    path = f"{sys.argv[1]}/adult-{part}.csv"
    frame = pd.read_csv(path, names=NAMES, skipinitialspace=True, na_values="?")
    return frame.assign(income=frame["income"].str.rstrip("."))


@aff.train("income", sensitive=["sex", "race"])
def fit(adult: pd.DataFrame) -> Pipeline:
    words = (OneHotEncoder(handle_unknown="ignore"), WORDS)
    columns = make_column_transformer((StandardScaler(), NUMBERS), words)
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return model.fit(adult[NUMBERS + WORDS], adult["income"])


MODEL, TEST = fit(load("train")), load("test")
X = TEST[NUMBERS + WORDS]
predict = aff.serve("income@latest")(lambda row: str(MODEL.predict(pd.DataFrame([row]))[0]))
aff.evaluate("income", MODEL, X, TEST["income"], sensitive=TEST[["sex", "race"]])
aff.explain_model("income", MODEL, X[:200], background=X[200:700])
predict(X.iloc[0].to_dict())
print(aff.explain_decision(aff.prediction_ids()[-1]).reasons[0])
