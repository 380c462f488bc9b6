package affidavit.frameworks_test

import data.affidavit
import data.affidavit_test.on_model

at := "2026-11-21T10:00:00Z"

# One framework of the tests' own: a clause for each state and each way to it.
clause(id, mode, evidence) := {
	"id": id, "title": id, "summary": id, "mode": mode, "in_force": [{"from": "2026-01-01"}], "evidence": evidence,
}

house(clauses) := {"house": {"short": "House", "clauses": clauses}}

asking(attributes, facts) := object.union(on_model("model.assess"), {
	"resource": {"attributes": object.union({"frameworks": ["house"]}, attributes)},
	"evidence": {"facts": facts},
	"time": at,
})

fact(count_of, newest) := {"verified": true, "count": count_of, "newest": newest, "entries": [1]}

# The state of the only clause.
only(outcome) := state if {
	some findings in [outcome.deny, outcome.warn]
	some finding in findings
	finding.rule in every_rule
	state := finding.rule
}

every_rule := {
	"frameworks.met", "frameworks.partial", "frameworks.person", "frameworks.missing",
	"frameworks.not_in_force", "frameworks.not_applicable",
}

state_of(one, attributes, facts) := state if {
	outcome := affidavit.controls with data.frameworks as house([one]) with input as asking(attributes, facts)
	state := only(outcome)
}

test_each_mode_has_its_states if {
	evidence := [{"kind": "evaluation"}, {"kind": "fairness"}]
	both := {"evaluation": fact(1, at), "fairness": fact(1, at)}
	half := {"evaluation": fact(1, at)}
	state_of(clause("1", "automatic", evidence), {}, both) == "frameworks.met"
	state_of(clause("1", "automatic", evidence), {}, half) == "frameworks.partial"
	state_of(clause("1", "automatic", evidence), {}, {}) == "frameworks.missing"
	state_of(clause("1", "mixed", evidence), {}, both) == "frameworks.person"
	state_of(clause("1", "mixed", evidence), {}, half) == "frameworks.partial"
	state_of(clause("1", "mixed", evidence), {}, {}) == "frameworks.missing"
	state_of(clause("1", "human", []), {}, {}) == "frameworks.person"
}

test_what_no_rule_knows_is_missing if {
	state_of(clause("1", "sometimes", [{"kind": "evaluation"}]), {}, {}) == "frameworks.missing"
	state_of(clause("1", "automatic", []), {}, {}) == "frameworks.missing"
	state_of(clause("1", "automatic", [{"kind": "unheard-of"}]), {}, {}) == "frameworks.missing"
}

test_one_of_several_suffices if {
	one := clause("1", "automatic", [{"any": [{"kind": "witness"}, {"kind": "time_stamp"}]}])
	state_of(one, {}, {"time_stamp": fact(1, null)}) == "frameworks.met"
	state_of(one, {}, {}) == "frameworks.missing"
}

test_evidence_counts_only_if_it_is_verified_enough_and_recent if {
	old := clause("1", "automatic", [{"kind": "evaluation", "max_age_days": 10}])
	state_of(old, {}, {"evaluation": fact(1, "2026-11-11T10:00:00Z")}) == "frameworks.met"
	state_of(old, {}, {"evaluation": fact(1, "2026-11-11T09:59:59Z")}) == "frameworks.missing"
	state_of(old, {}, {"evaluation": fact(1, "2026-11-21T10:00:01Z")}) == "frameworks.missing"
	state_of(old, {}, {"evaluation": fact(1, null)}) == "frameworks.missing"
	state_of(old, {}, {"evaluation": fact(1, "yesterday")}) == "frameworks.missing"
	many := clause("1", "automatic", [{"kind": "evaluation", "min": 2}])
	state_of(many, {}, {"evaluation": fact(2, at)}) == "frameworks.met"
	state_of(many, {}, {"evaluation": fact(1, at)}) == "frameworks.missing"
	plain := clause("1", "automatic", [{"kind": "evaluation"}])
	state_of(plain, {}, {"evaluation": fact(1, "2027-01-01T00:00:00Z")}) == "frameworks.missing"
	every flaw in [{"verified": false}, {"verified": "true"}, {"count": "1"}, {"count": 0}] {
		state_of(plain, {}, {"evaluation": object.union(fact(1, at), flaw)}) == "frameworks.missing"
	}
}

test_a_declaration_says_something if {
	one := clause("1", "automatic", [{"declared": "owner"}])
	every said in ["Retail", 3, true, ["a", "b"]] {
		state_of(one, {"owner": said}, {}) == "frameworks.met"
	}
	every silent in ["", "  ", false, null, [], [""], {}] {
		state_of(one, {"owner": silent}, {}) == "frameworks.missing"
	}
}

test_a_clause_is_set_aside_only_by_what_is_declared if {
	one := object.union(clause("1", "human", []), {"applies": {"role": ["deployer"], "workplace": [true]}})
	state_of(one, {}, {}) == "frameworks.person"
	state_of(one, {"role": "deployer"}, {}) == "frameworks.person"
	state_of(one, {"role": ["provider", "deployer"]}, {}) == "frameworks.person"
	state_of(one, {"role": "provider"}, {}) == "frameworks.not_applicable"
	state_of(one, {"workplace": false}, {}) == "frameworks.not_applicable"
	state_of(one, {"role": 7}, {}) == "frameworks.not_applicable"
}

in_force(windows) := object.union(clause("1", "human", []), {"in_force": windows})

test_dates_switch_at_the_second if {
	expected := {
		"2026-11-20T23:59:59Z": "frameworks.not_in_force",
		"2026-11-21T00:00:00Z": "frameworks.person",
		"2026-11-21T23:59:59.999Z": "frameworks.person",
		"2026-11-22T00:00:00Z": "frameworks.not_in_force",
	}
	day := house([in_force([{"from": "2026-11-21", "until": "2026-11-22"}])])
	every time, wanted in expected {
		outcome := affidavit.controls with data.frameworks as day with input as object.union(asking({}, {}), {"time": time})
		only(outcome) == wanted
	}
}

test_a_window_can_be_for_some_systems if {
	windows := [{"from": "2026-01-01", "when": {"high_risk": ["annex_iii"]}}, {"from": "2030-01-01", "when": {"high_risk": ["annex_i"]}}]
	state_of(in_force(windows), {"high_risk": "annex_iii"}, {}) == "frameworks.person"
	state_of(in_force(windows), {"high_risk": "annex_i"}, {}) == "frameworks.not_in_force"
	state_of(in_force(windows), {"high_risk": "none"}, {}) == "frameworks.not_applicable"
	state_of(in_force(windows), {}, {}) == "frameworks.person"
}

test_a_date_that_cannot_be_read_leaves_the_clause_in_force if {
	state_of(in_force([{"from": "some day"}]), {}, {}) == "frameworks.person"
	state_of(in_force([{"from": "2026-01-01", "until": "some day"}]), {}, {}) == "frameworks.person"
	state_of(in_force([{"from": "2026-01-01T00:00:00Z"}]), {}, {}) == "frameworks.person"
}

rules := {finding.rule | some finding in affidavit.controls.deny}

test_an_unknown_framework_denies if {
	"frameworks.unknown" in rules with input as asking({"frameworks": ["none-such"]}, {})
}

test_frameworks_that_are_no_list_deny if {
	every wrong in ["eu_ai_act", [7], [""], {"eu_ai_act": true}] {
		"frameworks.declaration" in rules with input as asking({"frameworks": wrong}, {})
	}
}

test_every_clause_has_exactly_one_answer if {
	every id in object.keys(data.frameworks) {
		request := asking({"frameworks": [id]}, {"evaluation": fact(1, at)})
		outcome := affidavit.controls with input as request
		named := [finding.clause | some findings in [outcome.deny, outcome.warn]; some finding in findings]
		count(named) == count(data.frameworks[id].clauses)
		count({name | some name in named}) == count(named)
	}
}

test_missing_denies_and_the_rest_warns if {
	two := house([clause("1", "automatic", [{"kind": "evaluation"}]), clause("2", "human", [])])
	lacking := affidavit.controls with data.frameworks as two with input as asking({}, {})
	not lacking.allow
	{finding.clause | some finding in lacking.deny} == {"House 1"}
	{finding.clause | some finding in lacking.warn} == {"House 2"}
	held := affidavit.controls with data.frameworks as two with input as asking({}, {"evaluation": fact(1, at)})
	held.allow
}

test_who_may_not_assess_is_denied if {
	request := object.union(asking({}, {}), {"actor": {"id": "svc", "roles": ["service"]}})
	"access.not_permitted" in rules with data.frameworks as house([clause("2", "human", [])]) with input as request
}

test_a_system_without_frameworks_has_nothing_to_answer if {
	outcome := affidavit.controls with input as on_model("model.assess")
	outcome.allow
	count(outcome.warn) == 0
}
