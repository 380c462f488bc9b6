package affidavit.consent_test

import data.affidavit.consent
import data.affidavit.purpose
import data.affidavit_test.reading

rules := {finding.rule | some finding in consent.deny}

declared(basis, given) := {"applications": {
	"purposes": ["credit-scoring", "fraud"],
	"compatible": ["monitoring"],
	"basis": basis,
	"consent": given,
}}

given(changes) := object.union({"column": "agreed", "values": ["yes"]}, changes)

for(stated) := object.union(reading, {"purpose": stated})

test_no_basis_is_asked_for_by_default if {
	consent.allow with input as reading
	consent.obligations == set() with input as reading
	consent.allow with input as object.union(reading, {"action": "model.train"})
}

test_a_basis_can_be_required if {
	rules == {"purpose.basis_missing"} with data.purpose.require_basis as true with input as reading
	rules == {"purpose.basis_missing"} with data.purpose.require_basis as "no" with input as reading
	consent.allow with data.purpose.require_basis as true
		with data.purpose.datasets as declared("contract", {})
		with input as reading
	consent.allow with data.purpose.require_basis as true
		with input as object.union(reading, {"action": "model.train"})
}

test_a_basis_is_of_its_purpose if {
	tables := declared({"credit-scoring": "contract"}, {})
	consent.allow with data.purpose.datasets as tables with input as reading
	rules == {"purpose.basis_missing"} with data.purpose.datasets as tables with input as for("fraud")
}

test_a_basis_is_one_of_the_six if {
	every word in ["curiosity", "Consent", ""] {
		rules == {"purpose.basis_unknown"} with data.purpose.datasets as declared(word, {}) with input as reading
		not consent.allow with data.purpose.datasets as declared(word, {}) with input as reading
	}
	every word in consent.bases {
		consent.allow with data.purpose.datasets as declared(word, given({})) with input as reading
	}
}

test_consent_keeps_the_rows_of_those_who_gave_it if {
	found := consent.obligations with data.purpose.datasets as declared("consent", given({})) with input as reading
	found == {{"kind": "keep_rows", "columns": ["agreed"], "parameters": {"values": ["yes"]}}}
	none := consent.obligations with data.purpose.datasets as declared("contract", given({})) with input as reading
	none == set()
}

test_consent_needs_a_column_and_values if {
	every broken in [
		{}, {"column": "agreed"}, {"column": " ", "values": ["yes"]}, {"column": "agreed", "values": []},
		{"column": "agreed", "values": "yes"}, {"column": "agreed", "values": [true]},
	] {
		"purpose.consent_undeclared" in rules with data.purpose.datasets as declared("consent", broken)
			with input as reading
		not consent.allow with data.purpose.datasets as declared("consent", broken) with input as reading
	}
}

test_the_column_must_be_among_the_data_once_they_are_read if {
	read := object.union(reading, {"resource": {"digest": "sha256:00"}})
	rules == {"purpose.consent_column_missing"} with data.purpose.datasets as declared("consent", given({}))
		with input as read
	consent.allow with data.purpose.datasets as declared("consent", given({}))
		with input as object.union(read, {"columns": [{"name": "agreed", "tags": []}]})
}

expiring(at) := declared("consent", given({"expires": at}))

withdrawn(at) := declared("consent", given({"withdrawn": at}))

# The request's time is 2026-11-21T10:00:00Z.
test_consent_that_expired_or_was_withdrawn_denies if {
	consent.allow with data.purpose.datasets as expiring("2026-11-21T10:00:01Z") with input as reading
	rules == {"purpose.consent_expired"} with data.purpose.datasets as expiring("2026-11-21T10:00:00Z")
		with input as reading
	rules == {"purpose.consent_expired"} with data.purpose.datasets as expiring("someday") with input as reading
}

test_a_withdrawal_counts_from_its_instant if {
	every at in ["2026-11-21T10:00:01Z", false, null] {
		consent.allow with data.purpose.datasets as withdrawn(at) with input as reading
	}
	every at in ["2026-11-21T10:00:00Z", true, "yes", 7] {
		rules == {"purpose.consent_withdrawn"} with data.purpose.datasets as withdrawn(at) with input as reading
	}
}

test_a_compatible_purpose_is_permitted_and_told if {
	tables := declared({"credit-scoring": "contract", "monitoring": "legitimate_interests"}, {})
	purpose.allow with data.purpose.datasets as tables with input as for("monitoring")
	consent.allow with data.purpose.datasets as tables with input as for("monitoring")
	{finding.rule | some finding in purpose.warn} == {"purpose.compatible"} with data.purpose.datasets as tables
		with input as for("monitoring")
	not purpose.allow with data.purpose.datasets as tables with input as for("marketing")
}

test_consent_does_not_carry_a_compatible_purpose if {
	"purpose.consent_not_transferable" in rules with data.purpose.datasets as declared("consent", given({}))
		with input as for("monitoring")
	one := declared({"credit-scoring": "consent"}, given({}))
	"purpose.consent_not_transferable" in rules with data.purpose.datasets as one with input as for("monitoring")
	own := declared({"credit-scoring": "consent", "monitoring": "legal_obligation"}, given({}))
	consent.allow with data.purpose.datasets as own with input as for("monitoring")
}

test_a_dataset_may_declare_its_own_basis_and_the_data_go_before_it if {
	own := object.union(reading, {"resource": {"attributes": {"lawful_basis": "consent", "consent": given({})}}})
	count(consent.obligations) == 1 with input as own
	count(consent.obligations) == 0 with data.purpose.datasets as declared("contract", {}) with input as own
	rules == {"purpose.basis_unknown"} with input as object.union(own, {"resource": {"attributes": {"lawful_basis": "x"}}})
}
