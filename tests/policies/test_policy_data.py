"""An organisation's data are held against the packs' schemas: no typo and no wrong type passes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from affidavit.errors import ConfigurationError
from affidavit.policies import EmbeddedEngine, open_bundle

NEVER = "2026-02-30T00:00:00Z"
RULE = {"k": 11, "max_share": 0.1, "min_rows": 0}
RATE = {"calls": 1, "seconds": 1, "per": "actor"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"acess": {}}, "'acess' is unknown"),
        ({"access": {"grant": []}}, r"'access\.grant' is unknown"),
        ({"access": {"grants": [{"actor": "a"}]}}, r"access\.grants\[0\] lacks role"),
        ({"access": {"grants": [{"actor": "a", "role": "b", "expire": "x"}]}}, "'expire'"),
        (
            {
                "access": {
                    "grants": [{"actor": "a", "role": "b", "expires": "2026-02-30T00:00:00Z"}]
                }
            },
            r"access\.grants\[0\]\.expires is .* RFC 3339",
        ),
        ({"access": {"prohibits": [{"id": "x", "purpose": ["y"]}]}}, "unknown setting 'purpose'"),
        ({"access": {"prohibits": [{"id": "x", "conditions": [{"attribute": "a.b"}]}]}}, "access"),
        (
            {"access": {"permits": [{"id": "x", "actions": ["*"]}]}},
            r"access\.permits\[0\] lacks tags",
        ),
        ({"access": {"grants": [{"actor": "a", "role": "b", "hours": {"from": "8"}}]}}, "hours"),
        (
            {"purpose": {"require_basis": "yes"}},
            r"purpose\.require_basis is \"yes\", expected",
        ),
        (
            {"purpose": {"datasets": {"d": {"purposes": ["p"], "basis": "Consent"}}}},
            r"purpose\.datasets\.d\.basis",
        ),
        (
            {"purpose": {"datasets": {"d": {"purposes": ["p"], "consent": {"column": "c"}}}}},
            r"purpose\.datasets\.d\.consent lacks values",
        ),
        (
            {"residency": {"datasets": {"d": "eu"}}},
            r"residency\.datasets\.d is \"eu\", expected",
        ),
        (
            {"retention": {"datasets": {"d": "30"}}},
            r"retention\.datasets\.d is \"30\", expected",
        ),
        ({"retention": {"max_age_days": 1.5}}, r"retention\.max_age_days"),
        ({"kanonymity": {"rules": [{**RULE, "k": 1}]}}, r"kanonymity\.rules\[0\]\.k"),
        ({"kanonymity": {"rules": [{"k": 11}]}}, r"lacks max_share, min_rows"),
        ({"kanonymity": {"rules": [{**RULE, "purpose": []}]}}, "unknown setting 'purpose'"),
        ({"licence": {"facts": {"X": {"attribution": "yes"}}}}, r"licence\.facts\.X\.attribution"),
        ({"licence": {"rules": [{"license": ["MIT"]}]}}, r"licence\.rules\[0\]"),
        ({"separation": {"exclusive_roles": [["one"]]}}, r"separation\.exclusive_roles\[0\]"),
        ({"separation": {"exclusive_parts": [{"parts": ["maker", "cook"]}]}}, "expected one of"),
        ({"promotion": {"tiers": {"high": {"approval": {"minimum": 2}}}}}, "unknown setting 'app"),
        ({"promotion": {"models": {"m": {"metrics": {"auc": {"mim": 0.7}}}}}}, "'mim'"),
        ({"promotion": {"require": {"fairness": "false"}}}, r"promotion\.require\.fairness"),
        ({"serving": {"rates": [{**RATE, "calls": 0}]}}, r"serving\.rates\[0\]\.calls"),
        ({"serving": {"rates": [{**RATE, "per": "user"}]}}, r"serving\.rates\[0\]\.per"),
        ({"serving": {"networks": {"m": ["10.0.0.1/8"]}}}, "expected a network"),
        ({"serving": {"networks": {"m": ["intranet"]}}}, "expected a network"),
        ({"columns": {"tags": {"x": {"rules": [{"obligation": "hide"}]}}}}, r"columns\.tags\.x"),
    ],
)
def test_what_would_be_misread_is_refused_with_its_place(data, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        EmbeddedEngine(data=data)
    assert refused.value.hint


def test_whole_data_for_every_pack_are_taken():
    engine = EmbeddedEngine(
        data={
            "residency": {"default": ["eu"], "groups": {"eu": ["eu-west-1"]}},
            "retention": {"tags": {"identifier": 365}, "warn_days": 7},
            "kanonymity": {"rules": [{**RULE, "purposes": ["release"]}]},
            "licence": {"required": [{"environments": ["production"]}]},
            "separation": {"exclusive_roles": [["engineer", "approver"]]},
            "serving": {"rates": [RATE], "networks": {"*": ["10.0.0.0/8", "::1"]}},
            "promotion": {"tiers": {"high": {"approvals": {"minimum": 2}}}},
        }
    )
    assert engine.data["retention"] == {
        "max_age_days": None,
        "datasets": {},
        "tags": {"identifier": 365},
        "purposes": {},
        "warn_days": 7,
    }


def test_the_validator_is_imported_by_who_tunes_alone():
    script = (
        "import sys; from affidavit.policies import EmbeddedEngine; EmbeddedEngine(); "
        "assert 'jsonschema' not in sys.modules; "
        "EmbeddedEngine(data={'retention': {'warn_days': 1}}); assert 'jsonschema' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_schemas_go_with_a_bundle_into_its_archive():
    from affidavit.policies import read_bundle, write_bundle

    again = read_bundle(write_bundle(open_bundle()))
    assert again.schemas == open_bundle().schemas
    with pytest.raises(ConfigurationError, match="warn_day"):
        again.with_data({"retention": {"warn_days": "soon"}})
