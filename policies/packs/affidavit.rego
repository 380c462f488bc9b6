# METADATA
# title: Entry points
# description: >-
#   One rule for each hook, which joins the rule sets that apply. Each result has exactly the keys
#   allow, deny, warn and obligations.
package affidavit

import data.affidavit.access
import data.affidavit.columns
import data.affidavit.explanation
import data.affidavit.fairness
import data.affidavit.finding
import data.affidavit.framework_gate
import data.affidavit.frameworks
import data.affidavit.laws
import data.affidavit.promotion
import data.affidavit.purpose
import data.affidavit.request
import data.affidavit.serving

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
	[request.allow, access.allow, purpose.allow, columns.allow, laws.allow],
	((((request.deny | access.deny) | purpose.deny) | columns.deny) | laws.deny),
	access.warn | laws.warn,
	((purpose.obligations | columns.obligations) | laws.obligations),
)

default train := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
train := verdict(
	"model.train",
	[request.allow, access.allow, purpose.allow, columns.allow, laws.allow],
	((((request.deny | access.deny) | purpose.deny) | columns.deny) | laws.deny),
	access.warn | laws.warn,
	columns.obligations | laws.obligations,
)

default serve := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
serve := verdict(
	"model.serve",
	[request.allow, access.allow, purpose.allow, columns.allow, serving.allow, laws.allow],
	(((((request.deny | access.deny) | purpose.deny) | columns.deny) | serving.deny) | laws.deny),
	((access.warn | serving.warn) | laws.warn),
	columns.obligations | laws.obligations,
)

default load := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
load := verdict(
	"model.load",
	[request.allow, access.allow, serving.allow],
	((request.deny | access.deny) | serving.deny),
	access.warn | serving.warn,
	set(),
)

default promote := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id]
promote := verdict(
	"model.promote",
	[
		request.allow, access.allow, promotion.allow, fairness.allow, explanation.allow,
		framework_gate.allow, laws.allow,
	],
	((((((request.deny | access.deny) | promotion.deny) | fairness.deny) | explanation.deny) | framework_gate.deny) | laws.deny),
	((((access.warn | promotion.warn) | fairness.warn) | framework_gate.warn) | laws.warn),
	set(),
)

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
	[request.allow, access.allow, purpose.allow, columns.allow],
	(((request.deny | access.deny) | purpose.deny) | columns.deny),
	access.warn,
	columns.obligations | {{"kind": "log_full", "columns": [], "parameters": {}}},
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
