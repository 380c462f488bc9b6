package affidavit.kanonymity_test

import data.affidavit.kanonymity
import data.affidavit_test.reading

columns := [
	{"name": "zip", "tags": ["quasi_identifier"]},
	{"name": "born", "tags": ["birth_date"]},
	{"name": "income", "tags": []},
]

releasing := object.union(reading, {"purpose": "release", "columns": columns})

measured(rows) := object.union(releasing, {"resource": {"digest": "sha256:00"}, "measures": {"rows": rows}})

rules := {finding.rule | some finding in kanonymity.deny}

test_training_is_not_bound_by_default if {
	kanonymity.allow with input as object.union(reading, {"columns": columns})
	kanonymity.obligations == set() with input as object.union(reading, {"columns": columns})
}

test_a_release_suppresses_groups_of_fewer_than_eleven if {
	every purpose in ["release", "publication", "open-data", " Release "] {
		found := kanonymity.obligations with input as object.union(releasing, {"purpose": purpose})
		found == {{
			"kind": "suppress_small_cells", "columns": ["born", "zip"],
			"parameters": {"k": 11, "max_share": 0.1},
		}}
	}
	found := kanonymity.obligations with input as object.union(releasing, {"purpose": "sharing"})
	{obligation.parameters.k | some obligation in found} == {5}
}

test_a_release_of_few_rows_is_denied if {
	kanonymity.allow with input as measured(100)
	rules == {"kanonymity.too_few_rows"} with input as measured(99)
	not kanonymity.allow with input as measured(99)
}

test_rows_must_be_measured_once_the_content_is_known if {
	kanonymity.allow with input as releasing
	every request in [measured("100"), object.remove(measured(100), ["measures"])] {
		rules == {"kanonymity.rows_unknown"} with input as request
	}
}

test_a_release_without_tagged_columns_is_warned_of if {
	bare := object.union(releasing, {"columns": [{"name": "income", "tags": []}]})
	{finding.rule | some finding in kanonymity.warn} == {"kanonymity.untagged"} with input as bare
	kanonymity.warn == set() with input as releasing
}

test_rules_can_ask_for_role_action_and_dataset if {
	asked := [{"roles": ["auditor"], "resources": ["applications"], "k": 20, "max_share": 0.5, "min_rows": 0}]
	auditing := object.union(releasing, {"actor": {"roles": ["auditor"]}})
	count(kanonymity.obligations) == 1 with data.kanonymity.rules as asked with input as auditing
	count(kanonymity.obligations) == 0 with data.kanonymity.rules as asked with input as releasing
	other := object.union(auditing, {"resource": {"name": "other"}})
	count(kanonymity.obligations) == 0 with data.kanonymity.rules as asked with input as other
}

test_rules_that_cannot_be_read_deny if not kanonymity.allow with data.kanonymity.rules as null with input as releasing
