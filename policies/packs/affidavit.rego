# METADATA
# title: Entry points
# description: >-
#   One rule for each hook, which joins the rule sets that apply. Each result has exactly the keys
#   allow, deny, warn and obligations.
package affidavit

import data.affidavit.access
import data.affidavit.columns
import data.affidavit.ecoa
import data.affidavit.explanation
import data.affidavit.fairness
import data.affidavit.finding
import data.affidavit.framework_gate
import data.affidavit.frameworks
import data.affidavit.gdpr
import data.affidavit.hipaa
import data.affidavit.ll144
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
	[request.allow, access.allow, purpose.allow, columns.allow, hipaa.allow, gdpr.allow],
	(((((request.deny | access.deny) | purpose.deny) | columns.deny) | hipaa.deny) | gdpr.deny),
	access.warn,
	(((purpose.obligations | columns.obligations) | hipaa.obligations) | ecoa.obligations),
)

default train := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
train := verdict(
	"model.train",
	[request.allow, access.allow, purpose.allow, columns.allow],
	(((request.deny | access.deny) | purpose.deny) | columns.deny),
	access.warn,
	columns.obligations | ecoa.obligations,
)

default serve := {"allow": false, "deny": [], "warn": [], "obligations": []}

# METADATA
# entrypoint: true
# custom:
#   volatile: [request_id, time]
serve := verdict(
	"model.serve",
	[request.allow, access.allow, purpose.allow, columns.allow, serving.allow, gdpr.allow, ll144.allow],
	((((((request.deny | access.deny) | purpose.deny) | columns.deny) | serving.deny) | gdpr.deny) | ll144.deny),
	access.warn | serving.warn,
	columns.obligations | ecoa.obligations,
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
		request.allow, access.allow, promotion.allow, fairness.allow, explanation.allow, framework_gate.allow,
		gdpr.allow, ll144.allow, ecoa.allow,
	],
	(((((request.deny | access.deny) | promotion.deny) | fairness.deny) | explanation.deny) | laws_deny),
	((((access.warn | promotion.warn) | fairness.warn) | framework_gate.warn) | gdpr.warn),
	set(),
)

laws_deny := ((framework_gate.deny | gdpr.deny) | ll144.deny) | ecoa.deny

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
