# METADATA
# title: Waivers
# description: >-
#   A denial of the gate is overridden only by a signed, unexpired statement of a person who had no
#   part in making the model, about this very model, stage and rule, where the data permit that.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2024/1689/oj
package affidavit.waivers

import data.affidavit.clock
import data.affidavit.finding
import data.affidavit.separation

stages := {"model.promote": "promote"}

# No data can make these waivable: whoever is who they say, whether the question is one, and whether
# the model is the one that was trained, are not matters of judgement.
never := {
	"promotion.provenance_missing",
	"promotion.provenance_unverified",
	"promotion.settings_unreadable",
	"serving.artifact_unverified",
}

never_begins := {"access.", "engine.", "input.", "obligation.", "policy.", "request.", "waiver."}

waivable(rule) if {
	is_array(data.waivers.waivable)
	rule in data.waivers.waivable
	not rule in never
	not kind_never(rule)
}

kind_never(rule) if {
	some begins in never_begins
	startswith(rule, begins)
}

listed := [waiver |
	is_array(input.evidence.waivers)
	some waiver in input.evidence.waivers
	is_object(waiver)
]

standing := [waiver |
	some waiver in listed
	whole(waiver)
	holds(waiver)
	about_this(waiver)
	begun(waiver)
	running(waiver)
	short(waiver)
	independent(waiver)
]

whole(waiver) if {
	finding.stated(waiver.id)
	finding.stated(waiver.person)
	finding.stated(waiver.reason)
	is_array(waiver.rules)
}

holds(waiver) if {
	waiver.verified == true
	waiver.withdrawn == false
}

about_this(waiver) if {
	finding.stated(input.resource.digest)
	waiver.digest == input.resource.digest
	waiver.model == input.resource.name
	waiver.stage == stages[input.action]
}

begun(waiver) if clock.seconds(waiver.time) <= clock.now

# A clock that was set back does not bring an expired waiver to life: the log has seen later times.
running(waiver) if {
	at := clock.seconds(waiver.expires)
	at > clock.now
	not seen_later(at)
}

seen_later(at) if clock.seconds(input.evidence.logged_until) >= at

short(waiver) if {
	is_number(data.waivers.max_days)
	lasts := clock.seconds(waiver.expires) - clock.seconds(waiver.time)
	lasts > 0
	lasts <= data.waivers.max_days * 86400
}

independent(waiver) if {
	not_a_maker(waiver)
	not_an_approver(waiver)
}

not_a_maker(waiver) if {
	finding.stated(separation.trainer)
	not separation.identity(waiver.person) in separation.makers
}

not_an_approver(_) if data.waivers.approver_may_waive == true

not_an_approver(waiver) if not separation.identity(waiver.person) in approved

approved := {separation.identity(approval.approver) |
	some approval in object.get(input, ["evidence", "approvals"], [])
	approval.outcome == "approved"
}

waiving(rule) := [waiver |
	some waiver in standing
	rule in waiver.rules
	waivable(rule)
]

unwaived(denials) := {denial |
	some denial in denials
	count(waiving(denial.rule)) == 0
}

# A rule set that allows, or one that denies for nothing but waived rules.
settles(allow, denials) if {
	allow == true
	is_set(denials)
} else if {
	allow == false
	count(denials) > 0
	count(unwaived(denials)) == 0
} else := false

warnings(denials) := warn | {applied(denial, waiver) |
	some denial in denials
	some waiver in waiving(denial.rule)
}

# METADATA
# title: A denial was waived
# custom:
#   rule: waiver.applied
applied(denial, waiver) := object.union(
	finding.of(rego.metadata.rule(), message),
	{"severity": denial.severity, "clause": denial.clause},
) if {
	# The id and the rule come first, so that nothing in a reason can pass for them.
	message := concat("", [
		waiver.id, " waives ", denial.rule, ": ", denial.message, " Waived by ", finding.quoted(waiver.person),
		" until ", waiver.expires, ": ", finding.quoted(waiver.reason), ".",
	])
}

# What was asked for, so that a warning can name it whatever it lacks.
about(waiver, what) := concat("", [
	"The waiver ", finding.quoted(object.get(waiver, "id", "")), " by ", finding.quoted(object.get(waiver, "person", "")),
	" does not count: ", what, ".",
])

# METADATA
# title: A waiver that is not verified, malformed or withdrawn does not count
# custom:
#   rule: waiver.unverified
#   severity: high
warn contains finding.of(rego.metadata.rule(), about(waiver, "it is withdrawn, or not verified, or malformed")) if {
	some waiver in listed
	not sound(waiver)
}

sound(waiver) if {
	whole(waiver)
	holds(waiver)
}

# METADATA
# title: A waiver of something else does not count
# custom:
#   rule: waiver.other_model
#   severity: low
warn contains finding.of(rego.metadata.rule(), about(waiver, "it is about another model or stage")) if {
	some waiver in listed
	sound(waiver)
	not about_this(waiver)
}

# METADATA
# title: A waiver counts from its making to its expiry
# custom:
#   rule: waiver.not_in_force
#   severity: medium
warn contains finding.of(rego.metadata.rule(), about(waiver, what)) if {
	some waiver in listed
	sound(waiver)
	about_this(waiver)
	not in_force(waiver)
	what := concat("", ["by the clock or by the log it is not in force; it says from ", finding.quoted(object.get(waiver, "time", null)), " until ", finding.quoted(object.get(waiver, "expires", null))])
}

in_force(waiver) if {
	begun(waiver)
	running(waiver)
}

# METADATA
# title: A waiver lasts no longer than the data permit
# custom:
#   rule: waiver.too_long
#   severity: high
warn contains finding.of(rego.metadata.rule(), about(waiver, what)) if {
	some waiver in listed
	sound(waiver)
	about_this(waiver)
	not short(waiver)
	what := concat("", ["it lasts longer than ", finding.number(object.get(data.waivers, "max_days", null)), " days, or its times are not readable"])
}

# METADATA
# title: Who made or approved the model does not waive what it lacks
# custom:
#   rule: waiver.not_independent
#   severity: high
#   clause: EU AI Act Art. 14
warn contains finding.of(rego.metadata.rule(), about(waiver, "the person had a part in making the model, or approved it")) if {
	some waiver in listed
	sound(waiver)
	about_this(waiver)
	not independent(waiver)
}

# METADATA
# title: The rule cannot be waived
# custom:
#   rule: waiver.not_waivable
#   severity: high
warn contains finding.of(rego.metadata.rule(), about(waiver, what)) if {
	some waiver in listed
	sound(waiver)
	about_this(waiver)
	some rule in waiver.rules
	not waivable(rule)
	what := concat("", ["the rule ", finding.quoted(rule), " is not one that can be waived"])
}
