package affidavit.waivers_test

import data.affidavit
import data.affidavit.promotion_test
import data.affidavit.waivers

digest := "sha256:aa"

waiver := {
	"id": "01f0", "verified": true, "withdrawn": false, "person": "wanda", "model": "credit-risk", "digest": digest,
	"stage": "promote", "rules": ["promotion.metric"], "reason": "a \"pilot\"",
	"time": "2026-11-20T12:00:00Z", "expires": "2026-12-01T00:00:00Z",
}

# Evidence that fails one metric, and nothing else.
failing := object.union(promotion_test.asking, {
	"resource": object.union(promotion_test.asking.resource, {"digest": digest}),
	"evidence": {"evaluations": [{"verified": true, "time": "2026-11-20T11:00:00Z", "metrics": {"auc": 0.7}}]},
})

metrics := {"auc": {"min": 0.8}}

with_waivers(list) := object.union(failing, {"evidence": {"waivers": list}})

changed(change) := with_waivers([object.union(waiver, change)])

denied := {finding.rule | some finding in affidavit.promote.deny}

warned := {finding.rule | some finding in affidavit.promote.warn}

test_without_a_waiver_the_metric_denies if {
	not affidavit.promote.allow with input as failing with data.promotion.metrics as metrics
	denied == {"promotion.metric"} with input as failing with data.promotion.metrics as metrics
}

test_a_waiver_lets_the_model_pass_and_says_so if {
	outcome := affidavit.promote with input as with_waivers([waiver]) with data.promotion.metrics as metrics
	outcome.allow == true
	count(outcome.deny) == 0
	outcome.warn == {{
		"rule": "waiver.applied",
		"message": "01f0 waives promotion.metric: The metric \"auc\" is missing or outside its threshold. Waived by \"wanda\" until 2026-12-01T00:00:00Z: \"a \\\"pilot\\\"\".",
		"severity": "high",
		"clause": "EU AI Act Art. 15(1)",
	}}
}

does_not_count(rule, change) if {
	denied == {"promotion.metric"} with input as changed(change) with data.promotion.metrics as metrics
	warned == {rule} with input as changed(change) with data.promotion.metrics as metrics
}

test_whatever_a_waiver_lacks_has_its_own_warning if {
	does_not_count("waiver.unverified", {"verified": false})
	does_not_count("waiver.unverified", {"verified": "true"})
	does_not_count("waiver.unverified", {"withdrawn": true})
	does_not_count("waiver.unverified", {"withdrawn": null})
	does_not_count("waiver.unverified", {"reason": " "})
	does_not_count("waiver.unverified", {"person": 7})
	does_not_count("waiver.unverified", {"id": ""})
	does_not_count("waiver.unverified", {"rules": {"a": "promotion.metric"}})
	does_not_count("waiver.unverified", {"rules": "promotion.metric"})
	does_not_count("waiver.other_model", {"digest": "sha256:bb"})
	does_not_count("waiver.other_model", {"model": "credit-risk-2"})
	does_not_count("waiver.other_model", {"stage": "deploy"})
	does_not_count("waiver.not_in_force", {"time": "2026-11-21T10:00:01Z"})
	does_not_count("waiver.not_in_force", {"expires": "2026-11-21T10:00:00Z"})
	does_not_count("waiver.not_in_force", {"expires": "2026-11-21T12:00:00+02:00"})
	does_not_count("waiver.too_long", {"expires": "2026-12-20T12:00:01Z"})
	does_not_count("waiver.too_long", {"time": "2020-01-01T00:00:00Z"})
	does_not_count("waiver.not_independent", {"person": " ADA "})
	does_not_count("waiver.not_independent", {"person": "Bob"})
	does_not_count("waiver.not_waivable", {"rules": ["promotion.*"]})
	does_not_count("waiver.not_waivable", {"rules": ["promotion.metric "]})
	does_not_count("waiver.not_waivable", {"rules": [["promotion.metric"]]})
}

test_unreadable_times_count_for_nothing if {
	every time in ["", "soon", "2026-11-20", null, 5, "9999-99-99T00:00:00Z"] {
		denied == {"promotion.metric"} with input as changed({"time": time}) with data.promotion.metrics as metrics
		denied == {"promotion.metric"} with input as changed({"expires": time}) with data.promotion.metrics as metrics
	}
}

test_a_clock_that_was_set_back_revives_nothing if {
	seen := object.union(with_waivers([waiver]), {"evidence": {"logged_until": "2026-12-01T00:00:00.123Z"}})
	denied == {"promotion.metric"} with input as seen with data.promotion.metrics as metrics
	earlier := object.union(with_waivers([waiver]), {"evidence": {"logged_until": "2026-11-30T23:59:59.999Z"}})
	affidavit.promote.allow with input as earlier with data.promotion.metrics as metrics
}

test_the_digest_has_to_be_known if {
	unknown := object.union(changed({"digest": ""}), {"resource": {"digest": ""}})
	denied == {"promotion.metric"} with input as unknown with data.promotion.metrics as metrics
}

test_without_a_trainer_nobody_is_independent if {
	nameless := object.union(with_waivers([waiver]), {"evidence": {"provenance": {"trainer": " "}}})
	denied == {"promotion.metric", "promotion.provenance_unverified", "promotion.approval_missing"} with input as nameless
		with data.promotion.metrics as metrics
}

test_two_denials_need_two_waivers if {
	stale := object.union(with_waivers([waiver]), {"evidence": {"provenance": {"time": "2026-01-01T00:00:00Z"}}})
	denied == {"promotion.provenance_stale"} with input as stale with data.promotion.metrics as metrics
	not affidavit.promote.allow with input as stale with data.promotion.metrics as metrics
	both := [waiver, object.union(waiver, {"id": "02", "rules": ["promotion.provenance_stale"]})]
	two := object.union(with_waivers(both), {"evidence": {"provenance": {"time": "2026-01-01T00:00:00Z"}}})
	affidavit.promote.allow with input as two with data.promotion.metrics as metrics
	other := object.union(with_waivers([waiver]), {"evidence": {"explanations": []}})
	denied == {"promotion.explanation_missing"} with input as other with data.promotion.metrics as metrics
}

test_no_data_make_integrity_and_access_waivable if {
	every rule in [
		"promotion.provenance_missing", "promotion.provenance_unverified", "promotion.settings_unreadable",
		"request.time", "access.not_permitted", "engine.timeout", "input.unserialisable", "policy.undefined",
	] {
		not waivers.waivable(rule) with data.waivers.waivable as [rule]
	}
	waivers.waivable("promotion.approval_missing") with data.waivers.waivable as ["promotion.approval_missing"]
	not waivers.waivable("promotion.metric") with data.waivers.waivable as "promotion.metric"
	not waivers.waivable("promotion.metric") with data.waivers.waivable as {"a": "promotion.metric"}
}

test_a_request_that_is_none_stays_denied if {
	every rule in ["request.time", "request.actor"] {
		asked := object.union(object.remove(changed({"rules": ["promotion.metric", rule]}), ["actor"]), {"time": "now"})
		not affidavit.promote.allow with input as asked
			with data.promotion.metrics as metrics
			with data.waivers.waivable as ["promotion.metric", rule]
	}
}

test_settings_that_cannot_be_read_deny_whatever_is_waived if {
	outcome := affidavit.promote with input as changed({"rules": ["promotion.metric", "promotion.settings_unreadable"]})
		with data.promotion.models as {"credit-risk": {"metrics": 7}}
		with data.waivers.waivable as ["promotion.metric", "promotion.settings_unreadable"]
	{finding.rule | some finding in outcome.deny} == {"promotion.settings_unreadable"}
	denied == {"promotion.metric"} with input as with_waivers([waiver])
		with data.promotion.metrics as metrics
		with data.waivers.max_days as "30"
}

test_an_approver_may_waive_where_the_data_say_so if {
	affidavit.promote.allow with input as changed({"person": "bob"})
		with data.promotion.metrics as metrics
		with data.waivers.approver_may_waive as true
	not affidavit.promote.allow with input as changed({"person": "ada"})
		with data.promotion.metrics as metrics
		with data.waivers.approver_may_waive as true
}

test_a_rule_set_that_neither_allows_nor_denies_stays_undecided if {
	waivers.settles(false, set()) == false
	waivers.settles(true, set()) == true
}

test_waivers_that_are_no_list_change_nothing if {
	every value in ["promotion.metric", null, 7, {"a": waiver}, ["promotion.metric"]] {
		asked := object.union(failing, {"evidence": {"waivers": value}})
		"promotion.metric" in denied with input as asked with data.promotion.metrics as metrics
	}
}
