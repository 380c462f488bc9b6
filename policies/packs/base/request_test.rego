package affidavit.request_test

import data.affidavit.request
import data.affidavit_test.reading

rules := {finding.rule | some finding in request.deny}

test_a_whole_request_is_accepted if request.allow with input as reading

test_a_blank_actor_denies if {
	"request.actor" in rules with input as object.union(reading, {"actor": {"id": " ", "roles": []}})
}

test_a_role_that_is_not_text_denies if {
	"request.actor" in rules with input as object.union(reading, {"actor": {"id": "a", "roles": [1]}})
}

test_an_unknown_action_denies if {
	"request.action" in rules with input as object.union(reading, {"action": "data.delete"})
	"request.action" in rules with input as object.union(reading, {"action": 7})
}

test_a_resource_of_another_kind_denies if {
	"request.resource" in rules with input as object.union(reading, {"resource": {"kind": "model"}})
	"request.resource" in rules with input as object.union(reading, {"resource": {"tags": [""]}})
}

test_an_unknown_environment_denies if {
	"request.environment" in rules with input as object.union(reading, {"environment": "prod"})
}

test_a_time_without_z_denies if {
	"request.time" in rules with input as object.union(reading, {"time": "2026-11-21T10:00:00+00:00"})
}

test_a_missing_request_id_denies if {
	"request.id" in rules with input as object.union(reading, {"request_id": ""})
	"request.id" in rules with input as object.remove(reading, ["request_id"])
}

test_malformed_columns_deny if {
	"request.columns" in rules with input as object.union(reading, {"columns": {"a": []}})
	"request.columns" in rules with input as object.union(reading, {"columns": [{"name": "a", "tags": [" "]}]})
	"request.columns" in rules with input as object.union(reading, {"columns": [{"name": "", "tags": []}]})
}

test_a_column_listed_twice_denies if {
	twice := [{"name": "a", "tags": ["secret"]}, {"name": "a", "tags": []}]
	"request.columns_duplicate" in rules with input as object.union(reading, {"columns": twice})
}
