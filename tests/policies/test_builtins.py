"""The functions of the host against those of a real OPA, on generated arguments."""

from __future__ import annotations

import http.client
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real import opa_binary

from affidavit.errors import PolicyEngineError
from affidavit.policies import EmbeddedEngine, build_packs, server_bundle
from affidavit.policies._builtins import BUILTINS
from affidavit.policies._canonical import canonical_input
from affidavit.policies._evaluation import evaluate

DAY = 86_400 * 10**9
texts = st.text(max_size=12)
odd = st.sampled_from([None, True, 0, -1, 1.5, "", "a", [], ["a", 1], {}, {"a": 1}, "é", "🦜"])
instants = st.one_of(
    st.integers(-(2**53), 2**53),
    st.sampled_from([0, -1, DAY - 1, DAY, -DAY - 1, 951_782_400 * 10**6]),
)
zoned = st.one_of(
    instants,
    st.lists(instants, max_size=1),
    st.tuples(instants, st.sampled_from(["", "UTC", "Europe/Paris", "nowhere"])).map(list),
)
small = st.integers(-40, 40) | st.integers(-3000, 3000)
stamps = st.one_of(
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.from_regex(
        r"\A(1[5-9]|20|2[1-4])\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-6]\d:[0-6]\d(\.\d{1,9})?"
        r"(Z|[+-][0-2]\d:[0-6]\d)\Z"
    ),
    st.sampled_from(["2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "2026-11-21t10:00:00Z"]),
    texts,
)
durations = st.one_of(
    st.from_regex(r"\A[+-]?([0-9]{1,9}(ns|us|ms|s|m|h)){1,4}\Z"),
    st.sampled_from(["0", "1.5h", "1d", "-0s", "h", "9223372036854775808ns", "1 h"]),
    texts,
)
numbers = st.sampled_from(
    ["0", "1", "2", "10", "01", "9223372036854775807", "99999999999999999999"]
)
identifiers = st.lists(
    st.sampled_from(["alpha", "beta", "0", "1", "10", "01", "a-b", "-", "rc"]),
    min_size=1,
    max_size=3,
).map(".".join)
versions = st.one_of(
    st.builds(
        lambda v, ns, pre, build: v + ".".join(ns) + pre + build,
        st.sampled_from(["", "v", "V"]),
        st.lists(numbers, min_size=3, max_size=3),
        st.just("") | identifiers.map(lambda found: "-" + found),
        st.just("") | identifiers.map(lambda found: "+" + found),
    ),
    texts,
    st.sampled_from(["1", "1.0", "1.0.0.0", "1.0.0-", "1.0.0+", "1.+0.0", "1..0", "1.0.0\n"]),
)
units = st.builds(
    lambda amount, unit: f"{amount}{unit}",
    st.integers(0, 10**14) | st.sampled_from(["", "1.5", "1e3", "-1", "007"]),
    st.sampled_from(
        [
            "",
            *"kKmMgGtTpPeE",
            "Ki",
            "ki",
            "MI",
            "mi",
            "Gi",
            "GiB",
            "kb",
            "KB",
            "mib",
            "b",
            "x",
            " K",
        ]
    ),
)
forms = st.lists(st.sampled_from(["%s", "%d", "%v", "%%", " a ", "é", "%x", "%"]), max_size=4).map(
    "".join
)
operands = st.lists(texts | st.integers(-(2**53), 2**53) | st.booleans() | odd, max_size=4)
some_texts = texts | st.lists(texts, max_size=3)

ARGUMENTS = {
    "crypto.hmac.sha256": (texts, texts),
    "crypto.hmac.sha512": (texts, texts),
    "crypto.md5": (texts,),
    "crypto.sha1": (texts,),
    "crypto.sha256": (texts,),
    "hex.encode": (texts,),
    "semver.compare": (versions, versions),
    "semver.is_valid": (versions,),
    "sprintf": (forms, operands),
    "strings.any_prefix_match": (some_texts, some_texts),
    "strings.any_suffix_match": (some_texts, some_texts),
    "strings.count": (texts, st.sampled_from(["", "a", "aa", "é"]) | texts),
    "time.add_date": (zoned, small, small, small),
    "time.clock": (zoned,),
    "time.date": (zoned,),
    "time.diff": (zoned, zoned),
    "time.parse_duration_ns": (durations,),
    "time.parse_rfc3339_ns": (stamps,),
    "time.weekday": (zoned,),
    "units.parse": (units | texts,),
    "units.parse_bytes": (units | texts,),
}
REFUSED = [
    "http.send({})",
    "time.now_ns()",
    'rand.intn("a", 5)',
    "opa.runtime()",
    'net.lookup_ip_addr("localhost")',
    'uuid.rfc4122("a")',
    'time.format([0, "Europe/Paris"])',
    'time.parse_ns("2006", "2026")',
    'regex.replace("a", "b", "c")',
    'json.match_schema("{}", "{}")',
    'io.jwt.decode("a")',
    'trace("a")',
]


def source(calls):
    """A pack with one entry point for each call."""
    rules = "\n".join(
        f'# METADATA\n# entrypoint: true\nf{number} := {{"value": {call}}}\n'
        for number, call in enumerate(calls)
    )
    return f"package affidavit\n\n{rules}"


def causes(error):
    """The names of an error and of what it came from."""
    found = []
    while error is not None:
        found.append(type(error).__name__)
        error = error.__cause__ or error.__context__
    return found


def built(folder, calls):
    (folder / "source").mkdir()
    (folder / "source" / "calls.rego").write_text(source(calls))
    (folder / "source" / "data.json").write_text("{}")
    build_packs(folder / "source", folder / "built", opa=opa_binary())
    return folder / "built"


@pytest.fixture(scope="module")
def asked(tmp_path_factory, start_opa):
    """Asks both: gives the results, as a list that is empty where there is none."""
    folder = tmp_path_factory.mktemp("builtins")
    calls = [
        f"{name}({', '.join(f'input.a[{at}]' for at in range(len(ARGUMENTS[name])))})"
        for name in sorted(ARGUMENTS)
    ]
    packs = built(folder, calls)
    engine = EmbeddedEngine(bundle=packs, deadline_ms=20_000)
    server = start_opa(server_bundle(folder / "bundle.tar.gz", bundle=packs))
    there = http.client.HTTPConnection(server.address, timeout=20)

    def ask(name, arguments):
        rule = f"affidavit/f{sorted(ARGUMENTS).index(name)}"
        document = {"a": list(arguments)}
        mine: object = "unknown"
        try:
            found = evaluate(engine._policy(), canonical_input(document), rule)
            mine = [result["value"] for result in found]
        except Exception as error:  # noqa: BLE001  # what a host raises, whatever it is
            assert "UnknownResultError" in causes(error)  # noqa: PT017
        there.request("POST", f"/v1/data/{rule}", json.dumps({"input": document}))
        said = json.load(there.getresponse())
        return mine, [said["result"]["value"]] if "result" in said else []

    return ask


def test_every_function_of_the_host_is_compared_with_opas():
    assert set(ARGUMENTS) == set(BUILTINS)


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_function_gives_what_opa_gives_or_fails(asked, name):
    known = []

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def compare(data):
        arguments = [
            data.draw(odd if data.draw(st.integers(0, 15)) == 0 else one) for one in ARGUMENTS[name]
        ]
        mine, theirs = asked(name, arguments)
        known.append(mine != "unknown")
        if known[-1]:
            assert mine == theirs, arguments
            assert list(map(type, mine)) == list(map(type, theirs)), arguments

    compare()
    # A function that mostly fails would be no function.
    assert sum(known) > len(known) / 4


@pytest.mark.real
def test_a_module_that_needs_anything_else_is_refused_by_name(tmp_path):
    for number, call in enumerate(REFUSED):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = EmbeddedEngine(bundle=built(folder, [call]))
        name = call.partition("(")[0]
        with pytest.raises(PolicyEngineError, match=name):
            engine.load()
        decision = engine.decide("affidavit/f0", {})
        assert [finding.rule for finding in decision.deny] == ["engine.unloadable"]
        assert name in decision.deny[0].message


@pytest.mark.real
def test_a_decision_may_rest_on_a_function_of_the_host(tmp_path, start_opa):
    rule = """package affidavit

# METADATA
# entrypoint: true
fresh := {"allow": allow, "deny": deny, "warn": [], "obligations": []}

default allow := false

allow if {
	time.parse_rfc3339_ns(input.expires) > time.parse_rfc3339_ns(input.time)
	semver.compare(input.version, "1.2.0") >= 0
}

deny contains {"rule": "a.b", "severity": "high", "clause": "", "message": message} if {
	not allow
	message := sprintf("%s is not after %v", [input.expires, input.time])
}
"""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "fresh.rego").write_text(rule)
    (tmp_path / "source" / "data.json").write_text("{}")
    build_packs(tmp_path / "source", tmp_path / "built", opa=opa_binary())
    engine = EmbeddedEngine(bundle=tmp_path / "built")
    asked = {"expires": "2026-12-01T00:00:00+01:00", "time": "2026-11-21T00:00:00Z"}
    assert engine.decide("affidavit/fresh", {**asked, "version": "1.10.0"}).allow
    for changes in ({"version": "1.2.0-rc.1"}, {"version": "x"}, {"expires": "soon"}):
        document = {**asked, "version": "1.10.0", **changes}
        decision = engine.decide("affidavit/fresh", document)
        assert [finding.rule for finding in decision.deny] == ["a.b"]
    # Where it is not known what OPA would say, nothing is allowed.
    zone = {**asked, "version": "1.10.0", "expires": "2026-12-1T0:00:00Z"}
    assert [f.rule for f in engine.decide("affidavit/fresh", zone).deny] == ["engine.failed"]
