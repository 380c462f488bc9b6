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

# Conditions on attributes.
of_department(department) := object.union(reading, {
	"actor": {"attributes": {"department": department, "clearance": 3, "projects": ["a", "b"]}},
	"resource": {"attributes": {"department": "lending", "project": "b"}},
})

nobody := {"engineer": {"permissions": []}}

permit(more) := [object.union({"id": "p", "actions": ["data.read"], "tags": ["*"]}, more)]

permitted_by(more, request) if access.allow with data.access.roles as nobody
	with data.access.permits as permit(more)
	with input as request

asks(conditions) := {"conditions": conditions}

test_attributes_permit_what_no_role_does if {
	same := asks([{"attribute": "actor.department", "same_as": "resource.department"}])
	permitted_by(same, of_department("lending"))
	not permitted_by(same, of_department("sales"))
	not permitted_by(same, reading)
}

test_every_word_of_a_condition_permits_and_denies if {
	request := object.union(of_department("lending"), {
		"place": {"region": "eu"}, "client": {"address": "10.0.0.1"},
	})
	every held in [
		{"attribute": "actor.department", "is": ["lending"]},
		{"attribute": "actor.department", "is_not": ["sales"]},
		{"attribute": "actor.clearance", "at_least": 3, "at_most": 3},
		{"attribute": "actor.projects", "is": ["b", "c"]},
		{"attribute": "actor.projects", "same_as": "resource.project"},
		{"attribute": "resource.project", "same_as": "actor.projects"},
		{"attribute": "place.region", "is": ["eu"]},
		{"attribute": "client.address", "is": ["10.0.0.1"]},
		{"attribute": "environment", "is": ["development"]},
		{"attribute": "purpose", "is": ["credit-scoring"]},
	] {
		permitted_by(asks([held]), request)
	}
	every failing in [
		{"attribute": "actor.department", "is": ["sales"]},
		{"attribute": "actor.department", "is": "lending"},
		{"attribute": "actor.department", "is_not": ["lending"]},
		{"attribute": "actor.department", "is_not": "sales"},
		{"attribute": "actor.clearance", "at_least": 4},
		{"attribute": "actor.clearance", "at_most": 2},
		{"attribute": "actor.department", "at_least": 1},
		{"attribute": "actor.projects", "is": ["c"]},
		{"attribute": "actor.unknown", "is_not": ["a"]},
		{"attribute": "actor.department", "same_as": "resource.unknown"},
		{"attribute": "actor.department"},
		{"attribute": "actor.department", "is": ["lending"], "equals": "lending"},
		{"attribute": "request_id", "is": ["r-1"]},
		{"attribute": 7, "is": [7]},
		{},
	] {
		not permitted_by(asks([failing]), request)
	}
}

test_a_permit_is_for_its_resources_tags_roles_and_hours if {
	every fitting in [
		{"resources": ["applications"]}, {"actors": ["ada"]}, {"roles": ["engineer"]}, {"purposes": ["credit-scoring"]},
		{"environments": ["development"]}, {"tags": []}, {"expires": "2026-11-21T10:00:01Z"},
		{"hours": {"days": ["sat"], "from": "10:00", "until": "10:01"}},
	] {
		permitted_by(fitting, reading)
	}
	every other in [
		{"resources": ["other"]}, {"actors": ["bob"]}, {"roles": ["auditor"]}, {"purposes": ["marketing"]},
		{"environments": ["production"]}, {"actions": ["model.train"]}, {"expires": "2026-11-21T10:00:00Z"},
		{"not_before": "2026-11-21T10:00:01Z"}, {"expires": "never"},
		{"hours": {"days": ["fri"], "from": "00:00", "until": "24:00"}}, {"hours": {"from": "ten", "until": "24:00"}},
	] {
		not permitted_by(other, reading)
	}
	not permitted_by({"tags": ["open"]}, tagged(["open", "health"]))
}

test_a_role_can_permit_on_conditions if {
	roles := {"engineer": {"permissions": [{
		"actions": ["data.read"], "tags": ["*"],
		"conditions": [{"attribute": "actor.clearance", "at_least": 3}],
	}]}}
	access.allow with data.access.roles as roles with input as of_department("lending")
	not access.allow with data.access.roles as roles with input as reading
}

prohibited_by(rule, request) if "access.prohibited" in {f.rule | some f in access.deny} with data.access.prohibits as [rule]
	with input as request

test_a_prohibition_goes_before_every_permission if {
	prohibited_by({"id": "none"}, reading)
	not access.allow with data.access.prohibits as [{"id": "none"}] with data.access.permits as permit({})
		with input as reading
	not prohibited_by({"id": "x", "actions": ["model.train"]}, reading)
	not prohibited_by({"id": "x", "roles": ["auditor"]}, reading)
	prohibited_by({"id": "x", "tags": ["health"]}, tagged(["open", "health"]))
	not prohibited_by({"id": "x", "tags": ["health"]}, tagged(["open"]))
}

test_a_prohibition_holds_unless_what_is_known_speaks_against_it if {
	outside := {"id": "x", "conditions": [{"attribute": "place.region", "is_not": ["eu"]}]}
	prohibited_by(outside, reading)
	prohibited_by(outside, object.union(reading, {"place": {"region": "us"}}))
	not prohibited_by(outside, object.union(reading, {"place": {"region": "eu"}}))
	contractors := {"id": "x", "conditions": [{"attribute": "actor.contractor", "is": [true]}]}
	prohibited_by(contractors, reading)
	prohibited_by(contractors, object.union(reading, {"actor": {"attributes": {"contractor": true}}}))
	not prohibited_by(contractors, object.union(reading, {"actor": {"attributes": {"contractor": false}}}))
	prohibited_by({"id": "x", "conditions": [{"attribute": "environment", "equals": "production"}]}, reading)
}

test_a_prohibition_has_its_time_and_one_that_cannot_be_read_has_all if {
	every holding in [
		{"expires": "2026-11-21T10:00:01Z"}, {"not_before": "2026-11-21T10:00:00Z"}, {"expires": "never"},
		{"hours": {"from": "10:00", "until": "11:00"}}, {"hours": {"from": "ten", "until": "11:00"}},
	] {
		prohibited_by(object.union({"id": "x"}, holding), reading)
	}
	every over in [
		{"expires": "2026-11-21T10:00:00Z"}, {"not_before": "2026-11-21T10:00:01Z"},
		{"hours": {"from": "11:00", "until": "12:00"}},
	] {
		not prohibited_by(object.union({"id": "x"}, over), reading)
	}
}

test_a_purpose_that_is_not_text_escapes_no_prohibition if {
	prohibited_by({"id": "x"}, object.union(reading, {"purpose": 7}))
}

test_a_grant_can_be_limited if {
	every fitting in [
		{"resources": ["p"]}, {"purposes": ["credit-scoring"]}, {"tags": []}, {"environments": ["development"]},
		{"hours": {"from": "10:00", "until": "11:00"}},
	] {
		allowed_with([grant(fitting)])
	}
	every other in [
		{"resources": ["q"]}, {"purposes": ["audit"]}, {"environments": ["production"]},
		{"hours": {"from": "11:00", "until": "12:00"}},
	] {
		not allowed_with([grant(other)])
	}
	limited := object.union(disclosing, {"resource": {"tags": ["health"]}})
	not access.allow with data.access.grants as [grant({"tags": ["open"]})] with input as limited
	access.allow with data.access.grants as [grant({"tags": ["health"]})] with input as limited
}
