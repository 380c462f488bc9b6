package affidavit.ll144_test

import data.affidavit
import data.affidavit.ll144
import data.affidavit_test.on_model

facts := {
	"frameworks": ["ll144"],
	"bias_audit": "2026-03-02",
	"bias_audit_summary": "https://example.org/audit",
	"notice_given": "2026-11-01",
}

using(attributes, time) := object.union(on_model("model.serve"), {
	"resource": {"attributes": object.union(facts, attributes)},
	"time": time,
})

now := "2026-11-21T10:00:00Z"

rules := {finding.rule | some finding in affidavit.serve.deny}

test_a_tool_that_was_audited_published_and_announced_may_be_used if {
	affidavit.serve.allow with input as using({}, now)
}

test_an_audit_ends_a_year_later_at_midnight if {
	affidavit.serve.allow with input as using({}, "2027-03-02T23:59:59Z")
	rules == {"ll144.audit"} with input as using({}, "2027-03-03T00:00:00Z")
	affidavit.serve.allow with input as using({"bias_audit": "2024-02-29", "notice_given": "2025-01-01"}, "2025-02-28T12:00:00Z")
	rules == {"ll144.audit"} with input as using({"bias_audit": "2024-02-29", "notice_given": "2025-01-01"}, "2025-03-01T00:00:00Z")
}

test_an_audit_of_the_future_or_without_a_day_does_not_count if {
	every wrong in ["2026-11-22", "2026-03", "", "2026-02-30", 20260302] {
		rules == {"ll144.audit"} with input as using({"bias_audit": wrong}, now)
	}
}

test_the_summary_is_published if {
	rules == {"ll144.summary"} with input as using({"bias_audit_summary": " "}, now)
}

test_notice_is_ten_business_days_before if {
	affidavit.serve.allow with input as using({"notice_given": "2026-11-06"}, "2026-11-20T00:00:00Z")
	rules == {"ll144.notice"} with input as using({"notice_given": "2026-11-06"}, "2026-11-19T23:59:59Z")
	rules == {"ll144.notice"} with input as using({"notice_given": "2026-11-06"}, "2026-11-20T00:00:00Z")
		with data.ll144.holidays as ["2026-11-11"]
	affidavit.serve.allow with input as using({"notice_given": "2026-11-06"}, "2026-11-20T00:00:00Z")
		with data.ll144.holidays as ["2026-11-14", "2026-11-06", "2026-12-25", "no day"]
	rules == {"ll144.notice"} with input as using({"notice_given": "soon"}, now)
}

# OPA's calendar is the oracle.
test_weekdays_are_those_of_the_calendar if {
	names := ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
	every at in numbers.range(20000, 20030) {
		names[ll144.weekday(at)] == time.weekday(at * 86400000000000)
	}
	every length in numbers.range(0, 30) {
		counted := count([at | some at in numbers.range(20001, 20000 + length); ll144.weekday(at) < 5; length > 0])
		ll144.business_days(20000, 20000 + length) == counted with data.ll144.holidays as []
	}
}

test_other_systems_are_left_alone if {
	affidavit.serve.allow with input as on_model("model.serve")
}
