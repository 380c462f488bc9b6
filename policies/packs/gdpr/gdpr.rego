# METADATA
# title: GDPR
# description: >-
#   Special categories are read under a named condition, decisions by machine alone have safeguards,
#   and a system has a record of its processing. In scope is what is tagged gdpr, or declares gdpr
#   among its frameworks.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2016/679/oj
package affidavit.gdpr

import data.affidavit.columns
import data.affidavit.finding
import data.affidavit.scope

default allow := false

allow if not in_scope

allow if count(deny) == 0

in_scope if scope.named("gdpr")

conditions := {
	"9(2)(a)", "9(2)(b)", "9(2)(c)", "9(2)(d)", "9(2)(e)",
	"9(2)(f)", "9(2)(g)", "9(2)(h)", "9(2)(i)", "9(2)(j)",
}

special contains tag if {
	some tag in columns.tags
	tag in data.gdpr.special_tags
}

# METADATA
# title: Special categories are read under a condition of Art. 9(2)
# custom:
#   rule: gdpr.special_category
#   severity: critical
#   clause: GDPR Art. 9(1) and (2)
deny contains finding.of(rego.metadata.rule(), message) if {
	input.action == "data.read"
	in_scope
	count(special) > 0
	not conditioned
	message := concat("", [
		"The policy data name no condition of Art. 9(2) for the purpose ",
		finding.quoted(object.get(input, "purpose", null)), ".",
	])
}

conditioned if data.gdpr.conditions[input.purpose] in conditions

automated if scope.attributes.automated_decision == true

undecided if not is_boolean(object.get(scope.attributes, "automated_decision", null))

# A person can step in, and an exception of Art. 22(2) is named.
safeguarded if {
	finding.stated(scope.attributes.human_review)
	scope.attributes.automated_decision_basis in {"contract", "law", "consent"}
}

# METADATA
# title: A decision by machine alone has an exception and a person who can step in
# custom:
#   rule: gdpr.automated_decision
#   severity: critical
#   clause: GDPR Art. 22
deny contains finding.of(rego.metadata.rule(), message) if {
	input.action in {"model.serve", "model.promote"}
	in_scope
	automated
	not safeguarded
	message := concat("", [
		"The system decides by machine alone: declare automated_decision_basis (contract, law or consent) ",
		"and human_review (how a person steps in).",
	])
}

# METADATA
# title: Whether the system decides by machine alone is declared
# custom:
#   rule: gdpr.automated_decision_undeclared
#   severity: medium
#   clause: GDPR Art. 22
warn contains finding.of(rego.metadata.rule(), "The system does not declare whether it decides by machine alone (automated_decision).") if {
	input.action == "model.promote"
	in_scope
	undecided
}

# METADATA
# title: The record of processing is complete
# custom:
#   rule: gdpr.record
#   severity: high
#   clause: GDPR Art. 30(1)
deny contains finding.of(rego.metadata.rule(), message) if {
	input.action == "model.promote"
	in_scope
	some field in data.gdpr.record
	not recorded(field)
	message := concat("", ["The record of processing lacks ", finding.quoted(field), "."])
}

recorded(field) if finding.stated(scope.attributes[field])

recorded(field) if {
	is_array(scope.attributes[field])
	count(scope.attributes[field]) > 0
	every one in scope.attributes[field] {
		finding.stated(one)
	}
}
