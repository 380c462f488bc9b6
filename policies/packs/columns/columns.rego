# METADATA
# title: Sensitive columns
# description: >-
#   Each tag of a column leads, by the first rule that fits action, purpose and role, to an
#   obligation on that column. A tag that the data do not know denies.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2016/679/oj
#   - https://eur-lex.europa.eu/eli/reg/2024/1689/oj
package affidavit.columns

import data.affidavit.access
import data.affidavit.finding

default allow := false

allow if {
	every tag in tags {
		settled(tag)
	}
	count(deny) == 0
}

settled(tag) if choice[tag]

settled(tag) if elsewhere(tag)

# Tags that another pack handles wherever they stand.
elsewhere(tag) if data.hipaa.identifiers[tag]

elsewhere(tag) if data.ecoa.bases[tag]

tags := {tag | some column in input.columns; some tag in column.tags}

choice[tag] := rule if {
	some tag in tags
	rule := [candidate | some candidate in data.columns.tags[tag].rules; fits(candidate)][0]
	is_string(rule.obligation)
}

fits(rule) if {
	matches(rule.actions, {input.action})
	matches(rule.purposes, {input.purpose})
	matches(rule.roles, access.roles)
}

matches(patterns, _) if "*" in patterns

matches(patterns, values) if {
	some value in values
	value in patterns
}

untagged := {column.name |
	input.action == "data.read"
	some column in input.columns
	count(column.tags) == 0
}

# What the data do not say is not permitted.
untagged_permitted if data.columns.untagged in {"allow", "warn"}

effects contains {"kind": rule.obligation, "parameters": object.get(rule, "parameters", {})} if {
	some rule in choice
	rule.obligation != "none"
}

obligations contains {"kind": effect.kind, "columns": names, "parameters": effect.parameters} if {
	some effect in effects
	asking := {tag |
		some tag, rule in choice
		rule.obligation == effect.kind
		object.get(rule, "parameters", {}) == effect.parameters
	}
	names := sort({column.name |
		some column in input.columns
		some tag in column.tags
		tag in asking
	})
}

# METADATA
# title: Every tag is declared
# custom:
#   rule: columns.unknown_tag
#   severity: high
#   clause: GDPR Art. 5(1)(c), 30
deny contains finding.of(rego.metadata.rule(), message) if {
	some tag in tags
	not data.columns.tags[tag]
	not elsewhere(tag)
	message := concat("", ["The tag ", finding.quoted(tag), " is not declared, so nobody knows how to handle it."])
}

# METADATA
# title: A rule of the tag fits the request
# custom:
#   rule: columns.no_rule
#   severity: high
#   clause: GDPR Art. 5(1)(c)
deny contains finding.of(rego.metadata.rule(), message) if {
	some tag in tags
	data.columns.tags[tag]
	not choice[tag]
	message := concat("", ["No rule of the tag ", finding.quoted(tag), " fits this action, purpose and role."])
}

# METADATA
# title: Every column of a read has a tag, where the data ask for it
# custom:
#   rule: columns.untagged
#   severity: medium
#   clause: GDPR Art. 5(1)(c), 30
deny contains finding.of(rego.metadata.rule(), message) if {
	some name in untagged
	not untagged_permitted
	message := concat("", ["The column ", finding.quoted(name), " has no tag, so nobody knows what it holds."])
}

# METADATA
# title: A column of a read has no tag
# custom:
#   rule: columns.untagged_noted
#   severity: low
#   clause: GDPR Art. 5(1)(c), 30
warn contains finding.of(rego.metadata.rule(), message) if {
	some name in untagged
	data.columns.untagged == "warn"
	message := concat("", ["The column ", finding.quoted(name), " has no tag, so nobody knows what it holds."])
}
