# METADATA
# title: Promotion
# description: >-
#   A model goes further only with verified evidence of its training and its performance and with
#   people's approval; fairness and explanation are judged beside it.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2024/1689/oj
package affidavit.promotion

import data.affidavit.finding
import data.affidavit.separation
import data.affidavit.settings

default allow := false

allow if {
	provenance_satisfied
	evaluation_satisfied
	approval_satisfied
	lineage_satisfied
	settings.tier_known
	count(deny) == 0
}

provenance_satisfied if settings.waived("provenance")

provenance_satisfied if {
	provenance_present
	provenance_verified
	provenance_fresh
}

provenance_fresh if settings.fresh(input.evidence.provenance.time)

provenance_present if is_object(input.evidence.provenance)

provenance_verified if {
	input.evidence.provenance.verified == true
	finding.stated(input.evidence.provenance.trainer)
}

evaluation_satisfied if settings.waived("evaluation")

evaluation_satisfied if {
	count(latest) > 0
	every name, bound in settings.effective.metrics {
		metric_holds(name, bound)
	}
}

usable := [evaluation |
	some evaluation in input.evidence.evaluations
	evaluation.verified == true
	is_object(evaluation.metrics)
	count(evaluation.metrics) > 0
	settings.fresh(evaluation.time)
]

# Only the newest counts: an old good one does not outweigh a new bad one.
latest := settings.newest(usable)

metric_holds(name, bound) if {
	count(latest) > 0
	bound_readable(bound)
	every evaluation in latest {
		above(evaluation.metrics[name], bound)
		below(evaluation.metrics[name], bound)
	}
}

bound_readable(bound) if {
	count(bound) > 0
	every side, limit in bound {
		side in {"min", "max"}
		is_number(limit)
	}
}

above(value, bound) if {
	is_number(value)
	not "min" in object.keys(bound)
}

above(value, bound) if {
	is_number(value)
	value >= bound.min
}

below(value, bound) if {
	is_number(value)
	not "max" in object.keys(bound)
}

below(value, bound) if {
	is_number(value)
	value <= bound.max
}

lineage_satisfied if settings.waived("lineage")

# Each input of the training is one whose governed reading is on record.
lineage_satisfied if {
	input.evidence.lineage.verified == true
	input.evidence.lineage.inputs > 0
	input.evidence.lineage.ungoverned == 0
}

approval_satisfied if settings.waived("approval")

approval_satisfied if {
	count(approvers) >= settings.effective.approvals.minimum
	is_number(settings.effective.approvals.minimum)
}

# Distinct people, none of whom has a part that excludes approving.
approvers := {separation.identity(approval.approver) |
	some approval in input.evidence.approvals
	approval.verified == true
	finding.stated(approval.approver)
	approval.outcome == "approved"
	settings.fresh(approval.time)
	not separation.barred(approval.approver, "approver")
}

# METADATA
# title: The training is on record
# custom:
#   rule: promotion.provenance_missing
#   severity: critical
#   clause: EU AI Act Art. 11, Annex IV(2)
deny contains finding.of(rego.metadata.rule(), "There is no provenance of the training run.") if {
	not settings.waived("provenance")
	not provenance_present
}

# METADATA
# title: The training's provenance is signed
# custom:
#   rule: promotion.provenance_unverified
#   severity: critical
#   clause: EU AI Act Art. 12, 15(5)
deny contains finding.of(rego.metadata.rule(), "The provenance of the training run is not verified, or names no trainer.") if {
	not settings.waived("provenance")
	provenance_present
	not provenance_verified
}

# METADATA
# title: The training's provenance is recent
# custom:
#   rule: promotion.provenance_stale
#   severity: high
#   clause: EU AI Act Art. 72
deny contains finding.of(rego.metadata.rule(), "The provenance of the training run is older than the policy allows, or its time is not usable.") if {
	not settings.waived("provenance")
	provenance_present
	not provenance_fresh
}

# METADATA
# title: The model was evaluated
# custom:
#   rule: promotion.evaluation_missing
#   severity: high
#   clause: EU AI Act Art. 15(1)
deny contains finding.of(rego.metadata.rule(), "There is no verified, recent evaluation with metrics.") if {
	not settings.waived("evaluation")
	count(latest) == 0
}

# METADATA
# title: Each required metric meets its threshold
# custom:
#   rule: promotion.metric
#   severity: high
#   clause: EU AI Act Art. 15(1)
deny contains finding.of(rego.metadata.rule(), message) if {
	not settings.waived("evaluation")
	some name, bound in settings.effective.metrics
	not metric_holds(name, bound)
	message := concat("", ["The metric ", finding.quoted(name), " is missing or outside its threshold."])
}

# METADATA
# title: What the model was trained on was read under a policy
# custom:
#   rule: promotion.lineage
#   severity: high
#   clause: EU AI Act Art. 10(2)(b), 12
deny contains finding.of(rego.metadata.rule(), "The training has no input whose governed reading is on record, or has one whose is not.") if {
	not lineage_satisfied
}

# METADATA
# title: The model's tier is one of those with settings
# custom:
#   rule: promotion.tier_unknown
#   severity: high
#   clause: EU AI Act Art. 9
deny contains finding.of(rego.metadata.rule(), "The policy data set thresholds by tier, and the model declares no tier, several, or one without settings.") if {
	not settings.tier_known
}

# METADATA
# title: The thresholds of metrics can be read
# custom:
#   rule: promotion.settings_unreadable
#   severity: high
deny contains finding.of(rego.metadata.rule(), "The policy data's thresholds of metrics are not a table of names with bounds.") if {
	not settings.waived("evaluation")
	not is_object(settings.effective.metrics)
}

# METADATA
# title: Enough people approved, and none of them had a part in making the model
# custom:
#   rule: promotion.approval_missing
#   severity: high
#   clause: EU AI Act Art. 14
deny contains finding.of(rego.metadata.rule(), message) if {
	not approval_satisfied
	message := concat("", [
		"Verified, recent approvals by people who had no part in making the model: found ", format_int(count(approvers), 10),
		", needed ", finding.number(object.get(settings.effective, ["approvals", "minimum"], null)), ".",
	])
}

# METADATA
# title: The approval of whoever had a part in making the model does not count
# custom:
#   rule: promotion.self_approval
#   severity: medium
#   clause: EU AI Act Art. 14
warn contains finding.of(rego.metadata.rule(), "An approval by the trainer, or by who ran what the model came out of, was not counted.") if {
	some approval in input.evidence.approvals
	separation.identity(approval.approver) in separation.makers
}
