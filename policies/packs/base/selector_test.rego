package affidavit.selector_test

import data.affidavit.selector
import data.affidavit_test.reading

test_an_item_that_states_nothing_fits_every_request if {
	selector.fits({}) with input as reading
	selector.fits({}) with input as {}
}

test_each_thing_stated_must_fit if {
	every key, value in {
		"actions": "data.read", "environments": "development", "resources": "applications",
		"actors": "ada", "purposes": "credit-scoring",
	} {
		selector.fits({key: [value]}) with input as reading
		selector.fits({key: ["*"]}) with input as reading
		not selector.fits({key: ["other"]}) with input as reading
		not selector.fits({key: []}) with input as reading
		not selector.fits({key: null}) with input as reading
		not selector.fits({key: [value]}) with input as {}
	}
}

test_a_purpose_fits_however_it_is_written if {
	selector.fits({"purposes": ["release"]}) with input as object.union(reading, {"purpose": " Release "})
	selector.fits({"purposes": ["Release"]}) with input as object.union(reading, {"purpose": "Release"})
	not selector.fits({"purposes": ["release"]}) with input as object.union(reading, {"purpose": ["release"]})
}
