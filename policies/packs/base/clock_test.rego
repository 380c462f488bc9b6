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
