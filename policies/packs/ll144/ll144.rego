# METADATA
# title: NYC LL144
# description: >-
#   An automated employment decision tool is used no more than a year after its bias audit, with the
#   summary published and notice given ten business days before. In scope is what is tagged ll144, or
#   declares ll144 among its frameworks. Days are counted in UTC.
# related_resources:
#   - https://www.nyc.gov/site/dca/about/automated-employment-decision-tools.page
package affidavit.ll144

import data.affidavit.clock
import data.affidavit.finding
import data.affidavit.scope

default allow := false

allow if not in_scope

allow if count(deny) == 0

in_scope if {
	input.action in {"model.serve", "model.promote"}
	scope.named("ll144")
}

today := floor(clock.now / 86400)

# A declared date as an instant in UTC; undefined where it is none.
instant(name) := text if {
	text := scope.attributes[name]
	endswith(text, "Z")
}

instant(name) := concat("", [text, "T00:00:00Z"]) if {
	text := scope.attributes[name]
	is_string(text)
	count(text) == 10
}

# Its day, counted from 1970-01-01.
day(name) := floor(clock.seconds(instant(name)) / 86400)

audited if {
	day("bias_audit") <= today
	not stale
}

# A year later is the same day of the next year; 29 February has none, and ends on the 28th.
stale if {
	text := instant("bias_audit")
	limit := concat("", [format_int(to_number(substring(text, 0, 4)) + 1, 10), substring(text, 4, 6)])
	substring(input.time, 0, 10) > limit
}

# METADATA
# title: The bias audit is no more than a year old
# custom:
#   rule: ll144.audit
#   severity: critical
#   clause: NYC LL144 20-871(a)(1)
deny contains finding.of(rego.metadata.rule(), "There is no bias audit within the year before use (declare bias_audit, a day).") if {
	in_scope
	not audited
}

# METADATA
# title: The audit's summary is published
# custom:
#   rule: ll144.summary
#   severity: high
#   clause: NYC LL144 20-871(a)(2)
deny contains finding.of(rego.metadata.rule(), "The summary of the bias audit is not published (declare bias_audit_summary, its address).") if {
	in_scope
	not published
}

published if finding.stated(scope.attributes.bias_audit_summary)

# METADATA
# title: Notice was given early enough
# custom:
#   rule: ll144.notice
#   severity: high
#   clause: NYC LL144 20-871(b)(1)
deny contains finding.of(rego.metadata.rule(), message) if {
	in_scope
	not noticed
	message := concat("", [
		"Notice was not given ", finding.number(data.ll144.business_days),
		" business days before use (declare notice_given, a day).",
	])
}

noticed if business_days(day("notice_given"), today) >= data.ll144.business_days

# Business days after one day, up to another and with it.
business_days(first, last) := count_of if {
	days := weekdays(last) - weekdays(first)
	off := {at |
		some text in data.ll144.holidays
		at := floor(clock.seconds(concat("", [text, "T00:00:00Z"])) / 86400)
		at > first
		at <= last
		weekday(at) < 5
	}
	count_of := days - count(off)
}

# Weekdays since Monday 1969-12-29, with the day itself; Monday is 0.
weekdays(at) := (floor((at + 3) / 7) * 5) + min([weekday(at) + 1, 5])

weekday(at) := (at + 3) % 7
