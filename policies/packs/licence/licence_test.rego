package affidavit.licence_test

import data.affidavit.licence
import data.affidavit_test.reading

under(id) := object.union(reading, {"resource": {"attributes": {"licence": id}}})

researching(id) := object.union(under(id), {"purpose": "research"})

rules := {finding.rule | some finding in licence.deny}

warned := {finding.rule | some finding in licence.warn}

test_nothing_is_asked_of_what_states_no_licence if {
	licence.allow with input as reading
	licence.warn == set() with input as reading
}

test_a_required_licence_must_be_stated_and_known if {
	asked := [{"environments": ["production"], "actions": ["data.read"]}]
	here := {"environment": "production"}
	rules == {"licence.missing"} with data.licence.required as asked with input as object.union(reading, here)
	rules == {"licence.unknown"} with data.licence.required as asked
		with input as object.union(under("LicenseRef-house"), here)
	licence.allow with data.licence.required as asked with input as object.union(under("MIT"), here)
	licence.allow with data.licence.required as asked with input as reading
}

test_a_rule_admits_its_licences_alone if {
	asked := [{"purposes": ["credit-scoring"], "licences": ["CC0-1.0", "mit"]}, {"licences": ["*"]}]
	licence.allow with data.licence.rules as asked with input as under("MIT")
	licence.allow with data.licence.rules as asked with input as under("cc0-1.0")
	rules == {"licence.not_admitted"} with data.licence.rules as asked with input as under("CC-BY-4.0")
	rules == {"licence.not_admitted"} with data.licence.rules as asked with input as under(["MIT", "CC-BY-4.0"])
	licence.allow with data.licence.rules as asked with input as researching("CC-BY-4.0")
}

test_what_is_non_commercial_is_for_its_purposes_alone if {
	rules == {"licence.restricted"} with input as under("CC-BY-NC-4.0")
	licence.allow with input as researching("CC-BY-NC-4.0")
	rules == {"licence.restricted"} with input as researching("CC-BY-ND-4.0")
	licence.allow with input as object.union(under("CC-BY-NC-ND-4.0"), {"purpose": "evaluation"})
	rules == {"licence.restricted"} with input as object.remove(under("cc-by-nc-4.0"), ["purpose"])
}

test_a_licence_that_cannot_be_read_denies if {
	every id in [7, "", " ", [], ["MIT", ""], {"id": "MIT"}, [7]] {
		not licence.allow with input as under(id)
	}
}

test_what_a_licence_asks_is_told if {
	messages := {finding.message | some finding in licence.warn} with input as under("CC-BY-SA-4.0")
	messages == {
		"The licence \"cc-by-sa-4.0\" asks for attribution.",
		"The licence \"cc-by-sa-4.0\" asks for share alike.",
	}
	warned == {"licence.unjudged"} with input as under("LicenseRef-house")
	warned == set() with input as under("CC0-1.0")
}

test_settings_that_cannot_be_read_deny if {
	not licence.allow with data.licence.required as null with input as reading
	not licence.allow with data.licence.rules as null with input as reading
}
