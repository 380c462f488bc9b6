# METADATA
# title: ECOA and Regulation B
# description: >-
#   A column that holds a prohibited basis is never a feature; a credit decision can be explained. A
#   column with a tag of a basis is in scope anywhere; a system is where it is tagged ecoa, or
#   declares ecoa among its frameworks.
# related_resources:
#   - https://www.ecfr.gov/current/title-12/section-1002.2
#   - https://www.ecfr.gov/current/title-12/section-1002.9
package affidavit.ecoa

import data.affidavit.finding
import data.affidavit.scope

default allow := false

allow if count(deny) == 0

obligations contains {"kind": "exclude_as_feature", "columns": names, "parameters": {}} if {
	input.action in {"data.read", "model.train"}
	names := sort({column.name |
		some column in input.columns
		some tag in column.tags
		data.ecoa.bases[tag]
	})
	count(names) > 0
}

obligations contains {"kind": "explain", "columns": [], "parameters": {}} if {
	input.action == "model.serve"
	scope.named("ecoa")
}

# METADATA
# title: The reasons for an adverse action can be given
# custom:
#   rule: ecoa.reasons
#   severity: high
#   clause: ECOA/Reg B 1002.9(b)(2)
deny contains finding.of(rego.metadata.rule(), "No verified explanation of the model exists, from which the reasons for an adverse action could be given.") if {
	input.action == "model.promote"
	scope.named("ecoa")
	not explained
}

explained if {
	some explanation in input.evidence.explanations
	explanation.verified == true
}
