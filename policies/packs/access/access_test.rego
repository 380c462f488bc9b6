package affidavit.access_test

import data.affidavit.access
import data.affidavit_test.reading

grant(dates) := object.union({"actor": "ada", "role": "auditor"}, dates)

disclosing := object.union(reading, {
	"action": "record.disclose",
	"resource": {"kind": "record", "name": "p", "digest": "", "tags": []},
})

allowed_with(grants) if access.allow with data.access.grants as grants with input as disclosing

test_the_default_role_reads if access.allow with input as reading

test_the_default_role_discloses_nothing if {
	not access.allow with input as disclosing
	"access.not_permitted" in {f.rule | some f in access.deny} with input as disclosing
}

test_no_default_role_denies if not access.allow with data.access.default_role as null with input as reading

test_an_unknown_role_denies if {
	every name in ["__proto__", "admin", "*", "engineer "] {
		not access.allow with input as object.union(reading, {"actor": {"id": "a", "roles": [name]}})
	}
}

test_a_grant_without_dates_holds if allowed_with([grant({})])

test_a_grant_holds_until_it_expires if {
	allowed_with([grant({"expires": "2026-11-21T10:00:01Z"})])
	not allowed_with([grant({"expires": "2026-11-21T10:00:00Z"})])
	allowed_with([grant({"expires": "2026-11-21T11:00:00+00:30"})])
	not allowed_with([grant({"expires": "2026-11-21T11:00:00+01:00"})])
}

test_a_grant_holds_from_its_beginning if {
	allowed_with([grant({"not_before": "2026-11-21T10:00:00Z"})])
	not allowed_with([grant({"not_before": "2026-11-21T10:00:01Z"})])
}

test_a_grant_with_an_unreadable_date_is_not_in_force if {
	grants := [grant({"expires": "never"})]
	not allowed_with(grants)
	"access.grant_unreadable" in {f.rule | some f in access.warn} with data.access.grants as grants
		with input as disclosing
}

test_a_grant_of_somebody_else_is_nothing if not allowed_with([object.union(grant({}), {"actor": "bob"})])

tagged(tags) := object.union(reading, {"resource": {"tags": tags}})

test_tags_must_all_be_covered if {
	roles := {"engineer": {"permissions": [{"actions": ["data.read"], "tags": ["open"]}]}}
	access.allow with data.access.roles as roles with input as tagged(["open"])
	access.allow with data.access.roles as roles with input as tagged([])
	not access.allow with data.access.roles as roles with input as tagged(["open", "health"])
}

test_the_suspended_are_denied if {
	not access.allow with data.access.suspended as ["ada"] with input as reading
	"access.suspended" in {f.rule | some f in access.deny} with data.access.suspended as ["ada"]
		with input as reading
}
