package affidavit.residency_test

import data.affidavit.residency
import data.affidavit_test.reading

rules := {finding.rule | some finding in residency.deny}

at(region) := object.union(reading, {"place": {"region": region}})

tagged(request, tags) := object.union(request, {"columns": [{"name": "a", "tags": tags}]})

test_nothing_is_limited_by_default if {
	residency.allow with input as reading
	residency.allow with input as at("anywhere")
}

test_a_dataset_is_processed_in_its_regions if {
	lists := {"applications": ["eu-central-1"]}
	residency.allow with data.residency.datasets as lists with input as at("eu-central-1")
	rules == {"residency.region"} with data.residency.datasets as lists with input as at("us-east-1")
	residency.allow with data.residency.datasets as {"other": ["eu-central-1"]} with input as at("us-east-1")
}

test_a_constrained_dataset_needs_a_known_region if {
	every request in [reading, at(""), at(" "), at(7), object.union(reading, {"place": "eu"})] {
		rules == {"residency.region_unknown"} with data.residency.datasets as {"applications": ["eu"]}
			with input as request
		not residency.allow with data.residency.datasets as {"applications": ["eu"]} with input as request
	}
}

test_the_tags_of_resource_and_columns_limit if {
	lists := {"health": ["eu"], "finance": ["us"]}
	residency.allow with data.residency.tags as lists with input as tagged(at("eu"), ["health"])
	rules == {"residency.region"} with data.residency.tags as lists with input as tagged(at("eu"), ["health", "finance"])
	whole := object.union(at("us"), {"resource": {"tags": ["health"]}})
	rules == {"residency.region"} with data.residency.tags as lists with input as whole
}

test_the_default_counts_where_nothing_else_does if {
	rules == {"residency.region"} with data.residency.default as ["eu"] with input as at("us")
	residency.allow with data.residency.default as ["eu"] with input as at("eu")
	residency.allow with data.residency.default as ["eu"] with data.residency.datasets as {"applications": ["us"]}
		with input as at("us")
	rules == {"residency.region"} with data.residency.default as [] with input as at("eu")
}

test_a_dataset_may_declare_its_own_limits if {
	own := object.union(at("us"), {"resource": {"attributes": {"regions": ["eu"]}}})
	rules == {"residency.region"} with input as own
	residency.allow with input as object.union(own, {"place": {"region": "eu"}})
	rules == {"residency.region"} with input as object.union(own, {"resource": {"attributes": {"regions": "us"}}})
}

test_a_group_stands_for_its_regions_and_a_star_for_any if {
	groups := {"eu": ["eu-west-1", "eu-central-1"]}
	residency.allow with data.residency.default as ["eu"] with data.residency.groups as groups
		with input as at("eu-west-1")
	rules == {"residency.region"} with data.residency.default as ["eu"] with data.residency.groups as groups
		with input as at("us-east-1")
	residency.allow with data.residency.default as ["*"] with input as at("us-east-1")
}

test_a_list_that_cannot_be_read_permits_nothing if {
	every list in ["*", "eu", {}, 7] {
		not residency.allow with data.residency.default as list with input as at("eu")
	}
}

test_tables_that_cannot_be_read_deny if {
	not residency.allow with data.residency.datasets as null with input as at("eu")
	not residency.allow with data.residency.tags as [] with input as at("eu")
}
