# METADATA
# title: Purpose
# description: >-
#   Data are used for a stated purpose, and a declared dataset only for its own, on a stated lawful
#   basis; where that is consent, only for those who gave it.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2016/679/oj
package affidavit.purpose

import data.affidavit.finding

default allow := false

allow if {
	sufficient
	permitted
	count(deny) == 0
}

stated if finding.stated(input.purpose)

# Reading data and disclosing them need a purpose; what is done with a model may leave it empty.
sufficient if stated

sufficient if {
	is_string(input.purpose)
	input.action in {"model.train", "model.serve"}
}

dataset := data.purpose.datasets[input.resource.name] if input.action == "data.read"

# Only disclosure has a closed list; a dataset that nobody declared takes any stated purpose,
# unless the data say that every dataset must be declared.
permitted if {
	input.action == "record.disclose"
	input.purpose in data.purpose.disclosure
}

permitted if {
	input.action == "data.read"
	input.purpose in dataset.purposes
}

permitted if further

# A purpose that is held to be compatible with the declared ones (GDPR Art. 6(4)).
further if {
	input.action == "data.read"
	not input.purpose in dataset.purposes
	input.purpose in dataset.compatible
}

permitted if {
	input.action == "data.read"
	not dataset
	data.purpose.require_declared == false
}

permitted if {
	input.action in {"model.train", "model.serve"}
}

# METADATA
# title: The purpose is stated
# custom:
#   rule: purpose.missing
#   severity: high
#   clause: GDPR Art. 5(1)(b)
deny contains finding.of(rego.metadata.rule(), "The request states no purpose.") if {
	not sufficient
}

# METADATA
# title: The purpose is one that the dataset or the disclosure is for
# custom:
#   rule: purpose.not_permitted
#   severity: high
#   clause: GDPR Art. 5(1)(b), 6(4)
deny contains finding.of(rego.metadata.rule(), message) if {
	stated
	not permitted
	message := concat("", [
		"The purpose ", finding.quoted(input.purpose), " is not permitted for ",
		finding.quoted(object.get(input, ["resource", "name"], null)), ".",
	])
}

# METADATA
# title: The purpose is not prohibited
# custom:
#   rule: purpose.prohibited
#   severity: critical
#   clause: EU AI Act Art. 5
deny contains finding.of(rego.metadata.rule(), message) if {
	not lawful
	message := concat("", ["The purpose ", finding.quoted(object.get(input, "purpose", null)), " is prohibited."])
}

lawful if {
	folded := lower(trim_space(input.purpose))
	every prohibited in data.purpose.prohibited {
		lower(prohibited) != folded
	}
}

lawful if not stated

# METADATA
# title: A further purpose was held to be compatible
# custom:
#   rule: purpose.compatible
#   severity: low
#   clause: GDPR Art. 6(4)
warn contains finding.of(rego.metadata.rule(), message) if {
	further
	message := concat("", [
		"The purpose ", finding.quoted(input.purpose), " is not one that the data were collected for; it is declared as compatible.",
	])
}

# Obligations of the dataset itself.
# Obligations of the dataset itself.
obligations contains {"kind": "limit_rows", "columns": [], "parameters": {"rows": dataset.max_rows}} if {
	is_number(dataset.max_rows)
}
