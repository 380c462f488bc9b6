# METADATA
# title: Licence
# description: >-
#   Datasets and models carry SPDX licence ids; which of them a use admits, and what each licence
#   asks of a use, are data.
# related_resources:
#   - https://spdx.org/licenses/
#   - https://spdx.github.io/spdx-spec/v3.0.1/annexes/spdx-license-expressions/
package affidavit.licence

import data.affidavit.finding
import data.affidavit.selector

default allow := false

allow if {
	is_array(data.licence.required)
	is_array(data.licence.rules)
	count(deny) == 0
}

stated := object.get(input, ["resource", "attributes", "licence"], null)

# One id, or a list of ids that all hold; SPDX ids are the same in any case (SPDX 3.0.1, annex B).
ids := {lower(trim_space(stated))} if finding.stated(stated)

ids := {lower(trim_space(id)) | some id in stated} if is_array(stated)

readable if {
	count(ids) > 0
	every id in ids {
		id != ""
	}
}

readable if stated == null

# What is known of each licence that is stated.
facts[id] := known if {
	some id in ids
	some name, known in data.licence.facts
	lower(name) == id
}

required if {
	some item in data.licence.required
	selector.fits(item)
}

# The first rule that fits says which licences the use admits.
rule := [candidate | some candidate in data.licence.rules; selector.fits(candidate)][0]

admitted(_) if "*" in rule.licences

admitted(id) if {
	some licence in rule.licences
	lower(licence) == id
}

# What a licence asks that the purpose may not meet, such as that the use be non-commercial.
restricting[fact] contains id if {
	some id, known in facts
	some fact, permitted in data.licence.restricted_to
	known[fact] == true
	not selector.matches(permitted, selector.purposes)
}

# METADATA
# title: A licence is stated where one is required
# custom:
#   rule: licence.missing
#   severity: high
deny contains finding.of(rego.metadata.rule(), message) if {
	required
	stated == null
	message := concat("", [
		"The use asks for a stated licence, and ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" declares none.",
	])
}

# METADATA
# title: The stated licence can be read
# custom:
#   rule: licence.unreadable
#   severity: high
deny contains finding.of(rego.metadata.rule(), "The declared licence is neither an SPDX id nor a list of ids.") if {
	not readable
}

# METADATA
# title: The licence is one that the use admits
# custom:
#   rule: licence.not_admitted
#   severity: high
deny contains finding.of(rego.metadata.rule(), message) if {
	rule
	some id in ids
	not admitted(id)
	message := concat("", ["The licence ", finding.quoted(id), " is not one that this use admits."])
}

# METADATA
# title: Where a licence is required, it is one of which something is known
# custom:
#   rule: licence.unknown
#   severity: high
deny contains finding.of(rego.metadata.rule(), message) if {
	required
	some id in ids
	not facts[id]
	message := concat("", ["Nothing is known of the licence ", finding.quoted(id), " (licence.facts)."])
}

# METADATA
# title: The purpose is one that the licence permits
# custom:
#   rule: licence.restricted
#   severity: high
deny contains finding.of(rego.metadata.rule(), message) if {
	some fact, found in restricting
	some id in found
	message := concat("", [
		"The licence ", finding.quoted(id), " is ", replace(fact, "_", " "), ", and the purpose ",
		finding.quoted(object.get(input, "purpose", null)), " is not one of those for which that is held to be met.",
	])
}

# METADATA
# title: A licence asks something of whoever passes the result on
# custom:
#   rule: licence.asks
#   severity: low
warn contains finding.of(rego.metadata.rule(), message) if {
	some id, known in facts
	some fact in data.licence.told
	known[fact] == true
	message := concat("", ["The licence ", finding.quoted(id), " asks for ", replace(fact, "_", " "), "."])
}

# METADATA
# title: Something is known of the stated licence
# custom:
#   rule: licence.unjudged
#   severity: low
warn contains finding.of(rego.metadata.rule(), message) if {
	not required
	some id in ids
	not facts[id]
	message := concat("", ["Nothing is known of the licence ", finding.quoted(id), ", so nothing it asks was judged."])
}
