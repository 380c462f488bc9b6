"""Fairness on many rows: eight rates over two sensitive columns and their intersection.

The rows come from a seeded generator: `sex` of two values and `band` of five, as categories and as
text; labels positive in 40 %; predictions that agree with the label in 80 %, and then turn down a
tenth of one sex. Fairlearn's MetricFrame computes the same rates in the same run, once for each set
of sensitive columns, and both are compared number by number.

    python benchmarks/fairness.py --rows 1000000
"""

from __future__ import annotations

import argparse
import resource
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20
FEATURES = (["sex"], ["band"], ["sex", "band"])


def generate(rows):
    rng = np.random.default_rng(SEED)
    sex = rng.integers(0, 2, rows, dtype=np.int8)
    band = rng.integers(0, 5, rows, dtype=np.int8)
    y_true = (rng.random(rows) < 0.4).astype(np.int64)
    agrees = rng.random(rows) < 0.8
    y_pred = np.where(agrees, y_true, 1 - y_true)
    y_pred[(sex == 1) & (rng.random(rows) < 0.1)] = 0
    frame = pd.DataFrame(
        {
            "sex": pd.Categorical.from_codes(sex, ["female", "male"]),
            "band": pd.Categorical.from_codes(band, ["18-29", "30-44", "45-59", "60-74", "75+"]),
        }
    )
    return y_true, y_pred, frame


class Peak:
    """The most memory this process held inside the block, beyond what it held before, in bytes."""

    def __enter__(self):
        self._before = self._most = _resident()
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def _look(self):
        while not self._done.wait(0.002):
            self._most = max(self._most, _resident())

    def __exit__(self, *_):
        self._done.set()
        self._watch.join()
        self._most = max(self._most, _resident())
        self.extra = self._most - self._before


def _resident():
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()


def timed(function, repeat):
    best, peak, result = float("inf"), 0, None
    for _ in range(repeat):
        with Peak() as memory:
            start = time.perf_counter()
            result = function()
            best = min(best, time.perf_counter() - start)
        peak = max(peak, memory.extra)
    return best, peak, result


def fairlearn_rates(y_true, y_pred, frame):
    from fairlearn.metrics import (
        MetricFrame,
        false_negative_rate,
        false_positive_rate,
        selection_rate,
        true_negative_rate,
        true_positive_rate,
    )
    from sklearn.metrics import accuracy_score, precision_score

    metrics = {
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
        "false_negative_rate": false_negative_rate,
        "true_negative_rate": true_negative_rate,
        "precision": precision_score,
        "accuracy": accuracy_score,
        "base_rate": lambda t, _: np.mean(t),
    }
    return {
        tuple(names): MetricFrame(
            metrics=metrics, y_true=y_true, y_pred=y_pred, sensitive_features=frame[names]
        ).by_group
        for names in FEATURES
    }


def largest_difference(ours, theirs):
    worst = 0.0
    for row in ours.rates():
        key = row.group if len(row.group) > 1 else row.group[0]
        for name, estimate in row.rates.items():
            worst = max(worst, abs(estimate.value - theirs[row.feature].loc[key, name]))
    return worst


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--without-peer", action="store_true", help="measure ours alone")
    options = parser.parse_args(arguments)

    from affidavit.explain import measure_fairness

    y_true, y_pred, frame = generate(options.rows)
    text = frame.astype(str)
    runs = {
        "affidavit, categorical columns": lambda: measure_fairness(y_true, y_pred, frame),
        "affidavit, text columns": lambda: measure_fairness(y_true, y_pred, text),
    }
    measure_fairness(y_true[:1000], y_pred[:1000], frame[:1000]).rates()
    print(f"{options.rows:,} rows, 8 rates, 2 sensitive columns and their intersection")
    print(f"{'':34}{'seconds':>10}{'peak MB':>10}{'ratio':>10}")
    found = {name: timed(run, 3) for name, run in runs.items()}
    peer = None
    if not options.without_peer:
        peer = timed(lambda: fairlearn_rates(y_true, y_pred, frame), 1)
    for name, (seconds, peak, _) in found.items():
        ratio = "" if peer is None else f"{peer[0] / seconds:,.0f}x"
        print(f"{name:34}{seconds:>10.4f}{peak / 1e6:>10.1f}{ratio:>10}")
    result = found["affidavit, categorical columns"][2]
    start = time.perf_counter()
    result.disparities()
    spent = time.perf_counter() - start
    print(f"{'intervals, 1,000 resamples':34}{spent:>10.4f}")
    if peer is not None:
        print(f"{'fairlearn MetricFrame':34}{peer[0]:>10.4f}{peer[1] / 1e6:>10.1f}{'1x':>10}")
        print(f"largest difference from fairlearn: {largest_difference(result, peer[2]):.1e}")


if __name__ == "__main__":
    main()
