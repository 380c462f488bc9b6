# METADATA
# title: Explanation evidence
# description: The newest verified explanation adds up to the model's output within tolerance.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2024/1689/oj
package affidavit.explanation

import data.affidavit.finding
import data.affidavit.settings

default allow := false

allow if {
	satisfied
	count(deny) == 0
}

satisfied if settings.waived("explanation")

satisfied if {
	present
	adds_up
}

latest := settings.newest([explanation |
	some explanation in input.evidence.explanations
	explanation.verified == true
	settings.fresh(explanation.time)
])

present if count(latest) > 0

# The evidence states its own tolerance; the policy bounds how generous that may be.
adds_up if {
	every explanation in latest {
		is_number(explanation.residual_max)
		is_number(explanation.tolerance)
		is_number(settings.effective.explanation.max_tolerance)
		explanation.residual_max >= 0
		explanation.residual_max <= explanation.tolerance
		explanation.tolerance <= settings.effective.explanation.max_tolerance
	}
}

# METADATA
# title: The model is explained
# custom:
#   rule: promotion.explanation_missing
#   severity: high
#   clause: EU AI Act Art. 13
deny contains finding.of(rego.metadata.rule(), "There is no verified, recent explanation of the model.") if {
	not settings.waived("explanation")
	not present
}

# METADATA
# title: The explanation adds up
# custom:
#   rule: promotion.explanation_residual
#   severity: high
#   clause: EU AI Act Art. 13
deny contains finding.of(rego.metadata.rule(), "The explanation's residual exceeds its tolerance, or its tolerance exceeds the policy's.") if {
	not settings.waived("explanation")
	present
	not adds_up
}
