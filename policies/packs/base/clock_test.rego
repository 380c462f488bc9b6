package affidavit.clock_test

import data.affidavit.clock

# OPA's own reading is the oracle.
test_seconds_agree_with_the_builtin if {
	every text in [
		"1970-01-01T00:00:00Z",
		"1999-12-31T23:59:59Z",
		"2000-02-29T12:00:00.123456789Z",
		"2024-02-29T00:00:00Z",
		"2026-03-01T00:00:00+05:30",
		"2026-11-21T10:00:00-08:00",
		"2100-03-01T00:00:00.5+00:00",
		"1900-02-28T23:00:00Z",
	] {
		clock.seconds(text) == floor(time.parse_rfc3339_ns(text) / 1000000000)
	}
}

test_every_month_agrees_with_the_builtin if {
	every month in numbers.range(1, 12) {
		every day in [1, 15, 28] {
			text := sprintf("2027-%02d-%02dT01:02:03Z", [month, day])
			clock.seconds(text) == time.parse_rfc3339_ns(text) / 1000000000
		}
	}
}

test_what_is_no_timestamp_is_undefined if {
	every text in [
		"", "2026", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z",
		"2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z",
		"2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00.1234567890Z", "2026-01-01T00:00:00,5Z", "2026-01-01T00:00:00+24:00",
		"2026-01-01T00:00:00+0100", "2026-01-01T00:00:00+01:60", "+026-01-01T00:00:00Z",
		"2026-01-01T00:00:00ZZ", "2026-1-01T00:00:00Z", "２０２６-01-01T00:00:00Z",
	] {
		not clock.seconds(text)
	}
	not clock.seconds(1)
	not clock.seconds(null)
}

test_now_needs_utc if {
	clock.now == 0 with input as {"time": "1970-01-01T00:00:00Z"}
	not clock.now with input as {"time": "1970-01-01T00:00:00+00:00"}
}

# 2026-11-21 is a Saturday.
at(time) := {"time": time}

test_hours_of_the_week if {
	office := {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "until": "18:00"}
	clock.within(office) == true with input as at("2026-11-20T08:00:00Z")
	clock.within(office) == true with input as at("2026-11-20T17:59:59Z")
	clock.within(office) == false with input as at("2026-11-20T18:00:00Z")
	clock.within(office) == false with input as at("2026-11-21T12:00:00Z")
	clock.within({"from": "00:00", "until": "24:00"}) == true with input as at("2026-11-21T23:59:59Z")
}

test_hours_are_those_of_their_offset if {
	late := {"days": ["sun"], "from": "00:00", "until": "01:00", "offset": "+01:00"}
	clock.within(late) == true with input as at("2026-11-21T23:30:00Z")
	clock.within(late) == false with input as at("2026-11-22T00:30:00Z")
}

test_the_days_of_the_week_agree_with_the_builtin if {
	every day in numbers.range(1, 28) {
		text := sprintf("2026-02-%02dT12:00:00Z", [day])
		today := lower(substring(time.weekday(time.parse_rfc3339_ns(text)), 0, 3))
		clock.within({"days": [today], "from": "00:00", "until": "24:00"}) == true with input as at(text)
	}
}

readable(hours) if is_boolean(clock.within(hours))

test_hours_that_cannot_be_read_are_undefined if {
	every hours in [
		{}, {"from": "8:00", "until": "18:00"}, {"from": "18:00", "until": "08:00"},
		{"from": "08:00", "until": "24:01"}, {"from": "08:60", "until": "18:00"},
		{"from": "08:00", "until": "18:00", "days": "mon"}, {"from": "08:00", "until": "18:00", "offset": "CET"},
	] {
		not readable(hours) with input as at("2026-11-20T12:00:00Z")
	}
}
