# METADATA
# title: Access
# description: >-
#   Roles permit actions on resources by tag. Roles come with the request and from grants that may
#   begin and expire; who has none gets the default role.
# related_resources:
#   - https://csrc.nist.gov/projects/role-based-access-control
package affidavit.access

import data.affidavit.clock
import data.affidavit.finding

default allow := false

allow if {
	permitted
	not suspended
	count(deny) == 0
}

assigned := {role | some role in input.actor.roles} | {grant.role |
	some grant in data.access.grants
	grant.actor == input.actor.id
	live(grant)
}

roles := assigned if count(assigned) > 0

roles := {data.access.default_role} if {
	count(assigned) == 0
	finding.stated(data.access.default_role)
}

# A grant whose dates cannot be read is not in force.
live(grant) if {
	begun(grant)
	unexpired(grant)
}

begun(grant) if object.get(grant, "not_before", null) == null

begun(grant) if clock.seconds(grant.not_before) <= clock.now

unexpired(grant) if object.get(grant, "expires", null) == null

unexpired(grant) if clock.now < clock.seconds(grant.expires)

permitted if {
	some role in roles
	some permission in data.access.roles[role].permissions
	some action in permission.actions
	action in {"*", input.action}
	covers(permission.tags)
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
