# METADATA
# title: Lawful basis and consent
# description: >-
#   The basis of GDPR Art. 6(1) that is declared of a dataset and a purpose. Consent is of each
#   person and for its purpose: rows without it are removed, and it does not carry a further purpose.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2016/679/oj
package affidavit.consent

import data.affidavit.clock
import data.affidavit.finding
import data.affidavit.purpose

# GDPR Art. 6(1), points (a) to (f).
bases := {
	"consent", "contract", "legal_obligation",
	"vital_interests", "public_task", "legitimate_interests",
}

default allow := false

allow if {
	not concerned
	count(deny) == 0
}

allow if {
	not by_consent
	basis in bases
	count(deny) == 0
}

allow if {
	by_consent
	declaration_whole
	count(deny) == 0
}

reading if input.action == "data.read"

declared := input.resource.attributes

# What the policy data say of a dataset goes before what the dataset's own declaration says.
stated_bases := purpose.dataset.basis if "basis" in object.keys(purpose.dataset)

stated_bases := declared.lawful_basis if {
	"lawful_basis" in object.keys(declared)
	not policy_states_basis
}

policy_states_basis if "basis" in object.keys(purpose.dataset)

basis := stated_bases if is_string(stated_bases)

basis := stated_bases[input.purpose] if is_object(stated_bases)

concerned if {
	reading
	data.purpose.require_basis != false
}

concerned if {
	reading
	stated_bases
}

by_consent if {
	reading
	basis == "consent"
}

consent := purpose.dataset.consent if "consent" in object.keys(purpose.dataset)

consent := declared.consent if {
	"consent" in object.keys(declared)
	not policy_states_consent
}

policy_states_consent if "consent" in object.keys(purpose.dataset)

declaration_whole if {
	finding.stated(consent.column)
	is_array(consent.values)
	count(consent.values) > 0
	every value in consent.values {
		is_string(value)
	}
}

withdrawn if {
	"withdrawn" in object.keys(consent)
	not standing(consent.withdrawn)
}

standing(at) if at == false

standing(at) if at == null

standing(at) if clock.now < clock.seconds(at)

expired if {
	"expires" in object.keys(consent)
	consent.expires != null
	not standing(consent.expires)
}

# The columns are known once the data were read.
column_missing if {
	input.resource.digest != ""
	not consent.column in {column.name | some column in input.columns}
}

# METADATA
# title: A lawful basis is declared for the purpose
# custom:
#   rule: purpose.basis_missing
#   severity: high
#   clause: GDPR Art. 6(1)
deny contains finding.of(rego.metadata.rule(), message) if {
	concerned
	not basis
	message := concat("", [
		"No lawful basis is declared for using ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" for ", finding.quoted(object.get(input, "purpose", null)), ".",
	])
}

# METADATA
# title: The lawful basis is one of the six
# custom:
#   rule: purpose.basis_unknown
#   severity: high
#   clause: GDPR Art. 6(1)
deny contains finding.of(rego.metadata.rule(), message) if {
	concerned
	basis
	not basis in bases
	message := concat("", [
		"The lawful basis ", finding.quoted(basis), " is none of ", concat(", ", sort(bases)), ".",
	])
}

# METADATA
# title: Consent does not carry a further purpose
# custom:
#   rule: purpose.consent_not_transferable
#   severity: high
#   clause: GDPR Art. 6(4)
deny contains finding.of(rego.metadata.rule(), message) if {
	purpose.further
	some declared_purpose in purpose.dataset.purposes
	basis_of(declared_purpose) == "consent"
	not own_basis
	message := concat("", [
		"The data rest on consent, which does not extend to the further purpose ", finding.quoted(input.purpose), ".",
	])
}

basis_of(_) := stated_bases if is_string(stated_bases)

basis_of(for_purpose) := stated_bases[for_purpose] if is_object(stated_bases)

own_basis if input.purpose in object.keys(stated_bases)

# METADATA
# title: Where consent is the basis, it is declared where each person's stands
# custom:
#   rule: purpose.consent_undeclared
#   severity: high
#   clause: GDPR Art. 7(1)
deny contains finding.of(rego.metadata.rule(), "The basis is consent, and the dataset declares no consent with a column and the values that give it.") if {
	by_consent
	not declaration_whole
}

# METADATA
# title: The column of consent is among the data
# custom:
#   rule: purpose.consent_column_missing
#   severity: high
#   clause: GDPR Art. 7(1)
deny contains finding.of(rego.metadata.rule(), message) if {
	by_consent
	declaration_whole
	column_missing
	message := concat("", ["The data lack the column of consent ", finding.quoted(consent.column), "."])
}

# METADATA
# title: The consent was not withdrawn for the whole dataset
# custom:
#   rule: purpose.consent_withdrawn
#   severity: critical
#   clause: GDPR Art. 7(3)
deny contains finding.of(rego.metadata.rule(), "The consent to this dataset's use was withdrawn.") if {
	by_consent
	withdrawn
}

# METADATA
# title: The consent has not expired
# custom:
#   rule: purpose.consent_expired
#   severity: high
#   clause: GDPR Art. 6(1)(a)
deny contains finding.of(rego.metadata.rule(), "The consent to this dataset's use has expired, or its date cannot be read.") if {
	by_consent
	expired
}

obligations contains {
	"kind": "keep_rows",
	"columns": [consent.column],
	"parameters": {"values": consent.values},
} if {
	by_consent
	declaration_whole
}
