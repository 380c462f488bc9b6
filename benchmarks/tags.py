"""How many of the columns that deserve a tag get the right one proposed, and how fast.

    AFFIDAVIT_DATA=FOLDER python benchmarks/tags.py

A column counts by its most confident proposal. The words and lists of values were written with UCI
Adult and the generated table in view; scikit-learn's tables were not looked at before.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from labelled_tables import adult, bundled, generated, score, without_names

from affidavit.policies import propose_tags


def main() -> None:
    """Print precision and recall for each table, and the time for the largest."""
    first = adult()
    tables = [*bundled(), generated(), without_names(generated())]
    if first is None:
        print("AFFIDAVIT_DATA names no folder with adult-train.csv: UCI Adult is left out.")
    else:
        tables = [first, without_names(first), *tables]
    print(f"{'table':<34}{'columns':>8}{'tagged':>8}{'precision':>11}{'recall':>8}")
    for table in tables:
        found = score(table)
        row = f"{table.name:<34}{found.columns:>8}{len(table.tags):>8}"
        print(f"{row}{found.precision:>11.2f}{found.recall:>8.2f}")
        for what, names in (("missed", found.missed), ("wrong", found.wrong)):
            if names:
                print(f"    {what}: {', '.join(names)}")
    for table in (tables[0], generated(100_000)):
        began = time.perf_counter()
        propose_tags(table.frame, today=dt.date(2026, 11, 21))
        taken = time.perf_counter() - began
        print(f"{table.name}: {len(table.frame):,} rows in {taken:.2f} s")


if __name__ == "__main__":
    main()
