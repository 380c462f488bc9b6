package affidavit.gdpr_test

import data.affidavit
import data.affidavit.promotion_test
import data.affidavit_test.on_model
import data.affidavit_test.reading

rules(outcome) := {finding.rule | some finding in outcome.deny}

special := object.union(reading, {"resource": {"tags": ["gdpr"]}, "columns": [{"name": "faith", "tags": ["special_category"]}]})

test_a_special_category_needs_a_named_condition if {
	outcome := affidavit.data_read with input as special
	rules(outcome) == {"gdpr.special_category"}
	affidavit.data_read.allow with input as special with data.gdpr.conditions as {"credit-scoring": "9(2)(a)"}
	not affidavit.data_read.allow with input as special with data.gdpr.conditions as {"credit-scoring": "9(2)(z)"}
	not affidavit.data_read.allow with input as special with data.gdpr.conditions as {"other": "9(2)(a)"}
}

test_one_name_in_place_of_a_list_is_in_scope if {
	one := {"resource": {"tags": [], "attributes": {"frameworks": "gdpr"}}}
	not affidavit.data_read.allow with input as object.union(special, one)
}

test_without_special_categories_no_condition_is_asked_for if {
	affidavit.data_read.allow with input as object.union(special, {"columns": []})
}

test_out_of_scope_nothing_is_asked if {
	affidavit.data_read.allow with input as object.union(special, {"resource": {"tags": []}})
	affidavit.serve.allow with input as system("model.serve", {"frameworks": [], "automated_decision": true})
}

system(action, attributes) := object.union(on_model(action), {"resource": {"attributes": object.union({"frameworks": ["gdpr"]}, attributes)}})

safeguards := {"automated_decision": true, "automated_decision_basis": "consent", "human_review": "call 123"}

test_a_decision_by_machine_alone_needs_its_safeguards if {
	every lacking in ["automated_decision_basis", "human_review"] {
		outcome := affidavit.serve with input as system("model.serve", object.remove(safeguards, [lacking]))
		rules(outcome) == {"gdpr.automated_decision"}
	}
	affidavit.serve.allow with input as system("model.serve", safeguards)
	affidavit.serve.allow with input as system("model.serve", {"automated_decision": false})
	not affidavit.serve.allow with input as system("model.serve", object.union(safeguards, {"automated_decision_basis": "interest"}))
}

record := {
	"owner": "Retail", "purpose": "credit-scoring", "data_subjects": ["applicants"], "data_categories": ["income"],
	"recipients": ["none"], "retention": "P2Y", "automated_decision": false,
}

promoting(attributes) := object.union(promotion_test.asking, {"resource": {"attributes": object.union({"frameworks": ["gdpr"]}, attributes)}})

test_the_record_of_processing_is_complete if {
	affidavit.promote.allow with input as promoting(record)
	every field in data.gdpr.record {
		outcome := affidavit.promote with input as promoting(object.remove(record, [field]))
		rules(outcome) == {"gdpr.record"}
		emptied := affidavit.promote with input as promoting(object.union(record, {field: []}))
		"gdpr.record" in rules(emptied)
	}
}

test_silence_on_automation_warns if {
	outcome := affidavit.promote with input as promoting(object.remove(record, ["automated_decision"]))
	"gdpr.automated_decision_undeclared" in {finding.rule | some finding in outcome.warn}
}
