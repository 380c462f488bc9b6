"""Tables whose columns' tags are known, to hold proposals against: real ones and generated ones."""

from __future__ import annotations

import datetime as dt
import os
import random
import string
import uuid
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sklearn import datasets
from stdnum import iban, luhn, verhoeff
from stdnum.es import dni
from stdnum.pl import pesel

ADULT = """age workclass fnlwgt education education-num marital-status occupation relationship race
sex capital-gain capital-loss hours-per-week native-country income""".split()  # noqa: SIM905  # as its readme has it
# Judged by a person: what a data protection officer would want tagged.
ADULT_TAGS = {
    "age": "quasi_identifier",
    "marital-status": "sensitive",
    "relationship": "proxy",
    "race": "special_category",
    "sex": "sensitive",
    "native-country": "sensitive",
}


class Labelled(NamedTuple):
    """A table with what its columns deserve; a column that is not named deserves nothing."""

    name: str
    frame: pd.DataFrame
    tags: dict[str, str]


def adult() -> Labelled | None:
    """UCI Adult, where `AFFIDAVIT_DATA` has it."""
    path = Path(os.environ.get("AFFIDAVIT_DATA", "")) / "adult-train.csv"
    if not path.is_file():
        return None
    frame = pd.read_csv(path, names=ADULT, skipinitialspace=True, na_values="?")
    return Labelled("UCI Adult", frame, ADULT_TAGS)


def bundled() -> list[Labelled]:
    """The tables that scikit-learn carries; of them only one has columns about persons as such."""
    tags = {
        "diabetes": {"age": "quasi_identifier", "sex": "sensitive"},
        "linnerud": {"Weight": "quasi_identifier"},
    }
    found = []
    for name in ("diabetes", "linnerud", "breast_cancer", "wine", "iris"):
        scaled = {"scaled": False} if name == "diabetes" else {}
        loaded = getattr(datasets, f"load_{name}")(as_frame=True, **scaled)
        found.append(Labelled(f"scikit-learn {name}", loaded.frame, tags.get(name, {})))
    return found


def _luhn(rng: random.Random, prefix: str, length: int) -> str:
    body = prefix + "".join(rng.choices(string.digits, k=length - 1 - len(prefix)))
    return body + luhn.calc_check_digit(body)


def _iban(rng: random.Random) -> str:
    body = "".join(rng.choices(string.digits, k=18))
    return iban.calc_check_digits(f"DE00{body}").join(("DE", body))


def _aadhaar(rng: random.Random) -> str:
    while True:
        body = str(rng.randrange(2 * 10**10, 10**11))
        number = body + verhoeff.calc_check_digit(body)
        if number != number[::-1]:
            return number


def _pesel(rng: random.Random) -> str:
    body = f"{rng.randrange(50, 100)}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}"
    body += "".join(rng.choices(string.digits, k=4))
    return body + pesel.calc_check_digit(body)


def _dni(rng: random.Random) -> str:
    body = f"{rng.randrange(10**7, 10**8)}"
    return body + dni.calc_check_digit(body)


def _american(rng: random.Random) -> str:
    return f"({rng.randrange(201, 989)}) {rng.randrange(200, 999)}-{rng.randrange(1000, 9999)}"


def _social(rng: random.Random) -> str:
    return f"{rng.randrange(100, 665)}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}"


def _words(rng: random.Random, count: int) -> str:
    return " ".join(
        "".join(rng.choices(string.ascii_lowercase, k=rng.randrange(2, 9))) for _ in range(count)
    )


def _date(rng: random.Random, first: int, last: int) -> str:
    start = dt.date(first, 1, 1).toordinal()
    return dt.date.fromordinal(rng.randrange(start, dt.date(last, 12, 31).toordinal())).isoformat()


# Column, what makes a value, and the tag; those without one are what detectors trip over.
GENERATED = (
    ("kunde_mail", lambda r: f"{_words(r, 1)}@{_words(r, 1)}.example", "contact"),
    ("Telefon", lambda r: f"+49 30 {r.randrange(200000, 999999)}", "contact"),
    ("cell", _american, "contact"),
    ("konto", _iban, "identifier"),
    ("zahlung", lambda r: _luhn(r, "4", 16), "secret"),
    ("aadhaarNo", _aadhaar, "identifier"),
    ("pesel", _pesel, "identifier"),
    ("doc", _dni, "identifier"),
    ("socialNo", _social, "identifier"),
    ("client_ip", lambda r: ".".join(str(r.randrange(1, 255)) for _ in range(4)), "identifier"),
    ("session", lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)), "identifier"),
    ("auth", lambda r: "ghp_" + "".join(r.choices(string.ascii_letters, k=36)), "secret"),
    ("Geburtsdatum", lambda r: _date(r, 1940, 2006), "birth_date"),
    ("plz", lambda r: f"{r.randrange(1000, 99999):05d}", "quasi_identifier"),
    ("Vorname", lambda r: _words(r, 1).title(), "identifier"),
    ("freitext", lambda r: _words(r, 14), "free_text"),
    ("geschlecht", lambda r: r.choice(["m", "w"]), "sensitive"),
    ("konfession", lambda r: r.choice(["evangelisch", "katholisch", "none"]), "special_category"),
    ("civil", lambda r: r.choice(["single", "married", "divorced", "widowed"]), "sensitive"),
    ("amount", lambda r: f"{r.uniform(1, 9000):.2f}", ""),
    ("units", lambda r: str(r.randrange(0, 500)), ""),
    ("nine_digits", lambda r: str(r.randrange(10**8, 10**9)), ""),
    ("eleven_digits", lambda r: str(r.randrange(10**10, 10**11)), ""),
    ("sixteen_digits", lambda r: str(r.randrange(4 * 10**15, 5 * 10**15)), ""),
    ("ordered_on", lambda r: _date(r, 2024, 2026), ""),
    ("grade", lambda r: r.choice("ABCDEF"), ""),
    ("has_phone", lambda r: r.choice(["0", "1"]), ""),
    ("email_count", lambda r: str(r.randrange(0, 9)), ""),
    ("product_name", lambda r: r.choice([f"item {n}" for n in range(12)]), ""),
    ("ratio", lambda r: f"{r.random():.6f}", ""),
    ("colour", lambda r: r.choice(["white", "red", "green", "blue"]), ""),
    ("wine", lambda r: r.choice(["m", "n", "o"]), ""),
    ("temperature", lambda r: f"{r.gauss(20, 5):.1f}", ""),
    ("version", lambda r: f"{r.randrange(9)}.{r.randrange(20)}.{r.randrange(30)}", ""),
)  # fmt: skip


def generated(rows: int = 400, seed: int = 7) -> Labelled:
    """Columns with valid check digits, and columns that only look like them."""
    rng = random.Random(seed)
    frame = pd.DataFrame({name: [make(rng) for _ in range(rows)] for name, make, _ in GENERATED})
    return Labelled("generated", frame, {name: tag for name, _, tag in GENERATED if tag})


def without_names(table: Labelled) -> Labelled:
    """The same with columns called c0, c1 and so on, so that values alone can tell."""
    names = {name: f"c{n}" for n, name in enumerate(table.frame.columns)}
    tags = {names[name]: tag for name, tag in table.tags.items()}
    return Labelled(f"{table.name}, names withheld", table.frame.rename(columns=names), tags)


class Score(NamedTuple):
    """How proposals compare with what the columns deserve."""

    columns: int
    found: int
    missed: list[str]
    wrong: list[str]

    @property
    def precision(self) -> float:
        return self.found / (self.found + len(self.wrong)) if self.found or self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.found / (self.found + len(self.missed)) if self.found or self.missed else 1.0


def score(table: Labelled, at_least: float = 0.5) -> Score:
    """Count columns by their most confident proposal; a wrong tag is both wrong and missed."""
    from affidavit.policies import propose_tags

    first: dict[str, str] = {}
    for item in propose_tags(table.frame, today=dt.date(2026, 11, 21), at_least=at_least):
        first.setdefault(item.column, item.tag)
    right = [name for name, tag in table.tags.items() if first.get(name) == tag]
    missed = [name for name in table.tags if name not in right]
    wrong = [name for name in first if name not in right]
    return Score(len(table.frame.columns), len(right), missed, wrong)
