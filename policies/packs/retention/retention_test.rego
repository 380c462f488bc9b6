package affidavit.retention_test

import data.affidavit.retention
import data.affidavit_test.reading

rules := {finding.rule | some finding in retention.deny}

warned := {finding.rule | some finding in retention.warn}

# The request's time is 2026-11-21T10:00:00Z.
declared(attributes) := object.union(reading, {"resource": {"attributes": attributes}})

collected(at) := declared({"collected": at})

test_nothing_is_limited_by_default if {
	retention.allow with input as reading
	retention.allow with input as collected("1999-01-01T00:00:00Z")
	count(retention.warn) == 0 with input as reading
}

test_data_are_read_until_the_second_in_which_they_are_too_old if {
	days := {"applications": 10}
	retention.allow with data.retention.datasets as days with input as collected("2026-11-11T10:00:01Z")
	rules == {"retention.expired"} with data.retention.datasets as days with input as collected("2026-11-11T10:00:00Z")
	not retention.allow with data.retention.datasets as days with input as collected("2026-11-11T10:00:00Z")
}

test_the_strictest_of_dataset_tag_and_purpose_counts if {
	old := object.union(collected("2026-11-01T00:00:00Z"), {"columns": [{"name": "a", "tags": ["identifier"]}]})
	retention.allow with data.retention.datasets as {"applications": 90} with input as old
	rules == {"retention.expired"} with data.retention.datasets as {"applications": 90}
		with data.retention.tags as {"identifier": 10}
		with input as old
	rules == {"retention.expired"} with data.retention.purposes as {"credit-scoring": 5} with input as old
	rules == {"retention.expired"} with data.retention.tags as {"health": 5}
		with input as object.union(old, {"resource": {"tags": ["health"]}})
	retention.allow with data.retention.purposes as {"audit": 5} with input as old
}

test_the_general_limit_counts_where_nothing_else_does if {
	old := collected("2026-11-01T00:00:00Z")
	rules == {"retention.expired"} with data.retention.max_age_days as 5 with input as old
	retention.allow with data.retention.max_age_days as 5 with data.retention.datasets as {"applications": 90}
		with input as old
}

test_limited_data_without_a_usable_date_are_denied if {
	every attributes in [{}, {"collected": "in spring"}, {"collected": 7}, {"collected": "2026-11-22T00:00:00Z"}] {
		rules == {"retention.undated"} with data.retention.max_age_days as 365 with input as declared(attributes)
		not retention.allow with data.retention.max_age_days as 365 with input as declared(attributes)
	}
	rules == {"retention.undated"} with data.retention.max_age_days as 365 with input as reading
}

test_a_stated_end_holds_without_any_limit if {
	retention.allow with input as declared({"expires": "2026-11-21T10:00:01Z"})
	rules == {"retention.expired"} with input as declared({"expires": "2026-11-21T10:00:00Z"})
	every end in ["never", null, 7] {
		rules == {"retention.unreadable"} with input as declared({"expires": end})
		not retention.allow with input as declared({"expires": end})
	}
}

test_a_dataset_may_declare_its_own_days if {
	own := declared({"collected": "2026-11-01T00:00:00Z", "retention_days": 30})
	retention.allow with input as own
	rules == {"retention.expired"} with input as object.union(own, {"resource": {"attributes": {"retention_days": 7}}})
	every days in [-1, 1.5, "30", null] {
		"retention.unreadable" in rules with input as object.union(own, {"resource": {"attributes": {"retention_days": days}}})
	}
}

test_a_near_end_is_warned_of if {
	soon := collected("2026-11-11T10:00:01Z")
	warned == {"retention.near"} with data.retention.max_age_days as 10 with input as soon
	warned == set() with data.retention.max_age_days as 10 with data.retention.warn_days as 0 with input as soon
	warned == set() with data.retention.max_age_days as 100 with input as soon
	warned == set() with data.retention.max_age_days as 1 with input as soon
}

test_tables_that_cannot_be_read_deny if {
	not retention.allow with data.retention.datasets as null with input as reading
	not retention.allow with data.retention.tags as [] with input as reading
	not retention.allow with data.retention.purposes as 7 with input as reading
}
