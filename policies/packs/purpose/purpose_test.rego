package affidavit.purpose_test

import data.affidavit.purpose
import data.affidavit_test.reading

for(stated) := object.union(reading, {"purpose": stated})

declared := {"applications": {"purposes": ["credit-scoring"], "max_rows": 100}}

rules := {finding.rule | some finding in purpose.deny}

test_an_undeclared_dataset_takes_any_stated_purpose if purpose.allow with input as for("whatever it is")

test_a_purpose_must_be_stated if {
	every nothing in ["", "  ", null, 7, ["a"]] {
		"purpose.missing" in rules with input as for(nothing)
	}
	not purpose.allow with input as object.remove(reading, ["purpose"])
}

test_what_is_done_with_a_model_needs_no_purpose if {
	training := object.union(for(""), {"action": "model.train"})
	purpose.allow with input as training
	not purpose.allow with input as object.remove(training, ["purpose"])
	not purpose.allow with input as object.union(training, {"purpose": "social-scoring"})
}

test_a_declared_dataset_takes_only_its_own if {
	purpose.allow with data.purpose.datasets as declared with input as for("credit-scoring")
	"purpose.not_permitted" in rules with data.purpose.datasets as declared with input as for("marketing")
}

test_undeclared_datasets_can_be_refused if {
	"purpose.not_permitted" in rules with data.purpose.require_declared as true with input as for("research")
}

test_prohibited_purposes_deny_however_written if {
	every stated in ["social-scoring", " Social-Scoring"] {
		"purpose.prohibited" in rules with input as for(stated)
	}
}

test_a_row_limit_becomes_an_obligation if {
	found := purpose.obligations with data.purpose.datasets as declared with input as reading
	found == {{"kind": "limit_rows", "columns": [], "parameters": {"rows": 100}}}
}

test_a_purpose_that_is_not_text_is_not_quoted if {
	messages := {f.message | some f in purpose.deny} with input as object.union(reading, {"resource": {"name": 7}})
		with data.purpose.require_declared as true
	some message in messages
	contains(message, "(not a string)")
}
