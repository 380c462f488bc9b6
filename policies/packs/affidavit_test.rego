package affidavit_test

import data.affidavit

base := {
	"actor": {"id": "ada", "roles": []},
	"purpose": "credit-scoring",
	"columns": [{"name": "income", "tags": []}],
	"environment": "development",
	"time": "2026-11-21T10:00:00Z",
	"request_id": "r-1",
}

reading := object.union(base, {"action": "data.read", "resource": dataset})

dataset := {"kind": "dataset", "name": "applications", "digest": "", "tags": []}

model := {"kind": "model", "name": "credit-risk", "digest": "", "tags": []}

on_model(action) := object.union(base, {"action": action, "resource": model, "purpose": ""})

rules(outcome) := {finding.rule | some finding in outcome.deny}

# What the shipped data allow to somebody who configured nothing.
test_a_new_user_may_read_train_and_serve if {
	affidavit.data_read.allow with input as reading
	affidavit.train.allow with input as on_model("model.train")
	affidavit.serve.allow with input as on_model("model.serve")
	affidavit.load.allow with input as on_model("model.load")
}

test_no_input_denies_everywhere if {
	not affidavit.data_read.allow
	not affidavit.train.allow
	not affidavit.serve.allow
	not affidavit.load.allow
	not affidavit.promote.allow
	not affidavit.disclose.allow
}

test_each_missing_field_denies if {
	every field in object.keys(reading) {
		not affidavit.data_read.allow with input as object.remove(reading, [field])
	}
}

test_an_entry_point_refuses_another_action if {
	outcome := affidavit.train with input as reading
	not outcome.allow
	"request.entrypoint" in rules(outcome)
}

test_a_denial_hands_out_no_obligations if {
	tagged := [{"name": "id", "tags": ["identifier", "unheard-of"]}]
	outcome := affidavit.data_read with input as object.union(reading, {"columns": tagged})
	not outcome.allow
	count(outcome.obligations) == 0
}

test_a_disclosure_is_logged_in_full if {
	request := object.union(base, {
		"action": "record.disclose",
		"actor": {"id": "eve", "roles": ["auditor"]},
		"purpose": "audit",
		"resource": {"kind": "record", "name": "p-1", "digest": "", "tags": []},
	})
	outcome := affidavit.disclose with input as request
	outcome.allow
	{"kind": "log_full", "columns": [], "parameters": {}} in outcome.obligations
	not affidavit.disclose.allow with input as object.union(request, {"purpose": "curiosity"})
	not affidavit.disclose.allow with input as object.union(request, {"actor": {"id": "eve", "roles": []}})
}
