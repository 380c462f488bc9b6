# METADATA
# title: Residency
# description: >-
#   Data are processed only where their declarations permit: every list of regions that applies to
#   dataset and tags must name the place, and where none applies the default does.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2016/679/oj
package affidavit.residency

import data.affidavit.columns
import data.affidavit.finding

default allow := false

allow if {
	readable
	unconstrained
	count(deny) == 0
}

allow if {
	readable
	region
	every list in applicable {
		permits(list)
	}
	count(deny) == 0
}

readable if {
	is_object(data.residency.datasets)
	is_object(data.residency.tags)
}

region := input.place.region if finding.stated(input.place.region)

tags := columns.tags | {tag | some tag in input.resource.tags}

specific contains data.residency.datasets[input.resource.name] if input.resource.kind == "dataset"

specific contains regions if {
	some tag, regions in data.residency.tags
	tag in tags
}

specific contains regions if {
	regions := object.get(input, ["resource", "attributes", "regions"], null)
	regions != null
}

applicable := specific if count(specific) > 0

applicable := {data.residency.default} if {
	count(specific) == 0
	data.residency.default != null
}

applicable := set() if {
	count(specific) == 0
	data.residency.default == null
}

unconstrained if count(applicable) == 0

permits(regions) if {
	is_array(regions)
	"*" in regions
}

permits(regions) if {
	is_array(regions)
	region in regions
}

permits(regions) if {
	is_array(regions)
	some name in regions
	region in data.residency.groups[name]
}

# METADATA
# title: The place of a constrained processing is known
# custom:
#   rule: residency.region_unknown
#   severity: high
#   clause: GDPR Art. 44
deny contains finding.of(rego.metadata.rule(), message) if {
	not unconstrained
	not region
	message := concat("", [
		"The use of ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" is limited to regions, and the request does not say where it runs (the setting region).",
	])
}

# METADATA
# title: The place is one where the data may be processed
# custom:
#   rule: residency.region
#   severity: high
#   clause: GDPR Art. 44
deny contains finding.of(rego.metadata.rule(), message) if {
	some regions in applicable
	region
	not permits(regions)
	message := concat("", [
		"The region ", finding.quoted(region), " is not one where ",
		finding.quoted(object.get(input, ["resource", "name"], null)), " may be processed.",
	])
}
