"""Columns know what they hold: declared in code, settings and metadata; proposed, never decided."""

from __future__ import annotations

import json
import tomllib
import warnings

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import affidavit as aff
from affidavit._propose import with_tags
from affidavit.policies import TAGS_KEY

FRAME = {"person": ["ada", "bob"], "phone": ["+49 30 123456", "+49 30 123457"], "n": [1, 2]}


def governed(frame, **columns):
    @aff.data("people", purpose="credit-scoring", columns=columns)
    def read():
        return frame

    return read()


def arrow(**tags):
    fields = [
        pa.field(
            name, metadata={TAGS_KEY: json.dumps(tags[name])} if name in tags else None, type=t
        )
        for name, t in (("person", pa.string()), ("phone", pa.string()), ("n", pa.int64()))
    ]
    return pa.table(FRAME, schema=pa.schema(fields))


def test_tags_of_the_frames_own_metadata_bind_as_declared_ones_do(home, reader, tmp_path):
    table = arrow(person=["identifier"], phone=["contact"])
    pq.write_table(table, tmp_path / "people.parquet")
    pandas = pd.DataFrame(FRAME)
    pandas.attrs[TAGS_KEY] = {"person": ["identifier"], "phone": ["contact"]}
    for frame in (table, pq.read_table(tmp_path / "people.parquet"), pandas):
        given = governed(frame)
        names = getattr(given, "column_names", None) or list(given.columns)
        assert names == ["person", "n"]
        column = given["person"]
        values = column.to_pylist() if isinstance(given, pa.Table) else column.tolist()
        assert all(len(value) == 64 for value in values)
    question = reader.entry(reader.decisions(limit=1)[0]["entry"]).record["input"]
    assert question["columns"][0] == {"name": "person", "tags": ["identifier"]}


def test_all_three_places_are_united_and_none_takes_a_tag_away(home, configure):
    configure('[datasets.people.columns]\nperson = ["internal"]\nn = ["secret"]\n')
    given = governed(arrow(person=["identifier"], phone=[]), phone=["contact"])
    assert given.column_names == ["person"]
    assert len(given["person"][0].as_py()) == 64


def test_metadata_that_cannot_be_read_deny(home):
    table = arrow()
    field = table.schema.field("person").with_metadata({TAGS_KEY: "identifier"})
    with pytest.raises(aff.PolicyDenied, match=r"columns\.unknown_tag"):
        governed(table.cast(table.schema.set(0, field)))


@pytest.mark.parametrize(
    "frame",
    [
        pa.table({"s": [{"phone": "1"}]}),
        pl.DataFrame({"s": [[{"Phone": "1"}]]}),
        pd.DataFrame({"s": [{"x": {"phone": "1"}}]}),
        pd.DataFrame({"x": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)], names=["a", "PHONE"])),
    ],
)
def test_a_tagged_name_where_no_obligation_reaches_is_refused(home, reader, frame):
    with pytest.raises(aff.PolicyDenied, match=r"obligation\.unmet"):
        governed(frame, phone=["contact"])
    assert reader.statement(reader.newest("dataset")).predicate["outcome"] == "refused"


def test_names_of_several_levels_are_refused(home, reader):
    frame = pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("x", "phone")]))
    with pytest.raises(aff.AffidavitError, match="MultiIndex of columns"):
        governed(frame, phone=["contact"])
    assert reader.statement(reader.newest("dataset")).predicate["outcome"] == "refused"


@pytest.mark.filterwarnings("ignore:Determining the column names")
@pytest.mark.parametrize("library", ["polars", "duckdb", "narwhals", "chunks"])
def test_a_query_instead_of_rows_is_refused_with_what_to_call(home, reader, library, tmp_path):
    import duckdb
    import narwhals

    pd.DataFrame(FRAME).to_csv(tmp_path / "f.csv")
    frame, hint = {
        "polars": (pl.LazyFrame(FRAME), "frame.collect()"),
        "duckdb": (duckdb.sql("SELECT 1 AS person"), "relation.arrow()"),
        "narwhals": (narwhals.from_native(pl.LazyFrame(FRAME)), "frame.collect()"),
        "chunks": (pd.read_csv(tmp_path / "f.csv", chunksize=1), "yield parts"),
    }[library]
    with pytest.raises(aff.AffidavitError) as refused:
        governed(frame, person=["identifier"])
    assert hint in refused.value.hint
    statement = reader.statement(reader.newest("dataset"))
    assert statement.predicate["outcome"] == "refused"
    assert reader.counts()["dataset"] == 1


@pytest.mark.parametrize("said", ["allow", "warn", "deny"])
def test_columns_without_tags_pass_or_are_noted_or_denied_as_the_policy_data_say(
    home, configure, tmp_path, reader, said
):
    (tmp_path / "p.json").write_text(json.dumps({"columns": {"untagged": said}}))
    configure('[policy]\ndata = "p.json"\n')
    tags = {"person": ["identifier"], "phone": ["contact"], "n": ["internal"]}
    assert len(governed(pd.DataFrame(FRAME), **tags)) == 2
    if said == "deny":
        with pytest.raises(aff.PolicyDenied, match=r"columns\.untagged\] The column \"n\""):
            governed(pd.DataFrame(FRAME), person=["identifier"], phone=["contact"])
        return
    governed(pd.DataFrame(FRAME), person=["identifier"], phone=["contact"])
    decision = reader.entry(reader.decisions(limit=1)[0]["entry"]).record["decision"]
    noted = ["columns.untagged_noted"] if said == "warn" else []
    assert [item["rule"] for item in decision["warn"]] == noted


def test_detection_leaves_proposals_and_a_warning_and_decides_nothing(home, configure, reader):
    configure('[datasets.people]\ndetect = true\n[datasets.people.columns]\nn = ["internal"]\n')
    frame = pd.DataFrame({**FRAME, "phone": ["+49 30 123456", "+49 30 123457"]})
    frame = pd.concat([frame] * 3, ignore_index=True)
    with pytest.warns(aff.UntaggedColumnsWarning, match="'phone' \\(contact\\)"):
        given = governed(frame)
    assert list(given.columns) == ["person", "phone", "n"]
    assert given["phone"].tolist() == frame["phone"].tolist()
    predicate = reader.statement(reader.newest("dataset")).predicate
    assert [item["column"] for item in predicate["proposals"]] == ["phone"]
    assert "123456" not in json.dumps(predicate)
    question = reader.entry(reader.decisions(limit=1)[0]["entry"]).record["input"]
    assert [column["tags"] for column in question["columns"]] == [[], [], ["internal"]]
    assert "detect" not in json.dumps(question)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        governed(frame, person=["identifier"], phone=["public"])
    assert reader.statement(reader.newest("dataset")).predicate["proposals"] == []


def test_without_detection_nothing_is_proposed(home, reader):
    governed(pd.DataFrame(FRAME))
    assert "proposals" not in reader.statement(reader.newest("dataset")).predicate


def test_detect_is_true_or_false(configure, home):
    configure('[datasets.people]\ndetect = "yes"\n')
    with pytest.raises(aff.AffidavitError, match=r"datasets\.people\.detect"):
        governed(pd.DataFrame(FRAME))


@pytest.fixture
def people(tmp_path, home):
    rows = [f"{n % 13:05d},a{n}@example.org,{1950 + n}-01-02,{n % 7}" for n in range(40)]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["plz,mail,dob,units", *rows]))
    return path


def test_the_command_proposes_for_a_file_and_writes_nothing_by_itself(cli, people, tmp_path):
    code, out, _ = cli("tags", "propose", people)
    assert code == 0
    assert "40 rows, 4 columns, 3 proposals." in out
    assert '[datasets.people.columns]\nplz = ["quasi_identifier"]\nmail = ["contact"]\n' in out
    assert "example.org" not in out
    assert not (tmp_path / "affidavit.toml").exists()
    said = json.loads(cli("tags", "propose", people, "--name", "x y", "--json")[1])
    assert said["rows"] == 40
    assert said["written"] is False
    assert tomllib.loads(said["toml"])["datasets"]["x y"]["columns"]["dob"] == ["birth_date"]
    assert [item["column"] for item in said["proposals"]] == ["plz", "mail", "dob"]


def test_the_command_writes_when_it_is_told_to_and_shows_what(cli, people, tmp_path):
    settings = tmp_path / "affidavit.toml"
    settings.write_text('# ours\n[datasets.people.columns]\nmail = ["public"]  # decided\n')
    settings.chmod(0o640)
    code, out, _ = cli("tags", "propose", people, "--write", "--yes")
    assert code == 0
    assert "+plz = [" in out
    assert settings.stat().st_mode & 0o777 == 0o640
    text = settings.read_text()
    assert text.startswith("# ours\n")
    assert "# decided" in text
    columns = tomllib.loads(text)["datasets"]["people"]["columns"]
    assert columns == {
        "plz": ["quasi_identifier"],
        "dob": ["birth_date"],
        "mail": ["public"],
    }
    assert cli("tags", "propose", people, "--write", "--yes")[0] == 0
    assert settings.read_text() == text, "nothing is left to add"


def test_a_parquet_file_with_tags_of_its_own_needs_no_others(cli, tmp_path, home):
    pq.write_table(arrow(phone=["contact"]), tmp_path / "t.parquet")
    said = json.loads(cli("tags", "propose", tmp_path / "t.parquet", "--json")[1])
    assert said["carried"] == {"phone": ["contact"]}
    assert "phone" not in said["toml"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("b.csv", b"a,b\n1\n"),
        ("c.parquet", b"a,b\n1,2\n"),
        ("d.csv", b"a\n\xff\xfe\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_not_quoted(cli, tmp_path, home, name, content):
    (tmp_path / name).write_bytes(content)
    code, _, err = cli("tags", "propose", tmp_path / name)
    assert code == 2
    assert name in err
    assert "Traceback" not in err
    assert cli("tags", "propose", tmp_path / "none.csv")[0] == 2


def test_a_file_without_a_header_and_with_another_separator(cli, tmp_path, home):
    path = tmp_path / "h.csv"
    path.write_text("".join(f"{n};m{n}@example.org\n" for n in range(30)))
    said = json.loads(cli("tags", "propose", path, "--no-header", "--separator", ";", "--json")[1])
    assert said["columns"] == ["f0", "f1"]
    assert {item["column"]: item["tag"] for item in said["proposals"]}["f1"] == "contact"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[affidavit]\nhome = 'x'",
        "[datasets.d.columns]\nb = ['public']\n[people]\nx = ['auditor']\n",
        "[datasets.d]\ntags = ['x']\n",
        "[datasets . d . columns]\nb = ['public']\n",
        "[datasets]\nd = {columns = {b = ['public']}}\n",
    ],
)
def test_settings_gain_tags_and_nothing_else_changes_or_they_are_left_alone(text):
    tags = {"a b": ["identifier"], 'q"\\\n': ["contact"], "ü": ["public"]}
    if ". d ." in text or "{" in text:
        with pytest.raises(aff.AffidavitError, match="by hand"):
            with_tags(text, "d", tags)
        return
    after = with_tags(text, "d", tags)
    before, now = tomllib.loads(text), tomllib.loads(after)
    columns = now["datasets"]["d"]["columns"]
    known = before.get("datasets", {}).get("d", {}).get("columns", {})
    assert columns == {**known, **tags}
    for line in text.splitlines():
        assert line in after
