# METADATA
# title: Access
# description: >-
#   Roles permit actions on resources by tag. Roles come with the request and from grants that may
#   begin and expire; who has none gets the default role. Rules on attributes permit more, and
#   prohibitions go before every permission.
# related_resources:
#   - https://doi.org/10.6028/NIST.SP.800-162
#   - https://csrc.nist.gov/projects/role-based-access-control
package affidavit.access

import data.affidavit.attributes
import data.affidavit.clock
import data.affidavit.finding
import data.affidavit.selector

default allow := false

allow if {
	permitted
	not suspended
	count(deny) == 0
}

granted contains grant if {
	some grant in data.access.grants
	grant.actor == input.actor.id
	attributes.in_time(grant)
	selector.fits(object.remove(grant, ["actor"]))
	within_tags(grant)
}

within_tags(grant) if not "tags" in object.keys(grant)

within_tags(grant) if covers(grant.tags)

# Emergency access is counted apart, so that its use shows.
emergency := {grant.role |
	some grant in granted
	grant.break_glass == true
	finding.stated(grant.reason)
	short(grant)
}

# Its end is stated, and near.
short(grant) if {
	lasts := clock.seconds(grant.expires) - clock.seconds(grant.not_before)
	lasts <= data.separation.break_glass.max_hours * 3600
}

assigned := {role | some role in input.actor.roles} | {grant.role |
	some grant in granted
	object.get(grant, "break_glass", false) == false
}

ordinary := assigned if count(assigned) > 0

ordinary := {data.access.default_role} if {
	count(assigned) == 0
	finding.stated(data.access.default_role)
}

ordinary := set() if {
	count(assigned) == 0
	not finding.stated(data.access.default_role)
}

roles := ordinary | emergency

permitted if ordinarily_permitted

permitted if glass_broken

ordinarily_permitted if {
	some role in ordinary
	permits(role)
}

ordinarily_permitted if {
	some rule in data.access.permits
	applies(rule)
}

glass_broken if {
	some role in emergency
	permits(role)
	not ordinarily_permitted
}

permits(role) if {
	some permission in data.access.roles[role].permissions
	some action in permission.actions
	action in {"*", input.action}
	covers(permission.tags)
	conditions_hold(permission)
}

applies(rule) if {
	selector.matches(rule.actions, {input.action})
	covers(rule.tags)
	selector.fits(rule)
	selector.chosen(rule, "roles", ordinary)
	attributes.in_time(rule)
	conditions_hold(rule)
}

conditions_hold(item) if {
	every condition in object.get(item, "conditions", []) {
		attributes.satisfied(condition)
	}
}

# A prohibition applies unless something that is known speaks against it.
prohibits(rule) if {
	selector.fits(rule)
	selector.chosen(rule, "roles", roles)
	selector.chosen(rule, "tags", {tag | some tag in input.resource.tags})
	not attributes.out_of_time(rule)
	not released(rule)
}

released(rule) if {
	some condition in rule.conditions
	attributes.refuted(condition)
}

covers(tags) if "*" in tags

covers(tags) if {
	every tag in input.resource.tags {
		tag in tags
	}
}

suspended if input.actor.id in data.access.suspended

# METADATA
# title: A role permits the action on every tag of the resource
# custom:
#   rule: access.not_permitted
#   severity: high
#   clause: ISO/IEC 42001 A.4; GDPR Art. 32
deny contains finding.of(rego.metadata.rule(), message) if {
	not permitted
	message := concat("", [
		"No role of ", finding.quoted(object.get(input, ["actor", "id"], null)),
		" permits ", finding.quoted(object.get(input, "action", null)),
		" on ", finding.quoted(object.get(input, ["resource", "name"], null)), " with its tags.",
	])
}

# METADATA
# title: No rule prohibits the request
# custom:
#   rule: access.prohibited
#   severity: high
#   clause: ISO/IEC 42001 A.4; GDPR Art. 32
deny contains finding.of(rego.metadata.rule(), message) if {
	some rule in data.access.prohibits
	prohibits(rule)
	message := concat("", [
		"The rule ", finding.quoted(object.get(rule, "id", null)), " of access.prohibits applies to ",
		finding.quoted(object.get(input, ["actor", "id"], null)), ".",
	])
}

# METADATA
# title: The actor is not suspended
# custom:
#   rule: access.suspended
#   severity: critical
deny contains finding.of(rego.metadata.rule(), message) if {
	suspended
	message := concat("", ["The actor ", finding.quoted(input.actor.id), " is suspended."])
}

# METADATA
# title: A grant of this actor has dates that can be read
# custom:
#   rule: access.grant_unreadable
#   severity: medium
warn contains finding.of(rego.metadata.rule(), "A grant for this actor has a date that is not RFC 3339, and is not in force.") if {
	some grant in data.access.grants
	grant.actor == input.actor.id
	some key in ["not_before", "expires"]
	object.get(grant, key, null) != null
	not clock.seconds(grant[key])
}
