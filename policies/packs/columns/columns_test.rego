package affidavit.columns_test

import data.affidavit.columns
import data.affidavit_test.reading

having(tags) := object.union(reading, {"columns": [{"name": "b", "tags": tags}, {"name": "a", "tags": tags}]})

kinds := {obligation.kind | some obligation in columns.obligations}

rules := {finding.rule | some finding in columns.deny}

test_untagged_columns_pass if {
	columns.allow with input as having([])
	columns.obligations == set() with input as having([])
}

test_each_shipped_tag_leads_to_its_obligation if {
	expected := {
		"public": set(), "internal": set(), "target": set(), "personal": set(),
		"identifier": {"pseudonymise"}, "contact": {"drop"}, "secret": {"drop"}, "free_text": {"mask"},
		"quasi_identifier": {"generalise"}, "birth_date": {"generalise"},
		"sensitive": {"exclude_as_feature"}, "proxy": {"exclude_as_feature"}, "special_category": {"mask"},
	}
	object.keys(expected) == object.keys(data.columns.tags)
	every tag, wanted in expected {
		kinds == wanted with input as having([tag])
		columns.allow with input as having([tag])
	}
}

test_columns_of_one_effect_are_named_together if {
	found := columns.obligations with input as having(["identifier"])
	found == {{"kind": "pseudonymise", "columns": ["a", "b"], "parameters": {"key": "default"}}}
}

test_purpose_decides_on_special_categories if {
	kinds == {"exclude_as_feature"} with input as object.union(having(["special_category"]), {"purpose": "bias-detection"})
}

test_role_decides_on_disclosure if {
	request := object.union(having(["identifier"]), {"action": "record.disclose"})
	kinds == set() with input as object.union(request, {"actor": {"roles": ["auditor"]}})
	kinds == {"pseudonymise"} with input as request
}

test_an_unknown_tag_denies if {
	"columns.unknown_tag" in rules with input as having(["personal", "pii"])
	not columns.allow with input as having(["pii"])
}

test_a_tag_without_a_fitting_rule_denies if {
	tags := {"odd": {"rules": [{"actions": ["data.read"], "purposes": ["x"], "roles": ["*"], "obligation": "none"}]}}
	"columns.no_rule" in rules with data.columns.tags as tags with input as having(["odd"])
	"columns.no_rule" in rules with data.columns.tags as {"odd": {"rules": [{"obligation": "none"}]}}
		with input as having(["odd"])
}

bare := object.union(having(["personal"]), {"columns": [{"name": "a", "tags": ["personal"]}, {"name": "b", "tags": []}]})

warned := {w.rule | some w in columns.warn}

test_an_untagged_column_is_let_pass_noted_or_denied_as_the_data_say if {
	columns.allow with input as bare
	warned == set() with input as bare
	columns.allow with input as bare with data.columns.untagged as "warn"
	warned == {"columns.untagged_noted"} with input as bare with data.columns.untagged as "warn"
	rules == {"columns.untagged"} with input as bare with data.columns.untagged as "deny"
	not columns.allow with input as bare with data.columns.untagged as "deny"
}

test_what_is_done_with_untagged_columns_must_be_said if {
	"columns.untagged" in rules with input as bare with data.columns.untagged as null
}

test_only_reads_need_tags if {
	columns.allow with input as object.union(bare, {"action": "model.train"}) with data.columns.untagged as "deny"
}
