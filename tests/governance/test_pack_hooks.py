"""The packs through the hooks: what is declared decides what a decorated function gives."""

from __future__ import annotations

import datetime as dt
import json

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import affidavit as aff
from affidavit._policy import rule as put
from affidavit._question import Question
from affidavit.errors import ConfigurationError

NEVER = AssertionError("it ran")


@pytest.fixture
def govern(configure, tmp_path):
    """Write policy data, and settings that name them."""

    def write(data: dict, more: str = "", main: str = "") -> None:
        (tmp_path / "policy.json").write_text(json.dumps(data))
        configure(f'[affidavit]\n{main}\n[policy]\ndata = "policy.json"\n{more}')

    return write


def loans(rows: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "zip": ["10115", "10115", "10115", "20095"] * (rows // 4),
            "agreed": ["yes", "no", None, "yes"] * (rows // 4),
            "income": range(rows),
        }
    )


def reading(purpose: str = "credit-scoring", frame=None, **columns):
    @aff.data("loans", purpose=purpose, columns=columns)
    def read():
        if frame is None:
            raise NEVER
        return frame

    return read


# Residency


def test_a_read_in_the_wrong_region_never_runs(govern):
    govern({"residency": {"datasets": {"loans": ["eu-west-1"]}}}, main='region = "us-east-1"')
    with pytest.raises(aff.PolicyDenied, match=r"residency\.region"):
        reading()()


def test_a_read_in_the_right_region_runs(govern, monkeypatch):
    govern({"residency": {"datasets": {"loans": ["eu-west-1"]}}}, main='region = "us-east-1"')
    monkeypatch.setenv("AFFIDAVIT_REGION", "eu-west-1")
    assert len(reading(frame=loans())()) == 4


def test_a_constrained_read_in_a_place_that_nobody_named_never_runs(govern):
    govern({"residency": {"default": ["eu-west-1"]}})
    with pytest.raises(aff.PolicyDenied, match=r"residency\.region_unknown"):
        reading()()


def test_training_is_where_it_may_be(govern):
    govern({"residency": {"default": ["eu-west-1"]}}, main='region = "us-east-1"')

    @aff.train("risk")
    def fit():
        raise NEVER

    with pytest.raises(aff.PolicyDenied, match=r"residency\.region"):
        fit()


# Retention


def test_an_expired_dataset_is_not_read(govern):
    govern(
        {"retention": {"datasets": {"loans": 365}}}, "[datasets.loans]\ncollected = 2020-03-01\n"
    )
    with pytest.raises(aff.PolicyDenied, match=r"retention\.expired"):
        reading()()


def test_a_recent_dataset_is_read_until_its_end_comes(govern):
    today = dt.datetime.now(dt.UTC).date().isoformat()
    govern({"retention": {"datasets": {"loans": 365}}}, f"[datasets.loans]\ncollected = {today}\n")
    assert len(reading(frame=loans())()) == 4


def test_a_stated_end_needs_no_data(configure):
    configure('[datasets.loans]\nexpires = "2021-01-01"\n')
    with pytest.raises(aff.PolicyDenied, match=r"retention\.expired"):
        reading()()


def test_a_limited_dataset_without_a_date_is_not_read(govern):
    govern({"retention": {"tags": {"personal": 30}}}, '[datasets.loans]\ntags = ["personal"]\n')
    with pytest.raises(aff.PolicyDenied, match=r"retention\.undated"):
        reading()()


# Consent


CONSENT = {
    "purposes": ["credit-scoring"],
    "basis": "consent",
    "consent": {"column": "agreed", "values": ["yes"]},
}


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_only_the_rows_of_those_who_consented_are_read(govern, kind):
    govern({"purpose": {"datasets": {"loans": CONSENT}}})
    frame = loans()
    if kind != "pandas":
        frame = pl.from_pandas(frame) if kind == "polars" else pa.Table.from_pandas(frame)
    given = reading(frame=frame)()
    table = given.to_pandas() if kind != "pandas" else given
    assert list(table["income"]) == [0, 3]
    assert set(table["agreed"]) == {"yes"}


def test_data_without_the_column_of_consent_are_refused(govern):
    govern({"purpose": {"datasets": {"loans": CONSENT}}})
    with pytest.raises(aff.PolicyDenied, match=r"purpose\.consent_column_missing"):
        reading(frame=loans().drop(columns="agreed"))()


def test_a_consent_that_was_withdrawn_denies_before_the_read(govern):
    withdrawn = {**CONSENT, "consent": {**CONSENT["consent"], "withdrawn": True}}
    govern({"purpose": {"datasets": {"loans": withdrawn}}})
    with pytest.raises(aff.PolicyDenied, match=r"purpose\.consent_withdrawn"):
        reading()()


def test_a_basis_can_be_declared_with_the_dataset(govern):
    govern({"purpose": {"require_basis": True}}, '[datasets.loans]\nlawful_basis = "contract"\n')
    assert len(reading(frame=loans())()) == 4
    govern({"purpose": {"require_basis": True}})
    with pytest.raises(aff.PolicyDenied, match=r"purpose\.basis_missing"):
        reading()()


# Small cells


def test_a_release_shows_no_small_group(home):
    frame = loans(400)
    frame.loc[0, "zip"] = "99999"
    given = reading("release", frame, zip=["proxy"])()
    assert len(given) == 399
    assert "99999" not in set(given["zip"])


def test_a_release_of_too_few_rows_is_refused_once_they_are_counted(home):
    with pytest.raises(aff.PolicyDenied, match=r"kanonymity\.too_few_rows"):
        reading("release", loans(), zip=["proxy"])()
    assert len(reading("credit-scoring", loans(), zip=["proxy"])()) == 4


def test_a_release_of_which_too_much_would_go_is_refused(home):
    frame = loans(400)
    frame["zip"] = [str(number) for number in range(400)]
    with pytest.raises(aff.PolicyDenied, match=r"obligation\.unmet"):
        reading("release", frame, zip=["proxy"])()


# Licence


def test_a_licence_is_held_against_the_purpose(configure):
    configure('[datasets.loans]\nlicence = "CC-BY-NC-4.0"\n')
    with pytest.raises(aff.PolicyDenied, match=r"licence\.restricted"):
        reading()()
    assert len(reading("research", loans())()) == 4


# Access by attributes, and in an emergency


def test_attributes_of_people_and_datasets_decide(govern, monkeypatch):
    data = {
        "access": {
            "default_role": None,
            "permits": [
                {
                    "id": "own-department",
                    "actions": ["data.read"],
                    "tags": ["*"],
                    "conditions": [
                        {"attribute": "actor.department", "same_as": "resource.department"}
                    ],
                }
            ],
        }
    }
    people = '[people]\n"ann" = {attributes = {department = "lending"}}\n"bob" = ["guest"]\n'
    govern(data, people + '[datasets.loans]\ndepartment = "lending"\n')
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "ann")
    assert len(reading(frame=loans())()) == 4
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "bob")
    with pytest.raises(aff.PolicyDenied, match=r"access\.not_permitted"):
        reading()()


def test_a_prohibition_stops_whom_a_role_permits(govern):
    rule = {"id": "no-loans-abroad", "conditions": [{"attribute": "place.region", "is": ["us"]}]}
    govern({"access": {"prohibits": [rule]}}, main='region = "us"')
    with pytest.raises(aff.PolicyDenied, match="no-loans-abroad"):
        reading()()
    govern({"access": {"prohibits": [rule]}}, main='region = "eu"')
    assert len(reading(frame=loans())()) == 4


def test_emergency_access_is_in_the_record_of_the_decision(govern, monkeypatch):
    now = dt.datetime.now(dt.UTC)
    begins, ends = (
        (now + dt.timedelta(hours=hours)).isoformat(timespec="seconds") for hours in (-1, 1)
    )
    emergency = {
        "actor": "ann",
        "role": "engineer",
        "break_glass": True,
        "reason": "incident 7",
        "not_before": begins,
        "expires": ends,
    }
    monkeypatch.setenv("AFFIDAVIT_ACTOR", "ann")
    govern({"access": {"default_role": None, "grants": [emergency]}})
    settings, home = aff.load_settings(), aff.open_home(aff.load_settings().home)
    assert len(reading(frame=loans())()) == 4
    ruling = put(
        home,
        settings,
        Question("affidavit/data_read", "data.read", "dataset", "loans", purpose="x"),
    )
    (warning,) = ruling.decision.warn
    assert warning.rule == "separation.break_glass"
    assert "incident 7" in warning.message
    assert [item.kind for item in ruling.decision.obligations] == ["log_full"]


# What is declared


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[people]\n"ann" = {role = ["x"]}', "unknown setting 'role'"),
        ('[people]\n"ann" = {roles = "x"}', "not a list of words"),
        ('[people]\n"ann" = {attributes = ["x"]}', "attributes is not a table"),
        ("[datasets.loans]\ncollected = 2026-03-01T08:00:00", "another instant in each zone"),
        ("[datasets.loans]\nshare = nan", "no policy can be told"),
        ("[datasets.loans]\nat = 08:00:00", "no policy can be told"),
        ("[affidavit]\nregion = 7", "region is 7"),
    ],
)
def test_what_no_policy_can_be_told_is_refused_with_its_place(configure, text, said):
    configure(text)
    with pytest.raises(ConfigurationError, match=said):
        reading()()


def test_dates_are_told_as_instants_in_utc(configure):
    configure(
        "[datasets.loans]\ncollected = 2026-03-01\nreviewed = [2026-03-01T08:00:00+01:00]\n"
        'since = "2026-03-02"\nuntil = "2026-99-99"\nnote = "2026-03-02 or so"\n'
    )
    assert aff.load_settings().declared_attributes("dataset", "loans") == {
        "collected": "2026-03-01T00:00:00Z",
        "reviewed": ["2026-03-01T07:00:00Z"],
        "since": "2026-03-02T00:00:00Z",
        "until": "2026-99-99",
        "note": "2026-03-02 or so",
    }
