"""What tests run in other processes; no data-science library is imported, so they start fast."""

from __future__ import annotations

from pathlib import Path

import affidavit as aff

FORBIDDEN = "social-scoring"


def denied_in_a_process(path: str) -> None:
    @aff.train("risk", purpose=FORBIDDEN)
    def fit():
        Path(path).write_text("it ran")

    try:
        fit()
    except aff.PolicyDenied:
        raise SystemExit(7) from None


@aff.train("spawned")
def spawned(path: str) -> str:
    Path(path).write_text("it ran")
    return path


def pseudonyms_in_a_process(values: list) -> list:
    import polars as pl

    @aff.data("people", purpose="credit-scoring", columns={"person": ["identifier"]})
    def read():
        return pl.DataFrame({"person": values})

    return read()["person"].to_list()
