"""The embedded engine and a real OPA server give the same decision on the same request."""

from __future__ import annotations

import copy
import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ENTRYPOINTS = {
    "affidavit/data_read": ("data.read", "dataset"),
    "affidavit/train": ("model.train", "model"),
    "affidavit/serve": ("model.serve", "model"),
    "affidavit/load": ("model.load", "model"),
    "affidavit/promote": ("model.promote", "model"),
    "affidavit/controls": ("model.assess", "model"),
    "affidavit/disclose": ("record.disclose", "record"),
}
TAGS = ["public", "identifier", "sensitive", "special_category", "quasi_identifier", "free_text"]
ODD = [
    "",
    " ",
    "__proto__",
    'a"b',
    "back\\slash",
    "new\nline",
    "é",
    "é",
    "İstanbul",
    "ß",
    "🦜",
    "\x00",
    "${jndi}",
    "*",
    "allow",
]
names = st.one_of(
    st.sampled_from([*ODD, "ada", "bob", "engineer", "auditor", "audit", "credit-scoring"]),
    st.text(max_size=12),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    names,
)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
times = st.one_of(
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.sampled_from(
        [
            "2026-11-21T10:00:00Z",
            "2026-11-21T10:00:00.123456789Z",
            "2026-02-29T10:00:00Z",
            "2026-11-21T10:00:00+00:00",
            "0000-01-01T00:00:00Z",
        ]
    ),
)


def maybe(strategy):
    """Mostly what belongs there, now and then anything."""
    return st.integers(0, 11).flatmap(lambda n: junk if n == 0 else strategy)


columns = st.lists(
    st.fixed_dictionaries(
        {"name": maybe(names), "tags": maybe(st.lists(st.sampled_from([*TAGS, "odd"]), max_size=3))}
    ),
    max_size=5,
)
numbers = st.floats(0, 1) | st.sampled_from([0, 1, 0.8, 0.79999999999999993, 1e-300, 2**53])
evidence = st.fixed_dictionaries(
    {
        "provenance": maybe(
            st.fixed_dictionaries({"verified": st.booleans(), "time": times, "trainer": names})
        ),
        "evaluations": st.lists(
            st.fixed_dictionaries(
                {
                    "verified": maybe(st.booleans()),
                    "time": maybe(times),
                    "metrics": maybe(st.dictionaries(names, numbers, max_size=2)),
                }
            ),
            max_size=2,
        ),
        "fairness": st.lists(
            st.fixed_dictionaries(
                {
                    "verified": st.just(value=True),
                    "features": maybe(st.just(["sex"])),
                    "demographic_parity_ratio": maybe(numbers),
                    "assessment": st.sampled_from(["pass", "fail", "insufficient evidence", "?"]),
                    "min_n": maybe(st.integers(0, 100)),
                    "time": times,
                }
            ),
            max_size=2,
        ),
        "explanations": st.lists(
            st.fixed_dictionaries(
                {
                    "verified": st.just(value=True),
                    "residual_max": maybe(numbers),
                    "tolerance": maybe(numbers),
                    "time": times,
                }
            ),
            max_size=2,
        ),
        "approvals": st.lists(
            st.fixed_dictionaries(
                {
                    "verified": st.booleans(),
                    "approver": names,
                    "outcome": st.sampled_from(["approved", "withdrawn"]),
                    "time": times,
                }
            ),
            max_size=3,
        ),
        "verdict": maybe(
            st.fixed_dictionaries({"verified": st.booleans(), "allowed": st.booleans()})
        ),
    }
)


attributes = st.dictionaries(
    st.sampled_from(
        [
            *("collected", "expires", "retention_days", "regions", "licence"),
            *("lawful_basis", "consent", "tier", "department"),
        ]
    ),
    maybe(
        times
        | st.sampled_from(["CC-BY-NC-4.0", "MIT", "consent", "contract", "high", "lending"])
        | st.integers(0, 400)
        | st.lists(st.sampled_from(["eu", "us", "MIT"]), max_size=2)
        | st.just({"column": "income", "values": ["yes"]})
    ),
    max_size=4,
)
surroundings = {
    "place": st.fixed_dictionaries({"region": maybe(st.sampled_from(["eu", "us"]))}),
    "client": st.fixed_dictionaries(
        {
            "address": maybe(
                st.sampled_from(["10.1.2.3", "11.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"])
            )
        }
    ),
    "measures": st.fixed_dictionaries({"rows": maybe(st.integers(0, 200))}),
}


@st.composite
def sound(draw, action, kind):
    """A request as hooks make it, so that what allows is compared as often as what denies."""
    tagged = st.dictionaries(names, st.lists(st.sampled_from(TAGS), max_size=2), max_size=5)
    document = {
        "action": action,
        "actor": {"id": draw(names), "roles": draw(st.sampled_from([[], ["engineer"]]))},
        "purpose": draw(st.sampled_from(["credit-scoring", "research"])),
        "resource": {"kind": kind, "name": draw(names), "digest": "", "tags": []},
        "columns": [{"name": name, "tags": tags} for name, tags in draw(tagged).items()],
        "environment": "development",
        "time": "2026-11-21T10:00:00Z",
        "request_id": "r-1",
    }
    if action in {"model.promote", "model.serve", "model.load"}:
        document["evidence"] = draw(evidence)
        document["declared"] = {"sensitive": ["sex"]}
    return document


@st.composite
def requests(draw):
    entrypoint = draw(st.sampled_from(sorted(ENTRYPOINTS)))
    action, kind = ENTRYPOINTS[entrypoint]
    if draw(st.booleans()):
        return entrypoint, draw(sound(action, kind))
    document = {
        "action": draw(maybe(st.just(action))),
        "actor": draw(
            maybe(
                st.fixed_dictionaries(
                    {"id": maybe(names), "roles": st.lists(maybe(names), max_size=2)}
                )
            )
        ),
        "purpose": draw(maybe(names)),
        "resource": draw(
            maybe(
                st.fixed_dictionaries(
                    {
                        "kind": st.just(kind),
                        "name": maybe(names),
                        "digest": st.just(""),
                        "tags": maybe(st.lists(names, max_size=2)),
                    }
                )
            )
        ),
        "columns": draw(maybe(columns)),
        "environment": draw(maybe(st.sampled_from(["development", "production"]))),
        "time": draw(maybe(times)),
        "request_id": draw(maybe(st.just("r-1"))),
    }
    for field, strategy in surroundings.items():
        if draw(st.booleans()):
            document[field] = draw(maybe(strategy))
    for field in ("actor", "resource"):
        if isinstance(document[field], dict) and draw(st.booleans()):
            document[field]["attributes"] = draw(maybe(attributes))
    if action in {"model.promote", "model.serve", "model.load"}:
        document["evidence"] = draw(maybe(evidence))
        document["declared"] = draw(
            maybe(st.fixed_dictionaries({"sensitive": maybe(st.just(["sex"]))}))
        )
    for field in draw(st.sets(st.sampled_from(sorted(document)), max_size=1)):
        if draw(st.integers(0, 4)) == 0:
            del document[field]
    return entrypoint, document


def comparable(decision):
    """What must be equal: all but the engine's name, version and the time it took."""
    fields = decision.to_dict()
    for name in ("engine", "engine_version", "duration_ns"):
        del fields[name]
    return json.dumps(fields, sort_keys=True)


@pytest.mark.real
def test_more_than_a_thousand_generated_requests_decide_alike_in_both_engines(embedded, served):
    compared: Counter[str] = Counter()
    allowed: Counter[bool] = Counter()

    @settings(
        max_examples=1200, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
    @given(asked=requests())
    def compare(asked):
        entrypoint, document = asked
        mine, theirs = embedded.decide(entrypoint, document), served.decide(entrypoint, document)
        assert comparable(mine) == comparable(theirs)
        assert not any(finding.rule.startswith("engine.") for finding in mine.deny)
        compared[entrypoint] += 1
        allowed[mine.allow] += 1

    compare()
    assert compared.total() >= 1000
    assert set(compared) == set(embedded.entrypoints)
    assert min(compared.values()) >= 50
    assert min(allowed[True], allowed[False]) >= 50


@pytest.mark.real
def test_both_engines_promote_on_whole_evidence(embedded, served, promotion):
    for engine in (embedded, served):
        assert engine.decide("affidavit/promote", promotion).allow


@pytest.mark.real
@pytest.mark.parametrize("name", ODD)
def test_odd_names_decide_alike_and_never_gain_a_right(embedded, served, request_for, name):
    for field, document in {
        "role": request_for(actor={"id": "ada", "roles": [name]}),
        "actor": request_for(actor={"id": name, "roles": []}),
        "dataset": request_for(
            resource={"kind": "dataset", "name": name, "digest": "", "tags": [name]}
        ),
        "column": request_for(columns=[{"name": name, "tags": ["secret"]}]),
        "tag": request_for(columns=[{"name": "a", "tags": [name]}]),
    }.items():
        mine = embedded.decide("affidavit/data_read", document)
        theirs = served.decide("affidavit/data_read", document)
        assert comparable(mine) == comparable(theirs), field
        if field in {"role", "tag"}:
            assert not mine.allow
        if field == "column" and mine.allow:
            assert [(o.kind, o.columns) for o in mine.obligations] == [("drop", (name,))]


@pytest.mark.real
def test_ten_thousand_columns_decide_alike(embedded, served, request_for):
    wide = [{"name": f"c{i}", "tags": [TAGS[i % len(TAGS)]]} for i in range(10_000)]
    document = request_for(columns=wide)
    mine = embedded.decide("affidavit/data_read", document)
    assert mine.allow
    assert comparable(mine) == comparable(served.decide("affidavit/data_read", document))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("purpose", float("nan")),
        ("purpose", float("inf")),
        ("purpose", "\ud800"),
        ("purpose", 2**53 + 1),
        ("purpose", {1: "a"}),
        ("purpose", b"credit-scoring"),
        ("purpose", {"credit-scoring"}),
    ],
)
def test_what_json_cannot_say_denies_in_both(embedded, served, request_for, field, value):
    for engine in (embedded, served):
        decision = engine.decide("affidavit/data_read", request_for(**{field: value}))
        assert [finding.rule for finding in decision.deny] == ["input.unserialisable"]


def test_deep_nesting_denies_in_both(embedded, served, request_for):
    deep: object = "credit-scoring"
    for _ in range(1000):
        deep = [deep]
    for engine in (embedded, served):
        decision = engine.decide("affidavit/data_read", request_for(purpose=deep))
        assert [finding.rule for finding in decision.deny] == ["input.unserialisable"]


def test_every_missing_field_denies(embedded, request_for, promotion):
    for entrypoint, whole in (
        ("affidavit/data_read", request_for()),
        ("affidavit/promote", promotion),
    ):
        assert embedded.decide(entrypoint, whole).allow
        for field in whole:
            if (entrypoint, field) == ("affidavit/promote", "purpose"):
                continue  # promotion asks for no purpose
            document = copy.deepcopy(whole)
            del document[field]
            assert not embedded.decide(entrypoint, document).allow, field
