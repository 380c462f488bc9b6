package affidavit.limits_test

import data.affidavit
import data.affidavit.limits
import data.affidavit_test.on_model

serving := on_model("model.serve")

at(region) := object.union(serving, {"place": {"region": region}})

from(address) := object.union(serving, {"client": {"address": address}})

rules := {finding.rule | some finding in limits.deny}

test_nothing_is_limited_by_default if {
	limits.allow with input as serving
	limits.obligations == set() with input as serving
}

test_a_model_runs_in_its_regions if {
	lists := {"credit-risk": ["eu"]}
	limits.allow with data.serving.regions as lists with input as at("eu")
	rules == {"serving.region"} with data.serving.regions as lists with input as at("us")
	rules == {"serving.region_unknown"} with data.serving.regions as lists with input as serving
	rules == {"serving.region"} with data.serving.regions as lists
		with input as object.union(at("us"), {"action": "model.load"})
	limits.allow with data.serving.regions as {"other": ["eu"]} with input as at("us")
}

test_what_is_set_for_a_model_goes_before_what_is_set_for_all if {
	lists := {"*": ["eu"], "credit-risk": ["us"]}
	limits.allow with data.serving.regions as lists with input as at("us")
	rules == {"serving.region"} with data.serving.regions as lists with input as at("eu")
	rules == {"serving.region"} with data.serving.regions as {"*": ["eu"]} with input as at("us")
	limits.allow with data.serving.regions as {"*": ["*"]} with input as at("us")
}

test_a_model_is_served_to_its_networks if {
	lists := {"credit-risk": ["10.0.0.0/8", "2001:db8::/32"]}
	every address in ["10.1.2.3", "2001:db8::1"] {
		limits.allow with data.serving.networks as lists with input as from(address)
	}
	every address in ["11.0.0.1", "::1", "10.1.2.3, 11.0.0.1", "ten", "10.0.0.0/4"] {
		rules == {"serving.client"} with data.serving.networks as lists with input as from(address)
	}
	every request in [serving, from(""), from(7)] {
		rules == {"serving.client_unknown"} with data.serving.networks as lists with input as request
	}
	rules == {"serving.client"} with data.serving.networks as {"*": []} with input as from("10.1.2.3")
}

test_loading_has_no_caller if {
	limits.allow with data.serving.networks as {"*": ["10.0.0.0/8"]} with input as on_model("model.load")
}

test_each_rate_that_fits_is_an_obligation if {
	rates := [
		{"calls": 5, "seconds": 1, "per": "client"},
		{"calls": 1000, "seconds": 3600, "per": "actor", "resources": ["credit-risk"]},
		{"calls": 1, "seconds": 1, "per": "model", "resources": ["other"]},
		{"calls": 1, "seconds": 1, "per": "model", "roles": ["auditor"]},
	]
	found := affidavit.serve.obligations with data.serving.rates as rates with input as serving
	found == {
		{"kind": "limit_rate", "columns": [], "parameters": {"calls": 5, "seconds": 1, "per": "client"}},
		{"kind": "limit_rate", "columns": [], "parameters": {"calls": 1000, "seconds": 3600, "per": "actor"}},
	}
}

test_settings_that_cannot_be_read_deny if {
	not limits.allow with data.serving.rates as null with input as serving
	not limits.allow with data.serving.regions as null with input as serving
	not limits.allow with data.serving.networks as [] with input as serving
}
