package affidavit.separation_test

import data.affidavit
import data.affidavit.access
import data.affidavit.separation
import data.affidavit_test.on_model
import data.affidavit_test.reading

rules := {finding.rule | some finding in separation.deny}

warned := {finding.rule | some finding in separation.warn}

holding(roles) := object.union(reading, {"actor": {"roles": roles}})

test_roles_that_exclude_each_other_are_not_held_together if {
	sets := [["engineer", "approver"]]
	rules == {"separation.exclusive_roles"} with data.separation.exclusive_roles as sets
		with input as holding(["engineer", "approver"])
	separation.allow with data.separation.exclusive_roles as sets with input as holding(["engineer", "auditor"])
	separation.allow with input as holding(["engineer", "approver"])
}

test_a_granted_role_excludes_as_well if {
	rules == {"separation.exclusive_roles"} with data.separation.exclusive_roles as [["engineer", "approver"]]
		with data.access.grants as [{"actor": "ada", "role": "approver"}]
		with input as holding(["engineer"])
}

evidence := {
	"provenance": {"verified": true, "trainer": "Bob ", "makers": ["eve"]},
	"approvals": [{"verified": true, "approver": "carol", "outcome": "approved"}],
	"waivers": [{"verified": true, "person": "dan"}],
}

promoting(person) := object.union(on_model("model.promote"), {"actor": {"id": person}, "evidence": evidence})

test_a_maker_neither_approves_nor_waives if {
	every part in ["approver", "waiver"] {
		every person in ["bob", "BOB ", "Eve"] {
			separation.barred(person, part) with input as promoting("ada")
		}
		not separation.barred("ada", part) with input as promoting("ada")
	}
}

test_of_an_unknown_trainer_anyone_may_be_a_maker if {
	unknown := object.union(on_model("model.promote"), {"evidence": {"approvals": []}})
	separation.barred("carol", "approver") with input as unknown
}

test_more_parts_can_exclude_each_other if {
	pairs := [{"parts": ["maker", "promoter"]}, {"parts": ["approver", "promoter"], "tiers": ["high"]}]
	separation.allow with input as promoting("bob")
	rules == {"separation.promoter"} with data.separation.exclusive_parts as pairs with input as promoting("bob")
	separation.allow with data.separation.exclusive_parts as pairs with input as promoting("ada")
}

asked(tier) := object.union(promoting("carol"), {"resource": {"attributes": {"tier": tier}}})

test_parts_can_exclude_each_other_in_a_tier if {
	pairs := [{"parts": ["approver", "promoter"], "tiers": ["high"]}]
	separation.allow with data.separation.exclusive_parts as pairs with input as asked("low")
	rules == {"separation.promoter"} with data.separation.exclusive_parts as pairs with input as asked("high")
	rules == {"separation.promoter"} with data.separation.exclusive_parts as pairs with input as promoting("carol")
	twice := object.union(asked("low"), {"resource": {"tags": ["tier:high"]}})
	rules == {"separation.promoter"} with data.separation.exclusive_parts as pairs with input as twice
}

emergency := {
	"actor": "ada", "role": "auditor", "break_glass": true, "reason": "incident 7",
	"not_before": "2026-11-21T09:00:00Z", "expires": "2026-11-21T12:00:00Z",
}

disclosing := object.union(reading, {
	"action": "record.disclose", "purpose": "audit",
	"resource": {"kind": "record", "name": "p", "digest": "", "tags": []},
})

test_emergency_access_is_never_silent if {
	outcome := affidavit.disclose with data.access.grants as [emergency] with input as disclosing
	outcome.allow
	some finding in outcome.warn
	finding.rule == "separation.break_glass"
	contains(finding.message, "incident 7")
	{"kind": "log_full", "columns": [], "parameters": {}} in outcome.obligations
}

test_what_was_permitted_anyhow_breaks_no_glass if {
	separation.warn == set() with data.access.grants as [emergency] with input as holding(["auditor"])
	separation.obligations == set() with data.access.grants as [emergency] with input as holding(["auditor"])
}

test_an_emergency_grant_is_bounded if {
	every change in [
		{"reason": " "}, {"expires": "2026-11-23T12:00:00Z"}, {"not_before": null}, {"expires": null},
		{"break_glass": "yes"},
	] {
		grants := [object.union(emergency, change)]
		not access.allow with data.access.grants as grants with input as disclosing
		warned == {"separation.break_glass_unbounded"} with data.access.grants as grants with input as disclosing
	}
	over := [object.union(emergency, {"not_before": "2026-11-21T08:00:00Z", "expires": "2026-11-21T09:59:59Z"})]
	not access.allow with data.access.grants as over with input as disclosing
}

test_settings_that_cannot_be_read_deny if {
	not separation.allow with data.separation.exclusive_roles as null with input as reading
	not separation.allow with data.separation.exclusive_parts as null with input as reading
}
