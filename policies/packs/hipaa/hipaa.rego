# METADATA
# title: HIPAA
# description: >-
#   Reads of protected health information: for a de-identified release each of the eighteen identifiers
#   of Safe Harbor is dropped or cut down; for any other purpose only the columns that the purpose
#   needs are handed out. In scope is what is tagged phi or hipaa, and what has a column with a tag of
#   an identifier.
# related_resources:
#   - https://www.ecfr.gov/current/title-45/section-164.514
#   - https://www.ecfr.gov/current/title-45/section-164.502
package affidavit.hipaa

import data.affidavit.columns
import data.affidavit.finding
import data.affidavit.scope

default allow := false

allow if not in_scope

allow if count(deny) == 0

in_scope if {
	input.action == "data.read"
	concerned
}

concerned if scope.named("hipaa")

concerned if "phi" in input.resource.tags

concerned if {
	some tag in columns.tags
	data.hipaa.identifiers[tag]
}

releasing if input.purpose in data.hipaa.release_purposes

purpose := data.hipaa.purposes[input.purpose] if not releasing

effects := {"drop": {}, "mask": {}, "year": {"unit": "year"}}

kinds := {"drop": "drop", "mask": "mask", "year": "generalise"}

# Safe Harbor: what each identifier's tag asks, column by column.
obligations contains {"kind": kinds[effect], "columns": names, "parameters": effects[effect]} if {
	in_scope
	releasing
	some effect in object.keys(kinds)
	names := sort({column.name |
		some column in input.columns
		some tag in column.tags
		data.hipaa.identifiers[tag].effect == effect
	})
	count(names) > 0
}

# Nobody has said that an untagged column is no identifier.
obligations contains {"kind": "drop", "columns": names, "parameters": {}} if {
	in_scope
	releasing
	names := sort({column.name | some column in input.columns; count(column.tags) == 0})
	count(names) > 0
}

# Minimum necessary: what the purpose does not list is not handed out.
obligations contains {"kind": "drop", "columns": names, "parameters": {}} if {
	in_scope
	not "*" in purpose.columns
	names := sort({column.name | some column in input.columns; not column.name in purpose.columns})
	count(names) > 0
}

# METADATA
# title: The purpose has a set of columns that it needs
# custom:
#   rule: hipaa.minimum_necessary
#   severity: high
#   clause: HIPAA 164.502(b), 164.514(d)
deny contains finding.of(rego.metadata.rule(), message) if {
	in_scope
	not releasing
	not limited
	message := concat("", [
		"For health information the policy data must say which columns the purpose ",
		finding.quoted(object.get(input, "purpose", null)), " needs.",
	])
}

limited if is_array(purpose.columns)

# METADATA
# title: Each identifier has an effect that Safe Harbor knows
# custom:
#   rule: hipaa.identifier
#   severity: high
#   clause: HIPAA 164.514(b)(2)(i)
deny contains finding.of(rego.metadata.rule(), message) if {
	in_scope
	releasing
	some tag in columns.tags
	effect := data.hipaa.identifiers[tag].effect
	not kinds[effect]
	message := concat("", ["The identifier ", finding.quoted(tag), " has an effect that is not drop, mask or year."])
}
