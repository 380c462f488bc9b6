package affidavit.serving_test

import data.affidavit.serving
import data.affidavit_test.on_model

in_production(action, evidence) := object.union(on_model(action), {"environment": "production", "evidence": evidence})

verdict := {"verified": true, "allowed": true}

rules := {finding.rule | some finding in serving.deny}

test_development_serves_unpromoted_models_with_a_warning if {
	serving.allow with input as on_model("model.serve")
	count(serving.warn) == 1 with input as on_model("model.serve")
}

test_production_serves_only_promoted_models if {
	serving.allow with input as in_production("model.serve", {"verdict": verdict})
	every evidence in [
		{}, {"verdict": null}, {"verdict": {"verified": true}}, {"verdict": {"verified": "true", "allowed": true}},
		{"verdict": {"verified": true, "allowed": false}},
	] {
		"serving.not_promoted" in rules with input as in_production("model.serve", evidence)
	}
}

test_production_loads_only_verified_artifacts if {
	serving.allow with input as in_production("model.load", {"verdict": verdict, "artifact": {"verified": true}})
	"serving.artifact_unverified" in rules with input as in_production("model.load", {"verdict": verdict})
}

test_a_bad_artifact_denies_everywhere if {
	bad := object.union(on_model("model.load"), {"evidence": {"artifact": {"verified": false}}})
	"serving.artifact_unverified" in rules with input as bad
}

test_a_verdict_that_lapsed_with_its_waiver_says_so if {
	lapsed := {"verdict": {"verified": true, "allowed": false, "lapsed": "2026-11-01T00:00:00Z"}}
	rules == {"serving.not_promoted", "serving.waiver_expired"} with input as in_production("model.serve", lapsed)
	serving.allow with input as object.union(on_model("model.serve"), {"evidence": lapsed})
}

test_an_unreadable_setting_denies if {
	"serving.not_promoted" in rules with data.serving.require_promotion_in as null with input as on_model("model.serve")
}
