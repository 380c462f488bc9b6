# METADATA
# title: Laws
# description: >-
#   The packs of single laws as one rule set. Each says itself which actions and which declared scope it
#   concerns, and is silent on everything else.
package affidavit.laws

import data.affidavit.ecoa
import data.affidavit.gdpr
import data.affidavit.hipaa
import data.affidavit.ll144

default allow := false

allow if {
	hipaa.allow
	gdpr.allow
	ll144.allow
	ecoa.allow
}

deny := ((hipaa.deny | gdpr.deny) | ll144.deny) | ecoa.deny

warn := gdpr.warn

obligations := hipaa.obligations | ecoa.obligations
