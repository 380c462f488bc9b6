# METADATA
# title: k-anonymity and small cells
# description: >-
#   What is released shows no group of fewer than k people: rows whose combination of
#   quasi-identifiers is rarer are removed, and a release of too few rows is denied.
# related_resources:
#   - https://doi.org/10.1142/S0218488502001648
package affidavit.kanonymity

import data.affidavit.access
import data.affidavit.finding
import data.affidavit.selector

default allow := false

allow if {
	is_array(data.kanonymity.rules)
	count(deny) == 0
}

# All the rules that fit count; obligations of one kind merge to the strictest.
fitting contains rule if {
	some rule in data.kanonymity.rules
	selector.fits(rule)
	selector.chosen(rule, "roles", access.roles)
}

quasi_identifiers := sort({column.name |
	count(fitting) > 0
	some column in input.columns
	some tag in column.tags
	tag in data.kanonymity.tags
})

obligations contains {
	"kind": "suppress_small_cells",
	"columns": quasi_identifiers,
	"parameters": {"k": rule.k, "max_share": rule.max_share},
} if {
	some rule in fitting
	count(quasi_identifiers) > 0
}

# The content is known only once it was read; its digest tells.
content_known if input.resource.digest != ""

rows := input.measures.rows if is_number(input.measures.rows)

# METADATA
# title: It is known how many rows are to be released
# custom:
#   rule: kanonymity.rows_unknown
#   severity: high
#   clause: GDPR Art. 5(1)(c), 25
deny contains finding.of(rego.metadata.rule(), "What is to be released has a minimum of rows, and the request does not measure them.") if {
	some rule in fitting
	rule.min_rows > 0
	content_known
	not rows
}

# METADATA
# title: A release has enough rows
# custom:
#   rule: kanonymity.too_few_rows
#   severity: high
#   clause: GDPR Art. 5(1)(c), 25
deny contains finding.of(rego.metadata.rule(), message) if {
	some rule in fitting
	rows < rule.min_rows
	message := concat("", [
		"A release for ", finding.quoted(input.purpose), " needs at least ", finding.number(rule.min_rows),
		" rows; found ", finding.number(rows), ".",
	])
}

# METADATA
# title: What is released has its quasi-identifiers tagged
# custom:
#   rule: kanonymity.untagged
#   severity: medium
#   clause: GDPR Art. 5(1)(c), 25
warn contains finding.of(rego.metadata.rule(), "No column is tagged as a quasi-identifier, so that no small group is suppressed in this release.") if {
	count(fitting) > 0
	count(quasi_identifiers) == 0
}
