# METADATA
# title: Entry points
# description: >-
#   One rule for each hook, which joins the rule sets that apply. Each result has exactly the keys
#   allow, deny, warn and obligations.
package affidavit

import data.affidavit.access
import data.affidavit.columns
import data.affidavit.consent
import data.affidavit.explanation
import data.affidavit.fairness
import data.affidavit.finding
import data.affidavit.framework_gate
import data.affidavit.frameworks
import data.affidavit.kanonymity
import data.affidavit.laws
import data.affidavit.licence
import data.affidavit.limits
import data.affidavit.promotion
import data.affidavit.purpose
import data.affidavit.request
import data.affidavit.residency
import data.affidavit.retention
import data.affidavit.separation
import data.affidavit.serving
import data.affidavit.waivers

nothing := {
	"allow": false,
	"deny": [{
		"rule": "policy.undefined",
		"message": "The rules reached no verdict on this request.",
		"severity": "high",
		"clause": "",
	}],
	"warn": [],
	"obligations": [],
}

default data_read := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
data_read := verdict(
	"data.read",
	[request.allow, access.allow, separation.allow, purpose.allow, consent.allow, columns.allow, residency.allow, retention.allow, kanonymity.allow, licence.allow, laws.allow],
	((((((((((request.deny | access.deny) | separation.deny) | purpose.deny) | consent.deny) | columns.deny) | residency.deny) | retention.deny) | kanonymity.deny) | licence.deny) | laws.deny),
	(((((((access.warn | separation.warn) | purpose.warn) | columns.warn) | retention.warn) | kanonymity.warn) | licence.warn) | laws.warn),
	(((((separation.obligations | purpose.obligations) | consent.obligations) | columns.obligations) | kanonymity.obligations) | laws.obligations),
)

default train := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
train := verdict(
	"model.train",
	[request.allow, access.allow, separation.allow, purpose.allow, columns.allow, residency.allow, licence.allow, laws.allow],
	(((((((request.deny | access.deny) | separation.deny) | purpose.deny) | columns.deny) | residency.deny) | licence.deny) | laws.deny),
	(((access.warn | separation.warn) | licence.warn) | laws.warn),
	((separation.obligations | columns.obligations) | laws.obligations),
)

default serve := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
serve := verdict(
	"model.serve",
	[request.allow, access.allow, separation.allow, purpose.allow, columns.allow, residency.allow, licence.allow, serving.allow, limits.allow, laws.allow],
	(((((((((request.deny | access.deny) | separation.deny) | purpose.deny) | columns.deny) | residency.deny) | licence.deny) | serving.deny) | limits.deny) | laws.deny),
	((((access.warn | separation.warn) | licence.warn) | serving.warn) | laws.warn),
	(((separation.obligations | columns.obligations) | limits.obligations) | laws.obligations),
)

default load := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
load := verdict(
	"model.load",
	[request.allow, access.allow, separation.allow, licence.allow, serving.allow, limits.allow],
	(((((request.deny | access.deny) | separation.deny) | licence.deny) | serving.deny) | limits.deny),
	(((access.warn | separation.warn) | licence.warn) | serving.warn),
	separation.obligations,
)

default promote := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id]
promote := verdict(
	"model.promote",
	[
		request.allow, access.allow, separation.allow, licence.allow,
		waivers.settles(promotion.allow, promotion.deny),
		waivers.settles(fairness.allow, fairness.deny),
		waivers.settles(explanation.allow, explanation.deny),
		framework_gate.allow, laws.allow,
	],
	waivers.unwaived(promotion_denials),
	(((((((access.warn | separation.warn) | licence.warn) | promotion.warn) | fairness.warn) | framework_gate.warn) | laws.warn) | waivers.warnings(promotion_denials)),
	separation.obligations,
)

promotion_denials := (((((((request.deny | access.deny) | separation.deny) | licence.deny) | promotion.deny) | fairness.deny) | explanation.deny) | framework_gate.deny) | laws.deny

default controls := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id]
controls := verdict(
	"model.assess",
	[request.allow, access.allow, frameworks.allow],
	(((request.deny | access.deny) | frameworks.deny) | frameworks.missing),
	((access.warn | frameworks.doubtful) | frameworks.settled),
	set(),
)

default disclose := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
disclose := verdict(
	"record.disclose",
	[request.allow, access.allow, separation.allow, purpose.allow, columns.allow, residency.allow, kanonymity.allow],
	((((((request.deny | access.deny) | separation.deny) | purpose.deny) | columns.deny) | residency.deny) | kanonymity.deny),
	((access.warn | separation.warn) | kanonymity.warn),
	(((separation.obligations | columns.obligations) | kanonymity.obligations) | {{"kind": "log_full", "columns": [], "parameters": {}}}),
)

# METADATA
# title: The request is for this entry point
# custom:
#   rule: request.entrypoint
misdirected contains finding.of(rego.metadata.rule(), "The request's action is not the one that this entry point decides.")

verdict(action, allows, denials, warnings, obligations) := {
	"allow": true,
	"deny": [],
	"warn": warnings,
	"obligations": obligations,
} if {
	input.action == action
	count(denials) == 0
	every allow in allows {
		allow == true
	}
}

else := {
	"allow": false,
	"deny": denials,
	"warn": warnings,
	"obligations": [],
} if {
	input.action == action
	count(denials) > 0
}

else := {
	"allow": false,
	"deny": (denials | misdirected),
	"warn": [],
	"obligations": [],
} if {
	not input.action == action
}

else := nothing
