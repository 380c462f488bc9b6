package affidavit.framework_gate_test

import data.affidavit
import data.affidavit.framework_gate
import data.affidavit.promotion_test.asking

declaring(names) := object.union(asking, {"resource": {"attributes": {"frameworks": names}}})

rules(findings) := {finding.rule | some finding in findings}

test_a_missing_clause_warns_by_default if {
	outcome := affidavit.promote with input as declaring(["nist_ai_rmf"])
	outcome.allow
	rules(outcome.warn) == {"frameworks.missing", "frameworks.open"}
}

test_a_missing_clause_denies_where_the_data_say_so if {
	outcome := affidavit.promote with input as declaring(["nist_ai_rmf"]) with data.promotion.frameworks as "deny"
	not outcome.allow
	rules(outcome.deny) == {"frameworks.missing"}
	{f.clause | some f in outcome.deny} & {"NIST AI RMF MEASURE 2"} != set()
}

test_anything_but_warn_denies if {
	not affidavit.promote.allow with input as declaring(["nist_ai_rmf"]) with data.promotion.frameworks as "Warn"
	not affidavit.promote.allow with input as declaring(["nist_ai_rmf"])
		with data.promotion as object.remove(data.promotion, ["frameworks"])
}

test_one_model_can_be_stricter if {
	models := {"credit-risk": {"frameworks": "deny"}}
	not affidavit.promote.allow with input as declaring(["nist_ai_rmf"]) with data.promotion.models as models
}

test_an_unknown_framework_denies_at_the_gate if {
	outcome := affidavit.promote with input as declaring(["none-such"])
	rules(outcome.deny) == {"frameworks.unknown"}
	"frameworks.declaration" in rules(framework_gate.deny) with input as declaring("nist_ai_rmf")
}

test_what_is_open_is_told_once_for_each_framework if {
	outcome := affidavit.promote with input as declaring(["nist_ai_rmf", "iso_42001"])
	{f.clause | some f in outcome.warn; f.rule == "frameworks.open"} == {"NIST AI RMF", "ISO/IEC 42001"}
}
