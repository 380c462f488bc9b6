# METADATA
# title: Clock
# description: >-
#   RFC 3339 timestamps as whole seconds, in plain Rego, so that every engine computes them alike
#   and none needs a host function.
# related_resources:
#   - https://www.rfc-editor.org/rfc/rfc3339#section-5.6
package affidavit.clock

month_days := [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

# Seconds since 1970-01-01T00:00:00Z, fractions cut off; undefined for anything malformed. The
# layout is checked by position: a regular expression costs more than the rest of a decision.
seconds(text) := total if {
	is_string(text)
	count(text) <= 35
	separated(text)
	digits(concat("", [part | some at in [0, 2, 5, 8, 11, 14, 17]; part := substring(text, at, 2)]), 14)
	year := number(text, 0, 4)
	month := number(text, 5, 2)
	month >= 1
	month <= 12
	day := number(text, 8, 2)
	day >= 1
	day <= days_in(year, month)
	hour := number(text, 11, 2)
	hour <= 23
	minute := number(text, 14, 2)
	minute <= 59
	second := number(text, 17, 2)
	second <= 59
	total := (((days(year, month, day) * 86400) + (hour * 3600)) + ((minute * 60) + second)) - zone(substring(text, 19, -1))
}

separated(text) if {
	substring(text, 4, 1) == "-"
	substring(text, 7, 1) == "-"
	substring(text, 10, 1) == "T"
	substring(text, 13, 1) == ":"
	substring(text, 16, 1) == ":"
}

digits(text, length) if {
	count(text) == length
	trim(text, "0123456789") == ""
}

# The instant that the request states; undefined unless it is in UTC and marked so by a Z.
now := seconds(input.time) if endswith(input.time, "Z")

number(text, start, length) := to_number(substring(text, start, length))

days_in(year, 2) := 29 if leap(year)

days_in(year, month) := month_days[month - 1] if not leap_february(year, month)

leap_february(year, 2) if leap(year)

leap(year) if year % 400 == 0

leap(year) if {
	year % 4 == 0
	year % 100 != 0
}

# Days since the epoch in the proleptic Gregorian calendar, counted in years that begin in March.
days(year, month, day) := total if {
	shifted := year - january_or_february(month)
	era := floor(shifted / 400)
	of_era := shifted - (era * 400)
	of_year := (floor(((153 * ((month + 9) % 12)) + 2) / 5) + day) - 1
	leap_days := floor(of_era / 4) - floor(of_era / 100)
	total := ((era * 146097) + ((of_era * 365) + (leap_days + of_year))) - 719468
}

january_or_february(month) := 1 if month <= 2

january_or_february(month) := 0 if month > 2

# The offset from UTC in seconds that ends a timestamp, after an optional fraction.
zone("Z") := 0

zone(rest) := 0 if {
	rest != "Z"
	endswith(rest, "Z")
	fraction(trim_suffix(rest, "Z"))
}

zone(rest) := sign * ((hour * 3600) + (minute * 60)) if {
	not endswith(rest, "Z")
	at := count(rest) - 6
	at >= 0
	sign := {"+": 1, "-": -1}[substring(rest, at, 1)]
	substring(rest, at + 3, 1) == ":"
	digits(concat("", [substring(rest, at + 1, 2), substring(rest, at + 4, 2)]), 4)
	hour := number(rest, at + 1, 2)
	hour <= 23
	minute := number(rest, at + 4, 2)
	minute <= 59
	fraction(substring(rest, 0, at))
}

fraction("")

fraction(text) if {
	startswith(text, ".")
	count(text) >= 2
	count(text) <= 10
	digits(substring(text, 1, -1), count(text) - 1)
}

weekdays := ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

# Whether the present falls into hours of the week: days, from and until in minutes of an offset
# from UTC. Undefined for hours that cannot be read.
within(hours) := holds if {
	local := now + zone(object.get(hours, "offset", "Z"))
	begins := minutes(hours.from)
	ends := minutes(hours.until)
	begins < ends
	days_of_week := object.get(hours, "days", weekdays)
	is_array(days_of_week)

	# 1970-01-01 was a Thursday.
	today := weekdays[(floor(local / 86400) + 3) % 7]
	minute := floor((local % 86400) / 60)
	holds := all_true([today in days_of_week, minute >= begins, minute < ends])
}

all_true(values) := count([value | some value in values; value == true]) == count(values)

# Minutes since midnight of a time such as 08:30; a day may end at 24:00.
minutes(text) := (hour * 60) + minute if {
	is_string(text)
	count(text) == 5
	substring(text, 2, 1) == ":"
	digits(concat("", [substring(text, 0, 2), substring(text, 3, 2)]), 4)
	hour := number(text, 0, 2)
	minute := number(text, 3, 2)
	minute <= 59
	(hour * 60) + minute <= 1440
}
