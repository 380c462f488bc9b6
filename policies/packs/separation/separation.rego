# METADATA
# title: Separation of duties
# description: >-
#   Who had a part in making a model neither approves nor waives for it; roles that exclude each
#   other are not held together; emergency access never passes in silence.
# related_resources:
#   - https://csrc.nist.gov/projects/role-based-access-control
#   - https://eur-lex.europa.eu/eli/reg/2024/1689/oj
package affidavit.separation

import data.affidavit.access
import data.affidavit.finding
import data.affidavit.tier

default allow := false

allow if {
	is_array(data.separation.exclusive_roles)
	is_array(data.separation.exclusive_parts)
	count(deny) == 0
}

# Two spellings of one name are one person.
identity(name) := lower(trim_space(name)) if is_string(name)

trainer := identity(input.evidence.provenance.trainer)

# A rule of its own: what is undefined under `not` must not stand in a call (OPA evaluates it first).
trainer_known if finding.stated(trainer)

# Whoever ran what the model came out of, through its inputs too.
makers := {trainer} | {identity(maker) |
	some maker in object.get(input, ["evidence", "provenance", "makers"], [])
}

parts["maker"] := makers

parts["approver"] := {identity(approval.approver) |
	some approval in input.evidence.approvals
	approval.outcome == "approved"
}

parts["waiver"] := {identity(waiver.person) | some waiver in input.evidence.waivers}

parts["promoter"] := {identity(input.actor.id)}

# No data can lift these.
always := [["maker", "approver"], ["maker", "waiver"]]

exclusive contains {part | some part in pair} if some pair in always

exclusive contains {part | some part in item.parts} if {
	some item in data.separation.exclusive_parts
	concerned(item)
}

# An item that names tiers is about them, and about a model whose tier nobody can tell.
concerned(item) if not "tiers" in object.keys(item)

concerned(item) if tier.name in item.tiers

concerned(_) if not tier.name

# Whether a person has a part already that excludes another one; of makers nobody knows, anyone may
# be one.
barred(person, part) if {
	some pair in exclusive
	part in pair
	some other in pair
	other != part
	identity(person) in parts[other]
}

barred(_, part) if {
	not trainer_known
	{"maker", part} in exclusive
}

# METADATA
# title: No roles that exclude each other are held together
# custom:
#   rule: separation.exclusive_roles
#   severity: high
#   clause: ISO/IEC 42001 A.3.2
deny contains finding.of(rego.metadata.rule(), message) if {
	some roles in data.separation.exclusive_roles
	held := {role | some role in roles; role in access.roles}
	count(held) > 1
	message := concat("", [
		finding.quoted(object.get(input, ["actor", "id"], null)), " holds the roles ",
		concat(", ", sort([finding.quoted(role) | some role in held])), ", which exclude each other.",
	])
}

# METADATA
# title: Who asks for the promotion has no part that excludes it
# custom:
#   rule: separation.promoter
#   severity: high
#   clause: EU AI Act Art. 14
deny contains finding.of(rego.metadata.rule(), message) if {
	input.action == "model.promote"
	barred(input.actor.id, "promoter")
	message := concat("", [
		finding.quoted(input.actor.id), " has a part in this model that may not go with asking for its promotion.",
	])
}

# METADATA
# title: Emergency access was used
# custom:
#   rule: separation.break_glass
#   severity: critical
#   clause: ISO/IEC 42001 A.3.2; GDPR Art. 32
warn contains finding.of(rego.metadata.rule(), message) if {
	access.glass_broken
	message := concat("", [
		"Emergency access of ", finding.quoted(input.actor.id), " was used: ",
		concat("; ", sort([finding.quoted(grant.reason) |
			some grant in access.granted
			grant.break_glass == true
			finding.stated(grant.reason)
		])),
		".",
	])
}

# METADATA
# title: An emergency grant has a reason and a near end
# custom:
#   rule: separation.break_glass_unbounded
#   severity: high
warn contains finding.of(rego.metadata.rule(), "An emergency grant of this actor is not in force: it needs a reason, not_before and expires, and a span within separation.break_glass.max_hours.") if {
	some grant in data.access.grants
	grant.actor == input.actor.id
	"break_glass" in object.keys(grant)
	grant.break_glass != false
	not usable(grant)
}

usable(grant) if {
	grant.break_glass == true
	finding.stated(grant.reason)
	access.short(grant)
}

# All of it is kept, and somebody else looks at it afterwards.
obligations contains {"kind": kind, "columns": [], "parameters": {}} if {
	access.glass_broken
	some kind in data.separation.break_glass.obligations
}
