# METADATA
# title: Serving and loading
# description: >-
#   Where the data ask for it, a model is served or loaded only with a verified verdict that
#   promoted it.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2024/1689/oj
package affidavit.serving

import data.affidavit.finding

default allow := false

allow if {
	promotion_satisfied
	artifact_satisfied
	count(deny) == 0
}

promotion_satisfied if promoted

promotion_satisfied if {
	is_array(data.serving.require_promotion_in)
	is_string(input.environment)
	not input.environment in data.serving.require_promotion_in
}

promoted if {
	input.evidence.verdict.verified == true
	input.evidence.verdict.allowed == true
}

# What is known of the artifact must be good; production does not load one of which nothing is.
artifact_satisfied if input.evidence.artifact.verified == true

artifact_satisfied if {
	object.get(input, ["evidence", "artifact"], null) == null
	not artifact_required
}

artifact_required if {
	input.action == "model.load"
	not input.environment == "development"
}

# METADATA
# title: The model is promoted
# custom:
#   rule: serving.not_promoted
#   severity: high
#   clause: EU AI Act Art. 16, 26
deny contains finding.of(rego.metadata.rule(), message) if {
	not promotion_satisfied
	message := concat("", [
		"No verified verdict promotes ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" for the environment ", finding.quoted(object.get(input, "environment", null)), ".",
	])
}

# METADATA
# title: The waivers behind the verdict are in force
# custom:
#   rule: serving.waiver_expired
#   severity: high
#   clause: EU AI Act Art. 16, 26
deny contains finding.of(rego.metadata.rule(), message) if {
	not promotion_satisfied
	lapsed := input.evidence.verdict.lapsed
	message := concat("", ["The verdict rests on a waiver that expired at ", finding.quoted(lapsed), "; the gate has to be asked again."])
}

# METADATA
# title: The artifact's signature and digest hold
# custom:
#   rule: serving.artifact_unverified
#   severity: critical
#   clause: EU AI Act Art. 15(5)
deny contains finding.of(rego.metadata.rule(), "The model's artifact is not verified: its signature and digest must hold before it is loaded.") if {
	not artifact_satisfied
}

# METADATA
# title: An unpromoted model is served
# custom:
#   rule: serving.unpromoted
#   severity: low
warn contains finding.of(rego.metadata.rule(), "The model is not promoted; the environment permits that.") if {
	promotion_satisfied
	not promoted
}
