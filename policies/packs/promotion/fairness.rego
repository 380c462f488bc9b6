# METADATA
# title: Fairness evidence
# description: Each declared sensitive feature has a verified measurement that meets the threshold.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2024/1689/oj
package affidavit.fairness

import data.affidavit.finding
import data.affidavit.settings

default allow := false

allow if {
	count(deny) == 0
	satisfied
}

satisfied if settings.waived("fairness")

satisfied if {
	declared
	every feature in input.declared.sensitive {
		measured(feature)
		meets(feature)
		assessed(feature)
	}
}

declared if {
	is_array(input.declared.sensitive)
	every feature in input.declared.sensitive {
		finding.stated(feature)
	}
	enough_declared
}

enough_declared if count(input.declared.sensitive) > 0

enough_declared if settings.effective.fairness.require_declared == false

newest[feature] := records if {
	some feature in input.declared.sensitive
	records := settings.newest([record |
		some record in input.evidence.fairness
		record.verified == true
		record.features == [feature]
		settings.fresh(record.time)
	])
}

measured(feature) if count(newest[feature]) > 0

meets(feature) if {
	every record in newest[feature] {
		is_number(record.demographic_parity_ratio)
		is_number(settings.effective.fairness.min_ratio)
		record.demographic_parity_ratio >= settings.effective.fairness.min_ratio
		record.demographic_parity_ratio <= 1
	}
}

assessed(feature) if {
	every record in newest[feature] {
		some accepted in ["accepted", "doubtful"]
		record.assessment in settings.effective.fairness[accepted]
	}
}

# METADATA
# title: The sensitive features are declared
# custom:
#   rule: promotion.fairness_undeclared
#   severity: high
#   clause: EU AI Act Art. 10(2)(f)
deny contains finding.of(rego.metadata.rule(), "The sensitive features are not declared as a list of names that satisfies the policy.") if {
	not settings.waived("fairness")
	not declared
}

# METADATA
# title: Each sensitive feature is measured
# custom:
#   rule: promotion.fairness_missing
#   severity: high
#   clause: EU AI Act Art. 10(2)(f), 15(4)
deny contains finding.of(rego.metadata.rule(), message) if {
	not settings.waived("fairness")
	some feature in input.declared.sensitive
	not measured(feature)
	message := concat("", ["There is no verified, recent fairness measurement by ", finding.quoted(feature), "."])
}

# METADATA
# title: The demographic parity ratio meets the threshold
# custom:
#   rule: promotion.fairness_ratio
#   severity: high
#   clause: EU AI Act Art. 10(2)(f), 15(4)
deny contains finding.of(rego.metadata.rule(), message) if {
	not settings.waived("fairness")
	some feature in input.declared.sensitive
	measured(feature)
	not meets(feature)
	message := concat("", [
		"The demographic parity ratio by ", finding.quoted(feature), " is ",
		finding.number([object.get(record, "demographic_parity_ratio", null) | some record in newest[feature]][0]),
		"; needed is at least ", finding.number(object.get(settings.effective, ["fairness", "min_ratio"], null)), ".",
	])
}

# METADATA
# title: The assessment is not a failure
# custom:
#   rule: promotion.fairness_assessment
#   severity: high
#   clause: EU AI Act Art. 10(2)(f), 15(4)
deny contains finding.of(rego.metadata.rule(), message) if {
	not settings.waived("fairness")
	some feature in input.declared.sensitive
	measured(feature)
	not assessed(feature)
	message := concat("", ["The assessment of fairness by ", finding.quoted(feature), " is not one that the policy accepts."])
}

# METADATA
# title: The assessment is doubtful
# custom:
#   rule: promotion.fairness_doubtful
#   severity: medium
#   clause: EU AI Act Art. 10(2)(f)
warn contains finding.of(rego.metadata.rule(), message) if {
	some feature in input.declared.sensitive
	some record in newest[feature]
	record.assessment in settings.effective.fairness.doubtful
	message := concat("", ["The evidence on fairness by ", finding.quoted(feature), " is not sufficient for an assessment."])
}

# METADATA
# title: No sensitive feature was declared
# custom:
#   rule: promotion.fairness_none_declared
#   severity: medium
#   clause: EU AI Act Art. 10(2)(f)
warn contains finding.of(rego.metadata.rule(), "No sensitive feature is declared, so no fairness was judged.") if {
	input.declared.sensitive == []
}

# METADATA
# title: A group is small
# custom:
#   rule: promotion.fairness_small_group
#   severity: low
warn contains finding.of(rego.metadata.rule(), message) if {
	some feature in input.declared.sensitive
	some record in newest[feature]
	not record.min_n >= settings.effective.fairness.min_group
	message := concat("", ["The smallest group by ", finding.quoted(feature), " is smaller than the policy's minimum, or not stated."])
}
