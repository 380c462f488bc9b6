# METADATA
# title: Retention
# description: >-
#   Data are read until they are too old for dataset, tag or purpose, or until the end that they
#   state themselves; what is limited needs a date of collection.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2016/679/oj
package affidavit.retention

import data.affidavit.clock
import data.affidavit.columns
import data.affidavit.finding
import data.affidavit.selector

default allow := false

allow if {
	readable
	unlimited
	count(deny) == 0
}

allow if {
	readable
	count(ends) > 0
	every end in ends {
		clock.now < end
	}
	count(deny) == 0
}

readable if {
	is_object(data.retention.datasets)
	is_object(data.retention.tags)
	is_object(data.retention.purposes)
}

attributes := object.get(input, ["resource", "attributes"], {})

specific contains data.retention.datasets[input.resource.name]

specific contains days if {
	some tag, days in data.retention.tags
	tag in (columns.tags | {tag | some tag in input.resource.tags})
}

specific contains days if {
	some purpose, days in data.retention.purposes
	purpose in selector.purposes
}

specific contains attributes.retention_days

# The general limit counts where nothing else limits.
limits := specific if count(specific) > 0

limits := {data.retention.max_age_days} if {
	count(specific) == 0
	data.retention.max_age_days != null
}

limits := set() if {
	count(specific) == 0
	data.retention.max_age_days == null
}

unlimited if {
	count(limits) == 0
	not "expires" in object.keys(attributes)
}

whole(days) if {
	is_number(days)
	days >= 0
	days == floor(days)
}

collected := at if {
	at := clock.seconds(attributes.collected)
	at <= clock.now
}

ends contains collected + (days * 86400) if {
	some days in limits
	whole(days)
}

ends contains clock.seconds(attributes.expires)

unreadable if {
	some days in limits
	not whole(days)
}

unreadable if {
	"expires" in object.keys(attributes)
	not clock.seconds(attributes.expires)
}

# METADATA
# title: Data that are kept for a limited time say since when
# custom:
#   rule: retention.undated
#   severity: high
#   clause: GDPR Art. 5(1)(e)
deny contains finding.of(rego.metadata.rule(), message) if {
	count(limits) > 0
	not collected
	message := concat("", [
		"How long ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" is kept is limited, and the dataset states no readable date in the past as collected.",
	])
}

# METADATA
# title: Limits and stated ends can be read
# custom:
#   rule: retention.unreadable
#   severity: high
#   clause: GDPR Art. 5(1)(e)
deny contains finding.of(rego.metadata.rule(), "A limit of retention is not a number of whole days, or the dataset's expires is not RFC 3339.") if {
	unreadable
}

# METADATA
# title: The data are not kept for too long
# custom:
#   rule: retention.expired
#   severity: high
#   clause: GDPR Art. 5(1)(e)
deny contains finding.of(rego.metadata.rule(), message) if {
	some end in ends
	clock.now >= end
	message := concat("", [
		"The time for which ", finding.quoted(object.get(input, ["resource", "name"], null)), " may be used for ",
		finding.quoted(object.get(input, "purpose", null)), " is over.",
	])
}

# METADATA
# title: The data will soon be kept for too long
# custom:
#   rule: retention.near
#   severity: low
#   clause: GDPR Art. 5(1)(e)
warn contains finding.of(rego.metadata.rule(), message) if {
	some end in ends
	clock.now < end
	clock.now >= end - (data.retention.warn_days * 86400)
	message := concat("", [
		"The time for which ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" may be used ends within the days of notice (retention.warn_days).",
	])
}
