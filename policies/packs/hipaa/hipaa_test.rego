package affidavit.hipaa_test

import data.affidavit
import data.affidavit_test.reading

# The paragraphs of 45 CFR 164.514(b)(2)(i), (A) to (R).
letters := {letter | some letter in split("ABCDEFGHIJKLMNOPQR", "")}

column(name, tags) := {"name": name, "tags": tags}

patients(purpose, columns) := object.union(reading, {
	"purpose": purpose,
	"resource": {"tags": ["phi"]},
	"columns": columns,
})

rules := {finding.rule | some finding in affidavit.data_read.deny}

done(kind) := {name |
	some obligation in affidavit.data_read.obligations
	obligation.kind == kind
	some name in obligation.columns
}

test_all_eighteen_identifiers_have_a_tag if {
	count(letters) == 18
	found := {substring(identifier.paragraph, 17, 1) | some identifier in data.hipaa.identifiers}
	found == letters
}

test_each_identifier_is_dropped_or_cut_to_the_year if {
	every tag, identifier in data.hipaa.identifiers {
		request := patients("deidentified-release", [column("a", [tag]), column("b", ["public"])])
		wanted := {"drop": "drop", "mask": "mask", "year": "generalise"}[identifier.effect]
		done(wanted) == {"a"} with input as request
		affidavit.data_read.allow with input as request
	}
}

test_a_date_keeps_its_year_and_an_age_goes if {
	columns := [column("admitted", ["hipaa_date"]), column("age", ["hipaa_age"]), column("born", ["hipaa_birth_date"])]
	request := patients("deidentified-release", columns)
	{"kind": "generalise", "columns": ["admitted"], "parameters": {"unit": "year"}} in affidavit.data_read.obligations with input as request
	done("drop") == {"age", "born"} with input as request
}

test_an_untagged_column_is_not_released if {
	request := patients("deidentified-release", [column("note", []), column("result", ["public"])])
	done("drop") == {"note"} with input as request
}

test_another_purpose_gets_the_columns_that_it_needs if {
	purposes := {"billing": {"columns": ["code"]}}
	request := patients("billing", [column("code", []), column("name", ["hipaa_name"])])
	done("drop") == {"name"} with input as request with data.hipaa.purposes as purposes
	affidavit.data_read.allow with input as request with data.hipaa.purposes as purposes
}

test_a_purpose_without_limit_gets_all if {
	purposes := {"treatment": {"columns": ["*"]}}
	request := patients("treatment", [column("name", ["hipaa_name"])])
	done("drop") == set() with input as request with data.hipaa.purposes as purposes
	affidavit.data_read.allow with input as request with data.hipaa.purposes as purposes
}

test_a_purpose_without_columns_is_denied if {
	request := patients("curiosity", [column("name", ["hipaa_name"])])
	rules == {"hipaa.minimum_necessary"} with input as request
	rules == {"hipaa.minimum_necessary"} with input as request with data.hipaa.purposes as {"curiosity": {"columns": "all"}}
}

test_an_identifier_brings_its_dataset_into_scope if {
	request := object.union(reading, {"columns": [column("name", ["hipaa_name"])]})
	rules == {"hipaa.minimum_necessary"} with input as request
	"hipaa.minimum_necessary" in rules with input as object.union(reading, {"resource": {"attributes": {"frameworks": ["hipaa"]}}})
}

test_an_effect_that_is_none_denies if {
	identifiers := {"hipaa_name": {"paragraph": "164.514(b)(2)(i)(A)", "effect": "hide"}}
	request := patients("deidentified-release", [column("name", ["hipaa_name"])])
	rules == {"hipaa.identifier"} with input as request with data.hipaa.identifiers as identifiers
}

test_other_data_are_left_alone if {
	affidavit.data_read.allow with input as reading
	done("drop") == set() with input as reading
}
