# METADATA
# title: Findings
# description: One reason for a denial or a warning, named by the annotations of its own rule.
package affidavit.finding

# The finding of an annotated rule.
of(meta, message) := {
	"rule": meta.custom.rule,
	"message": message,
	"severity": object.get(meta.custom, "severity", "high"),
	"clause": object.get(meta.custom, "clause", ""),
}

# Written by hand: engines differ in what json.marshal escapes.
quoted(value) := concat("", ["\"", escaped, "\""]) if {
	is_string(value)
	slashed := replace(replace(value, "\\", "\\\\"), "\"", "\\\"")
	escaped := replace(replace(slashed, "\n", "\\n"), "\r", "\\r")
}

quoted(value) := "(not a string)" if not is_string(value)

number(value) := json.marshal(value) if is_number(value)

number(value) := "(not a number)" if not is_number(value)

# A string that says something.
stated(value) if {
	is_string(value)
	trim_space(value) != ""
}
