# METADATA
# title: Serving limits
# description: >-
#   How often a model is called, from which networks, and in which regions it runs.
# related_resources:
#   - https://eur-lex.europa.eu/eli/reg/2024/1689/oj
package affidavit.limits

import data.affidavit.access
import data.affidavit.finding
import data.affidavit.selector

default allow := false

allow if {
	is_array(data.serving.rates)
	is_object(data.serving.regions)
	is_object(data.serving.networks)
	in_region
	in_network
	count(deny) == 0
}

# What is set for a model goes before what is set for all of them.
of_model(table) := object.get(table, object.get(input, ["resource", "name"], ""), object.get(table, "*", null))

regions := of_model(data.serving.regions)

networks := of_model(data.serving.networks)

region := input.place.region if finding.stated(input.place.region)

address := input.client.address if finding.stated(input.client.address)

in_region if regions == null

in_region if region in regions

in_region if "*" in regions

in_network if networks == null

in_network if input.action != "model.serve"

in_network if {
	some network in networks
	net.cidr_contains(network, address)
}

# METADATA
# title: The place of a limited model is known
# custom:
#   rule: serving.region_unknown
#   severity: high
deny contains finding.of(rego.metadata.rule(), message) if {
	not in_region
	not region
	message := concat("", [
		"The model ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" runs in certain regions alone, and the request does not say where it runs (the setting region).",
	])
}

# METADATA
# title: The model runs in a region that is permitted
# custom:
#   rule: serving.region
#   severity: high
deny contains finding.of(rego.metadata.rule(), message) if {
	not in_region
	region
	message := concat("", [
		"The model ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" may not run in the region ", finding.quoted(region), ".",
	])
}

# METADATA
# title: The caller's address is known where networks are limited
# custom:
#   rule: serving.client_unknown
#   severity: high
deny contains finding.of(rego.metadata.rule(), message) if {
	not in_network
	not address
	message := concat("", [
		"The model ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" is served to certain networks alone, and the request does not say where it came from (the middleware's client).",
	])
}

# METADATA
# title: The caller is in a network that is permitted
# custom:
#   rule: serving.client
#   severity: high
deny contains finding.of(rego.metadata.rule(), message) if {
	not in_network
	address
	message := concat("", [
		"The model ", finding.quoted(object.get(input, ["resource", "name"], null)),
		" is not served to the address ", finding.quoted(address), ".",
	])
}

# Every rate that fits is a limit of its own.
obligations contains {
	"kind": "limit_rate",
	"columns": [],
	"parameters": {"calls": rate.calls, "seconds": rate.seconds, "per": rate.per},
} if {
	input.action == "model.serve"
	some rate in data.serving.rates
	selector.fits(rate)
	selector.chosen(rate, "roles", access.roles)
}
