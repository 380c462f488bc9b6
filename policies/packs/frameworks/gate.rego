# METADATA
# title: Frameworks at the gate
# description: >-
#   What the gate makes of the same answers: a missing clause denies where the data say so, and warns
#   otherwise; what is partial or a person's is told once for each framework.
package affidavit.framework_gate

import data.affidavit.finding
import data.affidavit.frameworks
import data.affidavit.settings

default allow := false

allow if count(deny) == 0

lenient if settings.effective.frameworks == "warn"

deny := frameworks.deny if lenient

deny := frameworks.deny | frameworks.missing if not lenient

warn := frameworks.missing | open if lenient

warn := open if not lenient

# METADATA
# title: Clauses of a framework have a part of their evidence, or wait for a person
# custom:
#   rule: frameworks.open
#   severity: low
open contains object.union(finding.of(rego.metadata.rule(), message), {"clause": short}) if {
	some id in frameworks.declared
	short := data.frameworks[id].short
	partial := [answer | some answer in frameworks.answers; answer.framework == id; answer.state == "partial"]
	person := [answer | some answer in frameworks.answers; answer.framework == id; answer.state == "person"]
	count(partial) + count(person) > 0
	message := concat("", [
		"Clauses with a part of their evidence: ", format_int(count(partial), 10),
		"; waiting for a person's answer: ", format_int(count(person), 10), ".",
	])
}
