package affidavit.promotion_test

import data.affidavit
import data.affidavit.promotion
import data.affidavit_test.on_model

evidence := {
	"provenance": {"verified": true, "time": "2026-11-20T10:00:00Z", "trainer": "ada"},
	"evaluations": [{"verified": true, "time": "2026-11-20T11:00:00Z", "metrics": {"auc": 0.81}}],
	"fairness": [{
		"verified": true, "features": ["sex"], "demographic_parity_ratio": 0.9, "lower": 0.82, "upper": 0.97,
		"assessment": "pass", "min_n": 200, "time": "2026-11-20T12:00:00Z",
	}],
	"explanations": [{"verified": true, "residual_max": 1e-9, "tolerance": 1e-6, "time": "2026-11-20T12:00:00Z"}],
	"approvals": [{"verified": true, "approver": "bob", "outcome": "approved", "time": "2026-11-21T09:00:00Z"}],
}

asking := object.union(on_model("model.promote"), {"evidence": evidence, "declared": {"sensitive": ["sex"]}})

with_evidence(changes) := json.patch(asking, changes)

rules := {finding.rule | some finding in affidavit.promote.deny}

denied_by(rule, changes) if rules == {rule} with input as with_evidence(changes)

test_whole_evidence_promotes if {
	affidavit.promote.allow with input as asking
	affidavit.promote.warn == set() with input as asking
}

test_no_evidence_names_each_missing_piece if {
	wanted := {
		"promotion.provenance_missing", "promotion.evaluation_missing", "promotion.fairness_missing",
		"promotion.explanation_missing", "promotion.approval_missing",
	}
	rules == wanted with input as object.union(object.remove(asking, ["evidence"]), {"evidence": {}})
}

test_each_flaw_has_its_own_rule if {
	denied_by("promotion.provenance_stale", [{"op": "replace", "path": "/evidence/provenance/time", "value": "2026-01-01T00:00:00Z"}])
	denied_by("promotion.provenance_stale", [{"op": "replace", "path": "/evidence/provenance/time", "value": "2026-12-01T00:00:00Z"}])
	denied_by("promotion.provenance_unverified", [{"op": "replace", "path": "/evidence/provenance/verified", "value": "true"}])
	denied_by("promotion.evaluation_missing", [{"op": "replace", "path": "/evidence/evaluations/0/verified", "value": false}])
	denied_by("promotion.fairness_missing", [{"op": "replace", "path": "/evidence/fairness/0/features", "value": ["race"]}])
	denied_by("promotion.fairness_ratio", [{"op": "replace", "path": "/evidence/fairness/0/demographic_parity_ratio", "value": null}])
	denied_by("promotion.fairness_ratio", [{"op": "replace", "path": "/evidence/fairness/0/demographic_parity_ratio", "value": 0.79}])
	denied_by("promotion.fairness_assessment", [{"op": "replace", "path": "/evidence/fairness/0/assessment", "value": "fail"}])
	denied_by("promotion.fairness_undeclared", [{"op": "remove", "path": "/declared/sensitive"}])
	denied_by("promotion.explanation_residual", [{"op": "replace", "path": "/evidence/explanations/0/residual_max", "value": 0.1}])
	denied_by("promotion.explanation_residual", [{"op": "replace", "path": "/evidence/explanations/0/tolerance", "value": 10}])
	denied_by("promotion.approval_missing", [{"op": "replace", "path": "/evidence/approvals/0/verified", "value": false}])
	denied_by("promotion.approval_missing", [{"op": "replace", "path": "/evidence/approvals/0/approver", "value": " ADA"}])
	denied_by("promotion.approval_missing", [{"op": "replace", "path": "/evidence/approvals/0/time", "value": "soon"}])
	denied_by("promotion.approval_missing", [{"op": "replace", "path": "/evidence/approvals/0/outcome", "value": "withdrawn"}])
	denied_by("promotion.approval_missing", [{"op": "remove", "path": "/evidence/approvals/0/outcome"}])
	denied_by("promotion.approval_missing", [{"op": "add", "path": "/evidence/provenance/makers", "value": ["ada", "Bob "]}])
}

test_the_trainers_own_approval_is_named if {
	own := [{"op": "replace", "path": "/evidence/approvals/0/approver", "value": "ada"}]
	"promotion.self_approval" in {f.rule | some f in promotion.warn} with input as with_evidence(own)
}

test_one_person_approving_twice_is_one if {
	twice := [{"op": "add", "path": "/evidence/approvals/-", "value": {"verified": true, "approver": "BOB", "outcome": "approved", "time": "2026-11-21T09:00:00Z"}}]
	rules == {"promotion.approval_missing"} with input as with_evidence(twice) with data.promotion.approvals.minimum as 2
	two := [{"op": "add", "path": "/evidence/approvals/-", "value": {"verified": true, "approver": "cyd", "outcome": "approved", "time": "2026-11-21T09:00:00Z"}}]
	rules == set() with input as with_evidence(two) with data.promotion.approvals.minimum as 2
}

test_thresholds_hold_for_the_newest_evaluation if {
	metrics := {"auc": {"min": 0.8}}
	rules == set() with input as asking with data.promotion.metrics as metrics
	newer := [{"op": "add", "path": "/evidence/evaluations/-", "value": {"verified": true, "time": "2026-11-20T11:00:01Z", "metrics": {"auc": 0.7}}}]
	rules == {"promotion.metric"} with input as with_evidence(newer) with data.promotion.metrics as metrics
	rules == {"promotion.metric"} with input as asking with data.promotion.metrics as {"brier": {"max": 0.2}}
	rules == {"promotion.metric"} with input as asking with data.promotion.metrics as {"auc": {"max": 0.2}}
	rules == set() with input as asking with data.promotion.metrics as {"auc": {"min": 0.8, "max": 0.9}}
	rules == {"promotion.metric"} with input as asking with data.promotion.metrics as {"auc": {"least": 0.2}}
	rules == {"promotion.metric"} with input as asking with data.promotion.metrics as {"auc": {}}
}

test_a_model_can_have_settings_of_its_own if {
	models := {"credit-risk": {"fairness": {"min_ratio": 0.95}}}
	rules == {"promotion.fairness_ratio"} with input as asking with data.promotion.models as models
	rules == set() with input as asking with data.promotion.models as {"other": {"fairness": {"min_ratio": 0.95}}}
}

test_evidence_is_waived_only_by_an_explicit_false if {
	none := {"provenance": false, "evaluation": false, "fairness": false, "explanation": false, "approval": false}
	bare := object.union(object.remove(asking, ["evidence", "declared"]), {"evidence": {}})
	affidavit.promote.allow with input as bare with data.promotion.require as none
	not affidavit.promote.allow with input as bare with data.promotion.require as {}
}

test_doubt_and_small_groups_warn if {
	doubtful := [
		{"op": "replace", "path": "/evidence/fairness/0/assessment", "value": "insufficient evidence"},
		{"op": "replace", "path": "/evidence/fairness/0/min_n", "value": 5},
	]
	outcome := affidavit.promote with input as with_evidence(doubtful)
	outcome.allow
	{f.rule | some f in outcome.warn} == {"promotion.fairness_doubtful", "promotion.fairness_small_group"}
}

test_declaring_nothing_warns_or_denies if {
	none := [{"op": "replace", "path": "/declared/sensitive", "value": []}]
	outcome := affidavit.promote with input as with_evidence(none)
	outcome.allow
	{f.rule | some f in outcome.warn} == {"promotion.fairness_none_declared"}
	rules == {"promotion.fairness_undeclared"} with input as with_evidence(none)
		with data.promotion.fairness.require_declared as true
}

test_a_provenance_without_a_time_is_stale if {
	denied_by("promotion.provenance_stale", [{"op": "remove", "path": "/evidence/provenance/time"}])
}

test_lineage_can_be_required if {
	required := object.union(data.promotion.require, {"lineage": true})
	every lineage in [
		{}, {"verified": true, "inputs": 0, "ungoverned": 0}, {"verified": true, "inputs": 2, "ungoverned": 1},
		{"verified": "true", "inputs": 2, "ungoverned": 0}, {"verified": true, "inputs": 2},
	] {
		rules == {"promotion.lineage"} with input as with_evidence([{"op": "add", "path": "/evidence/lineage", "value": lineage}])
			with data.promotion.require as required
	}
	rules == {"promotion.lineage"} with input as asking with data.promotion.require as required
	whole := {"verified": true, "inputs": 2, "ungoverned": 0}
	affidavit.promote.allow with input as with_evidence([{"op": "add", "path": "/evidence/lineage", "value": whole}])
		with data.promotion.require as required
}

test_a_signature_can_be_required if {
	required := object.union(data.promotion.require, {"signature": true})
	rules == {"promotion.signature"} with input as asking with data.promotion.require as required
	every verified in [false, "true", null] {
		changes := [{"op": "add", "path": "/evidence/signature", "value": {"verified": verified}}]
		rules == {"promotion.signature"} with input as with_evidence(changes) with data.promotion.require as required
	}
	signed := [{"op": "add", "path": "/evidence/signature", "value": {"verified": true}}]
	affidavit.promote.allow with input as with_evidence(signed) with data.promotion.require as required
}

tiered(tier) := with_evidence([{"op": "add", "path": "/resource/attributes", "value": {"tier": tier}}])

test_a_tier_has_settings_of_its_own if {
	tiers := {"high": {"approvals": {"minimum": 2}}, "low": {"require": {"approval": false, "fairness": false}}}
	rules == {"promotion.approval_missing"} with input as tiered("high") with data.promotion.tiers as tiers
	affidavit.promote.allow with input as tiered("low") with data.promotion.tiers as tiers
	affidavit.promote.allow with input as tiered("high") with data.promotion.tiers as tiers
		with data.promotion.models as {"credit-risk": {"approvals": {"minimum": 1}}}
}

test_a_model_without_one_of_the_tiers_is_denied_where_tiers_are_set if {
	tiers := {"high": {"approvals": {"minimum": 1}}}
	every request in [asking, tiered("hihg"), tiered(7), tiered(["high"])] {
		rules == {"promotion.tier_unknown"} with input as request with data.promotion.tiers as tiers
	}
	twice := [
		{"op": "add", "path": "/resource/attributes", "value": {"tier": "high"}},
		{"op": "replace", "path": "/resource/tags", "value": ["tier:low"]},
	]
	rules == {"promotion.tier_unknown"} with input as with_evidence(twice) with data.promotion.tiers as tiers
	affidavit.promote.allow with input as tiered("hihg")
}
